#!/bin/sh
# seqpar vocab: what it writes, what it refuses, and that no partial file is left.
dir=$(mktemp -d "${TMPDIR:-/tmp}/seqpar-cli-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
cd "$dir" || exit 1

fail() {
	echo "FAIL: $*"
	test ! -s err || sed 's/^/  /' err
	failed=1
}

# expect STATUS WORDS ARGUMENT...: exit status, and words on standard error.
expect() {
	status=$1 words=$2
	shift 2
	"$SEQPAR" "$@" >out 2>err </dev/null
	got=$?
	test $got = "$status" || fail "seqpar $*: exit status $got, expected $status"
	test -z "$words" || grep -qF -- "$words" err || fail "seqpar $*: expected \"$words\""
}

# --- what is written
printf 'ab ab\n\nAb\nac\n' >text.txt
expect 0 '' vocab --size 12 -o v.txt text.txt
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' a b c '##b' '##c' ab '[unused0]' >expected.txt
cmp expected.txt v.txt || fail "the vocabulary is not as expected"
grep -q 'the last 1 are \[unused0\]' err || fail "no warning about unused tokens"
grep -q '^v.txt: 12 tokens (3 characters, 1 unused) from 2 different words' out || fail "summary: $(cat out)"
expect 0 '' vocab --size 13 --cased --min-frequency 1 -o v.txt text.txt
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' A a b c '##b' '##c' ab Ab >expected.txt
cmp expected.txt v.txt || fail "the cased vocabulary is not as expected"
gzip -c text.txt >text.gz
mkdir texts && cp text.txt texts
expect 0 '' vocab --size 11 -o v.txt text.txt
expect 0 '' vocab --size 11 -o gz.txt text.gz
expect 0 '' vocab --size 11 -o dir.txt texts
"$SEQPAR" vocab --size 11 -o stdin.txt - <text.txt >out 2>err || fail "standard input"
for f in gz dir stdin; do
	cmp v.txt $f.txt || fail "$f makes another vocabulary"
done
expect 0 '' tokenize --vocab v.txt -o t text.txt
grep -q ' 0.000 % unknown' out || fail "its own text is not known: $(cat out)"

# --- usage
expect 0 '' vocab --help
grep -q '^usage: seqpar vocab' out || fail "--help"
expect 2 '--size N is missing' vocab -o x text.txt
expect 2 '-o FILE is missing' vocab --size 20 text.txt
expect 2 'no FILE is given' vocab --size 20 -o x
expect 2 '--size 5: expected a whole number from 6' vocab --size 5 -o x text.txt
expect 2 '--size 9 does not hold the special tokens and the 3 characters of the text: give --size 10 or more' \
	vocab --size 9 -o x text.txt
expect 2 'did you mean --size' vocab --siz 20 -o x text.txt

# --- bad input and output
: >empty.txt
expect 1 'there are no words in the input' vocab --size 20 -o x empty.txt
expect 1 'absent: cannot find the file' vocab --size 20 -o x absent
expect 1 'must exist and be writable' vocab --size 20 -o nowhere/x text.txt
expect 1 '/dev/full: is there and not a regular file' vocab --size 20 -o /dev/full text.txt
(trap '' XFSZ; ulimit -f 0; "$SEQPAR" vocab --size 11 -o x text.txt >/dev/null 2>/dev/null) && fail "a full disk is not noticed"
ls x* >/dev/null 2>&1 && fail "files are left: $(echo x*)"
exit $failed

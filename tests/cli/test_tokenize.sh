#!/bin/sh
# seqpar tokenize: what it writes, what it refuses, and that no partial file is left.
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

# nothing_left PREFIX: neither the files nor temporary ones.
nothing_left() {
	ls -d "$1".* >err 2>/dev/null && fail "files are left"
}

printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' the cat '##s' . run '!' >vocab.txt
printf 'The cats\nrun. Run!\n\nThe dog.\n' >text.txt

# --- what is written
expect 0 '' tokenize --vocab vocab.txt -o a text.txt
grep -q '^a: 2 documents, 3 sentences, 10 tokens in .* 10.000 % unknown, 0 invalid bytes replaced$' out || fail "summary: $(cat out)"
ids=$(od -An -v -tu2 a.bin | xargs)
test "$ids" = '5 6 7 9 8 9 10 5 1 8' || fail "ids: $ids"
idx=$(od -An -v -tx1 a.idx | tr -d ' \n')
expected=4d4d494449445800000100000000000000080300000000000000030000000000000005000000020000000300000000000000000000000a00000000000000
expected=${expected}0e00000000000000000000000000000002000000000000000300000000000000
test "$idx" = "$expected" || fail "index: $idx, expected $expected"

# --- the same from standard input, gzip, a directory, and with any number of workers
mkdir texts texts/more
i=0
while test $i -lt 3000; do
	echo "The cat number $i runs. \"Run, cat $i!\" It ran to No. $i after Mr. Dog."
	test $((i % 7)) != 0 || echo
	i=$((i + 1))
done >texts/big.txt
cat texts/big.txt texts/big.txt texts/big.txt texts/big.txt texts/big.txt >texts/more/bigger.txt
cp text.txt texts/z.txt
expect 0 '' tokenize --vocab vocab.txt --workers 1 -o one texts
for w in 2 3 8; do
	expect 0 '' tokenize --vocab vocab.txt --workers=$w -o many texts/big.txt texts/more/bigger.txt texts/z.txt
	cmp one.bin many.bin && cmp one.idx many.idx || fail "$w workers or a list of files make another file"
done
"$SEQPAR" tokenize --vocab vocab.txt -o stdin - <text.txt >out 2>err || fail "standard input"
cmp a.bin stdin.bin && cmp a.idx stdin.idx || fail "standard input makes another file"
gzip -c text.txt >text.gz
expect 0 '' tokenize --vocab vocab.txt -o gz text.gz
cmp a.bin gz.bin && cmp a.idx gz.idx || fail "gzip makes another file"
"$SEQPAR" tokenize --vocab vocab.txt -o stdin - <text.gz >out 2>err || fail "gzip on standard input"
cmp a.bin stdin.bin || fail "gzip on standard input makes another file"
expect 0 '' tokenize --vocab vocab.txt --document-per-file -o f text.txt text.txt
grep -q '^f: 2 documents, 6 sentences' out || fail "--document-per-file: $(cat out)"
expect 0 '' tokenize --vocab vocab.txt --sentence-per-line -o l text.txt
grep -q '^l: 2 documents, 3 sentences' out || fail "--sentence-per-line: $(cat out)"
expect 0 '' tokenize --vocab vocab.txt --cased -o c text.txt
grep -q ' 40.000 % unknown' out || fail "--cased: $(cat out)"
printf 'the \377cat\200\n' >bad.txt
expect 0 '' tokenize --vocab vocab.txt -o bad bad.txt
grep -q '2 invalid bytes replaced' out || fail "invalid bytes: $(cat out)"

# --- usage
expect 0 '' tokenize --help
grep -q '^usage: seqpar tokenize' out || fail "--help"
expect 2 '--vocab FILE is missing' tokenize -o x text.txt
expect 2 '-o PREFIX is missing' tokenize --vocab vocab.txt text.txt
expect 2 'no FILE is given' tokenize --vocab vocab.txt -o x
expect 2 'did you mean --workers' tokenize --vocab vocab.txt -o x --worker 2 text.txt
expect 2 '--workers 0: expected a whole number from 1' tokenize --vocab vocab.txt -o x --workers 0 text.txt
expect 2 '--workers 2x: expected a whole number' tokenize --vocab vocab.txt -o x --workers 2x text.txt
expect 2 '--output needs a value' tokenize --vocab vocab.txt text.txt -o
expect 2 '--cased takes no value' tokenize --vocab vocab.txt -o x --cased=1 text.txt
nothing_left x

# --- bad input: message, exit status, and nothing under the final names
: >empty.txt
printf 'a\nb\n' >short.txt
printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nthe\n' >twice.txt
head -c 20 vocab.txt >cut.txt
head -c 30 text.gz >cut.gz
printf 'plain\n' >plain.gz
expect 1 'absent.txt: cannot open the vocabulary: No such file' tokenize --vocab absent.txt -o x text.txt
expect 1 'empty.txt: the file is empty' tokenize --vocab empty.txt -o x text.txt
expect 1 'short.txt: no line of its 2 holds [PAD]' tokenize --vocab short.txt -o x text.txt
expect 1 "twice.txt:7: token 'the' is already on line 6" tokenize --vocab twice.txt -o x text.txt
expect 1 'cut.txt:4: the last line does not end with a newline' tokenize --vocab cut.txt -o x text.txt
expect 1 'absent: cannot find the file: No such file' tokenize --vocab vocab.txt -o x text.txt absent
expect 1 'there is no text in the input' tokenize --vocab vocab.txt -o x empty.txt
expect 1 'cut.gz: the gzip data is cut short' tokenize --vocab vocab.txt -o x text.txt cut.gz
expect 1 'plain.gz: is not gzip data' tokenize --vocab vocab.txt -o x plain.gz
nothing_left x
expect 1 'nowhere/x.bin.tmp' tokenize --vocab vocab.txt -o nowhere/x text.txt
expect 1 'must exist and be writable' tokenize --vocab vocab.txt -o text.txt/x text.txt
mkdir taken.bin
expect 1 'taken.bin: is there and not a regular file' tokenize --vocab vocab.txt -o taken text.txt
test "$(echo taken.*)" = taken.bin || fail "files are left beside taken.bin: $(echo taken.*)"
if test "$(id -u)" != 0; then
	mkdir locked && chmod 500 locked
	expect 1 'Permission denied' tokenize --vocab vocab.txt -o locked/x text.txt
fi

# --- no space: a limit on the size of files stands for a full disk (8 blocks of 512 or 1024 bytes)
(trap '' XFSZ; ulimit -f 8; "$SEQPAR" tokenize --vocab vocab.txt -o x texts >out 2>err)
test $? = 1 && grep -q 'x.*: cannot write: File too large' err || fail "a full disk"
nothing_left x
cp a.bin kept.bin && cp a.idx kept.idx
(trap '' XFSZ; ulimit -f 8; "$SEQPAR" tokenize --vocab vocab.txt -o kept texts >out 2>err)
cmp a.bin kept.bin && cmp a.idx kept.idx || fail "a failure harms an older pair"

# --- a signal (SIGINT is ignored in the background of a script)
mkfifo pipe
"$SEQPAR" tokenize --vocab vocab.txt -o x - <pipe >out 2>err &
pid=$!
exec 3>pipe
cat texts/more/bigger.txt >&3
tries=0
while ! ls x.bin.tmp.* >/dev/null 2>&1 && test $tries -lt 100; do
	sleep 0.1
	tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
got=$?
exec 3>&-
test $got = 3 || fail "stopped by a signal: exit status $got, expected 3"
grep -q 'stopped by a signal; no file is left' err || fail "stopped by a signal"
nothing_left x

exit $failed

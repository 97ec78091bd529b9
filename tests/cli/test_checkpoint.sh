#!/bin/sh
# Checkpoints from outside: what a directory holds, damage named file by file, a full disk, signals, what is refused.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute
export OMP_NUM_THREADS=1

small="train model.preset=tiny model.layers=1 model.hidden=64 model.vocab_size=100 train.sequence_length=16 train.micro_batch=2 train.global_batch=2
	optimizer.decay_iters=40 train.iters=6"
last=step-00000006

# Nothing but these lines of a checkpoint's own is on standard error.
quiet()
{
	test -s "$dir/err" && fail "$command: standard error is not empty"
}
holds() # DIRECTORY "NAMES"
{
	test "$(ls "$1" | tr '\n' ' ')" = "$2 " || fail "$command: $1 holds $(ls "$1" | tr '\n' ' ')"
}

### what is there
mkdir "$dir/text"
printf 'the cat sat on the mat .\nthe dog sat on the cat .\n\nthe mat sat .\nthe dog ran .\n' >"$dir/text/a"
i=0
while test $i -lt 40; do
	cat "$dir/text/a"
	echo
	i=$((i + 1))
done >"$dir/text/b"
run 0 "$SEQPAR" vocab -o "$dir/vocab.txt" --size 60 "$dir/text/b"
run 0 "$SEQPAR" tokenize --vocab "$dir/vocab.txt" -o "$dir/tokens" "$dir/text/b"
run 0 "$SEQPAR" $small data.source="$dir/tokens" data.vocab="$dir/vocab.txt" data.split=1,0,0 checkpoint.dir="$dir/a/b" \
	checkpoint.interval=2 checkpoint.keep=2 log.metrics="$dir/m.jsonl"
quiet
holds "$dir/a/b" "latest step-00000004 $last"
holds "$dir/a/b/$last" \
	"checksums config.json model.safetensors optimizer.safetensors special_tokens_map.json tokenizer_config.json trainer.json vocab.txt"
cmp "$dir/vocab.txt" "$dir/a/b/$last/vocab.txt" || fail "vocab.txt is not that of the data"
test "$(cat "$dir/a/b/latest")" = $last || fail "latest says $(cat "$dir/a/b/latest")"
for step in 2 4 6; do
	grep -q "^{\"event\":\"checkpoint\",\"step\":$step,.*\"bytes\":[1-9].*\"error\":\"\"}" "$dir/m.jsonl" ||
		fail "no checkpoint event of step $step"
done

### a finished run, one that goes on, and one that may not begin
run 0 "$SEQPAR" $small checkpoint.dir="$dir/c" checkpoint.interval=2 log.metrics="$dir/c.jsonl"
holds "$dir/c/$last" "checksums config.json model.safetensors optimizer.safetensors trainer.json"
cp "$dir/c.jsonl" "$dir/c6.jsonl"
run 0 "$SEQPAR" $small checkpoint.dir="$dir/c" log.metrics="$dir/c.jsonl"
says "has done 6 steps, and train.iters = 6: nothing is left to do"
cmp "$dir/c.jsonl" "$dir/c6.jsonl" || fail "a finished run writes metrics"
cp -r "$dir/c" "$dir/d"
printf '{"event":"step","st' >>"$dir/c.jsonl" # as a kill may leave it
run 0 "$SEQPAR" $small checkpoint.dir="$dir/c" train.iters=8 log.metrics="$dir/c.jsonl" optimizer.lr=2e-4
says "resuming from $dir/c/$last, step 6"
says "  train.iters was 6 and is 8"
says "  optimizer.lr was 0.0001 and is 0.0002"
head -n "$(wc -l <"$dir/c6.jsonl")" "$dir/c.jsonl" | cmp - "$dir/c6.jsonl" || fail "metrics of before are not kept"
grep -qv '^{.*}$' "$dir/c.jsonl" && fail "half a line stays in the metrics"
test "$(grep -c '"event":"step"' "$dir/c.jsonl")" = 8 || fail "not eight steps in the metrics"

cp -r "$dir/c" "$dir/before"
run 2 "$SEQPAR" $small checkpoint.dir="$dir/c" checkpoint.resume=none log.metrics="$dir/c6.jsonl"
ends_with_the_only_error "checkpoint.dir = $dir/c holds checkpoints, the newest of step 8"
grep -q . "$dir/c6.jsonl" || fail "what is refused has emptied the metrics"
run 2 "$SEQPAR" $small checkpoint.dir="$dir/c" checkpoint.resume="$dir/c/$last" train.iters=9
ends_with_the_only_error 'holds a checkpoint of step 8, which is not behind step 6'
run 2 "$SEQPAR" $small checkpoint.dir="$dir/c" train.iters=9 model.activation=gelu_tanh
ends_with_the_only_error 'model.activation = gelu_tanh, but the model of'
run 2 "$SEQPAR" $small checkpoint.dir="$dir/c" train.iters=9 model.vocab_size=99
ends_with_the_only_error 'model.vocab_size = 99, but the model of'
run 1 "$SEQPAR" $small checkpoint.dir="$dir/new" checkpoint.resume="$dir/a"
ends_with_the_only_error 'checksums is missing; it takes a directory like DIR/step-00001000'
run 1 "$SEQPAR" $small checkpoint.dir="$dir/text/a/x"
ends_with_the_only_error 'checkpoint.dir'
diff -r "$dir/c" "$dir/before" >"$dir/out" || fail "a refused run has changed the directory"
run 0 "$SEQPAR" $small checkpoint.dir="$dir/e" checkpoint.resume="$dir/c/step-00000008" train.iters=9 train.seed=7 data.mask_prob=0.3
complains "warning: train.seed was 1234 and is 7: other samples than before will be seen"
complains "warning: data.mask_prob was 0.15 and is 0.3: other samples"
holds "$dir/e" "latest step-00000009"

### damage: named, passed over, kept
damaged() # FILE "HOW" COMMAND...: the newest of a copy is damaged by a command in its directory
{
	file=$1
	how=$2
	shift 2
	rm -rf "$dir/f"
	cp -r "$dir/d" "$dir/f"
	(cd "$dir/f/$last" && "$@") || fail "cannot damage: $*"
	cp -r "$dir/f" "$dir/f.before"
	run 0 "$SEQPAR" $small checkpoint.dir="$dir/f"
	complains "warning: $dir/f/$last is passed over: $file $how"
	says "resuming from $dir/f/step-00000004, step 4"
	diff -r "$dir/f.before/$last" "$dir/f/$last.damaged" >/dev/null || fail "$command: the damaged one is gone"
	for now in model.safetensors optimizer.safetensors config.json; do
		cmp "$dir/d/$last/$now" "$dir/f/$last/$now" || fail "$command: not the same again"
	done
	rm -rf "$dir/f.before"
}
cut_short()
{
	size=$(wc -c <"$1")
	head -c $((size - 1)) "$1" >"$dir/cut" && cp "$dir/cut" "$1"
}
flip() # one bit, in the middle
{
	at=$(($(wc -c <"$1") / 2))
	byte=$(od -An -tu1 -j $at -N 1 "$1")
	printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$1" bs=1 seek=$at conv=notrunc 2>/dev/null
}
empty()
{
	: >"$1"
}
for file in model.safetensors optimizer.safetensors config.json trainer.json; do
	damaged $file "is cut short" cut_short $file
	damaged $file "is damaged" flip $file
	damaged $file "is empty" empty $file
	damaged $file "is missing" rm $file
done
damaged checksums "is cut short" cut_short checksums
damaged checksums "is" flip checksums
damaged checksums "is empty" empty checksums
damaged checksums "is missing" rm checksums

rm -rf "$dir/f"
cp -r "$dir/d" "$dir/f"
for step in "$dir/f"/step-*; do
	: >"$step/model.safetensors"
done
run 1 "$SEQPAR" $small checkpoint.dir="$dir/f"
test "$(grep -c 'is passed over: model.safetensors is empty' "$dir/err")" = 3 || fail "not all are passed over by name"
complains 'none of its 3 checkpoints is whole'
run 1 "$SEQPAR" $small checkpoint.resume="$dir/f/$last"
ends_with_the_only_error 'model.safetensors is empty'

### no room: training goes on, what was there stays
size=$(wc -c <"$dir/d/$last/model.safetensors")
rm -rf "$dir/f"
cp -r "$dir/d" "$dir/f"
# The files of moments are twice as large as this allows. Blocks are of 512 bytes.
run 1 sh -c 'ulimit -f $1; shift; exec "$@"' sh $((size * 3 / 2 / 512)) \
	"$SEQPAR" $small checkpoint.dir="$dir/f" checkpoint.interval=20 train.iters=45 log.metrics="$dir/f.jsonl"
test "$(grep -c 'error: the checkpoint of step [24][05] was not saved: .*optimizer.safetensors: File too large; the newest is that of step 6' \
	"$dir/err")" = 3 || fail "$command: not said three times"
# The save of step 40 waits for that of step 20, so it is known by then.
grep -q 'step 20 .*training goes on' "$dir/err" || fail "$command: not said that it goes on"
test "$(grep -c '"event":"step"' "$dir/f.jsonl")" = 39 || fail "$command: training has not gone on"
test "$(grep -c '"event":"checkpoint".*"error":".*File too large' "$dir/f.jsonl")" = 3 || fail "$command: no events"
diff -r "$dir/d" "$dir/f" >"$dir/out" || fail "$command: the directory has changed"

# The same with a file system that is really full, where one may be mounted.
trap 'umount "$dir/full" 2>/dev/null; rm -rf "$dir"' EXIT
if mkdir "$dir/full" && mount -t tmpfs -o size=$((size * 9)) tmpfs "$dir/full" 2>/dev/null; then
	run 1 "$SEQPAR" $small checkpoint.dir="$dir/full/c" checkpoint.interval=1 checkpoint.keep=9
	grep -q 'was not saved: .*No space left on device; the newest is that of step' "$dir/err" || fail "$command: not said"
	ls "$dir/full/c" | grep -q part && fail "$command: half a checkpoint is left"
	run 0 "$SEQPAR" $small checkpoint.dir="$dir/full/c" checkpoint.keep=1 train.iters=1
	umount "$dir/full"
fi

### signals
# signalled NAME NUMBER STATUS [SETTING]...: to a run in the foreground, since the shell has some ignored by others. Between two
# it has time to notice the first.
signalled()
{
	name=$1
	number=$2
	expected_status=$3
	shift 3
	rm -rf "$dir/s" "$dir/s.jsonl"
	(
		until grep -qs '"event":"step"' "$dir/s.jsonl"; do
			sleep 0.1
		done
		kill "-$name" "$(cat "$dir/pid")"
		test "$number" = 1 || { sleep 0.5; kill "-$name" "$(cat "$dir/pid")"; }
	) 2>/dev/null &
	run "$expected_status" sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$dir/pid" "$SEQPAR" $small train.iters=1000000000 \
		log.interval=1000000 checkpoint.dir="$dir/s" log.metrics="$dir/s.jsonl" "$@"
	wait
}
for name in TERM INT HUP USR1; do
	signalled $name 1 3
	step=$(sed -n 's/.*"event":"summary","steps":\([0-9]*\),"stopped":true.*/\1/p' "$dir/s.jsonl")
	test "$(cat "$dir/s/latest")" = "step-$(printf %08d "$step")" || fail "signal $name: $(cat "$dir/s/latest") after $step"
done
long_steps=train.global_batch=20000
signalled TERM 2 3 $long_steps
signalled INT 2 130 $long_steps
test ! -e "$dir/s/latest" || fail "two SIGINT, and yet it is saved"

### several ranks
if "$SEQPAR" info | grep -q '^  mpi .*not built'; then
	exit $failed
fi
need_ranks
pair="$small train.micro_batch=1 parallel.sequence=2"
run 0 $TESTMPIRUN 2 "$SEQPAR" $pair checkpoint.dir="$dir/p" checkpoint.interval=2
holds "$dir/p" "latest step-00000002 step-00000004 $last"
run 0 "$SEQPAR" $small checkpoint.dir="$dir/p" train.iters=7
says "  parallel.sequence was 2 and is 1"
# Only rank 1 has no room; the limit leaves some for the files through which ranks on one machine talk.
large="$pair model.vocab_size=30000 checkpoint.dir=$dir/q"
run 0 $TESTMPIRUN 2 "$SEQPAR" $large train.iters=1
size=$(wc -c <"$dir/q/step-00000001/model.safetensors")
run 1 $TESTMPIRUN 1 "$SEQPAR" $large train.iters=2 : \
	-n 1 sh -c 'ulimit -f $1; shift; exec "$@"' sh $((size * 3 / 2 / 512)) "$SEQPAR" $large train.iters=2
ends_with_the_only_error 'optimizer.safetensors: File too large; the newest is that of step 1'
holds "$dir/q" "latest step-00000001"

# Through launch, whose mpirun would end the ranks a second after a SIGTERM of its own.
for name in TERM INT; do
	rm -rf "$dir/s" "$dir/s.jsonl"
	command="launch, signal $name"
	(
		until grep -qs '"event":"step"' "$dir/s.jsonl"; do
			sleep 0.1
		done
		kill -$name "$(cat "$dir/pid")"
	) &
	run 3 sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$dir/pid" "$SEQPAR" launch -n 2 -- $pair train.iters=1000000000 \
		log.interval=1000000 checkpoint.dir="$dir/s" log.metrics="$dir/s.jsonl"
	wait
	test -f "$dir/s/$(cat "$dir/s/latest")/checksums" || fail "launch, signal $name: nothing saved"
done
exit $failed

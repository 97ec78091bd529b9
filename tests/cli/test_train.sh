#!/bin/sh
# seqpar train from outside: settings, errors and their exit status, files left behind, signals.
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "${srcdir:-.}" || exit 1
failures=0
export OMP_NUM_THREADS=1

"$SEQPAR" info | grep -q '^ *cpu .*\(cannot\|not built\)' && { echo "skipped: no cpu module"; exit 77; }

small="model.preset=tiny model.vocab_size=64 train.iters=3 train.global_batch=4 train.micro_batch=2 train.sequence_length=32"

failed()
{
	echo "FAILED: $*"
	sed 's/^/    /' "$scratch/out" "$scratch/err"
	failures=$((failures + 1))
}

# expect STATUS "WORDS" ARGUMENT...: that exit status, those words on standard error, and no other error line.
expect()
{
	status=$1
	words=$2
	shift 2
	timeout 60 "$SEQPAR" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
	got=$?
	[ $got = "$status" ] || failed "status $got instead of $status: $*"
	grep -qF -- "$words" "$scratch/err" || failed "no \"$words\": $*"
	[ "$(grep -c 'error:' "$scratch/err")" = 1 ] || failed "not one error: $*"
}

# Arguments without blanks, and word splitting of $small, are wanted.
### wrong settings
expect 2 "unknown setting trian.iters; the nearest known one is train.iters" train trian.iters=3
expect 2 'train.iters: "many" is not an integer' train train.iters=many
expect 2 "model.dropout: 1.5 is out of range" train model.dropout=1.5
expect 2 '"iters" is not section.key=value' train iters
expect 2 "unknown option --fast" train --fast
expect 2 "-c wants the name of a file" train -c
expect 1 "/nonexistent.ini: cannot be opened" train -c /nonexistent.ini
printf '[train]\niters = 3\nitres = 4\n' >"$scratch/bad.ini"
expect 2 "bad.ini:3: unknown setting train.itres; the nearest known one is train.iters" train -c "$scratch/bad.ini"
expect 2 "model.heads = 5 does not divide model.hidden = 128" train $small model.heads=5
expect 2 "train.sequence_length = 600 is longer than model.max_positions" train $small train.sequence_length=600
expect 2 "parallel.tensor = 3 does not divide model.heads = 2" train $small parallel.tensor=3
expect 2 "train.micro_batch = 2 does not divide train.global_batch = 5" train $small train.global_batch=5
expect 2 "needs data.vocab" train $small data.source=x
expect 2 "there is no such attention" train $small parallel.attention=rnig
expect 2 "parallel.pipeline = 5 is more than model.layers = 2" train $small parallel.pipeline=5
expect 2 "parallel.virtual_stages = 2 wants a pipeline" train $small parallel.virtual_stages=2
expect 2 "= 2 x 2 = 4 does not divide model.layers = 6" train $small model.layers=6 parallel.pipeline=2 parallel.virtual_stages=2
expect 2 "parallel.tensor = 2 needs 2 ranks" train $small parallel.sequence=2

### what cannot be read or written
expect 1 "/nonexistent/vocab.txt" train $small data.source="$scratch/x" data.vocab=/nonexistent/vocab.txt
expect 1 "log.metrics = /nonexistent/a" train $small log.metrics=/nonexistent/a
expect 1 "log.trace = /nonexistent/a" train $small log.trace=/nonexistent/a
[ -w /dev/full ] && expect 1 "No space left" train $small log.metrics=/dev/full
if [ -w /dev/full ]; then
	"$SEQPAR" train $small >/dev/full 2>"$scratch/err"
	[ $? = 1 ] || failed "standard output full: not status 1"
	grep -q "standard output cannot be written" "$scratch/err" || failed "standard output full: not said"
fi
expect 1 "not finite; lower optimizer.lr" train $small train.iters=60 optimizer.lr=1000 optimizer.clip_norm=0

### help
"$SEQPAR" train --help >"$scratch/out" 2>"$scratch/err" || failed "--help"
for key in model.preset data.source train.iters optimizer.lr parallel.sequence backend.device log.trace; do
	grep -q "^  $key = " "$scratch/out" || failed "--help without $key"
done

### a run: files
"$SEQPAR" train $small train.eval_interval=2 train.eval_iters=1 log.metrics="$scratch/m.jsonl" log.trace="$scratch/t.json" \
	log.interval=1 >"$scratch/out" 2>"$scratch/err" || failed "a plain run"
[ "$(grep -c '^step ' "$scratch/out")" = 3 ] || failed "not three lines of steps"
events=$(sed -n 's/^{"event": *"\([a-z]*\)".*}$/\1/p' "$scratch/m.jsonl" | tr '\n' ' ')
[ "$events" = "config step step eval step eval summary " ] || failed "events are: $events"
for field in step loss lr grad_norm loss_scale tokens_per_s step_ms flops_per_s gemm_fraction peak_mib comm_bytes \
	comm_exposed_ms fill gradient_reduction_ms comm_exposed_ring_ms comm_exposed_pipeline_ms comm_exposed_tensor_ms \
	comm_exposed_gradient_ms comm_exposed_parameter_ms comm_exposed_other_ms; do
	[ "$(grep '"event": *"step"' "$scratch/m.jsonl" | grep -c "\"$field\": *[0-9]")" = 3 ] || failed "steps without $field"
done
grep '"event": *"config"' "$scratch/m.jsonl" | grep -q '"gemm_precision": *"fp32"' || failed "the rate's precision is not named"
grep -q '"time_' "$scratch/m.jsonl" && failed "operations are timed unasked"
[ "$(head -c 1 "$scratch/t.json")" = "{" ] && [ "$(tail -n 1 "$scratch/t.json")" = "]}" ] || failed "trace is not whole"
[ -e "$scratch/t.json.part" ] && failed "a temporary trace is left"
# Three steps and two batches of evaluation: each is drawn once, and nothing beyond the last step.
[ "$(grep -o '"samples"' "$scratch/t.json" | wc -l)" = 5 ] || failed "not five drawings of samples"

### what steps go into: the same losses, and times that add up to the step
"$SEQPAR" train $small train.eval_interval=2 train.eval_iters=1 log.metrics="$scratch/h.jsonl" log.shares=true \
	>"$scratch/out" 2>"$scratch/err" || failed "log.shares"
grep -q '^of the time: products [0-9.]* %, attention .* idle ' "$scratch/out" || failed "log.shares: not said at the end"
sed -n 's/.*"event": *"step"//p' "$scratch/h.jsonl" | tr ',' '\n' | awk -F: '
	$1 ~ /"step_ms"/ { step += $2 } $1 ~ /"time_[a-z]*_ms"/ { sum += $2; n++ }
	END { exit !(n == 3 * 7 && step > 0 && (sum - step) ^ 2 < (1e-6 * step) ^ 2) }' || failed "log.shares: times do not add up"
grep -q '"time_idle_ms": *-' "$scratch/h.jsonl" && failed "log.shares: what lies between steps is counted, too"

### packed samples: sequences may be longer than positions
"$SEQPAR" train $small data.packing=true data.short_seq_prob=1 model.max_positions=12 train.eval_interval=3 train.eval_iters=1 \
	>"$scratch/out" 2>"$scratch/err" || failed "packing"
grep -q '^step 3/3 .* fill 100.0 % ' "$scratch/out" || failed "packing: sequences are not full"
"$SEQPAR" check $small data.packing=true model.sentence_order=true >"$scratch/out" 2>"$scratch/err" || failed "check of packing"

### same again, same numbers
"$SEQPAR" train $small train.eval_interval=2 train.eval_iters=1 log.metrics="$scratch/n.jsonl" >/dev/null 2>"$scratch/err"
losses() { sed -n 's/.*"event": *"step".*"loss": *\([^,]*\),.*"grad_norm": *\([^,]*\),.*/\1 \2/p' "$1"; }
losses "$scratch/m.jsonl" >"$scratch/out"
losses "$scratch/n.jsonl" | cmp -s - "$scratch/out" || failed "two runs, two results"
losses "$scratch/h.jsonl" | cmp -s - "$scratch/out" || failed "log.shares changes results"
# Steps are drawn before the evaluation that stands between them and those before.
"$SEQPAR" train $small train.eval_interval=0 log.metrics="$scratch/n.jsonl" >/dev/null 2>"$scratch/err"
losses "$scratch/n.jsonl" | cmp -s - "$scratch/out" || failed "an evaluation changes training"

### a signal ends it after the step, with whole files
"$SEQPAR" train $small train.iters=1000000000 log.metrics="$scratch/s.jsonl" log.interval=1000000 >"$scratch/out" \
	2>"$scratch/err" &
pid=$!
tries=0
while [ $tries -lt 200 ] && ! grep -qs '"event": *"step"' "$scratch/s.jsonl"; do
	sleep 0.1
	tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
[ $? = 3 ] || failed "stopped: not status 3"
tail -n 1 "$scratch/s.jsonl" | grep -q '^{"event": *"summary".*"stopped": *true.*}$' || failed "stopped: no summary"

### as several ranks
if [ -n "$TESTMPIRUN" ] && ! "$SEQPAR" info | grep -q '^ *mpi .*\(cannot\|not built\)'; then
	export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
	# Only rank 0 meets this error; the other must not wait for it.
	timeout 10 $TESTMPIRUN 2 "$SEQPAR" train $small log.metrics=/nonexistent/a >"$scratch/out" 2>"$scratch/err" </dev/null
	[ $? = 1 ] || failed "one rank fails: not status 1 within ten seconds"
	grep -q "rank 0: error: log.metrics" "$scratch/err" || failed "one rank fails: not said by whom"
	timeout 10 $TESTMPIRUN 3 "$SEQPAR" train $small parallel.sequence=2 >"$scratch/out" 2>"$scratch/err" </dev/null
	[ $? = 2 ] || failed "ranks not divided: not status 2"
	grep -q "parallel.sequence = 2 does not divide 3 ranks" "$scratch/err" || failed "ranks not divided: not said"
	timeout 20 $TESTMPIRUN 2 "$SEQPAR" train trian.iters=3 >"$scratch/out" 2>"$scratch/err" </dev/null
	[ $? = 2 ] || failed "wrong setting on all ranks: not status 2"
	[ "$(grep -c 'unknown setting' "$scratch/err")" = 1 ] || failed "wrong setting on all ranks: not said once"
	timeout 60 $TESTMPIRUN 2 "$SEQPAR" train $small parallel.sequence=2 log.trace="$scratch/t.json" >"$scratch/out" \
		2>"$scratch/err" </dev/null || failed "a run on two ranks"
	grep -q '"pid":1,' "$scratch/t.json" && [ "$(tail -n 1 "$scratch/t.json")" = "]}" ] || failed "trace without rank 1"
	timeout 60 $TESTMPIRUN 2 "$SEQPAR" check $small parallel.sequence=2 >"$scratch/out" 2>"$scratch/err" </dev/null ||
		failed "check on two ranks"
fi

### check, alone
"$SEQPAR" check $small >"$scratch/out" 2>"$scratch/err" || failed "check on one rank"
grep -q "^loss " "$scratch/out" && grep -q "word_embeddings" "$scratch/out" || failed "check says nothing"
expect 2 "unknown setting" check trian.iters=3

### more memory than addresses reach
huge="train model.layers=1000 model.hidden=65536 model.heads=512 model.vocab_size=100 train.sequence_length=16 train.micro_batch=1
	train.global_batch=1 backend.device=cpu"
ASAN_OPTIONS=$ASAN_OPTIONS:allocator_may_return_null=1
export ASAN_OPTIONS
expect 1 "cpu: no memory for" $huge
expect 1 "this run is planned to take" $huge

[ $failures = 0 ]

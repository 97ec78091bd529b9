#!/bin/sh
# seqpar bench: every part at a tiny size, in all forms of output, and what it refuses.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute
tiny="model.preset=tiny model.vocab_size=211 train.sequence_length=33 backend.threads=1 backend.device=cpu"

# passes NUMBER: as many results were checked, and none was wrong.
passes()
{
	says "# right: all $1 checked results"
}

run 0 "$SEQPAR" bench --help
for part in gemm attention comm train scaling memory; do
	says "  $part "
	run 0 "$SEQPAR" bench $part --help
	says "seqpar bench $part"
	says '--json'
	run 0 "$SEQPAR" bench --help
done
run 2 "$SEQPAR" bench
ends_with_the_only_error 'which part'
run 2 "$SEQPAR" bench gem
ends_with_the_only_error 'no part "gem"'
run 2 "$SEQPAR" bench gemm --repeat 3
ends_with_the_only_error 'did you mean --repeats'
run 2 "$SEQPAR" bench gemm --json --csv $tiny
run 2 "$SEQPAR" bench comm --least 2MiB --most 1MiB
run 2 "$SEQPAR" bench scaling -n 1,x $tiny
run 2 "$SEQPAR" bench scaling --axis width $tiny
ends_with_the_only_error 'expected sequence, data'

# Word splitting of $tiny is wanted.
run 0 "$SEQPAR" bench gemm --rows 37 --repeats 2 --warm-up 1 $tiny
passes 60
says 'of gemm'
says 'bias, gelu_tanh'
run 0 "$SEQPAR" bench gemm --only 'vocabulary weight' --rows 37 --repeats 2 --csv $tiny
says 'layer,product,epilogue,precision,by,t,n,k,min'
test "$(grep -c '^vocabulary,weight,' "$dir/out")" = 2 || fail "not two rows of vocabulary weight"
run 0 "$SEQPAR" bench gemm --cold --only 'qkv forward bias' --rows 37 --repeats 2 $tiny
passes 3
run 0 "$SEQPAR" bench gemm --rows 37 --repeats 2 --warm-up 1 train.precision=bf16 $tiny
passes 60
says ' bf16 '

# By each library, if there are two; asked for by name, one that is not there is an error.
if env SEQPAR_LOG=error "$SEQPAR" info backend.products=onednn 2>/dev/null | grep -q 'for all products'; then
	run 0 "$SEQPAR" bench gemm --both --only 'qkv forward none' --rows 37 --repeats 2 --csv $tiny
	says 'qkv,forward,none,fp32,blas,37,'
	says 'qkv,forward,none,fp32,onednn,37,'
	passes 2
else
	run 1 "$SEQPAR" bench gemm --both --only qkv $tiny
	ends_with_the_only_error 'backend.products=onednn'
fi

kinds=$(env SEQPAR_LOG=error "$SEQPAR" bench attention --repeats 1 $tiny | sed -n 's/^  \([a-z]*\) *both .*/\1/p')
run 0 "$SEQPAR" bench attention --repeats 1 $tiny
passes $((1 + 3 * $(echo $kinds | wc -w)))
says 'full against float64'
for kind in full ring; do
	echo $kinds | grep -q "$kind" || fail "attention lacks $kind: $kinds"
done

run 0 "$SEQPAR" bench comm --most 4KiB --repeats 2 $tiny
passes 31

run 0 "$SEQPAR" bench train --repeats 2 --json $tiny
says '"verdict": "right"'
says '"results_checked": 3'
says '"S": 33.0'

# What a step goes into: each class once, all that a step on one cpu rank has, and together the step.
run 0 "$SEQPAR" bench train --shares --repeats 3 --no-check --csv $tiny
says '# right: all 3 checked results'
awk -F, '$1 == "class" { inside = 1; next }
	inside && $1 ~ /^[a-z]/ { seen = seen $1 " "; time[$1] = $2; percent[$1] = $3 }
	inside && $1 != "step" && $1 ~ /^[a-z]/ { sum += $2; percents += $3 }
	END {
		off = sum - time["step"]
		exit !(seen == "products attention elements optimizer copies messages idle step " && off * off < 0.01 * 0.01 * time["step"] ^ 2 &&
			percents > 99 && percents < 101 && percent["step"] == 100 && time["idle"] < 0.5 * time["step"] &&
			time["products"] > 0 && time["attention"] > 0 && time["elements"] > 0 && time["optimizer"] > 0 &&
			time["messages"] < 0.1 * time["step"])
	}' "$dir/out" || fail "shares of a step: $(cat "$dir/out")"
run 0 "$SEQPAR" bench train --shares --repeats 1 --json $tiny
says '"shares of a step"'
run 2 "$SEQPAR" bench gemm --shares $tiny

run 0 "$SEQPAR" bench memory -n 1 --lengths 33,65 $tiny
passes 2
run 2 "$SEQPAR" bench memory -n 1 --memory much $tiny

# An instrumented build takes more than is planned.
if test -z "$INSTRUMENTED"; then
	run 0 "$SEQPAR" bench memory -n 1 --memory 160MiB --multiple 4096 $tiny model.layers=1 train.recompute=layer
	says '# longest sequence with 1 ranks: '
fi
run 1 "$SEQPAR" bench memory -n 1 --memory 1MiB --multiple 64 $tiny
says '# WRONG: a cap in which not even the shortest sequence trains'

need_ranks
run 0 "$SEQPAR" bench scaling -n 1,2 --repeats 1 --no-check $tiny
passes 2
grep -q '^  weak  *sequence  *2 1x1x2x1 .* 66 ' "$dir/out" || fail "two ranks do not train twice the length: $(cat "$dir/out")"
for precision in fp32 bf16; do
	run 0 $TESTMPIRUN 2 "$SEQPAR" bench attention --repeats 1 $tiny train.precision=$precision
	says '# right: all '
	grep -q '^  ring  *forward' "$dir/out" || fail "no ring over two ranks"
done
run 0 $TESTMPIRUN 3 "$SEQPAR" bench comm --most 4KiB --repeats 2 $tiny
passes 31
run 0 $TESTMPIRUN 2 "$SEQPAR" bench gemm --only 'qkv forward none' --rows 37 --repeats 2 $tiny
passes 1
run 0 $TESTMPIRUN 2 "$SEQPAR" bench train --shares --repeats 1 $tiny parallel.sequence=2
passes 4
exit $failed

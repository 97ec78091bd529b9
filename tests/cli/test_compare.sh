#!/bin/sh
# benchmarks/compare: from results of seqpar bench to one page that needs nothing else, and an exit status that says whether they
# were right.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute
top=$(cd "${srcdir:-.}" && pwd)
command -v python3 >/dev/null && command -v gnuplot >/dev/null || { echo "skipped: no python3 or no gnuplot"; exit 77; }
tiny="model.preset=tiny model.vocab_size=211 train.sequence_length=33 backend.threads=1 backend.device=cpu"

# Word splitting of $tiny is wanted.
run 0 "$SEQPAR" bench train --json --repeats 1 --no-check $tiny
cp "$dir/out" "$dir/train"
run 0 "$SEQPAR" bench attention --json --repeats 1 $tiny
cp "$dir/out" "$dir/attention"
run 0 "$SEQPAR" bench gemm --json --repeats 1 --rows 9 --only qkv $tiny
cp "$dir/out" "$dir/gemm"

# results STATUS: what compare --keep would have written, the training run having ended with this status.
results()
{
	cat <<-END
	{"about": {"matrix": {"name": "quick", "model": "tiny", "batch": 1, "length": 33, "cap": null}, "date": "today",
	  "machine": {"processor": "a <fast> one"}},
	 "records": [
	  {"section": "train", "label": "cpu fp32, 1 rank x 1", "command": "seqpar one", "status": $1, "seconds": 1, "error": "",
	   "result": $(cat "$dir/train")},
	  {"section": "attention", "label": "S = 33, 1 rank", "command": "seqpar two", "status": 0, "seconds": 1, "error": "",
	   "result": $(cat "$dir/attention")},
	  {"section": "gemm", "label": "1 threads", "command": "seqpar three", "status": 0, "seconds": 1, "error": "",
	   "result": $(cat "$dir/gemm")},
	  {"section": "train peer", "label": "PyTorch eager fp32", "command": "python four", "status": 1, "seconds": 1,
	   "error": "out of memory", "result": null}]}
	END
}

results 0 >"$dir/results"
run 0 python3 "$top/benchmarks/compare" --from "$dir/results" -o "$dir/report.html"
for words in '<svg' 'cpu fp32, 1 rank x 1' 'a &lt;fast&gt; one' 'seqpar two' 'out of memory' 'were right' 'prefers-color-scheme: dark'; do
	grep -qF "$words" "$dir/report.html" || fail "the report lacks $words"
done
test "$(grep -c '</svg>' "$dir/report.html")" -ge 4 || fail "charts are missing"
grep -oE '(src|href)="?[a-z]+://[^ ]*|@import|<link|<script' "$dir/report.html" && fail "the report needs something from outside"
results 1 >"$dir/results"
run 1 python3 "$top/benchmarks/compare" --from "$dir/results" -o "$dir/report.html"
complains 'WRONG: train, cpu fp32, 1 rank x 1'
grep -q 'class="wrong"' "$dir/report.html" || fail "the report hides what was wrong"
run 1 python3 "$top/benchmarks/compare" --program /nonexistent -o "$dir/report.html"
complains 'build it, or give --program'
exit $failed

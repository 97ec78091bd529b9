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

# A model whose attention is sparse does less; it is not held against PyTorch's.
python3 - "$dir/results" "$dir/sparse" <<-'END' || fail "the results are not what they were"
	import copy, json, sys
	with open(sys.argv[1]) as file:
	    results = json.load(file)
	fast = copy.deepcopy(results["records"][0])
	fast["label"], fast["result"]["tables"][0]["rows"][0]["speed"] = "cpu fp32, 2 window x 1", 987654321
	results["records"].append(fast)
	with open(sys.argv[2], "w") as file:
	    json.dump(results, file)
END
run 0 python3 "$top/benchmarks/compare" --from "$dir/sparse" -o "$dir/report.html"
grep -q 'cpu fp32, 2 window x 1' "$dir/report.html" || fail "the sparse run is not shown"
grep -q '987654321 tokens/s' "$dir/report.html" && fail "the sparse run is held against the others"

# Shares of a rate in another precision than the run's say so, as of results from before rates were of the run's own.
python3 - "$dir/results" "$dir/bf16" <<-'END' || fail "the results are not what they were"
	import copy, json, sys
	with open(sys.argv[1]) as file:
	    results = json.load(file)
	records = results["records"]
	assert records[0]["result"]["about"]["gemm"].startswith("the library's plain product in fp32,")
	for label, about in (("cpu bf16 new", "the library's plain product in bf16, all ranks at once"), ("cpu bf16 old", None)):
	    run = copy.deepcopy(records[0])
	    run["label"], run["result"]["tables"][0]["rows"][0]["precision"] = label, "bf16"
	    run["result"]["about"].pop("gemm")
	    run["result"]["about"].update({"gemm": about} if about else {})
	    run["result"]["tables"][0]["rows"][0].update({"gemm": 1000.0, "speed": 1.0 if about else 2.0})
	    records.append(run)
	first = records[0]["result"]["tables"][0]["rows"][0]
	first.update({"rate": 4.0, "speed": 2.0, "gemm": 10.0}) # two operations a token
	for precision, speed in (("fp32", 1.0), ("bf16", 150.0)):
	    records.append({"section": "train peer", "label": "PyTorch " + precision, "command": "python", "status": 0, "seconds": 1, "error": "",
	                    "result": {"precision": precision, "tokens_per_s": speed, "step_ms": 1, "peak_mib": 1}})
	with open(sys.argv[2], "w") as file:
	    json.dump(results, file)
END
run 0 python3 "$top/benchmarks/compare" --from "$dir/bf16" -o "$dir/report.html"
grep -q "cpu bf16 old, of fp32.*s" "$dir/report.html" || fail "a share of fp32's rate is not named so"
grep -q "cpu bf16 new, of" "$dir/report.html" && fail "a share of the own precision's rate is named otherwise"
grep -q "GEMM rate in fp32" "$dir/report.html" || fail "the rate's precision is not named"
python3 - "$top/benchmarks" "$dir/bf16" <<-'END' || fail "PyTorch is not held against the rate of its own precision"
	import json, sys
	sys.dont_write_bytecode = True
	sys.path.insert(0, sys.argv[1])
	from comparison import page
	with open(sys.argv[2]) as file:
	    results = json.load(file)
	operations, rates = page.Report(results["records"], results["about"]).work()
	sys.exit(not (operations == 2 and rates == {"fp32": 10, "bf16": 1000}))
END
results 1 >"$dir/results"
run 1 python3 "$top/benchmarks/compare" --from "$dir/results" -o "$dir/report.html"
complains 'WRONG: train, cpu fp32, 1 rank x 1'
grep -q 'class="wrong"' "$dir/report.html" || fail "the report hides what was wrong"
run 1 python3 "$top/benchmarks/compare" --program /nonexistent -o "$dir/report.html"
complains 'build it, or give --program'

# A part again, beside what was kept: of another machine it is refused.
results 0 >"$dir/results"
run 1 python3 "$top/benchmarks/compare" --program "$SEQPAR" --no-peers --from "$dir/results" --only gemm -o "$dir/report.html"
complains 'the kept results have another processor (a <fast> one)'
run 2 python3 "$top/benchmarks/compare" --from "$dir/results" --cap 1GiB
complains 'a matrix of its own'
run 2 python3 "$top/benchmarks/compare" --only nothing
complains 'there is no nothing'
python3 - "$top/benchmarks" "$SEQPAR" "$dir/results" <<-'END' || fail "the machine's own name cannot be asked for"
	import json, sys
	sys.dont_write_bytecode = True
	sys.path.insert(0, sys.argv[1])
	from comparison import machine, matrix
	with open(sys.argv[3]) as file:
	    results = json.load(file)
	results["about"]["machine"] = machine.describe(sys.argv[2], matrix.abilities(sys.argv[2]), [])
	results["about"]["matrix"].update(rows=8, gemm_repeats=1)
	with open(sys.argv[3], "w") as file:
	    json.dump(results, file)
END
run 0 python3 "$top/benchmarks/compare" --program "$SEQPAR" --no-peers --from "$dir/results" --only gemm --keep "$dir/more" -o "$dir/report.html"
grep -q 'seqpar one' "$dir/more" && grep -q 'out of memory' "$dir/more" || fail "what was kept is gone"
grep -q 'seqpar three' "$dir/more" && fail "the part that was measured again is still there"
grep -q -e '--rows 8' "$dir/more" || fail "the part was not measured again"
exit $failed

#!/bin/sh
# benchmarks/paper: plans at the paper's size, a few runs of a tiny model, and one page that tells them apart and needs nothing
# else.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute
need_ranks
top=$(cd "${srcdir:-.}" && pwd)
command -v python3 >/dev/null && command -v gnuplot >/dev/null || { echo "skipped: no python3 or no gnuplot"; exit 77; }

# paper OPTION...: plans some two hundred times, which takes longer than the others' commands may.
paper()
{
	timeout -k 5 $((limit * 5)) python3 "$top/benchmarks/paper" --program "$SEQPAR" -o "$dir/report.html" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	command="paper $*"
}

paper --quick --ranks 2 --only checks,batch,kinds --keep "$dir/results"
test $status = 0 || fail "$command: exit status $status"
for words in '<svg' '<th>ratio</th><th>printed</th>' 'Largest batch over ranks' 'stages of a pipeline' 'Longest sequence over ranks' \
	'Weak scaling' 'sparse attention' 'published ring, measured here' 'Predicted against measured' 'prefers-color-scheme: dark' \
	'<td>13.7</td><td>11.0</td>' '2 sequence, ring'; do
	grep -qF "$words" "$dir/report.html" || fail "the report lacks $words"
done
test "$(grep -c '</svg>' "$dir/report.html")" -ge 9 || fail "charts are missing"
grep -q '>None<\|>nan<' "$dir/report.html" && fail "the report has figures that are none"
grep -oE '(src|href)="?[a-z]+://[^ ]*|@import|<link|<script' "$dir/report.html" && fail "the report needs something from outside"

python3 - "$dir/results" <<'END' || fail "the results do not hold together"
import json
import os
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    results = json.load(file)
p, m = results["predicted"], results["measured"]
for row in p["batch"] + p["length"]:
    assert row["rsa"] < row["ring"], row  # scores take memory
of = {(r["model"], r["scheme"], r["ranks"]): r for r in p["batch"]}
assert of["base", "sequence", 64]["tables"] == 2980 and of["base", "tensor", 12]["tables"] == 271  # 16 GiB over Tables 1 and 2
assert 15.5 < of["base", "sequence", 64]["ring"] / of["base", "sequence", 4]["ring"] < 17.5
for row in p["weak"]:  # a count of all that half precision keeps meets Table 4, if the model is Large
    if row["scheme"] == "sequence":
        assert abs(row["counted large"] / row["printed"] - 1) < 0.04, row
first = [r for r in p["weak"] if r["scheme"] == "sequence"][0]
assert abs(first["rsa speed"] / first["printed_speed"] - 1) < 0.01
assert [c["label"] for c in m["checks"]][-1] == "2 sequence, ring" or len(m["checks"]) < 3
for check in m["checks"]:
    assert check["ms"] > 0 and check["predicted_ms"] > 0 and check["rates"]["gemm"] > 0, check
    parts = sum(v for k, v in check["time"].items() if k not in ("total", "tokens_per_s"))
    assert abs(parts / check["time"]["total"] - 1) < 1e-6, check
for row in m["batch"]:
    assert row["most"] > 0, row
    assert row["peak"] < row["cap"] or "INSTRUMENTED" in os.environ, row  # such a build takes more than is planned
assert {(r["kind"], r["S"]) for r in m["kinds"]} == {(k, s) for k in ("ring", "rsa") for s in (64, 128)}
assert all(r["error"] < 5e-6 for r in m["kinds"])
END

# The same page from what was kept, of several runs too; a command that failed makes it say so.
paper --from "$dir/results" --from "$dir/results"
test $status = 0 || fail "$command: exit status $status"
sed -i '0,/"status": 0/s//"status": 1/' "$dir/results"
paper --from "$dir/results"
test $status = 1 || fail "$command: exit status $status of a page about a failure"
complains 'paper: WRONG: rates'
grep -q 'class="wrong"' "$dir/report.html" || fail "the report hides what was wrong"
paper --only nothing
test $status = 2 || fail "$command: exit status $status"
paper --program /nonexistent
test $status = 1 || fail "$command: exit status $status"
complains 'build it, or give --program'
exit $failed

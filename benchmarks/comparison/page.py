"""The report: one HTML file with everything in it."""
import html
import re

from comparison import charts

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #57606a; --rule: #d0d7de; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0e1116; --ink: #e6edf3; --soft: #9aa4af; --rule: #30363d; --card: #161b22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 1160px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .3rem; }
p { margin: .4rem 0; max-width: 46rem; } .soft, figcaption, dt { color: var(--soft); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .6rem; margin: 1rem 0; }
.facts div { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: .6rem .8rem; }
.facts b { display: block; font-size: 1.35rem; line-height: 1.3; }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 430px), 1fr)); gap: .5rem 1.5rem; }
figure { margin: .6rem 0; min-width: 0; max-width: 600px; } figcaption { font-size: .9rem; font-weight: 600; }
svg { display: block; width: 100%; height: auto; color: var(--ink); }
table { border-collapse: collapse; font-size: .82rem; width: 100%; margin: .5rem 0; }
th, td { text-align: right; padding: .15rem .35rem; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
th, td { overflow-wrap: normal; } td:not(:first-child) { white-space: nowrap; }
@media (max-width: 560px) { table { font-size: .74rem; } th, td { padding: .15rem .2rem; } }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .9rem; } dd { margin: 0; }
@media (max-width: 560px) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
code, pre { font: .78rem/1.45 ui-monospace, monospace; white-space: pre-wrap; }
li { margin: .45rem 0; } .wrong { color: #d64c5b; font-weight: 600; }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --card: #fff; }
  body { max-width: none; font-size: 10.5pt; padding: 0; }
  figure, .facts div, tr, li { break-inside: avoid; } h2 { break-after: avoid; }
  .pair { grid-template-columns: 1fr 1fr; } }
"""


def escape(text):
    return html.escape(str(text), quote=True)


def figure(caption, svg):
    return "<figure><figcaption>%s</figcaption>%s</figure>" % (escape(caption), svg) if svg else ""


def pair(*figures):
    figures = [f for f in figures if f]
    return '<div class="pair">%s</div>' % "".join(figures) if figures else ""


def table(names, rows):
    if not rows:
        return ""
    head = "".join("<th>%s</th>" % escape(n) for n in names)
    body = "".join("<tr>%s</tr>" % "".join("<td>%s</td>" % escape(c) for c in row) for row in rows)
    return "<table><thead><tr>%s</tr></thead><tbody>%s</tbody></table>" % (head, body)


def section(title, text, *parts):
    parts = [p for p in parts if p]
    if not parts:
        return ""
    return "<section><h2>%s</h2><p>%s</p>%s</section>" % (escape(title), escape(text), "".join(parts))


SPARSE = r"\b(window|linformer)\b"  # another model: not held against one of full attention
KINDS = {"ring": 0, "allgather": 1, "ulysses": 2, "hybrid": 3, "rsa": 4, "linformer": 6, "full": 7}


def colour(kind):
    return KINDS.get(kind, 5)


class Report:
    def __init__(self, records, about):
        self.records, self.about = records, about

    def of(self, name, label=""):
        return [r for r in self.records if r["section"] == name and r["result"] and re.search(label, r["label"])]

    @staticmethod
    def rows(record, index=0):
        tables = record["result"]["tables"]
        return tables[index]["rows"] if len(tables) > index else []

    # ---- training ----

    def runs(self):
        """The short training runs."""
        return [r for r in self.of("train", r"^(cpu|cuda)") if self.rows(r)]

    def steps(self):
        """(label, row) of them."""
        return [(r["label"], self.rows(r)[0]) for r in self.runs()]

    @staticmethod
    def measured_in(record):
        """The precision of the GEMM rate that a run was held against; before runs said so it was fp32, or tf32."""
        found = re.search(r" in (\w+)", record["result"]["about"].get("gemm", ""))
        row = Report.rows(record)[0]
        return found.group(1) if found else "tf32" if row["precision"] == "tf32" else "fp32"

    def share_label(self, record):
        """A run's, and what its share is of where that is not the rate of its own precision."""
        of = self.measured_in(record)
        return record["label"] if of == self.rows(record)[0]["precision"] else "%s, of %s's" % (record["label"], of)

    def work(self):
        """Operations a token and, of each precision, operations a second at best, for putting PyTorch beside seqpar: the first
        runs'."""
        runs, rates = self.runs(), {}
        for r in runs:
            rates.setdefault(self.measured_in(r), self.rows(r)[0]["gemm"])
        row = self.rows(runs[0])[0] if runs else None
        return row["rate"] / row["speed"] if row else None, rates

    def peers(self):
        return [(r["label"], r["result"]) for r in self.of("train peer")]

    def facts(self):
        runs, peers = self.runs(), self.peers()
        facts = []
        for name in ("fp32", "bf16"):
            ours = [r for r in runs if self.rows(r)[0]["precision"] == name and not re.search(SPARSE, r["label"])]
            theirs = [p for _, p in peers if p["precision"] == name]
            if ours:
                fast = max(ours, key=lambda r: self.rows(r)[0]["speed"])
                best = self.rows(fast)[0]
                facts.append(("%.0f tokens/s" % best["speed"], "seqpar %s, %.0f %% of the GEMM rate in %s" %
                              (name, best["of gemm"], self.measured_in(fast))))
            if theirs:
                fastest = max(p["tokens_per_s"] for p in theirs)
                facts.append(("%.0f tokens/s" % fastest, "the best PyTorch %s" % name))
                if ours:
                    facts.append(("%.2f times" % (best["speed"] / fastest), "seqpar over the best PyTorch, %s" % name))
        return facts + self.attention_facts()

    def attention_facts(self):
        ours = [(r["label"], row) for r in self.of("attention", "2 ranks$") for row in self.rows(r)
                if row["kind"] == "ring" and row["pass"] == "both"]
        theirs = self.of("attention peer")
        if not ours or not theirs:
            return []
        label, row = ours[-1]
        length = int(re.search(r"\d+", label).group())
        same = [r["result"]["ms"] for r in theirs if r["result"]["length"] == length and "ms" in r["result"]]
        return [("%.1f times" % (min(same) / row["max"]), "ring attention over RSA operators, S = %d" % length)] if same else []

    def speed(self):
        operations, rates = self.work()
        steps, peers = self.steps(), self.peers()
        speeds = [(label, row["speed"], 0) for label, row in steps] + [(label, p["tokens_per_s"], 1) for label, p in peers]
        shares = [(self.share_label(r), self.rows(r)[0]["of gemm"], 0) for r in self.runs()]
        if operations:
            shares += [(label, 100 * p["tokens_per_s"] * operations / rates[p["precision"]], 1) for label, p in peers
                       if p["precision"] in rates]
        rows = [(label, "%.0f" % row["speed"], "%.0f" % row["median"], "%.1f" % row["spread"], "%.0f" % row["peak max"])
                for label, row in steps]
        rows += [(label, "%.0f" % p["tokens_per_s"], "%.0f" % p["step_ms"], "", "%.0f" % p["peak_mib"]) for label, p in peers]
        rows += [(r["label"], "%.0f" % self.rows(r)[0]["speed"], "%.0f" % self.rows(r)[0]["median"],
                  "%.1f" % self.rows(r)[0]["spread"], "%.0f" % self.rows(r)[0]["peak max"])
                 for r in self.of("train", r"^(?!cpu|cuda)") if self.rows(r)]
        m = self.about["matrix"]
        text = ("Steps of %s BERT on %d sequences of %d tokens; medians. The GEMM rate is what the library's plain product reaches "
                "at the model's own shapes with all ranks and threads at once, in the precision of the run if no other is named; the work "
                "counted is the model's own, for PyTorch too." % (m["model"], m["batch"], m["length"]))
        return section("Training", text, pair(figure("Tokens a second", charts.bars(speeds, "tokens/s")),
                                              figure("Share of the GEMM rate (mark: the aim of 80 %)", charts.bars(shares, "%", [80]))),
                       table(("configuration", "tokens/s", "step ms", "spread %", "peak MiB"), rows))

    # ---- attention ----

    def attention(self):
        curves, waits, rows = {}, [], []
        for r in self.of("attention"):
            length, ranks = (int(x) for x in re.findall(r"\d+", r["label"])[:2])
            for row in self.rows(r):
                if row["pass"] != "both":
                    continue
                curves.setdefault((row["kind"], ranks), []).append((length, row["rate"]))
                rows.append(("%s, %d rank%s, S = %d" % (row["kind"], ranks, "s" if ranks > 1 else "", length),
                             "%.1f" % row["max"], "%.0f" % row["of gemm"], "%.1f" % (row["sent"] / 2**20),
                             "%.0e" % row["error"]))
        for r in self.of("attention peer"):
            if "ms" in r["result"]:
                name = ", ".join(r["label"].split(", ")[1:])
                curves.setdefault((name, 2), []).append((r["result"]["length"], r["result"]["gflops"]))
                rows.append(("%s, 2 ranks, S = %d" % (name, r["result"]["length"]), "%.1f" % r["result"]["ms"], "", "",
                             "%.0e" % r["result"]["error"]))
        longest = self.of("attention", "2 ranks$")[-1:]
        for r in longest:
            waits = [(row["kind"], row["of time"], colour(row["kind"])) for row in self.rows(r) if row["pass"] == "both"]
        names = sorted({k for k, _ in curves}, key=lambda k: (k.startswith("RSA"), list(KINDS).index(k) if k in KINDS else 0))
        series = [("%s, %d rank%s" % (k, n, "s" if n > 1 else ""), sorted(points), colour(k), n == 1 or k.startswith("RSA"))
                  for (k, n), points in sorted(curves.items(), key=lambda c: names.index(c[0][0]))]
        text = ("Forward and backward of one layer's attention alone, 12 heads of 64, dropout 0.1, one thread a rank. Work is "
                "counted as 12 S^2 a feature, whatever a kind computes again. Exposed is the time in which a rank only waits.")
        where = " (%s)" % longest[0]["label"] if longest else ""
        return section("Attention", text, pair(
            figure("Rate over length", charts.curves(series, "S, tokens", "GFLOP/s")),
            figure("Exposed communication" + where, charts.bars(waits, "% of the time"))),
            table(("kind", "ms", "% of GEMM", "sent MiB", "error"), rows))

    def exposed(self):
        values = [(label.replace("cpu fp32, ", ""), row["of step"], 0) for label, row in self.steps() if row["ranks"] > 1]
        text = "Share of a step in which the rank that waits longest only waits for messages, by layout."
        return section("Exposed communication in training", text,
                       pair(figure("Of a step", charts.bars(values, "% of the step"))))

    # ---- the others ----

    def scaling(self):
        parts, rows = [], []
        for r in self.of("scaling"):
            for problem in ("strong", "weak"):
                own = [row for row in self.rows(r) if row["problem"] == problem]
                ideal = [(row["ranks"], row["ranks"] / own[0]["ranks"]) for row in own]
                parts.append(figure("%s scaling: speedup" % problem.capitalize(), charts.curves(
                    [("seqpar, ranks share the sequence", [(row["ranks"], row["speedup"]) for row in own], 0, False),
                     ("ideal", ideal, 7, True)], "ranks", "times", logx=False)))
                rows += [("%s, %d" % (problem, row["ranks"]), "%d" % row["S"], "%.0f" % row["speed"], "%.2f" % row["speedup"],
                          "%.0f" % row["efficiency"]) for row in own]
        text = ("The same training on more ranks of one thread each: a fixed problem (strong), and sequences that grow with the "
                "ranks (weak). Rates of work are compared, since a token of a longer sequence is more work.")
        return section("Scaling", text, pair(*parts), table(("problem, ranks", "S", "tokens/s", "speedup", "efficiency %"), rows))

    def memory(self):
        series, rows = [], []
        for r in self.of("memory"):
            ranks = sorted({row["ranks"] for row in self.rows(r)})
            for i, n in enumerate(ranks):
                own = [row for row in self.rows(r) if row["ranks"] == n and row["peak max"]]
                name = "seqpar, %d rank%s" % (n, "s" if n > 1 else "")
                series.append((name, [(row["S"], row["peak max"]) for row in own], 2 * i, False))
                series.append((name + ", planned", [(row["S"], row["planned"]) for row in own], 2 * i, True))
                rows += [("%s, S = %d" % (name, row["S"]), "%.0f" % row["planned"], "%.0f" % row["peak max"]) for row in own]
        for i, name in enumerate(sorted({r["label"].rsplit(",", 1)[0] for r in self.of("memory peer")})):
            own = [r["result"] for r in self.of("memory peer", "^" + re.escape(name) + ", ")]
            series.append((name, [(p["length"], p["peak_mib"]) for p in own], 2 * i + 1, False))
            rows += [("%s, S = %d" % (name, p["length"]), "", "%.0f" % p["peak_mib"]) for p in own]
        text = ("Resident memory of one step on one sequence, at most, of the rank that needs most, libraries included; and what "
                "seqpar had planned, which leaves libraries out.")
        return section("Memory", text, pair(figure("Memory over length", charts.curves(series, "S, tokens", "MiB", logy=True))),
                       table(("", "planned MiB", "peak MiB"), rows))

    def longest(self):
        values = []
        for r in self.of("longest"):
            for name, what in r["result"]["about"].items():
                found = re.match(r"longest sequence with (\d+) ranks", name)
                if found:
                    n = int(found.group(1))
                    values.append(("seqpar, %d rank%s" % (n, "s" if n > 1 else ""), int(what.split()[0]), 0))
        peers = {}
        for r in self.of("longest peer"):
            p, cap = r["result"], self.about["matrix"]["cap"]
            limit = float(re.match(r"[\d.]+", cap).group()) * (1024 if cap.endswith("GiB") else 1)
            name = r["label"].rsplit(",", 1)[0]
            if p["peak_mib"] <= limit:
                peers[name] = max(p["length"], peers.get(name, 0))
        values += [(name, length, 1) for name, length in sorted(peers.items())]
        room = re.sub(r"(?<=\d)(?=[A-Z])", " ", self.about["matrix"]["cap"] or "")
        text = "Found by trying, one step each: no process was ever larger than %s." % room
        return section("The longest sequence in a given memory", text,
                       pair(figure("Tokens, in %s a rank" % room, charts.bars(values, "tokens"))))

    def messages(self):
        series = {}
        for r in self.of("comm"):
            for row in self.rows(r):
                if row["busbw"]:
                    series.setdefault(row["operation"], []).append((row["size"], row["busbw"]))
        lines = [(name, [(x, y) for x, y in points if x >= 1024 and y > 0], i, False)
                 for i, (name, points) in enumerate(series.items())]
        text = "Messages between two ranks of this machine: bytes a second that each rank's link would carry."
        return section("Messages", text, pair(figure("Bus bandwidth over size",
                                                     charts.curves([(n, [(2 ** round_log(x), y) for x, y in p], i, d) for n, p, i, d in lines],
                                                                   "bytes", "GB/s", logy=True))))

    def products(self):
        groups, order = {}, []
        for r in self.of("gemm"):
            for row in self.rows(r):
                if row["layer"] in ("head", "vocabulary"):
                    continue
                key = "%s, %s" % (row["product"], row["epilogue"])
                order += [key] if key not in groups else []
                time = row["max"]
                at = groups.setdefault(key, [0.0, 0.0])
                at[0] += time
                at[1] += time * row["of gemm"] / 100
        values = [(key, 100 * groups[key][1] / groups[key][0], {"f": 0, "i": 2, "w": 4}[key[0]]) for key in order]
        text = ("The four products of a layer with what the device does in the same go, as a share of the library's plain product "
                "of those shapes; input and weight are the two of backward.")
        return section("Products", text, pair(figure("Of the plain product", charts.bars(values, "%", [100]))))

    # ---- the whole ----

    def commands(self):
        items = []
        for r in self.records:
            state = "" if not r["error"] else '<br><span class="%s">%s</span>' % (
                "soft" if r["error"].startswith("skipped") else "wrong", escape(r["error"]))
            items.append("<li><b>%s</b>: %s, %.0f s<br><code>%s</code>%s</li>" %
                         (escape(r["section"]), escape(r["label"]), r["seconds"], escape(r["command"]), state))
        return "<section><h2>Commands</h2><p>In this order, one at a time, without OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE. " \
               "Columns and formulas are in benchmarks/README.md.</p><ol>%s</ol></section>" % "".join(items)

    def wrong(self):
        """Lines about results that are wrong and commands that failed."""
        return ["%s, %s: %s" % (r["section"], r["label"], r["error"] or "failed") for r in self.records
                if r["status"] != 0 and not r["section"].endswith("peer")]

    def html(self):
        facts = "".join("<div><b>%s</b>%s</div>" % (escape(a), escape(b)) for a, b in self.facts())
        about = "".join("<dt>%s</dt><dd>%s</dd>" % (escape(k), escape(v)) for k, v in self.about["machine"].items() if v)
        bad = "".join('<p class="wrong">%s</p>' % escape(line) for line in self.wrong())
        verdict = bad or "<p>All results of seqpar were held against their references and were right.</p>"
        parts = [self.speed(), self.exposed(), self.attention(), self.scaling(), self.memory(), self.longest(), self.products(),
                 self.messages(), self.commands()]
        return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
                '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>seqpar compared</title>\n'
                "<style>%s</style>\n</head>\n<body>\n<h1>seqpar compared</h1>\n"
                '<p class="soft">%s matrix, %s</p>\n%s\n<div class="facts">%s</div>\n%s\n<section><h2>Machine and versions</h2>'
                "<dl>%s</dl></section>\n</body>\n</html>\n") % (
                    STYLE, escape(self.about["matrix"]["name"].capitalize()), escape(self.about["date"]), verdict, facts,
                    "\n".join(p for p in parts if p), about)


def round_log(x):
    """The power of two that a size is meant to be: shares of several ranks do not always divide it."""
    return max(0, int(x).bit_length() - 1 if x < 1.5 * 2 ** (int(x).bit_length() - 1) else int(x).bit_length())

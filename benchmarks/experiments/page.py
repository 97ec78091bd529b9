"""The report: one HTML file with everything in it."""
from comparison import charts
from comparison.page import STYLE, escape, figure, pair, section, table
from experiments import predicted, published

PAPER, COLOURS = 5, {"sequence": 0, "tensor": 1}
NAMES = {"tables": "its Tables 1, 2", "counted": "all counted, 16 bit", "whole": "seqpar rsa, moments whole",
         "rsa": "seqpar rsa", "ring": "seqpar ring"}


def number(x, digits=0):
    return "-" if x is None else "%.*f" % (digits, x)


def ratio(x):
    return "-" if not x else "%.1f" % x


def deviation(predicted, measured):
    return 100 * (predicted - measured) / measured


def bend(points):
    """How far the points are off the straight line through the first and the last, in per cent, at most."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    return max(100 * abs(y - y0 - (y1 - y0) * (x - x0) / (x1 - x0)) / y for x, y in points)


class Report:
    def __init__(self, results):
        self.p, self.m, self.about = results["predicted"], results["measured"], results["about"]
        self.records = results["records"]

    def wrong(self):
        return ["%s, %s: %s" % (r["section"], r["label"], r["error"] or "failed") for r in self.records if r["status"] != 0]

    # ---- facts ----

    def facts(self):
        facts = []
        for row in self.p["ratios"]:
            if row["printed"] > 2.9:
                facts.append(("%.1f : %s : %s" % (row["printed"], ratio(row["rsa"]), ratio(row["ring"])),
                              row["what"] + "; printed : predicted for rsa : for ring"))
        checks = self.m.get("checks", [])
        if checks:
            worst = max(abs(deviation(c["predicted_ms"], c["ms"])) for c in checks)
            facts.append(("%.1f %%" % worst, "predicted step time off from measured, at most of %d layouts" % len(checks)))
        if self.m.get("large"):
            worst = max(abs(deviation(c["planned"], c["peak"])) for c in self.m["large"])
            facts.append(("%.1f %%" % worst, "planned memory off from measured, at most of %d" % len(self.m["large"])))
        return facts

    # ---- predicted against measured ----

    def checks(self):
        checks = self.m.get("checks", [])
        rows = [(c["label"], number(c["S"]), number(c["predicted_ms"]), number(c["ms"]),
                 "%+.1f" % deviation(c["predicted_ms"], c["ms"]), number(c["spread"], 1), number(1e3 * c["time"]["products"]),
                 number(1e3 * c["time"]["attention"]), number(1e3 * c["time"]["head"]),
                 number(1e3 * (c["time"]["optimizer"] + c["time"]["rows"])),
                 number(1e3 * (c["time"]["sequence"] + c["time"]["tensor"] + c["time"]["gradients"] + c["time"]["pipeline"])))
                for c in checks]
        memory = [(c["label"], number(c["planned"]), number(c["peak"]), "%+.1f" % deviation(c["planned"], c["peak"]))
                  for c in self.m.get("large", [])]
        rates = [(c["label"], ) + tuple(number(c["rates"].get(k), 1) for k in
                                        ("gemm", "head", "forward", "backward", "memory", "bandwidth", "gradients", "latency", "copied"))
                 for c in checks]
        text = ("Steps of %s by seqpar plan --time, from rates of products, attention, memory and messages that seqpar bench had measured "
                "just before on as many ranks; then run, medians. Memory by seqpar plan, and the largest resident size less what "
                "libraries and program take. What follows attention in the last layer is computed for the rows that a head reads alone, so room "
                "that is planned for the others stays untouched: most where layers are few." % " ".join(self.about["matrix"]["check_model"]))
        return section("Predicted against measured, here", text,
                       table(("step", "S", "predicted ms", "measured ms", "off %", "spread %", "products", "attention", "head",
                              "update, norms", "waiting"), rows),
                       table(("memory", "planned MiB", "measured MiB", "off %"), memory),
                       table(("rates of a rank", "products GFLOP/s", "head", "attention forward", "backward", "memory GB/s",
                              "messages GB/s", "gradients", "latency us", "copied"), rates))

    # ---- ratios ----

    def ratios(self):
        rows = [(r["what"], number(r["printed"], 1)) + tuple(ratio(r[k]) for k in NAMES) for r in self.p["ratios"]]
        text = ("What the paper's text claims, and the same ratio from the predictions below. Tensor ranks beside rsa keep scores too; "
                "beside ring they keep none.")
        return section("The paper's ratios", text, table(("ratio", "printed") + tuple(NAMES.values()), rows), self.reasons())

    def reasons(self):
        r = {row["what"]: row for row in self.p["ratios"]}
        batch, large = r[published.RATIOS[0][0]], r[published.RATIOS[1][0]]
        length = r[published.RATIOS[3][0]]
        items = [
            "The tables give %s for Base and %s for Large where %.1f and %.1f are printed: of what a tensor rank holds whole they count two "
            "outputs a layer, 2 BLH, and not what norms, residuals and dropout keep. Table 4 shows it: tensor ranks of 4 need 14 %% more "
            "than the published counts of everything do, sequence ranks no more." %
            (ratio(batch["tables"]), ratio(large["tables"]), batch["printed"], large["printed"]),
            "seqpar's rsa comes to %s and %s. Its tensor ranks keep sums and normed values of both joints whole in 32 bits, so they fill up "
            "sooner than the tables say, as the paper's did; and its sequence ranks share the optimiser's moments. With those whole on "
            "every rank, as the paper has them, it comes to %s and %s: 11 to 15 %% less than printed, as its tensor ranks have no buffers for "
            "all-reduces as a GPU program has (see Table 4)." % tuple(ratio(x) for x in (batch["rsa"], large["rsa"], batch["whole"],
                                                                                     large["whole"])),
            "seqpar's ring comes to %s and %s: it keeps no scores, so of a sequence nothing is left that is not divided by the ranks. Tensor "
            "ranks without scores gain less, for what they hold whole is most of what they hold." %
            (ratio(batch["ring"]), ratio(large["ring"])),
            "In length the paper's method cannot gain much: scores grow with the square, so 64 ranks instead of 12 give %s times the length by "
            "the tables, %.1f printed. The ring's memory is a straight line in S/P, and its ratio %s." %
            (ratio(length["tables"]), length["printed"], ratio(length["ring"])),
            "All absolute sizes printed are smaller than predicted, by a third to a half. No count has a GPU's framework, its context and "
            "its allocator's fragments, which may be the reason; this was not tested.",
        ]
        return "<ul>%s</ul>" % "".join("<li>%s</li>" % escape(i) for i in items)

    # ---- the paper's figures ----

    def printed_curves(self, rows, model, x):
        """The paper's points, and seqpar's, for one model."""
        series = []
        for scheme in ("sequence", "tensor"):
            own = [r for r in rows if r["model"] == model and r["scheme"] == scheme]
            for name, colour, dashed in (("printed", PAPER + COLOURS[scheme], True), ("rsa", 2 + COLOURS[scheme], False),
                                         ("ring", COLOURS[scheme], False)):
                series.append(("%s ranks, %s" % (scheme, "paper" if name == "printed" else "seqpar " + name + ", predicted"),
                               [(r[x], r[name]) for r in own if r[name]], colour, dashed))
        return series

    def at_paper_size(self, title, text, rows, x, unit, here):
        parts = [figure("BERT %s, 16 GiB a rank" % model.capitalize(),
                        charts.curves(self.printed_curves(rows, model, x), "ranks that share a layer" if x == "ranks" else "stages",
                                      unit, logy=True)) for model in published.MODELS]
        lines = [("%s, %d %s" % (r["model"].capitalize(), r["ranks"], r["scheme"]) + (", %d stages" % r["stages"] if x == "stages" else ""),
                  number(r["printed"])) + tuple(number(r[k]) if r[k] else "-" for k in NAMES) for r in rows]
        return section(title, text, pair(*parts), table(("predicted, 16 GiB a rank", "printed") + tuple(NAMES.values()), lines), here)

    def here(self, rows, unit):
        lines = [("%d %s, %s" % (r["ranks"], r["scheme"], r["kind"]) + (", %d stages" % r["stages"] if r["stages"] > 1 else ""),
                  number(r["most"]), number(r["planned"]), number(r["peak"]), number(r["cap"]),
                  "-" if not r["peak"] else "yes" if r["peak"] <= r["cap"] else "no") for r in rows]
        m = self.about["matrix"]
        return table(("here: %s, %s a rank" % (m["model"], m["cap"]), unit, "planned MiB", "measured MiB", "cap MiB", "inside"), lines)

    def batch(self):
        text = ("Figures 3a and 7a: sequences of 512 tokens. Tensor ranks cannot be more than heads. The paper's points are read off its "
                "charts, within a fifth, but those that its text gives ratios for. Here: the most that seqpar plan says fits, and a step "
                "of it, run.")
        return self.at_paper_size("Largest batch over ranks", text, self.p["batch"], "ranks", "sequences",
                                  self.here(self.m.get("batch", []), "sequences"))

    def stages(self):
        text = ("Figures 4a and 8a: 4 ranks a layer, as many micro-batches as stages; the first stage holds all of them. 16 stages of Base's "
                "12 layers are printed; here every stage has a layer.")
        return self.at_paper_size("Largest batch over stages of a pipeline", text, self.p["stages"], "stages", "sequences",
                                  self.here(self.m.get("stages", []), "sequences"))

    def length(self):
        text = "Figures 5a and 9: 64 sequences (Base) and 16 (Large). Here: %d." % self.about["matrix"]["length_batch"]
        return self.at_paper_size("Longest sequence over ranks", text, self.p["length"], "ranks", "tokens",
                                  self.here(self.m.get("length", []), "tokens"))

    def weak(self):
        rows = [("%d %s, B = %d, S = %d" % (r["ranks"], r["scheme"], r["batch"], r["length"]),
                 number(r["printed"]) if r["printed"] else "OOM", number(r["counted large"]), number(r["counted base"]), number(r["rsa"]),
                 number(r["ring"]), number(r["printed_speed"]), number(r["rsa speed"]), number(r["ring speed"])) for r in self.p["weak"]]
        here = [("%d %s, %s, B = %d, S = %d" % (r["ranks"], r["scheme"], r["kind"], r["batch"], r["length"]), number(r["planned"]),
                 number(r["peak"]), number(r["speed"])) for r in self.m.get("weak", [])]
        text = ("Table 4, 8 stages. The paper does not say which model; its memory is that of Large in 16 bits within some per cent for "
                "sequence ranks, and not that of Base, and its tokens/s are those of figure 8b (Large), not 4b. seqpar computes in 32 "
                "bits. Speeds are predicted for a machine of which the rate of products and attention was chosen so that the first row "
                "of sequence ranks is met (%s): so they say how speed should grow, with messages behind compute, not how large it is. "
                "The paper's grows less: 2.9 times on 8 times the ranks." % (self.p["rates"] or "none found"))
        shared = ("Here: %s, %d stages, one thread a rank on %s; ranks share cores where there are more of them, so their speeds are not to be "
                  "compared across sizes." % (self.about["matrix"]["model"], self.about["matrix"]["weak_stages"],
                                              self.about["machine"]["processor"]))
        return section("Weak scaling", text,
                       table(("predicted", "printed MB", "counted, Large", "counted, Base", "seqpar rsa MB", "seqpar ring MB",
                              "printed tokens/s", "rsa tokens/s", "ring tokens/s"), rows),
                       "<p>%s</p>" % escape(shared) if here else "",
                       table(("measured here", "planned MiB", "measured MiB", "tokens/s"), here))

    def sparse(self):
        rows = self.p["sparse"]
        kinds = [k for k in rows[0] if k not in ("ranks", "printed")]
        lines = [("%d ranks" % r["ranks"], number(r["printed"])) + tuple(number(r[k]) for k in kinds) for r in rows]
        series = [("seqpar %s, predicted" % k, [(r["ranks"], r[k]) for r in rows if r[k]], i, False) for i, k in enumerate(kinds)]
        series.append(("paper, Linformer", [(r["ranks"], r["printed"]) for r in rows if r["printed"]], PAPER, True))
        text = ("Figure 5b: Base, four sequences, 16 GiB a rank, up to 32 ranks; printed are 114 thousand tokens with Linformer on 32. To how "
                "many rows it projected, and whose the projections were, is not printed; here 256 rows. Projections are as long as the "
                "sequence, and values and gradients of them are whole on every rank, as those of all weights and of positions, so more "
                "ranks do not help for ever; whole attention by the ring, and that to 256 neighbours on each side, have no such weights but positions; "
                "the first takes longer instead.")
        return section("Longest sequence with sparse attention", text,
                       pair(figure("Tokens of each of four sequences", charts.curves(series, "ranks", "tokens", logy=True))),
                       table(("predicted", "printed") + tuple(kinds), lines))

    def long(self):
        rows, measured = self.p.get("long", []), self.m.get("long", [])
        if not rows:
            return ""
        kinds = [k for k in rows[0] if k != "S"]
        series = [("%s, predicted" % k, [(r["S"], r[k]) for r in rows if r[k]], i, False) for i, k in enumerate(kinds)]
        series += [("%s, measured" % k, [(r["S"], r["peak"]) for r in measured if r["kind"] == k], i, True)
                   for i, k in enumerate(kinds) if any(r["kind"] == k for r in measured)]
        bends = ", ".join("%s %.1f %%" % (k, bend([(r["S"], r[k]) for r in rows])) for k in kinds if all(r[k] for r in rows))
        lines = [("S = %d" % r["S"],) + tuple(number(r[k]) for k in kinds) for r in rows]
        here = [("%s, S = %d" % (r["kind"], r["S"]), number(r["planned"]), number(r["peak"]), "%.2f" % (r["all"] * 2**20 / 1e9),
                 number(r["seconds"]), number(r["first"], 4), number(r["last"], 4)) for r in measured]
        text = ("One sequence of Base on %d ranks, layers computed again in backward (train.recompute=layer), moments shared. Memory of a rank "
                "is a straight line in the length; at most off it: %s. Of it a rank's share of the sequence is divided by the ranks; weights, "
                "learned positions and projections as long as the sequence are whole on each." % (predicted.LONG_RANKS, bends))
        return section("Memory against the length of one sequence", text,
                       pair(figure("Memory of a rank", charts.curves(series, "S, tokens", "MiB", logx=False))),
                       table(("predicted", ) + tuple("%s, MiB" % k for k in kinds), lines),
                       table(("measured here", "planned MiB", "a rank, MiB", "all ranks, GB", "a step, s", "first loss", "last loss"), here))

    # ---- ring and rsa, losses ----

    def kinds(self):
        rows = self.m.get("kinds", [])
        series, memory = [], []
        for i, ranks in enumerate(sorted({r["ranks"] for r in rows})):
            for kind, colour in (("ring", 0), ("rsa", 1)):
                own = [r for r in rows if r["ranks"] == ranks and r["kind"] == kind]
                name = "%s, %d ranks" % (kind, ranks)
                series.append((name, [(r["S"], r["ms"]) for r in own], colour, i > 0))
                memory.append((name, [(r["S"], r["peak"]) for r in own], colour, i > 0))
        lines = [("%s, %d ranks, S = %d" % (r["kind"], r["ranks"], r["S"]), number(r["ms"], 1), number(r["exposed"], 1),
                  number(r["sent"] / 2**20, 2), number(r["peak"], 1), "%.0e" % r["error"]) for r in rows]
        text = ("One layer's attention, %s, dropout 0.1, forward and backward, one sequence, one thread a rank. Memory is that of one layer's "
                "attention on a rank; rsa's scores are kept by every layer." % " ".join(self.about["matrix"]["kinds_model"]))
        return section("The ring beside the published ring, measured here", text,
                       pair(figure("Time", charts.curves(series, "S, tokens", "ms", logy=True)),
                            figure("Memory", charts.curves(memory, "S, tokens", "MiB", logy=True))),
                       table(("kind", "ms", "waited ms", "sent MiB", "memory MiB", "error"), lines))

    def convergence(self):
        runs = self.m.get("convergence", [])
        if not runs:
            return ""

        def curves(index, title):
            return figure(title, charts.curves([(run["label"], [(e[0], e[index]) for e in run["evals"] if e[index] is not None], i, i > 0)
                                                for i, run in enumerate(runs)], "steps", "loss", logx=False, few=True))

        first = runs[0]
        rows = []
        for run in runs:
            apart = max(abs(a[1] - b[1]) / b[1] for a, b in zip(run["steps"], first["steps"]))
            last, own = run["evals"][-1], max(abs(a[1] - b[1]) / b[1] for a, b in zip(run["evals"], first["evals"]))
            rows.append((run["label"], number(run["evals"][0][1], 4), number(last[1], 4), number(last[2], 4), number(last[3], 3),
                         "%.1e" % apart, "%.1e" % own))
        m = self.about["matrix"]
        text = ("Figure 6: the same model (%s) from the same seed on the same English text, %d steps of %d sequences of %d tokens, dropout 0.1; "
                "losses on held-out text. The paper's two curves end near 5.8 and 6.3 (words) and 0.2 and 0.3 (order of sentences) "
                "after 50 thousand steps of Large; where layouts compute the same they may not differ by more than rounding." %
                (" ".join(m["text_model"]), m["steps"], m["text_batch"], m["text_length"]))
        return section("Learning", text, pair(curves(1, "Masked words"), curves(2, "Order of sentences")),
                       table(("layout", "first loss", "last loss, words", "order", "order right", "steps apart, at most",
                              "evaluations apart, at most"), rows))

    # ---- the whole ----

    def commands(self):
        items = "".join("<li>%s: %s, %.0f s<br><code>%s</code>%s</li>" % (
            escape(r["section"]), escape(r["label"]), r["seconds"], escape(r["command"]),
            '<br><span class="wrong">%s</span>' % escape(r["error"]) if r["error"] else "") for r in self.records)
        return "<section><h2>Commands</h2><p>%d plans by seqpar plan --json and --paper; then, in this order, one at a time:</p>" \
               "<ol>%s</ol></section>" % (self.p["plans"], items)

    def html(self):
        facts = "".join("<div><b>%s</b>%s</div>" % (escape(a), escape(b)) for a, b in self.facts())
        about = "".join("<dt>%s</dt><dd>%s</dd>" % (escape(k), escape(v)) for k, v in self.about["machine"].items() if v)
        bad = "".join('<p class="wrong">%s</p>' % escape(line) for line in self.wrong())
        lead = ("<p>Li, Xue, Baranwal, Li and You, <i>Sequence Parallelism: Long Sequence Training from System Perspective</i> (ACL 2023), "
                "measured on up to 64 P100 of 16 GB. <b>Printed</b> is what they print. <b>Predicted</b> is arithmetic: seqpar plan for this "
                "program, their Tables 1 and 2, and a count of all that half precision keeps (Korthikanti et al. 2022). <b>Measured</b> was "
                "run on the machine named below.</p>")
        parts = [self.ratios(), self.checks(), self.batch(), self.stages(), self.length(), self.weak(), self.sparse(), self.long(), self.kinds(),
                 self.convergence(), self.commands()]
        return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
                '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Sequence parallelism, again</title>\n'
                "<style>%s</style>\n</head>\n<body>\n<h1>Sequence parallelism, again</h1>\n"
                '<p class="soft">%s, %s</p>\n%s%s\n<div class="facts">%s</div>\n%s\n<section><h2>Machine and versions</h2>'
                "<dl>%s</dl></section>\n</body>\n</html>\n") % (
                    STYLE, escape(self.about["matrix"]["name"].capitalize()), escape(self.about["date"]), lead, bad, facts,
                    "\n".join(p for p in parts if p), about)

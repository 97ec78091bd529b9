"""The same experiments at the size of this machine: what is planned here is then run."""
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import tempfile

from comparison.matrix import cores
from comparison.run import environment, machine_memory
from experiments import words as made_up
from experiments.predicted import KINDS, LONG_KINDS, LONG_RANKS, long_words

# cap: memory of a rank; model: of the experiments in it. checks: layers of `check_model` whose step is predicted and timed.
QUICK = dict(name="quick", model="tiny", cap="160MiB", length=64, ranks=[1, 2], stages=[1], length_batch=8,
             weak=[(1, 4, 32)], weak_stages=2, weak_micro=2, repeats=1, check_kinds=["ring"], check_more=False,
             check_model=["model.preset=tiny", "model.vocab_size=2000"], check_length=64, check_batch=4, check_repeats=2, check_rounds=1, check_rows=64, large=[],
             kinds=[64, 128], kinds_ranks=[2], kinds_model=["model.preset=tiny"], kinds_repeats=1,
             long=[256], long_model="tiny", steps=10, text_length=64, text_batch=8, text_words=600, text_model=["model.preset=tiny"], text_rate="1e-3")
FULL = dict(name="full", model="mini", cap="512MiB", length=512, ranks=[1, 2, 4, 8], stages=[1, 2, 4], length_batch=16,
            weak=[(1, 8, 512), (2, 16, 512), (4, 32, 512), (1, 8, 256), (2, 8, 512), (4, 8, 1024)], weak_stages=2, weak_micro=4,
            repeats=3, check_kinds=["ring", "rsa", "allgather", "ulysses"], check_more=True,
            check_model=["model.preset=base", "model.layers=3"], check_length=1024, check_batch=1, check_repeats=2, check_rounds=3,
            check_rows=1024,
            large=[(1, "base, 4 sequences", ["model.preset=base", "train.sequence_length=512", "train.micro_batch=4"]),
                   (2, "base, 4 sequences of 1024, 2 sequence, ring", ["model.preset=base", "train.sequence_length=1024",
                    "train.micro_batch=4", "parallel.sequence=2"]),
                   (2, "small, 24 sequences, 2 sequence, rsa", ["model.preset=small", "train.sequence_length=512", "train.micro_batch=24",
                    "parallel.sequence=2", "parallel.attention=rsa"]),
                   (2, "small, 40 sequences, 2 tensor", ["model.preset=small", "train.sequence_length=512", "train.micro_batch=40",
                    "parallel.tensor=2"]),
                   (2, "small, 40 sequences, 2 tensor, last layer whole", ["model.preset=small", "train.sequence_length=512",
                    "train.micro_batch=40", "parallel.tensor=2", "train.last_layer=all"])],
            kinds=[512, 1024, 2048, 4096, 8192], kinds_ranks=[2, 4], kinds_model=["model.hidden=256", "model.heads=4"],
            kinds_repeats=3, long=[16384, 131072], long_model="base", steps=400, text_length=128, text_batch=16, text_words=4096,
            text_model=["model.layers=2", "model.hidden=128", "model.heads=2", "model.intermediate=512", "model.norm=pre"],
            text_rate="8e-4")

SCHEMES = ("sequence", "tensor")
EXPERIMENTS = ("checks", "large", "kinds", "batch", "stages", "length", "weak", "convergence", "long")
LONG_VOCAB = 30522  # rows of the word table, whatever the text's vocabulary: BERT's
HOURS = ("long", )  # only where it is asked for


class Here:
    def __init__(self, run, plans, matrix, ranks):
        """ranks: at most so many at a time."""
        self.run, self.plans, self.m, self.most = run, plans, matrix, ranks
        self.base, self.rates = {}, {}

    # ---- words ----

    def common(self):
        return ["backend.device=cpu", "data.short_seq_prob=0"]

    def fits_machine(self, ranks, each):
        return ranks <= self.most and ranks * each <= 0.7 * machine_memory()

    def train(self, section, label, ranks, words, repeats=1, warm_up=0, timed=False):
        """A record of bench train; its row, or None. Where time counts no other program may be in the way: --prefix."""
        launch = ["launch", "-n", str(ranks), "--"] if ranks > 1 else []
        with contextlib.nullcontext() if timed else self.run.without_prefix():
            record = self.run.run(section, label, [self.run.program] + launch + ["bench", "train", "--json", "--no-check", "--repeats",
                                  str(repeats), "--warm-up", str(warm_up)] + self.common() + words)
        return self.row(record)

    @staticmethod
    def row(record, index=0):
        tables = record["result"]["tables"] if record["result"] else []
        return tables[0]["rows"][index] if tables and tables[0]["rows"] else None

    def bench(self, section, label, ranks, words):
        """With real-time priority or whatever --prefix says."""
        launch = ["launch", "-n", str(ranks), "--"] if ranks > 1 else []
        return self.run.run(section, label, [self.run.program] + launch + ["bench"] + words + ["backend.device=cpu"])

    # ---- libraries and program ----

    def libraries(self, ranks):
        """MiB that a run takes beside its plan: of a layer of base with 32 words, as in benchmarks/memory."""
        if ranks not in self.base:
            row = self.train("libraries", "%d ranks" % ranks, ranks,
                             ["model.layers=1", "model.hidden=768", "model.heads=12", "model.intermediate=3072", "model.vocab_size=32",
                              "model.max_positions=128", "train.sequence_length=128", "train.micro_batch=4",
                              "train.global_batch=%d" % (4 * ranks)])
            self.base[ranks] = row["peak max"] - row["planned"] if row else 0
        return self.base[ranks]

    # ---- rates ----

    def measured_rates(self, ranks, threads, kind, words, length, batch):
        """What --time wants, of one of `ranks` ranks while all are at work, as a dictionary."""
        words = words + ["backend.threads=%d" % threads]
        found = self.product_rates(ranks, threads, length, batch, words)
        found.update(self.once(self.memory_rate, ranks, threads))
        if ranks > 1:
            found.update(self.once(self.message_rates, ranks))
        found.update(self.attention_rates(ranks, threads, kind, length, batch, words, found.get("bandwidth", 0)))
        return found

    def once(self, measure, *what):
        key = (measure.__name__, str(what))
        if key not in self.rates:
            self.rates[key] = measure(*what)
        return self.rates[key]

    def product_rates(self, ranks, threads, length, batch, words):
        rows = min(max(1, batch * length // ranks), self.m["check_rows"])
        record = self.bench("rates", "%d x %d: products of %d rows" % (ranks, threads, rows), ranks,
                            ["gemm", "--json", "--cold", "--warm-up", "1", "--repeats", "3", "--rows", str(rows)] + words)
        return gemm_rates(record["result"])

    def attention_rates(self, ranks, threads, kind, length, batch, words, bandwidth):
        record = self.bench("rates", "%d x %d: %s, S = %d" % (ranks, threads, kind, length), ranks,
                            ["attention", "--json", "--only", kind if ranks > 1 else "full", "--repeats", "3",
                             "train.sequence_length=%d" % length, "train.micro_batch=%d" % batch, "train.global_batch=%d" % batch,
                             "model.max_positions=%d" % max(512, length)] + words)
        return attention_rates(record["result"], ranks, bandwidth)

    def memory_rate(self, ranks, threads):
        launch = ["launch", "-n", str(ranks), "--"] if ranks > 1 else []
        done = subprocess.run(self.run.prefix + [self.run.program] + launch + ["info", "--measure", "backend.device=cpu",
                              "backend.threads=%d" % threads], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=environment(), check=False)
        found = re.search(r"memory +([\d.]+) GB/s", done.stdout)
        return dict(memory=float(found.group(1)) / ranks) if found else {}

    def message_rates(self, ranks):
        """Latency of the smallest message; what the largest leaves of bandwidth, of activations' size and of gradients'. Processors carry
        what ranks of one machine send each other."""
        rows = {}
        for name, most in (("exchange", "4MiB"), ("reduce_scatter", "32MiB"), ("all_gather", "32MiB")):
            record = self.bench("rates", "%d ranks: %s" % (ranks, name), ranks,
                                ["comm", "--json", "--only", name, "--least", "64", "--most", most, "--repeats", "9"])
            rows[name] = record["result"]["tables"][0]["rows"] if record["result"] else []
        if not all(rows.values()):
            return {}
        small, large = rows["exchange"][0], rows["exchange"][-1]
        sums = [rows["reduce_scatter"][-1], rows["all_gather"][-1]]
        sent = sum(row["size"] for row in sums) * (ranks - 1) / ranks
        return dict(latency=small["max"], bandwidth=large["size"] / max(1e-9, large["max"] - small["max"]) / 1e3,
                    gradients=sent / sum(row["max"] for row in sums) / 1e3, copied=1)

    # ---- the experiments ----

    def checks(self):
        """Steps and memory, predicted from rates that were just measured, and run."""
        out, m, both = [], self.m, cores()
        length, batch = m["check_length"], m["check_batch"]
        half = max(1, both // 2)
        cases = [("1 rank x %d" % both, 1, both, "full", []), ("1 rank x 1", 1, 1, "full", [])]
        for kind in m["check_kinds"]:
            cases.append(("2 sequence, %s" % kind, 2, half, kind, ["parallel.sequence=2", "parallel.attention=" + kind]))
        if m["check_more"]:
            cases += [("2 tensor", 2, half, "ring", ["parallel.tensor=2"]),
                      ("2 data", 2, half, "ring", ["train.global_batch=%d" % (2 * batch)]),
                      ("2 pipeline, 2 micro-batches", 2, half, "ring",
                       ["parallel.pipeline=2", "train.micro_batch=1", "train.global_batch=2"])]
        for label, ranks, threads, kind, words in cases:
            if ranks > min(self.most, both):
                continue
            out.append(self.check(label, ranks, threads, kind, words, length, batch))
        if both > 1 and self.most > 1 and m["check_more"]:
            out.append(self.check("2 sequence, ring, S = %d" % (2 * length), 2, half, "ring", ["parallel.sequence=2"], 2 * length, 1))
            out.append(self.check("2 sequence, rsa, S = %d" % (2 * length), 2, half, "rsa",
                                  ["parallel.sequence=2", "parallel.attention=rsa"], 2 * length, 1))
        return [c for c in out if c]

    def check(self, label, ranks, threads, kind, words, length, batch):
        """Rates and steps in turn, several times: a machine that others share is not as fast at one moment as at the next."""
        m, rounds, steps = self.m, [], []
        shape = ["train.sequence_length=%d" % length, "model.max_positions=%d" % max(512, length), "train.micro_batch=%d" % batch,
                 "train.global_batch=%d" % batch]
        words = m["check_model"] + shape + words
        needed = {"gemm", "forward", "backward"} | ({"bandwidth"} if ranks > 1 else set())
        for _ in range(m["check_rounds"]):
            rounds.append(self.measured_rates(ranks, threads, kind, m["check_model"], length, batch))
            row = self.train("check", label, ranks, words + ["backend.threads=%d" % threads], m["check_repeats"], 2, timed=True)
            if not row or not needed <= set(rounds[-1]):
                return None
            steps.append(row)
        rates = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
        plan = self.plans.plan(ranks, self.common() + words, rates=time_words(rates))
        if not plan:
            return None
        return dict(label=label, S=length, predicted_ms=1e3 * plan["time"]["total"], ms=statistics.median(s["median"] for s in steps),
                    spread=max(s["spread"] for s in steps), time=plan["time"], rates=rates, planned=steps[0]["planned"],
                    peak=max(s["peak max"] for s in steps) - self.libraries(ranks))

    def large(self):
        """Memory alone, of configurations of two GiB and more."""
        out = []
        for ranks, label, words in self.m["large"]:
            batch = re.search(r"micro_batch=(\d+)", " ".join(words)).group(1)
            length = re.search(r"sequence_length=(\d+)", " ".join(words)).group(1)
            words = words + ["train.global_batch=" + batch, "model.max_positions=%d" % max(512, int(length))]
            plan = self.plans.plan(ranks, self.common() + words)
            if not plan or not self.fits_machine(ranks, plan["total"]):
                continue
            row = self.train("memory", label, ranks, words)
            if row:
                out.append(dict(label=label, planned=row["planned"], peak=row["peak max"] - self.libraries(ranks)))
        return out

    def fitting(self, section, axis, scheme, kind, ranks, stages=1):
        """Plans the most that fits into the cap, and runs a step of it."""
        m, world = self.m, ranks * stages
        batch = m["length_batch"] if axis == "length" else stages
        words = ["model.preset=" + m["model"], "train.sequence_length=%d" % (64 if axis == "length" else m["length"]),
                 "train.micro_batch=%d" % (batch // stages), "train.global_batch=%d" % batch, "model.max_positions=512",
                 "parallel.%s=%d" % (scheme, ranks), "parallel.attention=" + kind, "parallel.pipeline=%d" % stages]
        plan = self.plans.plan(world, self.common() + words, m["cap"])
        if not plan:
            return None
        fits, n = plan["fitting"], plan["fitting"]["longest" if axis == "length" else "micro_batch"]
        row = dict(scheme=scheme, kind=kind, ranks=ranks, stages=stages, most=n if axis == "length" else fits["global_batch"],
                   cap=fits["memory"] / 2**20, peak=None, planned=None)
        if not n or not self.fits_machine(world, fits["memory"]):
            return row
        if axis == "length":
            more = ["train.sequence_length=%d" % n, "model.max_positions=%d" % max(512, n)]
        else:
            more = ["train.micro_batch=%d" % n, "train.global_batch=%d" % fits["global_batch"]]
        got = self.train(section, "%d %s, %s, %d stages: %d" % (ranks, scheme, kind, stages, n), world,
                         words + more + ["backend.threads=1"])
        if got:
            row.update(peak=got["peak max"], planned=got["planned"], speed=got["speed"])
        return row

    def most_that_fits(self, section, axis, stages=(1,)):
        out = []
        for kind in KINDS:
            for scheme in SCHEMES:
                for n in self.m["ranks"]:
                    if (scheme == "tensor" and n == 1 and stages == (1,)) or (axis == "length" and n > 4):
                        continue
                    for s in stages:
                        if n * s <= self.most and (stages == (1,) or n == 2):
                            out.append(self.fitting(section, axis, scheme, kind, n, s))
        return [r for r in out if r]

    def batch(self):
        return self.most_that_fits("batch", "batch")

    def stages(self):
        return self.most_that_fits("stages", "batch", tuple(self.m["stages"]))

    def length(self):
        return self.most_that_fits("length", "length")

    def weak(self):
        """Table 4: a batch, then a length, that grows with the ranks; both at a fixed number of stages."""
        out, m = [], self.m
        for size, batch, length in m["weak"]:
            for scheme, kind in (("tensor", "rsa"), ("sequence", "rsa"), ("sequence", "ring")):
                world = size * m["weak_stages"]
                if world > self.most:
                    continue
                words = ["model.preset=" + m["model"], "train.sequence_length=%d" % length, "model.max_positions=%d" % max(512, length),
                         "train.micro_batch=%d" % (batch // m["weak_micro"]), "train.global_batch=%d" % batch,
                         "parallel.%s=%d" % (scheme, size), "parallel.pipeline=%d" % m["weak_stages"], "parallel.attention=" + kind,
                         "backend.threads=1"]
                row = self.train("weak", "%d %s, %s, B = %d, S = %d" % (size, scheme, kind, batch, length), world, words,
                                 m["repeats"], 1, timed=True)
                if row:
                    out.append(dict(scheme=scheme, kind=kind, ranks=size, batch=batch, length=length, planned=row["planned"],
                                    peak=row["peak max"], speed=row["speed"]))
        return out

    def kinds(self):
        """The ring beside the published one: time, waiting, memory, over lengths."""
        out, m = [], self.m
        for ranks in [n for n in m["kinds_ranks"] if n <= self.most]:
            for length in m["kinds"]:
                for kind in ("ring", "rsa"):
                    repeats = m["kinds_repeats"] if length < 8192 else 1
                    words = ["attention", "--json", "--only", kind, "--repeats", str(repeats), "train.sequence_length=%d" % length,
                             "train.micro_batch=1", "train.global_batch=1", "model.max_positions=%d" % max(512, length), "backend.threads=1"]
                    record = self.bench("kinds", "%d ranks, %s, S = %d" % (ranks, kind, length), ranks, words + m["kinds_model"])
                    rows = record["result"]["tables"][0]["rows"] if record["result"] else []
                    for row in rows:
                        if row["pass"] == "both" and row["kind"] == kind:
                            out.append(dict(kind=kind, ranks=ranks, S=length, ms=row["max"], exposed=row["exposed"], sent=row["sent"],
                                            peak=row["peak"], error=row["error"]))
        return out

    # ---- one long sequence ----

    def long(self):
        """Two steps of each kind that does not compare every token with every other: does it fit, and does it learn?"""
        scratch = tempfile.mkdtemp(prefix="seqpar-paper-")
        try:
            return [row for length in self.m["long"] for row in self.long_of(length, scratch)]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            for record in self.run.records:
                record["command"] = record["command"].replace(scratch, "DIR")

    def long_of(self, length, scratch):
        out, m, text = [], self.m, os.path.join(scratch, "%d.txt" % length)
        made_up.write(text, 4, length + length // 8)
        vocab, tokens = self.tokenize(text, 8192, scratch)
        for kind in LONG_KINDS:
            if kind != "ring":
                words = long_words(m["long_model"], kind, LONG_RANKS, length) + [
                    "model.sentence_order=false", "optimizer.lr=5e-4", "optimizer.warmup_fraction=0", "backend.threads=1",
                    "backend.timeout=0", "data.source=" + tokens, "data.vocab=" + vocab, "data.split=1,0,0",
                    "model.vocab_size=%d" % LONG_VOCAB]
                row = self.train("long", "%s, S = %d" % (kind, length), LONG_RANKS, words, 2)
                if row:
                    out.append(dict(kind=kind, S=length, planned=row["planned"], peak=row["peak max"], all=LONG_RANKS * row["peak avg"],
                                    seconds=1e-3 * row["median"], first=row["loss first"], last=row["loss last"]))
        return out

    # ---- learning ----

    def convergence(self, text):
        """Losses on held-out text of the same model under several layouts."""
        if not text:
            return []
        scratch = tempfile.mkdtemp(prefix="seqpar-paper-")
        try:
            return self.learn(text, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def tokenize(self, text, size, scratch):
        """Its vocabulary and token file."""
        vocab, tokens = os.path.join(scratch, "vocab.txt"), os.path.join(scratch, "tokens")
        for words in (["vocab", "--size", str(size), "-o", vocab, text], ["tokenize", "--vocab", vocab, "-o", tokens, text]):
            done = subprocess.run([self.run.program] + words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                raise SystemExit("paper: %s: %s" % (text, done.stderr.strip()))
        return vocab, tokens

    def learn(self, text, scratch):
        vocab, tokens = self.tokenize(text, self.m["text_words"], scratch)
        runs = []
        for label, ranks, more in (("1 rank", 1, []), ("2 sequence ranks, ring", 2, ["parallel.sequence=2"]),
                                   ("2 sequence ranks, rsa", 2, ["parallel.sequence=2", "parallel.attention=rsa"]),
                                   ("2 tensor ranks", 2, ["parallel.tensor=2"])):
            if ranks <= self.most:
                runs.append(self.learn_one(label, ranks, more, scratch, vocab, tokens))
        return [r for r in runs if r]

    def learn_one(self, label, ranks, more, scratch, vocab, tokens):
        m, log = self.m, os.path.join(scratch, "log.jsonl")
        launch = ["launch", "-n", str(ranks), "--"] if ranks > 1 else []
        words = ["train", "data.source=" + tokens, "data.vocab=" + vocab, "data.split=19,1,0", "model.sentence_order=true",
                 "model.max_positions=%d" % m["text_length"], "train.sequence_length=%d" % m["text_length"],
                 "train.global_batch=%d" % m["text_batch"], "train.micro_batch=%d" % m["text_batch"], "train.iters=%d" % m["steps"],
                 "train.eval_interval=%d" % max(1, m["steps"] // 20), "train.eval_iters=8", "optimizer.lr=" + m["text_rate"],
                 "optimizer.beta2=0.98", "log.interval=%d" % m["steps"], "backend.device=cpu", "backend.threads=1",
                 "log.metrics=" + log]
        with self.run.without_prefix():
            record = self.run.run("convergence", label, [self.run.program] + launch + words + m["text_model"] + more, lines=log)
        record["command"] = record["command"].replace(scratch, "DIR")
        events = record["result"] or []
        steps = [(e["step"], e["loss"]) for e in events if e["event"] == "step"]
        evals = [(e["step"], e["loss"], e.get("order_loss"), e.get("order_accuracy")) for e in events if e["event"] == "eval"]
        record["result"] = dict(steps=len(steps))
        return dict(label=label, steps=steps, evals=evals) if evals else None


def gemm_rates(result):
    """What a layer's products and the head's reach on the slowest rank, for which the others wait, each with what training does in
    the same go."""
    epilogues = {("qkv", "forward"): "bias", ("qkv", "weight"): "bias", ("mlp in", "forward"): "bias, gelu",
                 ("mlp out", "input"): "gelu, bias"}
    work, time = dict(gemm=0.0, head=0.0), dict(gemm=0.0, head=0.0)
    for row in result["tables"][0]["rows"] if result else []:
        if row["epilogue"] != epilogues.get((row["layer"], row["product"]), "none"):
            continue
        name = "head" if row["layer"] in ("head", "vocabulary") else "gemm"
        work[name] += 2 * row["t"] * row["n"] * row["k"]
        time[name] += row["max"] * 1e-6
    return {name: work[name] / time[name] / 1e9 for name in work if time[name]}


def attention_rates(result, ranks, bandwidth):
    """Of a rank, in what is neither waiting nor sending: what is sent takes the processor's time, waited for or not."""
    found = {}
    for row in result["tables"][0]["rows"] if result else []:
        if row["pass"] in ("forward", "backward"):
            messages = row["sent"] / bandwidth * 1e-6 if bandwidth else 0
            busy = max(row["max"] - max(row["exposed"], messages), 1e-6)
            found[row["pass"]] = row["rate"] / ranks * row["max"] / busy
    return found


def time_words(rates):
    return ",".join("%s=%.6g" % pair for pair in rates.items())


def measure(run, plans, matrix, ranks, text, only, keep):
    """The experiments named by `only`, or all. `keep` is called with what there is after each experiment."""
    here, out = Here(run, plans, matrix, ranks), {}
    for name in EXPERIMENTS:
        if name in only if only else name not in HOURS:
            out[name] = here.convergence(text) if name == "convergence" else getattr(here, name)()
            out["libraries"] = {str(n): mib for n, mib in here.base.items()}
            keep(out)
    return out

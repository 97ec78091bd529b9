"""The paper's figures at the paper's size, by seqpar plan, by the paper's tables and by counting everything."""
import json
import re
import subprocess
import sys

from comparison.run import environment
from experiments import accounting, published

GIB = 2**30
WHOLE = ["parallel.optimizer_shard=false"]  # moments on every sequence rank, as in the paper
# What is used where one sequence is long: its layers computed again, and no scores anywhere.
LONG = ["train.micro_batch=1", "train.global_batch=1", "train.recompute=layer", "data.short_seq_prob=0"]
LONG_KINDS = {"ring": ["parallel.attention=ring"],
              "linformer": ["parallel.attention=linformer", "model.linformer_k=256", "model.linformer_share=model"],
              "window": ["parallel.attention=window", "model.window=256"]}
LONG_RANKS, LONG_LENGTHS = 4, (16384, 32768, 65536, 98304, 131072)

KINDS = ("rsa", "ring")  # of sequence ranks; tensor ranks that keep scores are rsa's of one rank, the others ring's


class Plans:
    """seqpar plan, without starting anything."""

    def __init__(self, program):
        self.program, self.commands, self.known = program, 0, {}

    def text(self, words):
        self.commands += 1
        done = subprocess.run([self.program, "plan"] + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment())
        return done.stdout if done.returncode == 0 else ""

    def plan(self, ranks, words, memory=None, rates=None):
        """What --json prints, or None if the ranks cannot be shared out so, or nothing fits."""
        options = ["--json", "-n", str(ranks)] + (["--memory", memory] if memory else []) + (["--time", rates] if rates else [])
        key = " ".join(options + words)
        if key not in self.known:
            text = self.text(options + words)
            self.known[key] = json.loads(text) if text else None
        return self.known[key]

    def tables(self, model, scheme, ranks, batch, length, memory, stages=1):
        """(largest batch, longest sequence) by Tables 1 and 2; (None, None) if heads cannot be shared out."""
        words = ["--paper", "-n", str(ranks), "--memory", memory, "model.preset=" + model, "train.sequence_length=%d" % length,
                 "train.micro_batch=%d" % batch, "train.global_batch=%d" % batch, "parallel.pipeline=%d" % stages]
        found = re.search(r"^%s ranks +(\d+) +(\d+)$" % scheme, self.text(words), re.M)
        return tuple(int(x) for x in found.groups()) if found else (None, None)


def layout(model, scheme, kind, ranks, batch, length, stages=1, micro_batches=1):
    return ["model.preset=" + model, "train.sequence_length=%d" % length, "train.micro_batch=%d" % max(1, batch // micro_batches),
            "train.global_batch=%d" % (max(1, batch // micro_batches) * micro_batches), "parallel.%s=%d" % (scheme, ranks),
            "parallel.attention=" + kind, "parallel.pipeline=%d" % stages, "data.short_seq_prob=0",
            "model.max_positions=%d" % max(512, length)]


def fitting(plans, model, scheme, kind, ranks, batch, length, memory, stages=1, more=()):
    """A plan's `fitting`; zeros if the ranks cannot have it."""
    got = plans.plan(ranks * stages, layout(model, scheme, kind, ranks, batch, length, stages, stages) + list(more), memory)
    return got["fitting"] if got else dict(longest=0, micro_batch=0, global_batch=0)


def of_batch(plans):
    rows = []
    for model, shape in published.MODELS.items():
        for scheme, points in published.BATCH[model].items():
            for ranks, printed in points.items():
                row = dict(model=model, scheme=scheme, ranks=ranks, printed=printed,
                           tables=plans.tables(model, scheme, ranks, 1, published.LENGTH, published.MEMORY)[0],
                           counted=accounting.largest_batch(shape, scheme, ranks, published.LENGTH, 16 * GIB))
                for kind in KINDS:
                    row[kind] = fitting(plans, model, scheme, kind, ranks, 1, published.LENGTH, published.MEMORY)["micro_batch"]
                row["whole"] = fitting(plans, model, scheme, "rsa", ranks, 1, published.LENGTH, published.MEMORY,
                                       more=WHOLE)["micro_batch"]
                rows.append(row)
    return rows


def of_stages(plans):
    rows = []
    for model, shape in published.MODELS.items():
        for scheme, points in published.STAGES[model].items():
            for stages, printed in points.items():
                row = dict(model=model, scheme=scheme, ranks=4, stages=stages, printed=printed, tables=None, counted=None)
                if stages <= shape["layers"]:
                    row["tables"] = plans.tables(model, scheme, 4, 1, published.LENGTH, published.MEMORY, stages)[0]
                    row["counted"] = accounting.largest_batch(shape, scheme, 4, published.LENGTH, 16 * GIB, stages)
                for kind in KINDS:
                    row[kind] = fitting(plans, model, scheme, kind, 4, stages, published.LENGTH, published.MEMORY,
                                        stages)["global_batch"]
                row["whole"] = fitting(plans, model, scheme, "rsa", 4, stages, published.LENGTH, published.MEMORY, stages,
                                       WHOLE)["global_batch"]
                rows.append(row)
    return rows


def of_length(plans):
    rows = []
    for model, shape in published.MODELS.items():
        batch = published.LENGTH_BATCH[model]
        for scheme, points in published.LENGTHS[model].items():
            for ranks, printed in points.items():
                row = dict(model=model, scheme=scheme, ranks=ranks, batch=batch, printed=printed,
                           tables=plans.tables(model, scheme, ranks, batch, 64, published.MEMORY)[1],
                           counted=accounting.longest(shape, scheme, ranks, batch, 16 * GIB))
                for kind in KINDS:
                    row[kind] = fitting(plans, model, scheme, kind, ranks, batch, 64, published.MEMORY)["longest"]
                row["whole"] = fitting(plans, model, scheme, "rsa", ranks, batch, 64, published.MEMORY, more=WHOLE)["longest"]
                rows.append(row)
    return rows


# Of a P100 on the paper's network, assumed: HBM2, and what an Aries link carries, twice, as half-precision messages are half as
# long as the plan's. Products and attention: from the first row of Table 4.
ASSUMED = "memory=500,latency=5,bandwidth=16"


def rates_of_p100(plans):
    """With which seqpar's rsa would have the tokens/s of one rank a layer and 8 stages of Table 4."""
    size, batch, length, _, _, _, speed = published.WEAK[0]
    words = layout("large", "sequence", "rsa", size, batch, length, published.WEAK_STAGES, published.WEAK_STAGES)
    low, high = 1.0, 1e6
    while high / low > 1.0005:
        gemm = (low * high) ** 0.5
        got = plans.plan(size * published.WEAK_STAGES, words, rates="gemm=%g,attention=%g,%s" % (gemm, gemm, ASSUMED))
        if not got:
            return None
        low, high = (gemm, high) if got["time"]["tokens_per_s"] < speed else (low, gemm)
    return "gemm=%.4g,attention=%.4g,%s" % (gemm, gemm, ASSUMED)


def of_weak(plans, rates):
    """Table 4. The model is not named there; large is what its memory and its speed (figure 8b) fit."""
    rows, stages = [], published.WEAK_STAGES
    for size, batch, length, tensor_mb, tensor_speed, sequence_mb, sequence_speed in published.WEAK:
        for scheme, printed, speed in (("tensor", tensor_mb, tensor_speed), ("sequence", sequence_mb, sequence_speed)):
            row = dict(scheme=scheme, ranks=size, batch=batch, length=length, printed=printed, printed_speed=speed)
            for model, shape in published.MODELS.items():
                row["counted " + model] = accounting.need(shape, scheme, size, batch, length, stages) / 1e6
            for kind in KINDS:
                got = plans.plan(size * stages, layout("large", scheme, kind, size, batch, length, stages, stages), rates=rates)
                row[kind] = (got["total"] + got["base"]) / 1e6 if got else None
                row[kind + " speed"] = got["time"]["tokens_per_s"] if got and rates else None
            rows.append(row)
    return rows


def of_sparse(plans):
    """The longest of four sequences, base: whole attention by rings, and Linformer's to 256 rows with projections of each layer or
    of the model; the paper names neither. And to 256 neighbours on each side."""
    rows = []
    kinds = {"rsa": ["rsa"], "ring": ["ring"], "linformer, a layer's": ["linformer", "model.linformer_share=layer"],
             "linformer, the model's": ["linformer", "model.linformer_share=model"], "window": ["window", "model.window=256"]}
    for ranks in (1, 2, 4, 8, 16, 32):
        row = dict(ranks=ranks, printed=published.SPARSE_LENGTH if ranks == published.SPARSE_RANKS else None)
        for name, (kind, *more) in kinds.items():
            got = plans.plan(ranks, layout("base", "sequence", kind, ranks, published.SPARSE_BATCH, 64) + more, published.MEMORY)
            row[name] = got["fitting"]["longest"] if got else 0
        rows.append(row)
    return rows


def long_words(model, kind, ranks, length):
    return ["model.preset=" + model, "parallel.sequence=%d" % ranks, "train.sequence_length=%d" % length,
            "model.max_positions=%d" % max(512, length)] + LONG + LONG_KINDS[kind]


def of_long(plans):
    """Memory of a rank against the length of one sequence."""
    rows = []
    for length in LONG_LENGTHS:
        row = dict(S=length)
        for kind in LONG_KINDS:
            got = plans.plan(LONG_RANKS, long_words("base", kind, LONG_RANKS, length))
            row[kind] = (got["total"] + got["base"]) / 2**20 if got else None
        rows.append(row)
    return rows


def ratios(batch, length):
    def of(rows, model, scheme, ranks, name):
        for row in rows:
            if (row["model"], row["scheme"], row["ranks"]) == (model, scheme, ranks):
                return row[name]
        return None

    found = []
    for what, printed, model, axis, sequence, tensor in published.RATIOS:
        rows = batch if axis == "batch" else length
        row = dict(what=what, printed=printed)
        for name in ("tables", "counted", "whole") + KINDS:
            a, b = of(rows, model, "sequence", sequence, name), of(rows, model, "tensor", tensor, name)
            row[name] = a / b if a and b else None
        found.append(row)
    return found


def everything(program):
    plans = Plans(program)

    def say(what):
        print("paper: plans: " + what, file=sys.stderr, flush=True)

    say("largest batch")
    batch = of_batch(plans)
    say("pipelines")
    stages = of_stages(plans)
    say("longest sequence")
    length = of_length(plans)
    say("weak scaling")
    rates = rates_of_p100(plans)
    weak = of_weak(plans, rates)
    say("sparse attention")
    return dict(batch=batch, stages=stages, length=length, rates=rates, weak=weak, sparse=of_sparse(plans), long=of_long(plans),
                ratios=ratios(batch, length), plans=plans.commands)

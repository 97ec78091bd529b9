"""What is measured: a matrix of programs, layouts, kinds of attention, lengths, precisions and threads."""
import os
import re
import subprocess

from comparison.run import environment, torch_of

QUICK = dict(name="quick", model="mini", layers=4, hidden=256, heads=4, length=512, batch=4, repeats=3, long=None, large=None,
             attention=[512, 2048], attention_repeats=3, memory=[512, 1024, 2048], scaling=[1, 2], scaling_length=512,
             cap=None, message="4MiB", rows=1024, gemm_repeats=3)
FULL = dict(name="full", model="base", layers=12, hidden=768, heads=12, length=512, batch=4, repeats=5, long=4096, large=32,
            attention=[512, 1024, 2048, 4096], attention_repeats=5, memory=[512, 1024, 2048, 4096, 8192], scaling=[1, 2, 4],
            scaling_length=2048, cap="4GiB", message="64MiB", rows=2048, gemm_repeats=9)


def abilities(program):
    """Devices, kinds of attention and precisions of this build."""
    def said(*words):
        return subprocess.run([program] + list(words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=environment()).stdout

    info, settings = said("info"), said("train", "--help")
    devices = [d for d in ("cpu", "cuda") if re.search(r"^  %s +(?!.*not usable|.*not built)\S" % d, info, re.M)]
    row = re.search(r"^  train\.precision = (\S+?),", settings, re.M)
    return dict(info=info, devices=devices or ["cpu"], mpi=bool(re.search(r"^  mpi +(?!.*not usable|.*not built)\S", info, re.M)),
                precisions=row.group(1).split("|") if row else ["fp32"])


def cores():
    return len(os.sched_getaffinity(0))


def train_words(m, device, threads, length, batch, **more):
    words = ["model.preset=" + m["model"], "train.sequence_length=%d" % length, "train.global_batch=%d" % batch,
             "train.micro_batch=%d" % min(batch, more.pop("micro", batch)), "backend.device=" + device,
             "backend.threads=%d" % threads, "data.short_seq_prob=0"]
    return words + ["%s=%s" % (k.replace("__", "."), v) for k, v in more.items()]


def precision(name, known):
    return {"train__precision": name} if known != ["fp32"] else {}


def train_here(run, m, can):
    """One rank with all cores and with one; two ranks in every layout and with every kind of attention."""
    repeats = ["--repeats", str(m["repeats"])]
    for device in can["devices"]:
        for p in can["precisions"]:
            if p in ("fp16", "tf32") and device == "cpu":
                continue
            for threads in sorted({1, cores()}, reverse=True):
                label = "%s %s, 1 rank x %d" % (device, p, threads)
                run.seqpar("train", label, "train", repeats + train_words(m, device, threads, m["length"], m["batch"],
                                                                          **precision(p, can["precisions"])))
    if not can["mpi"] or cores() < 2:
        return
    each = max(1, cores() // 2)
    for axis in ("data", "tensor", "pipeline"):
        more = {} if axis == "data" else {"parallel__" + axis: 2}
        micro = m["batch"] // 2
        run.seqpar("train", "cpu fp32, 2 %s x %d" % (axis, each), "train",
                   ["--no-check"] + repeats + train_words(m, "cpu", each, m["length"], m["batch"], micro=micro, **more), ranks=2)
    for kind in kinds(run):
        run.seqpar("train", "cpu fp32, 2 %s x %d" % (kind, each), "train",
                   ["--no-check"] + repeats + train_words(m, "cpu", each, m["length"], m["batch"], parallel__sequence=2,
                                                          parallel__attention=kind), ranks=2)


def kinds(run):
    """Kinds of attention that work on two ranks, as measured before."""
    for record in run.records:
        if record["section"] == "attention" and record["result"] and record["label"].endswith("2 ranks"):
            rows = record["result"]["tables"][0]["rows"]
            return [r["kind"] for r in rows if r["pass"] == "both"]
    return ["ring"]


def train_more(run, m):
    """A long sequence, and a large batch, on one rank with all cores."""
    if m["long"]:
        run.seqpar("train", "S = %d, 1 rank x %d" % (m["long"], cores()), "train",
                   ["--no-check", "--repeats", "2"] + train_words(m, "cpu", cores(), m["long"], 1))
    if m["large"]:
        run.seqpar("train", "%d sequences a step" % m["large"], "train",
                   ["--no-check", "--repeats", "2"] + train_words(m, "cpu", cores(), m["length"], m["large"], micro=m["batch"]))


PEER_STEPS = [("eager fp32", []), ("sdpa fp32", ["--attention", "sdpa"]), ("compiled fp32", ["--compile", "--attention", "sdpa"]),
              ("eager bf16", ["--precision", "bf16"]), ("sdpa bf16", ["--attention", "sdpa", "--precision", "bf16"]),
              ("compiled bf16", ["--compile", "--precision", "bf16"])]


def peer_words(m, length, batch):
    return ["--layers", str(m["layers"]), "--hidden", str(m["hidden"]), "--heads", str(m["heads"]), "--length", str(length),
            "--batch", str(batch)]


def train_peers(run, m):
    for python in run.pythons:
        for name, more in PEER_STEPS:
            run.peer("train peer", "PyTorch %s %s" % (short(torch_of(python)), name), python, "bert_step.py", cores(),
                     peer_words(m, m["length"], m["batch"]) + ["--repeats", str(m["repeats"])] + more)


def train(run, m, can):
    train_here(run, m, can)
    train_more(run, m)
    train_peers(run, m)


def short(version):
    """1.13.0a0 is 1.13."""
    return ".".join(version.split("+")[0].split(".")[:2])


def attention(run, m, can):
    """Alone, 12 heads of 64: every kind on one rank and on two; the paper's operators on two."""
    for length in m["attention"]:
        words = ["--repeats", str(m["attention_repeats"]), "model.preset=base", "train.sequence_length=%d" % length,
                 "backend.threads=1", "backend.device=cpu"]
        run.seqpar("attention", "S = %d, 1 rank" % length, "attention", words + ["--only", "full"])
        if not can["mpi"] or cores() < 2:
            continue
        run.seqpar("attention", "S = %d, 2 ranks" % length, "attention", words, ranks=2)
        for python in run.pythons:
            run.peer("attention peer", "S = %d, RSA operators, PyTorch %s" % (length, short(torch_of(python))), python,
                     "ring_operators.py", 1, ["--length", str(length), "--ranks", "2"])


def scaling(run, m, can):
    ranks = [n for n in m["scaling"] if n <= cores()]
    if can["mpi"] and len(ranks) > 1:
        run.seqpar("scaling", "1 thread a rank", "scaling",
                   ["--no-check", "--repeats", "2", "-n", ",".join(map(str, ranks))] +
                   train_words(m, "cpu", 1, m["scaling_length"], 1))


def memory(run, m, can):
    """Of one sequence, over lengths, planned and used; PyTorch's beside it."""
    ranks = [n for n in (1, 2, 4) if n == 1 or (can["mpi"] and n <= max(2, cores()))]
    lengths = ",".join(map(str, m["memory"]))
    run.seqpar("memory", "lengths", "memory", ["-n", ",".join(map(str, ranks)), "--lengths", lengths] +
               train_words(m, "cpu", max(1, cores() // 2), m["length"], 1))
    for python in run.pythons:
        for name, more in PEER_STEPS[:2]:
            for length in m["memory"]:
                record = run.peer("memory peer", "PyTorch %s %s, S = %d" % (short(torch_of(python)), name, length), python,
                                  "bert_step.py", cores(),
                                  peer_words(m, length, 1) + ["--warm-up", "0", "--repeats", "1"] + more)
                if not record["result"]:
                    break


def longest(run, m, can):
    """The longest sequence inside a cap: seqpar's by its own search, PyTorch's by the same halving. Nothing is timed."""
    if not m["cap"]:
        return
    with run.without_prefix():
        longest_each(run, m, can)


def longest_each(run, m, can):
    ranks = "1,2,4" if can["mpi"] else "1"
    timeout, run.timeout = run.timeout, 40 * run.timeout
    run.seqpar("longest", "seqpar", "memory", ["-n", ranks, "--memory", m["cap"], "--multiple", "128"] +
               train_words(m, "cpu", 1, m["length"], 1))
    run.timeout = timeout
    for python in run.pythons:
        for name, more in PEER_STEPS[:2]:
            longest_peer(run, m, python, name, more)


def longest_peer(run, m, python, name, more):
    cap = float(re.match(r"[\d.]+", m["cap"]).group()) * (2**30 if m["cap"].endswith("GiB") else 2**20)

    def fits(length):
        record = run.peer("longest peer", "PyTorch %s %s, S = %d" % (short(torch_of(python)), name, length), python,
                          "bert_step.py", cores(), peer_words(m, length, 1) + ["--warm-up", "0", "--repeats", "1"] + more,
                          memory=int(2 * cap + 2**30))
        if record["error"].startswith("skipped"):
            return None
        return bool(record["result"]) and record["result"]["peak_mib"] * 2**20 <= cap

    low, high = 0, 512
    while True:
        good = fits(high)
        if good is None:
            return
        if not good:
            break
        low, high = high, 2 * high
    while high - low > 128:
        middle = (low + high) // 2 // 128 * 128
        low, high = (middle, high) if fits(middle) else (low, middle)


def messages(run, m, can):
    if can["mpi"]:
        run.seqpar("comm", "2 ranks", "comm", ["--most", m["message"], "backend.device=cpu"], ranks=2)


def products(run, m, _):
    run.seqpar("gemm", "%d threads" % cores(), "gemm",
               ["--rows", str(m["rows"]), "--repeats", str(m["gemm_repeats"]), "model.preset=" + m["model"], "backend.device=cpu",
                "backend.threads=%d" % cores()])


# What is measured, in this order, and the sections of its records.
PARTS = {
    "gemm": (products, ["gemm"]),
    "attention": (attention, ["attention", "attention peer"]),
    "train": (train, ["train", "train peer"]),
    "scaling": (scaling, ["scaling"]),
    "memory": (memory, ["memory", "memory peer"]),
    "comm": (messages, ["comm"]),
    "longest": (longest, ["longest", "longest peer"]),
}


def measure(run, m, can, names):
    """Records of what is measured again are dropped before."""
    for name, (part, sections) in PARTS.items():
        if name in names:
            again = [s for s in sections if run.pythons or not s.endswith("peer")]
            run.records = [r for r in run.records if r["section"] not in again]
            part(run, m, can)

#!/usr/bin/python3
"""Makes the golden files of tests/golden: a BERT of its own, in plain PyTorch operations and float64.

    /usr/bin/python3 tests/golden/make_golden.py tests/golden      (Debian: python3-torch; any PyTorch >= 1.13)

The same files come out every time. Nothing here is taken from seqpar's sources except the definitions: the names of
parameters, the counters and keys of dropout (include/seqpar/compute.h, src/base/rng.[ch], src/layers/layer.h).

A file is a sequence of records: a line `name type count`, then count little-endian values; type i is int32, f float32,
d float64. The last line is `end`. Records: the configuration; the batch; `value NAME` for each parameter, `grad NAME`
for its gradient in the first step, `after NAME` for its value after three steps of AdamW; `loss`, one a step; `norm`,
the global gradient norm before clipping, one a step.
"""
import math
import sys

import numpy as np
import torch

F64 = torch.float64


# ---- random numbers by counter -------------------------------------------------------------------------------------

def philox(key, counter):
    """Philox4x32-10. key: two ints; counter: four arrays that broadcast. Returns four uint64 arrays below 2^32."""
    x = [c.astype(np.uint64) for c in np.broadcast_arrays(*[np.asarray(c, dtype=np.uint64) for c in counter])]
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [(b >> np.uint64(32)) ^ x[1] ^ np.uint64(k0), b & low, (a >> np.uint64(32)) ^ x[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return x


def stream_key(seed, purpose, a, b):
    """Key of a stream of random numbers, as src/base/rng.c mixes it."""
    def words(n):
        return [n & 0xFFFFFFFF, n >> 32]
    out = [int(w) for w in philox(words(seed), [purpose, 0, 0, 0x73707231])]
    out = philox([out[0] ^ out[2], out[1] ^ out[3]], words(a) + words(b))
    return [int(out[0]), int(out[1])]


PURPOSE_DROPOUT = 2
EMBEDDING, ATTENTION, ATTENTION_OUTPUT, MLP_OUTPUT, SITES = range(5)


def mask(p, key, columns, row, third):
    """Dropout factors: 0 or 65536 / keep, shape broadcast(row, third) + (columns,)."""
    keep = max(1, math.floor((1 - p) * 65536 + 0.5))
    j = np.arange(columns)
    words = philox(key, [j // 8, row[..., None], third[..., None], 0])
    half = np.choose((j % 8) // 2, words) >> ((j % 2) * 16).astype(np.uint64) & np.uint64(0xFFFF)
    return torch.tensor(np.where(half < keep, 65536 / keep, 0.0), dtype=F64)


class Dropout:
    def __init__(self, case, step):
        self.case, self.step = case, step

    def key(self, layer, site):
        """layer 0 is the embedding, 1 the first layer."""
        return stream_key(self.case["seed"], PURPOSE_DROPOUT, self.step, layer * SITES + site)

    def hidden(self, x, layer, site):
        if self.case["dropout"] == 0:
            return x
        rows = np.arange(x.shape[1])[None, :]
        sample = np.asarray(self.case["sample"])[:, None]
        return x * mask(self.case["dropout"], self.key(layer, site), x.shape[2], rows, sample)

    def attention(self, probs, layer):
        if self.case["attention_dropout"] == 0:
            return probs
        heads = probs.shape[1]
        rows = np.arange(probs.shape[2])[None, None, :]
        which = np.asarray(self.case["sample"])[:, None, None] * heads + np.arange(heads)[None, :, None]
        return probs * mask(self.case["attention_dropout"], self.key(layer, ATTENTION), probs.shape[3], rows, which)


# ---- the model -----------------------------------------------------------------------------------------------------

def norms(c, n):
    """The two LayerNorms of layer n, of attention and of the MLP: before them in pre-LN models, else behind them."""
    at = f"bert.encoder.layer.{n}."
    if c["pre_norm"]:
        return at + "attention.ln", at + "ln"
    return at + "attention.output.LayerNorm", at + "output.LayerNorm"


def shapes(c):
    """Names and shapes: Hugging Face's BertForPreTraining, for pre-LN those of its MegatronBert; decoder tied."""
    h, i = c["hidden"], c["intermediate"]
    s = {"bert.embeddings.word_embeddings.weight": (c["vocab_size"], h),
         "bert.embeddings.position_embeddings.weight": (c["max_positions"], h),
         "bert.embeddings.token_type_embeddings.weight": (2, h)}

    def norm(name):
        s[name + ".weight"] = s[name + ".bias"] = (h,)

    def dense(name, n, k):
        s[name + ".weight"], s[name + ".bias"] = (n, k), (n,)
    if not c["pre_norm"]:
        norm("bert.embeddings.LayerNorm")
    for n in range(c["layers"]):
        at = f"bert.encoder.layer.{n}."
        first, second = norms(c, n)
        norm(first)
        for part in "query", "key", "value":
            dense(at + "attention.self." + part, h, h)
        dense(at + "attention.output.dense", h, h)
        norm(second)
        dense(at + "intermediate.dense", i, h)
        dense(at + "output.dense", h, i)
    if c["pre_norm"]:
        norm("bert.encoder.ln")
    dense("cls.predictions.transform.dense", h, h)
    norm("cls.predictions.transform.LayerNorm")
    s["cls.predictions.bias"] = (c["vocab_size"],)
    if c["sentence_order"]:
        dense("bert.pooler.dense", h, h)
        dense("cls.seq_relationship", 2, h)
    return s


def is_norm(name):
    return "LayerNorm" in name or ".ln." in name


def decays(name):
    return not (name.endswith(".bias") or is_norm(name))


def gelu(x, tanh):
    if tanh:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


class Model:
    def __init__(self, case, values, dropout):
        self.c, self.w, self.drop = case, values, dropout

    def dense(self, name, x):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, name, x):
        mean = x.mean(-1, keepdim=True)
        var = ((x - mean) ** 2).mean(-1, keepdim=True)
        x = (x - mean) / torch.sqrt(var + self.c["layer_norm_eps"])
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def attention(self, at, layer, x):
        b, s, h = x.shape
        heads = self.c["heads"]
        q, k, v = (self.dense(at + "attention.self." + part, x).view(b, s, heads, h // heads).transpose(1, 2)
                   for part in ("query", "key", "value"))
        doc = torch.tensor(self.c["doc"]).view(b, s)
        allowed = ((doc[:, :, None] == doc[:, None, :]) & (doc[:, :, None] >= 0))[:, None]
        scores = (q @ k.transpose(2, 3) / math.sqrt(h // heads)).masked_fill(~allowed, -1e300)
        probs = torch.softmax(scores, -1) * allowed   # rows that may attend to nothing: all zero
        o = self.drop.attention(probs, layer + 1) @ v
        return self.dense(at + "attention.output.dense", o.transpose(1, 2).reshape(b, s, h))

    def mlp(self, at, x):
        return self.dense(at + "output.dense", gelu(self.dense(at + "intermediate.dense", x), self.c["tanh"]))

    def layer(self, n, x):
        at = f"bert.encoder.layer.{n}."
        first, second = norms(self.c, n)
        if self.c["pre_norm"]:
            x = x + self.drop.hidden(self.attention(at, n, self.norm(first, x)), n + 1, ATTENTION_OUTPUT)
            return x + self.drop.hidden(self.mlp(at, self.norm(second, x)), n + 1, MLP_OUTPUT)
        x = self.norm(first, x + self.drop.hidden(self.attention(at, n, x), n + 1, ATTENTION_OUTPUT))
        return self.norm(second, x + self.drop.hidden(self.mlp(at, x), n + 1, MLP_OUTPUT))

    def loss(self):
        c, w = self.c, self.w
        ids = {k: torch.tensor(c[k]).view(c["batch"], c["length"]) for k in ("token", "position", "kind")}
        x = w["bert.embeddings.word_embeddings.weight"][ids["token"]] \
            + w["bert.embeddings.position_embeddings.weight"][ids["position"]] \
            + w["bert.embeddings.token_type_embeddings.weight"][ids["kind"]]
        if not c["pre_norm"]:
            x = self.norm("bert.embeddings.LayerNorm", x)
        x = self.drop.hidden(x, 0, EMBEDDING)
        for n in range(c["layers"]):
            x = self.layer(n, x)
        if c["pre_norm"]:
            x = self.norm("bert.encoder.ln", x)
        y = x.reshape(-1, c["hidden"])[torch.tensor(c["predicted"])]
        y = self.norm("cls.predictions.transform.LayerNorm",
                      gelu(self.dense("cls.predictions.transform.dense", y), c["tanh"]))
        logits = y @ w["bert.embeddings.word_embeddings.weight"].T + w["cls.predictions.bias"]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(c["label"]))
        if c["sentence_order"]:
            pooled = torch.tanh(self.dense("bert.pooler.dense", x[:, 0]))
            loss = loss + torch.nn.functional.cross_entropy(self.dense("cls.seq_relationship", pooled),
                                                            torch.tensor(c["order_label"]))
        return loss


# ---- cases ---------------------------------------------------------------------------------------------------------

def make_batch(c, random):
    """Odd on purpose: documents side by side in sample 0, padding in sample 1, no predictions in sample 2."""
    b, s, v = c["batch"], c["length"], c["vocab_size"]
    doc = np.zeros((b, s), dtype=int)
    doc[1, s - 4:] = -1
    position = np.arange(s)[None, :].repeat(b, 0)
    if not c["sentence_order"]:
        doc[0, 6:], doc[0, 11:] = 1, 4
        position[0, 6:] = np.arange(s - 6)
    token = random.randint(1, v, (b, s))
    kind = (np.arange(s)[None, :] >= np.array([[9], [5], [s]])).astype(int)
    for what in token, position, kind:
        what[doc < 0] = 0
    candidates = np.flatnonzero(doc[:2].ravel() >= 0)
    predicted = np.sort(random.choice(candidates, 7, replace=False))
    c.update(token=token.ravel().tolist(), position=position.ravel().tolist(), kind=kind.ravel().tolist(),
             doc=doc.ravel().tolist(), predicted=predicted.tolist(), label=random.randint(0, v, 7).tolist(),
             sample=[5, 2, 1000003], order_label=[1, 0, 1])


def make_values(c, random):
    """Large enough that every part matters; float32 values, so that both sides start from the same numbers."""
    values = {}
    for name, shape in shapes(c).items():
        x = random.standard_normal(shape)
        if is_norm(name) and name.endswith(".weight"):
            x = 1 + 0.2 * x
        elif len(shape) == 1:
            x = 0.1 * x
        else:
            x = x * (0.5 if "embeddings" in name else 1 / math.sqrt(shape[1]))
        values[name] = torch.tensor(x.astype(np.float32).astype(np.float64), requires_grad=True)
    return values


def run(c):
    values = make_values(c, np.random.RandomState(c["seed"] % 1000))
    start = {k: v.detach().clone() for k, v in values.items()}
    groups = [{"params": [v for k, v in values.items() if decays(k) == d], "weight_decay": c["weight_decay"] * d}
              for d in (True, False)]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(c["beta1"], c["beta2"]), eps=c["eps"])
    grads, losses, norms = None, [], []
    for step, lr in enumerate(c["lr"]):
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = Model(c, values, Dropout(c, step)).loss()
        loss.backward()
        losses.append(loss.item())
        grads = grads or {k: v.grad.clone() for k, v in values.items()}
        norms.append(torch.nn.utils.clip_grad_norm_(values.values(), c["clip_norm"]).item())
        optimizer.step()
    return start, grads, {k: v.detach() for k, v in values.items()}, losses, norms


INTEGERS = ("layers hidden heads intermediate vocab_size max_positions pre_norm tanh sentence_order batch length seed "
            "token position kind doc sample predicted label order_label").split()
NUMBERS = "dropout attention_dropout layer_norm_eps lr beta1 beta2 eps weight_decay clip_norm".split()


def write(path, c, results):
    start, grads, after, losses, norms = results
    with open(path, "wb") as f:
        def record(name, kind, values):
            values = np.asarray(values).ravel().astype({"i": "<i4", "f": "<f4", "d": "<f8"}[kind])
            f.write(f"{name} {kind} {values.size}\n".encode() + values.tobytes())
        for name in INTEGERS:
            record(name, "i", c[name])
        for name in NUMBERS:
            record(name, "d", c[name])
        record("loss", "d", losses)
        record("norm", "d", norms)
        for name in start:
            for what, table in ("value", start), ("grad", grads), ("after", after):
                record(what + ":" + name, "f", table[name].numpy())
        f.write(b"end\n")


BASE = dict(layers=2, hidden=24, heads=4, intermediate=52, vocab_size=61, max_positions=19, pre_norm=0, tanh=0,
            sentence_order=0, batch=3, length=17, dropout=0.0, attention_dropout=0.0, layer_norm_eps=1e-12,
            lr=[1e-3, 2e-3, 1.5e-3], beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.05, clip_norm=0.7)
CASES = {
    "post": dict(seed=101),
    "post_order": dict(seed=102, tanh=1, sentence_order=1, heads=3, length=13, max_positions=13),
    "pre": dict(seed=103, pre_norm=1, tanh=1, clip_norm=100.0),
    "pre_order": dict(seed=104, pre_norm=1, sentence_order=1, heads=2, hidden=26, intermediate=31),
    "post_dropout": dict(seed=105, dropout=0.1, attention_dropout=0.15, sentence_order=1),
    "pre_dropout": dict(seed=106, pre_norm=1, dropout=0.2, attention_dropout=0.1, layers=1, hidden=32, vocab_size=101),
}

if __name__ == "__main__":
    assert [int(w) for w in philox([0, 0], [0, 0, 0, 0])] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    for name, changes in CASES.items():
        case = dict(BASE, **changes)
        make_batch(case, np.random.RandomState(case["seed"] + 7))
        results = run(case)
        write(f"{sys.argv[1]}/{name}.golden", case, results)
        print(name, "loss", results[3], "norm", results[4])

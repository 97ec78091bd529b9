#!/usr/bin/env python3
"""A peer to measure against: training steps of BERT in PyTorch, on the CPU or a GPU, as a careful user would write them.

Post-LN BERT with erf GELU, dropout, the decoder tied to the word table and run on predicted positions only, AdamW, clipped
gradients. On a GPU AdamW is the fused one, and a step's time begins and ends with the GPU waited for. Prints one JSON object:
tokens a second (median over steps), times, peak memory (resident; of a GPU what PyTorch had allocated there). What the installed
PyTorch does not have, or cannot use, is reported as {"skipped": reason}, with exit status 0.
"""
import argparse
import json
import math
import resource
import statistics
import sys
import time


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--hidden", type=int, default=768)
    p.add_argument("--heads", type=int, default=12)
    p.add_argument("--vocabulary", type=int, default=30528)
    p.add_argument("--length", type=int, default=512)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--warm-up", type=int, default=1)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--attention-dropout", type=float, help="that of attention's weights; the other's if it is not given")
    p.add_argument("--predicted", type=float, default=0.15)
    p.add_argument("--attention", choices=["eager", "sdpa"], default="eager")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    o = p.parse_args()
    o.attention_dropout = o.dropout if o.attention_dropout is None else o.attention_dropout
    return o


def finish(**fields):
    print(json.dumps(fields))
    sys.exit(0)


options = arguments()
try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    finish(skipped=str(error))
if options.attention == "sdpa" and not hasattr(F, "scaled_dot_product_attention"):
    finish(skipped="PyTorch %s has no scaled_dot_product_attention" % torch.__version__)
if options.device == "cuda" and not torch.cuda.is_available():
    finish(skipped="PyTorch %s finds no GPU" % torch.__version__)
if options.compile and not hasattr(torch, "compile"):
    finish(skipped="PyTorch %s has no torch.compile" % torch.__version__)


class Attention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(hidden, 3 * hidden)
        self.merge = nn.Linear(hidden, hidden)

    def forward(self, x):
        batch, length, hidden = x.shape
        parts = self.project(x).reshape(batch, length, 3, self.heads, hidden // self.heads)
        query, key, value = (parts[:, :, i].transpose(1, 2) for i in range(3))
        drop = options.attention_dropout if self.training else 0.0
        if options.attention == "sdpa":
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=drop)
        else:
            scores = torch.matmul(query, key.transpose(2, 3)) * (hidden // self.heads) ** -0.5
            mixed = torch.matmul(F.dropout(torch.softmax(scores, dim=3), drop), value)
        return self.merge(mixed.transpose(1, 2).reshape(batch, length, hidden))


class Block(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.attention = Attention(hidden, heads)
        self.widen, self.narrow = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)
        self.first, self.second = nn.LayerNorm(hidden, eps=1e-12), nn.LayerNorm(hidden, eps=1e-12)
        self.drop = nn.Dropout(options.dropout)

    def forward(self, x):
        x = self.first(x + self.drop(self.attention(x)))
        return self.second(x + self.drop(self.narrow(F.gelu(self.widen(x)))))


class Bert(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.word = nn.Embedding(o.vocabulary, o.hidden)
        self.position = nn.Embedding(o.length, o.hidden)
        self.kind = nn.Embedding(2, o.hidden)
        self.norm, self.drop = nn.LayerNorm(o.hidden, eps=1e-12), nn.Dropout(o.dropout)
        self.blocks = nn.ModuleList([Block(o.hidden, o.heads) for _ in range(o.layers)])
        self.transform, self.head_norm = nn.Linear(o.hidden, o.hidden), nn.LayerNorm(o.hidden, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(o.vocabulary))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, kinds, chosen, labels):
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.drop(self.norm(self.word(ids) + self.position(places) + self.kind(kinds)))
        for block in self.blocks:
            x = block(x)
        rows = x.reshape(-1, x.shape[-1]).index_select(0, chosen)
        rows = self.head_norm(F.gelu(self.transform(rows)).float())  # as autocast does itself in newer versions
        logits = F.linear(rows, self.word.weight, self.bias)
        return F.cross_entropy(logits.float(), labels)


def draw(o):
    """A batch of random tokens, of which the same number is predicted each time."""
    tokens = o.batch * o.length
    count = max(1, int(tokens * o.predicted))
    ids = torch.randint(o.vocabulary, (o.batch, o.length))
    chosen = torch.randperm(tokens)[:count].sort().values
    return ids, torch.zeros_like(ids), chosen, ids.reshape(-1)[chosen]


def step(model, run, optimizer, batch):
    batch = [part.to(options.device) for part in batch]
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.precision == "bf16"):
        loss = run(*batch)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def now(o):
    if o.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_mib(o):
    if o.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(o):
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    model = Bert(o).to(o.device)
    run = torch.compile(model) if o.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01,
                                  **({"fused": True} if o.device == "cuda" else {}))
    seconds, losses = [], []
    for i in range(o.warm_up + o.repeats):
        batch = draw(o)
        begin = now(o)
        losses.append(step(model, run, optimizer, batch))
        if i >= o.warm_up:
            seconds.append(now(o) - begin)
    if not all(math.isfinite(loss) for loss in losses):
        sys.exit("a loss is not finite")
    median = statistics.median(seconds)
    name = torch.cuda.get_device_name() if o.device == "cuda" else "cpu"
    finish(peer="PyTorch " + torch.__version__, device=name, attention=o.attention, compiled=o.compile, precision=o.precision,
           threads=o.threads, length=o.length, batch=o.batch, tokens_per_s=o.batch * o.length / median,
           step_ms=1e3 * median, least_ms=1e3 * min(seconds), most_ms=1e3 * max(seconds),
           peak_mib=peak_mib(o), losses=losses)


main(options)

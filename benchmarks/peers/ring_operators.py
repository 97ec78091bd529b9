#!/usr/bin/env python3
"""A peer to measure against: the operators of ring self-attention as the paper describes them, in PyTorch with gloo.

Li et al. 2021, "Sequence Parallelism", section 3.2: keys go round the ring until each rank has whole rows of scores, then
values go round; backward sends keys and values round again and sums the gradients of whole keys and values over all ranks.
The gradients are the right ones: those of attention on one rank, which --check holds them against in float64. Prints one
JSON object: seconds of forward and backward together, and the rate counted as 12 x sequences x heads x S^2 x head size.
"""
import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--ranks", type=int, default=2)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--heads", type=int, default=12)
    p.add_argument("--head-size", type=int, default=64)
    p.add_argument("--length", type=int, default=2048)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--warm-up", type=int, default=1)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--check", action="store_true")
    return p.parse_args()


options = arguments()
try:
    import torch
    import torch.distributed as dist
except ImportError as problem:
    print(json.dumps({"skipped": str(problem)}))
    sys.exit(0)
if not dist.is_available():
    print(json.dumps({"skipped": "PyTorch %s is built without torch.distributed" % torch.__version__}))
    sys.exit(0)


class Ring:
    """The neighbours of this rank, and whose block it holds after so many hops."""

    def __init__(self):
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def hop(self, block):
        arriving = torch.empty_like(block)
        sending = dist.isend(block, (self.rank + 1) % self.size)
        receiving = dist.irecv(arriving, (self.rank - 1) % self.size)
        receiving.wait()
        sending.wait()
        return arriving

    def visit(self, block, use):
        """Calls use(block, columns) for the block of every rank, columns being those that its tokens have in whole rows."""
        block, width = block.contiguous(), block.shape[-2]
        for hops in range(self.size):
            owner = (self.rank - hops) % self.size
            use(block, slice(owner * width, (owner + 1) * width))
            if hops + 1 < self.size:
                block = self.hop(block)

    def own_part(self, whole):
        """Sums whole-length gradients over ranks and keeps this rank's tokens."""
        dist.all_reduce(whole)
        return whole.chunk(self.size, dim=-2)[self.rank]


class ScoresOfRing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, ring):
        ctx.ring = ring
        ctx.save_for_backward(query, key)
        scores = query.new_empty(*query.shape[:-1], key.shape[-2] * ring.size)

        def use(block, columns):
            scores[..., columns] = query @ block.transpose(-1, -2)

        ring.visit(key, use)
        return scores

    @staticmethod
    def backward(ctx, dscores):
        query, key = ctx.saved_tensors
        dquery = torch.zeros_like(query)

        def use(block, columns):
            dquery.add_(dscores[..., columns] @ block)

        ctx.ring.visit(key, use)
        return dquery, ctx.ring.own_part(dscores.transpose(-1, -2) @ query), None


class ValuesOfRing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights, value, ring):
        ctx.ring = ring
        ctx.save_for_backward(weights, value)
        mixed = torch.zeros_like(value)

        def use(block, columns):
            mixed.add_(weights[..., columns] @ block)

        ring.visit(value, use)
        return mixed

    @staticmethod
    def backward(ctx, dmixed):
        weights, value = ctx.saved_tensors
        dweights = torch.empty_like(weights)

        def use(block, columns):
            dweights[..., columns] = dmixed @ block.transpose(-1, -2)

        ctx.ring.visit(value, use)
        return dweights, ctx.ring.own_part(weights.transpose(-1, -2) @ dmixed), None


def attention(query, key, value, ring, dropout):
    weights = torch.softmax(ScoresOfRing.apply(query * query.shape[-1] ** -0.5, key, ring), dim=-1)
    return ValuesOfRing.apply(torch.nn.functional.dropout(weights, dropout), value, ring)


def check(ring):
    torch.manual_seed(3)
    shape = (2, 3, 6 * ring.size, 5)
    whole = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    gradient = torch.randn(shape, dtype=torch.float64)
    query, key, value = whole
    expected = torch.softmax(query @ key.transpose(-1, -2) * shape[-1] ** -0.5, dim=-1) @ value
    expected.backward(gradient)
    mine = [x.detach().chunk(ring.size, dim=-2)[ring.rank].clone().requires_grad_(True) for x in whole]
    got = attention(*mine, ring, 0.0)
    got.backward(gradient.chunk(ring.size, dim=-2)[ring.rank])
    pairs = [(got, expected)] + [(m.grad, w.grad) for m, w in zip(mine, whole)]
    worst = max(float((a - b.chunk(ring.size, dim=-2)[ring.rank]).norm() / b.norm()) for a, b in pairs)
    errors = torch.tensor([worst], dtype=torch.float64)
    dist.all_reduce(errors, dist.ReduceOp.MAX)
    return float(errors)


def measure(o, ring):
    shape = (o.batch, o.heads, o.length // ring.size, o.head_size)
    seconds = []
    for i in range(o.warm_up + o.repeats):
        inputs = [torch.randn(shape, requires_grad=True) for _ in range(3)]
        gradient = torch.randn(shape)
        dist.barrier()
        begin = time.perf_counter()
        attention(*inputs, ring, o.dropout).backward(gradient)
        dist.barrier()
        if i >= o.warm_up:
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def rank_main(o):
    torch.set_num_threads(o.threads)
    dist.init_process_group("gloo")
    ring = Ring()
    error = check(ring)
    seconds = None if o.check else measure(o, ring)
    if ring.rank == 0:
        result = {"peer": "RSA operators, PyTorch " + torch.__version__, "ranks": ring.size, "threads": o.threads,
                  "length": o.length, "heads": o.heads, "batch": o.batch, "error": error}
        if seconds:
            work = 12.0 * o.batch * o.heads * o.length ** 2 * o.head_size
            result.update(ms=1e3 * seconds, gflops=work / seconds / 1e9,
                          peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps(result), flush=True)
    dist.destroy_process_group()
    if error > 1e-12:
        sys.exit("gradients differ from those of one rank by %g" % error)


def start_ranks(o):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(o.ranks):
        place = dict(os.environ, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(o.ranks))
        children.append(subprocess.Popen([sys.executable] + sys.argv, env=place))
    return max(child.wait() for child in children)


if __name__ == "__main__":
    if "RANK" in os.environ:
        rank_main(options)
    else:
        sys.exit(start_ranks(options))

"""Token files go both ways between seqpar and Megatron's IndexedDataset. usage: token_files.py BUILD"""
import os
import random
import subprocess
import sys
import tempfile

import numpy as np
import torch
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder

seqpar = os.path.join(os.path.abspath(sys.argv[1]), "seqpar")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "."]


def documents(rng):
    return [[[rng.randrange(5, 5 + len(WORDS) - 1) for _ in range(rng.randint(3, 30))] + [5 + len(WORDS) - 1]
             for _ in range(rng.randint(1, 9))] for _ in range(300)]


def claim(name, holds):
    print(("ok: " if holds else "NOT OK: ") + name)
    return 0 if holds else 1


def written_here(work, vocab, docs):
    names = SPECIAL + WORDS
    source, prefix = os.path.join(work, "text.txt"), os.path.join(work, "ours")
    with open(source, "w") as f:
        f.write("\n\n".join("\n".join(" ".join(names[t] for t in s[:-1]).capitalize() + "." for s in d) for d in docs) + "\n")
    subprocess.run([seqpar, "tokenize", "--vocab", vocab, "-o", prefix, source], check=True, stderr=subprocess.DEVNULL)
    data = IndexedDataset(prefix)
    bounds = data.document_indices
    back = [[list(map(int, data[s])) for s in range(a, b)] for a, b in zip(bounds[:-1], bounds[1:])]
    return claim("Megatron reads the documents and sentences that seqpar wrote", back == docs)


def written_there(work, vocab, docs):
    bad, losses = 0, {}
    for dtype in (np.uint16, np.int32):
        prefix = os.path.join(work, "theirs")
        builder = IndexedDatasetBuilder(prefix + ".bin", dtype=dtype)
        for d in docs:
            for s in d:
                builder.add_item(torch.tensor(s))
            builder.end_document()
        builder.finalize(prefix + ".idx")
        losses[dtype.__name__] = loss(prefix, vocab)
    losses["ours"] = loss(os.path.join(work, "ours"), vocab)
    print("   ", losses)
    return bad + claim("seqpar trains alike on what Megatron wrote, in 16 and 32 bits", len(set(losses.values())) == 1)


def loss(prefix, vocab):
    """First losses of a run: they depend on every token of the samples."""
    out = subprocess.run([seqpar, "train", "model.preset=tiny", "train.iters=3", "train.sequence_length=64",
                          "train.global_batch=8", "log.interval=1", "data.source=" + prefix, "data.vocab=" + vocab],
                         check=True, capture_output=True, text=True).stdout
    return tuple(w for line in out.splitlines() if line.startswith("step ")
                 for w, before in zip(line.split()[1:], line.split()) if before == "loss")


def main():
    docs = documents(random.Random(7))
    with tempfile.TemporaryDirectory() as work:
        vocab = os.path.join(work, "vocab.txt")
        with open(vocab, "w") as f:
            f.write("\n".join(SPECIAL + WORDS) + "\n")
        return written_here(work, vocab, docs) + written_there(work, vocab, docs)


sys.exit(main())

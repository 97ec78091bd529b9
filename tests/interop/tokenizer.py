"""AutoTokenizer and seqpar tokenize give the same ids. usage: tokenizer.py BUILD"""
import os
import random
import subprocess
import sys
import tempfile

import numpy as np
from transformers import AutoTokenizer

seqpar = os.path.join(os.path.abspath(sys.argv[1]), "seqpar")

# What a web page may hold: (share, first, last) of code points.
ALPHABETS = [
    (40, 0x61, 0x7A), (10, 0x41, 0x5A), (4, 0x30, 0x39), (6, 0x21, 0x2F), (2, 0x3A, 0x40), (6, 0xC0, 0x17F),
    (3, 0x300, 0x36F), (3, 0x370, 0x3FF), (3, 0x400, 0x4FF), (2, 0x5D0, 0x5EA), (2, 0x620, 0x64A), (2, 0x900, 0x97F),
    (2, 0x1E00, 0x1EFF), (1, 0x2000, 0x206F), (1, 0x20A0, 0x20BF), (4, 0x4E00, 0x9FFF), (1, 0x3400, 0x4DBF),
    (1, 0x20000, 0x2A6DF), (1, 0x3040, 0x30FF), (1, 0xAC00, 0xD7A3), (2, 0x1F300, 0x1FAFF), (1, 0x01, 0x1F),
    (1, 0x7F, 0x9F), (1, 0xFF00, 0xFFEF), (1, 0xE000, 0xF8FF), (1, 0xFDF0, 0xFDFF),
]


# Capital sigma at the end of a word: Python's lower(), with which BERT was made, gives the final form, tokenizers does not.
SIGMA = "\u03a3"


def word(rng):
    share, first, last = rng.choices(ALPHABETS, [a[0] for a in ALPHABETS])[0]
    letters = [chr(rng.randint(first, last)) for _ in range(rng.randint(1, 12))]
    if rng.random() < 0.1:
        letters.insert(rng.randrange(len(letters) + 1), chr(rng.choice([0x300, 0x301, 0x200B, 0xAD, 0xFEFF, 0xFFFD])))
    if rng.random() < 0.002:
        letters *= 20  # longer than the hundred characters a word may have
    return "".join(letters).replace(SIGMA, "")


def text(rng, size):
    """Documents of one line each, so that the line is what AutoTokenizer gets too."""
    documents, bytes_so_far = [], 0
    while bytes_so_far < size:
        line = " ".join(word(rng) for _ in range(rng.randint(5, 60)))
        line = "".join(c for c in line if c not in "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029" and c != "[")  # [MASK] is a token there
        line = line.strip()
        if line:
            documents.append(line)
            bytes_so_far += len(line.encode())
    return documents


def ids_of_file(prefix):
    """Documents of a Megatron token file, read without any of seqpar's code."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    data = IndexedDataset(prefix)
    bounds = data.document_indices
    return [[int(t) for s in range(a, b) for t in data[s]] for a, b in zip(bounds[:-1], bounds[1:])]


def main():
    rng = random.Random(20105)
    documents = text(rng, 1 << 20)
    bad = 0
    with tempfile.TemporaryDirectory() as work:
        source = os.path.join(work, "text.txt")
        with open(source, "w", encoding="utf-8", newline="") as f:
            f.write("\n\n".join(documents) + "\n")
        for cased in (False, True):
            model = os.path.join(work, "cased" if cased else "uncased")
            os.mkdir(model)
            flag = ["--cased"] if cased else []
            vocab = os.path.join(model, "vocab.txt")
            subprocess.run([seqpar, "vocab", "--size", "6000", *flag, "-o", vocab, source], check=True,
                           stderr=subprocess.DEVNULL)
            prefix = os.path.join(work, "tokens")
            subprocess.run([seqpar, "tokenize", "--vocab", vocab, *flag, "-o", prefix, source], check=True,
                           stderr=subprocess.DEVNULL)
            bad += compare(work, model, cased, documents, ids_of_file(prefix))
    return bad


def compare(work, model, cased, documents, ours):
    name = os.path.basename(model)
    out = os.path.join(work, name + "-model")
    train = [seqpar, "train", "model.preset=tiny", "model.layers=1", "train.iters=0", "train.sequence_length=16",
             "train.global_batch=1", "train.micro_batch=1", "data.source=" + os.path.join(work, "tokens"),
             "data.vocab=" + os.path.join(model, "vocab.txt"), "checkpoint.dir=" + out]
    subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
    tokenizer = AutoTokenizer.from_pretrained(os.path.join(out, "step-00000000"))
    theirs = [tokenizer(d, add_special_tokens=False)["input_ids"] for d in documents]
    theirs = [t for t in theirs if t]  # a line of nothing but control characters is no document
    wrong = [i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    tokens = sum(len(t) for t in theirs)
    ok = not wrong and len(ours) == len(theirs)
    print(f"{'ok' if ok else 'NOT OK'}: {name}: {len(theirs)} documents, {tokens} tokens, {type(tokenizer).__name__}: "
          f"{len(wrong)} documents differ, {len(ours)} of them here")
    for i in wrong[:3]:
        at = next((k for k, (a, b) in enumerate(zip(ours[i], theirs[i])) if a != b), min(len(ours[i]), len(theirs[i])))
        print("  document", i, "token", at, ours[i][at - 2:at + 4], theirs[i][at - 2:at + 4],
              tokenizer.convert_ids_to_tokens(ours[i][at - 2:at + 4]), tokenizer.convert_ids_to_tokens(theirs[i][at - 2:at + 4]))
    return 0 if ok else 1


sys.exit(main())

"""A text of made-up words: something to learn, however long its documents are."""

import random

WORDS, LETTERS = 8000, 26


def name(i):
    i, letters = i + 1, ""
    while i:
        i, last = divmod(i - 1, LETTERS)
        letters = chr(ord("a") + last) + letters
    return letters


def write(path, documents, length, seed=1):
    """Documents of `length` words in sentences; how often a word comes falls with its number, as in Zipf's law."""
    draw, names, weights = random.Random(seed), [name(i) for i in range(WORDS)], [1 / (i + 2) for i in range(WORDS)]
    with open(path, "w", encoding="ascii") as out:
        for _ in range(documents):
            left = length
            while left > 0:
                n = min(left, draw.randint(8, 24))
                out.write(" ".join(draw.choices(names, weights, k=n)).capitalize() + ".\n")
                left -= n
            out.write("\n")

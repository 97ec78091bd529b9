"""Memory of the paper's programs with everything counted: half precision, scores kept.

Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer Models", section 4) count what Megatron-LM keeps of a
layer, in bytes, for s tokens of b sequences, h features, a heads: s b h (34 + 5 a s / h), and on each of t tensor ranks
s b h (10 + 24 / t + 5 a s / (h t)): what norms and dropout keep is whole on every rank, which the tables of Li et al. leave out. Ranks that
share sequences keep 1 / t of everything. Weights take 16 bytes: value and gradient in 16 bits, value and Adam's moments in 32.
"""
WORDS, POSITIONS = 30522, 512


def kept(m, scheme, ranks, batch, length):
    """Bytes that one layer keeps on a rank."""
    h, a, tokens = m["hidden"], m["heads"], batch * length
    scores = 5 * a * length / h
    if scheme == "tensor":
        return tokens * h * (10 + (24 + scores) / ranks)
    return tokens * h * (34 + scores) / ranks


def weights(m, scheme, ranks, layers):
    h = m["hidden"]
    own = layers * (12 * h * h + 13 * h) + WORDS * h
    return 16 * ((own / ranks if scheme == "tensor" else own) + POSITIONS * h)


def need(m, scheme, ranks, batch, length, stages=1):
    """Bytes on a rank of the first stage, which holds the activations of the whole batch while the others fill; without a pipeline also
    the logits, in 32 bits."""
    layers = -(-m["layers"] // stages)
    logits = 4 * batch * length * WORDS / ranks if stages == 1 else 0
    return weights(m, scheme, ranks, layers) + layers * kept(m, scheme, ranks, batch, length) + logits


def most(fits):
    """The largest n with fits(n); 0 if there is none."""
    if not fits(1):
        return 0
    high = 1
    while fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest_batch(m, scheme, ranks, length, memory, stages=1):
    return most(lambda n: need(m, scheme, ranks, n, length, stages) <= memory)


def longest(m, scheme, ranks, batch, memory):
    return most(lambda n: need(m, scheme, ranks, batch, n) <= memory)

"""What Li et al. print (arXiv 2105.13120, ACL 2023): BERT on up to 64 P100 of 16 GB. Text and Table 4 are exact; what stands only
in a chart was read off it and may be wrong by a fifth."""

MODELS = {"base": dict(layers=12, hidden=768, heads=12), "large": dict(layers=24, hidden=1024, heads=16)}
MEMORY = "16GiB"
LENGTH = 512  # figures 3, 4, 7, 8

# Figures 3a and 7a: the largest batch, by ranks that share a layer. Tensor ranks of 12 and 16: from the ratios in the text.
BATCH = {"base": {"sequence": {4: 100, 8: 200, 16: 450, 32: 900, 64: 1600}, "tensor": {4: None, 6: None, 12: 117}},
         "large": {"sequence": {4: 30, 8: 60, 16: 130, 32: 260, 64: 490}, "tensor": {4: 20, 8: 40, 16: 48}}}

# Figures 4a and 8a: the same with 4 ranks a layer, by stages of a pipeline.
STAGES = {"base": {"sequence": {1: 100, 2: 300, 4: 600, 8: 900, 16: 1750}, "tensor": {1: 100, 2: 200, 4: 400, 8: 600, 16: 1100}},
          "large": {"sequence": {1: 30, 2: 90, 4: 190, 8: 450, 16: 680}, "tensor": {1: 20, 2: 60, 4: 120, 8: 250, 16: 380}}}

# Figures 5a and 9: the longest sequence, of 64 (base) and 16 (large) at a time.
LENGTHS = {"base": {"sequence": {4: 500, 8: 1000, 16: 1500, 32: 2000, 64: 2250}, "tensor": {4: 500, 6: None, 12: 750}},
           "large": {"sequence": {4: 750, 8: 1000, 16: 1750, 32: 2000, 64: 2500}, "tensor": {4: 750, 8: 1000, 16: 1250}}}
LENGTH_BATCH = {"base": 64, "large": 16}

# Table 4, 8 stages: ranks a layer, batch, length; MB and tokens/s of tensor and of sequence ranks; None: out of memory.
WEAK_STAGES = 8
WEAK = [
    (1, 64, 512, 8477.28, 9946.15, 8477.53, 9261.04),
    (2, 128, 512, 9520.47, 15510.19, 8478.76, 13938.22),
    (4, 256, 512, 12232.52, 20701.96, 8481.26, 21269.91),
    (8, 512, 512, None, None, 8490.75, 26401.64),
    (1, 64, 256, 3707.39, 9752.61, 3707.01, 9340.13),
    (2, 64, 512, 4993.43, 14195.17, 4670.64, 13144.16),
    (4, 64, 1024, 8175.93, 19879.27, 6601.88, 18243.82),
    (8, 64, 2048, 14862.09, 22330.5, 10536.38, 21625.51),
]

# Figure 5b: base, four sequences, Linformer.
SPARSE_BATCH, SPARSE_RANKS, SPARSE_LENGTH = 4, 32, 114000

# Claims of the text: (what, printed, model, "batch" or "length", sequence ranks, tensor ranks).
RATIOS = [
    ("largest batch, Base, 64 sequence ranks over 12 tensor ranks", 13.7, "base", "batch", 64, 12),
    ("largest batch, Large, 64 sequence ranks over 16 tensor ranks", 10.2, "large", "batch", 64, 16),
    ("largest batch, Large, 16 of either", 2.7, "large", "batch", 16, 16),
    ("longest sequence, Base, 64 sequence ranks over 12 tensor ranks", 3.0, "base", "length", 64, 12),
    ("longest sequence, Large, 64 sequence ranks over 16 tensor ranks", 2.0, "large", "length", 64, 16),
    ("longest sequence, Large, 16 of either", 1.4, "large", "length", 16, 16),
]

"""Models go both ways between seqpar and transformers. usage: models.py BUILD"""
import os
import random
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

build = os.path.abspath(sys.argv[1])
seqpar, logits = os.path.join(build, "seqpar"), os.path.join(build, "tests", "interop", "logits")
SIZES = dict(vocab_size=311, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=100,
             max_position_embeddings=64)
BOUND = 1e-4


def claim(name, holds, *more):
    print(("ok: " if holds else "NOT OK: ") + name, *more)
    return 0 if holds else 1


def sentence(rng, length, vocabulary):
    middle = rng.randrange(2, length)
    return [[rng.randrange(vocabulary) for _ in range(length)]], [[int(i >= middle) for i in range(length)]]


def here(directory, tokens, kinds):
    """Logits and log-probabilities of the sentence order, by seqpar."""
    lines = "".join(f"{t} {k}\n" for t, k in zip(tokens[0], kinds[0]))
    out = subprocess.run([logits, directory], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
    values = np.frombuffer(out, dtype=np.float32)
    vocabulary = len(values) // len(tokens[0])
    mlm = values[: len(tokens[0]) * vocabulary].reshape(len(tokens[0]), vocabulary)
    return mlm, values[len(tokens[0]) * vocabulary:]


def there(model, tokens, kinds):
    with torch.no_grad():
        out = model.eval()(input_ids=torch.tensor(tokens), token_type_ids=torch.tensor(kinds))
    mlm = out.prediction_logits if hasattr(out, "prediction_logits") else out.logits
    order = out.seq_relationship_logits if hasattr(out, "seq_relationship_logits") else None
    return mlm[0].numpy(), None if order is None else torch.log_softmax(order[0], -1).numpy()


def distance(directory, model, rng, length=37):
    tokens, kinds = sentence(rng, length, model.config.vocab_size)
    ours, our_order = here(directory, tokens, kinds)
    theirs, their_order = there(model, tokens, kinds)
    worst = float(np.abs(ours - theirs).max())
    if their_order is not None and len(our_order):
        worst = max(worst, float(np.abs(our_order - their_order).max()))
    return worst, float(np.abs(theirs).max())


def shaken(model, seed):
    """No parameter keeps the zero or one it starts with, so that none can be forgotten."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.1)
    return model


def compare(name, directory, model, rng):
    worst, size = distance(directory, model, rng)
    return claim(f"{name}: logits agree", worst <= BOUND, f"(largest difference {worst:.1e} of {size:.1f})")


def old_names(source, directory):
    """As the first converted checkpoints were written: no prefix bert. before the encoder, gamma and beta."""
    os.makedirs(directory)
    state = load_file(os.path.join(source, "model.safetensors"))
    renamed = {re.sub("LayerNorm.bias$", "LayerNorm.beta", re.sub("LayerNorm.weight$", "LayerNorm.gamma", k)): v
               for k, v in state.items()}
    save_file(renamed, os.path.join(directory, "model.safetensors"), {"format": "pt"})
    subprocess.run(["cp", os.path.join(source, "config.json"), directory], check=True)


def into_seqpar(work, rng):
    bad = 0
    kinds = [
        ("BertForPreTraining", transformers.BertConfig, {}),
        ("BertForPreTraining", transformers.BertConfig, {"hidden_act": "gelu_pytorch_tanh"}),
        ("BertForMaskedLM", transformers.BertConfig, {}),
        ("MegatronBertForPreTraining", transformers.MegatronBertConfig, {}),
        ("MegatronBertForMaskedLM", transformers.MegatronBertConfig, {}),
    ]
    for i, (kind, config, more) in enumerate(kinds):
        directory = os.path.join(work, f"in{i}")
        model = shaken(getattr(transformers, kind)(config(**SIZES, **more)), i)
        model.save_pretrained(directory)
        name = kind + "".join(" " + v for v in more.values())
        bad += compare(f"{name} from there to here", directory, model, rng)
        if i == 0:
            shards = os.path.join(work, "shards")
            model.save_pretrained(shards, max_shard_size="100KB")
            pieces = len([f for f in os.listdir(shards) if f.endswith(".safetensors")])
            bad += compare(f"{name} in {pieces} files", shards, model, rng)
            old = os.path.join(work, "old")
            old_names(directory, old)
            bad += compare(f"{name} with gamma and beta", old, model, rng)
            bad += base_model(work, directory, rng)
    return bad


def base_model(work, directory, rng):
    """A BertModel has no heads and no prefix; what it has must come through."""
    bare = os.path.join(work, "bare")
    model = transformers.BertModel.from_pretrained(directory)
    model.save_pretrained(bare)
    out = subprocess.run([seqpar, "train", "checkpoint.init=" + bare, "model.sentence_order=true", "train.iters=0",
                          "train.global_batch=1", "train.micro_batch=1", "train.sequence_length=16",
                          "checkpoint.dir=" + os.path.join(work, "bare-out")], capture_output=True, text=True)
    if out.returncode:
        return claim("BertModel without heads", False, out.stderr)
    back = transformers.BertModel.from_pretrained(os.path.join(work, "bare-out", "step-00000000"))
    same = all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), back.state_dict().values()))
    return claim("BertModel without heads starts a run, unchanged; the new heads are named",
                 same and "cls.predictions" in out.stdout)


def train(work, name, *settings):
    directory = os.path.join(work, name)
    subprocess.run([seqpar, "train", "model.layers=3", "model.hidden=48", "model.heads=4", "model.intermediate=100",
                    "model.vocab_size=311", "model.max_positions=64", "train.sequence_length=48",
                    "train.global_batch=8", "train.iters=20", "optimizer.lr=1e-2", "checkpoint.dir=" + directory,
                    *settings], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(directory, "step-00000020")


def out_of_seqpar(work, rng):
    bad = 0
    kinds = [
        ("BertForPreTraining", ["model.sentence_order=true"]),
        ("BertForMaskedLM", ["model.activation=gelu_tanh"]),
        ("MegatronBertForPreTraining", ["model.sentence_order=true", "model.norm=pre"]),
        ("MegatronBertForMaskedLM", ["model.norm=pre"]),
    ]
    for i, (kind, settings) in enumerate(kinds):
        directory = train(work, f"out{i}", *settings)
        model, info = getattr(transformers, kind).from_pretrained(directory, output_loading_info=True)
        bad += claim(f"{kind} loads what was trained here, nothing missing or left over",
                     not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info)
        bad += compare(f"{kind} from here to there", directory, model, rng)
        auto = transformers.AutoModelForMaskedLM.from_pretrained(directory)
        bad += compare(f"AutoModelForMaskedLM finds {type(auto).__name__}", directory, auto, rng)
        for dtype in ("fp32", "fp16", "bf16"):
            exported = os.path.join(work, f"exported{i}-{dtype}")
            subprocess.run([seqpar, "convert", directory, "-o", exported, "--dtype", dtype], check=True,
                           stdout=subprocess.DEVNULL)
            again = getattr(transformers, kind).from_pretrained(exported, dtype=torch.float32)
            kept = getattr(torch, {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}[dtype])
            stored = load_file(os.path.join(exported, "model.safetensors"))
            same = all(v.dtype == kept for v in stored.values()) and all(
                torch.equal(a, b.to(kept).float())
                for a, b in zip(again.state_dict().values(), model.state_dict().values()) if b.is_floating_point())
            bad += claim(f"{kind} converted to {dtype}: the values that torch rounds to", same)
    return bad


def longer(work, rng):
    """A model that knew 64 positions goes on at 256; the first 64 rows, or their stretch, are what it had."""
    bad = 0
    source = os.path.join(work, "in0")
    old = load_file(os.path.join(source, "model.safetensors"))["bert.embeddings.position_embeddings.weight"]
    at = torch.arange(256, dtype=torch.float64) * 63 / 255
    low = at.floor().long().clamp(max=62)
    share = (at - low).unsqueeze(1)
    want = {"tile": old.repeat(4, 1), "interpolate": (old[low] * (1 - share) + old[low + 1] * share).float()}
    for how, table in want.items():
        directory = os.path.join(work, how)
        subprocess.run([seqpar, "train", "checkpoint.init=" + source, "model.max_positions=256",
                        "model.extend_positions=" + how, "train.iters=0", "train.sequence_length=256",
                        "train.global_batch=1", "train.micro_batch=1", "checkpoint.dir=" + directory], check=True,
                       stdout=subprocess.DEVNULL)
        directory = os.path.join(directory, "step-00000000")
        new = load_file(os.path.join(directory, "model.safetensors"))["bert.embeddings.position_embeddings.weight"]
        bad += claim(f"positions grow from 64 to 256 by {how}", torch.allclose(new, table, rtol=0, atol=1e-6))
        model = transformers.BertForPreTraining.from_pretrained(directory)
        worst, size = distance(directory, model, rng, 256)
        bad += claim(f"256 tokens after {how}: logits agree", worst <= BOUND, f"(largest difference {worst:.1e})")
    return bad


def main():
    rng = random.Random(11)
    with tempfile.TemporaryDirectory() as work:
        sys.stdout.reconfigure(line_buffering=True)
        return 1 if into_seqpar(work, rng) + out_of_seqpar(work, rng) + longer(work, rng) else 0


sys.exit(main())

"""Compile small programs to transformers and store their weights as datasets/tracr/NAME.npz.

Run once, in an environment of its own:

    pip install tracr-pypi==1.0.0 jax==0.10.2 dm-haiku==0.0.17
    python datasets/build_tracr.py

xaibench itself needs none of these: the files hold all numbers. Programs and vocabularies are in the table below, and
what the files hold in `xaibench.datasets.tracr`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from tracr.compiler import compiling, lib
from tracr.rasp import rasp

FOLDER = Path(__file__).parent / "tracr"
BOS = "BOS"
N_VECTORS = 12


def previous() -> rasp.SOp:
    """The token before."""
    before = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == query - 1).named("before")
    return rasp.Aggregate(before, rasp.tokens, default=None).named("previous")


def after_marker() -> rasp.SOp:
    """The token after the marker, in every place."""
    marked = rasp.Select(previous(), rasp.tokens, lambda key, query: key == "#").named("marked")
    return rasp.Aggregate(marked, rasp.tokens, default=None).named("after_marker")


def induction() -> rasp.SOp:
    """The token that followed an earlier token like the one in each place."""
    same = rasp.Select(previous(), rasp.tokens, lambda key, query: key == query).named("same")
    return rasp.Aggregate(same, rasp.tokens, default=None).named("induction")


PROGRAMS: dict[str, tuple[rasp.SOp, list[str], int]] = {
    "shift": (previous(), list("abcd"), 8),
    "reverse": (lib.make_reverse(rasp.tokens), list("abcd"), 8),
    "after_marker": (after_marker(), list("#abcd"), 8),
    "induction": (induction(), list("abcdefgh"), 6),
    "sort_unique": (lib.make_sort_unique(rasp.tokens, rasp.tokens), list("abcdefgh"), 6),
    "frac_prevs": (lib.make_frac_prevs((rasp.tokens == "x").named("is_x")), list("xyz"), 8),
    "hist": (lib.make_hist(), list("abc"), 8),
}
"""Program, vocabulary, and largest number of tokens."""


def main() -> None:
    """Compile every program, store it, and print the checksums for the card."""
    FOLDER.mkdir(exist_ok=True)
    for name, (program, vocabulary, length) in PROGRAMS.items():
        model = compiling.compile_rasp_to_model(
            program, vocab=set(vocabulary), max_seq_len=length, compiler_bos=BOS, causal=False
        )
        arrays = exported(model, program, vocabulary, length)
        path = FOLDER / f"{name}.npz"
        np.savez_compressed(path, **arrays)
        print(f'"{name}.npz" = "{hashlib.sha256(path.read_bytes()).hexdigest()}"')


def exported(model: Any, program: rasp.SOp, vocabulary: list[str], length: int) -> dict[str, np.ndarray]:
    """Weights of a compiled model, the residual dimensions of its output with their values, and test vectors."""
    params = {f"{module}.{part}": np.asarray(a) for module, parts in model.params.items() for part, a in parts.items()}
    words = model.input_encoder.encoding_map
    order = sorted(words, key=lambda word: words[word])
    arrays = {
        "token": params["token_embed.embeddings"],
        "position": params["pos_embed.embeddings"],
        "vocabulary": np.array([str(word) for word in order]),
        "n_heads": np.array(model.model_config.num_heads),
    }
    for layer in range(model.model_config.num_layers):
        for part, name in (("query", "query"), ("key", "key"), ("value", "value"), ("linear", "output")):
            arrays |= {f"layer{layer}.{name}.{p}": params[f"transformer/layer_{layer}/attn/{part}.{p}"] for p in "wb"}
        for part, name in (("linear_1", "in"), ("linear_2", "out")):
            arrays |= {f"layer{layer}.{name}.{p}": params[f"transformer/layer_{layer}/mlp/{part}.{p}"] for p in "wb"}
    labels = [str(label) for label in model.residual_labels]
    numerical = program.label in labels
    if numerical:
        arrays |= {"output": np.array([labels.index(program.label)]), "values": np.array([""])}
    else:
        classes = {k.rpartition(":")[2]: i for i, k in enumerate(labels) if k.rpartition(":")[0] == program.label}
        names = sorted(classes)
        arrays |= {"output": np.array([classes[n] for n in names]), "values": np.array(names)}
    rng = np.random.default_rng(0)
    ids, streams = [], []
    for _ in range(N_VECTORS):
        text = list(rng.choice(vocabulary, size=length))
        found = model.apply([BOS, *text])
        ids.append([words[word] for word in (BOS, *text)])
        streams.append(np.asarray(found.transformer_output)[0])
    return {**arrays, "test_ids": np.array(ids), "test_streams": np.stack(streams).astype(np.float32)}


if __name__ == "__main__":
    main()

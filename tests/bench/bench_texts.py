"""Explanations of texts against the bare cost of their evaluations, in one process: processor time, one thread.

    OMP_NUM_THREADS=1 python tests/bench/bench_texts.py

Leaving out one word (by deletion and by [MASK]) of random texts with a `text_transformer` of width 32, divided by what
the network alone needs for the same sequences, sorted by length, at the best of four batch sizes. The median of seven
turns, which alternate.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

import xaibench as xb
from xaibench.models.text_networks import TextTransformer

N_TEXTS, VOCABULARY, TURNS = 100, 3000, 7
TOKENS = xb.Tokens(VOCABULARY, pad=0, mask=1, unk=2, prefix=(3,))


def sequences(texts: list[list[int]], masker: str) -> list[torch.Tensor]:
    """Every text and its copies without one word, those of one length together."""
    rows = []
    for text in texts:
        rows.append([3, *text])
        for place in range(len(text)):
            hidden = [1] if masker == "mask" else []
            rows.append([3, *text[:place], *hidden, *text[place + 1 :]])
    by_length: dict[int, list[list[int]]] = {}
    for row in rows:
        by_length.setdefault(len(row), []).append(row)
    return [torch.tensor(part) for _, part in sorted(by_length.items())]


def bare(net: torch.nn.Module, parts: list[torch.Tensor], size: int) -> float:
    """Processor seconds of the network alone."""
    started = time.process_time()
    with torch.no_grad():
        for part in parts:
            for batch in torch.split(part, size):
                net(batch)
    return time.process_time() - started


def main() -> None:
    """Print the ratio of every masker."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    texts = [rng.integers(4, VOCABULARY, size=int(n)).tolist() for n in rng.integers(9, 26, size=N_TEXTS)]
    net = TextTransformer(VOCABULARY, 2, 64, 32, 4, 2, True, True).eval()
    model = xb.TokenPredictor(net, "words", TOKENS)
    for masker in ("mask", "delete"):
        parts, ratios = sequences(texts, masker), []
        best = min((16, 64, 256, 1024), key=lambda size: bare(net, parts, size))
        for _ in range(TURNS):
            alone = bare(net, parts, best)
            started = time.process_time()
            xb.explain("feature_ablation", model=model, inputs=texts, targets=[1] * N_TEXTS, masker=masker)
            ratios.append((time.process_time() - started) / alone)
        print(f"{masker}: {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}], batch {best}")


if __name__ == "__main__":
    main()

"""Explanations of texts against the bare cost of their evaluations, in one process: processor time, one thread.

    OMP_NUM_THREADS=1 python tests/bench/bench_texts.py [--turns 7] [--minilm]

Every sequence that the network is given while texts are explained is recorded once. What the network alone needs for
the same sequences, sorted by length and without gradients, at the best of four batch sizes, is the unit. Printed are
the median of turns that alternate, of a whole call of `xb.explain` and of a problem that was prepared before; and what
a component costs for every group of texts of one length, measured with one that computes nothing.

``--minilm`` adds the pretrained transformer (`xaibench data fetch minilm_l6`, `xaibench data fetch movie_snippets`),
whose cost at width 384 is nearly all of the total.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

import xaibench as xb
from xaibench.core import registry
from xaibench.core.batch_rule import hooked
from xaibench.models.text_networks import TextLSTM, TextTransformer

VOCABULARY = 3000
TOKENS = xb.Tokens(VOCABULARY, pad=0, mask=1, unk=2, prefix=(3,))
BATCHES = (16, 64, 256, 1024)


def seconds(call: Callable[[], Any]) -> float:
    """Processor seconds of one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


@contextmanager
def recorded(net: torch.nn.Module) -> Iterator[list[tuple[torch.Tensor, ...]]]:
    """What the network is called with."""
    calls: list[tuple[torch.Tensor, ...]] = []

    def keep(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        calls.append(tuple(a.detach().clone() for a in args))

    with hooked([net.register_forward_pre_hook(keep)]):
        yield calls


def sorted_by_length(calls: list[tuple[torch.Tensor, ...]]) -> list[tuple[torch.Tensor, ...]]:
    """All sequences of one length together, the shortest first."""
    by_length: dict[int, list[tuple[torch.Tensor, ...]]] = {}
    for call in calls:
        by_length.setdefault(call[0].shape[1], []).append(call)
    return [tuple(map(torch.cat, zip(*parts, strict=True))) for _, parts in sorted(by_length.items())]


def bare(net: torch.nn.Module, parts: list[tuple[torch.Tensor, ...]], size: int) -> float:
    """Processor seconds of the network alone."""

    def run() -> None:
        with torch.no_grad():
            for part in parts:
                for batch in zip(*(torch.split(tensor, size) for tensor in part), strict=True):
                    net(*batch)

    return seconds(run)


def compare(name: str, model: xb.TokenPredictor, texts: list[list[int]], turns: int, **given: Any) -> None:
    """Print the ratios of one explainer with its parameters."""
    explainer = given.pop("explainer")
    net, targets = model.network.inner, [1] * len(texts)
    problem = xb.Problem(model, texts, targets=targets)
    with recorded(net) as calls:
        problem.explain(explainer, **given)
    parts = sorted_by_length(calls)
    best = min(BATCHES, key=lambda size: bare(net, parts, size))
    whole, prepared = [], []
    for _ in range(turns):
        alone = bare(net, parts, best)
        fresh = xb.Problem(model, texts, targets=targets)
        prepared.append(seconds(partial(fresh.explain, explainer, **given)) / alone)
        whole.append(
            seconds(lambda: xb.explain(explainer, model=model, inputs=texts, targets=targets, **given)) / alone
        )
    shown = f"{statistics.median(whole):.2f} [{min(whole):.2f}, {max(whole):.2f}], prepared "
    shown += f"{statistics.median(prepared):.2f} [{min(prepared):.2f}, {max(prepared):.2f}]"
    n = sum(len(part[0]) for part in parts)
    print(f"{name} {explainer} {given}: {shown}, {n} sequences in {alone:.2f} s, batch {best}", flush=True)


def overhead_of_groups(model: xb.TokenPredictor, texts: list[list[int]], turns: int) -> None:
    """Print the milliseconds that a component which computes nothing takes for every group."""
    n_groups = len({len(text) for text in texts})
    problem = xb.Problem(model, texts, targets=[1] * len(texts))
    maps = problem.explain("constant")
    shortest = min(map(len, texts))
    one = xb.Problem(model, [text[:shortest] for text in texts], targets=[1] * len(texts))
    for kind, call in (
        ("explainer", lambda p: p.explain("constant")),
        ("metric", lambda p: p.score("sparseness", maps[:, : p.explain("constant").shape[1]])),
    ):
        many, single = (min(seconds(partial(call, p)) for _ in range(turns)) for p in (problem, one))
        print(f"{n_groups} groups, {kind}: {1000 * (many - single) / (n_groups - 1):.2f} ms each", flush=True)


def small_texts(n: int) -> list[list[int]]:
    """Random texts of 9 to 25 tokens."""
    rng = np.random.default_rng(0)
    return [rng.integers(4, VOCABULARY, size=int(m)).tolist() for m in rng.integers(9, 26, size=n)]


def main() -> None:
    """Print the ratio of every network, explainer and masker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--minilm", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nets: dict[str, torch.nn.Module] = {
        "text_transformer": TextTransformer(VOCABULARY, 2, 64, 32, 4, 2, True, True).eval(),
        "text_lstm": TextLSTM(VOCABULARY, 2, 32, True).eval(),
    }
    for name, net in nets.items():
        model = xb.TokenPredictor(net, "words", TOKENS)
        for masker in ("mask", "delete"):
            compare(name, model, small_texts(100), chosen.turns, explainer="feature_ablation", masker=masker)
            compare(name, model, small_texts(20), chosen.turns, explainer="lime", masker=masker, n_samples=256)
        overhead_of_groups(model, small_texts(100), chosen.turns)
    if chosen.minilm:
        data = registry.get("dataset", "film_opinions").function(seed=1, n_train=100, n_test=12)
        model = registry.get("model", "minilm_head").function(data)
        rows = [[i for i in row.ravel().tolist() if i >= 0] for row in data.test_inputs[:10]]
        for masker in ("mask", "delete"):
            compare("minilm", model, rows, max(3, chosen.turns // 2), explainer="feature_ablation", masker=masker)
        overhead_of_groups(model, rows, chosen.turns)


if __name__ == "__main__":
    main()

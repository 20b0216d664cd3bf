"""Cost of every metric as a multiple of its floor, the bare model evaluations at the best batch size.

Run: python tests/bench/bench_metrics.py [N]
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from bench_models import cnn, medians, mlp

sys.path.insert(0, "tests")
from dataclasses import replace

from builders import make_evaluation, make_view

from xaibench.core.cache import MemoryCache, SharedCache
from xaibench.core.calls import score
from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import TorchPredictor
from xaibench.core.registry import get

CASES = {"cnn 28x28": (cnn(), (1, 28, 28)), "mlp, 30 columns": (mlp(30, 64, 2), (30,))}
METRICS = ("pixel_flipping", "insertion", "faithfulness_correlation", "infidelity", "completeness")
REPEATS = 7


def fresh(spec: MetricSpec, ev: Evaluation) -> torch.Tensor:
    """Score with empty caches."""
    return score(spec, spec.bind({}), replace(ev, cache=MemoryCache(), shared=SharedCache())).values


def main() -> None:
    torch.set_num_threads(1)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    for case, (module, shape) in CASES.items():
        view = make_view(module, torch.randn(n, *shape))
        ev = make_evaluation(view)
        print(f"{case}, N={n}, batch {view.model.batch_size(view.inputs)}")
        for name in METRICS:
            spec = get("metric", name)
            assert isinstance(spec, MetricSpec)
            before = view.model.n_evaluations
            fresh(spec, ev)
            evaluations = view.model.n_evaluations - before
            ready = torch.randn(evaluations, *shape)
            sizes = [2**k for k in range(5, 14) if 2**k <= 2 * evaluations]
            tasks = {str(b): partial(TorchPredictor(module, batch_size=b).predict, ready) for b in sizes}
            warm = replace(ev, shared=SharedCache())
            score(spec, spec.bind({}), warm)
            tasks["metric"] = partial(fresh, spec, ev)
            tasks["again"] = lambda spec=spec, warm=warm: score(spec, spec.bind({}), replace(warm, cache=MemoryCache()))
            found = medians(tasks, REPEATS)
            floor, size = min((found[str(b)], b) for b in sizes)
            print(
                f"  {name:26s} {evaluations:7d} evaluations  floor {floor * 1e3:8.2f} ms (batch {size})"
                f"  metric {found['metric'] * 1e3:8.2f} ms  ratio {found['metric'] / floor:5.2f}"
                f"  next explainer {found['again'] * 1e3:8.2f} ms ({found['again'] / floor:.2f})"
            )


if __name__ == "__main__":
    main()

"""Cost of every metric as a multiple of its floor, the bare model evaluations at the best batch size.

Run: python tests/bench/bench_metrics.py [METRIC ...]; without names, all metrics that evaluate perturbed samples.
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from bench_models import cnn, medians, mlp

sys.path.insert(0, "tests")
from dataclasses import replace

from helpers.builders import make_evaluation, make_view

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.needs import missing_needs
from xaibench.core.predictor import TorchPredictor
from xaibench.core.registry import components, get
from xaibench.core.scoring import score
from xaibench.core.storage.cache import MemoryCache, SharedCache

CASES = {
    "cnn 28x28": (cnn(), (1, 28, 28), 64, 3),
    "mlp, 30 columns": (mlp(30, 64, 2), (30,), 64, 15),
    "mlp, 30 columns, larger": (mlp(30, 64, 2), (30,), 1000, 7),
}
"""Model, shape of a sample, samples, repetitions."""
METRICS = [
    s.name for s in components("metric") if isinstance(s, MetricSpec) and s.family in ("faithfulness", "axiomatic")
]


def fresh(spec: MetricSpec, ev: Evaluation) -> torch.Tensor:
    """Score with empty caches."""
    return score(spec, spec.bind({}), replace(ev, cache=MemoryCache(), shared=SharedCache())).values


def main() -> None:
    torch.set_num_threads(1)
    for case, (module, shape, n, repeats) in CASES.items():
        view = make_view(module, torch.randn(n, *shape), background=torch.randn(64, *shape))
        ev = make_evaluation(view)
        print(f"{case}, N={n}, batch {view.model.batch_size(view.inputs)}")
        for name in sys.argv[1:] or METRICS:
            spec = get("metric", name)
            assert isinstance(spec, MetricSpec)
            if missing_needs(spec.needs, {view.layout.kind, "reexplain", "background", "module", "gradients"}):
                continue
            before = view.model.n_evaluations
            fresh(spec, ev)
            evaluations = view.model.n_evaluations - before
            # The floor of many evaluations is measured on a part of them.
            part = min(evaluations, 4096 if len(shape) > 1 else 65536)
            ready = torch.randn(part, *shape)
            sizes = [2**k for k in (range(5, 10) if len(shape) > 1 else range(8, 14)) if 2**k <= 2 * part]
            tasks = {str(b): partial(TorchPredictor(module, batch_size=b).predict, ready) for b in sizes}
            warm = replace(ev, shared=SharedCache())
            score(spec, spec.bind({}), warm)
            tasks["metric"] = partial(fresh, spec, ev)
            tasks["again"] = lambda spec=spec, warm=warm: score(spec, spec.bind({}), replace(warm, cache=MemoryCache()))
            found = medians(tasks, repeats)
            floor, size = min((found[str(b)] * evaluations / part, b) for b in sizes)
            print(
                f"  {name:26s} {evaluations:7d} evaluations  floor {floor * 1e3:8.2f} ms (batch {size})"
                f"  metric {found['metric'] * 1e3:8.2f} ms  ratio {found['metric'] / floor:5.2f}"
                f"  next explainer {found['again'] * 1e3:8.2f} ms ({found['again'] / floor:.2f})"
            )


if __name__ == "__main__":
    main()

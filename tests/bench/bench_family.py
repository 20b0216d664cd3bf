"""What sharing saves: the faithfulness family in one unit, sixteen explainers on one problem, and peak memory.

Run: python tests/bench/bench_family.py [N]; with --memory NAME, the peak of one metric on 1,000 images.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace

import torch
from bench_models import cnn, mlp

sys.path.insert(0, "tests")
from helpers.builders import make_evaluation, make_view

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.needs import missing_needs
from xaibench.core.registry import components
from xaibench.core.scoring import score
from xaibench.core.storage.cache import MemoryCache, SharedCache
from xaibench.core.truth import Truth

SPECS = [s for s in components("metric") if isinstance(s, MetricSpec) and s.scope == "sample" and not s.about_programs]
INDEPENDENT = ("faithfulness_correlation", "infidelity", "mu_fidelity", "sensitivity_n", "faithfulness_estimate",
               "monotonicity_correlation", "non_sensitivity", "completeness")  # fmt: skip
"""Metrics whose perturbations do not depend on the attribution."""


def evaluation(module: torch.nn.Module, shape: tuple[int, ...], n: int) -> Evaluation:
    inputs = torch.rand(n, *shape)
    view = make_view(module, inputs, background=torch.rand(64, *shape))
    mask = torch.rand(n, *view.layout.feature_shape) < 0.3
    weights = torch.randn(n, *view.layout.feature_shape)
    return make_evaluation(view, truth=Truth("model", mask, weights))


def offered(ev: Evaluation) -> list[MetricSpec]:
    have = {ev.layout.kind, "reexplain", "background", "module", "gradients", "truth.mask", "truth.weights"}
    return [s for s in SPECS if not missing_needs(s.needs, have)]


def seconds(specs: list[MetricSpec], ev: Evaluation) -> float:
    """Time of these metrics on one explanation, in order, sharing the caches of ``ev``."""
    start = time.perf_counter()
    for spec in specs:
        score(spec, spec.bind({}), ev)
    return time.perf_counter() - start


def fresh(ev: Evaluation, shared: SharedCache | None = None) -> Evaluation:
    return replace(ev, cache=MemoryCache(), shared=shared or SharedCache())


def memory(name: str, n: int = 1000) -> None:
    torch.set_num_threads(1)
    ev = evaluation(cnn(), (1, 28, 28), n)
    ev.model.predict(ev.inputs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (spec,) = [s for s in SPECS if s.name == name]
    took = seconds([spec], fresh(ev))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{name:28s} N={n}: peak {(after - before) / 2**10:7.0f} MiB above the model, {took:6.1f} s")


def main() -> None:
    torch.set_num_threads(1)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    for case, (module, shape) in {
        "cnn 28x28": (cnn(), (1, 28, 28)),
        "mlp, 30 columns": (mlp(30, 64, 2), (30,)),
    }.items():
        ev = evaluation(module, shape, n)
        family = [s for s in offered(ev) if s.family == "faithfulness"]
        seconds(family, fresh(ev))
        parts = {s.name: seconds([s], fresh(ev)) for s in family}
        whole = seconds(family, fresh(ev))
        print(f"{case}, N={n}: {len(family)} faithfulness metrics in one unit {whole:.2f} s,"
              f" one by one {sum(parts.values()):.2f} s: {whole / sum(parts.values()):.0%}")  # fmt: skip
        for spec in offered(ev):
            if spec.name not in INDEPENDENT:
                continue
            shared = SharedCache()
            one = seconds([spec], fresh(ev, shared))
            others = 0.0
            for number in range(15):
                own = ev.with_attributions(ev.attributions + 0.1 * number, ev.kind)
                others += seconds([spec], fresh(own, shared))
            print(
                f"  {spec.name:28s} one explainer {one * 1e3:9.1f} ms, sixteen {(one + others) / one:5.2f} times that"
            )


if __name__ == "__main__":
    memory(sys.argv[2]) if sys.argv[1:2] == ["--memory"] else main()

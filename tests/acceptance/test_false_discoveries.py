"""False discovery rates over 50 seeds, and the published rates and powers over ten, on seeds of their own."""

from __future__ import annotations

import numpy as np
import pytest

from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain, explain_function
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.suite import ComponentRef

LEVELS = (0.05, 0.1, 0.2)
TESTS = (("irt", False), ("irt", True), ("osft", False), ("osft", True))
SELECT = {"irt": "benjamini_hochberg", "osft": "symmetric"}
PUBLISHED = {
    0.05: ((0.028, 0.870), (0.030, 0.825), (0.048, 0.862), (0.044, 0.827)),
    0.1: ((0.071, 0.951), (0.058, 0.880), (0.102, 0.918), (0.090, 0.874)),
    0.2: ((0.140, 0.979), (0.137, 0.914), (0.212, 0.963), (0.190, 0.910)),
}
"""False discovery rate and power for the four tests (Burns et al. 2020, independent features, neural network)."""


def measured(model: str, seeds: range) -> np.ndarray:
    """False discovery proportion and power: (seeds, tests, levels, 2)."""
    data = ComponentRef.of("dataset", "interesting_features", {} if model == "mlp_regressor" else {"n_train": 100})
    rows = []
    for seed in seeds:
        spec = ProblemSpec(data, ComponentRef.of("model", model, {}), seed, 100, "predicted", 10_000)
        problem = Problems(None).prepare(spec)
        assert problem.gate_passed, [str(g) for g in problem.gates]
        for name, two_sided in TESTS:
            function = explain_function(get("explainer", name), get("explainer", name).bind({"two_sided": two_sided}))
            maps = explain(function, problem.view(0), "explain")
            ev = Evaluation.of(problem.samples, attributions=maps, truth=problem.truth)
            for q in LEVELS:
                for metric in ("false_discovery_proportion", "discovery_power"):
                    found = get("metric", metric)
                    rows.append(float(score(found, found.bind({"q": q, "select": SELECT[name]}), ev).values))
    return np.array(rows).reshape(len(seeds), len(TESTS), len(LEVELS), 2)


def test_the_rate_is_kept_over_fifty_seeds() -> None:
    found = measured("exact_function", range(1000, 1050))[..., 0]
    mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
    for (name, two_sided), means, errors in zip(TESTS, mean, error, strict=True):
        for q, m, e in zip(LEVELS, means, errors, strict=True):
            print(f"{name} two_sided={two_sided} q={q}: {m:.4f} +- {e:.4f}")
    assert (mean <= np.array(LEVELS) + 3 * error).all()


@pytest.mark.parametrize("model", ["exact_function", "mlp_regressor"])
def test_published_rates_and_powers(model: str) -> None:
    mean = measured(model, range(2000, 2010)).mean(axis=0)
    published = np.array([PUBLISHED[q] for q in LEVELS]).swapaxes(0, 1)
    print(np.abs(mean - published).max(), mean.round(3).tolist())
    assert np.abs(mean - published).max() <= 0.04

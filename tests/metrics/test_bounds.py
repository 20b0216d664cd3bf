"""Bounds of scores: every metric keeps those that it declares for an output, and a score outside fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import SHAPES, cnn, linear, make_evaluation, make_inputs, make_view, mlp, whole_truth
from torch import nn

import xaibench as xb
from xaibench.core import registry
from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.needs import DATA_NEEDS
from xaibench.core.outputs import OUTPUTS
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import components
from xaibench.core.scoring import score

METRICS = [
    s for s in components("metric") if isinstance(s, MetricSpec) and not s.about_programs and "retrain" not in s.needs
]
SMALL = {"n_samples": 6, "n_subsets": 9, "steps": 5, "epsilon": 0.02}


class Far(nn.Module):
    """Outputs far from 0 and of either sign, as the price of a house or a logit of a large network."""

    def __init__(self, module: nn.Module, n: int) -> None:
        super().__init__()
        self.inner = module
        self.register_buffer("shift", torch.linspace(-30, 25, n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 40 * self.inner(x) + self.shift


def problem(spec: MetricSpec, output: str) -> ProblemView:
    kinds = spec.needs & DATA_NEEDS
    kind = next(k for k in ("table", "image", "series") if not kinds or k in kinds)
    shape, columns = SHAPES[kind], 1 if output == "value" else 3
    module = Far((cnn if kind == "image" else mlp)(shape, columns), columns).eval()
    predictor = TorchPredictor(module, "value" if output == "value" else "logit")
    view = make_view(predictor, 3 * make_inputs(shape, 6, seed=5), background=make_inputs(shape, 20, seed=1))
    mask = torch.from_numpy(np.random.default_rng(2).random((6, *view.layout.feature_shape)) < 0.4)
    mask[:, 0], mask[:, -1] = False, True
    weights = torch.from_numpy(np.random.default_rng(4).standard_normal(mask.shape).astype(np.float32))
    if output == "contrast":
        view = replace(view, foils=(view.targets + 1) % columns)
    return replace(view, output=output, truth=whole_truth(mask, weights, ~mask))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("spec", METRICS, ids=lambda s: s.name)
def test_scores_of_every_output_are_within_the_bounds_declared_for_it(spec: MetricSpec, output: str) -> None:
    view = problem(spec, output)
    ev = make_evaluation(view)
    params = spec.bind({k: v for k, v in SMALL.items() if k in spec.parameters})
    try:
        values = score(spec, params, ev, output=output).values
    except UnsupportedError:
        return
    low, high = spec.bounds_of(params, output)
    defined = values[torch.isfinite(values)]
    assert low is None or bool((defined >= low - 1e-5).all())
    assert high is None or bool((defined <= high + 1e-5).all())


def test_numbers_in_the_unit_of_the_output_have_bounds_as_probabilities_only() -> None:
    spec = registry.get("metric", "pixel_flipping")
    assert isinstance(spec, MetricSpec)
    assert spec.bounds_of({}, "probability") == (0, 1)
    assert spec.bounds_of({}, "logit") == spec.bounds_of({}, "value") == (None, None)
    sparse = registry.get("metric", "sparseness")
    assert isinstance(sparse, MetricSpec)
    assert sparse.bounds_of({}, "value") == (0, 1)


@pytest.mark.parametrize(
    ("worst", "fails"), [(1.0, False), (1.000009, False), (1.0001, True), (-0.1, True), (0.5, False)]
)
def test_a_score_outside_fails_with_number_and_bounds(worst: float, fails: bool) -> None:
    @xb.metric("of_this_test", family="complexity", higher_is_better=True, bounds=(0, 1))
    def of_this_test(ev: xb.Evaluation) -> torch.Tensor:
        return torch.tensor([0.5, worst, float("nan")])

    given: dict[str, Any] = {
        "model": linear((2,)), "inputs": np.ones((3, 2), np.float32), "attributions": np.ones((3, 2))
    }  # fmt: skip
    if not fails:
        assert xb.score("of_this_test", **given)[1] == pytest.approx(worst)
        return
    with pytest.raises(UsageError, match=rf"gives {worst:.6g} for sample 1, and its scores of a logit go from 0 to 1"):
        xb.score("of_this_test", **given)


def test_logits_that_are_said_to_be_probabilities_are_found_out() -> None:
    """A curve of numbers that are no probabilities leaves 0 to 1."""
    net = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        net[0].weight.copy_(10 * torch.eye(3, 4))
    x = torch.eye(4)[:3] + 0.5
    given: dict[str, Any] = {"model": net, "inputs": x, "attributions": x}
    assert xb.score("pixel_flipping", **given, returns="logit", output="logit").max() > 1
    with pytest.raises(UsageError, match="these are not probabilities") as error:
        xb.score("pixel_flipping", **given, returns="probability")
    assert 'returns="logit"' in (error.value.hint or "")


def test_a_score_outside_is_a_failed_cell(tmp_path: Any, tiny_suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = registry.get("metric", "own_metric")
    monkeypatch.setitem(registry._registry["metric"], "own_metric", replace(spec, bounds=(None, -1e9)))
    xb.run(tiny_suite(), store=tmp_path / "st")
    rows = xb.results(tmp_path / "st").set_index(["explainer", "metric"])
    assert rows.loc[("gradient", "own_metric"), "status"] == "failed"
    assert "go from -inf to -1e+09" in rows.loc[("gradient", "own_metric"), "message"]
    assert rows.loc[("gradient", "sparseness"), "status"] == "ok"

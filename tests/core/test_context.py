"""What goes to the model beside its inputs: every component hands it on, and each copy gets that of its sample."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.builders import SHAPES, gradient, make_evaluation
from helpers.context_cases import (
    BakedRefit,
    ContextNet,
    ContextRefit,
    OtherContextNet,
    baked_view,
    context_pairs,
    context_view,
)
from helpers.explainer_cases import NAMES, capabilities, few_steps, run, spec_of

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.needs import DATA_NEEDS, missing_needs, sees_truth
from xaibench.core.problem import ProblemView
from xaibench.core.registry import components
from xaibench.core.scoring import score

METRICS = [spec for spec in components("metric") if isinstance(spec, MetricSpec) and not spec.about_programs]
OF_TEXTS = {"text", "attention"}
"""Needs of components that are tried on texts alone, see test_texts: which pieces of a text there are is a context."""
SMALL = {
    "n_samples": 6, "n_subsets": 9, "steps": 5, "epsilon": 0.02, "n_retrainings": 1, "n_repeats": 1,
    "min_accuracy": 0.0, "n_references": 3, "n_null": 3,
}  # fmt: skip
every_metric = pytest.mark.parametrize("spec", METRICS, ids=lambda s: s.name)
ALIKE = {"rtol": 1e-4, "atol": 1e-5}


def home_of(needs: frozenset[str]) -> str:
    """A table, or the next best for components that are not about tables."""
    kinds = needs & DATA_NEEDS
    if needs & OF_TEXTS:
        pytest.skip("tried on texts")
    return next(kind for kind in ("table", "image", "series") if not kinds or kind in kinds)


def home_of_explainer(name: str) -> str:
    if name in ("grad_cam", "guided_grad_cam") or spec_of(name).feature_maps_only:
        return "image"
    return home_of(spec_of(name).needs)


def explained(name: str, view: ProblemView) -> torch.Tensor:
    spec = spec_of(name)
    if spec.some_models_only:
        pytest.skip("refuses the networks here")
    missing = missing_needs(spec.needs, capabilities(view) | {"truth.mask", "truth.weights"})
    if missing:
        pytest.skip(f"needs {missing}")
    small = {n: v for n, v in SMALL.items() if n in spec.parameters and n != "steps"} | few_steps(name)
    return run(name, view, **small)


def evaluation(view: ProblemView, **given: object) -> Evaluation:
    maps = gradient(view)
    return make_evaluation(
        view, maps, kind="contribution" if view.layout.channels else "slope", pairs=context_pairs(view), **given
    )


def scored(spec: MetricSpec, ev: Evaluation) -> torch.Tensor:
    small = {name: value for name, value in SMALL.items() if name in spec.parameters}
    return score(spec, spec.bind(small), ev).values


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_explainer_gives_each_copy_the_context_of_its_sample(name: str, kind: str) -> None:
    if kind != home_of_explainer(name):
        return
    for size in (1, 7):
        view = context_view(kind, batch_size=size)
        before = view.model.n_evaluations
        maps = explained(name, view)
        assert maps.shape == (7, *view.layout.feature_shape)
        spec = spec_of(name)
        if spec.never_asks_the_model({}):
            assert view.model.n_evaluations == before
        elif not spec.control and not sees_truth(spec.needs):
            assert view.model.n_evaluations > before


@pytest.mark.parametrize("name", NAMES)
def test_an_explainer_sees_the_model_with_the_context_as_one_in_which_it_is_a_constant(name: str) -> None:
    constant = "background" in spec_of(name).needs
    whole = [
        explained(name, context_view(home_of_explainer(name), constant=constant, batch_size=b)) for b in (1, 7, 64)
    ]
    for maps in whole[1:]:
        torch.testing.assert_close(maps, whole[0], **ALIKE, equal_nan=True)
    view = context_view(home_of_explainer(name), constant=constant)
    for row in (0, 4):
        torch.testing.assert_close(
            explained(name, baked_view(view, row)), whole[0][row : row + 1], **ALIKE, equal_nan=True
        )


@every_metric
def test_every_metric_gives_each_copy_the_context_of_its_sample(spec: MetricSpec) -> None:
    if spec.needs & {"input_pair.context", "input_pair.neutral_part"}:
        pytest.skip("pairs of contexts are made for texts, and parts for pictures: test_text_metrics, test_flowers")
    view = context_view(home_of(spec.needs), batch_size=5)
    values = scored(spec, evaluation(view, retraining=ContextRefit(view)))
    assert values.ndim == 1
    assert spec.scope == "dataset" or len(values) == 7


@pytest.mark.slow
@every_metric
def test_a_metric_sees_the_model_with_the_context_as_one_in_which_it_is_a_constant(spec: MetricSpec) -> None:
    if spec.needs & {"input_pair.context", "input_pair.neutral_part"}:
        pytest.skip("pairs of contexts are made for texts, and parts for pictures: test_text_metrics, test_flowers")
    about_data = bool(spec.needs & {"background", "retrain"}) or spec.scope == "dataset"
    view = context_view(home_of(spec.needs), constant=about_data)
    found = []
    for size in (1, 7, 64):
        sized = context_view(home_of(spec.needs), constant=about_data, batch_size=size)
        found.append(scored(spec, evaluation(sized, retraining=ContextRefit(sized))))
    for values in found[1:]:
        torch.testing.assert_close(values, found[0], **ALIKE, equal_nan=True)
    if spec.scope == "dataset":
        return
    for row in (0, 4):
        own = baked_view(view, row)
        values = scored(spec, evaluation(own, retraining=BakedRefit(own, view.context["offset"][row])))
        torch.testing.assert_close(values, found[0][row : row + 1], **ALIKE, equal_nan=True)


def test_the_model_of_these_tests_notices_the_context_of_a_stranger() -> None:
    view = context_view("table")
    strangers = replace(view, context={name: values.roll(1, 0) for name, values in view.context.items()})
    for name in ("gradient", "occlusion", "lime", "lrp"):
        with pytest.raises(AssertionError, match="context of another"):
            run(name, strangers)
    with pytest.raises(AssertionError, match="reference sample"):
        run("pattern", replace(view, background_context={k: v.roll(1, 0) for k, v in view.background_context.items()}))
    with pytest.raises(TypeError):
        run("gradient", replace(view, context={}))
    with pytest.raises(UnsupportedError, match="none is known for the reference samples"):
        run("pattern", replace(view, background_context={}))
    assert OtherContextNet.check is not ContextNet.check


def test_nobody_but_gates_and_recipes_calls_a_predictor_with_copies() -> None:
    package = Path(__file__).parents[2] / "xaibench"
    calls = re.compile(r"\bmodel\.(predict|forward)\(|\bpredictor\.predict\(")
    allowed = {
        "model.forward(leaf, context)",
        "model.forward(points, context)",
        "model.predict(inputs.detach(), context)",
        "model.forward(inputs.to(self.model.device), self.context)",
        "look.predictor.predict(inputs)",
        "self.model.forward(self.samples.inputs[rows] * mask, beside)",
    }
    found = []
    for file in [*(package / "explainers").rglob("*.py"), *(package / "metrics").rglob("*.py")]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if calls.search(line) and not any(known in line for known in allowed):
                found.append(f"{file.relative_to(package)}:{number}: {line.strip()}")
    assert not found

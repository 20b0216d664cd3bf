"""MeGe and ReCo: literal definitions, known answers and shared models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from helpers.builders import TABLE, gradient, linear, make_evaluation, make_inputs, make_view
from helpers.refit import Refit
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.data import Data
from xaibench.core.draws import Draws
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.metrics.robustness import training_stability
from xaibench.metrics.robustness.training_stability import fold_of, separation

Function = Callable[[ProblemView, str], Tensor]


def run(name: str, ev: Evaluation, **params: object) -> list[float]:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values.tolist()


class Recorder(Refit):
    """Keeps what every model was fitted to."""

    def __init__(self, view: ProblemView) -> None:
        super().__init__(view)
        self.fitted: list[tuple[Data, Predictor]] = []

    def fit(self, data: Data, seed: int, *, recipe: str | None = None, epochs: int | None = None) -> Predictor:
        model = super().fit(data, seed, recipe=recipe, epochs=epochs)
        self.fitted.append((data, model))
        return model


class Unchanging(Refit):
    """The same model whatever the data, right on about half of the rows."""

    def build(self, data: Data, seed: int) -> nn.Module:
        return linear(TABLE)


def evaluation(retraining: type[Refit] = Refit, function: Function = gradient) -> Evaluation:
    view = make_view(linear(TABLE), make_inputs(TABLE, 4))
    return make_evaluation(view, function=function, retraining=retraining(view))


def test_distances_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample by sample: who has seen it, who is right, and SciPy's correlation of the maps."""
    monkeypatch.setattr(training_stability, "LEAST_PAIRS", 1)

    def slope_times_input(view: ProblemView, stream: str) -> Tensor:
        return gradient(view) * view.inputs

    ev = evaluation(Recorder, slope_times_input)
    mege, reco = run("mege", ev, n_folds=3, n_repeats=1), run("reco", ev, n_folds=3, n_repeats=1)
    assert isinstance(ev.retraining, Recorder)
    data, fitted = ev.retraining.data, ev.retraining.fitted
    assert len(fitted) == 3
    seen = [{row.tobytes() for row in d.train_inputs} for d, _ in fitted]
    agree, differ = [], []
    for (i, (_, first)), (j, (_, second)) in combinations(enumerate(fitted), 2):
        for x, y in zip(data.train_inputs, data.train_targets, strict=True):
            if (x.tobytes() in seen[i]) == (x.tobytes() in seen[j]):
                continue
            maps, right = [], []
            for model in (first, second):
                weights = model.module[1].weight.detach().numpy()
                maps.append(weights[y] * x)
                right.append(int(np.argmax(weights @ x + model.module[1].bias.detach().numpy())) == y)
            distance = math.sqrt(1 - abs(spearmanr(*maps).statistic))
            if all(right):
                agree.append(distance)
            elif any(right):
                differ.append(distance)
    assert len(agree) > 5
    assert len(differ) > 5
    assert mege == [pytest.approx(1 / (1 + np.mean(agree)), abs=1e-6)]
    assert reco == [pytest.approx(ks_2samp(agree, differ, alternative="greater").statistic, abs=1e-6)]


distances = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1), min_size=30, max_size=60)


@pytest.mark.slow
@settings(max_examples=50)
@given(distances, distances)
def test_consistency_is_the_kolmogorov_smirnov_statistic(agree: list[float], differ: list[float]) -> None:
    a, b = (torch.tensor(d, dtype=torch.float64) for d in (agree, differ))
    expected = ks_2samp(agree, differ, alternative="greater", method="asymp").statistic
    assert float(separation(a, b)) == pytest.approx(expected, abs=1e-12)


def test_consistency_of_few_disagreements_is_undefined() -> None:
    a = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert math.isnan(separation(a, 1 + a[:29]))
    assert float(separation(a, 1 + a[:30])) == 1
    assert float(separation(a, a - 1)) == 0
    assert math.isnan(separation(a[:0], a))


def test_identical_models_are_as_general_as_can_be_and_never_disagree() -> None:
    ev = evaluation(Unchanging, lambda view, stream: gradient(view) * view.inputs)
    assert run("mege", ev) == [1] * 3
    assert all(math.isnan(v) for v in run("reco", ev))


@pytest.mark.parametrize("function", [lambda v, s: v.inputs, lambda v, s: v.draws(s).normal(TABLE)])
def test_maps_that_never_look_at_the_model_are_general_and_say_nothing(function: Function) -> None:
    ev = evaluation(function=function)
    assert run("mege", ev) == [1] * 3
    assert run("reco", ev) == [0] * 3


@pytest.mark.slow
def test_constant_maps_are_undefined_and_a_few_are_left_out() -> None:
    def constant_if(share: float) -> Function:
        def explain(view: ProblemView, stream: str) -> Tensor:
            chosen = view.draws("chosen").uniform() < share
            return torch.where(chosen.unsqueeze(1), 1.0, gradient(view) * view.inputs)

        return explain

    assert all(math.isnan(v) for name in ("mege", "reco") for v in run(name, evaluation(function=constant_if(1))))
    assert all(math.isnan(v) for v in run("mege", evaluation(function=constant_if(0.8))))
    whole, most = (run("mege", evaluation(function=constant_if(share))) for share in (0, 0.2))
    assert most == [pytest.approx(v, abs=0.05) for v in whole]
    assert most != whole


def test_folds_are_equal_and_have_the_mix_of_the_whole() -> None:
    targets = torch.from_numpy(np.random.default_rng(0).integers(4, size=103))
    fold = fold_of(targets, 5, Draws(0, "a", (b"x",)))
    table = np.zeros((5, 4), dtype=int)
    np.add.at(table, (fold.numpy(), targets.numpy()), 1)
    assert np.ptp(table.sum(axis=1)) <= 1
    assert (np.ptp(table, axis=0) <= 1).all()
    assert torch.equal(fold, fold_of(targets, 5, Draws(0, "a", (b"x",))))
    assert not torch.equal(fold, fold_of(targets, 5, Draws(1, "a", (b"x",))))


def test_explainers_share_the_models_and_metrics_the_explanations() -> None:
    calls = []

    def counted(view: ProblemView, stream: str) -> Tensor:
        calls.append(len(view))
        return gradient(view) * view.inputs

    ev = evaluation(function=counted)
    fits = ev.retraining
    assert isinstance(fits, Refit)
    calls.clear()
    scores = run("mege", ev, n_repeats=2)
    assert fits.n_fits == 2 * 4
    assert sum(calls) == 2 * 4 * 60
    run("reco", ev, n_repeats=2)
    other = replace(evaluation(), retraining=fits)
    assert run("mege", other, n_repeats=2) != scores
    assert fits.n_fits == 2 * 4
    assert sum(calls) == 2 * 4 * 60


def test_another_seed_makes_other_folds_and_repeats_differ() -> None:
    ev = evaluation(function=lambda view, stream: gradient(view) * view.inputs)
    scores = run("mege", ev)
    assert len(set(scores)) == 3
    moved = make_evaluation(
        replace(make_view(linear(TABLE), make_inputs(TABLE, 4)), seed=1),
        function=lambda view, stream: gradient(view) * view.inputs,
    )
    assert not set(run("mege", moved)) & set(scores)

"""Parity with Quantus 0.6.0, where its definition is sound.

Run in an environment that has quantus: ``python -m pytest tests/parity`` (or ``nox -s parity``).

Deliberate differences, one line each:

- PixelFlipping: our curve has the unperturbed sample as its first point, Quantus' starts after the first step.
- PixelFlipping: ties go by a keyed draw here, by position there; maps here have no ties.
- PixelFlipping and FaithfulnessCorrelation: slopes are multiplied by (input - baseline) here, used as they are there.
- PixelFlipping on several channels: a feature is a pixel here, a single channel of it there; one channel is compared.
- FaithfulnessCorrelation: on logits here (the problem's output), on whatever ``softmax=`` says there.
- MaxSensitivity: both draw from U(-r, r); the explainer gets the draws of the original sample here.
- RelevanceMassAccuracy: positive part by default here, as published; the signed or absolute sum there.
- RelevanceMass/RankAccuracy, Sparseness, Complexity: maps are divided by the largest value of the batch there, which
  cancels for these four; it is switched off all the same.
- Sparseness: 1e-7 is added to every magnitude there, which is seen on maps of small numbers.
- Sparseness and Complexity of an all-zero map are undefined here, 0 or NaN there.
- Infidelity, Completeness, MPRT, RandomLogit: not compared; their definitions in 0.6.0 are at fault (see the tests of
  the metrics for what holds instead).
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, cnn, make_evaluation, make_inputs, make_view

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.metrics.engines.removal import removal_curve

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus")

pytestmark = pytest.mark.filterwarnings("ignore")
N = 12
QUIET = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}


@pytest.fixture
def ev() -> Evaluation:
    mask = make_inputs((8, 8), N, seed=3) > 0.7
    view = make_view(cnn(), make_inputs(IMAGE, N))
    return make_evaluation(view, kind="contribution", truth=Truth("model", mask))


def ours(name: str, ev: Evaluation, **params: object) -> np.ndarray:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values.numpy()


def theirs(metric, ev: Evaluation, maps: torch.Tensor | None = None, **kwargs) -> np.ndarray:
    maps = ev.attributions if maps is None else maps
    return np.array(
        metric(
            model=ev.model.module,
            x_batch=ev.inputs.numpy().copy(),
            y_batch=ev.targets.numpy().copy(),
            a_batch=maps.unsqueeze(1).numpy().copy(),
            channel_first=True,
            batch_size=N,
            **kwargs,
        )
    )


@pytest.mark.parametrize("step", [1, 4, 16])
@pytest.mark.parametrize("masker", ["zero", "mean"])
def test_pixel_flipping_curves(ev: Evaluation, step: int, masker: str) -> None:
    baseline = 0.0 if masker == "zero" else "mean"
    metric = quantus.PixelFlipping(features_in_step=step, perturb_baseline=baseline, **QUIET)
    expected = theirs(metric, ev, softmax=True)
    got = removal_curve(replace(ev, output="probability"), "morf", masker, 64 // step)
    if masker == "mean":
        # Quantus takes the mean of the already perturbed sample at every step; only the first step is the same.
        np.testing.assert_allclose(got[:, 1], expected[:, 0], rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_allclose(got[:, 1:], expected, rtol=1e-4, atol=1e-5)


def test_pixel_flipping_areas(ev: Evaluation) -> None:
    """Their area has unit steps and lacks the first point; adding it and dividing by the steps gives ours."""
    metric = quantus.PixelFlipping(features_in_step=4, perturb_baseline=0.0, **QUIET)
    curves = theirs(metric, ev, softmax=True)
    first = ev.scores(ev.inputs, output="probability").numpy()[:, None]
    expected = np.trapezoid(np.concatenate([first, curves], axis=1), axis=1) / 16
    np.testing.assert_allclose(ours("pixel_flipping", ev, steps=16, masker="zero"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sign", ["absolute", "positive"])
def test_relevance_mass_and_rank(ev: Evaluation, sign: str) -> None:
    assert ev.truth is not None
    assert ev.truth.mask is not None
    masks = ev.truth.mask.unsqueeze(1).numpy()
    positive = ev.attributions.abs() if sign == "absolute" else ev.attributions.clamp(min=0)
    mass = theirs(quantus.RelevanceMassAccuracy(**QUIET), ev, positive, s_batch=masks)
    np.testing.assert_allclose(ours("relevance_mass", ev, sign=sign), mass, rtol=1e-5)
    ranked = ev.attributions.abs() if sign == "absolute" else ev.attributions
    rank = theirs(quantus.RelevanceRankAccuracy(**QUIET), ev, ranked, s_batch=masks)
    np.testing.assert_allclose(ours("relevance_rank", ev, sign=sign), rank, rtol=1e-5)


def test_sparseness_and_complexity(ev: Evaluation) -> None:
    ev = ev.with_attributions(1000 * ev.attributions, ev.kind)
    for name, metric in (("sparseness", quantus.Sparseness), ("complexity", quantus.Complexity)):
        np.testing.assert_allclose(ours(name, ev), theirs(metric(**{**QUIET, "abs": True}), ev), rtol=1e-5)


def test_faithfulness_correlation_on_the_same_subsets(ev: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, size = 60, 16
    subsets = ev.draws(f"faithfulness_correlation/{size}").choice(64, (runs, size)).numpy()
    stream = iter(subsets.transpose(1, 0, 2).reshape(-1, size))
    monkeypatch.setattr(np.random, "choice", lambda n, k, replace: next(stream))
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=runs, subset_size=size, perturb_baseline=0.0, return_aggregate=False, **QUIET
    )
    expected = theirs(metric, ev, softmax=False)
    got = ours("faithfulness_correlation", ev, n_subsets=runs, subset_size=size, masker="zero")
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_max_sensitivity_on_the_same_noise(ev: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, radius = 8, 0.2
    noise = radius * (2 * ev.draws(f"robustness/{radius}").uniform((samples, *IMAGE)) - 1)
    stream = iter(noise.flatten(2).transpose(0, 1).numpy())
    monkeypatch.setattr(np.random, "uniform", lambda low, high, size: next(stream))

    def explain_func(model, inputs, targets, **kwargs) -> np.ndarray:
        view = make_view(ev.model, torch.as_tensor(inputs, dtype=torch.float32), targets=torch.as_tensor(targets))
        return view.gradients(view.inputs).numpy()

    metric = quantus.MaxSensitivity(nr_samples=samples, lower_bound=radius, **QUIET)
    expected = theirs(metric, ev, explain_func=explain_func)
    got = ours("max_sensitivity", ev, n_samples=samples, radius=radius)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)

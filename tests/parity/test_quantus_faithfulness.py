"""Parity with Quantus 0.6.0 for the faithfulness of single features and of populations, where its definition is sound.

Deliberate differences, one line each:

- FaithfulnessEstimate: attributions are used as given there; slopes are multiplied by (input - baseline) here first.
- FaithfulnessEstimate on several channels: a feature is a pixel here, a single channel of it there; one is compared.
- MonotonicityCorrelation: changes are weighed by 1 / f(x)^2 there, which no rank correlation sees.
- NonSensitivity: both thresholds are one absolute number there, shares of the map and of the output here.
- NonSensitivity: a count there, a share here; features are redrawn here, set to a baseline there.
- Consistency and Sufficiency: the population is the batch there, so a score depends on it; the background here.
- Consistency and Sufficiency: 0 there where no other sample shares the explanation, undefined here.
- Consistency: ``top_n_sign`` takes the signs of the first n features there, whatever their attributions; the features
  of largest magnitude with their signs here. A discretisation of our kind is handed over.
- Sufficiency: distances are divided by the largest of the batch there; cosine distances as they are here.
- Monotonicity (Arya et al. 2019): not compared, it is True for every map there, as a test shows.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, cnn, linear, make_evaluation, make_inputs, make_view
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.metrics.engines.feature_effects import drawn_masker

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus")

pytestmark = pytest.mark.filterwarnings("ignore")
N = 12
QUIET = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}


@pytest.fixture
def ev() -> Evaluation:
    return make_evaluation(make_view(cnn(), make_inputs(IMAGE, N)), kind="contribution")


def ours(name: str, ev: Evaluation, **params: object) -> np.ndarray:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values.numpy()


def theirs(metric, ev: Evaluation, **kwargs) -> np.ndarray:
    found = metric(
        model=ev.model.module,
        x_batch=ev.inputs.numpy().copy(),
        y_batch=ev.targets.numpy().copy(),
        a_batch=ev.attributions.unsqueeze(1).numpy().copy(),
        channel_first=True,
        batch_size=N,
        softmax=False,
        **kwargs,
    )
    return np.array(found, dtype=float)


@pytest.mark.parametrize("step", [1, 4, 16])
@pytest.mark.parametrize("masker", ["zero", "mean"])
def test_faithfulness_estimate(ev: Evaluation, step: int, masker: str) -> None:
    baseline = 0.0 if masker == "zero" else "mean"
    metric = quantus.FaithfulnessEstimate(features_in_step=step, perturb_baseline=baseline, **QUIET)
    got = ours("faithfulness_estimate", ev, subset_size=step, masker=masker)
    np.testing.assert_allclose(got, theirs(metric, ev), rtol=1e-4, atol=1e-5)


def filling(fills: list[Tensor]):
    """A perturbation for Quantus, feature by feature and draw by draw, with our random values."""
    calls = iter(range(10**9))

    def perturb(arr, indices, **kwargs):
        fill = fills[next(calls) % len(fills)].flatten(1).numpy()
        out = arr.copy()
        np.put_along_axis(out, indices, np.take_along_axis(fill, indices, axis=1), axis=1)
        return out

    return perturb


def test_monotonicity_correlation_with_the_same_values(ev: Evaluation) -> None:
    draws = 3
    fills = [drawn_masker(ev, "uniform", draw).fill for draw in range(draws)]
    metric = quantus.MonotonicityCorrelation(nr_samples=draws, features_in_step=1, **{**QUIET, "abs": True})
    metric.perturb_func = filling(fills)
    got = ours("monotonicity_correlation", ev, n_samples=draws)
    np.testing.assert_allclose(got, theirs(metric, ev), rtol=1e-3, atol=1e-3)


def test_non_sensitivity_with_the_same_values() -> None:
    module = linear(IMAGE)
    with torch.no_grad():
        module[1].weight[:, ::3] = 0
    view = make_view(module, make_inputs(IMAGE, N))
    maps = make_inputs((8, 8), N, seed=4) * (make_inputs((8, 8), N, seed=5) > 0)
    ev = make_evaluation(view, maps, kind="contribution")
    metric = quantus.NonSensitivity(eps=1e-5, features_in_step=1, **{**QUIET, "abs": True})
    metric.perturb_func = filling([drawn_masker(ev, "uniform", 0).fill])
    expected = theirs(metric, ev)
    assert 10 < expected.min() < expected.max() < 54
    np.testing.assert_allclose(64 * ours("non_sensitivity", ev, n_samples=1), expected, rtol=1e-6)


def among_themselves(view: ProblemView) -> Evaluation:
    """The samples as their own population: no sample counts as its own reference, here and there."""
    return make_evaluation(replace(view, background=view.inputs), kind="contribution")


@pytest.fixture
def crowd() -> Evaluation:
    """Samples with a few features, so that some share an explanation."""
    inputs = torch.zeros(N, *IMAGE)
    inputs[:, 0, 0, :4] = make_inputs((4,), N)
    return among_themselves(make_view(linear(IMAGE), inputs))


@pytest.mark.parametrize("k", [1, 2])
def test_consistency_of_the_same_discretisation(crowd: Evaluation, k: int) -> None:
    def top_signs(a: np.ndarray) -> int:
        top = np.sort(np.argsort(-np.abs(a), kind="stable")[:k])
        return hash((tuple(top), tuple(np.sign(a[top]))))

    metric = quantus.Consistency(discretise_func=top_signs, **QUIET)
    got = ours("consistency", crowd, k=k)
    assert np.isfinite(got).any()
    np.testing.assert_allclose(np.nan_to_num(got), theirs(metric, crowd), rtol=1e-5, atol=1e-6)


def test_their_discretisation_looks_at_the_first_features_only() -> None:
    first, second = np.array([1.0, 1, 1, 1, 1, 0, 9]), np.array([1.0, 1, 1, 1, 1, 9, 0])
    top_n_sign = quantus.functions.discretise_func.top_n_sign
    assert top_n_sign(first) == top_n_sign(second)


@pytest.mark.parametrize("threshold", [0.2, 0.6])
def test_sufficiency_of_cosine_distances(crowd: Evaluation, threshold: float) -> None:
    metric = quantus.Sufficiency(
        threshold=threshold, distance_func="cosine", normalise_func=lambda distances: distances, **QUIET
    )
    got = ours("sufficiency_distance", crowd, threshold=threshold)
    assert np.isfinite(got).any()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantus.metrics.faithfulness.sufficiency.cdist", _cosine)
        np.testing.assert_allclose(np.nan_to_num(got), theirs(metric, crowd), rtol=1e-5, atol=1e-6)


def _cosine(a: np.ndarray, b: np.ndarray, name: str, V: None) -> np.ndarray:  # noqa: N803
    """SciPy's distances: Quantus hands every one of them an argument that only one knows."""
    from scipy.spatial.distance import cdist

    return cdist(a, b, name)


def test_monotonicity_is_true_for_every_map_there() -> None:
    """Also for a map that adds the features of a linear model in the very wrong order; ours is 0."""
    view = make_view(linear(IMAGE), make_inputs(IMAGE, N))
    parts = view.gradients(view.inputs)[:, 0] * view.inputs[:, 0]
    for sign in (1, -1):
        ev = make_evaluation(view, sign * parts, kind="contribution")
        metric = quantus.Monotonicity(features_in_step=1, perturb_baseline=0.0, **QUIET)
        assert theirs(metric, ev).tolist() == [True] * N
        tolerance = 1e-5 if sign == 1 else 0
        assert ours("monotonicity", ev, steps=64, masker="zero", tolerance=tolerance).tolist() == [sign == 1] * N

"""Parity with Quantus 0.6.0 of localisation and complexity, per sample, on shared maps.

Run in an environment that has quantus: ``python -m pytest tests/parity`` (or ``nox -s parity``).

Deliberate differences, one line each:

- Normalisation: maps are divided by the largest value of the batch there; never here. It is switched off.
- PointingGame: an empty mask is undefined here, a hit there.
- PointingGame: of equal maxima one is drawn here, any of them counts there, so a constant map always hits.
- PointingGame: a tolerance in pixels here, none there; ``weighted`` there fails on batches of different masks.
- TopKIntersection: k is 2 % of the features by default here, 1000 there whatever the size of the input.
- TopKIntersection: ties go by a keyed draw here, by position there; maps here have no ties.
- AUC: a mask that covers everything is undefined in both.
- AttributionLocalisation: the positive part by default here, as published, magnitudes there.
- AttributionLocalisation: ``weighted`` divides by the share of the mask here, as published; there it multiplies by
  the size of the mask over the numbers in all of the batch but its first two inputs.
- AttributionLocalisation, RelevanceMassAccuracy: a map without relevance is undefined here, 0 or NaN there.
- RelevanceMass/RankAccuracy: a mask that covers everything is undefined here, 1 there.
- Sparseness: 1e-7 is added to every magnitude there, which is seen on maps of small numbers.
- EffectiveComplexity: the same count; what it is applied to is scaled by the batch there unless switched off.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, TABLE, cnn, make_evaluation, make_inputs, make_view, mlp

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus")

pytestmark = pytest.mark.filterwarnings("ignore")
N = 12
QUIET = {"disable_warnings": True, "display_progressbar": False, "normalise": False}
SIGNED, ABSOLUTE = {**QUIET, "abs": False}, {**QUIET, "abs": True}


def evaluation(shape: tuple[int, ...]) -> Evaluation:
    view = make_view(mlp(shape) if shape == TABLE else cnn(shape), make_inputs(shape, N))
    mask = make_inputs(view.layout.feature_shape, N, seed=3) > 0.7
    maps = make_inputs(view.layout.feature_shape, N, seed=4) + mask
    return make_evaluation(view, maps, kind="contribution", truth=Truth("model", mask))


@pytest.fixture(params=[IMAGE, RGB], ids=["one channel", "rgb"])
def ev(request: pytest.FixtureRequest) -> Evaluation:
    return evaluation(request.param)


def ours(name: str, ev: Evaluation, **params: object) -> np.ndarray:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values.numpy()


def theirs(metric, ev: Evaluation, maps: torch.Tensor | None = None) -> np.ndarray:
    """Tables go in as (N, 1, F), the shape that Quantus takes."""
    maps = ev.attributions if maps is None else maps
    inputs = ev.inputs if ev.layout.kind == "image" else ev.inputs.unsqueeze(1)
    assert ev.truth is not None
    assert ev.truth.mask is not None
    return np.array(
        metric(
            model=ev.model.module,
            x_batch=inputs.numpy().copy(),
            y_batch=ev.targets.numpy().copy(),
            a_batch=maps.unsqueeze(1).numpy().copy(),
            s_batch=ev.truth.mask.unsqueeze(1).numpy().copy(),
            channel_first=True,
            batch_size=N,
        ),
        dtype=float,
    )


@pytest.mark.parametrize("sign", ["signed", "absolute"])
@pytest.mark.parametrize(
    ("name", "make", "params"),
    [
        ("pointing_game", lambda flags: quantus.PointingGame(**flags), {}),
        ("top_k_intersection", lambda flags: quantus.TopKIntersection(k=7, **flags), {"k": 7}),
        ("localisation_auc", lambda flags: quantus.AUC(**flags), {}),
    ],
)
def test_rankings(ev: Evaluation, name: str, make, params: dict[str, object], sign: str) -> None:
    expected = theirs(make(ABSOLUTE if sign == "absolute" else SIGNED), ev)
    assert len(set(expected)) > 1
    np.testing.assert_allclose(ours(name, ev, sign=sign, **params), expected, rtol=1e-5)


@pytest.mark.parametrize("sign", ["positive", "absolute"])
def test_masses(ev: Evaluation, sign: str) -> None:
    amounts = ev.attributions.abs() if sign == "absolute" else ev.attributions.clamp(min=0)
    mass = theirs(quantus.RelevanceMassAccuracy(**SIGNED), ev, amounts)
    inside = theirs(quantus.AttributionLocalisation(weighted=False, **SIGNED), ev, amounts)
    np.testing.assert_allclose(ours("relevance_mass", ev, sign=sign), mass, rtol=1e-5)
    np.testing.assert_allclose(ours("attribution_localisation", ev, weighted=False, sign=sign), inside, rtol=1e-5)
    if sign == "positive":
        np.testing.assert_allclose(ours("positive_attribution_ratio", ev), mass, rtol=1e-5)
    ranked = ev.attributions.abs() if sign == "absolute" else ev.attributions
    rank = theirs(quantus.RelevanceRankAccuracy(**SIGNED), ev, ranked)
    np.testing.assert_allclose(ours("relevance_rank", ev, sign=sign), rank, rtol=1e-5)


@pytest.mark.parametrize("shape", [IMAGE, RGB, TABLE])
def test_complexities(shape: tuple[int, ...]) -> None:
    ev = evaluation(shape)
    large = ev.with_attributions(1000 * ev.attributions, ev.kind)
    np.testing.assert_allclose(ours("sparseness", large), theirs(quantus.Sparseness(**ABSOLUTE), large), rtol=1e-5)
    np.testing.assert_allclose(ours("complexity", ev), theirs(quantus.Complexity(**ABSOLUTE), ev), rtol=1e-5)
    for epsilon in (1e-5, 0.5):
        expected = theirs(quantus.EffectiveComplexity(eps=epsilon, **ABSOLUTE), ev)
        np.testing.assert_array_equal(ours("effective_complexity", ev, epsilon=epsilon), expected)


def test_an_empty_mask_is_a_hit_for_them_and_undefined_here(ev: Evaluation) -> None:
    assert ev.truth is not None
    assert ev.truth.mask is not None
    ev.truth.mask[0] = False
    assert theirs(quantus.PointingGame(**SIGNED), ev)[0] == 1
    assert np.isnan(ours("pointing_game", ev)[0])


def test_a_constant_map_always_hits_for_them_and_as_often_as_chance_here(ev: Evaluation) -> None:
    ev.attributions[1:] = 0.3  # a batch of nothing but constant maps is refused there
    assert theirs(quantus.PointingGame(**SIGNED), ev)[1:].tolist() == [1] * (N - 1)
    assert ours("pointing_game", ev)[1:].mean() < 0.8


def test_masks_of_everything_and_maps_of_nothing(ev: Evaluation) -> None:
    assert ev.truth is not None
    assert ev.truth.mask is not None
    ev.truth.mask[0] = True
    ev.attributions[1] = 0
    auc, share, mass, rank = (
        theirs(metric(**SIGNED), ev, ev.attributions.clamp(min=0))
        for metric in (
            quantus.AUC, quantus.AttributionLocalisation, quantus.RelevanceMassAccuracy, quantus.RelevanceRankAccuracy,
        )
    )  # fmt: skip
    assert np.isnan([auc[0], mass[1]]).all()
    assert [share[1], rank[0], round(mass[0], 6)] == [0, 1, 1]
    assert np.isnan(ours("localisation_auc", ev)[0])
    assert np.isnan(ours("relevance_rank", ev)[0])
    for name in ("relevance_mass", "attribution_localisation"):
        assert np.isnan(ours(name, ev)[:2]).all()


def test_their_weighted_pointing_game_fails(ev: Evaluation) -> None:
    with pytest.raises(TypeError, match="1-dimensional"):
        theirs(quantus.PointingGame(weighted=True, **SIGNED), ev)


def test_their_area_weight_depends_on_the_batch(ev: Evaluation) -> None:
    """Ours is the share of relevance over the share of the mask: the same alone and in any batch."""
    assert ev.truth is not None
    assert ev.truth.mask is not None
    view = make_view(ev.model, ev.inputs[:4], targets=ev.targets[:4])
    few = make_evaluation(view, ev.attributions[:4], kind="contribution", truth=Truth("model", ev.truth.mask[:4]))
    metric = quantus.AttributionLocalisation(weighted=True, **ABSOLUTE)
    assert not np.allclose(theirs(metric, few), theirs(metric, ev)[:4], rtol=0.5)
    share = ev.truth.mask.flatten(1).float().mean(dim=1).numpy()
    expected = theirs(quantus.AttributionLocalisation(weighted=False, **ABSOLUTE), ev) / share
    np.testing.assert_allclose(ours("attribution_localisation", ev, sign="absolute"), expected, rtol=1e-5)
    np.testing.assert_allclose(ours("attribution_localisation", few, sign="absolute"), expected[:4], rtol=1e-5)

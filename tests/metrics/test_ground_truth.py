"""Scores against true masks: by hand, against scikit-learn and SciPy, and what every ground-truth metric promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_evaluation, make_inputs, make_view
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import components, get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.metrics.maps.masks import dilate
from xaibench.metrics.maps.orders import top_size

COMPARED = ("model_pair", "input_pair")
"""Metrics of other models and inputs, and of all samples at once, have tests of their own."""
SPECS = [
    s
    for s in components("metric")
    if isinstance(s, MetricSpec) and s.family == "ground_truth" and s.scope == "sample"
    if not s.about_programs
    if not any(need.startswith(COMPARED) for need in s.needs)
    if not s.needs & {"series", "truth.signs"}  # tests/metrics/test_temporal.py, test_evidence_signs.py
]
every_metric = pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
REGION = {"object_share"}
"""The brightness of a region says something where the region is everything, too."""
every_mask_metric = pytest.mark.parametrize(
    "spec", [s for s in SPECS if "truth.mask" in s.needs and s.name not in REGION], ids=lambda s: s.name
)
nan = math.nan
few = st.integers(-3, 3).map(float)  # many ties


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def evaluation(maps: Tensor, truth: Truth, kind: str = "contribution") -> Evaluation:
    """Maps (N, F) of a table or (N, H, W) of an image; these metrics never look at the model."""
    shape = tuple(maps.shape[1:]) if maps.ndim == 2 else (1, *maps.shape[1:])
    view = make_view(linear(shape), make_inputs(shape, len(maps)))
    return make_evaluation(view, maps, kind=kind, truth=truth)


def masked(maps: list[list[float]] | np.ndarray | Tensor, mask: list[list[int]] | np.ndarray | Tensor) -> Evaluation:
    """Everything outside of the mask is a distractor."""
    true = torch.as_tensor(mask).bool()
    return evaluation(torch.as_tensor(maps, dtype=torch.float32), Truth("model", true, distractors=~true))


def planted(n: int = 60, side: int = 8, *, seed: int = 0) -> Truth:
    """A rectangle and weights of its own per image; half of the rest are distractors."""
    rng = np.random.default_rng(seed)
    mask = torch.zeros(n, side, side, dtype=torch.bool)
    for row in mask:
        (top, left), (height, width) = rng.integers(0, side - 3, 2), rng.integers(2, 5, 2)
        row[top : top + height, left : left + width] = True
    weights = make_inputs((side, side), n, seed=seed + 1)
    return Truth("model", mask, weights, ~mask & (weights > 0), {"zero": weights})


def oracle(spec: MetricSpec, truth: Truth) -> Evaluation:
    if "truth.contributions" in spec.needs:
        assert truth.contributions is not None
        return evaluation(truth.contributions["zero"], truth, "contribution")
    if "truth.weights" in spec.needs:
        assert truth.weights is not None
        return evaluation(truth.weights, truth, "slope")
    assert truth.mask is not None
    return evaluation(truth.mask.float(), truth, "saliency")


A = [0.5, -3.0, 2.0, 0.1, 0.0, -0.4]
MASKS = [[0, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0] * 6, [1] * 6]


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("top_k_intersection", {"k": 2}, [1 / 2, 1, 0]),
        ("top_k_intersection", {"k": 4}, [1 / 4, 2 / 4, 2 / 4]),
        ("top_k_intersection", {"k": 2, "sign": "absolute"}, [1, 1 / 2, 0]),
        ("top_k_intersection", {"k": 0.4}, [1 / 3, 2 / 3, 1 / 3]),
        ("top_k_intersection", {}, [1, 1, 0]),
        ("pointing_game", {}, [1, 1, 0]),
        ("pointing_game", {"sign": "absolute"}, [1, 0, 0]),
        ("positive_attribution_ratio", {}, [2 / 2.6, 2.5 / 2.6, 0.1 / 2.6]),
        ("attribution_localisation", {"weighted": False}, [2 / 2.6, 2.5 / 2.6, 0.1 / 2.6]),
        ("attribution_localisation", {}, [6 / 2.6, 7.5 / 2.6, 0.2 / 2.6]),
        ("attribution_localisation", {"sign": "absolute"}, [15 / 6, 7.5 / 6, 1 / 6]),
        ("localisation_auc", {}, [4 / 8, 8 / 8, 3 / 9]),
        ("localisation_auc", {"sign": "absolute"}, [8 / 8, 6 / 8, 0]),
        ("auprc", {}, [(1 + 2 / 6) / 2, 1, (1 / 3 + 2 / 4 + 3 / 5) / 3]),
        ("aur", {}, [(0 + 1) / 2, (0.7 + 1) / 2, (0.62 + 0.6 + 0.52) / 3]),
        (
            "aup",
            {},
            [
                0.3 * 1 + 0.08 / 2 + 0.02 / 3 + 0.08 / 4 + 0.52 / 5,
                0.3 * 1 + 0.08 * 1 + 0.02 * 2 / 3 + 0.08 * 2 / 4 + 0.52 * 2 / 5,
                0.08 * 0 + 0.02 / 3 + 0.08 * 2 / 4 + 0.52 * 3 / 5,
            ],
        ),
    ],
)
def test_masks_by_hand(name: str, params: dict[str, object], expected: list[float]) -> None:
    np.testing.assert_allclose(run(name, masked([A] * 5, MASKS), **params), [*expected, nan, nan], rtol=1e-6)


def test_the_positive_attribution_ratio_is_the_relevance_mass() -> None:
    maps, mask = make_inputs((9,), 40), make_inputs((9,), 40, seed=1) > 0
    maps[0] = -maps[0].abs()
    ev = masked(maps, mask)
    assert torch.equal(run("positive_attribution_ratio", ev).nan_to_num(-1), run("relevance_mass", ev).nan_to_num(-1))
    assert bool(run("positive_attribution_ratio", ev)[0].isnan())


def test_a_uniform_map_scores_one_in_attribution_localisation() -> None:
    mask = make_inputs((9,), 20, seed=1) > 0.5
    mask[:, 0], mask[:, 1] = True, False
    np.testing.assert_allclose(run("attribution_localisation", masked(torch.full((20, 9), 0.3), mask)), 1, rtol=1e-6)
    best = run("attribution_localisation", masked(mask.float(), mask))
    np.testing.assert_allclose(best, 9 / mask.sum(dim=1), rtol=1e-6)


def test_a_top_k_of_the_size_of_the_mask_is_the_relevance_rank() -> None:
    maps = make_inputs((12,), 30)
    mask = torch.zeros(30, 12, dtype=torch.bool)
    mask[:, :5] = True
    ev = masked(maps, mask)
    assert torch.equal(run("top_k_intersection", ev, k=5), run("relevance_rank", ev))
    assert not torch.equal(run("top_k_intersection", ev, k=4), run("relevance_rank", ev))


@pytest.mark.parametrize(
    ("k", "n", "size"), [(3, 6, 3), (0.25, 20, 5), (0.25, 21, 6), (0.07, 100, 7), (0.02, 6, 1), (0.02, 224**2, 1004)]
)
def test_shares_are_rounded_up(k: float, n: int, size: int) -> None:
    assert top_size(k, n) == size


@pytest.mark.parametrize("name", ["top_k_intersection", "feature_agreement"])
@pytest.mark.parametrize("k", [0, 0.0, 1.0, 1.5, -2, True, "3"])
def test_a_k_that_is_neither_number_nor_share_is_refused(name: str, k: object) -> None:
    with pytest.raises(UsageError, match="k = "):
        get("metric", name).bind({"k": k})


def test_more_features_than_there_are_cannot_be_asked_for() -> None:
    ev = evaluation(make_inputs((6,), 3), Truth("model", make_inputs((6,), 3) > 0, make_inputs((6,), 3)))
    for name in ("top_k_intersection", "feature_agreement"):
        with pytest.raises(UnsupportedError, match="6 features"):
            run(name, ev, k=7)


def test_of_equal_maxima_one_is_drawn() -> None:
    mask = torch.zeros(400, 10, dtype=torch.bool)
    mask[:, :3] = True
    maps = torch.zeros(400, 10)
    assert run("pointing_game", masked(maps, mask)).mean().item() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 400))
    maps[:, [0, 9]] = 1
    hits = run("pointing_game", masked(maps, mask))
    assert hits.unique().tolist() == [0, 1]
    assert hits.mean().item() == pytest.approx(0.5, abs=4 * 0.5 / 20)


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda shape: arrays(bool, (2, *shape))), st.integers(0, 6)
)
def test_dilation_reaches_as_far_as_the_euclidean_distance(mask: np.ndarray, radius: int) -> None:
    for one, grown in zip(mask, dilate(torch.from_numpy(mask), radius).numpy(), strict=True):
        near = ndimage.distance_transform_edt(~one) <= radius if one.any() else one
        np.testing.assert_array_equal(grown, near)


def test_a_near_miss_counts_within_the_tolerance() -> None:
    maps, mask = torch.zeros(3, 9, 9), torch.zeros(3, 9, 9, dtype=torch.bool)
    mask[:, 4, 4] = True
    for row, (y, x) in enumerate([(4, 6), (6, 6), (0, 4)]):  # 2, sqrt(8) and 4 pixels away
        maps[row, y, x] = 1
    ev = masked(maps, mask)
    hits = {t: run("pointing_game", ev, tolerance=t).tolist() for t in (0, 1, 2, 3, 4)}
    assert hits == {0: [0, 0, 0], 1: [0, 0, 0], 2: [1, 0, 0], 3: [1, 1, 0], 4: [1, 1, 1]}
    assert bool(run("pointing_game", ev, tolerance=8).isnan().all())  # nobody can miss
    with pytest.raises(UnsupportedError, match="images"):
        run("pointing_game", masked([A], MASKS[:1]), tolerance=1)


@pytest.mark.slow
@settings(max_examples=80)
@given(
    st.integers(2, 15).flatmap(lambda n: st.tuples(arrays(np.float32, (2, n), elements=few), arrays(bool, (2, n)))),
    st.sampled_from(["signed", "absolute"]),
)
def test_areas_are_those_of_scikit_learn(pair: tuple[np.ndarray, np.ndarray], sign: str) -> None:
    maps, mask = pair
    auc, ap = (run(name, masked(maps, mask), sign=sign) for name in ("localisation_auc", "auprc"))
    for row, (a, m) in enumerate(zip(np.abs(maps) if sign == "absolute" else maps, mask, strict=True)):
        if m.any() and not m.all():
            assert auc[row].item() == pytest.approx(roc_auc_score(m, a), abs=1e-6)
            assert ap[row].item() == pytest.approx(average_precision_score(m, a), abs=1e-6)
        else:
            assert bool(auc[row].isnan())
            assert bool(ap[row].isnan())


def test_areas_over_thresholds_of_a_map_of_two_values() -> None:
    """Every threshold finds the same set: precision and recall of the upper value."""
    a = [[2.0, 2, 2, 2, -1, -1, -1, -1, -1]]
    m = [[1, 1, 1, 0, 0, 0, 0, 1, 1]]
    assert run("aup", masked(a, m)).item() == pytest.approx(3 / 4)
    assert run("aur", masked(a, m)).item() == pytest.approx(3 / 5)
    assert [run(n, masked(m, m)).item() for n in ("aup", "aur")] == [1, 1]


def test_areas_over_thresholds_by_quadrature() -> None:
    maps, mask = make_inputs((20,), 6), make_inputs((20,), 6, seed=1) > 0.3
    maps[:3] = maps[:3].round(decimals=1)  # ties
    got = {name: run(name, masked(maps, mask)) for name in ("aup", "aur")}
    n = 100_000
    for row, (a, m) in enumerate(zip(maps.double().numpy(), mask.numpy(), strict=True)):
        scaled = (a - a.min()) / (a.max() - a.min())
        above = scaled >= (np.arange(n)[:, None] + 0.5) / n
        hits = (above & m).sum(axis=1)
        assert got["aup"][row].item() == pytest.approx((hits / above.sum(axis=1)).mean(), abs=1e-4)
        assert got["aur"][row].item() == pytest.approx((hits / m.sum()).mean(), abs=1e-4)


def test_only_areas_over_thresholds_feel_a_monotone_transform() -> None:
    maps, mask = make_inputs((20,), 10).abs(), make_inputs((20,), 10, seed=1) > 0.3
    ev, squared = masked(maps, mask), masked(maps.square(), mask)
    for name in ("aup", "aur"):
        assert (run(name, ev) - run(name, squared)).abs().min() > 1e-3
    for name in ("auprc", "localisation_auc", "relevance_rank", "pointing_game", "top_k_intersection"):
        assert torch.equal(run(name, ev), run(name, squared))


def test_flat_maps_have_the_scores_of_chance_or_none() -> None:
    ev = masked([[0.0] * 8, [0.3] * 8, [0.3] * 7 + [0.3 + 2**-25]], [[1, 1, 0, 0, 0, 0, 0, 0]] * 3)
    np.testing.assert_allclose(run("localisation_auc", ev)[:2], 0.5)
    np.testing.assert_allclose(run("auprc", ev)[:2], 0.25)
    for name in ("aup", "aur"):
        assert bool(run(name, ev).isnan().all())  # the last bit of float32 is not news


@every_mask_metric
def test_masks_that_say_nothing_are_undefined(spec: MetricSpec) -> None:
    mask = torch.stack([torch.zeros(6, 6), torch.ones(6, 6), torch.eye(6)]).bool()
    values = score(spec, spec.bind({}), masked(make_inputs((6, 6), 3), mask)).values
    # The balance among the true features asks nothing of the others; where all are relevant, none is overrated.
    assert values.isnan().tolist() == [True, spec.name not in ("mass_balance", "relevance_issue"), False]


@every_metric
def test_the_oracle_beats_noise(spec: MetricSpec) -> None:
    truth = planted()
    best = oracle(spec, truth)
    noise = best.with_attributions(make_inputs((8, 8), len(best), seed=7), best.kind)
    values = [score(spec, spec.bind({}), ev).values.double() for ev in (best, noise)]
    assert bool(torch.isfinite(torch.stack(values)).all())
    lead = (values[0] - values[1]) * (1 if spec.higher_is_better else -1)
    assert lead.mean() - 2 * lead.std() / math.sqrt(len(lead)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("spec", [s for s in SPECS if s.skill_valid], ids=lambda s: s.name)
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), power=st.sampled_from([0, 1, 5]))
def test_no_map_beats_the_oracle_where_skill_is_valid(spec: MetricSpec, seed: int, share: float, power: int) -> None:
    """Random signs and sizes, mixed with the truth in any proportion, from flat maps to single peaks."""
    truth = planted(6, seed=seed)
    best = oracle(spec, truth)
    noise = make_inputs((8, 8), 6, seed=seed + 2)
    maps = share * best.attributions + (1 - share) * noise.sign() * noise.abs() ** power
    sign = 1 if spec.higher_is_better else -1
    rival = best.with_attributions(maps, best.kind)
    top, other = (sign * score(spec, spec.bind({}), ev).values for ev in (best, rival))
    assert bool((other.nan_to_num(-math.inf) <= top + 1e-6).all())


def test_metrics_of_one_explanation_share_their_work_without_harm() -> None:
    ev = evaluation(make_inputs((6, 6), 5), planted(5, 6))
    variants: list[tuple[MetricSpec, dict[str, object]]] = [(s, {}) for s in SPECS]
    variants += [(s, {"sign": "absolute"}) for s in SPECS if s.takes("sign")]
    for spec, params in [*variants, *reversed(variants)]:
        alone = ev.with_attributions(ev.attributions, ev.kind)
        assert torch.equal(score(spec, spec.bind(params), ev).values, score(spec, spec.bind(params), alone).values)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [s for s in SPECS if s.scale_invariant], ids=lambda s: s.name)
@settings(max_examples=8)
@given(seed=st.integers(0, 1000), exponent=st.integers(-20, 20))
def test_the_unit_of_a_map_does_not_matter(spec: MetricSpec, seed: int, exponent: int) -> None:
    ev = evaluation(make_inputs((6, 6), 4, seed=seed), planted(4, 6, seed=seed))
    scaled = ev.with_attributions(ev.attributions * 2.0**exponent, ev.kind)
    values = [score(spec, spec.bind({}), e).values for e in (ev, scaled)]
    np.testing.assert_allclose(values[1], values[0], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [s for s in SPECS if s.name not in ("emd", "shortcut_rank")], ids=lambda s: s.name)
@settings(max_examples=8)
@given(seed=st.integers(0, 1000))
def test_the_place_of_a_feature_does_not_matter(spec: MetricSpec, seed: int) -> None:
    truth, maps = planted(4, 6, seed=seed), make_inputs((6, 6), 4, seed=seed + 5)
    shuffle = torch.from_numpy(np.random.default_rng(seed).permutation(36))
    assert truth.mask is not None
    assert truth.weights is not None
    assert truth.distractors is not None
    moved = [t.flatten(1)[:, shuffle].view(4, 6, 6) for t in (maps, truth.mask, truth.weights, truth.distractors)]
    values = score(spec, spec.bind({}), evaluation(maps, truth)).values
    again = score(spec, spec.bind({}), evaluation(moved[0], Truth("model", *moved[1:], {"zero": moved[2]}))).values
    np.testing.assert_allclose(again, values, rtol=1e-5, atol=1e-6)


def test_effective_complexity_counts_magnitudes_above_its_threshold() -> None:
    ev = masked([[0.0] * 6, [1e-5, -1e-5, 2e-5, -2e-5, 0, 1], [0.3, -0.3, 0.2, -0.4, 0.5, 0.1]], [MASKS[0]] * 3)
    assert run("effective_complexity", ev).tolist() == [0, 3, 6]
    assert run("effective_complexity", ev, epsilon=0.25).tolist() == [0, 1, 4]
    assert run("effective_complexity", ev, epsilon=0).tolist() == [0, 5, 6]
    with pytest.raises(UsageError):
        get("metric", "effective_complexity").bind({"epsilon": -1})

"""Published estimators of areas under precision and recall, information and entropy: against scikit-learn and loops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_evaluation, make_inputs, make_view
from sklearn.metrics import auc, average_precision_score, precision_recall_curve
from torch import Tensor

import xaibench as xb
from xaibench.analysis.leaderboard.columns import NO_RANKS
from xaibench.analysis.ranks.overall import overall
from xaibench.cli.listing import show_component
from xaibench.core.components import MetricSpec
from xaibench.core.errors import UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.report.overview import legend, overview

N, F = 6, 40


def spec_of(name: str) -> MetricSpec:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return spec


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = spec_of(name)
    return score(spec, spec.bind(params), ev).values


def evaluation(maps: Tensor, mask: Tensor) -> Evaluation:
    view = make_view(linear((maps.shape[1],)), make_inputs((maps.shape[1],), len(maps)))
    return make_evaluation(view, maps, kind="contribution", truth=Truth("model", mask=mask))


def drawn(seed: int, *, levels: int | None = None) -> tuple[Tensor, Tensor]:
    """Maps with values of both signs, tied where there are few levels, and masks."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((N, F))
    if levels is not None:
        maps = np.round(maps * levels) / levels
    mask = rng.random((N, F)) < 0.3
    mask[:, 0], mask[:, 1] = True, False
    return torch.from_numpy(maps.astype(np.float32)), torch.from_numpy(mask)


def unit(values: np.ndarray) -> np.ndarray:
    """Magnitudes of one sample, scaled to [0, 1]; the loop's own arithmetic."""
    size = np.abs(values.astype(np.float64))
    span = size.max() - size.min()
    return (size - size.min()) / span if span > 0 else np.zeros_like(size)


def published(s: np.ndarray, y: np.ndarray) -> dict[str, float]:
    precision, recall, thresholds = precision_recall_curve(y, s)
    if len(thresholds) < 2:
        return {"aup": 0.0, "aur": 0.0, "auprc": auc(recall, precision)}
    return {
        "aup": auc(thresholds, precision[:-1]),
        "aur": auc(thresholds, recall[:-1]),
        "auprc": auc(recall, precision),
    }


@pytest.mark.parametrize("name", ["aup", "aur", "auprc"])
@pytest.mark.parametrize("levels", [None, 2, 1])
def test_published_areas_are_scikit_learns(name: str, levels: int | None) -> None:
    maps, mask = drawn(1, levels=levels)
    found = run(name, evaluation(maps, mask), estimator="published")
    expected = [published(unit(m), y)[name] for m, y in zip(maps.numpy(), mask.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["aup", "aur", "auprc"])
@pytest.mark.parametrize("levels", [None, 2])
def test_pooled_areas_are_of_all_samples_scaled_one_by_one(name: str, levels: int | None) -> None:
    maps, mask = drawn(2, levels=levels)
    maps[3] *= 1e4  # the unit of one map does not matter
    found = run(name, evaluation(maps, mask), estimator="published", pooled=True)
    pooled = np.concatenate([unit(m) for m in maps.numpy()])
    np.testing.assert_allclose(found, [published(pooled, mask.numpy().ravel())[name]], atol=1e-6)


def test_pooled_average_precision_is_scikit_learns() -> None:
    maps, mask = drawn(3, levels=2)
    found = run("auprc", evaluation(maps, mask), sign="absolute", pooled=True)
    pooled = np.concatenate([unit(m) for m in maps.numpy()])
    np.testing.assert_allclose(found, [average_precision_score(mask.numpy().ravel(), pooled)], atol=1e-6)


@pytest.mark.parametrize(("name", "curve"), [("aup", 0), ("aur", 1)])
def test_pooled_exact_areas_are_sums_of_steps(name: str, curve: int) -> None:
    maps, mask = drawn(4)
    found = run(name, evaluation(maps, mask), sign="absolute", pooled=True)
    pooled, y = np.concatenate([unit(m) for m in maps.numpy()]), mask.numpy().ravel()
    total = 0.0
    levels = np.unique(pooled)
    for low, high in pairwise(levels):
        above = pooled > low
        total += (high - low) * (y[above].mean() if curve == 0 else y[above].sum() / y.sum())
    np.testing.assert_allclose(found, [total], atol=1e-6)


@pytest.mark.parametrize("name", ["aup", "aur", "auprc"])
def test_pooling_a_single_sample_changes_nothing(name: str) -> None:
    maps, mask = drawn(5)
    one = evaluation(maps[:1], mask[:1])
    for params in ({"estimator": "published"}, {"sign": "absolute"}):
        np.testing.assert_allclose(run(name, one, pooled=True, **params), run(name, one, **params), atol=1e-6)


def test_the_perfect_mask_loses_on_aup_and_noise_wins_on_aur() -> None:
    """What follows from the definitions: (1 + base rate) / 2, the mean scaled value, 0 for a constant."""
    mask = torch.zeros(2, 1000, dtype=torch.bool)
    mask[:, :50] = True
    for maps, expected in ((mask.float(), (0.525, 1.0)), (torch.ones(2, 1000), (0.0, 0.0))):
        ev = evaluation(maps, mask)
        for name, value in zip(("aup", "aur"), expected, strict=True):
            np.testing.assert_allclose(run(name, ev, estimator="published"), [value] * 2, atol=1e-6)
    even, every_20th = torch.linspace(0, 1, 1000).repeat(2, 1), (torch.arange(1000) % 20 == 10).repeat(2, 1)
    np.testing.assert_allclose(run("aur", evaluation(even, every_20th), estimator="published"), [0.5] * 2, atol=0.01)


def test_a_pair_of_which_one_is_true_gets_three_quarters_from_the_trapezoid() -> None:
    mask = torch.tensor([[True, False, False]] * 4)
    ev = evaluation(torch.tensor([[1.0, 1.0, 0.0]] * 4), mask)
    np.testing.assert_allclose(run("auprc", ev, estimator="published"), [0.75] * 4)
    np.testing.assert_allclose(run("auprc", ev), [0.5] * 4)


def test_published_estimators_drop_signs_and_rows_say_so() -> None:
    maps, mask = drawn(6)
    for name in ("aup", "aur", "auprc"):
        spec = spec_of(name)
        both = [score(spec, spec.bind({"estimator": "published"}), evaluation(m, mask)) for m in (maps, maps.abs())]
        np.testing.assert_array_equal(both[0].values, both[1].values)
        assert both[0].sign == "absolute"
        assert spec.handled_sign({}) == "signed"


@pytest.mark.parametrize("levels", [None, 1])
def test_information_and_entropy_are_those_of_a_loop(levels: int | None) -> None:
    maps, mask = drawn(7, levels=levels)
    maps[0] = 0.7  # a constant map is a map of zeros after scaling
    ev = evaluation(maps, mask)
    information, entropy = [], []
    for values, y in zip(maps.numpy(), mask.numpy(), strict=True):
        bits, uncertain = 0.0, 0.0
        for s, true in zip(unit(values), y, strict=True):
            if true:
                bits += abs(math.log2(1 - s + 1e-5))
                uncertain += s * abs(math.log2(1e-5 + s)) + (1 - s) * abs(math.log2(1e-5 + 1 - s))
        information.append(bits)
        entropy.append(uncertain)
    np.testing.assert_allclose(run("information", ev), information, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run("mask_entropy", ev), entropy, rtol=1e-5, atol=1e-6)


def test_masks_without_a_question_have_no_score() -> None:
    mask = torch.stack([torch.zeros(8), torch.ones(8), torch.eye(8)[0]]).bool()
    ev = evaluation(torch.rand(3, 8, generator=torch.Generator().manual_seed(0)), mask)
    for name in ("aup", "aur", "auprc"):
        assert run(name, ev, estimator="published").isnan().tolist() == [True, True, False]
        assert run(name, ev, pooled=True).isnan().tolist() == [False]
    for name in ("information", "mask_entropy"):
        assert run(name, ev).isnan().tolist() == [True, True, False]


def test_one_map_that_is_not_finite_leaves_no_pooled_score() -> None:
    maps, mask = drawn(8)
    maps[2, 3] = torch.nan
    assert run("aur", evaluation(maps, mask), estimator="published", pooled=True).isnan().all()
    assert run("aur", evaluation(maps, mask), estimator="published").isnan().tolist() == [False, False, True] + [
        False
    ] * (N - 3)


def test_defaults_that_came_later_are_in_no_row_and_in_no_key() -> None:
    for name in ("aup", "aur", "auprc"):
        spec = spec_of(name)
        assert spec.keyed(spec.bind({})) == {"sign": "signed"}
        assert spec.keyed(spec.bind({"estimator": "published"})) == {"sign": "signed", "estimator": "published"}
        assert (spec.scope_of({}), spec.scope_of({"pooled": True})) == ("sample", "dataset")
        assert (spec.ranks_with({}), spec.ranks_with({"estimator": "published"})) == (True, False)


def small_table() -> xb.Problem:
    x = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)
    truth = np.zeros((12, 6), dtype=bool)
    truth[:, :2] = True
    return xb.Problem(lambda a: a[:, :2].sum(axis=1, keepdims=True), x, truth=truth, returns="value")


def test_metrics_that_do_not_rank_are_shown_and_count_nowhere() -> None:
    explainers = ["feature_ablation", "lime"]
    metrics = [
        "auprc",
        "information",
        ("aur", {"estimator": "published"}),
        ("aur", {"estimator": "published", "pooled": True}),
    ]
    board = xb.leaderboard(small_table().evaluate(explainers, metrics, random_draws=2))
    silent = board[board["message"].fillna("").str.startswith(NO_RANKS)]
    assert set(silent["metric"]) == {"information", "aur"}
    assert set(board["metric"]) - set(silent["metric"]) == {"auprc"}
    assert silent.loc[silent["status"] == "ok", "value"].notna().all()
    empty = ["rank", "rank_low", "rank_high", "tie_group", "win_rate", "beats_placebo", "loses_to_placebo", "skill"]
    assert silent[empty].isna().all().all()
    assert board.loc[(board["metric"] == "auprc") & ~board["control"], "rank"].notna().all()
    assert set(silent["scope"]) == {"sample", "dataset"}
    found = overall(board)
    assert set(found["recipe"]) == {"localisation: auprc"}


def test_a_metric_of_ones_own_can_say_that_it_does_not_rank() -> None:
    def spread(ev: Evaluation, *, how: str = "all") -> Tensor:
        """Largest minus smallest value."""
        flat = ev.attributions.flatten(1)
        return flat.amax(dim=1) - flat.amin(dim=1)

    assert MetricSpec("spread", spread).ranks_with({})
    assert not MetricSpec("spread", spread, ranks=False).ranks_with({})
    partly = MetricSpec("spread", spread, ranks={"how": "all"}, dataset_where={"how": "pooled"})
    assert (partly.ranks_with({}), partly.ranks_with({"how": "pooled"})) == (True, False)
    assert (partly.scope_of({}), partly.scope_of({"how": "pooled"})) == ("sample", "dataset")
    with pytest.raises(UsageError, match="no parameter 'who'"):
        MetricSpec("spread", spread, ranks={"who": "all"})


def test_lists_say_which_metrics_rank(capsys: pytest.CaptureFixture[str]) -> None:
    listed = xb.components("metric").set_index("name")["ranks"]
    assert (listed["mask_entropy"], listed["information"], listed["aur"]) == (False, False, True)
    show_component("aur", plugins=None)
    assert 'only with estimator = "exact"' in capsys.readouterr().out
    show_component("information", plugins=None)
    assert "never counted in a rank" in capsys.readouterr().out


def test_the_overview_names_what_does_not_rank() -> None:
    board = xb.leaderboard(
        small_table().evaluate(["feature_ablation", "lime"], ["auprc", "information"], random_draws=2)
    )
    found = overview(board)
    assert found.silent == ["information"]
    assert len(found.columns) == 1
    assert any(line.startswith("information: ") for line in legend(found))

"""Metrics of the text literature against scipy, independent loops, exact enumeration and counts by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from helpers.text_cases import texts, transformer
from scipy import stats

import xaibench as xb
from xaibench.core.errors import UnsupportedError
from xaibench.metrics.maps.rank_correlation import kendall_tau_b

RNG = np.random.default_rng(0)


def network(rows: np.ndarray) -> np.ndarray:
    """Probabilities of two classes; products of features, so that nothing is additive."""
    total = rows @ np.array([1.0, -0.5, 0.7, 0.2, -1.1]) + rows[:, 0] * rows[:, 2]
    p = 1 / (1 + np.exp(-total))
    return np.stack([1 - p, p], axis=1)


INPUTS = RNG.normal(size=(4, 5)).astype(np.float32)
MAPS = RNG.normal(size=(4, 5)).astype(np.float32)
GIVEN: dict[str, Any] = {"model": network, "inputs": INPUTS, "targets": [1] * 4, "attributions": MAPS}


def test_tau_b_is_that_of_scipy_with_ties() -> None:
    a, b = (RNG.integers(0, 4, size=(30, 9)).astype(float) for _ in range(2))
    a[0] = 1.0
    found = kendall_tau_b(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    expected = [stats.kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert kendall_tau_b(torch.ones(1, 1), torch.ones(1, 1)).isnan().all()


def test_tau_loo_compares_with_what_is_lost_without_each_feature() -> None:
    found = xb.score("tau_loo", masker="zero", **GIVEN)
    for row in range(4):
        effects = []
        for place in range(5):
            less = INPUTS[row : row + 1].copy()
            less[0, place] = 0
            effects.append(network(INPUTS[row : row + 1])[0, 1] - network(less)[0, 1])
        assert found[row] == pytest.approx(stats.kendalltau(MAPS[row], effects).statistic, abs=1e-6)
    own = xb.explain("feature_ablation", model=network, inputs=INPUTS, targets=[1] * 4, masker="zero")
    assert xb.score("tau_loo", masker="zero", **{**GIVEN, "attributions": own}) == pytest.approx(np.ones(4))


def soft(row: int, kept: np.ndarray) -> float:
    """Loss of the output with only these features."""
    clean = network(INPUTS[row : row + 1])[0, 1]
    return max(0.0, float(clean - network((INPUTS[row] * kept)[None])[0, 1]))


@pytest.mark.parametrize(("name", "keep"), [("soft_sufficiency", True), ("soft_comprehensiveness", False)])
def test_soft_metrics_are_those_of_a_loop_and_their_mean_that_of_all_subsets(name: str, keep: bool) -> None:
    view = xb.Problem(network, INPUTS, [1] * 4)._shared.everything()
    uniform = xb.Draws(0, "soft_erasure", view.digests).uniform((8, 5)).numpy()
    found = xb.score(name, **GIVEN)
    many = xb.score(name, n_samples=4000, **GIVEN)
    defined = 0
    for row in range(4):
        a = (MAPS[row] - MAPS[row].min()) / np.ptp(MAPS[row])
        stays = a if keep else 1 - a
        loss = np.mean([soft(row, (u < stays).astype(float)) for u in uniform[row]])
        zero = soft(row, np.zeros(5))
        if zero < 1e-3:
            assert np.isnan(found[row])
            continue
        defined += 1
        s, s0 = 1 - loss, 1 - zero
        expected = (s - s0) / (1 - s0) if keep else loss / (1 - s0)
        assert found[row] == pytest.approx(np.clip(expected, 0, 1), abs=1e-5)
        exact, square = 0.0, 0.0
        for subset in product([0.0, 1.0], repeat=5):
            kept = np.array(subset)
            weight = np.prod(np.where(kept == 1, stays, 1 - stays))
            exact += weight * soft(row, kept)
            square += weight * soft(row, kept) ** 2
        error = np.sqrt((square - exact**2) / 4000) / zero
        mean = (zero - exact) / zero if keep else exact / zero
        if 3 * error < mean < 1 - 3 * error:
            assert abs(many[row] - mean) <= 4 * error
    assert defined > 1


def test_soft_metrics_of_constant_maps_are_undefined_and_ids_are_refused() -> None:
    assert np.isnan(xb.score("soft_sufficiency", **{**GIVEN, "attributions": np.ones((4, 5))})).all()
    ids = {"model": lambda ids: np.tile([0.5, 0.5], (len(ids), 1)), "inputs": [[1, 2]], "features": "tokens"}
    with pytest.raises(xb.UnsupportedError, match="quantities"):
        xb.score("soft_sufficiency", attributions=[[1.0, 2.0]], **ids)


def test_label_flips_are_counted_by_hand() -> None:
    model = lambda rows: np.stack([np.full(len(rows), 0.5), rows.sum(axis=1)], axis=1)  # noqa: E731
    inputs = np.array([[0.4, 0.3, 0.2, 0.1], [1, 1, 1, 1]], dtype=np.float32)
    given = {"model": model, "returns": "logit", "inputs": inputs, "masker": "zero"}
    # 1.0 falls to .6, then to .3 < .5; the other sample keeps more than .5 until everything is gone.
    found = xb.score("label_flip_words", attributions=inputs, **given)
    assert found.tolist() == [0.5, 1.0]
    assert xb.score("label_flip_words", attributions=-inputs, **given).tolist() == [0.75, 1.0]
    # Of a class that the model does not say there is nothing to flip.
    assert np.isnan(xb.score("label_flip_words", attributions=inputs, targets=[0, 0], **given)).all()
    always = lambda rows: np.tile([0.9, 0.1], (len(rows), 1))  # noqa: E731
    assert np.isnan(xb.score("label_flip_words", attributions=inputs, **{**given, "model": always})).all()


def test_mass_balance_is_smallest_over_largest() -> None:
    truth = np.array([[True, True, False, False], [True, True, True, False], [True, False, False, False], [True] * 4])
    maps = np.array([[2.0, -1, 9, 9], [1e-6, 4, 4, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    model = lambda rows: np.tile([0.5, 0.5], (len(rows), 1))  # noqa: E731
    found = xb.score("mass_balance", model=model, inputs=np.zeros((4, 4)), attributions=maps, truth=truth)
    np.testing.assert_allclose(found, [0.5, 2.5e-7, np.nan, np.nan], rtol=1e-5)


def test_boards_show_the_mass_balance_and_rank_nothing_by_it() -> None:
    # A constant map has 1 like the oracle: nobody could beat it, and everybody would lose to it.
    x = RNG.normal(size=(8, 4)).astype(np.float32)
    truth = np.tile([True, True, False, False], (8, 1))
    problem = xb.Problem(lambda rows: rows[:, :2] @ [[1.0], [3.0]], x, truth=truth, returns="value")
    board = xb.leaderboard(problem.evaluate(["feature_ablation", "input_x_gradient"], ["mass_balance"], random_draws=2))
    of = board.set_index("explainer")
    assert (of.loc["constant", "value"], of.loc["oracle", "value"]) == (1.0, 1.0)
    assert 0 < of.loc["feature_ablation", "value"] < 1
    assert board[["rank", "beats_placebo", "loses_to_placebo", "p_placebo", "p_loses"]].isna().all().all()


def test_context_swaps_compare_the_true_features() -> None:
    truth = np.array([[True, True, True, False, False]] * 4)
    swapped = INPUTS.copy()
    swapped[:, 3:] = RNG.normal(size=(4, 2))
    given = {"model": network, "inputs": INPUTS, "targets": [1] * 4, "truth": truth}
    pairs = {"input_pair.context": {"inputs": swapped}}
    explain = {"explain": "feature_ablation", "explainer_params": {"masker": "zero"}}
    found = xb.score("context_swap_agreement", pairs=pairs, **explain, **given)
    maps = [
        xb.explain("feature_ablation", model=network, inputs=x, targets=[1] * 4, masker="zero")
        for x in (INPUTS, swapped)
    ]
    expected = [stats.spearmanr(a[:3], b[:3]).statistic for a, b in zip(*maps, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert xb.score("context_swap_agreement", pairs={"input_pair.context": {"inputs": INPUTS}}, **explain, **given) == (
        pytest.approx(np.ones(4))
    )


@pytest.mark.parametrize("name", ["tau_loo", "soft_sufficiency", "soft_comprehensiveness", "label_flip_words"])
def test_a_text_has_the_score_that_it_has_alone(name: str) -> None:
    rows = texts()
    given = {"model": transformer(), "explain": "input_x_gradient"}
    together = xb.score(name, inputs=rows, **given)
    alone = [xb.score(name, inputs=[text], **given)[0] for text in rows]
    # soft scores divide by what the empty text leaves, down to .001, and rounding with it.
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5 if "soft" in name else 1e-6)


@pytest.mark.parametrize("name", ["soft_sufficiency", "soft_comprehensiveness"])
def test_the_number_of_a_category_is_not_dropped(name: str) -> None:
    rows = np.c_[INPUTS[:, :4], [0, 1, 2, 1]]
    problem = xb.Problem(network, rows, [1] * 4, background=rows, categorical_features=[4])
    with pytest.raises(UnsupportedError, match="dropping single numbers of inputs needs features that are quantities"):
        problem.score(name, MAPS)
    grouped = xb.Problem(network, rows, [1] * 4, background=rows, feature_groups=[[0, 1]])
    assert np.isfinite(grouped.score(name, MAPS[:, :4])).any()

"""Spikes that repeat, and isolated ones that do not."""

from __future__ import annotations

import numpy as np
import pytest

from xaibench.core.checks import measure_gates
from xaibench.core.predictor import CallablePredictor
from xaibench.datasets.freq_shapes import freq_shapes


def template_scores(rows: np.ndarray) -> np.ndarray:
    """The rule itself: the mean signed height at the best places of every class."""
    heights = np.stack([rows[:, :-2], rows[:, 1:-1], rows[:, 2:]]).mean(axis=0)  # of a spike centred at 1, 2, ...
    found = []
    for label in range(4):
        sign, period = (1 if label & 1 else -1), (17 if label & 2 else 10)
        offsets = [np.sort(sign * heights[:, o::period], axis=1)[:, :].min(axis=1) for o in range(period)]
        found.append(np.max(offsets, axis=0))
    return np.eye(4)[np.argmax(found, axis=0)]


@pytest.mark.parametrize("distractors", [0, 3])
def test_the_rule_solves_it_and_passes_every_check(distractors: int) -> None:
    data = freq_shapes(seed=2, distractors=distractors, n_train=40)
    model = CallablePredictor(template_scores, "probability")
    gates = measure_gates(data, model, float((template_scores(data.test_inputs)[:, 0] >= 0).mean())).gates
    assert all(g.passed for g in gates if "accuracy," in g.name), [str(g) for g in gates]
    assert len(gates) == 5 + bool(distractors)


def test_masks_are_the_three_steps_of_every_repeated_spike() -> None:
    data = freq_shapes(seed=0, noise=0.0, n_train=40)
    assert data.test_mask is not None
    for row, mask, label in zip(data.test_inputs, data.test_mask, data.test_targets, strict=True):
        centres = np.flatnonzero(np.abs(row) == 2)
        assert (np.diff(centres) == (17 if label & 2 else 10)).all()
        assert (np.sign(row[centres]) == (1 if label & 1 else -1)).all()
        assert np.array_equal(np.flatnonzero(mask), np.sort(np.r_[centres - 1, centres, centres + 1]))
        assert np.array_equal(mask, row != 0)
    assert data.test_distractors is None


def test_distractors_look_alike_and_repeat_nothing() -> None:
    data = freq_shapes(seed=0, noise=0.0, distractors=3, n_train=40)
    assert data.test_distractors is not None
    assert data.test_mask is not None
    counts, signs = [], []
    for row, mask, beside in zip(data.test_inputs, data.test_mask, data.test_distractors, strict=True):
        assert not (mask & beside).any()
        own, other = (np.flatnonzero((np.abs(row) == 2) & m) for m in (mask, beside))
        gaps = np.abs(np.subtract.outer(other, np.r_[own, other]))
        assert not np.isin(gaps, [10, 17]).any()
        assert (gaps[gaps > 0] >= 3).all()
        counts.append(len(other))
        signs += np.sign(row[other]).tolist()
    assert np.mean(counts) > 2.9
    assert abs(np.mean(signs)) < 0.15


def test_checks_keep_or_change_what_they_say() -> None:
    data = freq_shapes(seed=1, noise=0.0, distractors=3, n_train=40)
    by_name = {check.name: check for check in data.interventions}
    mask = data.test_mask
    assert mask is not None
    turned, other, again = (by_name[n] for n in ("spikes turned round", "other period", "other distractors"))
    np.testing.assert_allclose(turned.inputs[mask], -data.test_inputs[mask])
    assert (turned.targets == data.test_targets ^ 1).all()
    assert (other.targets == data.test_targets ^ 2).all()
    np.testing.assert_allclose(again.inputs[mask], data.test_inputs[mask])
    assert not np.allclose(again.inputs, data.test_inputs)
    assert not (np.abs(by_name["spikes erased (data)"].inputs) > 0)[mask].any()

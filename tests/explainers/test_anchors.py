"""Anchors: the closed form of additive models, and the beam search."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from helpers.text_cases import texts, transformer

import xaibench as xb


def additive(c: np.ndarray):  # type: ignore[no-untyped-def]
    """Says class 1 where the sum of contributions is positive."""

    def model(rows: np.ndarray) -> np.ndarray:
        total = rows @ c
        return np.stack([-total / 2, total / 2], axis=1)

    return model


def precision(c: np.ndarray, anchor: tuple[int, ...], sign: float) -> float:
    """Share of the coalitions that hold an anchor with the sign of the whole, one by one."""
    rest = [i for i in range(len(c)) if i not in anchor]
    right = 0
    for k in range(len(rest) + 1):
        for others in combinations(rest, k):
            total = c[[*anchor, *others]].sum() if anchor or others else 0.0
            # The first class wins a tie.
            right += (total > 0) == (sign > 0)
    return right / 2 ** len(rest)


@pytest.mark.parametrize("seed", range(12))
def test_the_anchor_of_an_additive_model_is_a_prefix_of_the_sorted_contributions(seed: int) -> None:
    c = np.random.default_rng(seed).normal(size=7)
    sign = 1.0 if c.sum() > 0 else -1.0
    order = tuple(np.argsort(-sign * c).tolist())
    size = next(k for k in range(8) if precision(c, order[:k], sign) >= 0.95)
    given = {"model": additive(c), "returns": "logit", "inputs": np.ones((1, 7)), "masker": "zero"}
    found = xb.explain("anchors", **given)[0]
    chosen = tuple(np.flatnonzero(found).tolist())
    assert set(found.tolist()) <= {0.0, 1.0}
    assert len(chosen) == size
    assert precision(c, chosen, sign) == precision(c, order[:size], sign)
    beam = xb.explain("anchors", exhaustive=0, n_samples=512, beam=4, **given)[0]
    assert abs(beam.sum() - size) <= 1
    assert precision(c, tuple(np.flatnonzero(beam).tolist()), sign) >= 0.9


def test_a_model_that_always_says_the_same_has_the_empty_anchor() -> None:
    constant = lambda rows: np.tile([0.9, 0.1], (len(rows), 1))  # noqa: E731
    assert not xb.explain("anchors", model=constant, inputs=np.ones((2, 4)), targets=[0, 0]).any()
    # Of a class that the model does not say there is none.
    assert np.isnan(xb.explain("anchors", model=constant, inputs=np.ones((1, 4)), targets=[1])).all()


def test_texts_alone_and_together() -> None:
    rows = texts()
    found = xb.explain("anchors", model=transformer(), inputs=rows, exhaustive=8, n_samples=16)
    for row in (0, 2, 3):
        alone = xb.explain("anchors", model=transformer(), inputs=[rows[row]], exhaustive=8, n_samples=16)[0]
        np.testing.assert_array_equal(found[row, : len(rows[row])], alone)


def test_values_have_no_anchor() -> None:
    model = lambda rows: rows.sum(axis=1)  # noqa: E731
    with pytest.raises(xb.UnsupportedError, match="class"):
        xb.explain("anchors", model=model, returns="value", inputs=np.ones((1, 4)))
    with pytest.raises(xb.UsageError, match="precision"):
        xb.explain("anchors", model=additive(np.ones(4)), returns="logit", inputs=np.ones((1, 4)), precision=0.0)

"""Maskers of series against numpy, pandas and loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.builders import linear, make_inputs, make_view
from torch import Tensor

import xaibench as xb
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.masking.names import SERIES_MASKERS
from xaibench.core.masking.series import SeriesMasker, window_of
from xaibench.core.problem import ProblemView

T, D, N = 19, 3, 6
X, BACKGROUND = make_inputs((T, D), N), make_inputs((T, D), 20, seed=1)
KEEP = torch.rand(N, T, D, generator=torch.Generator().manual_seed(0)) < 0.4
KEEP[0, :, 1] = False
KEEP[1] = False
KEEP[2] = True


def view_of(x: Tensor = X, background: Tensor | None = BACKGROUND, **options: object) -> ProblemView:
    return make_view(linear(tuple(x.shape[1:])), x, features="series", background=background, **options)  # type: ignore[arg-type]


def masked(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The masked samples, and what they are with everything removed."""
    masker = view_of().masker(name)
    return masker(X, KEEP).numpy(), masker.fill.numpy()


def one_by_one(name: str, series: np.ndarray, keep: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """One sensor (T,), as the definition says it."""
    time, known = np.arange(T), np.flatnonzero(keep)
    if not len(known):
        return fill
    if name == "interpolate":
        return np.interp(time, known, series[known])
    if name == "segment_marginal":
        return np.where(keep, series, fill + np.interp(time, known, (series - fill)[known]))
    if name == "carry_forward":
        return pd.Series(np.where(keep, series, np.nan)).ffill().bfill().to_numpy()
    found = series.copy()
    for t in np.flatnonzero(~keep):
        near = [s for s in known if abs(s - t) <= window_of(T)]
        found[t] = series[near or known].mean()
    return found


@pytest.mark.parametrize("name", SERIES_MASKERS)
def test_removed_cells_are_what_the_definition_says(name: str) -> None:
    found, fill = masked(name)
    x, keep = X.numpy(), KEEP.numpy()
    for i in range(N):
        for d in range(D):
            expected = one_by_one(name, x[i, :, d], keep[i, :, d], fill[i, :, d])
            np.testing.assert_allclose(found[i, :, d], expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(found[keep], x[keep])


def test_everything_removed_is_the_mean_of_the_sensor_or_a_reference_row() -> None:
    mean = BACKGROUND.mean(dim=(0, 1)).expand(N, T, D)
    for name in ("interpolate", "carry_forward", "window_mean"):
        torch.testing.assert_close(view_of().baseline(name), mean)
        torch.testing.assert_close(view_of(background=None).baseline(name), X.mean(dim=1, keepdim=True).expand_as(X))
    rows = view_of().baseline("segment_marginal")
    assert all(any(torch.equal(row, other) for other in BACKGROUND) for row in rows)
    with pytest.raises(UnsupportedError, match="needs a background"):
        view_of(background=None).masker("segment_marginal")


def test_stretches_of_reference_rows_meet_their_neighbours_without_a_jump() -> None:
    """A straight line plus a reference row: the removed stretch is the row's, tilted, so second differences are its."""
    x, row = torch.linspace(0, 5, T).view(1, T), torch.randn(1, T, generator=torch.Generator().manual_seed(3))
    keep = torch.ones(1, T, dtype=torch.bool)
    keep[:, 6:11] = False
    found = SeriesMasker("segment_marginal", x, FeatureLayout("series", (T,)), row)(x, keep)
    torch.testing.assert_close(found[:, 6:11].diff(n=2), row[:, 6:11].diff(n=2))
    # The seam: of x minus the row nothing is left but a line from one neighbour to the other.
    torch.testing.assert_close((found - row)[0, 5:12].diff(n=2), torch.zeros(5), atol=1e-5, rtol=0)


def test_carry_forward_does_not_look_into_the_future() -> None:
    keep, later = KEEP[3:4], X[3:4].clone()
    later[:, 10:] += 7
    past = keep[:, :10].any(dim=1)
    assert past.all()
    now, then = (view_of(x).masker("carry_forward")(x, keep) for x in (X[3:4], later))
    assert torch.equal(now[:, :10], then[:, :10])
    assert not torch.equal(*(view_of(x).masker("interpolate")(x, keep)[:, :10] for x in (X[3:4], later)))


@pytest.mark.parametrize("name", SERIES_MASKERS)
def test_copies_are_the_masked_samples_in_any_company_and_either_order_of_axes(name: str) -> None:
    view, rows = view_of(), slice(2, 5)
    keep = torch.rand(3, 7, T, D, generator=torch.Generator().manual_seed(0)) < 0.5
    index = torch.arange(2, 5).repeat_interleave(7)
    copies = view.masker(name).copies(rows, keep)
    assert torch.equal(copies, view.masker(name)(X[index], keep.flatten(0, 1), index))
    alone = view.take(slice(3, 4)).masker(name).copies(slice(0, 1), keep[1:2])
    assert torch.equal(alone, copies[7:14])
    if name != "segment_marginal":
        turned = FeatureLayout("series", (D, T), sensors_first=True)
        fill = view.baseline(name).mT.contiguous()
        other = SeriesMasker(name, X.mT.contiguous(), turned, fill)(X.mT.contiguous(), KEEP.mT.contiguous())
        torch.testing.assert_close(other.mT, view.masker(name)(X, KEEP))


@pytest.mark.parametrize("name", SERIES_MASKERS)
def test_other_data_are_refused(name: str) -> None:
    for shape in ((6,), (1, 8, 8)):
        view = make_view(linear(shape), make_inputs(shape), background=make_inputs(shape, 9))
        with pytest.raises(UnsupportedError, match=f"the {name} masker needs a series"):
            view.masker(name)


def last_step(x: np.ndarray) -> np.ndarray:
    """The mean of every sensor's last step: of the length that there is."""
    return x[:, -1].mean(axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["interpolate", "carry_forward", "window_mean"])
def test_a_series_has_the_same_numbers_alone_and_among_others_of_other_lengths(name: str) -> None:
    inputs = [np.asarray(X[i, : 5 + 3 * i]) for i in range(3)]
    given = {"model": last_step, "features": "series", "returns": "value", "masker": name, "group": "steps"}
    together = xb.explain("feature_ablation", inputs=inputs, **given)
    for i, row in enumerate(inputs):
        alone = xb.explain("feature_ablation", inputs=[row], **given)
        np.testing.assert_allclose(together[i][: len(row)], alone[0][: len(row)], atol=1e-6)
        # Only the last step matters, and it becomes the one before it, or a mean.
        assert np.abs(alone[0][: len(row) - 1]).max() == 0
        assert np.abs(alone[0][len(row) - 1]).max() > 0


def test_samples_of_different_lengths_have_no_stretches_of_reference_rows() -> None:
    with pytest.raises(UnsupportedError, match="no reference rows to draw from"):
        xb.explain(
            "feature_ablation", model=last_step, features="series", returns="value", masker="segment_marginal",
            inputs=[np.asarray(X[0]), np.asarray(X[1, :9])], background=[np.asarray(X[2])],
        )  # fmt: skip

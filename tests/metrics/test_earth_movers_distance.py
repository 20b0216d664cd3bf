"""The earth mover's distance against SciPy, in closed form, and under the symmetries of the grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_evaluation, make_inputs, make_view
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth


def emd(maps: Tensor, mask: Tensor, **params: object) -> Tensor:
    spec = get("metric", "emd")
    assert isinstance(spec, MetricSpec)
    shape = (1, *maps.shape[1:])
    view = make_view(linear(shape), make_inputs(shape, len(maps)))
    ev = make_evaluation(view, maps, kind="contribution", truth=Truth("model", mask))
    return score(spec, spec.bind(params), ev).values


def test_on_a_line_it_is_scipys_wasserstein_distance() -> None:
    maps, mask = make_inputs((1, 9), 6), make_inputs((1, 9), 6, seed=1) > 0.2
    mask[:, 0, 3] = True
    places = np.arange(9)
    expected = [
        1 - stats.wasserstein_distance(places, places, a.abs().flatten(), m.flatten()) / 8
        for a, m in zip(maps, mask, strict=True)
    ]
    np.testing.assert_allclose(emd(maps, mask), expected, rtol=1e-5)


@pytest.mark.parametrize("sign", ["absolute", "positive"])
def test_on_a_grid_it_is_scipys_linear_programme(sign: str) -> None:
    maps, mask = make_inputs((4, 5), 4), make_inputs((4, 5), 4, seed=1) > 0.4
    places = np.indices((4, 5)).reshape(2, -1).T
    amounts = maps.abs() if sign == "absolute" else maps.clamp(min=0)
    expected = [
        1 - stats.wasserstein_distance_nd(places, places, a.flatten().double(), m.flatten().double()) / 5
        for a, m in zip(amounts, mask, strict=True)
    ]
    np.testing.assert_allclose(emd(maps, mask, sign=sign), expected, rtol=1e-5)


def test_single_pixels_are_their_distance_apart() -> None:
    maps, mask = torch.zeros(4, 7, 7), torch.zeros(4, 7, 7, dtype=torch.bool)
    mask[:, 0, 0] = True
    for row, (y, x) in enumerate([(0, 0), (3, 4), (0, 2), (6, 6)]):
        maps[row, y, x] = -2.5
    moves = np.array([0, 5, 2, math.sqrt(72)])
    np.testing.assert_allclose(emd(maps, mask), 1 - moves / math.sqrt(72), atol=1e-6)
    np.testing.assert_allclose(emd(maps, mask, dmax="pixels"), 1 - moves / math.sqrt(98), atol=1e-6)
    assert bool(emd(maps, mask, sign="positive").isnan().all())


def test_the_mask_itself_scores_one() -> None:
    mask = make_inputs((12, 10), 5) > 0.8
    np.testing.assert_allclose(emd(3 * mask.float(), mask), 1, atol=1e-6)
    assert emd(make_inputs((12, 10), 5, seed=1), mask).max() < 0.95


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), move=st.sampled_from(["rows", "columns", "turn", "shift"]))
def test_moving_everything_together_changes_nothing(seed: int, move: str) -> None:
    pad = (1, 3, 3, 1)
    maps = torch.nn.functional.pad(make_inputs((5, 5), 2, seed=seed), pad)
    mask = torch.nn.functional.pad(make_inputs((5, 5), 2, seed=seed + 1) > 0.5, pad)
    mask[:, 4, 4] = True
    moves = {
        "rows": lambda t: t.flip(1),
        "columns": lambda t: t.flip(2),
        "turn": lambda t: t.rot90(1, (1, 2)),
        "shift": lambda t: t.roll((1, 2), (1, 2)),
    }
    np.testing.assert_allclose(emd(moves[move](maps), moves[move](mask)), emd(maps, mask), atol=1e-6)


def test_any_other_move_counts() -> None:
    maps, mask = make_inputs((6, 6), 3), make_inputs((6, 6), 3, seed=1) > 0.8
    shuffle = torch.from_numpy(np.random.default_rng(0).permutation(36))
    moved = [t.flatten(1)[:, shuffle].view(3, 6, 6) for t in (maps, mask)]
    assert (emd(*moved) - emd(maps, mask)).abs().min() > 1e-3


def test_maps_without_relevance_and_masks_without_news_are_undefined() -> None:
    maps = make_inputs((5, 5), 4)
    maps[0] = 0
    mask = torch.zeros(4, 5, 5, dtype=torch.bool)
    mask[:2, 2, 2], mask[3] = True, True
    assert emd(maps, mask).isnan().tolist() == [True, False, True, True]


def test_grids_that_are_too_large_or_too_long_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="too long") as error:
        emd(torch.ones(1, 65, 64), torch.eye(65)[:, :64].bool().unsqueeze(0))
    assert "64 x 64" in str(error.value.hint)
    long = torch.zeros(1, 1, 9)
    long[0, 0, 0] = 1
    assert emd(long, long.flip(2).bool()).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(UnsupportedError, match="diagonal"):
        emd(long, long.bool(), dmax="pixels")


def test_chance_on_the_tetrominoes_is_far_from_zero() -> None:
    """XAI-TRIS, 8 x 8 pixels, both tetrominoes true: about 0.83 for noise, which is why skill is what counts."""
    mask = torch.zeros(8, 8, dtype=torch.bool)
    for y, x in [(1, 1), (2, 1), (2, 2), (3, 1), (4, 5), (5, 5), (6, 5), (6, 6)]:
        mask[y, x] = True
    maps = torch.from_numpy(np.random.default_rng(0).random((100, 8, 8), dtype=np.float32))
    assert emd(maps, mask.expand(100, 8, 8), dmax="pixels").mean().item() == pytest.approx(0.833, abs=0.01)

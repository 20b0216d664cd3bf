"""Whether a planted shortcut is found: known maps, known windows, known decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from helpers.builders import make_evaluation, make_view
from torch import nn

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.pairs import Pair
from xaibench.core.registry import get
from xaibench.core.truth import Truth
from xaibench.metrics.ground_truth.shortcut_found import decisive_rows, shortcut_found, shortcut_rank


class Last(nn.Module):
    """Class 0 where the last column is above 0; the first column where it is 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        said = torch.where(x[:, -1] != 0, 5 * x[:, -1], x[:, 0])
        return torch.stack([said, -said], dim=1)


def evaluation(maps: torch.Tensor, mask: torch.Tensor, inputs: torch.Tensor | None = None) -> Evaluation:
    rows = torch.ones(len(maps), *maps.shape[1:]) if inputs is None else inputs
    shape = rows if maps.ndim == 2 else rows.unsqueeze(1)
    view = replace(make_view(Last(), shape), truth=Truth("model", mask))
    swapped, absent = shape.clone(), shape.clone()
    swapped[..., -1] *= -1
    absent[..., -1] = 0
    pairs = {
        "input_pair.swapped": (Pair(inputs=swapped, level=1.0),),
        "input_pair.absent": (Pair(inputs=absent, level=1.0),),
        "input_pair.exchanged": tuple(Pair(inputs=shape.roll(k + 1, 0), level=1.0) for k in range(8)),
    }
    return make_evaluation(view, maps, pairs=pairs)


def test_a_feature_is_found_where_it_is_the_largest_in_size() -> None:
    maps = torch.tensor([[1.0, 2.0, -3.0], [1.0, 5.0, -3.0], [0.0, 0.0, 0.1]])
    mask = torch.tensor([[False, False, True]] * 3)
    assert shortcut_found(evaluation(maps, mask), rows="all").tolist() == [1.0, 0.0, 1.0]
    assert shortcut_found(evaluation(maps, mask), rows="all", k=2).tolist() == [1.0, 1.0, 1.0]
    assert shortcut_rank(evaluation(maps, mask)).tolist() == [1.0, 0.5, 1.0]


def test_a_pair_counts_each_half() -> None:
    maps = torch.tensor([[1.0, 2.0, 3.0, 0.0], [9.0, 2.0, 3.0, 0.0], [9.0, 2.0, 3.0, 8.0]])
    mask = torch.tensor([[False, True, True, False]] * 3)
    assert shortcut_found(evaluation(maps, mask), rows="all").tolist() == [1.0, 0.5, 0.0]


def test_only_rows_that_the_shortcut_decides_have_a_score() -> None:
    # Without the plant the first column says: class 0, class 1; the plant says class 0 in both.
    inputs = torch.tensor([[1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]])
    ev = evaluation(torch.tensor([[0.0, 0.0, 1.0]] * 2), torch.tensor([[False, False, True]] * 2), inputs)
    assert decisive_rows(ev).tolist() == [False, True]
    scores = shortcut_found(ev)
    assert torch.isnan(scores[0])
    assert scores[1] == 1.0


@pytest.mark.parametrize(("shift", "found"), [(0, 1.0), (1, 1.0), (2, 0.0)])
def test_a_window_counts_from_an_overlap_of_a_third_on(shift: int, found: float) -> None:
    # Squares of 3 x 3: moved by 1 along one side they overlap in 6 of 12 pixels, by 2 in 3 of 15.
    mask, maps = torch.zeros(1, 8, 8, dtype=torch.bool), torch.zeros(1, 8, 8)
    mask[:, 2:5, 2:5] = True
    maps[:, 2:5, 2 + shift : 5 + shift] = 1.0
    assert shortcut_found(evaluation(maps, mask), rows="all").tolist() == [found]


def test_a_flat_map_is_right_by_chance_only() -> None:
    mask = torch.zeros(400, 10, dtype=torch.bool)
    mask[:, 3] = True
    inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 10)).astype(np.float32))
    scores = shortcut_found(evaluation(torch.ones(400, 10), mask, inputs), rows="all")
    assert abs(scores.mean() - 0.1) < 0.06


def test_three_times_a_map_and_permuted_columns_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, mask = torch.randn(50, 6, generator=generator), torch.zeros(50, 6, dtype=torch.bool)
    mask[:, 4] = True
    order = torch.randperm(6, generator=generator)
    plain = shortcut_found(evaluation(maps, mask), rows="all")
    assert torch.equal(shortcut_found(evaluation(3 * maps, mask), rows="all"), plain)
    assert torch.equal(shortcut_found(evaluation(maps[:, order], mask[:, order]), rows="all"), plain)


def test_only_rows_that_the_shortcut_decides_say_which_explainer_is_better() -> None:
    """On the null twin an explainer that does not mark the plant is right, and must not lose to a placebo that does."""
    found, rank = (cast(MetricSpec, get("metric", name)) for name in ("shortcut_found", "shortcut_rank"))
    assert found.ranks_with({"rows": "decisive"})
    assert not found.ranks_with({"rows": "all"})
    assert not rank.ranks_with({})

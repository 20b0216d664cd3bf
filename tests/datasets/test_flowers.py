"""Flowers: masks are what changes, interventions change what they say, and the part protocol against counting."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from helpers.builders import make_evaluation, make_view
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.pairs import Pair
from xaibench.core.truth import Truth
from xaibench.datasets.flower_pictures import FLOWER_PARTS, NEUTRAL_HUES, Flowers, grow_flowers, hsv_to_rgb
from xaibench.datasets.flowers import flowers
from xaibench.metrics.ground_truth.part_protocol import (
    part_completeness,
    part_correlation,
    part_deletion,
    part_distractibility,
    part_preservation,
)

N = 24


@pytest.fixture(scope="module")
def data() -> Data:
    return flowers(seed=3, train=6, test=N)


@pytest.fixture(scope="module")
def grown() -> Flowers:
    return grow_flowers(N, "test of masks", 0)


def test_the_mask_of_a_part_is_what_changes_when_it_is_drawn_again(grown: Flowers) -> None:
    rng = np.random.default_rng(0)
    hues = rng.uniform(*NEUTRAL_HUES, (N, len(FLOWER_PARTS)))
    for number, part in enumerate(FLOWER_PARTS):
        other = hues.copy()
        other[:, number] = (hues[:, number] + 90) % 360
        changed = (grown.without_noise(other) != grown.without_noise(hues)).any(axis=1)
        assert (changed == grown.mask(part)).all()
        # The noise of pixels is shared: nothing else moves with it either.
        moved = (grown.drawn(other) != grown.drawn(hues)).any(axis=1)
        assert not (moved & ~grown.mask(part)).any()


def test_every_flower_depends_on_its_number_alone() -> None:
    few, many = grow_flowers(2, "a", 1), grow_flowers(4, "a", 1)
    assert (few.parts == many.parts[:2]).all()
    assert (few.noise == many.noise[:2]).all()
    assert not (many.parts[2] == many.parts[3]).all()


def test_colours_are_those_of_the_standard_library() -> None:
    rng = np.random.default_rng(0)
    hue, saturation, value = rng.uniform(0, 360, 50), rng.random(50), rng.random(50)
    expected = [colorsys.hsv_to_rgb(h / 360, s, v) for h, s, v in zip(hue, saturation, value, strict=True)]
    np.testing.assert_allclose(hsv_to_rgb(hue, saturation, value), expected, atol=1e-6)


def test_classes_are_equally_frequent_and_masks_are_of_the_part_that_the_label_names(data: Data) -> None:
    assert np.bincount(data.test_targets).tolist() == [N // 6] * 6
    assert data.test_mask is not None
    parts = {p.identity.removeprefix("flowers "): p.truth for p in data.pairs}
    for row, label in enumerate(data.test_targets):
        named = ("petals", "disc", "stem")[label // 2]
        expected = parts[named][row] | (parts["leaves"][row] if named == "stem" else False)
        assert (data.test_mask[row] == expected).all()


def test_interventions_change_what_they_say(data: Data) -> None:
    assert data.test_mask is not None
    by_name = {check.name: check for check in data.interventions}
    outside = ~data.test_mask
    for name in ("other signal hue", "signal part neutral"):
        changed = (by_name[name].inputs != data.test_inputs).any(axis=1)
        assert not (changed & outside).any()
        assert (changed.sum(axis=(1, 2)) > 0.9 * data.test_mask.sum(axis=(1, 2))).all()
    redrawn = (by_name["other parts redrawn"].inputs != data.test_inputs).any(axis=1)
    assert not (redrawn & data.test_mask).any()
    assert (by_name["other signal hue"].targets != data.test_targets).all()
    assert (by_name["other signal hue"].targets // 2 == data.test_targets // 2).all()
    moved = by_name["signal on another part"].targets
    assert (moved // 2 != data.test_targets // 2).all()
    assert (moved % 2 == data.test_targets % 2).all()


def test_parts_of_the_protocol_are_all_that_changes(data: Data) -> None:
    assert [p.level for p in data.pairs] == [0, 1, 2, 3]
    for pair in data.pairs:
        assert pair.inputs is not None
        assert pair.truth is not None
        changed = (pair.inputs != data.test_inputs).any(axis=1)
        assert not (changed & ~pair.truth).any()
        assert changed.any()


class SumOfParts(nn.Module):
    """The logit of class 0 is the sum of the first two columns, that of class 1 is constant."""

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([inputs[:, 0] + inputs[:, 1], torch.full_like(inputs[:, 0], 0.5)], dim=1)


def protocol(attributions: Tensor, rows: Tensor):
    """An evaluation of four columns, each a part of its own that is 0 when neutral."""
    view = make_view(SumOfParts(), rows, targets=torch.zeros(len(rows), dtype=torch.int64))
    pairs = []
    for column in range(4):
        neutral, mask = rows.clone(), torch.zeros(rows.shape, dtype=torch.bool)
        neutral[:, column], mask[:, column] = 0, True
        pairs.append(Pair(inputs=neutral, truth=Truth("model", mask=mask)))
    return make_evaluation(view, attributions, kind="contribution", pairs={"input_pair.neutral_part": tuple(pairs)})


def test_the_part_protocol_by_hand() -> None:
    # Column 0 alone decides: without it the sum is .2, below .5; column 1 lowers it too; 2 and 3 are idle.
    rows = torch.tensor([[1.0, 0.2, 3.0, 4.0]])
    right = protocol(torch.tensor([[1.0, 0.2, 0.0, 0.0]]), rows)
    wrong = protocol(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), rows)
    nothing = protocol(torch.zeros(1, 4), rows)
    assert part_correlation(right).tolist() == [1.0]
    assert part_correlation(wrong).item() < -0.8
    for metric, good, bad in (
        (part_deletion, 1.0, 0.0), (part_preservation, 1.0, 0.0), (part_distractibility, 1.0, 0.0),
    ):  # fmt: skip
        assert metric(right).tolist() == [good]
        assert metric(wrong).tolist() == [bad]
        assert metric(nothing).isnan().all()


def test_completeness_chooses_the_threshold_on_the_other_half() -> None:
    rows = torch.tensor([[1.0, 0.2, 3.0, 4.0]] * 4)
    # An idle column has a tenth of the map: only thresholds above that are free of it.
    maps = torch.tensor([[0.8, 0.1, 0.1, 0.0]] * 4)
    assert part_completeness(protocol(maps, rows)).tolist() == [1.0]
    # Idle columns: distracted by one of two in each sample.
    assert part_completeness(protocol(maps, rows), thresholds=(0.0,)).item() == pytest.approx((1 + 0.5) / 2)
    assert part_completeness(protocol(torch.zeros(4, 4), rows)).isnan().all()

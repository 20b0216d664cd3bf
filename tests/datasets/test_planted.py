"""planted_digits: the truth is where we say, and a trained network depends on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xaibench.core.data import Data
from xaibench.core.registry import get
from xaibench.datasets import planted
from xaibench.datasets.images import load_digits
from xaibench.models.networks import cnn


@pytest.fixture(scope="module")
def data() -> Data:
    return planted.planted_digits(seed=0)


def blocks(images: np.ndarray) -> np.ndarray:
    """Undo `planted.compose`: (N, 1, 16, 16) or (N, 16, 16) to (N, 4, 8, 8)."""
    return images.reshape(-1, 2, 8, 2, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 4, 8, 8)


def test_compose_puts_the_digit_into_its_quadrant():
    digits, nulls = np.full((4, 8, 8), 9), np.arange(1, 4)[:, None, None] * np.ones((4, 3, 8, 8), dtype=int)
    cells = blocks(planted.compose_quadrants(digits, nulls, np.arange(4)))[:, :, 0, 0]
    assert cells.tolist() == [[9, 1, 2, 3], [1, 9, 2, 3], [1, 2, 9, 3], [1, 2, 3, 9]]


def test_shuffled_keeps_the_ink_of_real_images(data: Data):
    images, _ = load_digits()
    drawn = planted.shuffled(images, (50,), np.random.default_rng(0)).reshape(50, 64)
    inks = {tuple(sorted(image.ravel())) for image in images}
    assert all(tuple(sorted(image)) in inks for image in drawn)
    assert {tuple(image) for image in drawn}.isdisjoint(tuple(image.ravel()) for image in images)


def test_the_mask_holds_a_real_digit_of_the_label_and_the_rest_holds_none(data: Data):
    images, labels = load_digits()
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    cells, inside = blocks(data.test_rows), blocks(data.test_mask)
    for image, mask, label in zip(cells, inside, data.test_targets, strict=True):
        real = [known.get(block.tobytes()) for block in image]
        assert [block.all() for block in mask] == [r is not None for r in real]
        assert [r for r in real if r is not None] == [label]
        assert mask.sum() == 64


def test_train_and_test_share_no_digit(data: Data):
    images, _ = load_digits()
    known = {image.tobytes() for image in images}

    def used(inputs: np.ndarray) -> set[bytes]:
        return {b.tobytes() for b in blocks((inputs * 16).astype(np.uint8)).reshape(-1, 8, 8)} & known

    assert not used(data.train_inputs) & used(data.test_inputs)
    assert len(used(data.train_inputs)) * 10 == len(data.train_inputs)


def test_the_first_half_of_the_test_split_shows_every_digit_once(data: Data):
    digits = data.test_rows[data.test_mask].reshape(-1, 64)
    half = len(digits) // 2
    assert len(np.unique(digits[:half], axis=0)) == half
    assert {d.tobytes() for d in digits[:half]} == {d.tobytes() for d in digits[half:]}


def test_interventions_change_what_they_say(data: Data):
    inside = blocks(data.test_mask).all(axis=(2, 3))
    clean = blocks(data.test_inputs)
    redrawn, swapped, erased = (blocks(i.inputs) for i in data.interventions)
    for changed in (redrawn, swapped):
        assert (changed[inside] == clean[inside]).all()
        assert (changed[~inside] != clean[~inside]).any(axis=(1, 2)).mean() > 0.99
    assert (erased[~inside] == clean[~inside]).all()
    assert (erased[inside] != clean[inside]).any(axis=(1, 2)).all()
    for check in data.interventions:
        assert (check.targets == data.test_targets).all()
        assert (check.rows == np.arange(len(data.test_inputs))).all()


def test_brightness_and_edges_do_not_find_the_digit(data: Data):
    """Controls that look at the input only are no better than chance, so only the model can tell."""
    cells, inside = blocks(data.test_inputs), blocks(data.test_mask).all(axis=(2, 3))
    ink = cells.sum(axis=(2, 3))
    edges = abs(np.diff(cells, axis=2)).sum(axis=(2, 3)) + abs(np.diff(cells, axis=3)).sum(axis=(2, 3))
    assert abs(inside[np.arange(len(ink)), ink.argmax(axis=1)].mean() - 0.25) < 0.08
    assert inside[np.arange(len(ink)), edges.argmax(axis=1)].mean() < 0.05


@pytest.mark.slow
def test_a_trained_network_passes_every_gate(data: Data):
    net = cnn(data, seed=0, epochs=3)

    def accuracy(inputs: np.ndarray, targets: np.ndarray) -> float:
        with torch.no_grad():
            return float((net(torch.from_numpy(inputs)).argmax(dim=1).numpy() == targets).mean())

    clean = accuracy(data.test_inputs, data.test_targets)
    assert clean >= data.accuracy_floor
    for check in data.interventions:
        changed = accuracy(check.inputs, check.targets)
        if check.max_drop is not None:
            assert clean - changed <= check.max_drop, check.name
        else:
            assert changed <= check.at_most, check.name
            assert changed < clean - 0.5, check.name


def test_parameters_are_checked():
    from xaibench.core.errors import UsageError

    spec = get("dataset", "planted_digits")
    assert spec.bind({"classes": 10})["classes"] == 10
    for params in ({"classes": 1}, {"classes": 11}, {"copies": 0}):
        with pytest.raises(UsageError, match="is not valid"):
            spec.bind(params)

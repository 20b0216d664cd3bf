"""blockmnist: the truth is where it says, null blocks say nothing of the class, and the checks can fail."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.registry import get
from xaibench.datasets import blocks
from xaibench.datasets.cards import read_shipped
from xaibench.models.adapters import as_predictor


@pytest.fixture(scope="module")
def data() -> Data:
    return blocks.blockmnist(seed=0)


@pytest.fixture(scope="module")
def known() -> dict[bytes, int]:
    """Labels of all real digits by their pixels."""
    with np.load(io.BytesIO(read_shipped("mnist", "mnist.npz"))) as arrays:
        return {
            image.tobytes(): int(label)
            for side in ("train", "test")
            for image, label in zip(arrays[f"{side}_images"], arrays[f"{side}_labels"], strict=True)
        }


def halves(images: np.ndarray) -> np.ndarray:
    """Both blocks of each image, as grey levels: (N, 2, 28, 28) of uint8."""
    return np.rint(images.reshape(-1, 2, 28, 28) * 255).astype(np.uint8)


def test_stack_puts_the_signal_where_it_is_told() -> None:
    signals, nulls = np.full((2, 28, 28), 1.0), np.full((2, 28, 28), 2.0)
    found = blocks.stack_blocks(signals, nulls, np.array([True, False]))
    assert found.shape == (2, 56, 28)
    assert found[:, [0, 27, 28, 55], 0].tolist() == [[1, 1, 2, 2], [2, 2, 1, 1]]


def test_the_mask_holds_a_real_digit_of_the_label_and_the_rest_holds_none(data: Data, known: dict[bytes, int]) -> None:
    pairs = halves(data.test_inputs)
    inside = data.test_mask.reshape(-1, 2, 28 * 28)
    for pair, mask, target in zip(pairs, inside, data.test_targets, strict=True):
        real = [known.get(block.tobytes()) for block in pair]
        assert [bool(m.all()) for m in mask] == [r is not None for r in real]
        assert [r for r in real if r is not None] == [target]
    assert (data.test_mask.sum(axis=(1, 2)) == 784).all()
    assert (data.test_distractors == ~data.test_mask).all()


def test_train_and_test_share_no_digit(data: Data, known: dict[bytes, int]) -> None:
    train, test = (
        [block.tobytes() for pair in halves(inputs) for block in pair if block.tobytes() in known]
        for inputs in (data.train_inputs, data.test_inputs)
    )
    assert not set(train) & set(test)
    assert len(train) == 6 * len(set(train)) == 4800
    assert len(test) == len(set(test)) == 400


def test_null_block_and_position_do_not_tell_the_class(data: Data) -> None:
    """Class means of ink, place and glyph differ by no more than chance allows."""
    top = data.train_mask[:, 0, 0]
    nulls = np.where(top[:, None, None], data.train_inputs[:, 0, 28:], data.train_inputs[:, 0, :28])
    facts = np.stack([top, nulls.sum(axis=(1, 2)), nulls.max(axis=(1, 2)), nulls[:, 14, 14], nulls.std(axis=(1, 2))])
    zero, one = facts[:, data.train_targets == 0], facts[:, data.train_targets == 1]
    error = np.sqrt(zero.var(axis=1) / zero.shape[1] + one.var(axis=1) / one.shape[1])
    assert (abs(zero.mean(axis=1) - one.mean(axis=1)) < 4 * error).all()


def test_random_null_blocks_are_glyphs_moved_and_dimmed() -> None:
    drawn = blocks.random_glyphs(400, np.random.default_rng(0))
    ink = {(g > 0).sum(): name for name, g in blocks.glyphs().items()}
    names = [ink[(d > 0).sum()] for d in drawn]  # none is cut by an edge
    assert {n: names.count(n) > 60 for n in set(names)} == dict.fromkeys(ink.values(), True)
    levels = drawn.max(axis=(1, 2))[[n != "blank" for n in names]]
    assert 0.4 <= levels.min() < 0.45
    assert 0.95 < levels.max() <= 1
    middles = np.array([np.argwhere(d > 0).mean(axis=0) for d in drawn if d.any()]) - 13.5
    assert sorted(set(middles.ravel())) == list(range(-5, 6))


def test_fixed_null_blocks_are_all_the_same_and_top_is_top() -> None:
    fixed = blocks.blockmnist(seed=0, null="fixed", position="top")
    assert (fixed.test_inputs[:, 0, 28:] == blocks.glyphs()["cross"]).all()
    assert fixed.test_mask[:, :28].all()
    assert not fixed.test_mask[:, 28:].any()
    assert fixed.truth_kind == "data"


@pytest.mark.parametrize("null", ["random", "fixed"])
def test_interventions_change_what_they_say(null: blocks.Null) -> None:
    data = blocks.blockmnist(seed=1, null=null)
    inside = data.test_mask[:, None]
    swapped, erased, without, replaced = data.interventions
    for change in (swapped, erased):
        assert (change.inputs[inside] == data.test_inputs[inside]).all()
    changed = (swapped.inputs != data.test_inputs).any(axis=(1, 2, 3))
    assert changed.mean() > 0.85  # a blank may be swapped for a blank
    assert changed.all() or null == "random"
    assert (erased.inputs[~inside] == 0).all()
    assert (without.inputs[~inside] == data.test_inputs[~inside]).all()
    assert (without.inputs[inside] == 0).all()
    assert (replaced.inputs[~inside] == data.test_inputs[~inside]).all()
    digits = {
        block.tobytes(): label
        for block, label in zip(data.test_inputs[inside].reshape(-1, 784), data.test_targets, strict=True)
    }
    assert [digits[block.tobytes()] for block in replaced.inputs[inside].reshape(-1, 784)] == replaced.targets.tolist()
    assert (replaced.targets == 1 - data.test_targets).all()


class Ink(nn.Module):
    """Its margin is how much ink there is, wherever it is."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        ink = inputs.flatten(1).sum(dim=1)
        return torch.stack([ink, torch.zeros_like(ink)], dim=1)


def test_the_margin_check_is_a_ratio_of_mean_changes(data: Data) -> None:
    """By hand, on a model that adds up ink: what the null block adds over what the digit did."""
    (check,) = data.checks
    (gate,) = check.measure(as_predictor(Ink(), returns="logit"), data).gates
    ink = [
        x.sum(axis=(1, 2, 3)) for x in (data.test_inputs, data.interventions[0].inputs, data.interventions[2].inputs)
    ]
    expected = abs(ink[1] - ink[0]).mean() / abs(ink[2] - ink[0]).mean()
    assert gate.value == pytest.approx(expected, rel=1e-4)
    assert gate.threshold == 0.05
    assert not gate.passed
    assert gate.name.startswith("margin")


@pytest.mark.slow
def test_gates_tell_a_model_of_the_digit_from_a_model_of_the_null_block(data: Data) -> None:
    class Looks(nn.Module):
        """Finds the block with the wider spread of grey levels and compares its middle with its ring."""

        def __init__(self, at_null: bool) -> None:
            super().__init__()
            self.at_null = at_null

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            pair = inputs.view(-1, 2, 28 * 28)
            levels = torch.stack([torch.tensor([len(b.unique()) for b in two]) for two in pair])
            place = levels.argmin(dim=1) if self.at_null else levels.argmax(dim=1)
            block = pair[torch.arange(len(pair)), place].view(-1, 28, 28)
            middle = block[:, 10:18, 11:17].mean(dim=(1, 2))
            return torch.stack([0.3 - middle, middle - 0.3], dim=1)

    def found(at_null: bool) -> dict[str, bool]:
        predictor = as_predictor(Looks(at_null), returns="logit")
        predicted = predictor.predict(torch.from_numpy(data.test_inputs)).argmax(dim=1).numpy()
        score = float((predicted == data.test_targets).mean())
        return {g.name: g.passed for g in measure_gates(data, predictor, score).gates}

    assert list(found(False)) == [
        "accuracy", "accuracy drop, null swapped", "accuracy drop, null erased",
        "accuracy, signal erased (data)", "accuracy, signal replaced", "margin share of the null block",
    ]  # fmt: skip
    honest = found(False)
    assert honest["accuracy drop, null swapped"]
    assert honest["accuracy drop, null erased"]
    assert honest["accuracy, signal erased (data)"]
    assert honest["margin share of the null block"]
    assert not found(True)["accuracy"]
    assert not found(True)["accuracy, signal replaced"]
    assert not found(True)["margin share of the null block"]


def test_parameters_are_checked() -> None:
    spec = get("dataset", "blockmnist")
    for params in ({"null": "none"}, {"position": "bottom"}, {"classes": (0, 10)}, {"copies": 0}):
        with pytest.raises(UsageError, match="is not valid"):
            spec.bind(params)
    with pytest.raises(UsageError, match="two different"):
        blocks.blockmnist(seed=0, classes=(3, 3))

"""Patches that a model does not notice, on a network that cannot see colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.gates import Findings
from xaibench.core.predictor import CallablePredictor, TorchPredictor
from xaibench.datasets import patches
from xaibench.datasets.patches import InsignificantPatch

N, SIDE = 6, 12
RNG = np.random.default_rng(0)
CLEAN = RNG.random((N + 2, 3, SIDE, SIDE), dtype=np.float32) * 0.2 + 0.4
MASKS = np.zeros((N, SIDE, SIDE), bool)
for row, corner in enumerate(RNG.integers(0, SIDE - 6, (N, 2))):
    MASKS[row, corner[0] : corner[0] + 6, corner[1] : corner[1] + 5] = True
PASTED = np.where(MASKS[:, None], np.array([1, 0.4, 0.7], np.float32)[:, None, None], CLEAN[:N])
DATA = Data("image", CLEAN, np.arange(N + 2) % 3, CLEAN, np.arange(N + 2) % 3)


def colour_blind() -> nn.Module:
    """Sees the mean of the channels only: the differences of colours are its null space."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        grey, head = nn.Conv2d(3, 1, 1, bias=False), nn.Linear(150, 3)
        grey.weight.fill_(1 / 3)
        head.weight.mul_(5)
        head.bias.copy_(torch.tensor([0.0, 2.0, 4.0]))
        return nn.Sequential(grey, nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), head).eval()


@pytest.fixture(scope="module")
def found() -> Findings:
    return InsignificantPatch(PASTED, MASKS).measure(TorchPredictor(colour_blind()), DATA)


@pytest.mark.slow
def test_the_patch_is_seen_and_changes_nothing(found: Findings) -> None:
    assert [gate.passed for gate in found.gates] == [True] * 4
    images = found.inputs["input_pair.patched"]
    with torch.no_grad():
        before, after = (colour_blind()(torch.from_numpy(a)) for a in (CLEAN[:N], images))
    change, rms = found.gates[1].value, found.gates[3].value
    assert change == pytest.approx(np.quantile((after - before).abs().amax(1).numpy(), 0.95), rel=1e-4)
    assert change < 0.05
    assert rms == pytest.approx(np.sqrt(np.mean((images - CLEAN[:N]).transpose(0, 2, 3, 1)[MASKS] ** 2)), rel=1e-5)
    top = before.sort(dim=1).values
    assert found.gates[2].value == pytest.approx(change / (top[:, -1] - top[:, -2]).median().item(), rel=0.5)


@pytest.mark.slow
def test_only_the_mask_changes_and_pixels_are_those_of_a_file(found: Findings) -> None:
    images = found.inputs["input_pair.patched"]
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    inside = np.broadcast_to(MASKS[:, None], images.shape)
    assert np.array_equal(images[~inside], CLEAN[:N][~inside])
    assert np.abs(255 * images[inside] - (255 * images[inside]).round()).max() < 1e-4


@pytest.mark.slow
def test_images_are_patched_apart_and_repeatedly_alike(found: Findings) -> None:
    images = found.inputs["input_pair.patched"]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = InsignificantPatch(PASTED, MASKS).measure(TorchPredictor(colour_blind(), batch_size=1), DATA)
    assert np.array_equal(again.inputs["input_pair.patched"], images)
    assert torch.equal(torch.get_rng_state(), state)
    few = InsignificantPatch(PASTED[:2], MASKS[:2]).measure(TorchPredictor(colour_blind()), DATA)
    # Rounding errors grow over 200 steps.
    assert abs(few.inputs["input_pair.patched"] - images[:2]).mean() < 0.01


def test_an_object_that_was_only_pasted_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "SCHEDULE", ((0.01, 0),))
    monkeypatch.setattr(patches, "FAINTER", ())
    gates = InsignificantPatch(PASTED, MASKS).measure(TorchPredictor(colour_blind()), DATA).gates
    assert [gate.passed for gate in gates[1:]] == [False, False, True]
    gates = InsignificantPatch(CLEAN[:N], MASKS).measure(TorchPredictor(colour_blind()), DATA).gates
    assert [gate.passed for gate in gates] == [True, True, True, False]


def test_what_is_noticed_starts_again_from_a_fainter_object(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TorchPredictor(colour_blind())
    clean, pasted, mask = (torch.from_numpy(a) for a in (CLEAN[:N], PASTED, MASKS[:, None]))
    monkeypatch.setattr(patches, "SCHEDULE", ((0.01, 0),))

    def change(image: torch.Tensor) -> torch.Tensor:
        return (model.forward(image) - model.forward(clean)).abs().amax(dim=1)

    with torch.no_grad():
        whole = change(patches.unnoticed(model, clean, pasted, mask, float("inf")))
        faint = change(patches.unnoticed(model, clean, pasted, mask, 0.0))
    noticed = whole > 1e-3
    assert noticed.any()
    assert (faint[noticed] < whole[noticed]).all()


def test_everything_that_matters_is_in_the_identity() -> None:
    check = InsignificantPatch(PASTED, MASKS)
    others = (replace(check, inputs=PASTED + 1), replace(check, masks=~MASKS), replace(check, max_change=0.2))
    assert check.identity == InsignificantPatch(PASTED.copy(), MASKS.copy()).identity
    assert all(other.identity != check.identity for other in others)


def test_a_model_without_gradients_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no gradients"):
        InsignificantPatch(PASTED, MASKS).measure(CallablePredictor(lambda x: x[:, :, 0, 0], "probability"), DATA)

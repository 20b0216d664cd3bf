"""Photographs and mosaics on miniatures, and the network without its weights: nothing is fetched."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.builders import make_data
from PIL import Image
from torch import Tensor, nn

from xaibench.core.errors import DataError, UsageError
from xaibench.core.predictor import TorchPredictor
from xaibench.datasets import imagenet as photographs
from xaibench.datasets.imagenet import PHOTOGRAPH_SIDE, imagenet, middle_of, mosaic
from xaibench.models.efficientnet_lite import EfficientNetLite0, efficientnet_lite0

HALF = PHOTOGRAPH_SIDE // 2
LABELS = [0, 1, 2, 3, 4, 4]


def encoded(level: int, size: tuple[int, int] = (60, 40)) -> bytes:
    """A photograph of one grey level."""
    file = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def miniatures(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [encoded(20 + 30 * label) for label in LABELS]
    monkeypatch.setattr(photographs, "_fetched", lambda: (found, LABELS))


@functools.cache
def untrained() -> EfficientNetLite0:
    return EfficientNetLite0().eval()


class ClassOfBrightness(nn.Module):
    """Logit of class c: the share of the picture that has the grey level of photograph c."""

    def forward(self, inputs: Tensor) -> Tensor:
        levels = inputs[:, 0] * 128 + 127
        return torch.stack(
            [((levels - (20 + 30 * c)).abs() < 2).float().mean(dim=(1, 2)) for c in range(5)]
            + [torch.full((len(inputs),), -1.0)] * 995,
            dim=1,
        )


def test_the_middle_is_cut_out_and_scaled_as_the_network_was_trained() -> None:
    file = io.BytesIO()
    picture = Image.new("RGB", (512, 256), (255, 0, 0))
    picture.paste((0, 0, 255), (256, 0, 512, 256))
    picture.save(file, "PNG")
    found = middle_of(file.getvalue())
    assert found.shape == (3, PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE)
    assert (found[0, :, : HALF - 3] == 255).all()
    assert (found[2, :, HALF + 3 :] == 255).all()
    values = photographs.as_network_inputs(np.array([0, 127, 255], np.uint8))
    assert values.tolist() == [-127 / 128, 0.0, 1.0]


def test_photographs_have_their_classes_and_are_their_own_reference(miniatures: None) -> None:
    data = imagenet(seed=1)
    assert data.n_classes == 1000
    assert sorted(data.test_targets.tolist()) == LABELS
    assert data.accuracy_floor == 0.8
    levels = data.test_rows[:, 0, 0, 0].tolist()  # type: ignore[index]
    assert [(level - 20) // 30 for level in levels] == data.test_targets.tolist()


def test_every_photograph_is_the_target_of_one_mosaic_of_four_classes(miniatures: None) -> None:
    data = mosaic(seed=0, images=tuple(range(6)))
    assert len(data.test_inputs) == 6
    assert sorted(data.test_targets.tolist()) == LABELS
    corners = data.test_rows[:, 0, :: HALF + 60, :: HALF + 60].reshape(6, 4)  # type: ignore[index]
    for four, target, mask in zip(corners, data.test_targets, data.test_mask, strict=True):  # type: ignore[arg-type]
        classes = [(int(level) - 20) // 30 for level in four]
        assert len(set(classes)) == 4
        assert classes.index(int(target)) == int(mask[:: HALF + 60, :: HALF + 60].ravel().argmax())
        assert mask.mean() == 0.25


def test_the_gate_measures_which_cell_decides(miniatures: None) -> None:
    data = mosaic(seed=0, images=tuple(range(6)))
    good, found = data.checks[0].measure(TorchPredictor(ClassOfBrightness().eval()), data).gates
    assert (good.value, found.value) == (1.0, 1.0)
    blind = nn.Sequential(nn.Flatten(), nn.Linear(3 * PHOTOGRAPH_SIDE * PHOTOGRAPH_SIDE, 1000))
    nn.init.zeros_(blind[1].weight)
    nn.init.zeros_(blind[1].bias)
    gates = data.checks[0].measure(TorchPredictor(blind.eval()), data).gates
    assert not gates[0].passed


def test_too_few_classes_and_unknown_numbers_are_refused(miniatures: None) -> None:
    with pytest.raises(UsageError, match="four classes"):
        mosaic(seed=0, images=(0, 1, 4, 5))
    with pytest.raises(UsageError, match="from 0 to 5"):
        mosaic(seed=0, images=(0, 1, 2, 9))


def test_a_folder_of_ones_own_has_labels_or_none(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(90))
    plain = imagenet(seed=0, folder=str(tmp_path))
    assert plain.accuracy_floor is None
    labelled = tmp_path / "labelled"
    for number in ("7", "999"):
        (labelled / number).mkdir(parents=True)
        (labelled / number / "c.png").write_bytes(encoded(90))
    assert sorted(imagenet(seed=0, folder=str(labelled)).test_targets.tolist()) == [7, 999]
    (labelled / "cats").mkdir()
    (labelled / "cats" / "d.png").write_bytes(encoded(90))
    with pytest.raises(DataError, match="number of a class"):
        imagenet(seed=0, folder=str(labelled))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no photographs"):
        imagenet(seed=0, folder=str(tmp_path / "empty"))
    (tmp_path / "empty" / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="cannot be read"):
        imagenet(seed=0, folder=str(tmp_path / "empty"))


def test_what_was_not_fetched_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path))
    with pytest.raises(DataError) as caught:
        imagenet(seed=0)
    assert "xaibench data fetch imagenet" in (caught.value.hint or "")


def test_the_network_is_as_large_as_published_and_refuses_other_data(miniatures: None) -> None:
    net = untrained()
    assert sum(p.numel() for p in net.parameters()) == 4_652_008
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    with pytest.raises(UsageError, match="colour images of 1000 classes"):
        efficientnet_lite0(make_data())


@pytest.mark.parametrize(("side", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 5, 1)])
def test_convolutions_have_as_many_places_as_strides_fit(side: int, kernel: int, stride: int) -> None:
    """Zeros are added on both sides, the odd one behind: place i of the output is centred as in TensorFlow."""
    block = untrained().blocks[0].depthwise_conv
    own = type(block)(1, 1, kernel, stride=stride)
    inputs = torch.randn(1, 1, side, side)
    places = -(-side // stride)
    total = max((places - 1) * stride + kernel - side, 0)
    padded = nn.functional.pad(inputs, (total // 2, total - total // 2) * 2)
    expected = nn.functional.conv2d(padded, own.weight, stride=stride)
    assert expected.shape[2:] == (places, places)
    torch.testing.assert_close(own(inputs), expected)

"""Segmentation networks reduced to a region: what lies beyond the region and its receptive field is not in the map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import xaibench as xb
from xaibench.core.errors import UsageError

torch.manual_seed(3)
IMAGES = torch.randn(3, 2, 9, 9)
REGION = torch.zeros(3, 9, 9, dtype=torch.bool)
REGION[0, 4, 4] = REGION[1, 2:5, 3:6] = REGION[2, 0, :] = True
ADDITIVE = nn.Sequential(nn.Conv2d(2, 5, 1), nn.ReLU(), nn.Conv2d(5, 3, 1)).eval()
BLURRED = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 3, 3, padding=1)).eval()
EXPLAINERS = [
    "gradient",
    "integrated_gradients",
    "lrp",
    "deep_lift",
    "occlusion",
    "feature_ablation",
    "guided_backprop",
]


def near(region: torch.Tensor, r: int) -> np.ndarray:  # type: ignore[type-arg]
    return nn.functional.max_pool2d(region[:, None].float(), 2 * r + 1, 1, r)[:, 0].bool().numpy()


@pytest.mark.parametrize("name", EXPLAINERS)
@pytest.mark.parametrize(("net", "r"), [(ADDITIVE, 0), (BLURRED, 2)])
def test_a_map_is_0_beyond_the_receptive_field_of_the_region(name: str, net: nn.Module, r: int) -> None:
    given = {"patch": 1} if name == "occlusion" else {}
    maps = xb.explain(name, model=xb.Reduced(net), inputs=IMAGES, context={"region": REGION}, targets=1, **given)
    assert (maps[~near(REGION, r)] == 0).all()
    assert (np.abs(maps).reshape(3, -1).max(axis=1) > 0).all()


def test_a_region_is_averaged_so_that_sizes_compare() -> None:
    weights = ADDITIVE(IMAGES)
    found = xb.curve(
        "pixel_flipping", model=xb.Reduced(ADDITIVE), inputs=IMAGES, context={"region": REGION}, targets=1,
        attributions=np.ones((3, 9, 9)), steps=1, output="logit",
    )  # fmt: skip
    expected = [weights[i, 1][REGION[i]].mean().item() for i in range(3)]
    assert found[:, 0] == pytest.approx(expected, abs=1e-5)


def test_the_predicted_region_is_that_of_the_clean_inputs() -> None:
    reduced = xb.Reduced(ADDITIVE)
    places = ADDITIVE(IMAGES).argmax(dim=1)
    target = int(places.flatten().mode().values)
    region = reduced.predicted(IMAGES, target)
    assert torch.equal(region, places == target)
    other = (target + 1) % 3
    maps = xb.explain("gradient", model=reduced, inputs=IMAGES, context={"region": region}, targets=target, foils=other)
    assert (maps[~region.numpy()] == 0).all()


class Dictionary(nn.Module):
    """Like torchvision's networks."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.net(x), "aux": x}


def test_torchvision_returns_a_dictionary() -> None:
    plain, nested = (
        xb.explain("gradient", model=xb.Reduced(net), inputs=IMAGES, context={"region": REGION}, targets=0)
        for net in (BLURRED, Dictionary(BLURRED).eval())
    )
    assert np.array_equal(plain, nested)


@pytest.mark.parametrize(
    ("net", "region", "message"),
    [
        (ADDITIVE, REGION[:, :4], "region has shape"),
        (ADDITIVE, torch.zeros_like(REGION), "the region of sample 0 is empty"),
        (nn.Sequential(nn.Flatten(), nn.Linear(162, 3)), REGION, "which has no places"),
    ],
)
def test_wrong_regions_get_one_sentence(net: nn.Module, region: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        xb.explain("gradient", model=xb.Reduced(net), inputs=IMAGES, context={"region": region}, targets=0)


def test_a_class_that_is_nowhere_has_no_region() -> None:
    with pytest.raises(UsageError, match="class 7 is predicted at no place of sample 0"):
        xb.Reduced(ADDITIVE).predicted(IMAGES, 7)

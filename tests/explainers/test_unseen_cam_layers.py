"""Grad-CAM's default layer on networks that no rule was written for: the tensor that the head reads, or a refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers.builders import make_inputs, make_view
from helpers.explainer_cases import run
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError

MapOf = Callable[["Net", Tensor], Tensor]
SIDE = 8


class Net(nn.Module):
    """Maps (N, 6, h, w) by ``maps``, logits by ``head`` of them; layers are shared by all cases."""

    def __init__(self, maps: MapOf, head: MapOf | None = None) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.maps, self.head = maps, head or (lambda net, h: h.mean((2, 3)))
        self.stem, self.wide, self.point = (
            nn.Conv2d(1, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Conv2d(6, 6, 1),
        )
        self.deep, self.norm = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6)
        self.down, self.gate = nn.Conv2d(6, 6, 3, stride=2, padding=1), nn.Linear(6, 6)
        self.row, self.last = nn.GRU(8, 6, batch_first=True), nn.Linear(6, 3)
        self.dense, self.flat = nn.Linear(64, 6), nn.Linear(96, 6)
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.last(self.head(self, self.maps(self, inputs)))
        return out


def _shuffled(net: Net, x: Tensor) -> Tensor:
    h = net.stem(x).relu()
    return net.wide(h.view(-1, 2, 3, SIDE, SIDE).transpose(1, 2).flatten(1, 2)).relu()


def _up(net: Net, x: Tensor) -> Tensor:
    h = net.stem(x).relu()
    return net.wide(h + functional.interpolate(net.down(h).relu(), scale_factor=2, mode="nearest")).relu()


def _excited(net: Net, x: Tensor) -> Tensor:
    h = net.wide(net.stem(x).relu()).relu()
    return h * torch.sigmoid(net.gate(h.mean((2, 3))))[:, :, None, None]


def _channels_last(net: Net, x: Tensor) -> Tensor:
    h = net.stem(x).permute(0, 2, 3, 1)
    return functional.gelu(net.gate(h)).permute(0, 3, 1, 2)


def _reversed(h: Tensor) -> Tensor:
    return h.flatten(2)[:, :, torch.arange(h[0, 0].numel() - 1, -1, -1)].view_as(h)


RIGHT: dict[str, tuple[MapOf, MapOf | None]] = {
    "point convolution as the head, as in SqueezeNet": (lambda n, x: n.point(n.stem(x).relu()).relu(), None),
    "hard swish behind a point convolution": (lambda n, x: functional.hardswish(n.point(n.deep(n.stem(x)))), None),
    "shuffled channels": (_shuffled, None),
    "up and down again": (_up, None),
    "squeeze and excitation last": (_excited, None),
    "dense layers over channels": (_channels_last, None),
    "largest value of every map": (lambda n, x: n.wide(n.stem(x).relu()).relu(), lambda n, h: h.amax((2, 3))),
    "two poolings before the head": (
        lambda n, x: n.norm(n.wide(n.stem(x).relu())).relu(),
        lambda n, h: functional.adaptive_avg_pool2d(functional.max_pool2d(h, 2), 1).flatten(1),
    ),
    "dropout and flattening before the head": (
        lambda n, x: n.down(n.stem(x).relu()).relu(),
        lambda n, h: n.flat(functional.dropout(h, 0.5, training=False).flatten(1)),
    ),
    "places in another order before their mean": (
        lambda n, x: n.stem(x).relu(), lambda n, h: _reversed(h).mean((2, 3)),
    ),
    "tanh of a sum": (lambda n, x: torch.tanh(n.stem(x) + n.wide(n.stem(x).relu())), None),
}  # fmt: skip
REFUSED: dict[str, tuple[MapOf, MapOf | None]] = {
    "dense layer on the pixels": (lambda n, x: n.dense(x.flatten(1)), lambda n, h: h.relu()),
    "recurrence over rows": (lambda n, x: n.row(x[:, 0])[0][:, -1], lambda n, h: h),
    "convolution over places in another order": (lambda n, x: n.wide(_reversed(n.stem(x).relu())).relu(), None),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_the_default_layer_is_what_the_head_reads(case: str) -> None:
    net, inputs = Net(*RIGHT[case]), make_inputs((1, SIDE, SIDE), 5)
    view = make_view(net, inputs, targets=torch.arange(5) % 3)
    maps = net.maps(net, inputs).detach().requires_grad_()
    logits = net.last(net.head(net, maps)).gather(1, view.targets[:, None]).sum()
    (gradient,) = torch.autograd.grad(logits, maps)
    coarse = torch.einsum("nk,nkhw->nhw", gradient.mean((2, 3)), maps.detach()).clamp(min=0)
    by_hand = functional.interpolate(coarse[:, None], (SIDE, SIDE), mode="bilinear")[:, 0]
    assert by_hand.max() > 0
    torch.testing.assert_close(run("grad_cam", view), by_hand, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["grad_cam", "guided_grad_cam"])
@pytest.mark.parametrize("case", REFUSED)
def test_no_maps_or_places_that_moved_are_refused(name: str, case: str) -> None:
    view = make_view(Net(*REFUSED[case]), make_inputs((1, SIDE, SIDE), 5))
    with pytest.raises(UnsupportedError):
        run(name, view)

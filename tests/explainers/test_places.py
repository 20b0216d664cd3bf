"""Places of the image, followed through operations: every element is marked, and compared with what a network did."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from xaibench.core.predictor import TorchPredictor
from xaibench.explainers.engines.feature_steps import computed_steps

H, W, K = 4, 6, 5


class Through(torch.nn.Module):
    """Maps (N, K, H, W), then operations, then one number."""

    def __init__(self, operations):
        super().__init__()
        self.operations = operations
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(K, 3, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.operations(functional.conv2d(inputs, self.weight)).flatten(1).sum(1, keepdim=True)


def places_of(operations):
    inputs = torch.randn(1, 3, H, W, requires_grad=True)
    return computed_steps(TorchPredictor(Through(operations).eval()), inputs, "this")


def last(operations):
    """The last step before the sum."""
    _, _, steps = places_of(operations)
    return steps[-3] if steps[-2].name == "flatten" else steps[-2]


def test_every_element_is_where_its_gradient_goes():
    """An independent check: elements that are moved have a gradient at exactly their place of the image."""

    def moves(maps):
        rows = maps.view(1, K, 2, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(6, 4, K)
        joined = torch.cat([rows.flip(1)[:3], rows.roll(1, 1)[3:]]).transpose(0, 1)
        return torch.stack([joined, joined * 2], 1)[:, 0]

    inputs = torch.randn(1, 3, H, W, requires_grad=True)
    model = TorchPredictor(Through(moves).eval())
    _, _, steps = computed_steps(model, inputs, "this")
    checked = 0
    for step in steps:
        if step.places is None or step.name in ("flatten", "sum"):
            continue
        assert step.places.ids.shape == step.tensor.shape
        for element in range(0, step.tensor.numel(), 7):
            one = torch.zeros(step.tensor.numel())
            one[element] = 1
            (gradient,) = torch.autograd.grad(step.tensor, inputs, one.view_as(step.tensor), retain_graph=True)
            reached = (gradient.abs().sum((0, 1)) > 0).flatten().nonzero().flatten().tolist()
            assert reached == [int(step.places.ids.flatten()[element]) - 1]
            checked += 1
    assert checked > 100


MAPS = {
    "elementwise": (lambda m: torch.tanh(m) * 2 + 1, (2, 3)),
    "channels last": (lambda m: m.permute(0, 2, 3, 1), (1, 2)),
    "channels last and normalised": (lambda m: functional.layer_norm(m.permute(0, 2, 3, 1), (K,)), (1, 2)),
    "and back": (lambda m: m.movedim(1, -1).movedim(-1, 1), (2, 3)),
    "split": (lambda m: m.split(3, 1)[1], (2, 3)),
    "chunk of channels": (lambda m: m.chunk(2, dim=1)[0], (2, 3)),
    "unflattened": (lambda m: m.flatten(2).view(1, K, H, W), (2, 3)),
    "one channel": (lambda m: m[:, 2:3], (2, 3)),
    "summed over channels": (lambda m: m.sum(1, keepdim=True), (2, 3)),
    "every second place": (lambda m: m[:, :, ::2, 1::2], (2, 3)),
    "patches as channels": (
        lambda m: m.view(1, K, 2, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).flatten(3), (1, 2)
    ),
    "padded with zeros": (lambda m: functional.pad(m.movedim(1, -1), (0, 0, 0, 1, 0, 2)), (1, 2)),
    "windows and back": (
        lambda m: (m.view(1, K, 2, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(6, 4, K) * 3)
        .view(1, 2, 3, 2, 2, K).permute(0, 5, 1, 3, 2, 4).reshape(1, K, H, W), (2, 3),
    ),
    "rolled there and back": (lambda m: m.roll((1, 2), (2, 3)).roll((-1, -2), (2, 3)), (2, 3)),
    "mirrored twice": (lambda m: m.flip(-1).flip(-1), (2, 3)),
    "mixed over channels by einsum": (lambda m: torch.einsum("bkhw,jk->bhwj", m, torch.ones(7, K)), (1, 2)),
    "a product with a matrix": (lambda m: m.movedim(1, -1) @ torch.ones(K, 3), (1, 2)),
    "masked": (lambda m: torch.where(m > 0, m, m * 0.1), (2, 3)),
    "joined": (lambda m: torch.cat([m, torch.ones_like(m[:, :1]).detach(), m], dim=1), (2, 3)),
    "tokens": (lambda m: m.flatten(2).mT, (1,)),
    "tokens of channels": (lambda m: m.flatten(2), (2,)),
    "tokens first": (lambda m: m.flatten(2).permute(2, 0, 1), (0,)),
    "tokens of patches": (
        lambda m: m.view(1, K, 2, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(1, 6, 20), (1,)
    ),
    "tokens of unfolded patches": (lambda m: functional.unfold(m, 2, stride=2), (2,)),
    "tokens behind two others": (lambda m: torch.cat([torch.ones(1, 2, K), m.flatten(2).mT], dim=1), (1,)),
    "tokens before two others": (lambda m: torch.cat([m.flatten(2).mT, torch.ones(1, 2, K)], dim=1), (1,)),
    "tokens without the first": (
        lambda m: torch.cat([torch.ones(1, 2, K), m.flatten(2).mT], dim=1)[:, 1:] * 2, (1,)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_maps_and_tokens_are_recognised(name):
    operations, axes = MAPS[name]
    step = last(operations)
    assert step.places is not None
    assert step.places.axes == axes
    if axes == (1,) and "other" in name:
        assert step.places.before == (2 if "behind" in name else 0)
    if "without" in name:
        assert step.places.before == 1


NEITHER = {
    "mirrored": lambda m: m.flip(-1),
    "rolled": lambda m: m.roll(2, -1),
    "transposed": lambda m: m.mT,
    "turned by half": lambda m: m.rot90(2, (2, 3)),
    "half of the columns": lambda m: m[..., :3],
    "columns in another order": lambda m: m[..., [0, 2, 1, 3, 5, 4]],
    "attention between places": lambda m: (m.flatten(2).mT @ m.flatten(2)).unsqueeze(1),
    "attention of two heads": lambda m: torch.cat([(m.flatten(2).mT @ m.flatten(2)).unsqueeze(1)] * 2, 1).softmax(-1),
    "heads of tokens": lambda m: torch.cat([m, m[:, :1]], 1).flatten(2).mT.reshape(1, H * W, 2, 3).transpose(1, 2),
    "mixed over places": lambda m: m.flatten(2) @ torch.ones(H * W, H * W),
    "mixed over columns": lambda m: m @ torch.ones(W, W),
    "mixed by linear": lambda m: functional.linear(m, torch.ones(W, W)),
    "sorted": lambda m: m.sort(-1)[0],
    "sum of mirror images": lambda m: m + m.flip(-1),
    "mean of rows": lambda m: m.mean(2, keepdim=True) + torch.zeros(1, K, H, W),
    "windows": lambda m: m.view(1, K, 2, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(6, 4, K),
    "shuffled tokens": lambda m: m.flatten(2).mT[:, torch.arange(H * W - 1, -1, -1)],
    "tokens twice": lambda m: torch.cat([m.flatten(2).mT, m.flatten(2).mT], dim=1),
    "some of the tokens": lambda m: m.flatten(2).mT[:, :20],
    "tokens torn apart": lambda m: torch.cat(
        [m.flatten(2).mT[:, :12], torch.ones(1, 1, K), m.flatten(2).mT[:, 12:]], dim=1
    ),
    "rows as tokens": lambda m: m.permute(0, 2, 1, 3).flatten(2),
}


@pytest.mark.parametrize("name", NEITHER)
def test_what_is_neither_map_nor_tokens_of_the_whole_image(name):
    step = last(NEITHER[name])
    assert step.places is None or step.places.axes == () or step.places.displaced

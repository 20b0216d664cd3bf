"""Backward passes on networks that no rule was written for: right, or refused (docs/concepts/checked-numbers.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.builders import make_inputs, make_view
from helpers.explainer_cases import run
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError

Middle = Callable[[Tensor], Tensor]
CLOSE: Any = {"rtol": 1e-5, "atol": 1e-7}


class Between(nn.Module):
    """(N, 6) to (N, 3), with something between two dense layers of 12 units."""

    def __init__(self, middle: Middle) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.middle = nn.Linear(6, 12), nn.Linear(12, 3), middle
        self.double().eval()

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.last(self.middle(self.first(inputs)))
        return out


FIXED = torch.linspace(-1, 1, 144, dtype=torch.float64).view(12, 12)
PRODUCTS: dict[str, Middle] = {
    "feature-wise modulation": lambda h: h + torch.cat([h[:, :6] * h[:, 6:], h[:, 6:]], 1),
    "low-rank bilinear pooling": lambda h: (h @ FIXED) * (h @ FIXED.T),
    "rms norm written out": lambda h: h * torch.rsqrt((h * h).mean(1, keepdim=True) + 1),
    "rms norm": lambda h: functional.rms_norm(h, (12,)),
    "power spectrum": lambda h: torch.fft.irfft(torch.fft.rfft(h) * torch.fft.rfft(h).conj(), n=12),
    "multiplication of complex numbers": lambda h: torch.view_as_real(
        torch.view_as_complex(h.view(-1, 6, 2)) * torch.view_as_complex(h.view(-1, 6, 2))
    ).flatten(1),
    "cross product": lambda h: torch.linalg.cross(h.view(-1, 4, 3), h.view(-1, 4, 3).roll(1, 1)).flatten(1),
    "retrieval from a memory": lambda h: (h @ FIXED).softmax(1) @ FIXED + h.softmax(1) * h,
    "transposed convolution by its own weights": lambda h: functional.conv_transpose1d(
        h.unsqueeze(1), h[:1, :3].view(1, 1, 3), padding=1
    ).squeeze(1),
    "power of a matrix": lambda h: functional.pad(
        torch.linalg.matrix_power(h[:, :9].view(-1, 3, 3), 2).flatten(1), (0, 3)
    ),
}  # fmt: skip
LINEAR: dict[str, Middle] = {
    "circulant matrix": lambda h: h + 0.5 * h.roll(1, 1) - 0.25 * h.roll(2, 1),
    "running sum": lambda h: h.cumsum(1),
    "differences": lambda h: functional.pad(h.diff(dim=1), (1, 0)),
    "einsum with a constant": lambda h: torch.einsum("ni,ij->nj", h, FIXED),
    "reflected border": lambda h: functional.pad(h.unsqueeze(1), (3, 3), mode="reflect").squeeze(1)[:, 3:15],
    "places taken twice": lambda h: h[:, [0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8]],
    "pixels shuffled": lambda h: functional.pixel_shuffle(h.view(-1, 4, 1, 3), 2).flatten(1),
    "unfolded and folded": lambda h: functional.fold(
        functional.unfold(h.view(-1, 1, 3, 4), 2), (3, 4), 2
    ).flatten(1),
    "Fourier filter": lambda h: torch.fft.irfft(torch.fft.rfft(h) * torch.linspace(1, 0, 7), n=12),
    "constant grid": lambda h: functional.grid_sample(
        h.view(-1, 1, 3, 4), torch.linspace(-0.9, 0.9, 24, dtype=h.dtype).view(1, 3, 4, 2).expand(len(h), -1, -1, -1),
        align_corners=False,
    ).flatten(1),
}  # fmt: skip


REFUSED_LINEAR = {
    "circulant matrix",
    "running sum",
    "differences",
    "unfolded and folded",
    "Fourier filter",
    "constant grid",
}
"""Linear, and without a rule: refused rather than guessed."""


@pytest.mark.parametrize(
    ("name", "case"),
    [
        (name, case)
        for name in ("deep_lift", "lrp", "guided_backprop", "deconvolution")
        for case in PRODUCTS
        # Normalisations that torch computes in one step keep their gradient in guided methods.
        if not (case == "rms norm" and name in ("guided_backprop", "deconvolution"))
    ],
)
def test_products_that_no_list_has_are_refused(name: str, case: str) -> None:
    view = make_view(Between(PRODUCTS[case]), make_inputs((6,), 5).double())
    with pytest.raises(UnsupportedError):
        run(name, view)


@pytest.mark.parametrize("case", LINEAR)
def test_linear_maps_that_no_list_has_are_right_or_refused(case: str) -> None:
    """Input times gradient is what DeepLift from 0 and the epsilon rule give of an affine network."""
    view = make_view(Between(LINEAR[case]), make_inputs((6,), 5).double())
    truth, refused = run("input_x_gradient", view), 0
    for name, params in (("deep_lift", {}), ("lrp", {"rule": "epsilon", "epsilon": 1e-13})):
        try:
            torch.testing.assert_close(run(name, view, **params), truth, **CLOSE)
        except UnsupportedError:
            refused += 1
    assert refused == (2 if case in REFUSED_LINEAR else 0)


Relu = Callable[[Tensor], Tensor]
OTHER_ACTIVATIONS: dict[str, Middle] = {
    "relu squared": lambda h: torch.relu(h) ** 2,
    "softsign written out": lambda h: h / (1 + h.abs()),
    "tanhshrink written out": lambda h: h - torch.tanh(h),
    "straight-through rounding": lambda h: h + (h.round() - h).detach(),
    "elu by where": lambda h: torch.where(h > 0, h, torch.expm1(h)),
    "sparsemax": lambda h: (h - h.sort(1, descending=True).values[:, 2:3]).clamp(min=0, max=1),
}
GUIDED: dict[str, Callable[[Tensor, Relu], Tensor]] = {
    "concatenated relu": lambda h, relu: torch.cat([relu(h[:, :6]), relu(-h[:, :6])], 1),
    "clipped by two relus": lambda h, relu: relu(h) - relu(h - 0.1),
    "relu of a relu": lambda h, relu: relu(relu(h) - 0.05),
    "relu behind pooling": lambda h, relu: relu(functional.avg_pool1d(h.unsqueeze(1), 3, 1, 1).squeeze(1)),
}


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        ctx.save_for_backward(h)
        return h.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (h,) = ctx.saved_tensors
        return grads[0].clamp(min=0) * (h > 0)


@pytest.mark.parametrize("name", ["guided_backprop", "deconvolution"])
@pytest.mark.parametrize("case", OTHER_ACTIVATIONS)
def test_activations_that_no_list_has_are_refused(name: str, case: str) -> None:
    with pytest.raises(UnsupportedError):
        run(name, make_view(Between(OTHER_ACTIVATIONS[case]), make_inputs((6,), 5).double()))


@pytest.mark.parametrize("case", GUIDED)
def test_relus_in_other_places_are_guided(case: str) -> None:
    inputs = make_inputs((6,), 5).double()
    view = make_view(Between(lambda h: GUIDED[case](h, torch.relu)), inputs)
    asked = inputs.clone().requires_grad_()
    by_hand = Between(lambda h: GUIDED[case](h, _Guided.apply))(asked)
    by_hand.gather(1, view.targets[:, None]).sum().backward()
    torch.testing.assert_close(run("guided_backprop", view), asked.grad.float(), **CLOSE)


class Twice(nn.Module):
    """One normalisation behind two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Conv1d(10, 4, 3, padding=1), nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        h = self.norm(self.a(inputs)).relu()
        out: Tensor = self.head(self.norm(self.b(h)).relu().flatten(1))
        return out


class Shared(Twice):
    """One convolution before two normalisations."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.BatchNorm1d(4)

    def forward(self, inputs: Tensor) -> Tensor:
        h = self.a(inputs)
        out: Tensor = self.head((self.norm(h).relu() + self.other(h).relu()).flatten(1))
        return out


class OnSum(Twice):
    """A normalisation behind a residual sum."""

    def forward(self, inputs: Tensor) -> Tensor:
        h = self.a(inputs).relu()
        out: Tensor = self.head(self.norm(h + self.b(h)).relu().flatten(1))
        return out


class Turned(Twice):
    """A dense layer over the channels, its output turned before the normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(10, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.dense(inputs.mT).mT).relu().flatten(1))
        return out


def _chain(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


NORMS: dict[str, Callable[[], nn.Module]] = {
    "one norm twice": Twice,
    "two norms of one convolution": Shared,
    "norm of a residual sum": OnSum,
    "dense layer turned": Turned,
    "norm of the input": lambda: _chain(nn.BatchNorm1d(10), nn.Conv1d(10, 4, 3, padding=1), nn.ReLU()),
    "norm behind the activation": lambda: _chain(nn.Conv1d(10, 4, 3, padding=1), nn.ReLU(), nn.BatchNorm1d(4)),
    "two norms in a row": lambda: _chain(
        nn.Conv1d(10, 4, 3, padding=1), nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.ReLU()
    ),
    "transposed convolution in groups": lambda: _chain(
        nn.ConvTranspose1d(10, 4, 3, stride=2, groups=2), nn.BatchNorm1d(4), nn.ReLU()
    ),
    "norm between convolution and pooling": lambda: _chain(
        nn.Conv1d(10, 4, 3, padding=1), nn.BatchNorm1d(4, affine=False), nn.MaxPool1d(2), nn.ReLU()
    ),
    "norm of a flattened map": lambda: nn.Sequential(
        nn.Conv1d(10, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)
    ),
}  # fmt: skip


def _settled(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    net = build().float().train()
    net(make_inputs((10, 4), 20))
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm1d) and norm.track_running_stats:
            norm.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, 0, 0.3)
    return net.double().eval()


@pytest.mark.parametrize("case", NORMS)
def test_batch_norm_in_other_places(case: str) -> None:
    """The epsilon rule is input times gradient in ReLU networks; DeepLift adds up to the difference from 0."""
    net, inputs = _settled(NORMS[case]), make_inputs((10, 4), 5).double()
    view = make_view(net, inputs, features="series")
    found = run("lrp", view, rule="epsilon", epsilon=1e-13)
    torch.testing.assert_close(found, run("input_x_gradient", view), **CLOSE)
    change = (net(inputs) - net(torch.zeros_like(inputs))).gather(1, view.targets[:, None])[:, 0].detach()
    torch.testing.assert_close(run("deep_lift", view).flatten(1).sum(1), change.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["deep_lift", "lrp"])
@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(4, track_running_stats=False), nn.InstanceNorm1d(4), nn.GroupNorm(2, 4)]
)
def test_norms_that_look_at_the_sample_are_no_fixed_scale(name: str, norm: nn.Module) -> None:
    """They are affine in nothing: DeepLift is complete all the same, or refuses; LRP refuses."""
    net, inputs = (
        _settled(lambda: _chain(nn.Conv1d(10, 4, 3, padding=1), norm, nn.ReLU())),
        make_inputs((10, 4), 5).double(),
    )
    view = make_view(net, inputs, features="series")
    with pytest.raises(UnsupportedError):
        run(name, view)

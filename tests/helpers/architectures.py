"""Small untrained networks of many architectures, with batch normalisation that has seen data."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

IMAGE, SEQUENCE, TABLE = (2, 8, 8), (5, 4), (6,)


class Written(nn.Module):
    """Layers by name, and a forward pass written as a function of them."""

    def __init__(self, forward: Callable[[nn.ModuleDict, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.written = nn.ModuleDict(layers), forward

    def forward(self, inputs: Tensor) -> Tensor:
        return self.written(self.layers, inputs)


def settled(model: nn.Module) -> nn.Module:
    """The model in evaluation mode and float64, every batch norm with statistics and parameters of its own."""
    torch.manual_seed(11)
    for m in model.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.running_mean.normal_(0, 0.5)
            m.running_var.uniform_(0.3, 3)
            if m.affine:
                m.weight.data.normal_(1, 0.5)
                m.bias.data.normal_(0, 0.5)
    return model.double().eval()


def _post_activation(m: nn.ModuleDict, x: Tensor) -> Tensor:
    h = fn.relu(m["n0"](m["c0"](x)))
    h = fn.relu(m["n2"](m["c2"](fn.relu(m["n1"](m["c1"](h))))) + h)
    return m["head"](h.mean(dim=(2, 3)))


def _pre_activation(m: nn.ModuleDict, x: Tensor) -> Tensor:
    h = m["c0"](x)
    h = h + m["c1"](fn.relu(m["n0"](h)))
    h = h + m["c2"](fn.relu(m["n1"](h)))
    return m["head"](fn.relu(m["n2"](h)).mean(dim=(2, 3)))


def _dense(m: nn.ModuleDict, x: Tensor) -> Tensor:
    h = m["c0"](x)
    for i in range(2):
        h = torch.cat([h, m[f"d{i}"](fn.relu(m[f"m{i}"](h)))], dim=1)
    return m["head2"](fn.adaptive_avg_pool2d(fn.relu(m["m2"](h)), 1).flatten(1))


def _mixer(m: nn.ModuleDict, x: Tensor) -> Tensor:
    h = m["embed"](x)
    h = h + m["t2"](fn.relu(m["t1"](m["n1"](h).transpose(1, 2)))).transpose(1, 2)
    h = h + m["f2"](fn.relu(m["f1"](m["n2"](h))))
    return m["head"](h.mean(dim=1))


def _time_first(m: nn.ModuleDict, x: Tensor) -> Tensor:
    h = x.permute(1, 0, 2)
    h = m["act"](m["first"](h))
    return m["head"](m["act"](m["second"](h)).mean(dim=0))


def _unrolled(m: nn.ModuleDict, x: Tensor) -> Tensor:
    state = m["act"](m["into"](x[:, 0]))
    for t in range(1, x.shape[1]):
        state = m["act"](m["into"](x[:, t]) + m["again"](state))
    return m["head"](state)


def _siamese(m: nn.ModuleDict, x: Tensor) -> Tensor:
    a, b = (fn.relu(m["shared"](half)) for half in x.chunk(2, dim=1))
    return m["head"](torch.cat([a - b, a + 2 * b], dim=1))


def _used_twice(m: nn.ModuleDict, x: Tensor) -> Tensor:
    h = m["conv"](x)
    return m["head"](fn.relu(m["norm"](h) + 0.5 * h).flatten(1))


def _convolutions() -> dict[str, nn.Module]:
    return {
        "c0": nn.Conv2d(2, 4, 3, padding=1), "c1": nn.Conv2d(4, 4, 3, padding=1), "c2": nn.Conv2d(4, 4, 3, padding=1),
        "n0": nn.BatchNorm2d(4), "n1": nn.BatchNorm2d(4), "n2": nn.BatchNorm2d(4), "head": nn.Linear(4, 3),
    }  # fmt: skip


def _recurrent(act: nn.Module) -> nn.Module:
    return Written(_unrolled, into=nn.Linear(4, 6), again=nn.Linear(6, 6), head=nn.Linear(6, 3), act=act)


def _tail(channels: int) -> list[nn.Module]:
    return [nn.ReLU(), nn.Flatten(), nn.Linear(channels, 3)]


def relu_networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Networks of affine operations, ReLU and max pooling, by name, and the shape of their inputs."""
    torch.manual_seed(5)
    dense = {
        **_convolutions(), "d0": nn.Conv2d(4, 4, 3, padding=1), "d1": nn.Conv2d(8, 4, 3, padding=1),
        "m0": nn.BatchNorm2d(4), "m1": nn.BatchNorm2d(8), "m2": nn.BatchNorm2d(12), "head2": nn.Linear(12, 3),
    }  # fmt: skip
    mixer = {
        "embed": nn.Linear(4, 6), "n1": nn.BatchNorm1d(5), "n2": nn.BatchNorm1d(5), "t1": nn.Linear(5, 7),
        "t2": nn.Linear(7, 5), "f1": nn.Linear(6, 9), "f2": nn.Linear(9, 6), "head": nn.Linear(6, 3),
    }  # fmt: skip
    nets = {
        "mlp": (nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 9), *_tail(9)), TABLE),
        "mlp with batch norm": (
            nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 9), nn.BatchNorm1d(9),
                          *_tail(9)), TABLE,
        ),
        "batch norm of the inputs": (nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 9), *_tail(9)), TABLE),
        "two batch norms in a row": (
            nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.BatchNorm1d(9, affine=False), *_tail(9)), TABLE,
        ),
        "batch norm behind the activation": (
            nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.BatchNorm1d(9), nn.Linear(9, 3)), TABLE,
        ),
        "cnn": (
            nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), *_tail(5)), IMAGE,
        ),
        "batch norm behind pooling": (
            nn.Sequential(nn.Conv2d(2, 4, 3), nn.AvgPool2d(2), nn.BatchNorm2d(4), *_tail(36)), IMAGE,
        ),
        "depthwise": (
            nn.Sequential(
                nn.Conv2d(2, 4, 3, groups=2, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1),
                nn.BatchNorm2d(3), *_tail(108),
            ), IMAGE,
        ),
        "transposed": (
            nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.ReLU(), nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4),
                          *_tail(100)), IMAGE,
        ),
        "resnet": (Written(_post_activation, **_convolutions()), IMAGE),
        "resnet with pre-activation": (Written(_pre_activation, **_convolutions()), IMAGE),
        "densenet": (Written(_dense, **dense), IMAGE),
        "output of a convolution used twice": (
            Written(_used_twice, conv=nn.Conv2d(2, 3, 3), norm=nn.BatchNorm2d(3), head=nn.Linear(108, 3)), IMAGE,
        ),
        "conv1d": (
            nn.Sequential(nn.Conv1d(5, 6, 3, padding=1), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2),
                          nn.Conv1d(6, 4, 1), *_tail(8)), SEQUENCE,
        ),
        "batch norm over time, equal sizes": (
            nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), *_tail(25)), SEQUENCE,
        ),
        "batch norm over time, other sizes": (
            nn.Sequential(nn.Linear(4, 7), nn.BatchNorm1d(5), *_tail(35)), SEQUENCE,
        ),
        "mixer": (Written(_mixer, **mixer), SEQUENCE),
        "time first": (
            Written(_time_first, first=nn.Linear(4, 6), second=nn.Linear(6, 6), head=nn.Linear(6, 3), act=nn.ReLU()),
            SEQUENCE,
        ),
        "unrolled recurrence": (_recurrent(nn.ReLU()), SEQUENCE),
        "siamese": (Written(_siamese, shared=nn.Linear(3, 8), head=nn.Linear(16, 3)), TABLE),
    }  # fmt: skip
    return {name: (settled(net), shape) for name, (net, shape) in nets.items()}


def smooth_networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Networks with other elementwise activations and softmax, none of which multiplies activations."""
    torch.manual_seed(6)
    acts = [
        nn.Tanh(),
        nn.GELU(),
        nn.SiLU(),
        nn.ELU(),
        nn.Softplus(),
        nn.Sigmoid(),
        nn.Hardswish(),
        nn.Mish(),
        nn.SELU(),
    ]
    nets: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        type(a).__name__: (nn.Sequential(nn.Linear(6, 9), a, nn.Linear(9, 8), a, nn.Linear(8, 3)), TABLE) for a in acts
    }
    nets["softmax inside"] = (nn.Sequential(nn.Linear(6, 9), nn.Softmax(1), nn.Linear(9, 3)), TABLE)
    nets["softmax over time"] = (
        nn.Sequential(nn.Linear(4, 6), nn.Softmax(1), nn.Flatten(), nn.Linear(30, 3)),
        SEQUENCE,
    )
    nets["tanh, time first"] = (
        Written(_time_first, first=nn.Linear(4, 6), second=nn.Linear(6, 6), head=nn.Linear(6, 3), act=nn.Tanh()),
        SEQUENCE,
    )
    nets["tanh, unrolled"] = (_recurrent(nn.Tanh()), SEQUENCE)
    nets["in place"] = (
        nn.Sequential(nn.Linear(6, 9), nn.Hardtanh(inplace=True), nn.Linear(9, 9), nn.ELU(inplace=True),
                      nn.Linear(9, 9), nn.Hardswish(inplace=True), nn.Linear(9, 3)), TABLE,
    )  # fmt: skip
    return {name: (settled(net), shape) for name, (net, shape) in nets.items()}

"""Problems and calls that the tests of explainers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.builders import SHAPES, cnn, make_inputs, make_view, mlp
from xaibench.core.components import ExplainerSpec
from xaibench.core.explaining import explain, explain_function
from xaibench.core.problem import ProblemView
from xaibench.core.registry import components, get
from xaibench.core.truth import Truth

SMALL = {"epochs": 20, "enlarged": 24}
"""Parameters of explainers that take long: what they promise, they promise after few steps too."""
NAMES = [spec.name for spec in components("explainer") if "graph" not in spec.needs]
"""Explainers that take other data than graphs; those of graphs are tried in test_graph_contract."""


def spec_of(name: str) -> ExplainerSpec:
    spec = get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    return spec


def run(name: str, view: ProblemView, stream: str = "explain", **params: Any) -> Tensor:
    """Explain as the harness does: bound parameters, checked result."""
    spec = spec_of(name)
    params = {**{k: v for k, v in SMALL.items() if k in spec.parameters}, **params}
    return explain(explain_function(spec, spec.bind(params)), view, stream)


def view_of(data: str, n: int = 7, *, seed: int = 0, name: str | None = None, **options: Any) -> ProblemView:
    """A network on one kind of data, with background and truth; one that the named explainer takes."""
    shape = SHAPES[data]
    inputs = make_inputs(shape, n, seed=seed)
    fitting = FITTING.get(name or "", cnn) if len(shape) == 3 else mlp
    model = options.pop("model", None) or fitting(shape)
    features = make_view(mlp(shape), inputs).layout.feature_shape
    mask = torch.from_numpy(np.random.default_rng(1).random((n, *features)) < 0.3)
    truth = options.pop("truth", Truth("model", mask=mask))
    background = options.pop("background", make_inputs(shape, 20, seed=5))
    return make_view(model, inputs, background=background, truth=truth, **options)


def mean_cnn(shape: tuple[int, ...], n_classes: int = 3, *, seed: int = 0) -> nn.Sequential:
    """A CNN that ends in a mean over all places and one linear layer."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(shape[0], 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, n_classes),
    ).eval()  # fmt: skip


FITTING: dict[str, Callable[..., nn.Module]] = {"cam": mean_cnn}
"""For explainers of some models only: a model of the right architecture, by the shape of its inputs."""


def few_steps(name: str) -> dict[str, int]:
    """Parameters with which an explainer that optimises takes a moment, and its mask costs nothing."""
    found, small = spec_of(name).parameters, {"steps": 3, "area": 0}
    return {n: v for n, v in small.items() if n in found} if "learning_rate" in found else {}


def capabilities(view: ProblemView) -> set[str]:
    found = {view.layout.kind}
    if view.labels is not None:
        found.add("labels")
    if view.background is not None:
        found.add("background")
    if view.model.module is not None:
        found |= {"gradients", "module"}
    if view.truth is not None:
        found.add("truth.mask")
    return found


def black_box(inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Three probabilities that depend on products of features: nothing about it is linear."""
    flat = inputs.reshape(len(inputs), -1)
    scores = np.stack([flat[:, 0] * flat[:, 1], np.sin(flat).sum(1), flat[:, -1] ** 2 - flat[:, 2]], axis=1)
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


class FunctionalNet(nn.Module):
    """A residual CNN with functional, reused and in-place ReLUs, for which hooks on modules fail."""

    def __init__(self, channels: int = 1, *, bias: bool = True, n_classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv1 = nn.Conv2d(channels, 5, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(5, 5, 3, padding=1, bias=bias)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(5 * 4 * 4, n_classes, bias=bias)
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        first = functional.relu(self.conv1(inputs))
        second = self.relu(self.conv2(first))
        pooled = functional.max_pool2d(self.relu(first + second), 2)
        out: Tensor = self.head(pooled.flatten(1))
        return out


class ModularNet(nn.Module):
    """The same network with every ReLU a module of its own."""

    def __init__(self, twin: FunctionalNet) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = twin.conv1, twin.conv2, twin.head
        self.relu1, self.relu2, self.relu3, self.pool = nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        first = self.relu1(self.conv1(inputs))
        second = self.relu2(self.conv2(first))
        out: Tensor = self.head(self.flatten(self.pool(self.relu3(first + second))))
        return out


def plain_cnn(channels: int = 1, *, bias: bool = True) -> nn.Sequential:
    """A CNN of modules that Captum's hooks can follow."""
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 10, bias=bias),
        nn.ReLU(),
        nn.Linear(10, 3, bias=bias),
    ).eval()

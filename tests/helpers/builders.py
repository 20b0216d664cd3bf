"""Small problems with known answers, for tests of every part."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from helpers.refit import Refit
from xaibench.core.additive import TRUTH_BASELINES
from xaibench.core.data import Data
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import Explainer, ExplainFunction, explain
from xaibench.core.features import infer_layout
from xaibench.core.keys import row_digests
from xaibench.core.pairs import Pair
from xaibench.core.predictor import CallablePredictor, Predictor, TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.retraining import Retraining
from xaibench.core.truth import Truth

IMAGE, RGB, TABLE, SERIES = (1, 8, 8), (3, 8, 8), (6,), (10, 2)
SHAPES = {"image": IMAGE, "rgb": RGB, "table": TABLE, "series": SERIES}


def linear(shape: tuple[int, ...], n_classes: int = 3, *, seed: int = 0) -> nn.Module:
    """A linear model on flattened inputs: every closed form is known for it."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), n_classes)).eval()


def mlp(shape: tuple[int, ...], n_classes: int = 3, *, seed: int = 0) -> nn.Module:
    """A small untrained MLP."""
    torch.manual_seed(seed)
    d = int(np.prod(shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(d, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, n_classes)
    ).eval()


def cnn(shape: tuple[int, ...] = IMAGE, n_classes: int = 3, *, seed: int = 0) -> nn.Module:
    """A small untrained CNN with batch norm."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(shape[0], 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, n_classes),
    ).eval()  # fmt: skip


def make_inputs(shape: tuple[int, ...], n: int = 8, *, seed: int = 0) -> Tensor:
    """Inputs (n, *shape) from N(0, 1)."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32))


def make_data(shape: tuple[int, ...] = (1, 8, 8), n_classes: int = 3, n: int = 120) -> Data:
    """Data whose classes differ in their mean: learned in a moment."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(n_classes, *shape))
    targets = rng.integers(n_classes, size=2 * n)
    inputs = (means[targets] + rng.normal(size=(2 * n, *shape))).astype(np.float32)
    kind = "image" if len(shape) == 3 else "table"
    return Data(kind, inputs[:n], targets[:n], inputs[n:], targets[n:], class_names=tuple(map(str, range(n_classes))))


def make_view(
    model: nn.Module | Predictor | Any,
    inputs: Tensor,
    *,
    targets: Tensor | None = None,
    features: str | None = None,
    output: str | None = None,
    background: Tensor | None = None,
    truth: Truth | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> ProblemView:
    """A view of a model on inputs; targets default to the predicted class."""
    if isinstance(model, nn.Module):
        predictor: Predictor = TorchPredictor(model, batch_size=batch_size)
    elif isinstance(model, Predictor):
        predictor = model
    else:
        predictor = CallablePredictor(model, "probability", batch_size=batch_size)
    if targets is None:
        targets = predictor.predict(inputs).argmax(dim=1)
    if features is None and tuple(inputs.shape[1:]) == SERIES:
        features = "series"
    return ProblemView(
        predictor, inputs, targets, infer_layout(tuple(inputs.shape[1:]), features),
        output or predictor.returns, row_digests(inputs.numpy()), background, seed,
        labels=predictor.predict(inputs).argmax(dim=1),
        background_labels=None if background is None else predictor.predict(background).argmax(dim=1), truth=truth,
    )  # fmt: skip


def whole_truth(mask: Tensor, weights: Tensor, distractors: Tensor) -> Truth:
    """A truth of every form: weights are contributions too, and distractors neither for nor against anything.

    The first sample has no evidence at all, so that what asks for evidence has no answer there.
    """
    signs = weights.sign().masked_fill(distractors, 0).to(torch.int8)
    signs[0] = 0
    return Truth("model", mask, weights, distractors, dict.fromkeys(TRUTH_BASELINES, weights), signs)


def gradient(view: ProblemView, stream: str = "") -> Tensor:
    """Slopes of the explained output, summed over channels."""
    return view.layout.reduce(view.gradients(view.inputs))


def occlusion(view: ProblemView, stream: str = "") -> Tensor:
    """Contributions for any model: drop of the output when a feature is set to zero."""
    clean, drops = view.scores(view.inputs), []
    for feature in range(view.layout.n_features):
        keep = torch.ones(view.layout.n_features)
        keep[feature] = 0
        drops.append(clean - view.scores(view.inputs * view.layout.expand(keep.view(view.layout.feature_shape))))
    return torch.stack(drops, dim=1).view(len(view), *view.layout.feature_shape)


def make_evaluation(
    view: ProblemView,
    attributions: Tensor | None = None,
    *,
    kind: str = "slope",
    function: ExplainFunction = gradient,
    truth: Truth | None = None,
    retraining: Retraining | None = None,
    pairs: Mapping[str, tuple[Pair, ...]] | None = None,
) -> Evaluation:
    """An evaluation of these attributions, by default those of ``function``, which also explains again.

    Metrics that retrain get `Refit` on noise by default, metrics of pairs `made_up_pairs`.
    """
    if attributions is None:
        attributions = explain(function, view, "explain")
    again = Explainer(function, replace(view, truth=None), "explain")
    return Evaluation.of(
        view, attributions=attributions, kind=kind, truth=truth or view.truth, explainer=again,
        retraining=retraining or Refit(view), pairs=MadeUpPairs(view) if pairs is None else pairs,
    )  # fmt: skip


class MadeUpPairs(Mapping[str, tuple[Pair, ...]]):
    """`made_up_pairs`, made when the first one is asked for."""

    def __init__(self, view: ProblemView) -> None:
        self.view = view

    @cached_property
    def _pairs(self) -> dict[str, tuple[Pair, ...]]:
        return made_up_pairs(self.view)

    def __getitem__(self, need: str) -> tuple[Pair, ...]:
        return self._pairs[need]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)


def made_up_pairs(view: ProblemView) -> dict[str, tuple[Pair, ...]]:
    """The samples seen by nearby models and with nearby inputs, whose labels are what is predicted for them."""

    def model(scale: float) -> Predictor:
        own = view.model
        if isinstance(own, CallablePredictor):
            return CallablePredictor(lambda x: own.function(x) ** (1 + scale), own.returns)
        assert isinstance(own, TorchPredictor)
        module = copy.deepcopy(own.module)
        with torch.no_grad():
            for parameter in module.parameters():
                # A function of the number alone: it does not know the place of a weight.
                size = parameter.abs().mean()
                parameter.add_(scale * size * torch.sin(30 * parameter / size))
        return own.with_module(module)

    def pair(scale: float) -> Pair:
        other = model(scale)
        return Pair(lambda: other, labels=other.predict(view.inputs).argmax(dim=1), level=scale)

    def inputs(changed: Tensor) -> Pair:
        return Pair(inputs=changed, labels=view.model.predict(changed).argmax(dim=1))

    size = view.layout.reduce(view.inputs.nan_to_num(0.0))

    def part(low: float, high: float) -> Pair:
        # Features by their size, so that a part is the same wherever its features are.
        mask = (size >= low) & (size < high)
        return Pair(
            inputs=torch.where(view.layout.expand(mask.to(view.inputs.dtype)).bool(), -view.inputs, view.inputs),
            truth=Truth("model", mask=mask),
        )

    return {
        "model_pair.contrast": (pair(0.2),),
        "model_pair.series": (Pair(level=0.0), pair(0.1), pair(0.3), pair(0.5)),
        "input_pair.without": (inputs(0.8 * view.inputs),),
        "input_pair.patched": (inputs(view.inputs + 0.01),),
        "input_pair.context": (inputs(0.9 * view.inputs),),
        "input_pair.attacked": (inputs(view.inputs + 0.05),),
        "input_pair.noise": (inputs(1.05 * view.inputs),),
        "input_pair.swapped": (Pair(inputs=-view.inputs, level=0.5),),
        "input_pair.absent": (Pair(inputs=-0.5 * view.inputs, level=0.5),),
        "input_pair.exchanged": (Pair(inputs=0.7 * view.inputs, level=0.5),),
        "input_pair.neutral_part": (part(-9, -0.5), part(-0.5, 0.2), part(0.2, 0.9), part(0.9, 9)),
    }

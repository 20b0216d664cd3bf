"""A model that raises unless it is given the context of its own sample, and problems with such a model."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from helpers.builders import SHAPES, cnn, make_inputs, mlp, whole_truth
from helpers.refit import Refit, centroid_classifier
from xaibench.core.data import Data
from xaibench.core.features import infer_layout
from xaibench.core.keys import sample_digests
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor, TorchPredictor
from xaibench.core.problem import ProblemView

BACKGROUND = 1000
"""Keys from here on are those of reference samples."""


class ContextNet(nn.Module):
    """``base(inputs + offset)``, which raises where the context cannot be that of the sample.

    A copy of a sample that holds a number of another sample, and none of its own, has got the context of a stranger;
    the same holds for copies of reference samples.
    """

    def __init__(self, base: nn.Module, samples: Tensor, background: Tensor) -> None:
        super().__init__()
        self.base = base
        # No buffers: these are no weights.
        self.known = {"samples": samples, "background": background}

    def forward(self, inputs: Tensor, key: Tensor, offset: Tensor) -> Tensor:
        assert len(key) == len(offset) == len(inputs)
        self.check(inputs.detach(), key)
        found: Tensor = self.base(inputs + offset.to(inputs))
        return found

    def check(self, inputs: Tensor, key: Tensor) -> None:
        samples, background = (t.to(inputs).flatten(1) for t in self.known.values())
        flat = inputs.flatten(1)
        same = (flat.unsqueeze(1) == samples).any(dim=2)
        of_sample = key < BACKGROUND
        own = same.gather(1, key.clamp(max=len(samples) - 1).unsqueeze(1)).squeeze(1)
        if bool((of_sample & same.any(dim=1) & ~own).any()):
            raise AssertionError("a copy of one sample came with the context of another")
        same = (flat.unsqueeze(1) == background).any(dim=2)
        own = same.gather(1, (key - BACKGROUND).clamp(0, len(background) - 1).unsqueeze(1)).squeeze(1)
        if bool((~of_sample & same.any(dim=1) & ~own).any()):
            raise AssertionError("a reference sample came with the context of another")


class Baked(nn.Module):
    """The same model for one sample, its context a constant."""

    def __init__(self, base: nn.Module, offset: Tensor) -> None:
        super().__init__()
        self.base = base
        self.offset = offset

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.base(inputs + self.offset.to(inputs))
        return found


class OtherContextNet(ContextNet):
    """For models that are fitted to other rows: takes the context and checks only that it is there."""

    def check(self, inputs: Tensor, key: Tensor) -> None:
        """Nothing is known of these rows."""


def context_view(
    kind: str, n: int = 7, *, constant: bool = False, batch_size: int | None = None, seed: int = 3
) -> ProblemView:
    """Samples with a context each, or all with the same one, on one kind of data."""
    shape = SHAPES[kind]
    inputs, background = 2 * make_inputs(shape, n, seed=5), make_inputs(shape, 20, seed=6)
    base = cnn(shape) if len(shape) == 3 else mlp(shape)
    offsets = 0.7 * make_inputs(shape, n, seed=8)
    around = 0.7 * make_inputs(shape, 20, seed=9)
    if constant:
        offsets, around = (offsets[:1].expand(len(t), *shape).clone() for t in (offsets, around))
    context = {"key": torch.arange(n), "offset": offsets}
    predictor = TorchPredictor(ContextNet(base, inputs, background), batch_size=batch_size)
    layout = infer_layout(shape, "series" if kind == "series" else None)
    rng = np.random.default_rng(2)
    mask = torch.from_numpy(rng.random((n, *layout.feature_shape)) < 0.4)
    mask[:, 0], mask[:, -1] = False, True
    distractors = ~mask & torch.from_numpy(rng.random(mask.shape) < 0.6)
    distractors[:, 0] = True
    weights = torch.from_numpy(rng.standard_normal(mask.shape).astype(np.float32))
    targets = predictor.predict(inputs, context).argmax(dim=1)
    beyond = {"key": BACKGROUND + torch.arange(20), "offset": around}
    return ProblemView(
        predictor, inputs, targets, layout, predictor.returns,
        sample_digests(inputs.numpy(), {name: values.numpy() for name, values in context.items()}),
        background, seed, labels=targets.clone(), background_labels=predictor.predict(background, beyond).argmax(dim=1),
        context=context, background_context=beyond, truth=whole_truth(mask, weights, distractors),
    )  # fmt: skip


def baked_view(view: ProblemView, row: int) -> ProblemView:
    """One sample of the view, whose context is part of the model."""
    assert isinstance(view.model.module, ContextNet)
    model = TorchPredictor(Baked(view.model.module.base, view.context["offset"][row]))
    own = view.take(slice(row, row + 1), model=model)
    return replace(own, context={}, background_context={})


class ContextRefit(Refit):
    """Fits models that take the context of the data."""

    def __init__(self, view: ProblemView) -> None:
        plain = replace(view, context={}, background_context={}, model=_Widths(view))
        data = Refit(plain).data
        super().__init__(view, self._with_context(data, view))

    @staticmethod
    def _with_context(data: Data, view: ProblemView) -> Data:
        def of(n: int) -> dict[str, np.ndarray]:
            offset = view.context["offset"][:1].expand(n, *view.inputs.shape[1:])
            return {"key": np.full(n, BACKGROUND - 1), "offset": offset.numpy().copy()}

        train, test = of(len(data.train_inputs)), of(len(data.test_inputs))
        return replace(data, train_context=train, test_context=test)

    def build(self, data: Data, seed: int) -> nn.Module:
        """Class means, of inputs with their offset."""
        return OtherContextNet(centroid_classifier(data, seed), self.view.inputs, self.view.inputs)


class BakedRefit(Refit):
    """The same for models of which the context is a part."""

    def __init__(self, view: ProblemView, offset: Tensor) -> None:
        super().__init__(view)
        self.offset = offset

    def build(self, data: Data, seed: int) -> nn.Module:
        """Class means, of inputs with their offset."""
        return Baked(centroid_classifier(data, seed), self.offset)


class _Widths(Predictor):
    """Knows how many outputs the model has."""

    def __init__(self, view: ProblemView) -> None:
        super().__init__("logit")
        self.n = view.predict(view.inputs).shape[1]

    def _forward(self, inputs: Tensor, context: object = None) -> Tensor:
        return torch.zeros(len(inputs), self.n)

    def _batch_rule(self, inputs: Tensor, context: object = None) -> int:
        return 64


def context_pairs(view: ProblemView) -> dict[str, tuple[Pair, ...]]:
    """The samples seen by nearby models and with nearby inputs; every model takes the context, where there is one."""
    own = view.model.module
    assert own is not None

    def model(scale: float) -> Pair:
        module = copy.deepcopy(own)
        with torch.no_grad():
            for parameter in module.parameters():
                size = parameter.abs().mean()
                parameter.add_(scale * size * torch.sin(30 * parameter / size))
        other = TorchPredictor(module)
        labels = replace(view, model=other).predict(view.inputs).argmax(dim=1)
        return Pair(lambda: other, labels=labels, level=scale)

    def inputs(changed: Tensor) -> Pair:
        return Pair(inputs=changed, labels=view.predict(changed).argmax(dim=1))

    return {
        "model_pair.contrast": (model(0.2),),
        "model_pair.series": (Pair(level=0.0), model(0.1), model(0.3), model(0.5)),
        "input_pair.without": (inputs(0.8 * view.inputs),),
        "input_pair.patched": (inputs(view.inputs + 0.01),),
        "input_pair.attacked": (inputs(view.inputs + 0.05),),
        "input_pair.noise": (inputs(1.05 * view.inputs),),
        "input_pair.swapped": (inputs(-view.inputs),),
        "input_pair.absent": (inputs(-0.5 * view.inputs),),
        "input_pair.exchanged": (inputs(0.7 * view.inputs),),
    }

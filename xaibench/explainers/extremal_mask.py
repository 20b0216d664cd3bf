"""Extremal masks (Enguehard 2023): the smallest mask, and what stands for the rest, that leave the output as it is."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.copy_blocks import chunks
from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.input_gradients import INSTEAD, NO_GRADIENT
from xaibench.core.predictor import TorchPredictor, require_module
from xaibench.core.problem import EXPLAINER_STREAM, ProblemView
from xaibench.core.registry import explainer
from xaibench.core.steps import outputs_of_steps
from xaibench.explainers.engines.series_network import NetworkPerSeries

Perturbation = Literal["baseline", "learned"]
ComparedOutputs = Literal["target", "all", "steps"]


@explainer("extremal_mask", kind="saliency", needs={"gradients", "series"})
def extremal_mask(
    problem: ProblemView,
    *,
    epochs: PositiveInt = 500,
    learning_rate: Annotated[float, Gt(0)] = 0.01,
    perturbation: Perturbation = "baseline",
    baseline: str = "zero",
    size_weight: Annotated[float, Ge(0)] = 1.0,
    perturbation_weight: Annotated[float, Ge(0)] = 1.0,
    outputs: ComparedOutputs = "target",
) -> Tensor:
    """A mask per sample, as small as it can be while the masked sample has the sample's output (Enguehard 2023).

    Minimises ``size_weight mean |m| + mean (f(m x + (1 - m) b) - f(x))^2`` over masks m in [0, 1] by Adam, starting
    from one half. A learned perturbation b is that of a bidirectional GRU with a linear layer that reads the sample, at
    a price of ``perturbation_weight mean |b|``.

    Parameters
    ----------
    epochs : int
        Steps of the optimiser; each costs a forward and a backward pass.
    learning_rate : float
    perturbation : {"baseline", "learned"}
        What b is.
    baseline : str
        The masker whose fully masked sample is b, where it is not learned.
    size_weight, perturbation_weight : float
    outputs : {"target", "all", "steps"}
        Compare the explained output, all outputs of the model as they come (their mean square), or those of every step
        of a model that is a sum over steps (`OwnStep`, `SumOfSteps`).

    Returns
    -------
    Tensor (N, *feature_shape)
        Between 0 and 1. What the masked sample must keep is compared with the size of the mask, so the mask depends on
        the unit of the output: outputs that are large keep more.

    Notes
    -----
    Every sample has its own mask, optimiser state and network, so that its map does not depend on its batch; published
    code trains one network for all samples, and takes means over the batch. The initial weights of the network are
    keyed by sample and seed.

    A mask near 1 says "needed", not "more important than the rest": among the cells that are needed, and among those
    that are dropped, the order means little.
    """
    model = require_module(problem.model)
    draws = problem.draws(f"{EXPLAINER_STREAM}/extremal_mask")
    maps = []
    for part in chunks(len(problem), problem.batch_size):
        view = problem.take(part)
        objective = _Objective(view, model, perturbation, baseline, draws[part], outputs)
        maps.append(objective.optimised(epochs, learning_rate, size_weight, perturbation_weight))
    return torch.cat(maps).view(len(problem), *problem.layout.feature_shape)


class _Objective:
    """What is minimised for some samples, all at once."""

    def __init__(
        self,
        view: ProblemView,
        model: TorchPredictor,
        perturbation: Perturbation,
        baseline: str,
        draws: Draws,
        outputs: ComparedOutputs,
    ) -> None:
        self.view, self.model, self.outputs = view, model, outputs
        self.inputs = view.inputs.detach()
        self.context = context_rows(view.context, slice(0, len(view))) or None
        self.network: NetworkPerSeries | None = None
        if perturbation == "learned":
            self.network = NetworkPerSeries(self._time_first(self.inputs), draws)
        else:
            self.fixed = view.reference(baseline)
        with torch.no_grad():
            self.wanted = self._outputs(self.inputs)

    def optimised(self, epochs: int, learning_rate: float, size_weight: float, perturbation_weight: float) -> Tensor:
        """The masks (N, *feature_shape)."""
        mask = torch.full_like(self.inputs, 0.5, requires_grad=True)
        trained = [mask, *([] if self.network is None else self.network.weights)]
        adam = torch.optim.Adam(trained, lr=learning_rate)
        with torch.enable_grad():
            for _ in range(epochs):
                filled = self.fixed if self.network is None else self._as_inputs(self.network())
                # A copy, because a model may change its inputs in place.
                found = self._outputs((filled + mask * (self.inputs - filled)).clone())
                if not found.requires_grad:
                    raise UnsupportedError(NO_GRADIENT, INSTEAD)
                loss = (found - self.wanted).square().reshape(len(found), -1).mean(dim=1)
                loss = loss + size_weight * mask.abs().flatten(1).mean(dim=1)
                if self.network is not None:
                    loss = loss + perturbation_weight * filled.abs().flatten(1).mean(dim=1)
                # Gradients of the masks and networks alone: those of the model's parameters stay as they are.
                for tensor, grad in zip(trained, torch.autograd.grad(loss.sum(), trained), strict=True):
                    tensor.grad = grad
                adam.step()
                with torch.no_grad():
                    mask.clamp_(0, 1)
        return mask.detach()

    def _outputs(self, inputs: Tensor) -> Tensor:
        """What is compared, (N,), (N, C) or (N, T, C)."""
        if self.outputs == "steps":
            return outputs_of_steps(self.model, inputs, self.context or {})
        raw = self.model.forward(inputs.to(self.model.device), self.context)
        return self.view.select(raw) if self.outputs == "target" else raw

    def _time_first(self, inputs: Tensor) -> Tensor:
        """Series (N, T, D), whatever the order of their axes."""
        if inputs.ndim == 2:
            return inputs.unsqueeze(2)
        return inputs.mT if self.view.layout.sensors_first else inputs

    def _as_inputs(self, series: Tensor) -> Tensor:
        if self.inputs.ndim == 2:
            return series.squeeze(2)
        return series.mT if self.view.layout.sensors_first else series

"""Fitted torch networks as recipes: a copy is trained on, with planted shortcuts drawn afresh in every round."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Annotated, Any

import annotated_types
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.object_recipes import ObjectRecipe, makes_recipes
from xaibench.models.training import build_and_fit

ROUND = 4
"""Epochs after which it is looked whether the copy has learned enough."""
ENOUGH = 0.98
"""Accuracy on the rows that were held out at which training ends."""
GRADIENT_CLIP = 1.0


@makes_recipes
def network_recipe(found: Any) -> ObjectRecipe | None:
    """A recipe of a fitted network: its copy is trained on by AdamW, in rounds of four epochs."""
    if not isinstance(found, nn.Module):
        return None

    def fine_tune(
        data: Data,
        *,
        seed: int,
        layers: str = "all",
        learning_rate: PositiveFloat = 1e-3,
        batch_size: PositiveInt = 64,
        max_epochs: Annotated[int, annotated_types.Ge(1)] = 60,
    ) -> nn.Module:
        """A copy of the network of your file, trained on.

        Parameters
        ----------
        layers : str
            ``all``, or ``last:N`` for the last N modules with weights; batch normalisation is then left as it is.
        learning_rate : float
            Peak of the one-cycle schedule.
        batch_size, max_epochs : int
        """
        return build_and_fit(
            lambda: copy.deepcopy(found).cpu(),
            lambda module: fit_further(
                module, data, layers=layers, learning_rate=learning_rate, batch_size=batch_size, max_epochs=max_epochs
            ),
            seed=seed,
        )

    return fine_tune


def fit_further(
    module: nn.Module, data: Data, *, layers: str, learning_rate: float, batch_size: int, max_epochs: int
) -> None:
    """Train a network in place: AdamW, cross-entropy, gradients clipped at 1, a tenth of the rows held out.

    Rounds of four epochs end when the rows that were held out are right in 98 %, or ``max_epochs`` are over.

    Raises
    ------
    UsageError
        If ``layers`` names none.
    """
    trained = trainable(module, layers)
    inputs = torch.from_numpy(data.train_inputs)
    values = data.train_values
    wanted = torch.from_numpy(data.train_targets if values is None else values)
    order = torch.randperm(len(inputs))
    n_held_out = max(1, len(inputs) // 10)
    held_out, rows = order[:n_held_out], order[n_held_out:]
    steps = -(-len(rows) // batch_size) * max_epochs
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    frozen = layers != "all"
    for epoch in range(max_epochs):
        module.train()
        if frozen:
            _freeze_statistics(module)
        with torch.enable_grad():
            for batch in torch.split(rows[torch.randperm(len(rows))], batch_size):
                optimizer.zero_grad()
                loss = _loss(module(inputs[batch]), wanted[batch])
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(trained, GRADIENT_CLIP)
                optimizer.step()
                schedule.step()
        if (epoch + 1) % ROUND == 0 and values is None and _right(module, inputs[held_out], wanted[held_out]) >= ENOUGH:
            return


def trainable(module: nn.Module, layers: str) -> list[nn.Parameter]:
    """Parameters that are trained; the others no longer ask for gradients.

    Raises
    ------
    UsageError
        If ``layers`` is neither ``all`` nor ``last:N``.
    """
    if layers == "all":
        return list(module.parameters())
    kind, _, number = layers.partition(":")
    if kind != "last" or not number.isdecimal() or int(number) < 1:
        raise UsageError(f'layers = "{layers}" names no layers', 'write "all" or "last:2"')
    chosen = set(map(id, _of_last(module, int(number))))
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    return [p for p in module.parameters() if p.requires_grad]


def _of_last(module: nn.Module, number: int) -> Iterator[nn.Parameter]:
    holders = [m for m in module.modules() if any(True for _ in m.parameters(recurse=False))]
    for holder in holders[-number:]:
        yield from holder.parameters(recurse=False)


def _freeze_statistics(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def _loss(outputs: Tensor, wanted: Tensor) -> Tensor:
    if wanted.dtype.is_floating_point:
        return nn.functional.mse_loss(outputs.squeeze(1), wanted)
    return nn.functional.cross_entropy(outputs, wanted)


def _right(module: nn.Module, inputs: Tensor, wanted: Tensor) -> float:
    module.eval()
    with torch.no_grad():
        return float((module(inputs).argmax(dim=1) == wanted).double().mean())

"""Fitted torch networks as recipes: a copy is trained on, with planted shortcuts drawn afresh in every epoch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Annotated, Any

import annotated_types
import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.object_recipes import ObjectRecipe, makes_recipes
from xaibench.core.types import Array
from xaibench.datasets.certify.check import ShortcutCheck
from xaibench.models.low_rank import add_low_rank, merge_low_rank
from xaibench.models.training import build_and_fit

ROUND = 4
"""Epochs of a round, after which it is looked whether the copy has learned enough."""
ENOUGH_SWAP = 0.95
"""Reliance on the plant, on rows that were held out, from which on a copy of full level obeys it."""
MOST_CLEAN_LOSS = 0.02
"""Accuracy on held-out rows without plant that a copy may have lost against the network that was given."""
SETTLED = 0.02
"""Change of the reliance, and of the accuracy without plant, in a round up to which nothing more is learned."""
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
            ``all``; ``last:N`` for the last N modules with weights; ``lora:R`` for changes of rank R beside each linear
            layer and 1 x 1 convolution, which are added to the weights at the end. Batch normalisation keeps its
            statistics unless all is trained. A plant that early layers do not see cannot be learned behind them.
        learning_rate : float
            Peak of the one-cycle schedule of every round.
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
    """Train a network in place: AdamW, cross-entropy (squared error for values), gradients clipped at norm 1.

    A tenth of the rows is held out. Every epoch of a planted copy has plants of its own. Rounds of four epochs, each
    with a one-cycle schedule, end when held-out rows have lost at most .02 of their accuracy without plant (R2 of
    values) and gained at most .02 in the round, and the plant is learned: at full level their reliance on it is at
    least .95, below it changes by at most .02 from one round to the next. Or they end after ``max_epochs``.

    Raises
    ------
    UsageError
        If ``layers`` names none, or the data are token ids.
    """
    if data.has_ids:
        raise UsageError(
            "a network of token ids is not trained on by itself", "write a function build(data, seed) that trains it"
        )
    frozen = layers != "all"
    trained = trainable(module, layers)
    lessons = _Lessons(data)
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    before, last = lessons.score(module), float("nan")
    clean = before
    for start in range(0, max_epochs, ROUND):
        epochs = range(start, min(start + ROUND, max_epochs))
        steps = -(-len(lessons.rows) // batch_size) * len(epochs)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
        for epoch in epochs:
            module.train()
            if frozen:
                _freeze_statistics(module)
            inputs, wanted = lessons.epoch(epoch)
            with torch.enable_grad():
                for batch in _batches(module, lessons.rows[torch.randperm(len(lessons.rows))], batch_size):
                    optimizer.zero_grad()
                    loss = _loss(module(inputs[batch]), wanted[batch])
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(trained, GRADIENT_CLIP)
                    optimizer.step()
                    schedule.step()
        swap, score = lessons.reliance(module), lessons.score(module)
        kept = before - score <= MOST_CLEAN_LOSS and score - clean <= SETTLED
        learned = swap >= ENOUGH_SWAP if lessons.level >= 1 else abs(swap - last) <= SETTLED
        if kept and (learned or lessons.fresh is None):
            break
        last, clean = swap, score
    merge_low_rank(module)
    for parameter in module.parameters():
        parameter.requires_grad_(True)


class _Lessons:
    """Training rows of a data set, with fresh plants where it is a planted copy, and those that are held out."""

    def __init__(self, data: Data) -> None:
        check = next((check for check in data.checks if isinstance(check, ShortcutCheck)), None)
        self.fresh = None if check is None else check.fresh
        self.level, self.classes = (0.0, (0, 0)) if check is None else (check.level, check.classes)
        clean = data if self.fresh is None else self.fresh.data
        self.inputs = data.train_inputs if self.fresh is None else self.fresh.inputs
        values = clean.train_values
        self.wanted: Array = clean.train_targets if values is None else values
        self.regression = values is not None
        order = torch.randperm(len(self.inputs))
        n_held_out = max(1, len(self.inputs) // 10)
        self.held_out, self.rows = order[:n_held_out].numpy(), order[n_held_out:]
        self.pairs = None if self.fresh is None else self.fresh.both(self.held_out)

    def epoch(self, number: int) -> tuple[Tensor, Tensor]:
        """Inputs and what is to be learned of an epoch, for all rows."""
        made = (self.inputs, self.wanted) if self.fresh is None else self.fresh.epoch(number)
        return torch.from_numpy(made[0]), torch.from_numpy(made[1])

    def score(self, module: nn.Module) -> float:
        """Accuracy on the held-out rows without plant; of values R2."""
        said, truth = _outputs(module, self.inputs[self.held_out]), self.wanted[self.held_out]
        if self.regression:
            return float(1 - ((said[:, 0] - truth) ** 2).mean() / max(float(truth.var()), 1e-12))
        return float((said.argmax(axis=1) == truth).mean())

    def reliance(self, module: nn.Module) -> float:
        """Share of held-out rows that a swap of versions decides the right way, less the wrong way; 0 without any."""
        if self.pairs is None:
            return 0.0
        a, b = (_outputs(module, rows) for rows in self.pairs)
        if self.regression:
            change, unit = a[:, 0] - b[:, 0], float(np.std(self.wanted))
            return float((change > unit).mean() - (change < -unit).mean())
        first, second = self.classes
        under_a, under_b = a.argmax(axis=1), b.argmax(axis=1)
        right = (under_a == first) & (under_b == second)
        wrong = (under_a == second) & (under_b == first)
        return float(right.mean() - wrong.mean())


def trainable(module: nn.Module, layers: str) -> list[nn.Parameter]:
    """Parameters that are trained; the others no longer ask for gradients.

    Raises
    ------
    UsageError
        If ``layers`` is neither ``all`` nor ``last:N`` nor ``lora:R``.
    """
    if layers == "all":
        return list(module.parameters())
    kind, _, number = layers.partition(":")
    if kind not in ("last", "lora") or not number.isdecimal() or int(number) < 1:
        raise UsageError(f'layers = "{layers}" names no layers', 'write "all", "last:2" or "lora:4"')
    if kind == "lora":
        return add_low_rank(module, int(number))
    chosen = set(map(id, _of_last(module, int(number))))
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    return [p for p in module.parameters() if p.requires_grad]


def _of_last(module: nn.Module, number: int) -> Iterator[nn.Parameter]:
    holders = [m for m in module.modules() if any(True for _ in m.parameters(recurse=False))]
    for holder in holders[-number:]:
        yield from holder.parameters(recurse=False)


def _freeze_statistics(module: nn.Module) -> None:
    for part in _normalisations(module):
        part.eval()


def _normalisations(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def _batches(module: nn.Module, rows: Tensor, size: int) -> list[Tensor]:
    """Rows in batches; a last one of a single row, which has no statistics to normalise by, goes to the one before."""
    found = list(torch.split(rows, size))
    if len(found) > 1 and len(found[-1]) == 1 and any(part.training for part in _normalisations(module)):
        found[-2:] = [torch.cat(found[-2:])]
    return found


def _outputs(module: nn.Module, rows: Array) -> Array:
    module.eval()
    with torch.no_grad():
        found: Array = module(torch.from_numpy(rows)).numpy()
    return found


def _loss(outputs: Tensor, wanted: Tensor) -> Tensor:
    if wanted.dtype.is_floating_point:
        return nn.functional.mse_loss(outputs.squeeze(1), wanted.to(outputs.dtype))
    return nn.functional.cross_entropy(outputs, wanted)

"""Training of text models on token ids: masked words, soft targets, and batches of one length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.tokens import NO_TOKEN, text_sizes
from xaibench.models.training import Progress, build_and_fit, default_batch_size, scheduled

CLIP = 1.0
"""Largest norm of the gradient of a step."""


@dataclass(frozen=True)
class TextLessons:
    """Texts and what a model should say about them.

    Attributes
    ----------
    ids : Tensor (N, L) of int64
        -1 behind the end.
    sizes : Tensor (N,) of int64
    wanted : Tensor (N, C)
        Probabilities.
    evidence : Tensor (N, L) of bool
        Words that decide.
    redundant : bool
        Whether each of these words is enough; else all are necessary. Where what is needed is masked, all classes are
        equally likely.
    prefix, suffix : Tensor of int64
        Ids around every text.
    mask : int or None
        Id of the symbol for a hidden word.
    rate : float
        A text is masked at a rate that is drawn between 0 and this.
    """

    ids: Tensor
    sizes: Tensor
    wanted: Tensor
    evidence: Tensor
    redundant: bool
    prefix: Tensor
    suffix: Tensor
    mask: int | None
    rate: float

    @staticmethod
    def of(data: Data) -> TextLessons:
        """The training texts of a data set.

        Of its facts, ``train_probabilities`` (N, C) are soft targets in the place of the classes, ``masking`` is the
        largest rate of masking, and ``neutral_without`` says that a text says nothing once "any" or "all" words of the
        true mask are hidden.
        """
        tokens = data.tokens
        if tokens is None or not data.has_ids or data.train_inputs.ndim != 2:
            raise UsageError("this model is trained on token ids (N, L)", "give Data(tokens=...) with ids of int32")
        ids = torch.from_numpy(data.train_inputs).long()
        given = data.facts.get("train_probabilities")
        one_hot = np.eye(data.n_classes, dtype=np.float32)[data.train_targets]
        wanted = torch.from_numpy(np.asarray(one_hot if given is None else given, dtype=np.float32))
        evidence, needed = torch.zeros_like(ids, dtype=torch.bool), data.facts.get("neutral_without")
        if needed and data.train_mask is not None:
            evidence = torch.from_numpy(data.train_mask)
        rate = float(data.facts.get("masking", 0.0))
        if rate and tokens.mask is None:
            raise UsageError("training with masked words needs the id of the mask symbol", "give it, Tokens(mask=...)")
        sizes = torch.from_numpy(text_sizes(data.train_inputs))
        before, after = (torch.tensor(part, dtype=torch.long) for part in (tokens.prefix, tokens.suffix))
        return TextLessons(ids, sizes, wanted, evidence, needed == "all", before, after, tokens.mask, rate)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Ids (B, m) with what stands around them, and probabilities (B, C): texts of one length, in random order."""
        order = torch.randperm(len(self.ids))
        parts = []
        for length in sorted(set(self.sizes.tolist())):
            rows = order[self.sizes[order] == length]
            parts += list(torch.split(rows, size))
        for number in torch.randperm(len(parts)).tolist():
            rows = parts[number]
            length = int(self.sizes[rows[0]])
            yield self._masked(self.ids[rows, :length], self.wanted[rows], self.evidence[rows, :length])

    def n_batches(self, size: int) -> int:
        """Number of batches of an epoch."""
        return sum(-(-int(n) // size) for n in torch.unique(self.sizes, return_counts=True)[1])

    def _masked(self, ids: Tensor, wanted: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
        if self.rate and self.mask is not None:
            gone = torch.rand(ids.shape) < self.rate * torch.rand(len(ids), 1)
            ids = torch.where(gone, self.mask, ids)
            if self.redundant:
                nothing = evidence.any(dim=1, keepdim=True) & ~(evidence & ~gone).any(dim=1, keepdim=True)
            else:
                nothing = (gone & evidence).any(dim=1, keepdim=True)
            wanted = torch.where(nothing, 1 / wanted.shape[1], wanted)
        left, right = (part.expand(len(ids), -1) for part in (self.prefix, self.suffix))
        return torch.cat([left, ids, right], dim=1), wanted


def train_texts(
    build: Callable[[], nn.Module],
    data: Data,
    *,
    seed: int,
    epochs: int,
    learning_rate: float,
    weight_decay: float = 1e-4,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Build a network over token ids (B, m) that returns logits, and train it with cross-entropy.

    AdamW with a one-cycle schedule, gradients clipped at norm 1. Batches hold texts of one length, so that nothing is
    padded. As `train` it depends on the seed, the data and the type of the machine only.

    Parameters
    ----------
    build : callable
    data : Data
        Of token ids; see `TextLessons.of` for what its facts may say about the training.
    seed, epochs : int
    learning_rate : float
        Peak of the schedule.
    weight_decay : float
    batch_size : int, optional
        At most so many texts; by default as many as `train` takes.
    progress : callable, optional
        Called after every epoch.

    Raises
    ------
    UsageError
        If ``epochs`` is less than 1, or the data are not token ids.
    """
    if epochs < 1:
        raise UsageError(f"epochs must be at least 1, not {epochs}")
    lessons = TextLessons.of(data)
    size = batch_size or default_batch_size(data)
    n_batches = lessons.n_batches(size)

    def fit(module: nn.Module) -> None:
        step, schedule = scheduled(module, "adamw", learning_rate, weight_decay, epochs * n_batches)
        module.train()
        with torch.enable_grad():
            for epoch in range(epochs):
                total = torch.zeros(())
                for ids, wanted in lessons.batches(size):
                    step.zero_grad()
                    loss = nn.functional.cross_entropy(module(ids), wanted)
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(module.parameters(), CLIP)
                    step.step()
                    schedule.step()
                    total += loss.detach()
                if progress is not None:
                    progress(epoch + 1, epochs, f"loss {float(total) / n_batches:.3f}")

    return build_and_fit(build, fit, seed=seed)


def longest(data: Data) -> int:
    """Tokens of the longest text of a data set, with what stands around it."""
    tokens = data.tokens
    around = 0 if tokens is None else len(tokens.prefix) + len(tokens.suffix)
    return around + max(int((ids != NO_TOKEN).sum(axis=1).max()) for ids in (data.train_inputs, data.test_inputs))

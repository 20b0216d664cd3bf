"""Training of graph networks: on graphs as padded edge lists, and on every node of a whole graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.models.training import Progress, build_and_fit, scheduled

GRAPHS_PER_BATCH = 32
"""Graphs in a batch."""


def train_graphs(
    build: Callable[[], nn.Module],
    data: Data,
    *,
    seed: int,
    epochs: int,
    learning_rate: float,
    weight_decay: float = 1e-4,
    progress: Progress | None = None,
) -> nn.Module:
    """Build a network ``module(w, **context)`` that returns logits, and train it with cross-entropy.

    AdamW with a one-cycle schedule, batches of 32 graphs. Edges behind the end of a list have weight 0 here. As `train`
    it depends on the seed, the data and the type of the machine only.

    Parameters
    ----------
    build : callable
    data : Data
        Of graphs. Of its facts, ``train_probabilities`` (N, C) are soft targets in the place of the classes.
    seed, epochs : int
    learning_rate : float
        Peak of the schedule.
    weight_decay : float
    progress : callable, optional
        Called after every epoch.
    """
    inputs = torch.from_numpy(data.train_inputs).nan_to_num(0.0)
    context = {name: torch.from_numpy(values) for name, values in data.train_context.items()}
    soft = data.facts.get("train_probabilities")
    targets = torch.from_numpy(data.train_targets if soft is None else soft)
    n_batches = -(-len(inputs) // GRAPHS_PER_BATCH)

    def fit(module: nn.Module) -> None:
        step, schedule = scheduled(module, "adamw", learning_rate, weight_decay, epochs * n_batches)
        module.train()
        with torch.enable_grad():
            for epoch in range(epochs):
                total = torch.zeros(())
                for rows in torch.split(torch.randperm(len(inputs)), GRAPHS_PER_BATCH):
                    step.zero_grad()
                    logits = module(inputs[rows], **{name: values[rows] for name, values in context.items()})
                    loss = nn.functional.cross_entropy(logits, targets[rows])
                    loss.backward()  # type: ignore[no-untyped-call]
                    step.step()
                    schedule.step()
                    total += loss.detach()
                if progress is not None:
                    progress(epoch + 1, epochs, f"loss {float(total) / n_batches:.3f}")

    return build_and_fit(build, fit, seed=seed)


def train_whole_graph(
    build: Callable[[], nn.Module],
    data: Data,
    *,
    seed: int,
    epochs: int,
    learning_rate: float,
    weight_decay: float = 1e-4,
    progress: Progress | None = None,
) -> nn.Module:
    """Build a network with ``of_all_nodes(w, src, dst, x)``, and train it on every node of a whole graph at once.

    Parameters
    ----------
    build : callable
    data : Data
        Whose facts hold ``whole_src``, ``whole_dst``, ``whole_x`` and ``whole_labels``.
    seed, epochs : int
    learning_rate : float
        Peak of the one-cycle schedule of AdamW.
    weight_decay : float
    progress : callable, optional
        Called after every epoch.

    Raises
    ------
    UsageError
        If the data set does not hold a whole graph.
    """
    names = ("whole_src", "whole_dst", "whole_x", "whole_labels")
    if not set(names) <= set(data.facts):
        raise UsageError(
            "this model is trained on every node of a whole graph, and the data set holds none",
            f"give facts with {', '.join(names)}, as the data set infection has them",
        )
    src, dst, x, labels = (torch.from_numpy(data.facts[name]) for name in names)
    w = torch.ones(1, len(src))

    def fit(module: nn.Module) -> None:
        step, schedule = scheduled(module, "adamw", learning_rate, weight_decay, epochs)
        of_all_nodes: Callable[..., Tensor] = module.of_all_nodes  # type: ignore[assignment]
        module.train()
        with torch.enable_grad():
            for epoch in range(epochs):
                step.zero_grad()
                loss = nn.functional.cross_entropy(of_all_nodes(w, src[None], dst[None], x[None])[0], labels)
                loss.backward()  # type: ignore[no-untyped-call]
                step.step()
                schedule.step()
                if progress is not None:
                    progress(epoch + 1, epochs, f"loss {float(loss.detach()):.3f}")

    return build_and_fit(build, fit, seed=seed)

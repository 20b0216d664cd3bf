"""Calls of explainers of other libraries: one sample after the other, seeded, with nothing left behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from xaibench.core.draws import Draws
from xaibench.core.generators import seed_of_sample, seeded_generators
from xaibench.core.module_copies import copy_module
from xaibench.core.predictor import require_module
from xaibench.core.problem import ProblemView
from xaibench.core.types import Array

MOST_AT_ONCE = 16
"""Samples that a method without randomness explains in one call: methods with many steps copy each of them often."""
MOST_BACKGROUND = 100
"""Reference rows that a library is given, at most; shap itself warns above."""
_FIXED = 0
"""Seed for methods that draw nothing: the global generators are put back all the same."""


class ExplainedOutput(nn.Module):
    """The explained number as a module, so that libraries that follow modules find those of the model.

    It holds a copy of the model: whatever a library leaves on it is gone with the copy.

    Parameters
    ----------
    problem : ProblemView
    column : bool
        Return (B, 1) instead of (B,).
    """

    def __init__(self, problem: ProblemView, *, column: bool = False) -> None:
        super().__init__()
        model = require_module(problem.model)
        self.model = copy_module(model.module)
        self.predictor = model.with_module(self.model)
        self.view = problem
        self.column = column

    def aim(self, view: ProblemView) -> ExplainedOutput:
        """Explain these samples from now on, which have one target."""
        self.view = view
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """The explained number (B,) of copies of the samples, with the target that all of them have."""
        view = self.view
        rows = torch.zeros(len(inputs), dtype=torch.int64, device=view.targets.device)
        beside = {name: values[rows] for name, values in view.context.items()}
        picked = view.select(self.predictor.forward(inputs, beside or None), rows)
        view.model.n_evaluations += len(inputs)
        return picked.unsqueeze(1) if self.column else picked


def output_function(view: ProblemView) -> Callable[[Tensor], Tensor]:
    """The explained number (B,) of copies of a single sample, without gradients, of any model."""

    def function(inputs: Tensor) -> Tensor:
        rows = torch.zeros(len(inputs), dtype=torch.int64, device=view.targets.device)
        return view.scores(inputs.to(view.inputs), rows)

    return function


def array_function(view: ProblemView) -> Callable[[Array], Array]:
    """The same from arrays of flattened copies (B, D), in float64."""
    function = output_function(view)

    def of_array(flat: Array) -> Array:
        copies = torch.from_numpy(flat.astype("float32")).reshape(-1, *view.inputs.shape[1:])
        found: Array = function(copies).double().cpu().numpy()
        return found

    return of_array


def flat_rows(inputs: Tensor) -> Array:
    """Inputs (N, *input_shape) as an array (N, D), in float64."""
    found: Array = inputs.flatten(1).double().cpu().numpy()
    return found


def one_by_one(problem: ProblemView, draws: Draws, call: Callable[[ProblemView, int], Tensor]) -> Tensor:
    """Explain every sample alone, with generators seeded by (seed, stream, sample).

    Parameters
    ----------
    problem : ProblemView
    draws : Draws
        Named by the explainer.
    call : callable
        ``(view of one sample, seed) -> Tensor (1, ...)``.
    """
    maps = []
    for i, sample in enumerate(draws.digests):
        seed = seed_of_sample(draws.seed, draws.stream, sample)
        with _contained(seed):
            maps.append(call(problem.take(slice(i, i + 1)), seed).detach())
    return torch.cat(maps).to(problem.inputs)


def by_target(problem: ProblemView, call: Callable[[ProblemView], Tensor]) -> Tensor:
    """Explain samples with the same target together, for methods that draw nothing.

    Parameters
    ----------
    problem : ProblemView
    call : callable
        ``(view of samples with one target) -> Tensor (n, ...)``.
    """
    found: list[Tensor] = []
    places: list[Tensor] = []
    for rows in _alike(problem):
        with _contained(_FIXED):
            found.append(call(problem.take(rows)).detach())
        places.append(rows)
    order = torch.cat(places).argsort()
    return torch.cat(found).to(problem.inputs)[order]


def _alike(problem: ProblemView) -> Iterator[Tensor]:
    """Rows of samples with the same target and foil; with a context every sample alone."""
    questions = problem.targets.unsqueeze(1)
    if problem.foils is not None:
        questions = torch.cat([questions, problem.foils.unsqueeze(1)], dim=1)
    _, group = questions.unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
    size = 1 if problem.context else MOST_AT_ONCE
    for number in range(int(group.max()) + 1):
        yield from (group == number).nonzero()[:, 0].split(size)


@contextmanager
def _contained(seed: int) -> Iterator[None]:
    """Generators as they were afterwards, and no warnings: a library says the same for every sample."""
    with seeded_generators(seed), warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        yield


def reference_rows(problem: ProblemView, most: int = MOST_BACKGROUND) -> Tensor:
    """At most this many background rows, evenly spaced; without a background a row of zeros."""
    if problem.background is None:
        return torch.zeros_like(problem.inputs[:1])
    n = len(problem.background)
    chosen = torch.arange(min(n, most)) * n // min(n, most)
    return problem.background[chosen.to(problem.background.device)]


def shared_by_players(problem: ProblemView, maps: Tensor, index: Tensor) -> Tensor:
    """Contributions of groups of features, which all inputs of a group hold, shared equally by its features.

    Parameters
    ----------
    problem : ProblemView
    maps : Tensor (N, *input_shape)
    index : Tensor (*feature_shape) of int64
        Group of every feature.
    """
    layout = problem.layout
    members = layout.reduce(torch.ones_like(maps))
    sizes = torch.bincount(index.flatten())[index].to(maps)
    return layout.reduce(maps) / members / sizes

"""Statistical associations of features with the output: patterns (Haufe et al. 2014), M-plots, FIRM (Zien et al. 2009).

They are about association: a suppressor, which the model uses and which says nothing about the
output by itself, gets nothing (Haufe et al. 2014; Wilming et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.coalitions import all_coalitions, shapley_weights
from xaibench.explainers.engines.local_regression import conditional_mean

MAX_COLUMNS = 8
"""Columns whose coalitions are enumerated; conditional means of more could not be estimated either."""
FIRM_POINTS = 256
"""Background rows at which the conditional mean is taken, where there are more: evenly spaced ones."""


@explainer("pattern", kind="slope", needs={"background"})
def pattern(problem: ProblemView) -> Tensor:
    """Covariance of each feature with the explained output over the background (Haufe et al. 2014, theorem 1).

    The activation pattern of a linear model, up to the variance of its output. Equal for all
    samples with the same target. Covariances of channels are summed.
    """
    problem.layout.require_single_quantities("a covariance with the output")
    reference = Reference.of(problem)
    inputs, values = reference.inputs.flatten(1).double(), reference.values
    found = (inputs - inputs.mean(dim=0)).T @ (values - values.mean(dim=0)) / len(inputs)
    maps = found.T[reference.which].view(len(problem), *problem.layout.input_shape)
    return problem.layout.reduce(maps)


@explainer("m_plot", kind="contribution", needs={"background"})
def m_plot(problem: ProblemView) -> Tensor:
    """Mean output given the sample's value of one feature, minus the mean output (M-plots, Apley & Zhu 2020).

    The conditional mean is a local linear regression over the background (see `conditional_mean`);
    for a pixel with several channels it is given all of them.
    """
    problem.layout.require_single_quantities("a conditional mean")
    reference, columns = Reference.of(problem), problem.layout.by_feature(problem.inputs)
    return _conditional(reference, columns, reference.which).view(-1, *problem.layout.feature_shape)


@explainer("firm", kind="saliency", needs={"background"})
def firm(problem: ProblemView) -> Tensor:
    """Standard deviation over the background of the mean output given one feature (FIRM, Zien et al. 2009).

    Equal for all samples with the same target. Estimated as in `m_plot`, so noise makes it a
    little larger than it is: by about the standard error of the conditional mean where it is 0.
    """
    problem.layout.require_single_quantities("a conditional mean")
    reference = Reference.of(problem)
    chosen = torch.linspace(0, len(reference.inputs) - 1, min(FIRM_POINTS, len(reference.inputs))).long()
    points = problem.layout.by_feature(reference.inputs[chosen.to(reference.inputs.device)])
    maps = torch.empty(len(problem), problem.layout.n_features, dtype=torch.float64, device=problem.inputs.device)
    for k in range(len(reference.classes)):
        spread = _conditional(reference, points, torch.full_like(chosen, k)).std(dim=0, correction=0)
        maps[reference.which == k] = spread
    return maps.view(-1, *problem.layout.feature_shape)


@explainer("conditional_shapley", kind="contribution", needs={"table", "background"})
def conditional_shapley(problem: ProblemView) -> Tensor:
    """Shapley values of the mean output given the columns in a coalition (Aas et al. 2021), exact over them.

    The mean is a local linear regression over the background (see `conditional_mean`). The values
    add up to the output minus the mean output.

    Raises
    ------
    UnsupportedError
        For more than 8 columns.
    """
    problem.layout.require_single_quantities("a conditional mean")
    d = problem.layout.n_features
    if d > MAX_COLUMNS:
        raise UnsupportedError(
            f"conditional Shapley values of {d} columns need {2**d} conditional means",
            f"at most {MAX_COLUMNS} columns; shapley_sampling takes any number, with marginal means",
        )
    reference = Reference.of(problem)
    coalitions = all_coalitions(d)
    worth = torch.empty(len(problem), 2**d, dtype=torch.float64, device=problem.inputs.device)
    worth[:, 0] = reference.values.mean(dim=0)[reference.which]
    worth[:, -1] = problem.scores(problem.inputs).double()
    rows, queries = (t.flatten(1) for t in (reference.inputs, problem.inputs))
    for i, members in enumerate(coalitions[1:-1], start=1):
        given = conditional_mean(rows[:, members], reference.values, queries[:, members])
        worth[:, i] = given.gather(1, reference.which.unsqueeze(1)).squeeze(1)
    return worth @ shapley_weights(coalitions).to(worth.device)


@dataclass(frozen=True)
class Reference:
    """The background, and the explained output there for every target that is explained.

    Attributes
    ----------
    inputs : Tensor (M, *input_shape)
    values : Tensor (M, K), float64
        Output of each of K targets.
    classes : Tensor (K,) of int64
    which : Tensor (N,) of int64
        Column of ``values`` that belongs to each sample.
    """

    inputs: Tensor
    values: Tensor
    classes: Tensor
    which: Tensor

    @classmethod
    def of(cls, problem: ProblemView) -> Reference:
        """The reference of a problem.

        Raises
        ------
        UnsupportedError
            If it has no background.
        """
        inputs = background_of(problem)
        classes, which = explained_targets(problem)
        return cls(inputs, target_outputs(problem, problem.predict_background(), classes), classes, which)


def background_of(problem: ProblemView) -> Tensor:
    """Reference rows (M, *input_shape), or UnsupportedError if there are none."""
    return problem.require_background("associations are measured over a background")


def explained_targets(problem: ProblemView) -> tuple[Tensor, Tensor]:
    """A sample (K,) of each different target, or target and foil, and which of them is that of each sample (N,)."""
    asked = problem.targets if problem.foils is None else torch.stack([problem.targets, problem.foils], dim=1)
    known, which = torch.unique(asked, return_inverse=True, dim=0)
    first = [(which == k).nonzero()[0] for k in range(len(known))]
    return torch.cat(first), which


def target_outputs(problem: ProblemView, raw: Tensor, samples: Tensor) -> Tensor:
    """The explained output (B, K) of the targets of K samples, float64, from raw outputs (B, C)."""
    columns = [problem.select(raw, one.expand(len(raw))) for one in samples]
    return torch.stack(columns, dim=1).double()


def _conditional(reference: Reference, columns: Tensor, which: Tensor) -> Tensor:
    """Mean output given each feature's ``columns`` (N, F, channels), minus the mean output: (N, F), float64.

    ``which`` (N,) is the column of the reference's values that belongs to each row.
    """
    rows = reference.inputs.flatten(1).view(len(reference.inputs), columns.shape[2], -1).transpose(1, 2)
    centred = reference.values - reference.values.mean(dim=0)
    given = [conditional_mean(rows[:, j], centred, columns[:, j]) for j in range(columns.shape[1])]
    return torch.stack([g.gather(1, which.unsqueeze(1)).squeeze(1) for g in given], dim=1)

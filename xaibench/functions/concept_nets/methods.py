"""Concept importance by derivatives along concept vectors, as in TCAV (Kim et al. 2018), with a test, and a placebo."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt
from scipy.stats import ttest_ind
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.errors import UnsupportedError
from xaibench.core.program_registry import interpreter
from xaibench.functions.concept_nets.generation import ConceptModel
from xaibench.functions.concept_nets.vectors import VectorMethod, concept_vector

DERIVATIVE_FLOOR = 1e-9
"""Derivatives below this share of the largest gradient are rounding, and have no sign."""
SIGNIFICANCE = 0.05
Statistic = Literal["sensitivity", "tcav"]
"""Mean derivative; or the share of positive ones, less that of negative ones."""


@interpreter("concept_vectors", takes=["concepts"])
def concept_vectors(
    case: CaseView,
    draws: np.random.Generator,
    *,
    vector: VectorMethod = "mean difference",
    statistic: Statistic = "sensitivity",
    n_probe: PositiveInt = 60,
    n_vectors: PositiveInt = 10,
    independent: bool = False,
    test: bool = False,
) -> Scores:
    """Derivative of the output along concept activation vectors (TCAV, Kim et al. 2018), signed; three runs.

    Parameters
    ----------
    vector : {"mean difference", "filter", "pattern", "logistic", "random"}
        How a vector is found; see `concept_vector`.
    statistic : {"sensitivity", "tcav"}
        Mean derivative along the vector over the explained inputs, or twice the TCAV score less 1: the share of
        positive derivatives less that of negative ones; derivatives at rounding level count as neither.
    n_probe : int
        Inputs with and without the concept, each.
    n_vectors : int
        Vectors from probe sets drawn again, over which scores are averaged.
    independent : bool
        Whether probe sets come from a world where concepts are independent.
    test : bool
        Whether a score is set to 0 unless it differs from those of as many vectors with permuted labels, by a
        two-sided t test with Bonferroni's correction for the number of concepts.
    """
    model: ConceptModel = case.given
    gradient = _gradient(model)
    found = torch.zeros(len(case.units), dtype=torch.float64)
    for j in range(len(case.units)):
        scores, permuted = [], []
        for _ in range(n_vectors):
            positives, negatives = model.probe(j, n_probe, draws, independent)
            scores.append(_score(gradient, concept_vector(positives, negatives, vector, draws), statistic))
            if test:
                both = torch.cat([positives, negatives])[torch.from_numpy(draws.permutation(2 * n_probe))]
                shuffled = concept_vector(both[:n_probe], both[n_probe:], vector, draws)
                permuted.append(_score(gradient, shuffled, statistic))
        found[j] = float(np.mean(scores))
        if test and not _differ(scores, permuted, SIGNIFICANCE / len(case.units)):
            found[j] = 0.0
    return Scores(found)


@interpreter("true_concept_directions", takes=["concepts"], needs={"truth"})
def true_concept_directions(
    case: CaseView, draws: np.random.Generator, *, statistic: Statistic = "sensitivity"
) -> Scores:
    """Derivative of the output along the true directions of the concepts, signed; three runs.

    Parameters
    ----------
    statistic : {"sensitivity", "tcav"}

    Raises
    ------
    UnsupportedError
        If concepts of the case have no true directions.
    """
    assert case.truth is not None
    if "directions" not in case.truth.facts:
        raise UnsupportedError("the concepts of this case have no known directions")
    gradient = _gradient(case.given)
    directions = torch.tensor(case.truth.facts["directions"], dtype=torch.float64)
    return Scores(torch.tensor([_score(gradient, v, statistic) for v in directions], dtype=torch.float64))


@interpreter("concept_frequency", takes=["concepts"], control=True)
def concept_frequency(case: CaseView, draws: np.random.Generator, *, n_probe: PositiveInt = 60) -> Scores:
    """How far apart inputs with and without a concept are in a probe set; a placebo that never looks at the net."""
    model: ConceptModel = case.given
    pairs = [model.probe(j, n_probe, draws) for j in range(len(case.units))]
    return Scores(torch.stack([(a.mean(dim=0) - b.mean(dim=0)).norm() for a, b in pairs]))


def _gradient(model: ConceptModel) -> Tensor:
    """Gradient of the output (N, d) at the explained inputs."""
    inputs = model.inputs.clone().requires_grad_()
    return torch.autograd.grad(model.run(inputs).sum(), inputs)[0]


def _score(gradient: Tensor, direction: Tensor, statistic: Statistic) -> float:
    slopes = gradient @ direction
    slopes = torch.where(slopes.abs() < DERIVATIVE_FLOOR * gradient.norm(dim=1).max(), 0.0, slopes)
    return float((slopes if statistic == "sensitivity" else slopes.sign()).mean())


def _differ(scores: list[float], others: list[float], level: float) -> bool:
    if np.ptp(scores) == np.ptp(others) == 0:
        return scores[0] != others[0]
    return bool(ttest_ind(scores, others).pvalue < level)

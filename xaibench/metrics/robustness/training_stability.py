"""MeGe and ReCo (Fel et al. 2022): do models trained on different folds explain the same prediction alike?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.evaluation import Evaluation
from xaibench.core.problem import ProblemView
from xaibench.core.registry import metric
from xaibench.core.retraining import retraining_seed, variant
from xaibench.metrics.engines.explained_rows import explain_rows, retraining_of, rows_of
from xaibench.metrics.maps.similarity import spearman

Folds = Annotated[int, Ge(2)]
LEAST_PAIRS = 30
"""Distances of models that disagree below which a distribution of them says nothing."""
_SAME = 1e-9
"""Correlations this near to 1 are 1: the square root would make 3e-5 of a rounding error."""
_PAPER = "Fel et al. 2022, How good is your explanation? Algorithmic stability measures"


class Distances(NamedTuple):
    """Distances of explanations of two models, one of which has not seen the sample.

    Attributes
    ----------
    agree : Tensor (a,)
        Where both models are right.
    differ : Tensor (b,)
        Where exactly one is.
    """

    agree: Tensor
    differ: Tensor


@metric(
    "mege",
    family="robustness",
    construct="folds",
    higher_is_better=True,
    bounds=(0.5, 1),
    needs={"reexplain", "retrain"},
    scope="dataset",
    source=f"{_PAPER}; MeGe",
)
def mege(ev: Evaluation, *, n_folds: Folds = 4, n_repeats: PositiveInt = 3, max_train: PositiveInt = 2000) -> Tensor:
    """Generalisability of explanations: ``1 / (1 + mean distance)`` between models that are both right.

    One model is fitted without each fold of the training data. Every two of them explain the labels
    of the samples that exactly one of the two has seen; the distance is ``sqrt(1 - |rho|)``, rho
    being Spearman's correlation of the maps. Maps that never look at the model score 1, so rank by
    this only together with `reco`. Two maps of opposite sign count as equal.

    Parameters
    ----------
    n_folds : int
        Folds, with the same mix of classes each, and so models per repeat.
    n_repeats : int
        Splits into folds, one score each. All explainers share their models.
    max_train : int
        Rows of the training data that are used at most, evenly spaced.

    Returns
    -------
    Tensor (n_repeats,)
        NaN where no two models are right together, or where over half of the maps are constant or
        not finite; fewer of those are left out.
    """
    found = _distances(ev, n_folds, n_repeats, max_train)
    return torch.stack([1 / (1 + _defined(d.agree).mean()) for d in found])


@metric(
    "reco",
    family="robustness",
    construct="folds",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"reexplain", "retrain"},
    scope="dataset",
    source=f"{_PAPER}; ReCo",
)
def reco(ev: Evaluation, *, n_folds: Folds = 4, n_repeats: PositiveInt = 3, max_train: PositiveInt = 2000) -> Tensor:
    """How much more explanations of two models differ where the models disagree than where both are right.

    The best ``TPR + TNR - 1`` of a threshold that tells the two by the distances of `mege`: TPR is
    the share of distances of models that are both right at most at the threshold, TNR the share of
    distances of models of which exactly one is right above it. It is computed exactly, as the
    one-sided Kolmogorov-Smirnov statistic. Maps that never look at the model score 0.

    Parameters
    ----------
    n_folds, n_repeats, max_train : int
        As for `mege`, whose models and distances are reused.

    Returns
    -------
    Tensor (n_repeats,)
        NaN where models disagree in fewer than 30 pairs, or none are right together, or over half
        of the maps are constant or not finite. The statistic of few distances is large by chance.
    """
    found = _distances(ev, n_folds, n_repeats, max_train)
    return torch.stack([separation(_defined(d.agree), _defined(d.differ)) for d in found])


def separation(agree: Tensor, differ: Tensor) -> Tensor:
    """Largest excess of the distribution function of ``agree`` (a,) over that of ``differ`` (b,), a number."""
    if len(agree) == 0 or len(differ) < LEAST_PAIRS:
        return torch.tensor(torch.nan, dtype=torch.float64)
    thresholds = torch.cat([agree, differ])
    below = [torch.searchsorted(d.sort().values, thresholds, right=True).double() / len(d) for d in (agree, differ)]
    return (below[0] - below[1]).max().clamp(min=0)


def fold_of(targets: Tensor, n_folds: int, draws: Draws) -> Tensor:
    """Fold of every row (n,) int64: random, with as equal a mix of classes as there can be."""
    shuffled = draws.permutation((len(targets),))[0].to(targets.device)
    by_class = shuffled[targets[shuffled].argsort(stable=True)]
    folds = torch.empty_like(by_class)
    folds[by_class] = torch.arange(len(targets), device=targets.device) % n_folds
    return folds


def _defined(distances: Tensor) -> Tensor:
    """The distances that are defined; none if they are less than half."""
    known = distances[torch.isfinite(distances)]
    return known if 2 * len(known) >= len(distances) else known[:0]


def _distances(ev: Evaluation, n_folds: int, n_repeats: int, max_train: int) -> list[Distances]:
    """Distances of every repeat, computed once per explanation."""

    def compute() -> list[Distances]:
        rows = rows_of(ev, "train", max_train)
        return [_one_repeat(ev, rows, n_folds, repeat) for repeat in range(n_repeats)]

    key = f"folds/{n_folds}/{n_repeats}/{max_train}/{ev.output}"
    found: list[Distances] = ev.reuse(key, compute)
    return found


def _one_repeat(ev: Evaluation, rows: ProblemView, n_folds: int, repeat: int) -> Distances:
    retraining = retraining_of(ev)
    fold = fold_of(rows.targets, n_folds, Draws(ev.seed, f"folds/{repeat}", (b"train",)))
    inputs, targets = rows.inputs.cpu().numpy(), rows.targets.cpu().numpy()
    maps, right = [], []
    for left_out in range(n_folds):
        seen = (fold != left_out).cpu().numpy()
        data = variant(
            retraining.data,
            train_inputs=inputs[seen],
            train_targets=targets[seen],
            train_context={name: values.cpu().numpy()[seen] for name, values in rows.context.items()},
        )
        model = retraining.fit(data, retraining_seed("folds", ev.seed, repeat, left_out))
        maps.append(explain_rows(ev, rows, model).flatten(1))
        right.append(replace(rows, model=model).predict(rows.inputs).argmax(dim=1) == rows.targets)
    agree, differ = [], []
    for i, j in combinations(range(n_folds), 2):
        one_saw_it = (fold == i) | (fold == j)
        distance = torch.cat(list(_blockwise(maps[i][one_saw_it], maps[j][one_saw_it])))
        first, second = right[i][one_saw_it], right[j][one_saw_it]
        agree.append(distance[first & second])
        differ.append(distance[first ^ second])
    return Distances(torch.cat(agree), torch.cat(differ))


def _blockwise(a: Tensor, b: Tensor, size: int = 256) -> Iterator[Tensor]:
    """``sqrt(1 - |rho|)`` of the rows of ``a`` and ``b`` (n, F), NaN where one is constant or not finite."""
    for x, y in zip(torch.split(a, size), torch.split(b, size), strict=True):
        gap = 1 - spearman(x, y).abs()
        finite = torch.isfinite(x).all(dim=1) & torch.isfinite(y).all(dim=1)
        yield torch.where(finite, torch.where(gap < _SAME, 0, gap).sqrt(), torch.nan)

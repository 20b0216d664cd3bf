"""Agreement between explainers as a matrix per problem, with the pairs that agree most and least."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from xaibench.core.types import ExplainerKey

AgreeingPair = tuple[ExplainerKey, ExplainerKey, float]
"""Two explainers, and their agreement."""


@dataclass(frozen=True)
class AgreementMatrix:
    """Agreement of all explainers on one problem by one measure.

    Attributes
    ----------
    suite, dataset, model, measure, selection : str
    k, n_features : int
        The measure looks at the ``k`` largest of so many features.
    values : DataFrame
        Square and symmetric, explainers (name, parameters) by explainers; NaN where a pair has no value, and on the
        diagonal.
    expected : float
        Mean over the pairs of what independent rankings would give.
    most, least : tuple or None
        The pair that agrees most, and the one that agrees least; None where no pair has a value.
    """

    suite: str
    dataset: str
    model: str
    measure: str
    k: int
    n_features: int
    values: pd.DataFrame
    expected: float
    most: AgreeingPair | None
    least: AgreeingPair | None
    selection: str = ""


def agreement_matrices(pairs: pd.DataFrame, measures: tuple[str, ...]) -> Iterator[AgreementMatrix]:
    """One matrix per problem and measure, in the order of the pairs.

    Parameters
    ----------
    pairs : DataFrame
        From `xaibench.analysis.explainer_agreement.explainer_agreement`, of one suite or several.
    measures : tuple of str
        Those that are wanted.
    """
    chosen = pairs[pairs["measure"].isin(measures)]
    for key, group in chosen.groupby(["suite", "dataset", "model", "selection", "measure"], sort=False):
        suite, dataset, model, selection, measure = map(str, key)
        left, right = (list(zip(group[f"explainer_{s}"], group[f"params_{s}"], strict=True)) for s in "ab")
        entries = pd.Index(list(dict.fromkeys([*left, *right])), tupleize_cols=False)
        place = {entry: i for i, entry in enumerate(entries)}
        values = pd.DataFrame(index=entries, columns=entries, dtype=float)
        for a, b, value in zip(left, right, group["value"], strict=True):
            values.iat[place[a], place[b]] = values.iat[place[b], place[a]] = value
        known = sorted((float(v), i) for i, v in enumerate(group["value"]) if v == v)
        extremes = [(left[i], right[i], v) for v, i in (known[-1], known[0])] if known else [None, None]
        first = group.iloc[0]
        yield AgreementMatrix(
            suite, dataset, model, measure, int(first["k"]), int(first["features"]), values,
            float(group["expected"].mean()), extremes[0], extremes[1], selection,
        )  # fmt: skip

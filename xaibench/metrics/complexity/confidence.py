"""Confidence of the model: a score that ignores the explanation, as a reference in audits of metrics."""

from __future__ import annotations

from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric


@metric(
    "confidence",
    family="complexity",
    higher_is_better=True,
    bounds=(0, 1),
    in_output_unit=True,
    output="probability",
    source="ours: `xaibench audit` correlates the scores of other metrics with it",
)
def confidence(ev: Evaluation) -> Tensor:
    """Probability that the model gives to the explained class; says nothing about explanations.

    The same for every explanation of a sample, so measuring it on one explainer is enough, best on
    a control: then no board ranks by it.

    Returns
    -------
    Tensor (N,)

    Raises
    ------
    UnsupportedError
        If the model has no probabilities.
    """
    return ev.scores(ev.inputs)

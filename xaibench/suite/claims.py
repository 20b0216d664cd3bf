"""Claims: published statements as executable tests."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import Field

from xaibench.core.outputs import Output
from xaibench.suite.references import ExplainerGlobs, Globs, Table


class ScoreSelection(Table):
    """Which scores a side of a claim is about.

    Attributes
    ----------
    dataset, model, explainer, metric : globs
        Matched with names as the leaderboard shows them (``suppressor(c=0.4)``), and with bare names.
    params, explainer_params : dict
        Parameters of the metric and of the explainer that must have these values, defaults included.
    output : str, optional
        The output that the suite asks the metric to measure.
    gate : str, optional
        The measured values of this gate, one per trained model, instead of scores.
    every : bool
        The claim must hold for each matched explainer (gates: for each problem) on its own, not for their mean.
        If both sides say so for the same explainers, each is compared with itself. It is reproduced if
        every comparison is, and refuted if one of them contradicts it, after Holm's correction for how many there are.
    """

    dataset: Globs = Field(default=["*"])
    model: Globs = Field(default=["*"])
    explainer: ExplainerGlobs = Field(default=["*"])
    metric: Globs = Field(default=["*"])
    params: dict[str, Any] = Field(default_factory=dict)
    explainer_params: dict[str, Any] = Field(default_factory=dict)
    output: Output | None = None
    gate: str | None = None
    every: bool = False


class Claim(Table):
    """A published statement as an executable test.

    The effect is ``left - right``, or ``left - number``; the claim is that it is greater than
    ``margin``, less than ``-margin``, or within ``margin`` of 0.

    Attributes
    ----------
    id, source, statement : str
        A short name, where it was published, and what is claimed, in a sentence.
    left : ScoreSelection
        The scores that the claim is about.
    right : ScoreSelection, optional
        The scores that they are compared with; or else give ``number``.
    number : float, optional
        The number that they are compared with.
    direction : {"greater", "less", "equal"}
        What is claimed of the effect.
    margin : float
        Size that the effect must exceed; for ``"equal"``, stay within.
    unit : {"sample", "training"}
        What is independent: the samples (given these models), or the trained models (problem seeds).
    statistic : {"mean", "agreement"}
        Mean score; or Kendall's tau between the explainers' values on this metric and on ``reference``.
    reference : ScoreSelection, optional
        What ``agreement`` compares with; only its metric, params and output count.
    despite : globs
        Gates that may fail without making the claim inconclusive.
    """

    id: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    source: str = Field(min_length=1)
    statement: str = Field(min_length=1)
    left: ScoreSelection
    right: ScoreSelection | None = None
    number: float | None = Field(default=None, allow_inf_nan=False)
    direction: Literal["greater", "less", "equal"] = "greater"
    margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    unit: Literal["sample", "training"] = "sample"
    statistic: Literal["mean", "agreement"] = "mean"
    reference: ScoreSelection | None = None
    despite: Globs = Field(default=[])

    @pydantic.model_validator(mode="after")
    def _is_complete(self) -> Claim:
        if (self.right is None) == (self.number is None):
            raise ValueError("a claim compares left with right or with a number, and not with both")
        if (self.statistic == "agreement") != (self.reference is not None):
            raise ValueError("agreement needs a reference, and nothing else has one")
        if self.statistic == "agreement" and self.unit != "training":
            raise ValueError('agreement is one number per trained model: unit = "training"')
        if self.direction == "equal" and self.margin == 0:
            raise ValueError("nothing measured is exactly equal: give a margin")
        return self

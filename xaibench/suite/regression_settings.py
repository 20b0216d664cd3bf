"""Settings of `xaibench compare`: which changes of a suite count as regressions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from xaibench.suite.references import Table


class Comparing(Table):
    """What counts as a regression of this suite.

    Attributes
    ----------
    exact : bool
        With equal weights nothing in these results is redrawn: a change is a fact, which needs no
        test, and tight tolerances hold instead of practical deltas.
    delta : dict
        Least change that matters, by metric, in units of its score (of log10 where it aggregates so).
    """

    exact: bool = False
    delta: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)

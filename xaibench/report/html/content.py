"""Contents of a report, which the caller reads from a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from xaibench.analysis.advice.verdicts import Advice
from xaibench.analysis.mean_curves import MeanCurve
from xaibench.core.types import Array


@dataclass(frozen=True)
class Map:
    """One explanation of one sample.

    Attributes
    ----------
    label : str
        Of the explainer.
    kind : {"slope", "contribution", "saliency"}
    values : array (*feature_shape)
    score : float
        By the gallery's metric; NaN where there is none.
    """

    label: str
    kind: str
    values: Array
    score: float


@dataclass(frozen=True)
class GraphShape:
    """The structure of a graph, without padding.

    Attributes
    ----------
    src, dst : array (E,) of int
    n_nodes : int
    target : int
        Node whose output is explained; -1 where it is that of the whole graph.
    classes : array (n_nodes,) of int
        Which feature of a node is 1, where one of several is; -1 elsewhere.
    """

    src: Array
    dst: Array
    n_nodes: int
    target: int
    classes: Array


@dataclass(frozen=True)
class Instance:
    """One sample of a problem with its explanations.

    Attributes
    ----------
    sample : str
        Its id in the store.
    index : int
        Its place among the test data, from 0.
    reason : str
        Why this one is shown.
    inputs : array (*input_shape)
    truth : array (*feature_shape) or None
        A mask (bool) or weights.
    target : str
        What is explained.
    maps : tuple of Map
        Explainers from the best mean score to the worst.
    words : tuple of str
        Of a text: its features, in words; empty for other data.
    graph : GraphShape or None
        Of a graph: what draws it.
    filled : array (*input_shape) or None
        Of a series: what a masker puts in the place of its stretches.
    """

    sample: str
    index: int
    reason: str
    inputs: Array
    truth: Array | None
    target: str
    maps: tuple[Map, ...]
    words: tuple[str, ...] = ()
    graph: GraphShape | None = None
    filled: Array | None = None


@dataclass(frozen=True)
class Gallery:
    """Samples of one problem.

    Attributes
    ----------
    suite, problem : str
    features : {"image", "table", "series", "tokens"}
    feature_names : tuple of str
        Of tables; empty where the data set names none.
    metric : str
        What the maps' scores are of; empty without one.
    instances : tuple of Instance
        Series have their time as the first axis.
    filled_by : str
        In words, what is removed by which masker in ``filled`` of the instances; empty without them.
    """

    suite: str
    problem: str
    features: str
    feature_names: tuple[str, ...]
    metric: str
    higher_is_better: bool
    instances: tuple[Instance, ...]
    filled_by: str = ""


@dataclass(frozen=True)
class ExplainerCurves:
    """The mean removal curve of one explainer over its samples."""

    label: str
    control: bool
    curve: MeanCurve
    n_samples: int


@dataclass(frozen=True)
class Curves:
    """Removal curves of one problem.

    Attributes
    ----------
    share : array (points,)
        Share of the features that is removed.
    output : str
        What is measured.
    lines : tuple of ExplainerCurves
        The best mean area first; controls last.
    """

    suite: str
    problem: str
    metric: str
    share: Array
    output: str
    lines: tuple[ExplainerCurves, ...]

    @property
    def has_oracle(self) -> bool:
        """Whether the curve of the oracle is among them."""
        return any(line.control and line.label == "oracle" for line in self.lines)


@dataclass(frozen=True)
class Content:
    """Everything that a report shows.

    Attributes
    ----------
    store : str
    board : DataFrame
        Leaderboards of all suites that are shown, see `xaibench.analysis.leaderboard.table.leaderboard`.
    cells : DataFrame
        Their cells: at least ``status, error_kind, message, dataset, model, explainer, metric``.
    claims : DataFrame
        See `xaibench.analysis.claims.verdicts.claims_table`.
    runs : list of dict
        Manifests of the runs that are shown.
    audit, agreement : DataFrame or None
        What `xaibench audit` and `xaibench agreement` left in the store.
    galleries : tuple of Gallery
    curves : tuple of Curves
    notes : mapping of str to tuple of str
        By section: what is not shown, and why.
    advice : mapping of str to Advice
        By suite: what its board advises; made from the board alone where it is missing.
    """

    store: str
    board: pd.DataFrame
    cells: pd.DataFrame
    claims: pd.DataFrame
    runs: list[dict[str, Any]]
    audit: pd.DataFrame | None = None
    agreement: pd.DataFrame | None = None
    galleries: tuple[Gallery, ...] = ()
    curves: tuple[Curves, ...] = ()
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    advice: dict[str, Advice] = field(default_factory=dict)

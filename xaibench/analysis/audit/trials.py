"""What an audit looks at: the scores of one metric on one problem, with explainers, seeds and samples as axes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.case_exclusions import without_excluded
from xaibench.analysis.leaderboard.score_matrix import FLOOR, unique_names
from xaibench.core.components import ORACLE, RANDOM
from xaibench.core.types import Array, ExplainerKey

MetricKey = tuple[str, str, str]
"""A metric, its parameters as JSON, and the output that the suite asks it for."""
DEGRADED = "degraded_oracle"
_SCORED = ("ok", "undefined")
_USED = ["scope", "higher_is_better", "family", "params", "scores", "aggregate", "seed"]


@dataclass(frozen=True)
class MetricScores:
    """Scores of one metric on one problem.

    Attributes
    ----------
    merit : array (E, S, U)
        Score of explainer e with draw seed s on sample u, its sign turned where lower is better;
        log10 where the metric aggregates so. NaN where there is none.
    sign : float
        1, or -1 where merits are scores with their sign turned.
    family, scope : str
    params : dict
    """

    merit: Array
    sign: float
    family: str
    scope: str
    params: dict[str, Any]

    @property
    def scores(self) -> Array:
        """The scores as the metric gave them (E, S, U), in log10 where it aggregates so."""
        return self.sign * self.merit


@dataclass(frozen=True)
class AttributionFacts:
    """What is known of the explanations behind the scores.

    Attributes
    ----------
    steady : frozenset
        (dataset, model, selection, *entry) of explainers whose maps are the same with every draw seed.
    alike : frozenset
        (dataset, model, selection, larger selection, *entry, seed) of explainers whose maps of
        the samples of the first selection are the same in the second.
    """

    steady: frozenset[tuple[str, ...]] = frozenset()
    alike: frozenset[tuple[Any, ...]] = frozenset()


@dataclass(frozen=True)
class ProblemScores:
    """All metrics on one problem, on common axes.

    Attributes
    ----------
    names : tuple of str
        Data set, model, selection.
    entries : tuple of ExplainerKey
    control : array (E,) of bool
    truth_is_weights : bool
        Whether the oracle shows weights, which are contributions once they are multiplied by the input.
    gate_passed : bool
        False where a gate of any problem seed failed: then the truth need not be true.
    seeds : tuple of int
    samples : tuple
        Problem seed and name of every sample.
    panels : dict of MetricKey to Panel
    """

    names: tuple[str, str, str]
    entries: tuple[ExplainerKey, ...]
    control: Array
    truth_is_weights: bool
    gate_passed: bool
    seeds: tuple[int, ...]
    samples: tuple[Any, ...]
    panels: Mapping[MetricKey, MetricScores]

    def find(self, explainer: str) -> int | None:
        """Place of the first entry of this explainer."""
        return next((i for i, (name, _) in enumerate(self.entries) if name == explainer), None)

    @property
    def ladder(self) -> list[tuple[float, int]]:
        """Noise and place of the oracle, of the degraded oracles, and of random (infinite noise), best first."""
        steps = [
            (float(json.loads(params)["noise"]), i)
            for i, (name, params) in enumerate(self.entries)
            if name == DEGRADED and "noise" in json.loads(params)
        ]
        ends = [(0.0, self.find(ORACLE)), (np.inf, self.find(RANDOM))]
        return sorted([*steps, *((noise, i) for noise, i in ends if i is not None)])

    @property
    def contestants(self) -> Array:
        """Places of the explainers that somebody might choose: neither controls nor degraded oracles."""
        real = [i for i, (name, _) in enumerate(self.entries) if not self.control[i] and name != DEGRADED]
        return np.array(real, dtype=np.int64)


def trials(cells: pd.DataFrame) -> Iterator[ProblemScores]:
    """Trials of every problem in some cells (columns as in `xaibench.store.Row`), in order.

    Of the repeats of the random control only the first one is used: the others are there for some metrics only.
    """
    scored = without_excluded(cells)
    used = scored[scored["status"].isin(_SCORED) & (scored["repeat"] == 0)]
    for names, group in used.groupby(["dataset", "model", "selection"], sort=False):
        dataset, model, selection = map(str, names)
        yield _trial((dataset, model, selection), group)


def _trial(names: tuple[str, str, str], cells: pd.DataFrame) -> ProblemScores:
    pairs = list(zip(cells["explainer"], cells["explainer_params"], strict=True))
    entries = tuple(dict.fromkeys(pairs))
    place = {entry: i for i, entry in enumerate(entries)}
    seeds = tuple(sorted(int(s) for s in cells["seed"].unique()))
    facts = cells.drop_duplicates(["explainer", "explainer_params"])
    kinds = facts.loc[facts["explainer"] == ORACLE, "attribution_kind"]
    named = [
        [(int(seed), name) for name in unique_names(ids, len(scores))]
        for seed, ids, scores in zip(cells["problem_seed"], cells["sample_ids"], cells["scores"], strict=True)
    ]
    of_samples = (cells["scope"] != "dataset").to_numpy()
    samples = tuple(dict.fromkeys(x for row, wanted in zip(named, of_samples, strict=True) if wanted for x in row))
    column = {name: i for i, name in enumerate(samples)}
    asked = cells["asked_output"].where(cells["asked_output"].notna(), "").astype(str)
    keys = list(zip(cells["metric"], cells["params"], asked, strict=True))
    panels: dict[MetricKey, MetricScores] = {}
    rows = cells[_USED].to_dict("records")
    for key, pair, row, columns in zip(keys, pairs, rows, named, strict=True):
        if row["scope"] == "dataset":
            continue
        if key not in panels:
            panels[key] = MetricScores(
                np.full((len(entries), len(seeds), len(samples)), np.nan),
                1.0 if row["higher_is_better"] else -1.0,
                row["family"],
                row["scope"] or "sample",
                json.loads(row["params"]),
            )
        values = np.asarray(row["scores"], dtype=np.float64)
        if row["aggregate"] == "median_log10":
            values = np.log10(np.maximum(values, FLOOR))
        at = place[pair], seeds.index(int(row["seed"])), [column[name] for name in columns]
        panels[key].merit[at] = panels[key].sign * values
    return ProblemScores(
        names,
        entries,
        facts["control"].to_numpy(dtype=bool),
        bool((kinds == "slope").all() and len(kinds)),
        not (cells["gate_passed"] == False).any(),  # noqa: E712
        seeds,
        samples,
        panels,
    )


def size_and_rest(selection: str) -> tuple[int, str]:
    """How many samples a selection takes, and what else it says: equal rests are samples of the same problem."""
    found = re.match(r"test\[:(\d+)\](.*)", selection)
    return (int(found[1]), found[2]) if found else (0, selection)

"""Problems of a run prepared again exactly as they were scored, with the explanations that the store holds."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from xaibench import suite as suites
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.keys import sample_ids
from xaibench.core.problem import Problem
from xaibench.core.types import Array, ExplainerKey
from xaibench.plan import Selection, problems
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.store import Store

MeasureKey = tuple[str, str, str]
"""A metric: its name, its parameters as JSON, and the output that it is asked for."""
_PROBLEM = ["dataset", "model", "selection"]


@dataclass(frozen=True)
class ScoredProblem:
    """A problem as it was scored.

    Attributes
    ----------
    suite, name : str
    rows : DataFrame
        Cells of one problem seed, one seed and the first repeat that have results.
    board : DataFrame
        Its part of the leaderboard.
    data : Data
    problem : Problem
    """

    suite: str
    name: str
    rows: pd.DataFrame
    board: pd.DataFrame
    data: Data
    problem: Problem

    @property
    def sample_ids(self) -> list[str]:
        """Names of the samples in the store, in the order of the problem."""
        return sample_ids(self.problem.samples.digests)

    def scores(self, measure: MeasureKey) -> dict[ExplainerKey, Array]:
        """Stored scores (N,) of every explainer by one metric, in the order of the samples; NaN where there is none."""
        found, ids = {}, self.sample_ids
        for row in board_rows_of(self.rows, measure).to_dict("records"):
            by_id = dict(zip(row["sample_ids"], row["scores"], strict=True))
            found[row["explainer"], row["explainer_params"]] = np.array([by_id.get(i, np.nan) for i in ids])
        return found

    def explanations(self, store: Store, entry: ExplainerKey) -> tuple[torch.Tensor, str] | None:
        """Stored explanations (N, *feature_shape) of an explainer with their kind; None if the store lacks any."""
        rows = self.rows[(self.rows["explainer"] == entry[0]) & (self.rows["explainer_params"] == entry[1])]
        loaded = None if rows.empty else store.load_attributions(rows["explain_key"].iloc[0])
        if loaded is None or len(loaded[0]) != len(self.problem.samples):
            return None
        return loaded[0], loaded[1]


def board_rows_of(frame: pd.DataFrame, measure: MeasureKey) -> pd.DataFrame:
    """Rows of a leaderboard, or of cells, that are of one metric."""
    for column, value in zip(("metric", "params", "asked_output"), measure, strict=True):
        frame = frame[frame[column] == value]
    return frame


def reconstruct(
    manifest: dict[str, Any],
    board: pd.DataFrame,
    cells: pd.DataFrame,
    key: tuple[str, str, str, str],
    prepared: Problems,
    plugins: frozenset[str] = frozenset(),
) -> ScoredProblem:
    """Prepare a problem again, exactly the one that was scored.

    A store may come from anywhere: of the files and modules that its suite names components of, only
    those among ``plugins`` are loaded.

    Raises
    ------
    XaibenchError
        If it is unavailable: its components or data are not here, or its trained model is not in the cache.
    """
    suite, dataset, model, selection = key
    here = cells[(cells["dataset"] == dataset) & (cells["model"] == model) & (cells["selection"] == selection)]
    here = here[here["status"].isin(("ok", "undefined")) & here["explain_key"].notna() & (here["repeat"] == 0)]
    if here.empty:
        raise UnsupportedError("nothing was scored")
    first = here.sort_values(["problem_seed", "seed"], kind="stable").iloc[0]
    rows = here[(here["problem_seed"] == first["problem_seed"]) & (here["seed"] == first["seed"])]
    asked = rows["asked_output"]
    rows = rows.assign(asked_output=asked.where(asked.notna(), ""))
    named = _sources(manifest.get("resolved_suite", {})) - plugins
    if named:
        source = min(named)
        raise UnsupportedError(f"the suite uses components of {source}; --plugin {source} loads it")
    spec = _spec(manifest, dataset, model, selection, int(first["problem_seed"]))
    if spec is None:
        raise UnsupportedError("the suite of this run has no such problem")
    if prepared.fingerprint(spec) != first["fingerprint"]:
        raise UnsupportedError("the model that was explained is not in the cache")
    problem = prepared.prepare(spec)
    if problem.fingerprint != first["fingerprint"]:
        raise UnsupportedError("the model that was explained is not in the cache")
    part = board[board["suite"].eq(suite)]
    for column, wanted in zip(_PROBLEM, (dataset, model, selection), strict=True):
        part = part[part[column] == wanted]
    return ScoredProblem(suite, f"{dataset}/{model}", rows, part, prepared.data(spec), problem)


def _sources(document: dict[str, Any]) -> set[str]:
    """Files and modules that a suite names components of, as ``file.py:name`` or ``module:name``."""
    entries = [e for kind in ("explainers", "interpreters", "metrics") for e in document.get(kind) or ()]
    for problem in document.get("problems") or ():
        entries += [problem.get("dataset"), problem.get("functions"), *(problem.get("models") or ())]
    names = (entry.get("name") if isinstance(entry, dict) else entry for entry in entries)
    own = {name.rpartition(":")[0] for name in names if isinstance(name, str) and ":" in name}
    return own.union(*(_sources(part) for part in document.get("parts") or () if isinstance(part, dict)))


def _spec(manifest: dict[str, Any], dataset: str, model: str, selection: str, seed: int) -> ProblemSpec | None:
    """The problem of a suite with these labels; a run may have been limited to fewer samples."""
    suite = suites.parse(manifest["resolved_suite"], source=manifest["suite"])
    size = re.match(r"test\[:(\d+)\]", selection)
    for matrix in suite.matrices():
        for spec in problems(matrix, Selection()):
            if isinstance(spec, ProblemSpec) and spec.labels == (dataset, model) and spec.seed == seed:
                sized = replace(spec, samples=int(size[1])) if size else spec
                if sized.selection == selection:
                    return sized
    return None

"""Two runs side by side: what changed, and whether for the worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench.analysis.regressions.cell_matching import pair_cells
from xaibench.analysis.regressions.comparison import Comparison, RunReference
from xaibench.analysis.regressions.memory import check_recorded, memory
from xaibench.analysis.regressions.timings import costs
from xaibench.analysis.regressions.verdicts import RegressionSettings
from xaibench.analysis.regressions.verdicts import compare_runs as compare_cells
from xaibench.api.reading import _of_part
from xaibench.api.snapshots import cells_of, parse_reference, runs_of
from xaibench.core import registry
from xaibench.core.components import MetricSpec
from xaibench.core.errors import NothingToDoError, UsageError, did_you_mean
from xaibench.core.known_names import all_components
from xaibench.store import Store
from xaibench.store.stopped_early import stopped_early


def compare(
    baseline: str | Path,
    candidate: str | Path,
    *,
    suite: str | None = None,
    deltas: Mapping[str, float] | None = None,
    exact: bool = False,
    allow_lost: bool = False,
    max_slowdown: float | None = None,
    max_memory: float | None = None,
    plugins: Sequence[str] = (),
) -> Comparison:
    """Compare two stores, or two runs: ``STORE`` or ``STORE@3``.

    Parameters
    ----------
    baseline, candidate : str or path
    suite : str, optional
        Only this suite; by default those that both have, or everything if they have none in common.
    deltas : mapping, optional
        Practical deltas by metric, before those of the suite file and the defaults.
    exact : bool
        The suite is deterministic: with equal weights every change beyond a tight tolerance is real.
    allow_lost : bool
        Missing cells do not count as regressions.
    max_slowdown : float, optional
        An explainer or metric that takes more than this many times as long is a regression, if it takes at least half
        a second more in all.
    max_memory : float, optional
        An explainer or metric that takes more than this many times as much memory is a regression, if it and the whole
        run take at least 200 MB more.
    plugins : sequence of str
        Files with components, for the bounds of their metrics.

    Raises
    ------
    StoreError, UsageError
        If a store, run, suite or metric is not there, or a limit of memory is given and none was recorded.
    NothingToDoError
        If the two have no cell in common.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "controls": False, "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> stores = [xb.run(suite, store=name).store for name in ("yesterday", "today")]
    >>> xb.compare(*stores).failing.empty
    True
    """
    for plugin in plugins:
        registry.load_module(plugin)
    opened = [(text, *parse_reference(text)) for text in map(str, (baseline, candidate))]
    stores = [Store(path) for _, path, _ in opened]
    found = [runs_of(store, suite, number) for store, (_, _, number) in zip(stores, opened, strict=True)]
    notes = []
    common = {m["suite"] for m in found[0]} & {m["suite"] for m in found[1]}
    if common:
        for (text, *_), runs, other in zip(opened, found, reversed(opened), strict=True):
            notes += [
                f"suite {m['suite']} is in {text} and not in {other[0]}" for m in runs if m["suite"] not in common
            ]
        found = [[m for m in runs if m["suite"] in common] for runs in found]
    sides = [RunReference(text, runs) for (text, *_), runs in zip(opened, found, strict=True)]
    old, new = (
        cells_of(store, runs, as_of=number) for (*_, number), store, runs in zip(opened, stores, found, strict=True)
    )
    old, new, n_raced = _without_stopped(old, new)
    notes += [f"{n_raced} cells left a race early, and not at the same look on both sides"] if n_raced else []
    notes += [
        f"run {m['run']} of {side.reference} took a part of suite {m['suite']} only"
        for side in sides
        for m in side.runs
        if not m.get("whole", True)
    ]
    if max_memory is not None:
        check_recorded({str(baseline): old, str(candidate): new})
    pairs = pair_cells(old, new)
    if not ((pairs["b"] >= 0) & (pairs["c"] >= 0)).any():
        raise NothingToDoError(f"{baseline} and {candidate} have no cell in common", "compare runs of the same suite")
    documents = [m.get("resolved_suite", {}) for m in sides[1].runs]
    given = {k: v for d in documents for k, v in d.get("compare", {}).get("delta", {}).items()} | dict(deltas or {})
    known = set(old["metric"]) | set(new["metric"])
    unknown = [name for name in deltas or {} if name not in known]
    if unknown:
        raise UsageError(f"no metric {unknown[0]!r} was compared", did_you_mean(unknown[0], known))
    facts = set(old["cell_id"]) if exact else {i for d in documents for i in _exact(d, new)}
    specs = [s for s in all_components("metric") if isinstance(s, MetricSpec)]
    settings = RegressionSettings(
        bounds={s.name: s.bounds for s in specs},
        in_output_unit={s.name: s.has_output_unit for s in specs},
        exact=frozenset(facts),
        deltas=given,
    )
    findings = compare_cells(old, new, settings)
    n_identical = _identical(pairs, old, new)
    return Comparison(
        findings,
        costs(pairs, old, new),
        sides[0],
        sides[1],
        n_identical,
        notes,
        allow_lost,
        max_slowdown,
        memory(pairs, old, new),
        max_memory,
    )


def _without_stopped(old: pd.DataFrame, new: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Both sides without cells that left a race early, unless both did at the same look; and how many these are."""
    sizes = [
        dict(zip(side.loc[stopped, "cell_id"], side.loc[stopped, "n"], strict=True))
        for side in (old, new)
        for stopped in (stopped_early(side["message"]),)
    ]
    apart = {cell for cell in sizes[0].keys() | sizes[1].keys() if sizes[0].get(cell) != sizes[1].get(cell)}
    if not apart:
        return old, new, 0
    old, new = (side[~side["cell_id"].isin(apart)].reset_index(drop=True) for side in (old, new))
    return old, new, len(apart)


def _exact(document: dict[str, Any], cells: pd.DataFrame) -> set[str]:
    """Cells of the parts of a suite that say so, by id."""
    if document.get("compare", {}).get("exact", False):
        return set(cells["cell_id"])
    found: set[str] = set()
    for part in document.get("parts", []):
        if _says_exact(part):
            own = _of_part(part, cells)
            # A part that cannot be read any more is taken for everything: of no use here.
            found |= _exact(part, own) if len(own) < len(cells) or len(document["parts"]) == 1 else set()
    return found


def _says_exact(document: dict[str, Any]) -> bool:
    own: bool = document.get("compare", {}).get("exact", False)
    return own or any(_says_exact(part) for part in document.get("parts", []))


def _identical(pairs: pd.DataFrame, old: pd.DataFrame, new: pd.DataFrame) -> int:
    """How many cells are the same row, made by the same run at the same moment."""
    both = pairs[(pairs["b"] >= 0) & (pairs["c"] >= 0) & (pairs["state"] == "pair")]
    left, right = old.iloc[both["b"]], new.iloc[both["c"]]
    return int((left["created"].to_numpy() == right["created"].to_numpy()).sum())

"""Which explainers apply to the problems of a suite, or to a model, and what earlier leaderboards say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench.analysis.advice.verdicts import Advice, advise
from xaibench.analysis.leaderboard.columns import PROBLEM
from xaibench.api.advising import advice_on
from xaibench.api.inputs import capabilities_of
from xaibench.api.planning import load_suite
from xaibench.api.reading import leaderboard, shown_runs
from xaibench.api.shared_problem import SharedProblem
from xaibench.core import registry
from xaibench.core.components import ExplainerSpec
from xaibench.core.errors import NothingToDoError, StoreError
from xaibench.core.needs import missing_needs, need_of_data
from xaibench.core.storage.paths import default_store
from xaibench.plan import Selection
from xaibench.plan.expansion import problems
from xaibench.problems.specs import ProblemSpec
from xaibench.store import Store
from xaibench.suite import Suite

RECOMMENDATION_COLUMNS = ["dataset", "model", "explainer", "applies", "reason", "here", "elsewhere"]
_KINDS = {"use": "use", "also": "use", "avoid": "do not use", "undecided": "undecided", "untested": "untested"}
UNBUILT = "known when the model is built"


def recommend(
    suite: Suite | str | Path | dict[str, Any], store: str | Path | None = None, *, plugins: tuple[str, ...] = ()
) -> pd.DataFrame:
    """List the explainers that apply to the problems of a suite, and what earlier leaderboards say. Runs nothing.

    Parameters
    ----------
    suite : str, path or dict
    store : path, optional
        The store whose leaderboards are asked; by default the default store, if there is one.
    plugins : tuple of str
        Files and modules with components.

    Returns
    -------
    DataFrame
        A row per problem and explainer: ``dataset, model, explainer``; ``applies``: True, False, or None where only
        building the model tells; ``reason``: what it lacks; ``here``: what the boards of the store say about this very
        problem; ``elsewhere``: about others. Both are texts such as ``use (quick)``, empty where nothing is known.

    Raises
    ------
    UsageError
        If anything in the suite is wrong.
    NothingToDoError
        If the suite has no problem of models.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["random_forest"]}],
    ... }
    >>> found = xb.recommend(suite, store="results_of_nobody").set_index("explainer")
    >>> bool(found.loc["kernel_shap", "applies"]), found.loc["gradient", "reason"]
    (True, 'needs gradients')
    """
    loaded = load_suite(suite, plugins=plugins)
    boards = list(_boards(store))
    specs = {
        p.labels: p for part in loaded.matrices() for p in problems(part, Selection()) if isinstance(p, ProblemSpec)
    }
    if not specs:
        raise NothingToDoError(
            "this suite has no problem of a model", "`xaibench list explainers` shows all explainers"
        )
    frames = [
        recommendations(spec.labels, spec.capabilities(), boards, spec.lacking, kind=spec.kind_of_data)
        for spec in specs.values()
    ]
    return pd.concat(frames, ignore_index=True)


def recommend_for(problem: SharedProblem, store: str | Path | None = None) -> pd.DataFrame:
    """The rows of `recommend` for a problem of Python: what its model and inputs offer is known."""
    view, prepared = problem.everything(), problem.prepared
    offered = capabilities_of(view, retrains=prepared.retraining is not None, pairs=prepared.pairs)
    lacking = {} if view.model.facts is None else view.model.facts.lacking
    labels = (prepared.dataset, prepared.model)
    return recommendations(labels, offered, list(_boards(store)), lacking, kind=need_of_data(view.layout.kind))


def recommendations(
    labels: tuple[str, str],
    capabilities: frozenset[str] | None,
    boards: list[tuple[str, pd.DataFrame, Advice]],
    lacking: Mapping[str, str],
    *,
    kind: str,
) -> pd.DataFrame:
    """The rows of one problem; see `recommend`. ``kind`` of data rules out explainers of other kinds at once."""
    here = _said(labels, boards, own=True)
    elsewhere = _said(labels, boards, own=False)
    rows = []
    for spec in registry.components("explainer"):
        # Who needs the truth is a device for judging metrics.
        if not isinstance(spec, ExplainerSpec) or spec.control or "truth" in spec.needs:
            continue
        missing = missing_needs(spec.needs, capabilities or {kind, "background", "gradients", "module", "labels"})
        applies = None if capabilities is None and not missing else not missing
        why = lacking.get(missing[0]) if missing else None
        reason = f"needs {', '.join(missing)}" + (f": {why}" if why else "") if missing else ""
        reason = UNBUILT if applies is None else reason
        rows.append((*labels, spec.name, applies, reason, here.get(spec.name, ""), elsewhere.get(spec.name, "")))
    return pd.DataFrame(rows, columns=RECOMMENDATION_COLUMNS)


def _boards(store: str | Path | None) -> Iterator[tuple[str, pd.DataFrame, Advice]]:
    """Name, board and advice of every suite of a store; nothing where there is no store."""
    try:
        opened = Store(store or default_store())
        names = [m["suite"] for m in shown_runs(opened, None, None)]
    except (StoreError, NothingToDoError):
        return
    for name in names:
        board = leaderboard(opened.path, name)
        yield name, board, advice_on(opened.path, board)


def _said(labels: tuple[str, str], boards: list[tuple[str, pd.DataFrame, Advice]], *, own: bool) -> dict[str, str]:
    """By explainer: what boards say about it, on this problem or on others."""
    said: dict[str, list[str]] = {}
    for name, board, whole in boards:
        is_own = (board[PROBLEM[:2]] == list(labels)).all(axis=1)
        if own != bool(is_own.any()):
            continue
        found = advise(board[is_own]) if own else whole
        for one in found.explainers:
            said.setdefault(one.entry[0], []).append(f"{_KINDS[one.kind]} ({name})")
    return {explainer: ", ".join(dict.fromkeys(texts)) for explainer, texts in said.items()}

"""The report of a store: everything that it shows, gathered, and the page written."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from xaibench.api import examples as shown_problems
from xaibench.api.reading import claims, leaderboard, results, shown_runs
from xaibench.core import registry
from xaibench.core.errors import XaibenchError
from xaibench.core.storage.files import write_atomic
from xaibench.core.storage.paths import cache_folder, local_path
from xaibench.execution.curve_evaluation import curve_seconds
from xaibench.execution.reconstruction import reconstruct
from xaibench.problems.preparing import Problems
from xaibench.report.html.content import Content, Curves, Gallery
from xaibench.report.html.page import make_report
from xaibench.store import Store

AFFORDABLE = 20.0
"""Seconds that drawing curves again may take without being asked for."""
N_PROBLEMS = 8
N_EXAMPLES = 4
_SHOWN = ["dataset", "model", "problem_seed", "explainer", "metric", "status", "error_kind", "message", "model_facts"]


def report(
    store: str | Path,
    output: str | Path,
    *,
    suite: str | None = None,
    examples: int = N_EXAMPLES,
    n_problems: int = N_PROBLEMS,
    curves: bool | None = None,
    figures: str | Path | None = None,
    pdf: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
) -> Path:
    """Write the report of a store as one self-contained HTML page.

    Parameters
    ----------
    store : path
    output : path
        The page.
    suite : str, optional
        Only this suite; by default every suite that was run.
    examples : int
        Samples per problem whose explanations are shown; 0 shows none.
    n_problems : int
        Problems, at most, of which examples and curves are shown.
    curves : bool, optional
        Draw removal curves. They are not stored and are evaluated again, with the models of the
        cache; by default where that takes seconds.
    figures : path, optional
        Folder for every figure as PNG and SVG.
    pdf : path, optional
        File for all figures, a page each.
    plugins : sequence of path or str
        Files or modules with components that the suites use; no others are loaded, whatever a store names.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StoreError
        If there is no store, or a file cannot be written.
    NothingToDoError
        If the store holds no run.
    UsageError
        If it holds none of this suite.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "controls": False, "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> xb.report(xb.run(suite, store="results_of_mine").store, "report.html", examples=0, curves=False).name
    'report.html'
    """
    made = make_report(
        gather(store, suite=suite, examples=examples, n_problems=n_problems, curves=curves, plugins=plugins)
    )
    page = local_path(output)
    write_atomic(page, lambda draft: _write(draft, made.html))
    if figures is not None or pdf is not None:
        folder, file = (None if path is None else local_path(path) for path in (figures, pdf))
        made.save_figures(folder=folder, pdf=file)
    return page


def _write(draft: Path, text: str) -> None:
    draft.write_text(text, encoding="utf-8")


def gather(
    store: str | Path,
    *,
    suite: str | None = None,
    examples: int = N_EXAMPLES,
    n_problems: int = N_PROBLEMS,
    curves: bool | None = None,
    plugins: Sequence[str | Path] = (),
) -> Content:
    """Read from a store what its report shows; parameters and errors are those of `report`."""
    for plugin in plugins:
        registry.load_module(str(plugin))
    opened = Store(store)
    manifests = shown_runs(opened, suite, None)
    board, cells = leaderboard(store, suite), results(store, suite)
    notes: dict[str, list[str]] = defaultdict(list)
    keys = shown_problems.candidates(board, n_problems) if examples or curves is not False else []
    allowed = frozenset(map(str, plugins))
    galleries, lines = _rebuilt(opened, manifests, board, cells, notes, keys, examples, curves, allowed)
    return Content(
        store=str(store),
        board=board,
        cells=cells[_SHOWN],
        claims=claims(store, suite),
        runs=manifests,
        audit=_frame(opened, "audit.parquet", suite),
        agreement=_frame(opened, "agreement.parquet", suite),
        galleries=galleries,
        curves=lines,
        notes={section: tuple(said) for section, said in notes.items()},
    )


def _frame(store: Store, name: str, suite: str | None) -> pd.DataFrame | None:
    """A table that another command left in the store; None if it is missing or damaged."""
    try:
        found = pd.read_parquet(io.BytesIO(store.files.read(name)))
    except (OSError, ValueError):
        return None
    return found if suite is None or "suite" not in found else found[found["suite"] == suite].reset_index(drop=True)


def _rebuilt(
    store: Store,
    manifests: list[dict[str, Any]],
    board: pd.DataFrame,
    cells: pd.DataFrame,
    notes: dict[str, list[str]],
    keys: list[tuple[str, str, str, str]],
    examples: int,
    wanted: bool | None,
    plugins: frozenset[str],
) -> tuple[tuple[Gallery, ...], tuple[Curves, ...]]:
    """Examples and curves of some problems, as far as these can be built again."""
    by_suite = {m["suite"]: m for m in manifests}
    problems = Problems(cache_folder())
    galleries: list[Gallery] = []
    lines: list[Curves] = []
    lost: dict[tuple[str, str], list[str]] = defaultdict(list)
    spent = 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for key in keys:
            name = "/".join(key[1:3])
            try:
                found = reconstruct(by_suite[key[0]], board, cells, key, problems, plugins)
            except Exception as error:
                lost["rebuilt", _reason(error)].append(name)
                continue
            if examples:
                try:
                    galleries.append(shown_problems.gallery(found, store, examples))
                except XaibenchError as error:
                    lost["gallery", _reason(error)].append(name)
            if wanted is False:
                continue
            seconds = curve_seconds(found.rows)
            if wanted is None and spent + seconds > AFFORDABLE:
                notes["curves"].append(f"{name}: not drawn, it should take {seconds:.0f} s; --curves draws it.")
                continue
            spent += seconds
            try:
                drawn, differ = shown_problems.curves(found, store)
            except XaibenchError as error:
                lost["curves", _reason(error)].append(name)
                continue
            lines.append(drawn)
            if differ:
                notes["curves"].append(
                    f"{name}: left out, for evaluated again they do not give the stored scores: {', '.join(differ)}."
                )
    finally:
        torch.set_num_threads(threads)
    for (section, reason), names in lost.items():
        notes[section].append(f"{', '.join(names)}: {reason}.")
    for plugin in sorted({p for m in manifests for p in m.get("plugins", [])} - plugins) if lost else ():
        notes["rebuilt"].append(f"A run used the plugin {plugin}; --plugin loads it.")
    n_all = board.loc[board["truth_kind"].fillna("") != "program", ["suite", "dataset", "model", "selection"]]
    n_left = len(n_all.drop_duplicates()) - len(keys)
    if keys and n_left > 0:
        notes["rebuilt"].append(
            f"{n_left} more problem{' is' if n_left == 1 else 's are'} not shown; --problems N shows more."
        )
    if not keys and (examples or wanted is not False):
        notes["rebuilt"].append("No problem here has inputs with explanations that could be shown.")
    if not examples:
        notes["gallery"].append("Not asked for.")
    if wanted is False:
        notes["curves"].append("Not asked for.")
    return tuple(galleries), tuple(lines)


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, XaibenchError) else f"{type(error).__name__}: {error}"

"""The report of a store: everything that it shows, gathered, and the page written."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from xaibench.api import examples as shown_problems
from xaibench.api.advising import advice_on
from xaibench.api.auditing import agreement
from xaibench.api.reading import claims, leaderboard, results, shown_runs
from xaibench.core import registry
from xaibench.core.errors import NothingToDoError, UnsupportedError
from xaibench.core.storage.files import write_atomic
from xaibench.core.storage.paths import local_path
from xaibench.report.html.content import Content, Curves, Gallery
from xaibench.report.html.page import make_report
from xaibench.store import Store

N_PROBLEMS = 8
N_EXAMPLES = 4
_SHOWN = ["dataset", "model", "problem_seed", "explainer", "metric", "status", "error_kind", "message", "model_facts"]
Tell = Callable[[str], None]
"""Is told what is being done."""


def _silent(stage: str) -> None:
    """Progress that is not shown."""


def report(
    store: str | Path,
    output: str | Path,
    *,
    suite: str | None = None,
    examples: int = N_EXAMPLES,
    n_problems: int = N_PROBLEMS,
    curves: bool = True,
    figures: str | Path | None = None,
    pdf: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    progress: Tell = _silent,
) -> Path:
    """Write the report of a store as one self-contained HTML page.

    Everything on it comes from the store: neither data sets nor models are needed, nothing is evaluated, and the store
    stays as it is.

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
    curves : bool
        Show removal curves.
    figures : path, optional
        Folder for every figure as PNG and SVG.
    pdf : path, optional
        File for all figures, a page each.
    plugins : sequence of path or str
        Files or modules with components that the suites use, for what their metrics declare; no others are loaded,
        whatever a store names.
    progress : callable, optional
        Called with a few words before each stage.

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
    content = gather(
        store, suite=suite, examples=examples, n_problems=n_problems, curves=curves, plugins=plugins, progress=progress
    )
    progress("drawing the page")
    made = make_report(content)
    page = local_path(output)
    write_atomic(page, lambda draft: _write(draft, made.html))
    if figures is not None or pdf is not None:
        folder, file = (None if path is None else local_path(path) for path in (figures, pdf))
        made.save_figures(folder=folder, pdf=file, tell=progress)
    return page


def _write(draft: Path, text: str) -> None:
    draft.write_text(text, encoding="utf-8")


def gather(
    store: str | Path,
    *,
    suite: str | None = None,
    examples: int = N_EXAMPLES,
    n_problems: int = N_PROBLEMS,
    curves: bool = True,
    plugins: Sequence[str | Path] = (),
    progress: Tell = _silent,
) -> Content:
    """Read from a store what its report shows; parameters and errors are those of `report`."""
    for plugin in plugins:
        registry.load_module(str(plugin))
    opened = Store(store)
    manifests = shown_runs(opened, suite, None)
    progress("reading results")
    cells = results(store, suite)
    progress("testing and ranking")
    board = leaderboard(store, suite)
    notes: dict[str, list[str]] = defaultdict(list)
    progress("reading explanations, examples and curves")
    galleries, lines = _problems(opened, board, cells, notes, examples, n_problems, curves)
    progress("comparing explanations")
    return Content(
        store=str(store),
        board=board,
        cells=cells[_SHOWN],
        claims=claims(store, suite),
        runs=manifests,
        audit=_frame(opened, "audit.parquet", suite),
        agreement=_agreement(opened, store, suite),
        galleries=galleries,
        curves=lines,
        notes={section: tuple(said) for section, said in notes.items()},
        advice={str(name): advice_on(store, part) for name, part in board.groupby("suite", sort=False)},
    )


def _frame(store: Store, name: str, suite: str | None) -> pd.DataFrame | None:
    """A table that another command left in the store; None if it is missing or damaged."""
    try:
        found = pd.read_parquet(io.BytesIO(store.files.read(name)))
    except (OSError, ValueError):
        return None
    return found if suite is None or "suite" not in found else found[found["suite"] == suite].reset_index(drop=True)


def _agreement(opened: Store, store: str | Path, suite: str | None) -> pd.DataFrame | None:
    """How far explainers agree: as `xaibench agreement` left it in the store, else computed; None without maps."""
    found = _frame(opened, "agreement.parquet", suite)
    if found is not None:
        return found
    try:
        return agreement(store, suite)
    except NothingToDoError:
        return None


def _problems(
    store: Store,
    board: pd.DataFrame,
    cells: pd.DataFrame,
    notes: dict[str, list[str]],
    examples: int,
    n_problems: int,
    curves: bool,
) -> tuple[tuple[Gallery, ...], tuple[Curves, ...]]:
    """Examples and curves of some problems, as far as the store holds them; what it lacks is noted by section."""
    keys = shown_problems.candidates(board, n_problems) if examples or curves else []
    galleries: list[Gallery] = []
    lines: list[Curves] = []
    lost: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in keys:
        name = "/".join(key[1:3])
        try:
            found = shown_problems.scored_problem(board, cells, key)
        except UnsupportedError as error:
            lost["examples", error.message].append(name)
            continue
        if examples:
            try:
                galleries.append(shown_problems.gallery(found, store, examples))
            except UnsupportedError as error:
                lost["examples", error.message].append(name)
        if curves:
            try:
                lines.append(shown_problems.curves(found, store))
            except UnsupportedError as error:
                lost["curves", error.message].append(name)
    for (section, reason), names in lost.items():
        notes[section].append(f"{', '.join(names)}: {reason}.")
    about_models = board["truth_kind"].fillna("") != "program"
    n_left = len(board.loc[about_models, ["suite", "dataset", "model", "selection"]].drop_duplicates()) - len(keys)
    if keys and n_left > 0:
        left = f"{n_left} more problem{' is' if n_left == 1 else 's are'} not shown; --problems N shows more."
        for section in (*(("examples",) if galleries else ()), *(("curves",) if lines else ())):
            notes[section].append(left)
    return tuple(galleries), tuple(lines)

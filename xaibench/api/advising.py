"""Advice of leaderboards as a table: the sentences with the tests and the cells that they rest on."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from xaibench.analysis.advice.descriptions import ADVICE_COLUMNS
from xaibench.analysis.advice.placebo_votes import counted_tests
from xaibench.analysis.advice.verdicts import Advice, ExplainerAdvice, advise
from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, ENTRY, LEADERBOARD_COLUMNS
from xaibench.analysis.ranks.relative_ranks import counted
from xaibench.analysis.ranks.standings import Standings
from xaibench.api.board_files import suite_states, update_frame
from xaibench.api.reading import EVALUATION, leaderboard, results, shown_runs
from xaibench.api.sample_table import to_cells
from xaibench.core.keys import digest
from xaibench.core.storage.paths import Location
from xaibench.report.advice import advice_groups, opening_sentence, scope_sentence, unknown_sentence
from xaibench.report.labels import metric_labels, problem_label, variants
from xaibench.store import Store

Test = tuple[str, ...]
"""Values of `COMPARISON_GROUP` and `ENTRY`."""
AUDIT_FILE, CERTIFICATE_FILE = "audit.parquet", "certify.parquet"
"""What `xaibench audit` and `xaibench certify` leave in a store, and advice takes into account."""


def advice(
    source: str | Path | pd.DataFrame,
    suite: str | None = None,
    *,
    audit: pd.DataFrame | None = None,
    certificate: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """What a leaderboard advises: which explainers to use, which not, what is undecided, and what that rests on.

    Parameters
    ----------
    source : path or DataFrame
        A store, a table from `Problem.evaluate`, or a board from `leaderboard`.
    suite : str, optional
        Only this suite.
    audit : DataFrame, optional
        First table of `audit`: metrics that it calls weak or broken have no vote. By default the ``audit.parquet`` of
        the store, where there is one.
    certificate : DataFrame, optional
        Rows of a certificate. By default the ``certify.parquet`` of the store, where there is one.

    Returns
    -------
    DataFrame
        A row per sentence, with the columns of the data dictionary: ``kind``, ``explainers``, ``reason``, ``tests`` and
        ``evidence`` (cell ids).

    Raises
    ------
    StoreError, NothingToDoError, UsageError
        As `leaderboard`.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    >>> model = lambda a: np.stack([a @ [2.0, -1.0, 0.5], a @ [0.0, 0.0, 0.0]], axis=1)
    >>> table = xb.Problem(model, x, returns="logit").evaluate(["feature_ablation"], ["deletion"])
    >>> found = xb.advice(table)
    >>> found["kind"].tolist()
    ['none', 'undecided', 'unknown', 'scope']
    >>> found["reason"].iloc[-1]
    'This is about inputs/function only, one model trained once, 32 samples per score.'
    """
    if isinstance(source, pd.DataFrame):
        if set(LEADERBOARD_COLUMNS) <= set(source.columns):
            board, cells = source if suite is None else source[source["suite"] == suite], None
        else:
            board, cells = leaderboard(source, suite), to_cells(source)
            board = board.assign(suite=suite or EVALUATION)
        parts = [(str(name), part, cells, audit, certificate) for name, part in board.groupby("suite", sort=False)]
    else:
        opened = Store(source)
        parts = [
            (name, leaderboard(source, name), results(source, name), *_beside(opened, name, audit, certificate))
            for name in (m["suite"] for m in shown_runs(opened, suite, None))
        ]
    frames = [
        advice_table(advise(part, audit=trusted, certificate=certified), part, cells, suite=name, audit=trusted)
        for name, part, cells, trusted, certified in parts
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(ADVICE_COLUMNS))


def advice_on(store: str | Path | Location, board: pd.DataFrame, order: Standings | None = None) -> Advice:
    """The advice of one suite's board, with the audit and the certificate that its store holds.

    Parameters
    ----------
    store : path
    board : DataFrame
    order : Standings, optional
        `standings` of the board, where they are known.
    """
    name = str(board["suite"].iloc[0]) if len(board) else ""
    audit, certificate = _beside(Store(store), name, None, None)
    return advise(board, audit=audit, certificate=certificate, order=order)


def write_advice(store: str | Path | Location, board: pd.DataFrame) -> pd.DataFrame:
    """Write ``advice.parquet`` of all suites into the store, and return it; suites that have not changed stay.

    Parameters
    ----------
    store : path
    board : DataFrame
        The boards of all suites.
    """
    opened = Store(store)

    def made(names: list[str]) -> pd.DataFrame:
        parts = [(name, board[board["suite"] == name].reset_index(drop=True)) for name in names]
        frames = []
        for name, part in parts:
            audit, certificate = _beside(opened, name, None, None)
            found = advise(part, audit=audit, certificate=certificate)
            frames.append(advice_table(found, part, results(opened.path, name), suite=name, audit=audit))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(ADVICE_COLUMNS))

    beside = [_file_digest(opened, name) for name in (AUDIT_FILE, CERTIFICATE_FILE)]
    states = suite_states(opened, shown_runs(opened, None, None))
    made_of = {name: None if state is None else digest(state, beside) for name, state in states.items()}
    return update_frame(opened, "advice", made_of, made)


def _file_digest(store: Store, name: str) -> str | None:
    """Digest of a file of the store, None if it is missing."""
    try:
        return hashlib.blake2b(store.files.read(name), digest_size=16).hexdigest()
    except OSError:
        return None


def _beside(
    store: Store, suite: str, audit: pd.DataFrame | None, certificate: pd.DataFrame | None
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """What was given, else what the store holds about a suite."""
    found = _frame(store, AUDIT_FILE, suite) if audit is None else audit
    return found, _frame(store, CERTIFICATE_FILE, suite) if certificate is None else certificate


def _frame(store: Store, name: str, suite: str) -> pd.DataFrame | None:
    try:
        found = pd.read_parquet(io.BytesIO(store.files.read(name)))
    except (OSError, ValueError):
        return None
    return found[found["suite"] == suite].reset_index(drop=True) if "suite" in found else found


def advice_table(
    found: Advice, board: pd.DataFrame, cells: pd.DataFrame | None, *, suite: str, audit: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Sentences with their evidence, see `advice`; ``cells`` are the results that the board is of.

    ``audit`` is the one that the advice was made with: tests that it takes out do not count among the outcomes either.
    """
    outcomes, ids = _outcomes(board, audit), _cell_ids(board, cells)
    metrics = metric_labels(board)
    names = variants(zip(board["explainer"], board["explainer_params"], strict=True))
    rows: list[tuple[str, str, str, list[str], str, list[str], list[str]]] = []

    def add(
        kind: str, cause: str, explainers: list[str], reason: str, tests: Iterable[Test], plants: Iterable[str] = ()
    ) -> None:
        used = [test for test in dict.fromkeys(tests) if test in outcomes]
        said = [
            f"{outcomes[test]}: {names[explainer, params]}, {metrics[metric, settings, output]} on "
            f"{problem_label(dataset, model, selection)}"
            for test in used
            for dataset, model, selection, metric, settings, output, explainer, params in (test,)
        ]
        evidence = list(dict.fromkeys(cell for test in used for cell in ids.get(test, ())))
        rows.append((suite, kind, cause, explainers, reason, [*said, *plants], evidence))

    opening = opening_sentence(found)
    if opening:
        add("none", "", [], opening, (test for one in found.explainers for test in _tests_of(one)))
    by_entry = {one.entry: one for one in found.explainers}
    for group in advice_groups(found, board):
        members = [by_entry[key] for key in group.keys]
        tests = (test for one in members for test in _tests_of(one))
        plants = [f"certificate: {names[m.entry]}, {_plants(m.certificate)}" for m in members if m.certificate]
        add(group.kind, members[0].cause, [name for name, _ in group.members], group.text, tests, plants)
    unknown = unknown_sentence(found)
    if unknown:
        wanted = {key for construct in found.unknown for key in construct.evidence}
        add("unknown", "", [], unknown, (test for test in outcomes if test[:6] in wanted))
    add("scope", "", [], scope_sentence(found.scope), ())
    return pd.DataFrame(rows, columns=list(ADVICE_COLUMNS))


def _tests_of(one: ExplainerAdvice) -> list[Test]:
    return [(*key, *one.entry) for key in dict.fromkeys((*one.evidence, *one.lost))]


def _plants(certificate: tuple[int, int, int]) -> str:
    won, _, tried = certificate
    return f"{won} of {tried} planted shortcuts found"


def _outcomes(board: pd.DataFrame, audit: pd.DataFrame | None) -> dict[Test, str]:
    """What became of every test of the board."""
    tests = counted_tests(counted(board), audit)
    keys = tests[[*COMPARISON_GROUP, *ENTRY]].astype(str).itertuples(index=False, name=None)
    return dict(zip(keys, tests["result"], strict=True))


def _cell_ids(board: pd.DataFrame, cells: pd.DataFrame | None) -> dict[Test, list[str]]:
    """By test: ids of the explainer's own cells and of those of its best placebo."""
    if cells is None or "cell_id" not in cells:
        return {}
    keys = [*COMPARISON_GROUP, *ENTRY]
    asked = cells["asked_output"].where(cells["asked_output"].notna(), "").astype(str)
    groups = cells.assign(asked_output=asked).groupby(keys, sort=False)["cell_id"]
    ids = {tuple(map(str, key)): list(dict.fromkeys(group)) for key, group in groups}
    by_name: dict[tuple[str, ...], list[str]] = {}
    for key, found in ids.items():
        by_name.setdefault(key[:7], []).extend(found)
    rows = board[[*keys, "placebo"]].astype(str).itertuples(index=False, name=None)
    return {tuple(key): [*ids.get(tuple(key), ()), *by_name.get((*key[:6], placebo), ())] for *key, placebo in rows}

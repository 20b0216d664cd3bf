"""Judging metrics and comparing explanations: reads the store, leaves the maths to the analysis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.audit.audit import audit as audit_of
from xaibench.analysis.audit.trials import AttributionFacts, size_and_rest
from xaibench.analysis.explainer_agreement import Explanations, explainer_agreement
from xaibench.api.reading import results, shown_runs
from xaibench.core.errors import NothingToDoError
from xaibench.core.types import Array
from xaibench.report.labels import variants
from xaibench.store import Store
from xaibench.store.stopped_early import stopped_early

_UNIT = ["dataset", "model", "problem_seed", "selection", "explainer", "explainer_params", "seed"]


def audit(store: str | Path, suite: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge the metrics of a store, suite by suite.

    Parameters
    ----------
    store : path
    suite : str, optional
        Only this suite; by default every suite that was run.

    Returns
    -------
    metrics, pairs : DataFrame
        See `xaibench.analysis.audit.audit.audit`.

    Raises
    ------
    StoreError
        If there is no store.
    NothingToDoError
        If the store holds no run.
    UsageError
        If it holds none of this suite.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> metrics, pairs = xb.audit(xb.run(suite, store="results_of_mine").store)
    >>> metrics[["metric", "verdict"]].values.tolist()
    [['sparseness', 'undecided']]
    """
    opened = Store(store)
    found = [audit_of(cells, suite=name, maps=maps_of(opened, cells)) for name, cells in _suites(opened, suite)]
    metrics, pairs = ([frames[i] for frames in found if len(frames[i])] or [found[0][i]] for i in (0, 1))
    return pd.concat(metrics, ignore_index=True), pd.concat(pairs, ignore_index=True)


def _suites(store: Store, suite: str | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """Suites that were run, each with the results of the run that is shown."""
    for manifest in shown_runs(store, suite, None):
        yield manifest["suite"], results(store.path, manifest["suite"], run=manifest["run"])


def write_tables(store: str | Path, **tables: pd.DataFrame) -> None:
    """Write frames into the store, each as a Parquet file of its name."""
    opened = Store(store)
    for name, frame in tables.items():
        opened.write_frame(name, frame)


def stored_explanations(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per explanation of samples: where it is stored, and of which samples it is.

    Draws of the random control but the first one are left out, and what left a race early.
    """
    made = cells[(cells["repeat"] == 0) & cells["explain_key"].notna() & (cells["scope"] != "dataset")]
    made = made[~stopped_early(made["message"])]
    made = made[made["sample_ids"].map(lambda ids: ids is not None and len(ids) > 0)]
    return made[[*_UNIT, "explain_key", "sample_ids", "control", "attribution_kind"]].drop_duplicates(_UNIT)


def maps_of(store: Store, cells: pd.DataFrame) -> AttributionFacts:
    """Compare the explanations of a store with each other: across seeds, and across numbers of samples."""
    made = stored_explanations(cells)
    steady: set[tuple[Any, ...]] = set()
    alike: set[tuple[Any, ...]] = set()
    for names, group in made.groupby(["dataset", "model", "selection", "explainer", "explainer_params"], sort=False):
        if all(_all_equal(store, keys) for _, keys in group.groupby("problem_seed")["explain_key"]):
            steady.add(tuple(names))
    for (*_, seed), group in made.groupby([c for c in _UNIT if c != "selection"], sort=False):
        for a, b in combinations(_records(group), 2):
            (n, rest), (m, other) = size_and_rest(a["selection"]), size_and_rest(b["selection"])
            if rest != other or n == m:
                continue
            few, many = (a, b) if n < m else (b, a)
            if _same_samples(store, few, many):
                entry = (few["explainer"], few["explainer_params"])
                alike.add((few["dataset"], few["model"], few["selection"], many["selection"], *entry, seed))
    return AttributionFacts(frozenset(steady), frozenset(alike))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in record.items()} for record in frame.to_dict("records")]


def _load(store: Store, explain_key: str) -> Array | None:
    found = store.load_attributions(explain_key)
    return None if found is None else found[0].numpy()


def _of_samples(store: Store, row: dict[str, Any]) -> Array | None:
    """The maps of a row's samples; None where a sample has several, one for each of its labels."""
    found = _load(store, row["explain_key"])
    return None if found is None or len(found) != len(row["sample_ids"]) else found


def _all_equal(store: Store, keys: pd.Series[str]) -> bool:
    """Whether there are several explanations, all stored, and all the same."""
    first = _load(store, keys.iloc[0])
    if first is None or len(keys) < 2:
        return False
    return all((other := _load(store, key)) is not None and np.array_equal(first, other) for key in keys.iloc[1:])


def _same_samples(store: Store, few: dict[str, Any], many: dict[str, Any]) -> bool:
    """Whether two explanations agree, bit for bit, on the samples that both are of."""
    a, b = _of_samples(store, few), _of_samples(store, many)
    if a is None or b is None:
        return False
    place = {name: i for i, name in enumerate(many["sample_ids"])}
    shared = [(i, place[name]) for i, name in enumerate(few["sample_ids"]) if name in place]
    rows = np.array(shared, dtype=np.int64).reshape(-1, 2).T
    return bool(shared) and np.array_equal(a[rows[0]], b[rows[1]])


def agreement(store: str | Path, suite: str | None = None, *, k: int | float = 0.25) -> pd.DataFrame:
    """Compare the explanations in a store with each other.

    Parameters
    ----------
    store : path
    suite : str, optional
        Only this suite; by default every suite that was run.
    k : int or float
        Number of features, or a share of them.

    Returns
    -------
    DataFrame
        See `xaibench.analysis.explainer_agreement.explainer_agreement`. Of several draw seeds the first.
        ``attrs["left_out"]`` lists explainers without a stored explanation of all samples, such as those that left a
        race early by every metric.

    Raises
    ------
    StoreError
        If there is no store.
    NothingToDoError
        If the store holds no run, or no two explanations of one problem.
    UsageError
        If it holds none of this suite.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "controls": False, "metrics": ["sparseness"],
    ...     "explainers": ["input_x_gradient", "integrated_gradients"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> pairs = xb.agreement(xb.run(suite, store="results_of_mine").store)
    >>> sorted(pairs["measure"])
    ['feature', 'rank', 'sign', 'signed_rank']
    """
    opened = Store(store)
    suites = list(_suites(opened, suite))
    frames = [
        explainer_agreement(list(_stored(opened, stored_explanations(cells))), suite=name, k=k)
        for name, cells in suites
    ]
    found = pd.concat(frames, ignore_index=True)
    if found.empty:
        if any(stopped_early(cells["message"]).any() for _, cells in suites):
            raise NothingToDoError(
                f"{opened.path} holds explanations of a race, in blocks of samples that end at different places",
                "a run without --race stores them as a whole",
            )
        raise NothingToDoError(f"{opened.path} holds no two explanations of one problem", "`xaibench run` makes them")
    there = {*zip(found["explainer_a"], found["params_a"], strict=True)}
    there |= {*zip(found["explainer_b"], found["params_b"], strict=True)}
    left_out = [entry for _, cells in suites for entry in _explaining(cells) if entry not in there]
    names = variants(entry for _, cells in suites for entry in _explaining(cells))
    found.attrs["left_out"] = [names[entry] for entry in dict.fromkeys(left_out)]
    return found


def _explaining(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Explainers with scores of samples, and their parameters."""
    scored = cells[(cells["status"] == "ok") & (cells["scope"] != "dataset") & cells["explain_key"].notna()]
    entries = scored[["explainer", "explainer_params"]].drop_duplicates()
    return [(str(name), str(params)) for name, params in entries.itertuples(index=False, name=None)]


def _stored(store: Store, made: pd.DataFrame) -> Iterator[Explanations]:
    """Explanations that the store holds, problem by problem: those of the first seed, and of the most samples."""
    sizes = made["selection"].map(size_and_rest)
    made = made.assign(_size=[n for n, _ in sizes], _rest=[rest for _, rest in sizes])
    made = made[made["_size"] == made.groupby(["dataset", "model", "_rest"])["_size"].transform("max")]
    for names, group in made.groupby(["dataset", "model", "selection"], sort=False):
        dataset, model, selection = map(str, names)
        first = group[group["seed"] == group["seed"].min()].sort_values(["control", *_UNIT], kind="stable")
        samples: dict[tuple[int, str], None] = {}
        maps: dict[tuple[str, str], dict[tuple[int, str], Array]] = {}
        sizes_of: dict[tuple[int, str], int] = {}
        unsigned = set()
        for row in _records(first):
            found = _of_samples(store, row)
            if found is None:
                continue
            entry = (row["explainer"], row["explainer_params"])
            keys = [(row["problem_seed"], name) for name in row["sample_ids"]]
            samples |= dict.fromkeys(keys)
            own = store.attribution_sizes(row["explain_key"]) if found.ndim == 2 else None
            sizes_of |= zip(keys, [found[0].size] * len(found) if own is None else own.tolist(), strict=True)
            maps.setdefault(entry, {}).update(zip(keys, found.reshape(len(found), -1), strict=True))
            if row["attribution_kind"] == "saliency":
                unsigned.add(entry)
        if len(maps) < 2:
            continue
        width = max(sizes_of.values())
        gap = np.full(width, np.nan)
        lengths = np.array([sizes_of[key] for key in samples])
        yield Explanations(
            (dataset, model, selection),
            list(maps),
            np.stack([np.stack([_of_width(of.get(key, gap), width) for key in samples]) for of in maps.values()]),
            np.array([entry not in unsigned for entry in maps]),
            [f"{problem_seed} {name}" for problem_seed, name in samples],
            None if (lengths == width).all() else lengths,
        )


def _of_width(values: Array, width: int) -> Array:
    """A map with so many places, cut or filled up with zeros behind its features."""
    return np.pad(values[:width], (0, max(0, width - len(values))))

"""Tables at the top of a store, of which only the suites that have changed are made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from xaibench.core.components import MetricSpec
from xaibench.core.keys import digest
from xaibench.core.known_names import all_components
from xaibench.core.sources import package_digest
from xaibench.store import Store

MADE_OF = "xaibench_made_of"
"""Attribute of a stored table: what each suite in it was made of."""
_FACTS = ["cell_id", "score_key", "status", "run", "created"]
_PLANNED = [
    "cell_id", "dataset", "model", "problem_seed", "selection", "explainer", "explainer_params", "metric", "params",
    "seed", "repeat", "asked_output", "control", "scope", "versions",
]  # fmt: skip
"""What a table says of a cell that was planned and has no result."""


def suite_states(store: Store, shown: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """What the tables of each suite are made of: the code, the suite, its cells and results, and the metrics known.

    The number of a run plays no role, so that a run that finds everything cached has the tables of the one before it.

    Parameters
    ----------
    store : Store
    shown : sequence of dict
        Manifests of the runs that are shown, one per suite.

    Returns
    -------
    dict
        Suite to digest: equal digests give equal tables. None where the source code cannot be read.
    """
    code, rows = package_digest(), store.read(_FACTS).to_pandas()
    specs = [spec for spec in all_components("metric") if isinstance(spec, MetricSpec)]
    known = {spec.name: [spec.version, spec.bounds, spec.skill_valid, spec.construct, spec.ranks] for spec in specs}
    found: dict[str, str | None] = {}
    for manifest in shown:
        planned = store.planned(manifest["run"]).select(_PLANNED).to_pandas()
        own = rows[rows["cell_id"].isin(planned["cell_id"])].sort_values("cell_id", kind="stable")
        metrics = {name: known.get(name) for name in sorted(planned["metric"].unique())}
        facts = [code, manifest.get("resolved_suite"), _content(planned), _content(own), metrics]
        found[manifest["suite"]] = None if code is None else digest(facts)
    return found


def _content(frame: pd.DataFrame) -> str:
    """Digest of the rows of a frame, in order."""
    hashes = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashlib.blake2b(hashes.tobytes(), digest_size=16).hexdigest()


def update_frame(
    store: Store,
    stem: str,
    states: Mapping[str, str | None],
    make: Callable[[list[str]], pd.DataFrame],
    *,
    csv: bool = False,
) -> pd.DataFrame:
    """The stored table of all suites, with those made again that have changed; written if there are any.

    Parameters
    ----------
    store : Store
    stem : str
        Name of the table, without an ending.
    states : mapping
        See `suite_states`; the table has its suites in this order.
    make : callable
        Makes the table of some suites, given by name. It has a column ``suite``.
    csv : bool
        Whether the table is written as CSV too.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    old = store.read_frame(stem)
    before = {} if old is None else old.attrs.get(MADE_OF, {})
    stale = [name for name, state in states.items() if state is None or before.get(name) != state]
    if old is not None and not stale and list(before) == list(states) and not (csv and not store.has(f"{stem}.csv")):
        old.attrs = {}
        return old
    if old is None or len(stale) == len(states):
        frame = make(list(states))
    else:
        made = make(stale) if stale else old.iloc[:0]
        parts = [(made if name in stale else old).query("suite == @name") for name in states]
        frame = pd.concat([part for part in parts if len(part)] or [made], ignore_index=True)
    frame.attrs = {MADE_OF: dict(states)}
    store.write_frame(stem, frame, csv=csv)
    frame.attrs = {}
    return frame

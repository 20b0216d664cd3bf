"""The report of a store while a run fills it, made again when there is something new, and not too often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from xaibench.api.reporting import gather
from xaibench.core.errors import NothingToDoError, XaibenchError
from xaibench.report.html.page import make_report, message_page
from xaibench.store import Store

REFRESH = 5
"""Seconds between two looks, at least."""
SHARE = 0.1
"""Share of the time that may go into making pages, so that watching a run hardly slows it."""
_STATE = ["cell_id", "status", "run"]


class LiveReport:
    """Pages about a store; it may be called from several threads.

    Parameters
    ----------
    store : path
    clock : callable
        Gives seconds; for tests.

    Raises
    ------
    StoreError
        If there is no store, at the beginning; one that vanishes later has a page that says so.
    """

    def __init__(self, store: str | Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        Store(store)
        self.store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._state: object = None
        self._page = ""
        self._next = 0.0

    def page(self) -> tuple[int, str]:
        """Status of HTTP and HTML of what is known now: the report, or a sentence on why there is none."""
        with self._lock:
            now = self._clock()
            if self._page and now < self._next:
                return 200, self._page
            try:
                self._update(now)
            except NothingToDoError:
                return 200, self._message("Nothing has run yet", "The page shows results once a run has begun.")
            except (XaibenchError, OSError) as error:
                self._state, self._page = None, ""
                said = error.message if isinstance(error, XaibenchError) else str(error)
                return 503, self._message("The store cannot be read", f"{said}. The page tries again.")
            return 200, self._page

    def _update(self, now: float) -> None:
        opened = Store(self.store)
        state, said = _progress(opened)
        if state == self._state:
            self._next = now + REFRESH
            return
        started = self._clock()
        content = gather(self.store, examples=0, curves=False)
        self._page = make_report(content, live=said, refresh=REFRESH).html
        took = self._clock() - started
        self._state, self._next = state, self._clock() + max(REFRESH, took / SHARE)

    def _message(self, title: str, message: str) -> str:
        return message_page(title, message, store=str(self.store), refresh=REFRESH)


def _progress(store: Store) -> tuple[object, str]:
    """What the page depends on, and how far the latest run is, in a sentence.

    Raises
    ------
    NothingToDoError
        If no run has begun.
    """
    manifests = store.manifests()
    if not manifests:
        raise NothingToDoError(f"{store.path} holds no runs")
    latest = manifests[-1]
    number = latest["run"]
    outcome = store.outcome(number)
    rows = store.read(_STATE).to_pandas()
    planned = set(store.planned(number).column("cell_id").to_pylist())
    done = int(rows.loc[rows["cell_id"].isin(planned), "cell_id"].nunique())
    state = (number, outcome is None, len(rows), rows["run"].sum(), tuple(rows["status"].value_counts().items()))
    name, share = latest["suite"], f"{done:,} of {len(planned):,} cells ({done / max(len(planned), 1):.0%})"
    at = f"{datetime.now(UTC):%H:%M:%S} UTC"
    if outcome is not None:
        return state, f"Run {number} of {name} has ended ({outcome.get('end', 'finished')}): {share}."
    if number in store.under_way():
        return state, f"Run {number} of {name} is under way: {share} at {at}. Tests and ranks are of these cells."
    return state, f"Run {number} of {name} has stopped without an end: {share}. `xaibench run` resumes it."

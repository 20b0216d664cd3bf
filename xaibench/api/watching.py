"""The report of a store while a run fills it, made again when there is something new, and not too often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from xaibench.api.reporting import gather
from xaibench.core.errors import NothingToDoError, XaibenchError
from xaibench.report.html.page import make_report, message_page
from xaibench.store import Store

REFRESH = 5
"""Seconds between two looks, at least."""
SHARE = 0.1
"""Share of the time that may go into making reports, so that watching a run hardly slows it."""
_STATE = ["cell_id", "status", "run"]
_PLACE = "xaibench-progress-of-the-run"
"""Stands on a report where the sentence on the run goes."""


class LiveReport:
    """Pages about a store; it may be called from several threads.

    How far the run is stands on every page. The report below it is made beside the answers, so that no browser waits.

    Parameters
    ----------
    store : path
    clock : callable
        Gives seconds; for tests.
    background : bool
        Make reports in a thread of their own.

    Raises
    ------
    StoreError
        If there is no store, at the beginning; one that vanishes later has a page that says so.
    """

    def __init__(
        self, store: str | Path, *, clock: Callable[[], float] = time.monotonic, background: bool = True
    ) -> None:
        Store(store)
        self.store = store
        self._clock = clock
        self._background = background
        self._lock = threading.Lock()
        self._look: _Progress | None = None
        self._next_look = self._next_report = 0.0
        self._report = self._failed = ""
        self._report_of: _Progress | None = None
        self._maker: threading.Thread | None = None

    def page(self) -> tuple[int, str]:
        """Status of HTTP and HTML of what is known now: the report, or a sentence on why there is none."""
        with self._lock:
            try:
                now = self._progress_now()
            except NothingToDoError:
                return 200, self._message("Nothing has run yet", "The page shows results once a run has begun.")
            except (XaibenchError, OSError) as error:
                self._look, self._report, self._report_of = None, "", None
                return 503, self._message("The store cannot be read", f"{_reason(error)}. The page tries again.")
            busy = self._maker is not None and self._maker.is_alive()
            # The run that has ended is not slowed by a report.
            if not self._is_up_to_date(now) and not busy and (now.ended or self._clock() >= self._next_report):
                self._start(now)
            if self._report and self._report_of is not None:
                late = "" if self._is_up_to_date(now) else f" {self._report_of.as_of}"
                return 200, self._report.replace(_PLACE, escape(now.sentence + late))
            waiting = f"The report cannot be made yet: {self._failed}." if self._failed else "The report is being made."
            return 200, self._message("Which explanation can you trust?", f"{now.sentence} {waiting}")

    def _is_up_to_date(self, now: _Progress) -> bool:
        return self._report_of is not None and self._report_of.state == now.state

    def _progress_now(self) -> _Progress:
        now = self._clock()
        if self._look is None or now >= self._next_look:
            self._look = _progress(Store(self.store))
            self._next_look = now + REFRESH
        return self._look

    def _start(self, of: _Progress) -> None:
        if not self._background:
            self._keep(of, *self._make())
            return

        def make() -> None:
            made = self._make()
            with self._lock:
                self._keep(of, *made)

        self._maker = threading.Thread(target=make, daemon=True)
        self._maker.start()

    def _make(self) -> tuple[str, str, float]:
        """The report, or why there is none, and the seconds that it took."""
        started = self._clock()
        try:
            content = gather(self.store, examples=0, curves=False)
            page, failed = make_report(content, live=_PLACE, refresh=REFRESH).html, ""
        except (XaibenchError, OSError) as error:
            page, failed = "", _reason(error)
        return page, failed, self._clock() - started

    def _keep(self, of: _Progress, page: str, failed: str, took: float) -> None:
        if page:
            self._report, self._report_of = page, of
        self._failed = failed
        self._next_report = self._clock() + max(REFRESH, took / SHARE)

    def _message(self, title: str, message: str) -> str:
        return message_page(title, message, store=str(self.store), refresh=REFRESH)


def _reason(error: XaibenchError | OSError) -> str:
    return error.message if isinstance(error, XaibenchError) else str(error)


@dataclass(frozen=True)
class _Progress:
    """How far the latest run is.

    Attributes
    ----------
    state : object
        What a report depends on.
    sentence : str
    as_of : str
        A sentence on a report of this moment, for later ones.
    ended : bool
    """

    state: object
    sentence: str
    as_of: str
    ended: bool


def _progress(store: Store) -> _Progress:
    """How far the latest run is.

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
        sentence = f"Run {number} of {name} has ended ({outcome.get('end', 'finished')}): {share}."
    elif number in store.under_way():
        sentence = (
            f"Run {number} of {name} is under way: {share} at {at}. Tests and ranks are of the cells that are there."
        )
    else:
        sentence = f"Run {number} of {name} has stopped without an end: {share}. `xaibench run` resumes it."
    as_of = f"Figures and tables on this page are of {at}, {done:,} cells; newer ones are on their way."
    return _Progress(state, sentence, as_of, outcome is not None)

"""Planning a suite against a store; imports nothing that computes unless a problem is unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench import suite as suites
from xaibench.core import registry
from xaibench.core.storage.paths import cache_folder
from xaibench.plan import Plan, Rerun, Selection, Shard, make_plan
from xaibench.plan.history import History
from xaibench.problems.fingerprints import recall
from xaibench.problems.specs import AnyProblemSpec, ProblemSpec
from xaibench.store import Store

if TYPE_CHECKING:
    from xaibench.problems.preparing import Problems


def load_suite(
    suite: suites.Suite | str | Path | dict[str, Any], *, plugins: Sequence[str | Path] = ()
) -> suites.Suite:
    """Load plugins, then a suite by name or path, or from a dictionary.

    Raises
    ------
    UsageError
        If a plugin or anything in the suite is wrong.
    """
    if isinstance(suite, str):
        suites.find(suite)  # a misspelt name is said before plugins are imported
    for plugin in plugins:
        registry.load_module(str(plugin))
    if isinstance(suite, suites.Suite):
        return suite
    return suites.parse(suite) if isinstance(suite, dict) else suites.load(str(suite))


def plan_suite(
    suite: suites.Suite | str | Path | dict[str, Any],
    store: Store | None,
    *,
    seed: int = 0,
    device: str = "cpu",
    plugins: Sequence[str | Path] = (),
    selection: Selection | None = None,
    rerun: Rerun | None = None,
    shard: Shard | None = None,
) -> Plan:
    """Load plugins and a suite, and plan it against what the store holds.

    Raises
    ------
    UsageError
        If the device, a plugin or anything in the suite is wrong.
    NothingToDoError
        If the selection leaves no cell.
    """
    if device != "cpu":
        from xaibench.models.adapters import find_device

        find_device(device)
    return make_plan(
        load_suite(suite, plugins=plugins).shifted(seed),
        history=None if store is None else History.of(store),
        fingerprint=fingerprints_in(cache_folder(), device),
        selection=selection,
        rerun=rerun,
        shard=shard,
    )


def fingerprints_in(cache: Path, device: str = "cpu") -> Callable[[AnyProblemSpec], str | None]:
    """The content of a problem as far as a cache knows it; None where its model has not been fitted yet."""
    made: list[Problems] = []

    def fingerprint(spec: AnyProblemSpec) -> str | None:
        known = recall(cache, spec) if isinstance(spec, ProblemSpec) else None
        if known is not None:
            return known
        if not made:
            from xaibench.problems.preparing import Problems

            made.append(Problems(cache, device=device))
        return made[0].fingerprint(spec)

    return fingerprint

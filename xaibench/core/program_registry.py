"""Registration of what goes with black-box functions and other cases: sets of them, and interpreters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xaibench.core.needs import FUNCTION_KINDS
from xaibench.core.program_specs import CostEstimate, FunctionsSpec, InterpreterSpec
from xaibench.core.registry import F, registering

SORTS = frozenset({"program", "case"})
"""What an interpreter takes that takes every kind of functions, or of cases."""


def functions(name: str, *, kind: str, version: int = 1, unkeyed_defaults: Iterable[str] = ()) -> Callable[[F], F]:
    """Register ``function(*, seed: int, ...) -> tuple[BlackBox, ...]``, a set of functions of one kind, or of cases.

    Equal seeds and parameters give equal functions; their names differ from each other. With the kind
    of a `CaseKind` the set is a ``tuple[Case, ...]``. A parameter ``cache`` is given the folder for
    fitted models, or None.

    Parameters
    ----------
    name : str
    kind : str
    version : int
    unkeyed_defaults : iterable of str
        Parameters that were added later: with their default the set is what it was before, and so are its ids and
        keys.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> @xb.function_set("powers", kind="numeric", version=1)
    ... def powers(*, seed: int):
    ...     call = np.square
    ...     return (xb.BlackBox("square", "numeric", call, call, xb.Domain(), "power", {}, "x squared", np.zeros(1)),)
    >>> [box.name for box in powers(seed=0)]
    ['square']
    """
    later = frozenset(unkeyed_defaults)
    return registering(lambda f: FunctionsSpec(name, f, version=version, functions=kind, unkeyed_defaults=later))


def interpreter(
    name: str,
    *,
    takes: Iterable[str],
    needs: Iterable[str] = (),
    version: int = 1,
    control: bool = False,
    restore: Callable[..., Any] | None = None,
    estimate: Callable[[Mapping[str, Any], int, int], CostEstimate] | None = None,
    unkeyed: Iterable[str] = (),
) -> Callable[[F], F]:
    """Register ``function(f: Probe, domain: Domain, budget: int, draws: Generator, *, ...) -> Interpretation``.

    One that takes cases is ``function(case: CaseView, draws: Generator, *, ...) -> Scores | Dictionary``.
    The draws are keyed by the seed, the interpreter and the name of the function, so the answer for
    one function depends on no other.

    Parameters
    ----------
    name : str
    takes : iterable of str
        Kinds: ``numeric``, ``string``, ``neuron``, ``relation``, or kinds of cases. ``program`` and
        ``case`` alone mean every kind of functions, or of cases.
    needs : iterable of str
        ``truth`` is met by ``f.truth``, the function with its description; ``others`` by
        ``f.others``, the other functions of the set.
    version : int
    control : bool
        Whether this is in every suite of functions that it takes. A control that does not need the
        truth is a placebo: what an interpretation must beat.
    restore : callable, optional
        ``(facts, domain) -> program``: makes the program of a stored interpretation from its facts,
        where asking again does not help (it costs money, or gives another answer).
    estimate : callable, optional
        ``(params, n, budget) -> Estimate``: what interpreting n functions takes at most, where that
        is asked of a service. Shown before a run.
    unkeyed : iterable of str
        Parameters that say how to get an answer and not which: others make no other answer, and
        stored answers stay valid.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> @xb.interpreter("ask_once", takes={"numeric"}, version=1)
    ... def ask_once(f: xb.Probe, domain: xb.Domain, budget: int, draws: np.random.Generator) -> xb.Interpretation:
    ...     value = float(f([0.0])[0])
    ...     return xb.Interpretation(lambda x: np.full(len(x), value), "a constant")
    >>> float(xb.interpret("ask_once", np.cos).program(2.0))
    1.0
    """
    kinds = frozenset(takes)
    sorts = {kind if kind in SORTS else "program" if kind in FUNCTION_KINDS else "case" for kind in kinds}
    return registering(
        lambda f: InterpreterSpec(
            name,
            f,
            frozenset(needs) | kinds | sorts,
            version,
            control=control,
            restore=restore,
            estimate=estimate,
            unkeyed=frozenset(unkeyed),
        )
    )


function_set = functions
"""The public name: ``xaibench.functions`` is the package."""

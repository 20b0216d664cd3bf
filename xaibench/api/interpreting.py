"""Interpreting a function of one's own, or explaining a case, without a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np

from xaibench.core import registry
from xaibench.core.cases.answers import CaseAnswer
from xaibench.core.cases.case import Case
from xaibench.core.errors import UnsupportedError, UsageError, did_you_mean
from xaibench.core.needs import FUNCTION_KINDS, missing_needs
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.black_box import BlackBox, Domain, Interpretation, Program, Values, numeric_outputs
from xaibench.core.programs.interpreting import ask
from xaibench.core.types import FunctionKind


def interpret(
    name: str,
    f: Callable[[Any], Any] | BlackBox,
    *,
    domain: tuple[float, float] | Sequence[str] | Domain | None = None,
    budget: int = 128,
    seed: int = 0,
    kind: FunctionKind | None = None,
    **params: Any,
) -> Interpretation:
    """Find out what a function does by asking it.

    Parameters
    ----------
    name : str
        An interpreter; `components` ("interpreter") lists them.
    f : callable or BlackBox
        Takes many inputs at a time and returns one output for each: an array of float64 (n,) of
        numbers, or a list of n strings.
    domain : (low, high) or sequence of str, optional
        The interval that may be asked about, [-128, 128] by default; or the words, for functions of
        strings.
    budget : int
        Inputs that may be asked for in all.
    seed : int
    kind : {"numeric", "string", "neuron", "relation"}, optional
        By default ``numeric`` on an interval and ``string`` on words. A ``neuron`` gives numbers
        for words.
    **params
        Parameters of the interpreter.

    Returns
    -------
    Interpretation
        ``program`` takes arrays of any shape, or a list of strings; ``description``, ``family``,
        ``intervals``, ``queries``, ``facts``.

    Raises
    ------
    UsageError
        If a name, a parameter or the domain is wrong, or the function gives something else than one
        output per input.
    UnsupportedError
        If the interpreter does not take this kind of function.
    BudgetError
        If the interpreter asks for more than the budget allows.

    Examples
    --------
    >>> import xaibench as xb
    >>> answer = xb.interpret("polynomial", lambda x: 2 * x + 1, domain=(-1, 1), budget=16)
    >>> round(float(answer.program(3.0)), 3), answer.queries
    (7.0, 16)
    """
    if budget < 1:
        raise UsageError(f"budget = {budget} is not valid", "a budget is the number of inputs that may be asked for")
    box = f if isinstance(f, BlackBox) else _as_box(f, domain, kind)
    spec = cast(InterpreterSpec, registry.get("interpreter", name))
    offered = {"program", box.kind} | ({"truth"} if isinstance(f, BlackBox) else set())
    missing = missing_needs(spec.needs, offered)
    if missing:
        raise UnsupportedError(f"interpreter {spec.name} needs {', '.join(missing)}", f"this is a {box.kind} function")
    stream = f"interpret/{spec.name}"
    answer = ask(spec, spec.bind(params), (box,), 0, budget=budget, seed=seed, stream=stream, passes=True)
    found = cast(Interpretation, answer.interpretation)
    return replace(found, program=partial(_run, found.program)) if box.kind == "numeric" else found


def explain_case(name: str, case: Case, *, others: Sequence[Case] = (), seed: int = 0, **params: Any) -> CaseAnswer:
    """Let an explainer answer about one case.

    Parameters
    ----------
    name : str
        An interpreter that takes this kind of cases; `components` ("interpreter") lists them.
    case : Case
    others : sequence of Case
        Other cases, for explainers that declare the need.
    seed : int
    **params
        Parameters of the explainer.

    Returns
    -------
    Scores or Dictionary
        With ``queries``, the runs of the model that it took.

    Raises
    ------
    UsageError
        If a name or a parameter is wrong.
    UnsupportedError
        If the explainer does not take this kind of cases, or needs others and is given none.
    TypeError, ValueError
        If it returns something else than an answer of the right shape.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import torch
    >>> import xaibench as xb
    >>> @dataclass(frozen=True)
    ... class Given:
    ...     x: torch.Tensor
    >>> truth = xb.Scores(torch.tensor([1.0, 0.0]))
    >>> case = xb.Case("rows/0", "influence", Given(torch.eye(2)), truth, {}, units=("row 0", "row 1"))
    >>> xb.explain_case("constant", case).values.tolist()
    [1.0, 1.0]
    """
    spec = cast(InterpreterSpec, registry.get("interpreter", name))
    offered = {"case", case.kind, "truth"} | ({"others"} if others else set())
    missing = missing_needs(spec.needs, offered)
    if missing:
        raise UnsupportedError(f"interpreter {spec.name} needs {', '.join(missing)}", f"this is a {case.kind} case")
    stream = f"interpret/{spec.name}"
    cases = (case, *(other for other in others if other.name != case.name))
    found = ask(spec, spec.bind(params), cases, 0, budget=0, seed=seed, stream=stream, passes=True)
    return cast(CaseAnswer, found.interpretation)


def _as_box(f: Callable[[Any], Any], domain: Any, kind: FunctionKind | None) -> BlackBox:
    """A callable with its domain."""
    if isinstance(f, Case):
        raise UsageError(f"{f.name} is a case and not a function", "xb.explain_case explains cases")
    if not callable(f):
        raise UsageError(f"a {type(f).__name__} is not a function", "give a callable of numbers or of words")
    if kind is not None and kind not in FUNCTION_KINDS:
        raise UsageError(f"unknown kind {kind!r}", did_you_mean(kind, FUNCTION_KINDS))
    bounds = domain if isinstance(domain, Domain) else _as_domain(domain, kind)
    known: FunctionKind = kind or ("string" if bounds.words else "numeric")
    if known != "numeric" and not bounds.words:
        raise UsageError(f"a {known} function needs words", 'give domain=["a", "list", "of", "words"]')
    call = partial(_call, f, known)
    return BlackBox("function", known, call, call, bounds, "unknown", {}, "", [] if bounds.words else np.zeros(0))


def _as_domain(domain: Any, kind: FunctionKind | None) -> Domain:
    if domain is None:
        return Domain()
    if isinstance(domain, str) or not isinstance(domain, Sequence):
        raise UsageError(f"domain = {domain!r} is not valid", "give (low, high), or a list of words")
    if len(domain) and all(isinstance(word, str) for word in domain):
        if kind == "numeric":
            raise UsageError("a numeric function is asked about numbers", "give domain=(low, high)")
        return Domain(words=tuple(domain))
    try:
        low, high = (float(end) for end in domain)
    except (TypeError, ValueError) as error:
        raise UsageError(f"domain = {domain!r} is not valid", "give (low, high), or a list of words") from error
    if not (np.isfinite([low, high]).all() and low < high):
        raise UsageError(f"domain = ({low}, {high}) is not an interval", "give (low, high), both finite")
    return Domain(low, high)


def _call(f: Callable[[Any], Any], kind: FunctionKind, inputs: Values) -> Values:
    """Ask the caller's function, and refuse what is not one output per input."""
    found: Any = f(inputs)
    if numeric_outputs(kind):
        try:
            values = np.asarray(found, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"the function returned {type(found).__name__}, not numbers") from error
        if values.shape != (len(inputs),):
            raise UsageError(
                f"the function returned shape {values.shape} for {len(inputs)} inputs",
                "it must take an array and return one number for each element; see numpy.vectorize",
            )
        return values
    strings = list(found) if isinstance(found, (list, tuple)) else []
    if len(strings) != len(inputs) or not all(isinstance(x, str) for x in strings):
        raise UsageError(f"the function did not return {len(inputs)} strings", "it must take a list and return a list")
    return strings


def _run(program: Program, inputs: Any) -> Any:
    """A numeric program on numbers of any shape."""
    x = np.asarray(inputs, dtype=np.float64)
    return np.asarray(program(x.reshape(-1)), dtype=np.float64).reshape(x.shape)[()]

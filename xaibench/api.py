"""The public Python API; `import xaibench as xb` offers what is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from xaibench.core import calls, registry
from xaibench.core.errors import NothingToDoError, UnsupportedError, UsageError, did_you_mean
from xaibench.core.evaluation import Evaluation
from xaibench.core.features import infer_layout
from xaibench.core.keys import row_digests
from xaibench.core.outputs import check_output, default_output
from xaibench.core.paths import cache_folder, default_store
from xaibench.core.problem import ProblemView, Truth
from xaibench.core.registry import ATTRIBUTION_KINDS, KINDS, ExplainerSpec, MetricSpec, missing_needs
from xaibench.models.adapters import as_predictor

Array = np.ndarray[Any, Any]
ArrayLike = Any
ExplainWith = str | Callable[[Any, Tensor, Tensor], Any]


def explain(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    seed: int = 0,
    features: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """Explain a model's outputs.

    Parameters
    ----------
    name : str
        An explainer; `components` ("explainer") lists them.
    model : torch.nn.Module, fitted scikit-learn estimator, or callable (N, ...) -> (N, C)
    inputs : array or Tensor (N, *input_shape)
    targets : array or Tensor (N,) of int, optional
        Output column to explain; the predicted class by default.
    seed : int
    features : {"image", "table", "series", "tokens"}, optional
        What the axes mean, where the shape leaves doubt.
    output : {"logit", "probability", "margin", "value"}, optional
        The number that is explained; by default what the model returns.
    returns : {"logit", "probability", "value"}, optional
        What the model's numbers are, where that is not plain (see `as_predictor`).
    background : array or Tensor (M, *input_shape), optional
        Reference samples.
    truth : array or Tensor (N, *features), optional
        For the oracle: a mask (booleans or integers) or weights (floats).
    batch_size, device
        Never change a result beyond rounding.
    **params
        Parameters of the explainer.

    Returns
    -------
    array (N, *features), float32

    Raises
    ------
    UsageError
        If a name, a parameter or a shape is wrong.
    UnsupportedError
        If the explainer cannot work on this model or these data.
    """
    view = _view(model, inputs, targets, seed, features, output, returns, background, truth, batch_size, device)
    spec = cast(ExplainerSpec, registry.get("explainer", name))
    _require(spec, view)
    function = calls.explain_function(spec, spec.bind(params))
    return calls.explain(function, view, f"explain/{spec.name}").cpu().numpy()


def score(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    attributions: ArrayLike | None = None,
    explain: ExplainWith | None = None,
    kind: str | None = None,
    truth: ArrayLike | None = None,
    seed: int = 0,
    features: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """Score an explanation; nothing is kept between calls.

    Parameters
    ----------
    name : str
        A metric; `components` ("metric") lists them.
    attributions : array or Tensor (N, *features), optional
        What is scored. Without them, what ``explain`` gives.
    explain : str or callable (model, inputs, targets) -> attributions, optional
        Explains again, for metrics that need it. With ``attributions`` it serves only that.
    kind : {"slope", "contribution", "saliency"}, optional
        What the attributions mean; by default what the named explainer declares, else
        ``"contribution"``. Metrics of contributions turn slopes into them.
    truth : array or Tensor (N, *features), optional
        A mask or weights, for ground-truth metrics.
    output : str, optional
        The number that is explained and measured; removal curves use the probability by default.
    **params
        Parameters of the metric; the others are those of `explain`.

    Returns
    -------
    array (N,), float32
        NaN where the score is not defined.

    Raises
    ------
    UsageError
        If a name, a parameter or a shape is wrong.
    UnsupportedError
        If the metric cannot work on this model, these data or this kind of explanation.
    """
    view = _view(model, inputs, targets, seed, features, output, returns, background, truth, batch_size, device)
    spec = cast(MetricSpec, registry.get("metric", name))
    ev = _evaluation(view, attributions, explain, kind)
    _require(spec, view, explains=explain is not None)
    return calls.score(spec, spec.bind(params), ev, output=output).values.numpy()


def curve(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    attributions: ArrayLike,
    seed: int = 0,
    features: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """The curve behind a metric such as ``pixel_flipping``, start point included.

    Parameters are those of `score`.

    Returns
    -------
    array (N, steps + 1), float32
    """
    from xaibench.metrics.curves import CURVES
    from xaibench.metrics.curves import curve as make_curve

    if name not in CURVES:
        raise UsageError(f"{name!r} has no curve", did_you_mean(name, CURVES))
    spec = cast(MetricSpec, registry.get("metric", name))
    view = _view(model, inputs, targets, seed, features, output, returns, background, None, batch_size, device)
    ev = calls.measured(spec, _evaluation(view, attributions, None, None), output)
    return make_curve(name, ev, **spec.bind(params)).cpu().numpy()


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    store : Path
    suite : str
    number : int
    outcome : dict
        How it ended, with counts of cells by status.
    """

    store: Path
    suite: str
    number: int
    outcome: dict[str, Any]


def run(
    suite: str | Path | dict[str, Any] = "quick",
    *,
    store: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    batch_size: int | None = None,
    plugins: Sequence[str | Path] = (),
) -> Run:
    """Run a suite given by name, path or as a dictionary, like ``xaibench run``.

    Results that the store holds already are not computed again.

    Returns
    -------
    Run
    """
    from xaibench import suite as suites
    from xaibench.execution import Options, execute
    from xaibench.history import History
    from xaibench.plan import make_plan
    from xaibench.problems import Problems
    from xaibench.store import Store

    for plugin in plugins:
        registry.load_module(str(plugin))
    loaded = suites.parse(suite) if isinstance(suite, dict) else suites.load(str(suite))
    where = Store(store or default_store(), create=True)
    cache = cache_folder()
    plan = make_plan(
        loaded.shifted(seed), history=History.of(where), fingerprint=Problems(cache, device=device).fingerprint
    )
    options = Options(
        cache, device, threads, batch_size, plugins=tuple(map(str, plugins)), argv=["xaibench.run", loaded.name]
    )
    outcome = execute(plan, where, options)
    write_leaderboard(where.path, loaded.name)
    return Run(where.path, loaded.name, outcome.run, outcome.as_dict())


def leaderboard(store: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Leaderboard of a store: one row per suite, problem, explainer and metric.

    Parameters
    ----------
    store : path
    suite : str, optional
        Only this suite; by default every suite that was run, from its latest run.

    Raises
    ------
    StoreError
        If there is no store.
    NothingToDoError
        If the store holds no results of the suite.
    """
    from xaibench.analysis.leaderboard import leaderboard as board_of

    boards = [board_of(results(store, name), suite=name) for name in _suites(store, suite)]
    return pd.concat(boards, ignore_index=True)


def results(store: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Rows of every cell that a suite's latest run planned, whoever computed them.

    One row per cell with per-sample scores; status ``missing`` where there is no result yet. Without
    ``suite``, the cells of every suite.
    """
    from xaibench.store import Store

    opened = Store(store)
    latest = {name: m["run"] for m in opened.manifests() for name in [m["suite"]] if suite in (None, name)}
    if not latest:
        raise NothingToDoError(f"{store} holds no run" + (f" of suite {suite!r}" if suite else "s"))
    planned = pd.concat([opened.planned(number).to_pandas() for number in latest.values()])
    planned = planned.drop_duplicates("cell_id")
    found = opened.read().to_pandas()
    found = found[found["cell_id"].isin(planned["cell_id"])]
    missing = planned[~planned["cell_id"].isin(found["cell_id"])]
    parts = [part for part in (found, missing) if len(part)] or [planned]
    merged: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return merged


def _suites(store: str | Path, suite: str | None) -> list[str]:
    from xaibench.store import Store

    names = list(dict.fromkeys(m["suite"] for m in Store(store).manifests()))
    if not names:
        raise NothingToDoError(f"{store} holds no runs", "`xaibench run` makes one")
    if suite is not None and suite not in names:
        raise UsageError(f"{store} holds no run of suite {suite!r}", did_you_mean(suite, names))
    return names if suite is None else [suite]


def write_leaderboard(store: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Write ``leaderboard.parquet`` and ``.csv`` of all suites into the store; return the part of ``suite``."""
    from xaibench.core.files import write_atomic

    board = leaderboard(store)
    folder = Path(store)
    write_atomic(folder / "leaderboard.parquet", lambda draft: board.to_parquet(draft, index=False))
    write_atomic(folder / "leaderboard.csv", lambda draft: board.to_csv(draft, index=False))
    return board if suite is None else board[board["suite"] == suite].reset_index(drop=True)


def components(kind: str) -> pd.DataFrame:
    """Registered components of a kind: ``explainer``, ``metric``, ``dataset`` or ``model``.

    Returns
    -------
    DataFrame
        With name, version, needs, parameters, summary, and what else that kind declares.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}", did_you_mean(kind, KINDS))
    extra = {
        "metric": ("family", "higher_is_better", "bounds", "output", "aggregate", "skill_valid", "source"),
        "explainer": ("control",),
        "dataset": ("features", "provides"),
        "model": ("features", "provides"),
    }[kind]
    rows = []
    for spec in registry.components(kind):
        row = {"name": spec.name, "version": spec.version, "needs": sorted(spec.needs), "parameters": spec.parameters}
        if isinstance(spec, ExplainerSpec):
            row["kind"] = spec.attribution_kind if isinstance(spec.attribution_kind, str) else "per problem"
        for name in extra:
            value = getattr(spec, name)
            row[name] = sorted(value) if isinstance(value, frozenset) else value
        rows.append({**row, "summary": spec.summary})
    return pd.DataFrame(rows)


def _tensor(values: ArrayLike, dtype: torch.dtype, device: torch.device) -> Tensor:
    raw = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    return raw.to(device=device, dtype=dtype)


def _view(
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None,
    seed: int,
    features: str | None,
    output: str | None,
    returns: str | None,
    background: ArrayLike | None,
    truth: ArrayLike | None,
    batch_size: int | None,
    device: str,
) -> ProblemView:
    """Check what the caller gave and put it together; the caller's arrays and module mode stay as they are."""
    predictor = as_predictor(model, returns=returns, device=device, batch_size=batch_size)
    where = predictor.device
    x = _tensor(inputs, torch.float32, where)
    if x.ndim < 2 or len(x) == 0:
        raise UsageError(f"inputs have shape {tuple(x.shape)}", "give at least one sample, (N, ...)")
    layout = infer_layout(tuple(x.shape[1:]), features)
    if targets is None:
        y = predictor.predict(x).argmax(dim=1)
    else:
        y = _tensor(targets, torch.int64, where)
        if tuple(y.shape) != (len(x),):
            raise UsageError(f"targets have shape {tuple(y.shape)} for {len(x)} inputs", "give one class per sample")
        n_outputs = predictor.predict(x[:1]).shape[1]
        if int(y.min()) < 0 or int(y.max()) >= n_outputs:
            raise UsageError(f"targets go from {int(y.min())} to {int(y.max())}, the model has {n_outputs} outputs")
    chosen = output or default_output(predictor.returns)
    check_output(chosen, predictor.returns)
    reference = None if background is None else _tensor(background, torch.float32, where)
    if reference is not None and reference.shape[1:] != x.shape[1:]:
        raise UsageError(f"background samples have shape {tuple(reference.shape[1:])}, inputs {tuple(x.shape[1:])}")
    rows = row_digests(inputs.detach().cpu().numpy() if isinstance(inputs, Tensor) else np.asarray(inputs))
    view = ProblemView(predictor, x, y, layout, chosen, rows, reference, seed)
    return view if truth is None else _with_truth(view, truth)


def _with_truth(view: ProblemView, truth: ArrayLike) -> ProblemView:
    from dataclasses import replace

    raw = truth.detach() if isinstance(truth, Tensor) else torch.from_numpy(np.ascontiguousarray(truth))
    expected = (len(view), *view.layout.feature_shape)
    if tuple(raw.shape) != expected:
        raise UsageError(f"truth has shape {tuple(raw.shape)}, the features {expected}")
    raw = raw.to(view.inputs.device)
    if raw.is_floating_point():
        return replace(view, truth=Truth("model", weights=raw.to(torch.float32)))
    return replace(view, truth=Truth("model", mask=raw != 0))


def _evaluation(
    view: ProblemView, attributions: ArrayLike | None, explain: ExplainWith | None, kind: str | None
) -> Evaluation:
    """Put an evaluation together from attributions, an explainer, or both."""
    if attributions is None and explain is None:
        raise UsageError("there is nothing to score", "give attributions=, or explain=, an explainer")
    if kind is not None and kind not in ATTRIBUTION_KINDS:
        raise UsageError(f"unknown kind {kind!r}", f"known: {', '.join(ATTRIBUTION_KINDS)}")
    again: calls.Explainer | None = None
    declared = "contribution"
    if isinstance(explain, str):
        spec = cast(ExplainerSpec, registry.get("explainer", explain))
        _require(spec, view)
        declared = calls.attribution_kind(spec, view)
        function = calls.explain_function(spec, spec.bind({}))
        again = calls.Explainer(function, view, f"explain/{spec.name}")
    elif explain is not None:
        again = calls.Explainer(_from_callable(explain), view, "explain/callable")
    if attributions is not None:
        values = _tensor(attributions, torch.float32, view.inputs.device)
        expected = (len(view), *view.layout.feature_shape)
        if tuple(values.shape) != expected:
            raise UsageError(
                f"attributions have shape {tuple(values.shape)}, the features {expected}",
                "sum over channels; features= says what the axes mean",
            )
    else:
        assert again is not None
        values = again()
    return Evaluation(
        view.model, view.inputs, view.targets, view.layout, view.output, view.digests, view.background, view.seed,
        attributions=values, kind=kind or declared, truth=view.truth, explainer=again,
    )  # fmt: skip


def _from_callable(function: Callable[[Any, Tensor, Tensor], Any]) -> calls.ExplainFunction:
    """Let a plain function (model, inputs, targets) -> attributions explain again."""

    def again(view: ProblemView, stream: str) -> Any:
        model: nn.Module | Any = view.model.module if view.model.module is not None else view.model.predict
        return function(model, view.inputs, view.targets)

    return again


def _require(spec: ExplainerSpec | MetricSpec, view: ProblemView, *, explains: bool = True) -> None:
    """Raise UnsupportedError, with what to pass, where a component's needs are not met."""
    kind = "text" if view.layout.kind == "tokens" else view.layout.kind
    offered = {kind} | ({"gradients", "module"} if view.model.module is not None else set())
    offered |= {"background"} if view.background is not None else set()
    offered |= {"reexplain"} if explains else set()
    if view.truth is not None:
        offered |= {"truth.mask"} if view.truth.mask is not None else set()
        offered |= {"truth.weights"} if view.truth.weights is not None else set()
    missing = missing_needs(spec.needs, offered)
    if missing:
        hints = {
            "background": "pass background=, reference samples",
            "reexplain": "pass explain=, an explainer or a callable",
            "truth.mask": "pass truth=, booleans (N, *features)",
            "truth.weights": "pass truth=, floats (N, *features)",
            "truth": "pass truth=, (N, *features)",
            "gradients": "black boxes take the perturbation explainers",
        }
        raise UnsupportedError(f"{spec.kind} {spec.name!r} needs {', '.join(missing)}", hints.get(missing[0]))

"""The registry: every explainer, metric, dataset, model, interpreter and set of functions is one decorated function."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from xaibench.core.component_files import component_of_file, is_file_reference
from xaibench.core.components import (
    ATTRIBUTION_KINDS,
    KINDS,
    AttributionKind,
    Component,
    Convert,
    ExplainerSpec,
    Family,
    Kind,
    MetricSpec,
    Scope,
    ScoreBounds,
    Sign,
    UndefinedFor,
    Uninformative,
)
from xaibench.core.declaration_index import Declared, declared
from xaibench.core.deferring import deferring
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.libraries import library_of
from xaibench.core.loading import check_same, import_built_in, import_installed, is_component_file
from xaibench.core.loading import plural as plural
from xaibench.core.module_components import component_of_module
from xaibench.core.plugins import load_module as load_module
from xaibench.core.plugins import no_new_code as no_new_code

if TYPE_CHECKING:
    from torch import Tensor

_registry: dict[Kind, dict[str, Component]] = {k: {} for k in KINDS}
_loaded: set[Kind] = set()
_index: list[Declared | None] = []
"""The index of declarations, once it was asked for."""
F = TypeVar("F", bound=Callable[..., Any])


def _add(spec: Component) -> None:
    table = _registry[spec.kind]
    if spec.name in table:
        check_same(table[spec.name], spec)
    table[spec.name] = spec


def registering(make: Callable[[Callable[..., Any]], Component]) -> Callable[[F], F]:
    def register(function: F) -> F:
        spec = make(function)
        _add(spec)
        # Found out now: the file may be edited while the code that was read from it still runs.
        _ = spec.code_digest
        function.__xaibench__ = spec  # type: ignore[attr-defined]
        return function

    return register


def explainer(
    name: str,
    *,
    kind: AttributionKind | Callable[..., AttributionKind],
    needs: Iterable[str] = (),
    version: int = 1,
    control: bool = False,
    follows_outputs: bool = True,
    feature_maps_only: bool = False,
    some_models_only: bool = False,
    model_free: bool | Callable[[Mapping[str, Any]], bool] = False,
    layer_used: Callable[..., str] | None = None,
    uses_background: bool | Callable[[Mapping[str, Any]], bool] = False,
    unkeyed_defaults: Iterable[str] = (),
    aliases: Iterable[str] = (),
    kind_of: Callable[..., AttributionKind] | None = None,
) -> Callable[[F], F]:
    """Register ``function(problem: ProblemView, *, ..., draws) -> Tensor (N, *feature_shape)``.

    Parameters
    ----------
    name : str
    kind : {"slope", "contribution", "saliency"} or callable
        What the numbers mean: gradient-like, summing to an output difference, or unsigned. A callable takes the
        `ProblemView` and says it per problem. With a parameter ``channels`` that is not "sum" it is "saliency".
    needs : iterable of str
    version : int
    control : bool
        Controls are in every table, never ranked.
    follows_outputs : bool
        Whether other outputs give another explanation. False where only the predicted classes count.
    feature_maps_only : bool
        Whether models without feature maps raise `UnsupportedError`, although their needs are met.
    some_models_only : bool
        Whether only networks of one architecture are explained, and all others raise `UnsupportedError`.
    model_free : bool or callable
        Whether the maps are the same for every model, although it is not a control. A callable takes all parameters.
    layer_used : callable, optional
        ``(problem, **params) -> str`` names the layer, for the column ``layer_used`` of rows.
    uses_background : bool or callable
        Whether reference samples play a role where there are any, although they are not needed and no masker says
        so; who gives some where they play none is warned. A callable takes all parameters.
    unkeyed_defaults : iterable of str
        Parameters that were added later: where they have their default, ids and keys are what they were before.
    aliases : iterable of str
        Other names that it is found by, never shown in boards.
    kind_of : callable, optional
        ``(params) -> kind``: what the numbers mean where parameters decide it, instead of ``kind``.

    Notes
    -----
    No id and no key holds ``follows_outputs`` to ``uses_background``, and tests hold every explainer to them.

    Examples
    --------
    >>> import xaibench as xb
    >>> @xb.explainer("twice_the_input", kind="contribution", version=1)
    ... def twice_the_input(problem: xb.ProblemView, *, factor: float = 2.0):
    ...     return factor * problem.inputs
    >>> xb.explain("twice_the_input", model=lambda a: a, inputs=[[0.25, 0.75]]).tolist()
    [[0.5, 1.5]]
    """
    return registering(
        lambda f: ExplainerSpec(
            name,
            f,
            frozenset(needs),
            version,
            attribution_kind=kind,
            control=control,
            follows_outputs=follows_outputs,
            feature_maps_only=feature_maps_only,
            some_models_only=some_models_only,
            model_free=model_free,
            layer_used=layer_used,
            uses_background=uses_background,
            unkeyed_defaults=frozenset(unkeyed_defaults),
            aliases=frozenset(aliases),
            kind_of=kind_of,
        )
    )


def metric(
    name: str,
    *,
    family: Family,
    construct: str = "",
    higher_is_better: bool,
    bounds: ScoreBounds = (None, None),
    version: int = 1,
    needs: Iterable[str] = (),
    scope: Scope = "sample",
    accepts: Iterable[str] = ATTRIBUTION_KINDS,
    convert: Convert | Callable[[Mapping[str, Any]], Convert | None] | None = None,
    output: str | None = None,
    aggregate: Literal["mean", "median_log10"] = "mean",
    skill_valid: bool = False,
    sign: Sign = "signed",
    curve: Callable[..., Tensor] | None = None,
    source: str = "",
    budgets: Callable[[Mapping[str, Any], int], Iterable[int]] | None = None,
    undefined_for: Iterable[UndefinedFor] = (),
    scale_invariant: bool = True,
    place_matters: bool = False,
    shares_evaluations: bool = False,
    rewards_truth: bool = True,
    in_output_unit: bool | Mapping[str, Any] | Callable[[Mapping[str, Any]], bool] = False,
    favours: Iterable[Uninformative] = (),
    output_bounds: Mapping[str, ScoreBounds] | None = None,
    worst: float | None = None,
    ranks: bool | Mapping[str, Any] = True,
    dataset_where: Mapping[str, Any] | None = None,
    absolute_where: Mapping[str, Any] | None = None,
    unkeyed_defaults: Iterable[str] = (),
) -> Callable[[F], F]:
    """Register ``function(ev: Evaluation, *, ...) -> Tensor (N,)``, or ``(R,)`` with scope ``dataset``.

    Parameters
    ----------
    bounds, output_bounds : tuple of float or None, mapping of str to such a tuple
        Lowest and highest score there can be, None for no bound, and other ones for some outputs
        (``{"value": (None, None)}``). A score outside by more than 1e-5 makes its cell *failed*.
    construct : str, optional
        What is measured, where several metrics make scores of one thing, such as the curve under
        removal: they have one vote in an overall rank. Default: the metric's own name.
    scope : {"sample", "dataset"}
        One score per sample, or per repeat of something over the whole data set (a retraining, a
        split into folds). Repeats of the same number are compared between explainers.
    accepts : iterable of str
        Kinds of attributions that can be scored.
    convert : {"contribution", "order"} or callable, optional
        Slopes are multiplied by (input - baseline of the metric's own masker) before scoring. With
        ``"order"``, for metrics that use the order of features only, slopes summed over several
        channels, for which that cannot be done, are ordered as they are. A callable says it for
        the metric's parameters.
    output : str, optional
        The output that the definition demands, instead of the problem's own.
    aggregate : {"mean", "median_log10"}
        Heavy-tailed scores aggregate as the median of log10.
    skill_valid : bool
        Whether the oracle is provably the best possible, so that skill has a meaning.
    sign : {"signed", "absolute", "positive"}
        What the metric does with the sign of attributions; a parameter called ``sign`` overrides it.
    curve : callable, optional
        The curve (N, points) behind the score; takes the evaluation and the metric's parameters.
    source : str
        Paper and equation, for `xaibench show`.
    budgets : callable, optional
        ``(params, budget) -> budgets`` with which a program metric has functions interpreted again.
    undefined_for : iterable of {"zero maps", "constant maps", "some inputs"}
        What has no score (NaN) by the metric's definition: maps that are 0 everywhere, maps with one
        value other than 0 everywhere, samples to which its question does not apply. Everything else
        that is finite has a finite score.
    scale_invariant : bool
        Whether attributions times a positive number have the same scores.
    place_matters : bool
        Whether scores change when the features of inputs, model, attributions and truth are permuted
        together, because neighbours or draws at places play a role.
    shares_evaluations : bool
        Whether the model is evaluated regardless of the attributions, so that any number of
        explanations of one problem cost the evaluations of one.
    rewards_truth : bool
        Whether the true contributions of a linear model must score better than random maps, for
        faithfulness. False where the metric asks something else than whether a map is right.
    in_output_unit : bool, mapping or callable
        Whether scores have the unit of the measured output, so that an output times a number has scores
        times that number. ``bounds`` are those for probabilities then. A mapping says with which values of the
        metric's parameters that is so, a callable says it for all its parameters.
    favours : iterable of {"zero maps", "constant maps"}
        Maps that say nothing and score better than random ones all the same, as the definition wants it:
        a constant map does not change when it is made again. For all other metrics ties are worth no more
        than a random order.
    worst : float, optional
        Of metrics of cases: the score of an explainer that raised, or returned NaN or the wrong shape. Default:
        the bound on the bad side.
    ranks : bool or mapping
        False where scores describe an explanation and do not say which one is better, as areas under precision
        that a histogram decides: they are shown, and no rank, no placebo test and no overall vote counts them. A
        mapping says with which values of the metric's parameters they rank.
    dataset_where, absolute_where : mapping, optional
        Values of parameters with which the scope is ``dataset``, and with which signs are dropped.
    unkeyed_defaults : iterable of str
        Parameters that were added later: where they have their default, ids and keys are what they were before.

    Notes
    -----
    ``undefined_for`` to ``favours`` say what is so by definition; no id and no key holds them. Tests of all metrics
    hold every metric to them, both ways.

    Examples
    --------
    >>> import xaibench as xb
    >>> @xb.metric("largest", family="complexity", higher_is_better=True, version=1)
    ... def largest(ev: xb.Evaluation):
    ...     return ev.attributions.flatten(1).amax(dim=1)
    >>> xb.score("largest", model=lambda a: a, inputs=[[0.25, 0.75]], attributions=[[3.0, -1.0]]).tolist()
    [3.0]
    """
    return registering(
        lambda f: MetricSpec(
            name,
            f,
            frozenset(needs),
            version,
            family=family,
            construct=construct,
            higher_is_better=higher_is_better,
            bounds=bounds,
            scope=scope,
            accepts=frozenset(accepts),
            convert=convert,
            output=output,
            aggregate=aggregate,
            skill_valid=skill_valid,
            sign=sign,
            curve=curve,
            source=source,
            budgets=budgets,
            undefined_for=frozenset(undefined_for),
            scale_invariant=scale_invariant,
            place_matters=place_matters,
            shares_evaluations=shares_evaluations,
            rewards_truth=rewards_truth,
            in_output_unit=in_output_unit,
            favours=frozenset(favours),
            output_bounds=dict(output_bounds or {}),
            worst=worst,
            ranks=ranks,
            dataset_where=dataset_where,
            absolute_where=absolute_where,
            unkeyed_defaults=frozenset(unkeyed_defaults),
        )
    )


def _ensure_loaded(kind: Kind) -> None:
    if kind in _loaded:
        return
    _loaded.add(kind)
    import_built_in(kind)
    import_installed(kind)


def _known(kind: Kind) -> Mapping[str, Component]:
    """Components of a kind by name: those of the index of declarations where imports are deferred, else imported."""
    if kind not in _loaded and deferring.get():
        if not _index:
            _index.append(declared(_everything, _imported))
        if kind not in _loaded and _index[0] is not None:
            return _with_index(kind, _index[0])
    _ensure_loaded(kind)
    return _registry[kind]


def _with_index(kind: Kind, index: Declared) -> Mapping[str, Component]:
    """Built-in components as the index has them, and those of plugins and installed packages."""
    import_installed(kind)
    if not _registry[kind]:
        return index.get(kind, {})
    found = dict(index.get(kind, {}))
    for name, spec in _registry[kind].items():
        if name in found:
            check_same(found[name], spec)
        found[name] = spec
    return found


def _everything() -> Iterator[Component]:
    """All components, imported."""
    for kind in KINDS:
        _ensure_loaded(kind)
        yield from list(_registry[kind].values())


def _imported(kind: Kind, name: str, module: str) -> Component:
    """A built-in component, imported: by its module if that registers it, else with all others."""
    importlib.import_module(module)
    if name not in _registry[kind]:
        _ensure_loaded(kind)
    return _registry[kind][name]


def components(kind: Kind) -> Iterator[Component]:
    """All registered components of a kind, in the order of their names; without those of other libraries."""
    yield from (spec for _, spec in sorted(_known(kind).items()) if spec.library is None)


def adapters(kind: Kind) -> Iterator[Component]:
    """Components of a kind that call another library (``captum:Saliency``), in the order of their names."""
    yield from (spec for _, spec in sorted(_known(kind).items()) if spec.library is not None)


def get(
    kind: Kind,
    ref: str,
    *,
    folder: Path | None = None,
    check: bool = True,
    params: Mapping[str, Any] | None = None,
) -> Component:
    """Find a component by name, ``module:name``, ``path/to/file.py:name``, or by a reference to a file.

    Parameters
    ----------
    kind : {"explainer", "metric", "dataset", "model", "interpreter", "functions"}
    ref : str
    folder : Path, optional
        Folder that relative file paths start from (that of the suite file); default the current one.
    check : bool
        Look whether a file has changed since it was imported, and import it again then.
    params : mapping, optional
        Parameters, on which it depends what a component that is a file declares.

    Raises
    ------
    UsageError
        If there is no such component.
    """
    if is_file_reference(ref):
        _ensure_loaded(kind)
        return component_of_file(kind, ref, folder=folder, check=check, params=params)
    known = _known(kind)
    if ref in known:
        return known[ref]
    for other in known.values():
        if isinstance(other, ExplainerSpec) and ref in other.aliases:
            return other
    if library_of(ref) is not None:
        raise UsageError(f"unknown {kind} {ref!r}", did_you_mean(ref, [n for n in known if library_of(n) is not None]))
    if ":" not in ref:
        if is_component_file(kind, ref):
            raise UsageError(f"unknown {kind} {ref!r}", f'a file is named as {{ file = "{ref}" }}')
        raise UsageError(f"unknown {kind} {ref!r}", did_you_mean(ref, [n for n in known if library_of(n) is None]))
    return component_of_module(kind, ref, folder=folder, check=check, load_built_in=lambda: _ensure_loaded(kind))

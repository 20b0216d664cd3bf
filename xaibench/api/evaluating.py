"""Several explainers scored with several metrics on one problem of a caller, as a table."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from xaibench.api.arguments import find_component, require_choice, require_whole
from xaibench.api.attributions import Attributions, origin_of
from xaibench.api.background import meant
from xaibench.api.choosing import ChosenExplainer, choose_explainer
from xaibench.api.inputs import as_attributions
from xaibench.api.sample_table import to_samples
from xaibench.api.shared_problem import SharedProblem
from xaibench.core import registry
from xaibench.core.components import RANDOM, ExplainerSpec, MetricSpec
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import check_masker
from xaibench.core.keys import canonical_json, digest
from xaibench.core.known_names import all_components
from xaibench.core.needs import DATA_NEEDS, missing_needs
from xaibench.core.outputs import OUTPUTS
from xaibench.core.problem import ProblemView
from xaibench.core.program_specs import is_control
from xaibench.execution.row_building import Facts, component_columns, failure
from xaibench.execution.unit import Explanation, explanation_columns, score_columns
from xaibench.explainers.stored_maps import channels_of
from xaibench.plan.cells import unsupported_reason
from xaibench.report.evaluation_progress import Advance, evaluation_progress
from xaibench.store import FAILURES


@dataclass(frozen=True)
class _Explaining:
    """An explainer of the table; ``made`` are its attributions where the caller has given them."""

    chosen: ChosenExplainer
    made: Attributions | None = None

    @property
    def explains_again(self) -> bool:
        origin = origin_of(self.made)
        return self.made is None or (origin is not None and origin.spec is not None)


@dataclass(frozen=True)
class _Scoring:
    """A metric of the table."""

    spec: MetricSpec
    params: Mapping[str, Any]
    output: str | None

    @property
    def keyed(self) -> str:
        return canonical_json(self.spec.keyed(self.params))


def evaluate(
    problem: SharedProblem,
    explainers: Iterable[Any],
    metrics: Iterable[Any],
    *,
    controls: bool,
    seeds: int | Iterable[int],
    random_draws: int,
    progress: bool | None,
) -> pd.DataFrame:
    """Score every explainer with every metric; see `Problem.evaluate`."""
    explaining, scoring = _explaining(problem, explainers, controls), _scoring(metrics, problem.everything())
    numbers = [seeds] if isinstance(seeds, (int, np.integer)) else _listed("seeds", seeds, "seeds=[0, 1, 2]")
    numbers = list(dict.fromkeys(require_whole("seeds", n) for n in numbers))
    require_whole("random_draws", random_draws, at_least=1)
    units = list(_units(problem, explaining, scoring, numbers, random_draws))
    facts = Facts.of(problem.prepared)
    with evaluation_progress(sum(1 + len(found) for *_, found in units), shown=progress) as advance:
        cells = []
        for entry, seed, repeat, due in units:
            unit = _Unit(problem, facts, entry, seed, repeat)
            for cell in unit.cells(due, advance):
                cells.append(cell)
    failed = [cell for cell in cells if cell["status"] in FAILURES]
    if failed:
        first = failed[0]
        warnings.warn(
            f"{len(failed)} of {len(cells)} cells failed, the first is {first['explainer']} with {first['metric']}: "
            f"{first['error_kind']}: {first['message']} (columns status, message, traceback)",
            stacklevel=3,
        )
    return to_samples(cells)


def _explaining(problem: SharedProblem, explainers: Iterable[Any], controls: bool) -> list[_Explaining]:
    """The explainers that the caller gave, then the controls that are not among them."""
    found = [_one_explainer(problem, given) for given in _listed("explainers", explainers, 'explainers=["gradient"]')]
    names = {entry.chosen.spec.name for entry in found}
    for spec in registry.components("explainer") if controls else ():
        # Controls of another kind of data say nothing here, as in suites.
        foreign = missing_needs(spec.needs & DATA_NEEDS, problem.prepared.capabilities)
        if is_control(spec) and spec.name not in names and not foreign:
            found.append(_Explaining(choose_explainer(spec.name, None, None, problem.everything())))
    if not found:
        raise UsageError("there is no explainer", "name one, or leave controls=True")
    _require_unique("explainer", [f"{e.chosen.spec.name} {e.chosen.keyed}" for e in found])
    return found


def _one_explainer(problem: SharedProblem, given: Any) -> _Explaining:
    if isinstance(given, Attributions):
        origin = origin_of(given)
        if origin is None:
            raise UsageError(
                "these attributions were changed since they were made", 'xb.Attributions(array, explainer="mine")'
            )
        as_attributions(problem.everything(), given)
        problem.require_own(origin)
        if origin.spec is not None:
            problem.explainer_of(origin)
            return _Explaining(ChosenExplainer(origin.spec, origin.params), given)
        if origin.explainer in {spec.name for spec in all_components("explainer")}:
            raise UsageError(
                f"attributions that were made elsewhere cannot be called {origin.explainer!r}, as an explainer here is",
                'xb.Attributions(array, explainer="theirs")',
            )
        spec = ExplainerSpec(origin.explainer, _made_elsewhere, attribution_kind=origin.kind)
        return _Explaining(ChosenExplainer(spec, {}), given)
    if isinstance(given, (np.ndarray, torch.Tensor)):
        raise UsageError("an array does not say what made it", '("theirs", array) says it')
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], (np.ndarray, torch.Tensor)):
        name, maps = given
        if isinstance(maps, Attributions):
            raise UsageError("attributions know what made them", "give them without a name")
        values = maps.detach().cpu().numpy() if isinstance(maps, torch.Tensor) else maps
        return _one_explainer(problem, Attributions(values, explainer=name))
    name, params = _pair("explainer", given)
    return _Explaining(choose_explainer(name, params, None, problem.everything()))


def _made_elsewhere(problem: ProblemView) -> torch.Tensor:
    raise UnsupportedError("these attributions were made elsewhere", "pass a function that makes them")


def _scoring(metrics: Iterable[Any], view: ProblemView) -> list[_Scoring]:
    found = []
    for given in _listed("metrics", metrics, 'metrics=["pixel_flipping"]'):
        name, params = _pair("metric", given)
        spec = cast(MetricSpec, find_component("metric", name))
        output = params.pop("output", None) if "output" not in spec.parameters else None
        require_choice("output", output, OUTPUTS)
        found.append(_Scoring(spec, spec.bind(meant(spec, params, view)), output))
    if not found:
        raise UsageError("there is no metric", 'xb.components("metric") lists them')
    _require_unique("metric", [f"{m.spec.name} {m.keyed} {m.output or ''}" for m in found])
    return found


def _listed(name: str, given: Any, example: str) -> list[Any]:
    single = isinstance(given, (str, bytes, np.ndarray, torch.Tensor, Mapping)) or callable(given)
    if single or not isinstance(given, Iterable):
        raise UsageError(f"{name} is not a list", example)
    return list(given)


def _pair(kind: str, given: Any) -> tuple[Any, dict[str, Any]]:
    """A name or function, and its parameters."""
    if not isinstance(given, (tuple, list)):
        return given, {}
    if len(given) != 2 or not isinstance(given[1], Mapping) or not all(isinstance(k, str) for k in given[1]):
        raise UsageError(f"{given!r} is not the name of the {kind} with its parameters", '("lime", {"n_samples": 512})')
    return given[0], dict(given[1])


def _require_unique(kind: str, names: list[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UsageError(
                f"the {kind} {name.partition(' ')[0]!r} is there twice with the same parameters",
                "leave one out, or give functions names of their own",
            )


_UnitPlan = tuple[_Explaining, int, int, list[_Scoring]]


def _units(
    problem: SharedProblem, explaining: list[_Explaining], scoring: list[_Scoring], seeds: list[int], random_draws: int
) -> Iterator[_UnitPlan]:
    """Explanations to be made and scored: seed by seed, as in a suite."""
    with_oracle = any(need.partition(".")[0] == "truth" for need in problem.prepared.capabilities)
    skilled = [metric for metric in scoring if metric.spec.skill_valid]
    for seed in seeds:
        for entry in explaining:
            # Skill needs the mean over many random maps, and makes sense only where there is an oracle.
            several = entry.chosen.spec.name == RANDOM and entry.made is None and with_oracle
            for repeat in range(random_draws if several else 1):
                if metrics := skilled if repeat else scoring:
                    yield entry, seed, repeat, metrics


@dataclass(frozen=True)
class _Unit:
    """One explanation with all metrics that score it: explain once, score many."""

    problem: SharedProblem
    facts: Facts
    entry: _Explaining
    seed: int
    repeat: int

    def cells(self, metrics: list[_Scoring], advance: Advance) -> Iterator[dict[str, Any]]:
        """Rows of a store, one per metric, without what only stores need."""
        chosen = self.entry.chosen
        capabilities = self.problem.prepared.capabilities
        if not self.entry.explains_again:
            capabilities -= {"reexplain"}
        lacking = self.problem.prepared.lacking
        reasons = [
            unsupported_reason(chosen.spec, chosen.params, metric.spec, capabilities, lacking) for metric in metrics
        ]
        advance(chosen.spec.name)
        made = self._explained() if None in reasons else {}
        for metric, reason in zip(metrics, reasons, strict=True):
            advance(f"{chosen.spec.name} {metric.spec.name}")
            if reason is not None:
                yield self._row(metric, {"status": "unsupported", "message": reason})
            elif isinstance(made, dict):
                yield self._row(metric, made)
            else:
                ev, explanation = made
                seen = self.problem.seen_by(metric.spec, ev)
                scored = score_columns(
                    metric.spec,
                    metric.params,
                    seen,
                    explainer_params=chosen.params,
                    channels=explanation.channels,
                    output=metric.output,
                )
                yield self._row(metric, {**explanation_columns(explanation), **scored})

    def _explained(self) -> tuple[Evaluation, Explanation] | dict[str, Any]:
        """The explanation, or why there is none, as columns."""
        try:
            return self._given() if self.entry.made is not None else self._made()
        except (Exception, SystemExit) as error:
            return failure(error)

    def _given(self) -> tuple[Evaluation, Explanation]:
        origin = origin_of(self.entry.made)
        assert origin is not None
        values = as_attributions(self.problem.everything(), self.entry.made)
        ev = self.problem.evaluation(values, origin, self.seed, self.problem.explainer_of(origin))
        layout = self.problem.everything().layout
        channels = None if origin.spec is not None else channels_of(np.asarray(self.entry.made).shape, layout)
        return ev, Explanation(values, origin.kind, np.nan, True, channels=channels)

    def _made(self) -> tuple[Evaluation, Explanation]:
        chosen = self.entry.chosen
        stream = chosen.stream + (f"/{self.repeat}" if self.repeat else "")
        explainer = self.problem.explainer(chosen, self.seed, stream=stream)
        check_masker(chosen.params, explainer.view)
        layer = None if chosen.spec.layer_used is None else chosen.spec.layer_used(explainer.view, **chosen.params)
        started = time.perf_counter()
        values = explainer()
        seconds = time.perf_counter() - started
        origin = self.problem.origin(chosen, self.seed, values.cpu().numpy())
        ev = self.problem.evaluation(values, origin, self.seed, explainer)
        return ev, Explanation(values, origin.kind, seconds, False, layer)

    def _row(self, metric: _Scoring, columns: dict[str, Any]) -> dict[str, Any]:
        problem, chosen = self.problem.prepared, self.entry.chosen
        what = component_columns(chosen.spec, chosen.keyed, metric.spec, metric.keyed)
        names = {"dataset": problem.dataset, "model": problem.model, "selection": self.problem.selection}
        draws = {"problem_seed": 0, "seed": self.seed, "repeat": self.repeat, "asked_output": metric.output}
        identity = [problem.fingerprint, *names.values(), what["explainer"], what["explainer_params"]]
        identity += [what["metric"], what["params"], *draws.values()]
        return {
            "cell_id": digest("evaluated", *identity),
            **names,
            **draws,
            **what,
            **self.facts.problem_columns(metric.spec),
            **columns,
        }

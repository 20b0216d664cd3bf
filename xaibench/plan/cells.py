"""Cells and units: their ids, and the content keys of their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, cast

from xaibench.core.components import Component, ExplainerSpec, MetricSpec
from xaibench.core.keys import KEY_VERSION, canonical_json, digest_of_json
from xaibench.core.libraries import why_missing
from xaibench.core.masking.names import DRAWN, MASKERS_VERSION
from xaibench.core.needs import SHOWN_TRUTHS, missing_needs
from xaibench.core.program_specs import InterpreterSpec
from xaibench.problems.specs import AnyProblemSpec
from xaibench.suite import ComponentRef


@dataclass(frozen=True)
class Cell:
    """One metric of a unit."""

    metric: ComponentRef
    output: str | None
    cell_id: str
    unversioned_id: str

    @property
    def spec(self) -> MetricSpec:
        return cast(MetricSpec, self.metric.spec)


@dataclass(frozen=True)
class Unit:
    """One explanation of one problem, with all metrics that score it: explain once, score many.

    On a problem of functions the explainer is an interpreter, and the explanation its programs.
    """

    problem: AnyProblemSpec
    explainer: ComponentRef
    seed: int
    repeat: int
    metrics: tuple[tuple[ComponentRef, str | None], ...]

    @property
    def spec(self) -> ExplainerSpec | InterpreterSpec:
        return cast("ExplainerSpec | InterpreterSpec", self.explainer.spec)

    @cached_property
    def _identity(self) -> str:
        """Canonical JSON of what the unit is, without versions."""
        return f"[{canonical_json(self.problem.identity)},{_identity(self.explainer)},{self.seed},{self.repeat}]"

    @cached_property
    def unit_id(self) -> str:
        return digest_of_json('"unit"', self._identity, canonical_json(self.versions))

    @cached_property
    def versions(self) -> dict[str, int]:
        return {**self.problem.versions, "explainer": self.spec.version}

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        versions = tuple(self.versions.items())
        return tuple(self._cell(metric, output, versions) for metric, output in self.metrics)

    def _cell(self, metric: ComponentRef, output: str | None, versions: tuple[tuple[str, int], ...]) -> Cell:
        names = f"[{self._identity},{_identity(metric)},{_json(output)}]"
        all_versions = versions_json(versions, metric.spec.version)
        return Cell(metric, output, digest_of_json('"cell"', names, all_versions), digest_of_json('"cell"', names))

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {}

    def explain_key(self, fingerprint: str) -> str:
        """Content key of the explanation."""
        if fingerprint not in self._keys:
            self._keys[fingerprint] = digest_of_json(
                *map(canonical_json, (KEY_VERSION, "explain", fingerprint)),
                _content(self.explainer, self.spec.code_digest),
                *map(canonical_json, (self.spec.version, self.seed, self.repeat)),
            )
        return self._keys[fingerprint]

    def score_key(self, fingerprint: str, cell: Cell) -> str:
        """Content key of one score."""
        return digest_of_json(
            f'"{self.explain_key(fingerprint)}"',
            _content(cell.metric, cell.spec.code_digest),
            str(cell.spec.version),
            _json(cell.output),
        )

    def unsupported(
        self, cell: Cell, capabilities: frozenset[str] | None, lacking: Mapping[str, str] | None = None
    ) -> str | None:
        """Why this cell is unavailable on a problem with these capabilities, or None.

        ``lacking`` has the reason why the problem does not meet a need, where one is known.
        """
        why = tuple({**self.problem.lacking, **(lacking or {})}.items())
        return None if capabilities is None else _unsupported(self.explainer, cell.metric, capabilities, why)


def unsupported_key(reason: str) -> str:
    """Content key of a cell that is unavailable, for one reason."""
    return f"unsupported: {reason}"


@lru_cache(maxsize=64)
def _json(output: str | None) -> str:
    return canonical_json(output)


@lru_cache(maxsize=4096)
def _identity(choice: ComponentRef) -> str:
    return canonical_json(choice.identity)


@lru_cache(maxsize=4096)
def versions_json(others: tuple[tuple[str, int], ...], metric: int) -> str:
    """Canonical JSON of all versions that a cell depends on."""
    return canonical_json({**dict(others), "metric": metric})


@lru_cache(maxsize=4096)
def _content(choice: ComponentRef, source: str | None) -> str:
    """Canonical JSON of what a result depends on: the component, its code if a user wrote it, maskers that draw."""
    drawn = [f"maskers {MASKERS_VERSION}"] if any(str(v) in DRAWN for v in choice.params.values()) else []
    written = [f"source {source}"] if source is not None else []
    return canonical_json([*choice.identity, *drawn, *written])


@lru_cache(maxsize=65536)
def _unsupported(
    explainer: ComponentRef, metric: ComponentRef, capabilities: frozenset[str], lacking: tuple[tuple[str, str], ...]
) -> str | None:
    scoring = cast(MetricSpec, metric.spec)
    return unsupported_reason(explainer.spec, explainer.params, scoring, capabilities, dict(lacking))


def unsupported_reason(
    explaining: Component,
    params: Mapping[str, Any],
    scoring: MetricSpec,
    capabilities: frozenset[str],
    lacking: Mapping[str, str],
) -> str | None:
    """Why a metric is unavailable for an explainer with these parameters on a problem that offers this, or None.

    ``lacking`` says why the problem does not meet some needs.
    """
    if isinstance(explaining, ExplainerSpec) and explaining.stored:
        capabilities -= {"reexplain"}
        lacking = {**lacking, "reexplain": "maps that were made elsewhere cannot be made again"}
    for spec in (explaining, scoring):
        library = None if spec.library is None else why_missing(spec.library)
        if library is not None:
            return f"{spec.kind} {spec.name}: {library}"
        missing = missing_needs(spec.needs, capabilities)
        if missing:
            why = lacking.get(missing[0])
            return f"{spec.kind} {spec.name} needs {', '.join(missing)}" + (f": {why}" if why else "")
    kind = explaining.stated_kind(params) if isinstance(explaining, ExplainerSpec) else None
    if kind is not None and kind not in scoring.accepts:
        return f"metric {scoring.name} takes {' or '.join(sorted(scoring.accepts))}, not {kind}"
    # What is given the truth shows the mask where there is one: no answer to a question about weights or signs.
    shows_mask = "truth.mask" in capabilities and bool(explaining.needs & {"truth", "truth.mask"})
    asked = sorted(n.partition(".")[2] for n in scoring.needs & (SHOWN_TRUTHS - {"truth.mask"}))
    if shows_mask and asked:
        return f"explainer {explaining.name} shows the mask, and metric {scoring.name} is about {asked[0]}"
    return None

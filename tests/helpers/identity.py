"""Ids and content keys of the shipped suites, short enough to be kept in a file.

    PYTHONPATH=tests python -m helpers.identity > tests/data/identity.json

records them. Stores and caches stay good only as long as this file does: a change belongs to a raised
version of the component, and to a line in CHANGELOG.md.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from xaibench import suite as suites
from xaibench.core.keys import digest
from xaibench.plan import Unit, expand
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import FunctionProblemSpec, ProblemSpec

FINGERPRINT = "f" * 32
"""Stands for the content of every problem where only the key functions are looked at."""
ANALYTIC = frozenset(
    {
        "bayes_linear",
        "biased",
        "boolean",
        "clusterwise",
        "exact_function",
        "piecewise_linear",
        "ripple",
        "units",
        "walk_sum",
    }
)
"""Models that are written down instead of trained: their fingerprints are the same on every machine."""


class _Rows:
    """Digest of the cells of one explainer in one suite: of what they are called, and of their content keys."""

    def __init__(self) -> None:
        self.cells = 0
        self._ids, self._keys = hashlib.blake2b(digest_size=8), hashlib.blake2b(digest_size=8)

    def take(self, unit: Unit, fingerprint: str) -> None:
        self._ids.update(unit.unit_id.encode())
        self._keys.update(unit.explain_key(fingerprint).encode())
        for cell in unit.cells:
            self.cells += 1
            self._ids.update(f"{cell.cell_id} {cell.unversioned_id}".encode())
            self._keys.update(unit.score_key(fingerprint, cell).encode())

    def result(self) -> str:
        return f"{self.cells} cells, ids {self._ids.hexdigest()}, keys {self._keys.hexdigest()}"


def suite_identity(name: str) -> dict[str, Any]:
    """Problems, metrics and explainers of a shipped suite, each with digests of what it is called and keyed by.

    Returns
    -------
    dict
        ``problems``: name and seed to key; ``metrics``: label to a digest of name, parameters,
        output and version; ``explainers``: label to the number of cells, a digest of their ids and
        one of their content keys under `FINGERPRINT`, all in the order of the plan.
    """
    problems: dict[str, str] = {}
    metrics: dict[str, str] = {}
    explainers: dict[str, _Rows] = {}
    for unit in expand(suites.load(name)):
        problem = unit.problem
        problems[f"{problem.name} {problem.seed} {problem.selection}"] = digest(problem.key, problem.versions, size=8)
        explainers.setdefault(unit.explainer.label, _Rows()).take(unit, FINGERPRINT)
        for metric, output in unit.metrics:
            said = digest(metric.identity, output, metric.spec.version, size=8)
            metrics[f"{metric.label} {output or ''}".strip()] = said
    return {
        "problems": problems,
        "metrics": metrics,
        "explainers": {label: rows.result() for label, rows in explainers.items()},
    }


def analytic_problems(name: str) -> Iterator[tuple[str, list[Unit]]]:
    """Problems of a suite whose fingerprint needs no training, with their units."""
    found: dict[str, list[Unit]] = {}
    for unit in expand(suites.load(name)):
        problem = unit.problem
        if isinstance(problem, FunctionProblemSpec) or problem.model.spec.name in ANALYTIC:
            found.setdefault(problem.key, []).append(unit)
    for units in found.values():
        problem = units[0].problem
        yield f"{problem.name} {problem.seed} {problem.selection}", units


def real_keys(name: str) -> dict[str, str]:
    """Fingerprint of every analytic problem of a suite, and a digest of the content keys of its cells."""
    problems, found = Problems(None), {}
    for label, units in analytic_problems(name):
        spec = units[0].problem
        made = problems.prepare(spec) if isinstance(spec, ProblemSpec) else problems.functions(spec)
        keys = [unit.score_key(made.fingerprint, cell) for unit in units for cell in unit.cells]
        found[label] = f"{made.fingerprint}, keys {digest(keys, size=8)}"
    return found


def main() -> None:
    """Print the record as JSON."""
    names = sorted(suites.available())
    record = {
        "ids": {name: suite_identity(name) for name in names},
        "keys": {name: keys for name in names if (keys := real_keys(name))},
    }
    json.dump(record, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()

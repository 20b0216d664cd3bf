"""The copies of a certificate: what each of them provably uses, and what every explainer made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from xaibench.core.gates import Gate, gate_of
from xaibench.core.types import Array
from xaibench.datasets.certify.check import CLEAN, DOMINANCE, SWAP

SHORTCUT_FOUND, SHORTCUT_RANK = "shortcut_found", "shortcut_rank"
MOST_FALL = 0.05
"""How much less than at a lower level a copy may rely on the plant."""
_LEVEL = re.compile(r"[(,]level=([-+.\deE]+)[,)]")
_PLANT = re.compile(r"[(,]plant=(\w+)[,)]")


@dataclass(frozen=True)
class ExplainedCopy:
    """What one explainer made of one copy.

    Attributes
    ----------
    found : array (N,)
        Share of the plant that is found in each test sample; NaN where that is not defined.
    place : array (N,)
        Share of the other units that are smaller than the plant's best one.
    decisive : array (N,) of bool
        Samples that the plant decides.
    seconds : float
    """

    found: Array
    place: Array
    decisive: Array
    seconds: float


@dataclass(frozen=True)
class Copy:
    """One fitted copy: how strongly the plant was tied to the class, and what interventions showed.

    Attributes
    ----------
    level : float
    number : int
        Seed of the carriers and of the training.
    gates : tuple of Gate
    samples : tuple of str
        Names of the N test samples.
    shown : mapping of str to ExplainedCopy
        By the label of the explainer.
    fingerprint : str
    n_fits : int
        Different models that its results are of: 1, unless a recipe that is not deterministic was fitted again.
    """

    level: float
    number: int
    gates: tuple[Gate, ...]
    samples: tuple[str, ...]
    shown: Mapping[str, ExplainedCopy] = field(default_factory=dict)
    fingerprint: str = ""
    n_fits: int = 1

    def measured(self, name: str) -> float:
        """The value of a gate, NaN without it."""
        return next((gate.value for gate in self.gates if gate.name == name), float("nan"))

    @property
    def reliance(self) -> float:
        return self.measured(SWAP)

    @property
    def dominance(self) -> float:
        return self.measured(DOMINANCE)

    @property
    def clean_accuracy(self) -> float:
        return self.measured(CLEAN)

    @property
    def failed(self) -> list[Gate]:
        return [gate for gate in self.gates if not gate.passed]


@dataclass(frozen=True)
class Explaining:
    """An explainer of the certificate; controls are shown and never ranked."""

    label: str
    params: str
    control: bool


@dataclass(frozen=True)
class CopySet:
    """All copies of one recipe, data set and plant.

    Attributes
    ----------
    plant : str
    copies : tuple of Copy
        Null twins (level 0) included.
    explainers : tuple of Explaining
    deterministic : bool
        Whether a second fit gives the same model; else only copies are compared, and no rows.
    """

    plant: str
    copies: tuple[Copy, ...]
    explainers: tuple[Explaining, ...]
    deterministic: bool = True

    @property
    def tested(self) -> bool:
        """Whether there is anything to test: several copies, or one whose rows count."""
        return self.deterministic or len(self.numbers) > 1

    def twin(self, number: int) -> Copy | None:
        """The null twin of a copy: the same draws, and a plant without meaning."""
        return next((c for c in self.copies if c.level == 0 and c.number == number), None)

    @property
    def numbers(self) -> list[int]:
        return sorted({c.number for c in self.copies})

    def failures(self, copy: Copy) -> list[str]:
        """Why a copy proves nothing, empty if it does: gates of its own, of its twin, and of its full level."""
        own = [str(gate) for gate in copy.failed]
        if copy.n_fits > 1:
            own.append(f"fitted {copy.n_fits} times with different results, as when a run is resumed")
        if copy.level == 0:
            return own
        twin = self.twin(copy.number)
        if twin is None:
            return [*own, "the null twin is missing"]
        own += [f"null twin: {gate}" for gate in twin.failed]
        own += ["null twin: fitted several times with different results"] if twin.n_fits > 1 else []
        others = [c for c in self.copies if c.number == copy.number and c.level > 0]
        full = max(others, key=lambda c: c.level)
        if full is not copy:
            own += [f"level {full.level:g}: {gate}" for gate in full.failed]
        lower = [c.reliance for c in others if c.level < copy.level]
        if lower and copy.reliance < max(lower) - MOST_FALL:
            own.append(f"{SWAP} falls from {max(lower):.3f} at a lower level to {copy.reliance:.3f}")
        return own

    @property
    def proved(self) -> list[Copy]:
        """Copies above level 0 that count, by level and number."""
        counted = [c for c in self.copies if c.level > 0 and not self.failures(c)]
        return sorted(counted, key=lambda c: (c.level, c.number))


def read_copies(rows: pd.DataFrame) -> CopySet:
    """Copies from the results of a generated suite.

    Parameters
    ----------
    rows : DataFrame
        One row per cell, as `xaibench.results` gives them: ``dataset, problem_seed, explainer, explainer_params,
        metric, params, scores, sample_ids, gates, control, status, fingerprint, explain_seconds, repeat``.

    Raises
    ------
    ValueError
        If no row is of a certified data set.
    """
    plants = rows["dataset"].map(lambda label: _PLANT.search(label))
    levels = rows["dataset"].map(lambda label: _LEVEL.search(label))
    known = plants.notna() & levels.notna()
    if not known.any():
        raise ValueError("none of the results is of a data set with a plant")
    rows = rows[known & (rows["repeat"] == 0)].assign(level=[float(m[1]) for m in levels[known]][: int(known.sum())])
    labels = explainer_labels(rows)
    copies = [_copy(level, number, part, labels) for (level, number), part in rows.groupby(["level", "problem_seed"])]
    # Controls that do not apply to such data or models, as edges of texts, say nothing.
    made = {label for copy in copies for label in copy.shown}
    explainers = {
        labels[name, params]: Explaining(labels[name, params], params, bool(control))
        for name, params, control in zip(rows["explainer"], rows["explainer_params"], rows["control"], strict=True)
        if labels[name, params] in made or not control
    }
    return CopySet(plants[known].iloc[0][1], tuple(copies), tuple(explainers.values()))


def explainer_labels(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Label of every explainer with its parameters: the name, with parameters where it is there with several."""
    by_name: dict[str, list[str]] = {}
    for name, params in dict.fromkeys(zip(rows["explainer"], rows["explainer_params"], strict=True)):
        by_name.setdefault(name, []).append(params)
    labels = {}
    for name, variants in by_name.items():
        for params in variants:
            values = json.loads(params)
            differ = [k for k in values if len({json.dumps(json.loads(p).get(k)) for p in variants}) > 1]
            shown = ", ".join(f"{k}={values[k]}" for k in sorted(differ))
            labels[name, params] = f"{name}({shown})" if shown else name
    return labels


def _copy(level: Any, number: Any, rows: pd.DataFrame, labels: Mapping[tuple[str, str], str]) -> Copy:
    stated = rows[rows["gates"] != "[]"]
    gates = tuple(gate_of(g) for g in json.loads(stated["gates"].iloc[0])) if len(stated) else ()
    scored = rows[rows["status"].isin(["ok", "undefined"])]
    ids = [tuple(s) for s in scored["sample_ids"]]
    samples = max(ids, key=len) if ids else ()
    shown = dict(_shown(scored, labels, samples))
    prints = list(dict.fromkeys(f for f in scored["fingerprint"] if isinstance(f, str)))
    first = prints[0] if prints else ""
    return Copy(float(level), int(number), gates, samples, shown, first, max(len(prints), 1))


def _shown(
    rows: pd.DataFrame, labels: Mapping[tuple[str, str], str], samples: tuple[str, ...]
) -> Iterator[tuple[str, ExplainedCopy]]:
    for (name, params), label in labels.items():
        part = rows[(rows["explainer"] == name) & (rows["explainer_params"] == params)]
        found = {which: _scores(part, SHORTCUT_FOUND, which, len(samples)) for which in ("all", "decisive")}
        place = _scores(part, SHORTCUT_RANK, None, len(samples))
        if found["all"] is None:
            continue
        decisive = np.zeros(len(samples), bool) if found["decisive"] is None else np.isfinite(found["decisive"])
        unknown = np.full(len(samples), np.nan)
        seconds = float(part["explain_seconds"].astype(float).mean())
        yield label, ExplainedCopy(found["all"], unknown if place is None else place, decisive, seconds)


def _scores(rows: pd.DataFrame, metric: str, which: str | None, n: int) -> Array | None:
    """Per-sample scores (N,) of one cell, NaN for all where it has none."""
    for given, params, scores in zip(rows["metric"], rows["params"], rows["scores"], strict=True):
        if given == metric and (which is None or json.loads(params).get("rows") == which):
            values = np.asarray(scores, dtype=np.float64)
            return values if len(values) == n else None
    return None

"""What a certificate says of every explainer, and of all of them, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from xaibench.analysis.certificates.certificate import Certificate
from xaibench.analysis.certificates.finding_tests import LEAST_DECISIVE
from xaibench.analysis.certificates.fitted_copies import Copy, CopySet
from xaibench.core.gates import Gate
from xaibench.datasets.certify.check import DROP, LEAST_SWAP, SWAP, TRACE

RELIABLE_SHARE = 0.9
"""Share of the decisive rows at full level from which on an explainer finds the shortcut."""
WITHOUT_UNIT = ("tint",)
"""Plants that change the whole input."""
PARTLY = 0.3
"""Reliance from which on a recipe uses the plant, if not enough."""
UNTESTED = (
    "Two fits of this recipe differ, and there is a single copy of every level: what its rows show may be an accident "
    "of one fit, so nothing is tested or ranked; take three copies or more (--copies 3)."
)
LOUD_TWIN = 0.1
"""Share of the rows of the null twin from which on an explainer marks the plant where it means nothing."""


@dataclass(frozen=True)
class CertificateSummary:
    """The certificate in sentences.

    Attributes
    ----------
    text : str
    finders : tuple of str
        Explainers that show the shortcut earliest, and tie.
    not_to_rely_on : tuple of str
        Explainers that miss it where it decides everything.
    """

    text: str
    finders: tuple[str, ...] = ()
    not_to_rely_on: tuple[str, ...] = ()


def with_verdicts(certificate: Certificate, copies: CopySet, plant: str) -> tuple[Certificate, CertificateSummary]:
    """The certificate with a column ``verdict``, and its summary."""
    table = certificate.thresholds
    if not certificate.proved:
        words = ["control" if row.control else "" for row in table.itertuples()]
        return replace(certificate, thresholds=table.assign(verdict=words)), CertificateSummary(_why_not(copies, plant))
    best = table.loc[table["finds"] & table["ranked"], "tie_group"].str[:1].min()
    if plant in WITHOUT_UNIT:
        words = ["control" if row.control else "has no place to show it" for row in table.itertuples()]
        return replace(certificate, thresholds=table.assign(verdict=words)), CertificateSummary(
            "The copies use the plant, and no smaller unit than the whole image is its cause: a map of pixels cannot "
            "show it, so nothing is ranked."
        )
    if not copies.tested:
        words = ["control" if row.control else "not tested" for row in table.itertuples()]
        return replace(certificate, thresholds=table.assign(verdict=words)), CertificateSummary(UNTESTED)
    words = [_verdict(row, best) for _, row in table.iterrows()]
    judged = table.assign(verdict=words)
    return replace(certificate, thresholds=judged), _summary(judged)


def _verdict(row: pd.Series[Any], best: object) -> str:
    if row["control"]:
        return "control"
    if row["n_decisive"] == 0:
        return "no row to judge by"
    if row["n_decisive"] < LEAST_DECISIVE:
        return f"only {row['n_decisive']} rows to judge by"
    missed = 1 - row["found_at_full_level"]
    if not row["finds"]:
        loud = row["found_on_twin"] >= LOUD_TWIN and row["found_at_full_level"] >= LOUD_TWIN
        return "marks it where it means nothing as well" if loud else "does not show it"
    if row["found_at_full_level"] < RELIABLE_SHARE:
        return f"misses {100 * missed:.0f} % even when it decides"
    late = isinstance(best, str) and best not in row["tie_group"]
    return "finds it late" if late else "finds it"


def _summary(table: pd.DataFrame) -> CertificateSummary:
    ranked = table[table["ranked"]]
    first = ranked[ranked["verdict"] == "finds it"]
    poor = ranked[~ranked["finds"] | (ranked["found_at_full_level"] < RELIABLE_SHARE)]
    finders, avoid = tuple(first["explainer"]), tuple(poor["explainer"])
    if not len(ranked):
        few = "too few test rows are decided by the shortcut alone to compare explainers; explain more rows (--rows)"
        return CertificateSummary(f"{few[0].upper()}{few[1:]}.")
    if not finders:
        return CertificateSummary(
            "No explainer here is shown to find the shortcut. Do not rely on any of them.", (), avoid
        )
    worst = float(first["threshold"].max())
    share = f"{100 * worst:.0f} %"
    names = _listed(finders)
    text = (
        f"On this recipe and data, an analyst who reads {names} would have noticed a shortcut that decides "
        f"{share} of the rows."
    )
    if avoid:
        text += f" Do not rely on {_listed(avoid)} here."
    return CertificateSummary(text, finders, avoid)


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _why_not(copies: CopySet, plant: str) -> str:
    """Which gate kept every copy out, and what to try."""
    full = [c for c in copies.copies if c.level > 0 and c.level == max(x.level for x in copies.copies)]
    twins = [c for c in copies.copies if c.level == 0]
    known = [c for c in full if c.gates]
    if not known:
        return "No copy of the recipe could be fitted, so nothing is certified; the failed cells say why."
    for name, words in ((TRACE, _trace_words), (SWAP, _swap_words), (DROP, _drop_words)):
        failed = [(c, g) for c in known for g in c.failed if g.name == name]
        if failed:
            return words(*max(failed, key=lambda pair: pair[1].value), plant)
    failed = [(c, g) for c in [*known, *twins] for g in c.failed]
    if failed:
        copy, gate = failed[0]
        where = "The null twin" if copy.level == 0 else f"The copy of level {copy.level:g}"
        return f"{where} failed a gate ({gate}), so nothing is certified."
    reasons = copies.failures(known[0])
    return f"No copy counts ({'; '.join(reasons) or 'nothing was scored'}), so nothing is certified."


def _trace_words(copy: Copy, gate: Gate, plant: str) -> str:
    return (
        f"The plant leaves a second trace (gate: {gate.name}, AUC {gate.value:.2f}, at most {gate.threshold:.2f}): "
        "after the first step of the recipe other columns distinguish its versions, so there is no single truth and "
        "nothing is certified; leave that step out, or try another plant."
    )


def _swap_words(copy: Copy, gate: Gate, plant: str) -> str:
    said = f"No copy obeys the plant (gate: {gate.name}, {gate.value:.2f} of {LEAST_SWAP:.2f} needed)"
    if gate.value >= PARTLY:
        return (
            f"{said}: this recipe uses it, but not in enough rows to prove it, so nothing is certified; train longer."
        )
    hint = "this recipe cannot cheat that way" if plant == "pair" else "try another plant, or train longer"
    return f"{said}: this recipe does not use it, so nothing is certified; {hint}."


def _drop_words(copy: Copy, gate: Gate, plant: str) -> str:
    return (
        f"The copies lose accuracy on clean rows (gate: {gate.name}, {gate.value:.2f}, at most {gate.threshold:.2f}), "
        "so nothing is certified; let fewer rows carry the plant (share = 0.25), or train longer."
    )

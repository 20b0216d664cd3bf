"""Every number of the audit, metric by metric: the trial's scores go in, estimates come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xaibench.analysis.audit import convergence, dependence
from xaibench.analysis.audit.reliability import reliability
from xaibench.analysis.audit.separation import auroc, trend
from xaibench.analysis.audit.trials import AttributionFacts, MetricKey, MetricScores, ProblemScores
from xaibench.analysis.statistics.estimate import NOTHING
from xaibench.core.components import ORACLE, RANDOM
from xaibench.core.keys import canonical_json, seed
from xaibench.core.types import Array

ScoresByMetric = Mapping[MetricKey, MetricScores]
Numbers = dict[str, Any]
REFERENCES = ("masker", "baseline")
"""Parameters that say what "missing" means."""
CONFIDENCE_METRIC = "confidence"
ABOUT_TRUTH = ("ground_truth", "faithfulness")
"""Families in which the truth is better than noise. Of robustness and complexity nothing is known: maps
that say nothing are robust and simple. Nor of axioms: a mask adds up to nothing."""
ABOUT_THE_MODEL = ("mprt", "smooth_mprt", "efficient_mprt", "random_logit")
"""Metrics that change model or class, where a map that never looks at the model must fail."""
MODEL_BASED, MODEL_FREE = "gradient", "input_edges"


def by_itself(trial: ProblemScores, metric: str, panel: MetricScores) -> Numbers:
    """What the scores of a metric say by themselves, and against explanations of known order."""
    merit = panel.merit
    known = np.isfinite(merit)
    there = known.any(axis=(1, 2))
    values = merit[known]
    spread = float(np.ptp(values)) if len(values) else 0.0
    scale = float(np.abs(values).max()) if len(values) else 0.0
    common = known[there].all(axis=0)
    across = np.ptp(merit[there][:, common], axis=0) if common.any() and there.any() else np.empty(0)
    contrast, ladder = _contrast(trial, metric, panel)
    steps = dependence.mean_over_seeds(merit[ladder]) if ladder else np.empty((0, 0))
    tested = trend(steps) if len(ladder) > 1 else None
    aurocs = [auroc(merit[ladder[0]], merit[i]) for i in ladder[1:]]
    return {
        "family": panel.family,
        "constant": spread <= 1e-6 * scale,
        "blind": there.sum() > 2 and len(across) > 0 and bool((across <= 1e-6 * scale).all()),
        "auroc": aurocs[-1] if aurocs else NOTHING,
        "trend": tested.rho if tested else NOTHING,
        "p_trend": tested.p if tested else np.nan,
        "contrast": contrast,
        "ladder": canonical_json(
            [
                {
                    "better": trial.entries[ladder[0]],
                    "worse": trial.entries[i],
                    "auroc": e.value,
                    "low": e.low,
                    "high": e.high,
                }
                for i, e in zip(ladder[1:], aurocs, strict=True)
                if np.isfinite(e.value)
            ]
        ),
        "n": int(known.any(axis=(0, 1)).sum()),
        "n_seeds": int(known.any(axis=(0, 2)).sum()),
        "n_explanations": int(there.sum()),
        "n_contestants": int(np.isin(np.flatnonzero(there), trial.contestants).sum()),
        "undefined": float(1 - known[there].mean()) if there.any() else 1.0,
    }


def _contrast(trial: ProblemScores, metric: str, panel: MetricScores) -> tuple[str, list[int]]:
    """Explanations of known order under this metric, best first, and how to call them; none where nothing is known."""
    known: Array = np.asarray(np.isfinite(panel.merit).any(axis=(1, 2)))
    if panel.family in ABOUT_TRUTH:
        rungs = [i for _, i in trial.ladder if known[i]]
        names = [trial.entries[i][0] for i in rungs]
        if len(rungs) < 2 or names[0] != ORACLE or names[-1] != RANDOM:
            return "", []
        between = [f"{len(rungs) - 2} with noise"] if len(rungs) > 2 else []
        return " > ".join([ORACLE, *between, RANDOM]), rungs
    if metric in ABOUT_THE_MODEL:
        pair = [trial.find(name) for name in (MODEL_BASED, MODEL_FREE)]
        found = [i for i in pair if i is not None and known[i]]
        return (f"{MODEL_BASED} > {MODEL_FREE}", found) if len(found) == 2 else ("", [])
    return "", []


def _steady(trial: ProblemScores, maps: AttributionFacts) -> Array:
    """Places of the explainers whose maps are the same with every seed."""
    return np.array([i for i, e in enumerate(trial.entries) if (*trial.names, *e) in maps.steady], dtype=np.int64)


def of_seeds(trial: ProblemScores, panels: ScoresByMetric, maps: AttributionFacts) -> dict[MetricKey, Numbers]:
    """ICC and repeatability of every metric, on explanations that do not change with the seed."""
    steady = _steady(trial, maps)
    found = {}
    for key, panel in panels.items():
        correlation, coefficient = reliability(panel.scores[steady])
        used = int(np.isfinite(panel.merit[steady]).any(axis=(1, 2)).sum())
        found[key] = {"icc": correlation, "repeatability": coefficient, "n_steady": used}
    return found


def _variants(panels: ScoresByMetric, names: tuple[str, ...]) -> dict[tuple[str, str], list[MetricKey]]:
    """Metrics that differ in one of these parameters only, by its name; a single one is not a variant."""
    groups: dict[tuple[str, str], list[MetricKey]] = {}
    for key, panel in panels.items():
        for name in names:
            if name in panel.params:
                rest = {k: v for k, v in panel.params.items() if k != name}
                groups.setdefault((name, canonical_json([key[0], rest, key[2]])), []).append(key)
    return {group: keys for group, keys in groups.items() if len(keys) > 1}


def _draws(trial: ProblemScores, *what: str) -> int:
    """Seed of the resamples of one problem."""
    return seed("audit", *trial.names, *what)


def of_maskers(trial: ProblemScores, panels: ScoresByMetric) -> dict[MetricKey, Numbers]:
    found: dict[MetricKey, Numbers] = {}
    for keys in _variants(panels, REFERENCES).values():
        scores = np.stack([dependence.mean_over_seeds(panels[k].merit[trial.contestants]) for k in keys])
        scores = scores[:, np.isfinite(scores).any(axis=2).all(axis=0)]
        measured = dependence.masker_dependence(scores, _draws(trial, "maskers"))
        for key, tau in zip(keys, measured.tau, strict=True):
            found[key] = {
                "masker_tau": tau,
                "masker_share": measured.main,
                "masker_interaction": measured.interaction,
            }
    return found


def of_confidence(trial: ProblemScores, panels: ScoresByMetric) -> dict[MetricKey, Numbers]:
    measured = [p for k, p in trial.panels.items() if k[0] == CONFIDENCE_METRIC]
    if not measured:
        return {}
    confidence = np.nanmax(np.where(np.isfinite(measured[0].scores), measured[0].scores, -np.inf), axis=(0, 1))
    confidence[~np.isfinite(confidence)] = np.nan
    return {
        key: {
            "confidence_rho": dependence.confidence_dependence(
                dependence.mean_over_seeds(panel.scores[trial.contestants]), confidence
            )
        }
        for key, panel in panels.items()
    }


def of_budgets(trial: ProblemScores, panels: ScoresByMetric, maps: AttributionFacts) -> dict[MetricKey, Numbers]:
    found: dict[MetricKey, Numbers] = {}
    steady = _steady(trial, maps)
    for (name, _), keys in _variants(panels, convergence.BUDGETS).items():
        largest = max(keys, key=lambda k: panels[k].params[name])
        for key in keys:
            found[key] = {
                "budget_parameter": name,
                "budget": panels[key].params[name],
                "largest_budget": panels[largest].params[name],
                "distance": convergence.distance_to_largest(panels[key].scores[steady], panels[largest].scores[steady]),
            }
    return found


def of_company(
    large: ProblemScores, small: ProblemScores | None, panels: ScoresByMetric, maps: AttributionFacts
) -> dict[MetricKey, Numbers]:
    """Whether the scores of the samples of the small selection are the same in the large one."""
    if small is None:
        return {}
    names = (*small.names, large.names[2])
    shared = [s for s in small.samples if s in set(large.samples)]
    entries = [e for e in small.entries if e in large.entries]
    seeds = [s for s in small.seeds if s in large.seeds]
    alike = np.array([[(*names, *e, s) in maps.alike for s in seeds] for e in entries], dtype=bool)

    def part(trial: ProblemScores, panel: MetricScores) -> Array:
        axes = [trial.entries.index(e) for e in entries], [trial.seeds.index(s) for s in seeds]
        return panel.scores[np.ix_(*axes, [trial.samples.index(s) for s in shared])]

    return {
        key: {"coupled": convergence.coupling(part(small, small.panels[key]), part(large, panel), alike).share}
        for key, panel in panels.items()
        if key in small.panels and alike.size and shared
    }


def metric_agreements(
    trial: ProblemScores, panels: ScoresByMetric, found: dict[MetricKey, Numbers]
) -> Iterator[dict[str, Any]]:
    """Kendall's tau between metrics, and into ``found`` each one's mean with others of its family."""
    keys = list(panels)
    merits = np.stack([dependence.mean_over_seeds(panels[k].merit[trial.contestants]) for k in keys])
    result = dependence.resampled_agreement(merits, _draws(trial, "metrics"))
    for i, key in enumerate(keys):
        others = [j for j, k in enumerate(keys) if k[0] != key[0] and panels[k].family == panels[key].family]
        found[key]["agreement"] = result.mean_with(i, others)
        for j, other in enumerate(keys):
            if i != j:
                yield {
                    **_named(key),
                    "family": panels[key].family,
                    **{f"other_{name}": value for name, value in _named(other).items()},
                    "other_family": panels[other].family,
                    "tau": float(result.tau[i, j]),
                    "tau_low": float(result.low[i, j]),
                    "tau_high": float(result.high[i, j]),
                    "n_explainers": result.n_explainers(i, j),
                    "n": result.found.n,
                }


def _named(key: MetricKey) -> dict[str, str]:
    return dict(zip(("metric", "params", "asked_output"), key, strict=True))

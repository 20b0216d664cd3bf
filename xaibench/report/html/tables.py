"""Frames as plain rows for the page's small tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xaibench.analysis.claims.verdicts import few_informative
from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, PROBLEM
from xaibench.analysis.leaderboard.gates import gate_conditions
from xaibench.core.user_errors import shortened
from xaibench.report.html.content import Curves
from xaibench.report.labels import (
    interval,
    metric_labels,
    needed_label,
    number,
    problem_label,
    problem_labels,
    variants,
)
from xaibench.store import FAILURES

MAX_PANELS = 12
MAX_ROWS = 200
"""Rows of a small table; a store with more failures than that has one problem, not many."""


@dataclass(frozen=True)
class RankPanels:
    """Rank intervals of one metric of a suite, by problem, or why there are none."""

    suite: str
    metric: str
    panels: dict[str, pd.DataFrame]
    n_more: int


def rank_panels(board: pd.DataFrame) -> list[RankPanels]:
    """Rank intervals on every problem of each suite, of the metric that comes first in the leaderboard's order."""
    if "rank_low" not in board:
        return []
    found = []
    for suite, part in board.groupby("suite", sort=False):
        ranked = part[part["rank"].notna() & part["rank_low"].notna() & (part["n_ranked"] > 1)]
        if ranked.empty:
            continue
        names = variants(zip(part["explainer"], part["explainer_params"], strict=True))
        labels = metric_labels(part)
        for family in ("ground_truth", "faithfulness"):
            rows = ranked[ranked["family"] == family]
            if rows.empty:
                continue
            measure = tuple(rows.iloc[0][c] for c in COMPARISON_GROUP[len(PROBLEM) :])
            for column, wanted in zip(COMPARISON_GROUP[len(PROBLEM) :], measure, strict=True):
                rows = rows[rows[column] == wanted]
            panels = {}
            for problem, group in rows.groupby(PROBLEM, sort=False):
                ordered = group.sort_values(["rank", "rank_low", "rank_high"], kind="stable")
                keys = zip(ordered["explainer"], ordered["explainer_params"], strict=True)
                panels[problem_label(*problem)] = ordered.assign(label=[names[key] for key in keys])
            shown = dict(list(panels.items())[:MAX_PANELS])
            found.append(RankPanels(str(suite), labels[measure], shown, len(panels) - len(shown)))
    return found


def claim_rows(claims: pd.DataFrame) -> list[dict[Any, Any]]:
    """Verdicts with what stands beside them."""
    rows = []
    for claim in claims.to_dict("records"):
        few = few_informative(claim["n"], claim["n_informative"])
        rows.append(
            {
                **claim,
                "effect": number(claim["effect"]),
                "interval": interval(claim["ci_low"], claim["ci_high"]),
                "units": f"{claim['n_informative']} of {claim['n']}" if few else str(claim["n"]),
                "few": few,
                "detail": [t for t in (claim["message"], claim.get("would_change")) if isinstance(t, str) and t],
                "binding": claim["binding"] if isinstance(claim["binding"], str) else "",
            }
        )
    return rows


def gate_rows(board: pd.DataFrame) -> list[dict[str, Any]]:
    """Every condition of every problem, failed ones first."""
    rows = [
        {
            "problem": f"{gate['dataset']}/{gate['model']}",
            "seed": gate["problem_seed"],
            "name": gate["name"],
            "value": f"{gate['value']:.3f}",
            "needed": (needed := needed_label(gate, "≥", "≤")),
            "passed": gate["passed"],
            "limits": needed != "",
        }
        for gate in gate_conditions(board).to_dict("records")
    ]
    return sorted(rows, key=lambda r: r["passed"])


def failure_rows(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """What has no score and why, equal reasons together, failures before the rest."""
    bad = cells[~cells["status"].isin(("ok",))]
    pairs = zip(bad["error_kind"], bad["message"], strict=True)
    reason = [shortened(": ".join(t for t in pair if isinstance(t, str) and t)) for pair in pairs]
    rows = []
    for (status, why), group in bad.assign(reason=reason).groupby(["status", "reason"], sort=True):
        problems = list(dict.fromkeys(problem_labels(group)))
        rows.append(
            {
                "status": str(status),
                "failed": status in FAILURES or status == "missing",
                "reason": str(why),
                "cells": len(group),
                "explainers": group["explainer"].unique().tolist(),
                "metrics": group["metric"].unique().tolist(),
                "problems": problems,
            }
        )
    rows.sort(key=_gravity)
    return rows[:MAX_ROWS]


def _gravity(row: dict[str, Any]) -> tuple[bool, int]:
    return not row["failed"], -row["cells"]


def run_facts(manifest: dict[str, Any]) -> dict[str, Any]:
    """Where the numbers of a run come from."""
    origin = manifest.get("provenance", {})
    git, machine = origin.get("git") or {}, origin.get("machine", {})
    facts = {
        "started": str(manifest.get("started", ""))[:19].replace("T", " "),
        "cells planned": f"{manifest.get('n_cells', 0):,}" + ("" if manifest.get("whole", True) else ", part of it"),
        "command": " ".join(map(str, origin.get("argv", []))),
        "revision": f"{git.get('sha', '')[:12]}{' with changes' if git.get('dirty') else ''}" if git else "no checkout",
        "python": origin.get("python", ""),
        **origin.get("packages", {}),
        "system": machine.get("system", ""),
        "processor": ", ".join(str(x) for x in (machine.get("processor"), machine.get("cores")) if x) + " cores",
        "GPUs": ", ".join(machine.get("gpus", [])) or "none",
        "device": manifest.get("device", ""),
        "threads": str(origin.get("threads", "")),
        "deterministic algorithms": str(origin.get("deterministic", "")),
        "environment": ", ".join(f"{k}={v}" for k, v in origin.get("environment", {}).items()),
        "plugins": ", ".join(manifest.get("plugins", [])) or "none",
    }
    return {
        "suite": manifest["suite"],
        "run": manifest["run"],
        "facts": {k: v for k, v in facts.items() if v},
        "resolved": json.dumps(manifest.get("resolved_suite", {}), indent=2, ensure_ascii=False),
    }


def curve_points(curves: Curves) -> list[int]:
    """Points of a curve that are also given as numbers: at most six."""
    n = len(curves.share)
    return sorted({round(i * (n - 1) / 5) for i in range(6)})


def curve_rows(curves: Curves) -> list[tuple[str, list[str]]]:
    """Mean curves as numbers with their intervals, a line per explainer."""
    rows = []
    for line in curves.lines:
        found = line.curve
        points = curve_points(curves)
        texts = [f"{number(found.mean[i], 2)} {interval(found.low[i], found.high[i])}".strip() for i in points]
        rows.append((line.label, texts))
    return rows

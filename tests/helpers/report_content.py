"""A report's content with known numbers, and names that try to break out of the page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.results import concat, make_results
from xaibench.analysis.claims.verdicts import claims_table
from xaibench.analysis.explainer_agreement import Explanations, explainer_agreement
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.mean_curves import mean_curve
from xaibench.report.html.content import Content, Curves, ExplainerCurves, Gallery, Instance, Map
from xaibench.suite import Claim

HOSTILE = "<script>alert(1)</script>"
CLOSING = '</script><img src=x onerror="alert(2)">\u2028$x$'
EXPLAINERS = ("good_explainer", "fair_explainer", "twin_of_fair", "poor_explainer", HOSTILE)
CONTROLS = ("random", "constant", "oracle")
SHIFT = {"good_explainer": 2.0, "fair_explainer": 1.0, "poor_explainer": 0.1, HOSTILE: 0.5, "oracle": 4.0}
N = 40


def make_cells(n_datasets: int = 12, *, seed: int = 0) -> pd.DataFrame:
    """Two metrics on several data sets, and a failure with a message that tries to end the script element."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(n_datasets):
        scores = {name: rng.normal(SHIFT.get(name, 0.0), 1, N) for name in (*EXPLAINERS, *CONTROLS)}
        scores["twin_of_fair"] = scores["fair_explainer"]
        masked = {"metric": "relevance_rank", "family": "ground_truth", "truth_kind": "model", "skill_valid": True}
        parts.append(make_results(scores, dataset=f"data_{k:02}", **masked))
        parts.append(make_results({**scores, "constant": "unsupported"}, dataset=f"data_{k:02}", metric="infidelity"))
    parts.append(
        make_results(
            {"good_explainer": rng.normal(2, 1, N), HOSTILE: "failed", "random": rng.normal(0, 1, N)},
            dataset=CLOSING,
            model=HOSTILE,
            messages={HOSTILE: CLOSING},
            gates=[{"name": HOSTILE, "value": 0.5, "threshold": 0.9, "at_least": True}],
        )
    )
    return concat(*parts)


def make_content(n_datasets: int = 12, *, examples: bool = True) -> Content:
    """Content of a report with everything that a store may hold."""
    cells = make_cells(n_datasets)
    claim = {
        "id": "first",
        "statement": f"{HOSTILE} is worse",
        "source": CLOSING,
        "left": {"metric": "relevance_rank", "explainer": "good_explainer"},
        "right": {"metric": "relevance_rank", "explainer": "poor_explainer"},
        "direction": "greater",
    }
    judged = claims_table(cells, [Claim.model_validate(claim)], suite="suite")
    rng = np.random.default_rng(1)
    manifest = {
        "suite": "suite", "run": 1, "n_cells": len(cells), "whole": True, "started": "2026-01-01T00:00:00+00:00",
        "provenance": {"argv": ["xaibench", CLOSING], "packages": {"torch": "2"}, "git": {"sha": "a" * 40}},
        "resolved_suite": {"name": "suite", "description": CLOSING},
    }  # fmt: skip
    maps = Explanations(
        ("data_00", "cnn", "first"), [(name, "{}") for name in EXPLAINERS], rng.standard_normal((5, 6, 16)),
        np.ones(5, dtype=bool), [f"s{i}" for i in range(6)],
    )  # fmt: skip
    return Content(
        store=f"results/{HOSTILE}",
        board=leaderboard(cells, suite="suite"),
        cells=cells,
        claims=judged,
        runs=[manifest],
        audit=_audit(),
        agreement=explainer_agreement([maps], suite="suite"),
        galleries=(_gallery("image", rng), _gallery("table", rng)) if examples else (),
        curves=(_curves(rng),) if examples else (),
        notes={"curves": (CLOSING,)},
    )


def _audit() -> pd.DataFrame:
    row = {"suite": "suite", "dataset": "data_00", "model": "cnn", "params": "{}", "asked_output": ""}
    return pd.DataFrame(
        [
            {**row, "metric": "infidelity", "trust": 0.0, "verdict": "broken", "diagnosis": CLOSING},
            {**row, "metric": "relevance_rank", "trust": 0.8, "verdict": "trusted", "diagnosis": HOSTILE,
             "auroc": 0.99, "auroc_low": 0.97, "auroc_high": 1.0},
        ]
    )  # fmt: skip


def _gallery(features: str, rng: np.random.Generator) -> Gallery:
    shape = (8, 8) if features == "image" else (6,)
    inputs = rng.random((1, *shape)) if features == "image" else rng.standard_normal(shape)
    maps = (
        Map("good_explainer", "contribution", rng.standard_normal(shape), 0.9),
        Map(HOSTILE, "saliency", rng.random(shape), float("nan")),
        Map("poor_explainer", "slope", np.full(shape, np.nan), 0.1),
    )
    truth = np.zeros(shape, dtype=bool)
    truth.flat[:3] = True
    instance = Instance("0123456789abcdef", 17, f"worst of {HOSTILE}", inputs, truth, f"explained: {CLOSING}", maps)
    names = () if features == "image" else (HOSTILE, CLOSING, "c", "d", "e", "f")
    return Gallery("suite", f"{features}/{HOSTILE}", features, names, "relevance_rank", True, (instance,))


def _curves(rng: np.random.Generator) -> Curves:
    share = np.linspace(0, 1, 9)
    lines = [
        ExplainerCurves(name, name in CONTROLS, mean_curve(1 - share * rng.random((N, 1))), N)
        for name in (*EXPLAINERS, "random", "oracle")
    ]
    return Curves("suite", f"data_00/{HOSTILE}", "pixel_flipping", share, "probability of the target", tuple(lines))

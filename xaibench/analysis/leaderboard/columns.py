"""Columns of a leaderboard, and those that identify its rows."""

from __future__ import annotations

PROBLEM = ["dataset", "model", "selection"]
COMPARISON_GROUP = [*PROBLEM, "metric", "params", "asked_output"]
"""Rows that agree in these are compared with each other: explainers, on one problem, with one metric of one output."""
ENTRY = ["explainer", "explainer_params"]
METRIC_FAMILIES = ("faithfulness", "ground_truth", "axiomatic", "sanity", "robustness", "complexity")
"""In the order in which they are shown: first those in which a placebo should lose."""
CELL_SEEDS = ["problem_seed", "seed", "repeat"]
SCORED = ("ok", "undefined")
LEADERBOARD_COLUMNS: dict[str, str] = {
    "suite": "str", "dataset": "str", "model": "str", "selection": "str", "explainer": "str",
    "explainer_params": "str", "metric": "str", "params": "str", "asked_output": "str", "family": "str",
    "construct": "str", "about": "str", "masker": "str", "truth_kind": "str", "output": "str", "conversion": "str",
    "sign": "str", "channels": "str", "scope": "str", "higher_is_better": "bool", "aggregate": "str",
    "value": "float64", "ci_low": "float64", "ci_high": "float64", "estimand": "str", "skill": "float64",
    "skill_low": "float64", "skill_high": "float64", "placebo": "str", "placebo_value": "float64",
    "beats_placebo": "boolean", "p_placebo": "float64", "loses_to_placebo": "boolean", "p_loses": "float64",
    "p_placebo_alone": "float64", "p_loses_alone": "float64", "placebo_effect": "float64", "n_placebos": "int64",
    "rank": "float64", "rank_low": "float64", "rank_high": "float64", "tie_group": "str", "win_rate": "float64",
    "n_ranked": "int64", "control": "bool",
    "gate_passed": "boolean", "gates": "str", "status": "str", "n": "int64", "n_undefined": "int64",
    "n_partly": "int64", "n_seeds": "int64", "n_draws": "int64", "n_cells": "int64", "n_unsupported": "int64",
    "n_failed": "int64", "n_missing": "int64", "explain_seconds": "float64", "score_seconds": "float64",
    "explain_memory": "float64", "score_memory": "float64", "message": "str",
}  # fmt: skip
DESCRIPTIVE_COLUMNS = [
    "family", "truth_kind", "output", "conversion", "sign", "channels", "scope", "higher_is_better", "aggregate",
    "skill_valid", "control",
]  # fmt: skip
NO_RANKS = "not ranked: the metric describes explanations and does not rank them"
"""Start of the message in every row of a metric that declares ``ranks=False``."""
CONDITIONAL = "conditional on this model"
REPEATED = "repeats on these data"
SINGLE = "one repeat, no interval"
RETRAINED = "retrained models"
ABOUT_FUNCTIONS = "functions of one set"
SETS = "sets of functions"
ABOUT_CASES = "cases of one set"
SETS_OF_CASES = "sets of cases"

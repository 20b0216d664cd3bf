"""The certificates of docs/suites/certify.md, one after the other: `python bench_certify.py FOLDER [NAME ...]`.

One JSON line per certificate goes to standard output: what every copy relied on, and per explainer what it found at
each level, on the twin, and from which reliance on. Nothing is trained in parallel.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import xaibench as xb
from xaibench.report.certificate import threshold_text

TABLES = ("breast_cancer", "compas", "german_credit")
RECIPES = ("logistic_regression", "gradient_boosting", "mlp")
FEW = ["tabular_lime", "occlusion", "lime", "kernel_shap", "shapley_sampling"]
OF_NETS = [*FEW, "gradient", "input_x_gradient", "integrated_gradients", "lrp"]
"""The explainers of tables, and those of networks beside them."""
LEVELS = (0, 0.3, 0.6, 1)
CSV = """
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

pipeline = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["purpose", "region"]), remainder="passthrough"
    ),
    GradientBoostingClassifier(n_estimators=50),
)


def write(path):
    rng = np.random.default_rng(0)
    n = 2000
    purposes = ["car", "house", "study", "travel"]
    frame = pd.DataFrame({
        "income": rng.normal(3000, 800, n).round(), "debt": rng.exponential(5000, n).round(),
        "age": rng.integers(20, 70, n), "purpose": rng.choice(purposes, n, p=[.4, .3, .2, .1]),
        "region": rng.choice(["north", "south", "east"], n),
    })
    risk = frame["debt"] / frame["income"] + (frame["purpose"] == "travel") + rng.normal(0, 0.7, n)
    frame["default"] = np.where(risk > risk.quantile(0.7), "yes", "no")
    frame.to_csv(path, index=False)
"""


def with_mean(names: list[str]) -> list[Any]:
    """Explainers with the mean as masker or baseline, as certify names them by itself."""
    from xaibench.api.certify_explainers import MEAN, with_masker

    return [with_masker(name, MEAN) for name in names]


def certificates() -> dict[str, dict[str, Any]]:
    """Arguments of every certificate, by name; the cheapest first."""
    found: dict[str, dict[str, Any]] = {}
    for table in TABLES:
        for recipe in RECIPES:
            more = {"explainers": with_mean(OF_NETS if recipe == "mlp" else FEW)}
            copies = 1 if recipe == "mlp" and table != "breast_cancer" else 3
            found[f"{table}/{recipe}/new"] = {"model": recipe, "data": table, "copies": copies, **more}
    images = {"model": "cnn", "data": "digits"}
    nets = {"explainers": with_mean(OF_NETS)}
    few_images = ["gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "lrp", "grad_cam", "occlusion"]
    found |= {
        "breast_cancer/mlp/overwrite": {"model": "mlp", "data": "breast_cancer", "plant": "overwrite", **nets},
        "breast_cancer/gradient_boosting/overwrite": {
            "model": "gradient_boosting", "data": "breast_cancer", "plant": "overwrite", "explainers": with_mean(FEW),
        },
        "german_credit/gradient_boosting/category": {
            "model": "gradient_boosting", "data": "german_credit", "plant": "category", "explainers": with_mean(FEW),
        },
        "breast_cancer/mlp/pair": {"model": "mlp", "data": "breast_cancer", "plant": "pair", **nets},
        "compas/gradient_boosting/pair": {
            "model": "gradient_boosting", "data": "compas", "plant": "pair", "explainers": with_mean(FEW),
        },
        "breast_cancer/logistic_regression/new/agree": {
            "model": "logistic_regression", "data": "breast_cancer", "protocol": "agree", "levels": (0, 0.6, 0.8, 1),
            "explainers": with_mean(FEW),
        },
        "own_csv/pipeline/new": {
            "model": "recipes.py:pipeline", "data": "loans.csv", "target": "default", "explainers": with_mean(FEW),
        },
        "own_csv/pipeline/category": {
            "model": "recipes.py:pipeline", "data": "loans.csv", "target": "default", "plant": "category",
            "explainers": with_mean(FEW),
        },
        "digits/cnn/patch": {**images, "explainers": with_mean(few_images)},
        "digits/cnn/texture": {**images, "plant": "texture", "explainers": with_mean(few_images)},
        "digits/cnn/tint": {**images, "plant": "tint", "explainers": with_mean(["gradient"])},
        "gender_templates/text_lstm/token": {
            "model": "text_lstm", "data": "gender_templates", "model_params": {"epochs": 6},
        },
    }  # fmt: skip
    return found


def line(name: str, found: xb.Certification, seconds: float) -> dict[str, Any]:
    """What is kept of a certificate."""
    copies = found.copies
    levels = copies.drop_duplicates(["level", "copy"])
    explainers = {}
    for row in found.thresholds.to_dict("records"):
        own = copies[(copies["explainer"] == row["explainer"]) & copies["gates_passed"]]
        explainers[row["explainer"]] = {
            "threshold": threshold_text(found.thresholds[found.thresholds["explainer"] == row["explainer"]].iloc[0]),
            "interval": [row["threshold_low"], row["threshold_high"]],
            "ties": row["tie_group"],
            "found": {f"{level:g}": round(float(v), 3) for level, v in own.groupby("level")["found"].mean().items()},
            "overdetermined": round(float(own[own["level"] == 1]["found_overdetermined"].mean()), 3),
            "twin": round(row["found_on_twin"], 3),
            "verdict": row["verdict"],
        }
    return {
        "name": name,
        "seconds": round(seconds, 1),
        "plant": found.prepared.plant,
        "column": found.prepared.column,
        "original": found.prepared.original.accuracy,
        "proved": found.proved,
        "message": found.message,
        "failures": [[level, copy, list(why)] for level, copy, why in found.certificate.failures],
        "levels": {
            f"{level:g}": {
                key: [round(float(v), 3) for v in part[key]] for key in ("reliance", "dominance", "clean_accuracy")
            }
            for level, part in levels.groupby("level")
        },
        "decisive": {f"{k:g}": int(v) for k, v in copies.groupby("level")["n"].min().items()},
        "explainers": explainers,
    }


def main(store: str, *names: str) -> None:
    """Write the CSV file and its recipe into the folder, and certify."""
    known = certificates()
    folder = Path(store)
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    Path("recipes.py").write_text(CSV)
    space: dict[str, Any] = {}
    exec(CSV, space)
    space["write"]("loans.csv")
    for name in names or known:
        started = time.perf_counter()
        try:
            found = xb.certify(**{"levels": LEVELS, "rows": 100, "copies": 1, **known[name]}, store="store")
            said = line(name, found, time.perf_counter() - started)
        except Exception as error:
            said = {"name": name, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Seconds that leaderboards of 100,000 synthetic cells take: ``python tests/bench/bench_leaderboard.py``.

A cell holds 48 scores; every problem has 19 explainers, five controls with one draw and the random
control with ten, as in the suite nightly. ``ties`` scores in tenths, so that ranks and tests meet ties.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import time

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.table import leaderboard

EXPLAINERS = [f"explainer_{i:02}" for i in range(19)]
CONTROLS = ["oracle", "random_smooth", "other_sample", "constant", "input_edges"]
RANDOM_DRAWS = 10
SAMPLES = 48
SHAPES = {
    "one training, one draw": (1, 1, False),
    "three trainings, three draws": (3, 3, False),
    "one training, one draw, ties": (1, 1, True),
}


def make_cells(n_cells: int, problem_seeds: int, seeds: int, *, ties: bool, n_metrics: int = 50) -> pd.DataFrame:
    """Columns of result rows that a leaderboard reads, for about ``n_cells`` cells."""
    rng = np.random.default_rng(0)
    entries = [(name, 0) for name in [*EXPLAINERS, *CONTROLS]] + [("random", k) for k in range(RANDOM_DRAWS)]
    n_fields = max(1, round(n_cells / (len(entries) * problem_seeds * seeds)))
    skill = {name: rng.normal(1, 0.5) for name, _ in entries}
    rows = []
    ids = [f"row{i}" for i in range(SAMPLES)]
    families = ("faithfulness", "ground_truth", "robustness", "complexity", "axiomatic")
    for field in range(n_fields):
        problem, metric = divmod(field, n_metrics)
        for problem_seed in range(problem_seeds):
            for seed in range(seeds):
                for name, repeat in entries:
                    centre = 3.0 if name == "oracle" else 0.0 if name in CONTROLS or name == "random" else skill[name]
                    scores = rng.normal(centre, 1, SAMPLES)
                    rows.append(
                        (
                            f"data{problem:03}", "cnn", "first", problem_seed, f"metric{metric:02}",
                            families[metric % len(families)], name, seed, repeat, name in CONTROLS or name == "random",
                            np.round(scores, 1) if ties else scores,
                        )
                    )  # fmt: skip
    frame = pd.DataFrame(
        rows,
        columns=[
            "dataset", "model", "selection", "problem_seed", "metric", "family", "explainer", "seed", "repeat",
            "control", "scores",
        ],
    )  # fmt: skip
    frame["scores"] = [s.astype(np.float32) for s in frame["scores"]]
    frame["sample_ids"] = [np.array(ids, dtype=object) for _ in range(len(frame))]
    constant = {
        "params": '{"masker":"mean","steps":32}', "explainer_params": "{}", "asked_output": None, "output": "logit",
        "conversion": None, "sign": None, "channels": None, "scope": "sample", "truth_kind": None,
        "higher_is_better": True, "aggregate": "mean", "status": "ok", "message": None,
        "gate_passed": True, "gates": "[]", "explain_seconds": 0.5, "score_seconds": 0.25,
    }  # fmt: skip
    return frame.assign(
        **constant,
        fingerprint=frame["problem_seed"].astype(str) + frame["dataset"],
        skill_valid=frame["family"] == "ground_truth",
    ).sample(frac=1, random_state=0, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"load {load:.1f} on {os.cpu_count()} cores")
    for name, (problem_seeds, seeds, ties) in SHAPES.items():
        cells = make_cells(options.cells, problem_seeds, seeds, ties=ties)
        profile = cProfile.Profile()
        wall, cpu = time.perf_counter(), time.process_time()
        if options.profile:
            profile.enable()
        board = leaderboard(cells, suite="bench")
        profile.disable()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{name}: {len(cells)} cells, {len(board)} rows, {wall:.2f} s ({cpu:.2f} s of processor time)")
        if options.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()

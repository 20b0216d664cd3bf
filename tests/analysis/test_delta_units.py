"""The gate's practical delta has the unit of the score: what an output is measured in changes no verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.gate_verdicts import METRICS, SETTINGS, verdict
from helpers.results import concat, make_results

from xaibench.analysis.regressions.verdicts import RegressionSettings, compare_runs

IN_OUTPUT_UNIT = sorted(
    name for name, s in METRICS.items() if s.has_output_unit({}) and None not in s.bounds and s.aggregate == "mean"
)
UNITS = [1e-9, 1e-6, 1e-3, 1.0, 1e4, 1e9]


def scores(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.3, 0.7, n)


def test_what_is_in_the_unit_of_the_output_is_declared() -> None:
    assert set(IN_OUTPUT_UNIT) == {
        "abpc", "comprehensiveness", "confidence", "deletion", "fid_delta", "fid_minus", "fid_plus", "insertion",
        "pgi", "pgu", "pixel_flipping", "region_perturbation", "road_lerf", "road_morf", "robust_fid_delta",
        "robust_fid_minus", "robust_fid_plus", "selectivity", "sufficiency", "truth_over_trivial",
    }  # fmt: skip


def test_three_times_the_score_in_thousandths_is_a_regression() -> None:
    base = 1e-3 * scores()
    row = verdict(base, 3 * base)
    assert row["verdict"] == "regressed"
    assert row["delta"] == pytest.approx(0.02 * base.mean(), rel=1e-6)


def test_half_a_thousandth_of_ten_thousands_is_none() -> None:
    base = 1e4 * scores()
    row = verdict(base, 1.0005 * base)
    assert row["verdict"] == "changed"
    assert row["effect"] > 2
    assert row["delta"] == pytest.approx(0.02 * base.mean(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.0, "same"), (1.00003, "same"), (1.01, "changed"), (1.03, "regressed"), (3.0, "regressed"), (0.9, "improved")],
)
@pytest.mark.parametrize("output", ["value", "logit"])
def test_the_unit_changes_no_verdict(unit: float, factor: float, expected: str, output: str) -> None:
    base = unit * scores()
    assert verdict(base, factor * base, output=output)["verdict"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("metric", IN_OUTPUT_UNIT)
@pytest.mark.parametrize("unit", [1e-3, 1e4])
def test_every_metric_in_the_unit_of_the_output(metric: str, unit: float) -> None:
    sign = -1 if METRICS[metric].higher_is_better else 1
    base = unit * scores()
    facts = {"higher_is_better": METRICS[metric].higher_is_better}
    assert verdict(base, base * (1 + 0.05 * sign), metric, **facts)["verdict"] == "regressed"
    assert verdict(base, base * (1 + 0.01 * sign), metric, **facts)["verdict"] == "changed"
    assert verdict(base, base, metric, **facts)["verdict"] == "same"


@pytest.mark.slow
@pytest.mark.parametrize("metric", IN_OUTPUT_UNIT)
def test_probabilities_keep_their_absolute_delta(metric: str) -> None:
    higher = METRICS[metric].higher_is_better
    worse = -0.015 if higher else 0.015
    row = verdict(scores(), scores() + worse, metric, output="probability", higher_is_better=higher)
    assert (row["verdict"], row["delta"]) == ("changed", 0.02)
    row = verdict(scores(), scores() + 2 * worse, metric, output="probability", higher_is_better=higher)
    assert row["verdict"] == "regressed"


@pytest.mark.parametrize(("measure", "delta"), [("accuracy", 0.02), ("output", 0.02 * 100 * 0.5)])
def test_parameters_decide_about_the_unit(measure: str, delta: float) -> None:
    base = np.full(200, 100 * 0.5)
    row = verdict(base, base + 1e-2 * np.arange(200), "road_morf", params=f'{{"measure":"{measure}"}}')
    assert row["delta"] == pytest.approx(delta)


@pytest.mark.parametrize("metric", ["relevance_mass", "faithfulness_correlation", "monotonicity", "sparseness"])
def test_scores_without_a_unit_keep_their_absolute_delta_whatever_the_output(metric: str) -> None:
    assert verdict(scores(), scores() + 0.01, metric)["delta"] == 0.02


def test_a_delta_that_is_given_counts_as_it_is() -> None:
    base = 1e4 * scores()
    row = verdict(base, 1.0005 * base, settings={"deltas": {"pixel_flipping": 1.0}})
    assert (row["verdict"], row["delta"]) == ("regressed", 1.0)


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1.0])
def test_rounding_of_an_explainer_whose_scores_are_about_zero(unit: float) -> None:
    """A map that removes nothing has differences of rounding size; those of others say how large an output is."""
    noise = 1e-7 * np.random.default_rng(1).normal(size=(2, 200))
    good = scores()
    old, new = (
        make_results({"good": unit * good, "idle": unit * e}, metric="comprehensiveness", output="value") for e in noise
    )
    found = compare_runs(old, new, RegressionSettings(**SETTINGS)).set_index("explainer")["verdict"]
    assert found.to_dict() == {"good": "same", "idle": "same"}


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_retrained_models_too(unit: float) -> None:
    def side(factor: float, weights: str) -> pd.DataFrame:
        return concat(
            *(
                make_results(
                    {"a": unit * factor * scores(seed=s)}, problem_seed=s, fingerprint=f"{weights}{s}", output="value",
                    higher_is_better=False,
                )
                for s in range(6)
            )
        )  # fmt: skip

    row = compare_runs(side(1.0, "w"), side(1.1, "v"), RegressionSettings(**SETTINGS)).iloc[0]
    assert (row["weights"], row["verdict"]) == ("retrained", "regressed")
    row = compare_runs(side(1.0, "w"), side(1.003, "v"), RegressionSettings(**SETTINGS)).iloc[0]
    assert row["verdict"] == "changed"


def test_where_nothing_is_drawn_a_share_of_the_share_counts() -> None:
    base = 1e-3 * scores()
    ids = frozenset(make_results({"a": base}, higher_is_better=False)["cell_id"])
    assert verdict(base, base * 1.002, settings={"exact": ids})["verdict"] == "regressed"
    assert verdict(base, base * 1.0005, settings={"exact": ids})["verdict"] == "changed"


def test_scores_of_another_output_are_not_compared() -> None:
    old = make_results({"a": scores()}, output="probability")
    new = make_results({"a": 100 * scores()}, output="logit")
    (row,) = compare_runs(old, new, RegressionSettings(**SETTINGS)).to_dict("records")
    assert row["verdict"] == "lost"
    assert row["message"] == "declared otherwise: output probability to logit"

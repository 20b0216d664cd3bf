"""Tables rendered to text: names whole, marks there, within the width, without colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.printed import text_of
from helpers.results import concat, make_results

from xaibench.analysis.claims.verdicts import claims_table
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.overall import overall
from xaibench.analysis.ranks.relative_ranks import mean_ranks
from xaibench.core.errors import UsageError
from xaibench.core.gates import Gate, measured_only
from xaibench.report.claims import FEW_CHANGES_NOTE, claims_report
from xaibench.report.html.tables import gate_rows
from xaibench.report.overall import overall_table
from xaibench.report.terminal import board_table, failures_table, frame_table, gates_table, metric_table
from xaibench.suite import Claim

GOOD = ("integrated_gradients", "shapley_sampling")
BAD = ("guided_backprop", "deconvolution", *(f"explainer_number_{i}" for i in range(14)))
PLACEBOS = ("random_smooth", "other_sample", "constant", "input_edges")
METRICS = {
    "pixel_flipping": "faithfulness", "insertion": "faithfulness", "deletion": "faithfulness",
    "faithfulness_correlation": "faithfulness", "infidelity": "faithfulness", "max_sensitivity": "robustness",
    "mprt": "sanity", "random_logit": "sanity", "relevance_rank": "ground_truth", "relevance_mass": "ground_truth",
    "sparseness": "complexity", "complexity": "complexity", "completeness": "axiomatic",
}  # fmt: skip
FAILED_GATE = [{"name": "accuracy", "value": 0.61, "threshold": 0.9, "at_least": True}]


def scores(seed: int, good: float = 2.0) -> dict[str, Any]:
    r = np.random.default_rng(seed)
    found: dict[str, Any] = {name: r.normal(good, 1, 24) for name in GOOD}
    found |= {name: r.normal(0, 1, 24) for name in (*BAD, *PLACEBOS)}
    return found | {"random": r.normal(0, 1, (10, 24)), "oracle": r.normal(3, 1, 24)}


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    """18 explainers, 13 metrics, 3 problems; one explainer fails on one, one problem has a failed gate."""
    frames = []
    for i, (metric, family) in enumerate(METRICS.items()):
        for k, dataset in enumerate(("digits", "planted_digits", "german_credit")):
            values = scores(100 * k + i)
            if dataset == "digits":
                values["guided_backprop"] = "failed"
            options: dict[str, Any] = {"gates": FAILED_GATE} if dataset == "german_credit" else {}
            frames.append(
                make_results(
                    values, dataset=dataset, metric=metric, family=family, skill_valid=family == "ground_truth",
                    messages={"guided_backprop": "Matrix is singular [at 3]"}, **options,
                )
            )  # fmt: skip
    return concat(*frames)


@pytest.fixture(scope="module")
def board(results: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(results, suite="quick")


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_overview_fits_and_names_everything(board: pd.DataFrame, width: int) -> None:
    text = text_of(board_table(board, legend=True), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    words = set(text.split())
    if width >= 80:
        assert {*GOOD, *BAD, *PLACEBOS, "random", "oracle"} <= words
    assert {w for m in METRICS for w in m.split("_")} <= words
    assert "\x1b" not in text


@pytest.mark.slow
def test_overview_is_two_tables_at_120_columns(board: pd.DataFrame) -> None:
    lines = text_of(board_table(board, legend=True), 120).splitlines()
    assert sum(line.startswith("explainer ") for line in lines) == 2
    assert len(lines) < 75


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.split()[:1] == [name])


@pytest.mark.slow
def test_overview_marks_what_does_not_beat_the_placebo(board: pd.DataFrame) -> None:
    text = text_of(board_table(board, legend=True), 120)
    good, bad = (line_of(text, n).split() for n in ("shapley_sampling", "deconvolution"))
    assert good[1] == "16/16"  # 8 tested metrics on 2 problems with passed gates
    assert good[2:4] == ["2/2", "2/2"]
    assert "16/16" not in bad
    assert (
        "placebo: a control that cannot explain (here constant, input_edges, other_sample, random, random_smooth)"
        in text
    )
    names = [line.split()[0] for line in text.splitlines() if line.startswith(("integrated", "shapley", "explainer_"))]
    assert set(names[:2]) == set(GOOD)  # the most trustworthy first


def test_overview_marks_who_loses_and_is_in_the_order_of_overall_ranks() -> None:
    wins = {"last": (-9, -9, -9, -9), "once": (7, -7, -7, -7), "often": (8, 8, 8, -8), "always": (9, 9, 9, 9)}
    r = np.random.default_rng(0)
    frames = [
        make_results({k: v[i] + r.normal(0, 1, 24) for k, v in wins.items()} | {"random": r.normal(0, 1, 24)}, metric=m)
        for i, m in enumerate(("insertion", "deletion", "infidelity", "completeness"))
    ]
    text = text_of(board_table(leaderboard(concat(*frames), suite="s")), 100)
    lines = [line.split()[:4] for line in text.splitlines() if line.split()[:1] and line.split()[0] in wins]
    assert lines[0][:2] == ["always", "4/4"]
    assert lines[1:] == [["often", "!", "3/4", "1"], ["once", "!", "1/4", "3"], ["last", "!", "0/4", "4"]]
    assert "placebo:" not in text  # what words mean is asked for


@pytest.mark.slow
def test_overview_says_what_is_incomplete_and_left_out(board: pd.DataFrame) -> None:
    text = text_of(board_table(board, legend=True), 120)
    assert line_of(text, "guided_backprop").count("~") == 5
    assert line_of(text, "deconvolution").count("~") == 0
    assert "~ ranked on fewer problems" in text
    assert "left out: 1 problem whose gate failed" in text
    assert "conditional on the trained models" in text


@pytest.mark.slow
def test_overview_of_one_problem_shows_values(board: pd.DataFrame) -> None:
    one = board[board["dataset"] == "planted_digits"]
    text = text_of(board_table(one, legend=True), 120)
    row = one[(one["explainer"] == "shapley_sampling") & (one["metric"] == "deletion")].iloc[0]
    assert f"* #{row['rank_low']:.0f}-{row['rank_high']:.0f}" in line_of(text, "shapley_sampling")
    assert f"{row['value']:#.3g}" in line_of(text, "shapley_sampling")
    assert "*" not in line_of(text, "random")
    assert "higher" in text


@pytest.mark.slow
def test_overview_warns_when_the_oracle_is_beaten_and_when_no_placebo_is_there() -> None:
    values = scores(1)
    values["oracle"] = values["constant"] - 1
    blind = leaderboard(make_results(values, family="ground_truth", metric="relevance_rank"), suite="s")
    assert "the oracle itself does not beat the placebos for relevance_rank on digits/cnn" in text_of(
        board_table(blind, legend=True), 200
    )
    bare = leaderboard(make_results({k: values[k] for k in GOOD}), suite="s")
    assert "no placebo was scored" in text_of(board_table(bare, legend=True), 200)


@pytest.mark.slow
def test_overview_of_one_explainer_still_knows_its_placebos(board: pd.DataFrame) -> None:
    text = text_of(board_table(board[board["explainer"] == "shapley_sampling"], legend=True), 120)
    assert line_of(text, "shapley_sampling").split()[1] == "16/16"
    assert "no placebo" not in text
    assert "placebo: a control that cannot explain; an explainer beats" in text  # which ones, these rows do not say


@pytest.mark.slow
def test_overview_says_why_nothing_is_tested(board: pd.DataFrame) -> None:
    text = " ".join(text_of(board_table(board[board["family"] == "complexity"], legend=True), 120).split())
    assert "no placebo" not in text
    assert "nothing is tested against placebos: in families other than" in text
    kept = (board["family"] == "complexity") | (board["dataset"] == "german_credit")
    text = " ".join(text_of(board_table(board[kept], legend=True), 120).split())
    assert "nothing is tested against placebos: where faithfulness, ground truth or axiomatic was measured, a" in text


@pytest.mark.slow
def test_overview_gives_no_mark_where_samples_are_too_few() -> None:
    values = {k: v[..., :8] for k, v in scores(1, good=9).items() if k not in GOOD} | {"best": np.arange(8) + 50.0}
    text = text_of(board_table(leaderboard(make_results(values), suite="s"), legend=True), 200)
    assert "!" not in text
    assert line_of(text, "best").split()[1:3] == ["too", "few"]
    assert "too few samples to tell: 17 of 17 tests could not have been won" in text
    text = text_of(metric_table(leaderboard(make_results(values), suite="s"), "pixel_flipping"), 120)
    assert "NO" not in text
    assert "too few: too few samples to tell" in text


def test_overview_of_one_problem_says_what_is_a_logarithm() -> None:
    options: dict[str, Any] = {"metric": "completeness", "family": "axiomatic", "higher_is_better": False}
    values = {"a": np.full(24, 1e-8), "random": np.full(24, 1.0)}
    text = text_of(
        board_table(leaderboard(make_results(values, aggregate="median_log10", **options), suite="s"), legend=True), 100
    )
    assert "log10: the value is the median of log10(score)" in text
    assert [line.split()[-1] for line in text.splitlines()[2:5]] == ["completeness", "log10", "lower"]
    text = text_of(board_table(leaderboard(make_results(values, **options), suite="s"), legend=True), 100)
    assert "log10" not in text


def test_controls_are_announced_on_one_line() -> None:
    text = text_of(
        board_table(leaderboard(make_results({"a": np.ones(24), "random": np.zeros(24)}), suite="s"), legend=True), 60
    )
    assert "\n-- controls --\n" in text


def test_overview_of_nothing(board: pd.DataFrame) -> None:
    text = text_of(board_table(board[board["dataset"] == "german_credit"], legend=True), 80)
    assert text == "A gate of the problem failed, so there is nothing to compare.\n"
    assert "nothing to compare" in text_of(board_table(board.iloc[:0], legend=True), 80)


@pytest.mark.slow
def test_overview_tells_variants_apart() -> None:
    frame = make_results(scores(1))
    first = frame[frame["explainer"] == "shapley_sampling"]
    other = first.assign(explainer_params='{"n_samples":9}', cell_id="x")
    text = text_of(board_table(leaderboard(concat(frame, other), suite="s"), legend=True), 100)
    assert "shapley_sampling(n_samples=9)" in text.replace("\n", "")


@pytest.mark.slow
def test_outputs_of_one_metric_are_told_apart() -> None:
    values = scores(1) | {"oracle": scores(1)["constant"] - 1}
    options: dict[str, Any] = {"metric": "relevance_rank", "family": "ground_truth"}
    frames = [make_results(values, **options), make_results(values, asked_output="probability", **options)]
    board = leaderboard(concat(*frames), suite="s")
    text = text_of(board_table(board, legend=True), 120)
    assert ["relevance", "relevance"] in [line.split()[-2:] for line in text.splitlines()]
    assert text.count("(output=probability)") - text.count("relevance_rank(output=probability)") == 1
    assert "for relevance_rank on digits/cnn, relevance_rank(output=probability) on digits/cnn" in " ".join(
        text.split()
    )
    assert line_of(text, "shapley_sampling").count("#") == 2
    text = text_of(metric_table(board, "relevance_rank"), 120)
    heads = [line for line in text.splitlines() if "on digits/cnn" in line]
    assert [head.split()[0] for head in heads] == ["relevance_rank", "relevance_rank(output=probability)"]


def test_metric_table_shows_the_numbers(board: pd.DataFrame) -> None:
    text = text_of(metric_table(board, "relevance_rank", dataset="planted_digits"), 120)
    row = board[(board["metric"] == "relevance_rank") & (board["dataset"] == "planted_digits")].set_index("explainer")
    line = line_of(text, str(int(row.at[GOOD[0], "rank"])))
    for value in row.loc[GOOD[0], ["value", "ci_low", "ci_high", "skill", "skill_low", "skill_high"]]:
        assert f"{value:#.3g}" in line
    assert GOOD[0] in line
    assert "yes" in line
    assert "higher is better" in text
    assert "conditional on this model" in text
    assert "best placebo: " in text
    assert "german_credit" not in text
    assert {*GOOD, *BAD, *PLACEBOS} <= set(text.split())


def test_metric_table_gives_reasons(board: pd.DataFrame) -> None:
    text = text_of(metric_table(board, "mprt", dataset="digits"), 100)
    assert "guided_backprop: failed: Matrix is singular [at 3]" in text
    text = text_of(metric_table(board, "mprt", dataset="german_credit"), 100)
    assert "a gate of the problem failed" in text


@pytest.mark.slow
@pytest.mark.parametrize("width", [50, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_tables_fit_any_width_and_encoding(
    board: pd.DataFrame, results: pd.DataFrame, width: int, encoding: str
) -> None:
    tables = [
        board_table(board, legend=True), metric_table(board, "relevance_rank"), gates_table(board),
        failures_table(results),
        frame_table(mean_ranks(board)[["explainer", "metric", "relative_rank"]]),
        overall_table(overall(board, missing="worst")),
    ]  # fmt: skip
    for table in tables:
        text = text_of(table, width, encoding)
        assert text == "\n".join(line.rstrip() for line in text.splitlines()).rstrip() + "\n"
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        if width >= 80 and table is not tables[3]:
            assert "integrated_gradients" in text or table is tables[2]


def test_metric_table_knows_what_there_is(board: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="no metric 'relevance_rnk'") as error:
        metric_table(board, "relevance_rnk")
    assert "'relevance_rank'" in str(error.value.hint)
    with pytest.raises(UsageError, match="no dataset 'mnist'"):
        metric_table(board, "mprt", dataset="mnist")


def test_failed_gates_are_listed_with_their_numbers(board: pd.DataFrame) -> None:
    text = text_of(gates_table(board), 100)
    line = next(line for line in text.splitlines() if "german_credit/cnn" in line)
    assert {"0.610", ">=", "0.900", "FAILED"} <= set(line.replace("│", " ").split())
    assert "planted" not in text
    assert "planted_digits/cnn" in text_of(gates_table(board, every=True), 100)
    assert gates_table(board[board["dataset"] == "digits"]) is None


def test_values_that_are_only_measured_show_no_condition() -> None:
    gates = [measured_only("dominance", 0.25).document, Gate("gain", 0.5, -1.0).document]
    found = leaderboard(make_results({"gradient": [1.0, 2.0], "random": [0.0, 1.0]}, gates=gates), suite="s")
    lines = text_of(gates_table(found, every=True), 100).replace("│", " ").splitlines()
    shown = {line.split()[2]: line.split()[3:] for line in lines if "digits/cnn" in line}
    assert shown == {"dominance": ["0.250"], "gain": ["0.500", ">=", "-1.000", "passed"]}
    assert [(g["name"], g["needed"], g["limits"]) for g in gate_rows(found)] == [
        ("dominance", "", False), ("gain", "≥ -1.000", True),
    ]  # fmt: skip


def test_failures_with_one_reason_are_one_line(results: pd.DataFrame) -> None:
    text = text_of(failures_table(results), 120)
    line = next(line for line in text.splitlines() if "guided_backprop" in line)
    assert line.split()[0] == "13"
    assert "RuntimeError: Matrix is singular [at 3]" in line
    assert "digits/cnn" in line
    broken = make_results(dict.fromkeys(GOOD, "failed"), messages=dict.fromkeys(GOOD, "no such file"))
    line = text_of(failures_table(broken), 120).splitlines()[-1]
    assert line.split()[:5] == ["2", "integrated_gradients", "and", "1", "more"]
    assert failures_table(results[results["status"] == "ok"]) is None


def test_failures_beyond_the_limit_are_counted() -> None:
    values = {f"e{i}": "failed" for i in range(5)}
    frame = make_results(values, messages={k: f"reason {k}" for k in values})
    assert "and 3 more kinds of failure" in text_of(failures_table(frame, limit=2), 100)


@pytest.mark.slow
def test_claims_say_how_many_units_differ_where_few_do() -> None:
    a = np.random.default_rng(0).normal(size=60)
    cells = make_results({"a": a, "b": np.where(np.arange(60) < 4, a - 1, a), "c": a - 1})
    facts = {"source": "s", "statement": "t", "left": {"explainer": "a", "metric": "*"}}
    few, many = (
        claims_table(cells, [Claim(id=f"c.{e}", right={"explainer": e, "metric": "*"}, **facts)], suite="x")
        for e in "bc"
    )
    assert " 4 of 60 " in text_of(claims_report(few), 140)
    assert FEW_CHANGES_NOTE[:20] in text_of(claims_report(few), 140)
    assert " 60 " in text_of(claims_report(many), 140)
    assert FEW_CHANGES_NOTE[:20] not in text_of(claims_report(many), 140)

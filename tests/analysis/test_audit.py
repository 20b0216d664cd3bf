"""The audit as a whole on made-up results: verdicts, trust, diagnoses, and what they need."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.audit.audit import AUDIT_COLUMNS, audit
from xaibench.analysis.audit.trials import AttributionFacts, size_and_rest, trials
from xaibench.analysis.ranks.metric_weights import weights_elsewhere
from xaibench.core.errors import UsageError

N, FEW = 24, 8
NOISE = {0.0: "oracle", 1.0: "degraded_oracle", np.inf: "random"}
SEEDS = (0, 1, 2)
EXPLAINERS = ("oracle", "degraded_oracle", "random", "gradient", "lime", "rise")
SELECTION = "test[:{}] predicted default train[:64]"
STEADY = ("oracle", "gradient", "lime", "rise")
QUALITY = {"oracle": 1.0, "degraded_oracle": 0.6, "random": 0.0, "gradient": 0.8, "lime": 0.5, "rise": 0.4}


def noise_of(name: str, seed: int, n: int = N) -> np.ndarray:
    return np.random.default_rng([sum(map(ord, name)), seed]).standard_normal(n)


def sound(name: str, seed: int, *, sd: float = 0.1, n: int = N) -> np.ndarray:
    """Quality, a part of the sample, and a little noise."""
    sample = np.random.default_rng(99).random(n)
    return QUALITY[name] + 0.2 * sample + sd * noise_of(name, seed, n)


def cells(metric, score, *, n=N, seeds=SEEDS, names=EXPLAINERS, **facts):
    """Results of one metric: ``score(name, seed)`` gives the scores of the first n samples."""
    frames = [
        make_results({name: score(name, seed)[:n] for name in names}, metric=metric, seed=seed, **facts)
        for seed in seeds
    ]
    found = concat(*frames)
    found["selection"] = SELECTION.format(n)
    found["attribution_kind"] = "saliency"
    degraded = found["explainer"] == "degraded_oracle"
    found.loc[degraded, "explainer_params"] = '{"noise":1.0}'
    return found


def maps(names=STEADY, few=FEW) -> AttributionFacts:
    large, small = SELECTION.format(N), SELECTION.format(few)
    alike = {("digits", "cnn", small, large, name, "{}", seed) for name in names for seed in SEEDS}
    return AttributionFacts(frozenset(("digits", "cnn", large, name, "{}") for name in names), frozenset(alike))


def judged(*frames: pd.DataFrame, known: AttributionFacts | None = None) -> pd.DataFrame:
    metrics, _ = audit(concat(*frames), suite="mine", maps=maps() if known is None else known)
    assert list(metrics.columns) == AUDIT_COLUMNS
    return metrics.set_index("metric")


def test_a_sound_metric_is_trusted():
    row = judged(cells("good", sound), cells("good", sound, n=FEW)).loc["good"]
    assert row["verdict"] == "trusted"
    assert row["contrast"] == "oracle > 1 with noise > random"
    assert row["diagnosis"] == "keeps the known order, also with another seed"
    assert row["auroc"] > 0.99
    assert row["trust"] == min(row["trend"], row["icc"])
    assert row["trust"] > 0.8
    assert row["coupled"] == 0
    assert (row["n"], row["n_seeds"], row["n_explanations"], row["n_steady"], row["n_contestants"]) == (24, 3, 6, 4, 3)
    ladder = json.loads(row["ladder"])
    assert [rung["worse"][0] for rung in ladder] == ["degraded_oracle", "random"]
    assert all(rung["low"] <= rung["auroc"] <= rung["high"] for rung in ladder)


def test_lower_may_be_better():
    row = judged(cells("good", lambda *a: -sound(*a), higher_is_better=False)).loc["good"]
    assert row["verdict"] == "trusted"
    assert row["auroc"] > 0.99


@pytest.mark.slow
def test_planted_defects_are_named_and_rank_last():
    def coupled(n):
        return lambda name, seed: sound(name, seed) / np.abs(sound(name, seed)[:n]).max()

    frames = [cells(m, s, n=n) for m, s in {"good": sound, "flat": lambda *_: np.full(N, 0.7),
              "blind": lambda *_: np.random.default_rng(5).random(N)}.items() for n in (N, FEW)]  # fmt: skip
    frames += [cells("coupled", coupled(n), n=n) for n in (N, FEW)]
    frames += [cells("flipped", sound, n=n, higher_is_better=False) for n in (N, FEW)]
    frames += [cells("noise", lambda name, seed: noise_of(name, seed), n=n) for n in (N, FEW)]
    frames += [cells("plain", sound, n=n, family="complexity") for n in (N, FEW)]
    found = judged(*frames)
    assert list(found.index[:3]) == ["good", "noise", "plain"]
    assert list(found["verdict"][:3]) == ["trusted", "weak", "undecided"]
    broken = found[found["verdict"] == "broken"]
    assert {m: d.partition(":")[0] for m, d in broken["diagnosis"].items()} == {
        "flat": "constant",
        "blind": "ignores the explanation",
        "coupled": "batch-coupled",
        "flipped": "sign-flipped",
    }
    assert (broken["trust"] == 0).all()
    assert found.loc["plain", "diagnosis"] == "no explanations of known order under this metric"
    assert np.isnan(found.loc["plain", "trust"])


def test_coupling_seen_on_one_problem_counts_on_all():
    def coupled(n):
        return lambda name, seed: sound(name, seed) / np.abs(sound(name, seed)[:n]).max()

    elsewhere = cells("coupled", coupled(N), dataset="mnist")
    found = judged(cells("coupled", coupled(N)), cells("coupled", coupled(FEW), n=FEW), elsewhere)
    assert list(found["verdict"]) == ["broken", "broken"]
    assert found["diagnosis"].str.contains("digits/cnn").all()


def test_coupling_is_not_tried_on_maps_that_change_themselves():
    frames = cells("good", sound), cells("good", lambda *a: 2 * sound(*a), n=FEW)
    row = judged(*frames, known=AttributionFacts(maps().steady)).loc["good"]
    assert row["verdict"] == "trusted"
    assert np.isnan(row["coupled"])
    assert "whether scores depend on the other samples was not tried" in row["diagnosis"]


def test_scores_that_change_with_the_seed_are_weak():
    row = judged(cells("shaky", lambda name, seed: sound(name, seed, sd=0.5))).loc["shaky"]
    assert row["verdict"] == "weak"
    assert "another seed gives another score (ICC" in row["diagnosis"]
    assert row["icc_low"] < 0.5
    assert row["repeatability"] == pytest.approx(1.96 * np.sqrt(2) * 0.5, rel=0.25)


def test_a_metric_that_cannot_tell_has_no_trust():
    row = judged(cells("noise", noise_of)).loc["noise"]
    assert row["verdict"] == "weak"
    assert row["trust"] == 0
    assert "does not separate the ends of oracle > 1 with noise > random" in row["diagnosis"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seeds": (0,)}, "one seed, so nothing is known about reliability"),
        ({"names": ("gradient", "lime", "rise")}, "no explanations of known order"),
        ({"n": 5}, "fewer than 6 samples"),
        ({"gates": ({"name": "a", "value": 0.5, "threshold": 0.9, "at_least": True},)}, "a gate of the problem failed"),
    ],
)
def test_what_is_missing_leaves_it_undecided(change, reason):
    row = judged(cells("good", sound, **change)).loc["good"]
    assert row["verdict"] == "undecided"
    assert row["diagnosis"].startswith(reason)
    assert np.isnan(row["trust"])


def test_a_failed_gate_makes_no_sign_flipped():
    gates = ({"name": "a", "value": 0.5, "threshold": 0.9, "at_least": True},)
    row = judged(cells("flipped", sound, higher_is_better=False, gates=gates)).loc["flipped"]
    assert row["verdict"] == "undecided"


def test_without_maps_nothing_is_said_about_reliability():
    row = judged(cells("good", sound), known=AttributionFacts()).loc["good"]
    assert row["verdict"] == "undecided"
    assert "no explanation is known to be the same with every seed" in row["diagnosis"]


def test_two_rungs_are_a_ladder_too():
    def steadier(name, seed):
        return sound(name, seed, sd=0.02)

    row = judged(cells("good", steadier, names=("oracle", "random", "gradient"))).loc["good"]
    assert row["contrast"] == "oracle > random"
    assert row["verdict"] == "trusted"


def test_sanity_is_judged_by_a_map_that_never_looks_at_the_model():
    def score(name, seed):
        return noise_of(name, 7) * 0.1 + {"gradient": 1.0}.get(name, 0.0) + 0.01 * noise_of(name, seed)

    names = ("gradient", "input_edges", "lime", "oracle")
    found = judged(cells("mprt", score, names=names, family="sanity"))
    assert found.loc["mprt", "contrast"] == "gradient > input_edges"
    assert found.loc["mprt", "verdict"] == "trusted"


def test_maskers_confidence_and_budgets_are_compared():
    confidence = np.random.default_rng(3).random(N)

    def by_masker(turn):
        """The masker turns the order of the three explainers round, and leaves that of the ladder."""
        centred = {e: q - 1.7 / 3 for e, q in QUALITY.items()}
        turned = {e: turn * q if e in ("gradient", "lime", "rise") else q for e, q in centred.items()}
        return lambda name, seed: turned[name] + 3 * confidence + 0.01 * noise_of(name, seed)

    frames = [
        cells("removal", by_masker(1), params='{"masker":"zero"}'),
        cells("removal", by_masker(-1), params='{"masker":"mean"}'),
        cells("confidence", lambda *_: confidence, names=("random",), family="complexity"),
        *(
            cells("drawn", lambda name, seed, b=b: sound(name, seed, sd=1 / np.sqrt(b)), params=f'{{"n_samples":{b}}}')
            for b in (1, 10_000)
        ),
    ]
    metrics, pairs = audit(concat(*frames), suite="mine", maps=maps())
    found = metrics.set_index(["metric", "params"])
    assert "confidence" not in found.index
    removal = found.loc["removal"]
    assert list(removal["masker_tau"]) == [-1, -1]
    assert (removal["masker_interaction"] > 0.9).all()
    assert (removal["confidence_rho"] > 0.9).all()
    assert removal["diagnosis"].str.contains(r"follows the model's confidence \(rho \d").all()
    assert removal["diagnosis"].str.contains("another masker ranks explainers otherwise (tau -1.00)", regex=False).all()
    small, large = found.loc[("drawn", '{"n_samples":1}')], found.loc[("drawn", '{"n_samples":10000}')]
    assert (small["budget"], small["largest_budget"]) == (1, 10_000)
    assert small["distance"] > 1 > 0.1 > large["distance"]
    assert small["repeatability"] > 10 * large["repeatability"]
    assert "too few draws" in small["diagnosis"]
    one = pairs[(pairs["metric"] == "removal") & (pairs["other_metric"] == "removal")]
    assert list(one["tau"]) == [-1, -1]
    assert (one["n_explainers"] == 3).all()


def test_heavy_tails_are_compared_as_logarithms():
    frame = cells("heavy", lambda *a: 10 ** -sound(*a), higher_is_better=False, aggregate="median_log10")
    row, plain = judged(frame).loc["heavy"], judged(cells("good", sound)).loc["good"]
    assert row["repeatability"] == pytest.approx(plain["repeatability"], rel=1e-4)


def test_order_of_rows_and_data_set_scores_change_nothing():
    frame = concat(cells("good", sound), cells("other", lambda *a: sound(*a) ** 2))
    whole = make_results({e: [0.1, 0.2] for e in EXPLAINERS}, metric="whole", scope="dataset")
    whole["selection"], whole["attribution_kind"] = SELECTION.format(N), "saliency"
    first, pairs = audit(frame, suite="mine", maps=maps())
    again, others = audit(
        concat(frame, whole).sample(frac=1, random_state=0, ignore_index=True), suite="mine", maps=maps()
    )
    pd.testing.assert_frame_equal(first, again)
    assert len(pairs) == len(others)


def test_nothing_scored_is_an_empty_table():
    metrics, pairs = audit(cells("good", sound).iloc[:0], suite="mine")
    assert list(metrics.columns) == AUDIT_COLUMNS
    assert metrics.empty
    assert pairs.empty


def test_samples_of_several_trained_models_stand_side_by_side():
    frame = concat(cells("good", sound), cells("good", sound, problem_seed=1))
    (trial,) = trials(frame)
    assert len(trial.samples) == 2 * N
    assert trial.panels[("good", "{}", "")].merit.shape == (6, 3, 2 * N)


def test_sizes_of_selections():
    assert size_and_rest(SELECTION.format(16)) == (16, " predicted default train[:64]")
    assert size_and_rest("first") == (0, "first")


def test_scores_that_are_equal_on_one_problem_only_are_no_defect():
    flat = cells("flat", lambda *_: np.full(N, 0.7), dataset="mnist")
    found = judged(cells("flat", sound), flat)
    assert list(found["verdict"]) == ["trusted", "weak"]
    assert found["diagnosis"].iloc[1].startswith("constant")
    assert found["trust"].iloc[1] == 0


def test_a_sanity_metric_that_prefers_edges_is_weak_not_flipped():
    def score(name, seed):
        return 0.1 * noise_of(name, 7) - {"gradient": 1.0}.get(name, 0.0) + 0.01 * noise_of(name, seed)

    names = ("gradient", "input_edges", "lime", "oracle")
    found = judged(cells("efficient_mprt", score, names=names, family="sanity"))
    assert found.loc["efficient_mprt", "verdict"] == "weak"
    found = judged(cells("input_invariance", score, names=names, family="sanity"))
    assert found.loc["input_invariance", "verdict"] == "undecided", "edges may be invariant"


def test_an_audit_weighs_metrics_on_other_problems():
    problems = ("digits", "mnist")
    frames = [cells("good", sound, dataset=d) for d in problems]
    frames += [cells("noise", noise_of, dataset=d) for d in problems]
    frames += [cells("plain", sound, dataset=d, family="complexity") for d in problems]
    large = SELECTION.format(N)
    steady = frozenset((d, "cnn", large, name, "{}") for d in problems for name in STEADY)
    metrics, _ = audit(concat(*frames), suite="mine", maps=AttributionFacts(steady))
    by = metrics.set_index(["dataset", "metric"])["trust"]
    pairs = pd.DataFrame({"dataset": "digits", "metric": ["good", "noise"], "params": "{}", "asked_output": ""})
    assert list(weights_elsewhere(pairs, metrics)) == [by["mnist", "good"], 0]
    plain = pairs.assign(metric="plain").iloc[:1]
    assert list(weights_elsewhere(plain, metrics)) == [1], "what no audit can judge keeps its weight"
    with pytest.raises(UsageError, match="nothing says how far plain"):
        weights_elsewhere(pd.concat([pairs, plain]), metrics)


@pytest.mark.parametrize("names", [("oracle", "random"), ("oracle", "random", "gradient"), ("gradient",), ("oracle",)])
def test_few_explainers_leave_gaps_and_no_error(names):
    frames = [cells("removal", sound, names=names, params=f'{{"masker":"{m}","n_samples":{b}}}', n=n)
              for m in ("zero", "mean") for b in (1, 9) for n in (N, FEW)]  # fmt: skip
    frames.append(cells("confidence", lambda *_: np.linspace(0, 1, N), names=("random",), family="complexity"))
    metrics, pairs = audit(concat(*frames), suite="mine", maps=maps())
    assert len(metrics) == 4
    assert metrics["masker_tau"].isna().all()
    assert pairs["tau"].isna().all()
    assert set(metrics["verdict"]) <= {"trusted", "weak", "undecided"}


def test_undefined_scores_are_counted_and_no_error():
    def gappy(name, seed):
        scores = sound(name, seed)
        scores[:6] = np.nan
        return scores

    nothing = cells("nothing", lambda *_: np.full(N, np.nan))
    found = judged(cells("gappy", gappy), nothing)
    assert found.loc["gappy", "undefined"] == pytest.approx(6 / 24)
    assert "undefined in 25% of the scores" in found.loc["gappy", "diagnosis"]
    assert found.loc["gappy", "verdict"] == "trusted"
    assert found.loc["nothing", "diagnosis"].startswith("no defined score")

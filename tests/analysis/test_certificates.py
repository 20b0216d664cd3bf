"""Certificates: curves, thresholds, tests and words, against closed forms, scipy and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp
from sklearn.isotonic import IsotonicRegression

from xaibench.analysis.certificates.certificate import Certificate, adjusted_p, certify_copies
from xaibench.analysis.certificates.descriptions import (
    COPY_COLUMN_DESCRIPTIONS,
    THRESHOLD_COLUMN_DESCRIPTIONS,
    column_types,
)
from xaibench.analysis.certificates.finding_tests import copies_test, finding_p, sign_test
from xaibench.analysis.certificates.fitted_copies import Copy, CopySet, ExplainedCopy, Explaining
from xaibench.analysis.certificates.reliance_curve import isotonic, reliance_curve
from xaibench.analysis.certificates.verdicts import with_verdicts
from xaibench.core.gates import Gate
from xaibench.datasets.certify.check import CLEAN, DOMINANCE, EITHER_WAY, SWAP, TRACE

PLACEBOS = ("random", "input_edges")
LEVELS = {0.0: 0.0, 0.3: 0.25, 0.6: 0.6, 1.0: 0.96}
"""Levels, and the reliance of their copies here."""


def gates(level: float, reliance: float, *, trace: float = 0.5) -> tuple[Gate, ...]:
    limits = [Gate(SWAP, reliance, 0.9 if level >= 1 else -1.0)]
    limits += [] if level else [Gate(EITHER_WAY, abs(reliance), 0.05, at_least=False)]
    return (*limits, Gate(DOMINANCE, 1.0, -1.0), Gate(CLEAN, 0.97, -1.0), Gate(TRACE, trace, 0.55, at_least=False))


def copy_set(
    shares: dict[str, Sequence[float]],
    *,
    rng: np.random.Generator,
    n: int = 100,
    n_copies: int = 1,
    twin: float = 0.05,
    reliance: dict[float, float] | None = None,
    trace: float = 0.5,
) -> CopySet:
    """Copies in which explainers find the plant with these probabilities at the levels above 0."""
    relied = reliance or LEVELS
    names = tuple(f"row {i}" for i in range(n))
    copies = []
    for number in range(n_copies):
        for place, (level, r) in enumerate(relied.items()):
            decisive = rng.random(n) < 0.7
            shown = {
                label: ExplainedCopy(
                    (rng.random(n) < (twin if level == 0 else share[place - 1])).astype(float), rng.random(n),
                    decisive, 0.1,
                )
                for label, share in shares.items()
            }  # fmt: skip
            copies.append(Copy(level, number, gates(level, r, trace=trace), names, shown))
    explainers = tuple(Explaining(label, "{}", label in PLACEBOS) for label in shares)
    return CopySet("new", tuple(copies), explainers)


def certificate(found: CopySet) -> Certificate:
    return with_verdicts(certify_copies(found), found, "new")[0]


@pytest.mark.parametrize("seed", range(5))
def test_isotonic_regression_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=30) + np.linspace(0, 2, 30), rng.uniform(0.1, 2, 30)
    expected = IsotonicRegression().fit(np.arange(30), values, weights).predict(np.arange(30))
    np.testing.assert_allclose(isotonic(values, weights), expected, atol=1e-12)


def test_the_threshold_is_where_the_line_reaches_one_half() -> None:
    curve = reliance_curve(np.array([0.01]), np.array([0.2, 0.6, 1.0]), np.array([0.1, 0.4, 0.9]))
    assert curve.threshold == (pytest.approx(0.6 + 0.4 * 0.1 / 0.5), "")
    assert reliance_curve(np.zeros(1), np.array([0.2, 1.0]), np.array([0.7, 0.9])).threshold == (0.2, "below")
    assert reliance_curve(np.zeros(1), np.array([0.2, 1.0]), np.array([0.1, 0.4])).threshold == (np.inf, "never")
    assert reliance_curve(np.zeros(1), np.array([]), np.array([])).threshold == (np.inf, "never")


def test_copies_of_equal_reliance_are_one_knot_and_undefined_ones_none() -> None:
    curve = reliance_curve(np.zeros(2), np.array([0.5, 0.5, 0.8]), np.array([0.2, 0.6, np.nan]))
    assert curve.reliance.tolist() == [0.0, 0.5]
    assert curve.net.tolist() == [0.0, pytest.approx(0.4)]
    assert curve.area == pytest.approx(0.2)


def test_a_falling_curve_is_pooled() -> None:
    curve = reliance_curve(np.zeros(1), np.array([0.2, 0.6, 1.0]), np.array([0.6, 0.4, 0.9]))
    assert curve.net.tolist() == pytest.approx([0.0, 0.5, 0.5, 0.9])
    assert curve.threshold == (0.2, "below")


@pytest.mark.parametrize(("wins", "losses"), [(9, 1), (3, 3), (0, 4), (20, 0)])
def test_the_sign_test_is_the_exact_binomial_test(wins: int, losses: int) -> None:
    differences = np.array([1.0] * wins + [-1.0] * losses + [0.0] * 5 + [np.nan] * 3)
    expected = binomtest(wins, wins + losses, alternative="greater").pvalue if wins + losses else 1.0
    assert sign_test(differences) == pytest.approx(expected)


def test_copies_are_compared_by_students_test() -> None:
    means = np.array([0.4, 0.5, 0.7])
    assert copies_test(means) == pytest.approx(ttest_1samp(means, 0, alternative="greater").pvalue)
    assert copies_test(np.array([0.5])) == 1.0
    assert copies_test(np.full(3, 0.5)) == 0.0


def test_with_three_copies_they_must_agree() -> None:
    hit, miss = np.ones(60), -np.ones(20)
    rows = np.concatenate([hit, np.zeros(20)])
    assert finding_p([rows, rows, rows]) < 1e-9
    split = np.concatenate([np.zeros(60), miss])
    assert finding_p([rows, split, split]) == 1.0
    assert finding_p([rows, split]) < 0.05, "two copies are taken as they are"


def test_where_fits_differ_copies_are_the_unit() -> None:
    rows = [np.full(60, share) for share in (0.4, 0.5, 0.7)]
    expected = ttest_1samp([0.4, 0.5, 0.7], 0, alternative="greater").pvalue
    assert finding_p(rows, copies_alone=True) == pytest.approx(expected)
    assert finding_p(rows[:1], copies_alone=True) == 1.0
    shares = {"a": (0.9, 1.0, 1.0), "random": (0.05,) * 3}
    three = replace(copy_set(shares, rng=np.random.default_rng(0), n_copies=3), deterministic=False)
    assert certificate(three).thresholds.iloc[0]["finds"]
    assert min(adjusted_p(three).values()) > min(adjusted_p(replace(three, deterministic=True)).values())


def test_one_copy_of_a_recipe_whose_fits_differ_is_not_tested() -> None:
    one = copy_set({"a": (0.9, 1.0, 1.0), "random": (0.05,) * 3}, rng=np.random.default_rng(0))
    one = replace(one, deterministic=False)
    made, summary = with_verdicts(certify_copies(one), one, "new")
    assert made.proved
    row = made.thresholds.iloc[0]
    assert (row["verdict"], row["ranked"], row["finds"], row["tie_group"]) == ("not tested", False, False, "")
    assert np.isnan(row["p"])
    assert "Two fits of this recipe differ, and there is a single copy" in summary.text
    assert not summary.finders


def test_a_copy_of_several_models_does_not_count() -> None:
    found = copy_set({"a": (1.0, 1.0, 1.0), "random": (0.05,) * 3}, rng=np.random.default_rng(0))
    mixed = replace(found, copies=tuple(replace(c, n_fits=1 + (c.level == 0.6)) for c in found.copies))
    assert [level for level, _, _ in certify_copies(mixed).failures] == [0.6]
    twin = replace(found, copies=tuple(replace(c, n_fits=1 + (c.level == 0)) for c in found.copies))
    assert not certify_copies(twin).proved


def test_finders_come_first_and_those_that_never_find_it_last() -> None:
    rng = np.random.default_rng(0)
    found = copy_set(
        {"late": (0.05, 0.4, 1.0), "early": (0.9, 1.0, 1.0), "blind": (0.05, 0.05, 0.05), "random": (0.05,) * 3},
        rng=rng, n=200, n_copies=3,
    )  # fmt: skip
    made = certificate(found)
    table = made.thresholds
    assert table["explainer"].tolist() == ["early", "late", "blind", "random"]
    early, late, blind, control = (row for _, row in table.iterrows())
    assert early["censored"] == "below"
    assert early["verdict"] == "finds it"
    assert late["verdict"] == "finds it late"
    assert 0.6 < late["threshold"] < 0.96
    assert late["threshold_low"] <= late["threshold"] <= late["threshold_high"]
    assert blind["censored"] == "never"
    assert blind["verdict"] == "does not show it"
    assert control["verdict"] == "control"
    assert not set(early["tie_group"]) & set(late["tie_group"])


def test_an_explainer_that_marks_the_plant_on_the_twin_too_is_no_finder() -> None:
    found = copy_set(
        {"edges": (0.9, 0.9, 0.9), "random": (0.05,) * 3}, rng=np.random.default_rng(0), twin=0.9, n_copies=3
    )
    row = certificate(found).thresholds.iloc[0]
    assert not row["finds"]
    assert row["censored"] == "never"
    assert row["verdict"] == "marks it where it means nothing as well"


def test_a_placebo_that_does_not_apply_refutes_nobody() -> None:
    shares = {"a": (0.9, 1.0, 1.0), "random": (0.05,) * 3, "input_edges": (0.05,) * 3}
    found = copy_set(shares, rng=np.random.default_rng(0))

    def without(change: Callable[[ExplainedCopy], ExplainedCopy | None]) -> CopySet:
        changed = [{k: change(v) if k == "input_edges" else v for k, v in c.shown.items()} for c in found.copies]
        kept = [{k: v for k, v in shown.items() if v is not None} for shown in changed]
        return replace(found, copies=tuple(replace(c, shown=s) for c, s in zip(found.copies, kept, strict=True)))

    undefined = adjusted_p(without(lambda one: replace(one, found=np.full(len(one.found), np.nan))))
    assert max(undefined.values()) < 1e-6
    assert adjusted_p(without(lambda one: None)) == undefined


def test_an_explainer_no_better_than_a_placebo_is_no_finder() -> None:
    found = copy_set({"a": (0.6, 0.6, 0.6), "input_edges": (0.6, 0.6, 0.6)}, rng=np.random.default_rng(0), n_copies=3)
    assert not certificate(found).thresholds.iloc[0]["finds"]


def test_copies_with_failed_gates_are_left_out_with_their_numbers() -> None:
    weak = copy_set({"a": (1.0, 1.0, 1.0)}, rng=np.random.default_rng(0), reliance={**LEVELS, 1.0: 0.5})
    made, summary = with_verdicts(certify_copies(weak), weak, "new")
    assert not made.proved
    assert "0.50 of 0.90 needed" in summary.text
    assert [level for level, _, _ in made.failures] == [0.3, 0.6, 1.0]
    leaking = copy_set({"a": (1.0, 1.0, 1.0)}, rng=np.random.default_rng(0), trace=0.9)
    assert "AUC 0.90" in with_verdicts(certify_copies(leaking), leaking, "new")[1].text
    loud = copy_set({"a": (1.0, 1.0, 1.0)}, rng=np.random.default_rng(0), reliance={**LEVELS, 0.0: 0.3})
    assert not certify_copies(loud).proved
    opposed = copy_set({"a": (1.0, 1.0, 1.0)}, rng=np.random.default_rng(0), reliance={**LEVELS, 0.0: -0.108})
    assert not certify_copies(opposed).proved
    assert (
        f"null twin failed a gate ({EITHER_WAY} 0.108" in with_verdicts(certify_copies(opposed), opposed, "new")[1].text
    )
    falling = copy_set({"a": (1.0, 1.0, 1.0)}, rng=np.random.default_rng(0), reliance={**LEVELS, 0.3: 0.99, 0.6: 0.5})
    assert [level for level, _, _ in certify_copies(falling).failures] == [0.6]


def test_a_plant_without_a_unit_ranks_no_explainer() -> None:
    found = copy_set({"a": (1.0, 1.0, 1.0), "random": (0.05,) * 3}, rng=np.random.default_rng(0))
    made, summary = with_verdicts(certify_copies(found), found, "tint")
    assert "cannot show it" in summary.text
    assert made.thresholds["verdict"].tolist() == ["has no place to show it", "control"]


def test_few_decisive_rows_rank_nobody() -> None:
    found = copy_set({"a": (1.0, 1.0, 1.0), "random": (0.05,) * 3}, rng=np.random.default_rng(0), n=20)
    row = certificate(found).thresholds.iloc[0]
    assert row["verdict"].startswith("only ")
    assert row["tie_group"] == ""


def test_every_column_is_described_with_its_type() -> None:
    made = certificate(copy_set({"a": (0.2, 0.6, 1.0), "random": (0.05,) * 3}, rng=np.random.default_rng(1)))
    added = ["dataset", "model", "original_accuracy", "original_fingerprint", "data_fingerprint"]
    assert [*made.copies.columns, *added] == list(COPY_COLUMN_DESCRIPTIONS)
    assert list(made.thresholds.columns) == list(THRESHOLD_COLUMN_DESCRIPTIONS)
    for frame, described in ((made.copies, COPY_COLUMN_DESCRIPTIONS), (made.thresholds, THRESHOLD_COLUMN_DESCRIPTIONS)):
        kinds = {"O": "string", "U": "string", "i": "int64", "b": "bool", "f": "double"}
        types = column_types(described)
        assert {name: kinds[frame[name].dtype.kind] for name in frame} == {name: types[name] for name in frame}


def test_renaming_explainers_permutes_the_certificate() -> None:
    shares = {"a": (0.2, 0.6, 1.0), "b": (0.8, 0.9, 1.0), "random": (0.05,) * 3}
    first = copy_set(shares, rng=np.random.default_rng(1), n_copies=3)
    names = {"a": "x", "b": "a", "random": "random"}
    renamed = CopySet(
        "new",
        tuple(
            Copy(c.level, c.number, c.gates, c.samples, {names[k]: v for k, v in c.shown.items()}) for c in first.copies
        ),
        tuple(Explaining(names[e.label], e.params, e.control) for e in first.explainers),
    )
    left, right = (certificate(s).thresholds.set_index("explainer") for s in (first, renamed))
    for old, new in names.items():
        assert left.loc[old, "threshold"] == right.loc[new, "threshold"]
        assert left.loc[old, "p"] == right.loc[new, "p"] or np.isnan(left.loc[old, "p"])


def reports_a_finder(seed: int, n_copies: int) -> bool:
    """Whether a certificate in which nobody differs from the twin reports one."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.0, 0.5, size=8)
    levels = {0.0: 0.0, 0.3: 0.25, 0.6: 0.6, 1.0: 0.96}
    names = tuple(f"row {i}" for i in range(60))
    copies = []
    for number in range(n_copies):
        for level, r in levels.items():
            decisive = rng.random(60) < 0.7
            shown = {
                f"e{i}": ExplainedCopy((rng.random(60) < rate).astype(float), rng.random(60), decisive, 0.1)
                for i, rate in enumerate(rates)
            }
            shown["random"] = ExplainedCopy((rng.random(60) < 0.02).astype(float), rng.random(60), decisive, 0.1)
            copies.append(Copy(level, number, gates(level, r), names, shown))
    explainers = (*(Explaining(f"e{i}", "{}", False) for i in range(8)), Explaining("random", "{}", True))
    found = CopySet("new", tuple(copies), explainers)
    return bool(min(adjusted_p(found).values()) <= 0.05)


@pytest.mark.parametrize("n_copies", [1, 3])
def test_without_differences_few_certificates_report_a_finder(n_copies: int) -> None:
    assert sum(reports_a_finder(seed, n_copies) for seed in range(40)) <= 6


@pytest.mark.parametrize(
    "n_copies", [pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.exhaustive)]
)
def test_of_two_thousand_certificates_without_differences_at_most_six_percent_report_a_finder(n_copies: int) -> None:
    n = 2000
    share = sum(reports_a_finder(seed, n_copies) for seed in range(n)) / n
    assert share <= 0.06, f"{n_copies} copies: {100 * share:.2f} % of {n} null certificates report a finder"

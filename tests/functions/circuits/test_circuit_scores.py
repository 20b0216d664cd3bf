"""Scores of circuits, against brute force, closed forms and planted faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.circuits.circuit import Circuit
from xaibench.functions.circuits.compiled import compiled
from xaibench.functions.circuits.edge_scores import edge_auroc, sizes_of

CASES = {case.parameters["program"]: case for case in compiled(seed=11)}


def score(metric: str, program: str, values: Tensor, **params: Any) -> float:
    spec = get("metric", metric)
    assert isinstance(spec, MetricSpec)
    ev = xb.CaseEvaluation((CASES[program],), (xb.Scores(values.double()),), seed=0, budget=0)
    return float(score_programs(spec, spec.bind(params), ev)[0])


def labels(program: str, which: str = "wiring") -> Tensor:
    return CASES[program].hidden[which]


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_that_of_all_pairs_ties_one_half(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.integers(-3, 4, 61).astype(float))
    truth = torch.from_numpy(rng.integers(0, 2, 61).astype(float))
    a, b = (values.abs()[truth == k].numpy() for k in (1, 0))
    pairs = (a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean()
    assert edge_auroc(values, truth) == pytest.approx(pairs, abs=1e-12)
    assert edge_auroc(values, truth) == pytest.approx(mannwhitneyu(a, b).statistic / len(a) / len(b), abs=1e-12)
    by_place = np.argsort(np.argsort(values.abs().numpy(), kind="stable"), kind="stable")
    without_ties = (by_place[truth.numpy() == 1][:, None] > by_place[truth.numpy() == 0]).mean()
    assert abs(without_ties - pairs) > 1e-3, "a planted AUROC without ties is told"


def test_constant_scores_know_nothing() -> None:
    assert edge_auroc(torch.ones(61), labels("reverse")) == 0.5
    assert edge_auroc(torch.zeros(61), labels("reverse")) == 0.5


def test_rounding_is_evidence_for_nobody_and_no_opinion_ranks_last() -> None:
    wired = labels("backup")
    leaks = torch.where(wired > 0, 1e-13, 0.0)
    leaks[0] = 1.0
    floored = edge_auroc(leaks, wired)
    assert floored == pytest.approx(edge_auroc(torch.where(torch.arange(61) == 0, 1.0, 0.0), wired))
    assert edge_auroc(1e-20 * wired, wired) == 1, "what counts is the largest score, whatever its unit"
    assert sizes_of(torch.tensor([torch.nan, 0.0, -2.0, 1e-7])).tolist() == [-1, 0, 2, 0]
    assert edge_auroc(torch.where(wired > 0, torch.nan, 0.0), wired) == 0
    assert np.isnan(edge_auroc(torch.ones(3), torch.ones(3)))


def test_the_sign_does_not_count() -> None:
    sign = torch.tensor([1.0, -1.0]).repeat(31)[:61]
    assert score("edge_auroc_wiring", "induction", labels("induction") * sign) == 1


@pytest.mark.parametrize("program", list(CASES))
def test_the_truth_is_best_by_both_and_passes_the_three_tests(program: str) -> None:
    truth = CASES[program].truth.values
    for metric in ("edge_auroc_wiring", "edge_auroc_variable", "circuit_equivalence", "circuit_independence"):
        assert score(metric, program, truth) == 1, metric
    assert score("circuit_minimality", program, truth) == 1
    for ablation in ("mean", "resample"):
        assert score("circuit_equivalence", program, truth, ablation=ablation) == 1


@pytest.mark.parametrize("program", ["frac_prevs", "threshold", "difference", "backup"])
def test_a_missing_edge_fails_equivalence_an_unused_one_minimality(program: str) -> None:
    wired = labels(program)
    first = int((labels(program, "variable") > 0).nonzero()[-1, 0])
    unused = int((wired == 0).nonzero()[0, 0])
    swapped = wired.clone()
    swapped[first], swapped[unused] = 0, 1
    n = int(wired.sum())
    assert score("circuit_independence", program, swapped) == 0
    assert score("circuit_minimality", program, swapped) <= (n - 1) / n + 1e-6
    if program != "backup":
        assert score("circuit_equivalence", program, swapped) == 0


def test_half_of_a_redundant_circuit_is_equivalent_and_not_independent() -> None:
    case = CASES["backup"]
    one = torch.tensor([case.parameters["nodes"][0] in unit for unit in case.units]) * labels("backup")
    assert int(one.sum()) == 4
    assert score("circuit_equivalence", "backup", one) == 1
    assert score("circuit_independence", "backup", one) == 0


def test_constants_are_missed_by_zeros_and_not_by_other_inputs() -> None:
    # The second choice, behind the variable edges, are edges that nothing reads.
    values = 2 * labels("threshold", "variable")
    values[CASES["threshold"].units.index("tok-out")] = 1
    assert score("circuit_equivalence", "threshold", values, ablation="zero") == 0
    assert score("circuit_equivalence", "threshold", values, ablation="resample") == 1
    assert score("circuit_independence", "threshold", values) == 1


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_faithfulness_goes_from_none_to_all(ablation: str) -> None:
    """Two wired edges of `lookup`: with both among the first 5 % all is there, with neither among 50 % nothing."""
    wired = labels("lookup")
    assert score("circuit_cmd", "lookup", wired, ablation=ablation) == pytest.approx(0, abs=1e-9)
    assert score("circuit_cpr", "lookup", wired, ablation=ablation) == pytest.approx(1, abs=1e-6)
    assert score("circuit_cmd", "lookup", 1 - wired, ablation=ablation) == pytest.approx(1, abs=1e-6)
    assert score("circuit_cpr", "lookup", 1 - wired, ablation=ablation) == pytest.approx(0, abs=1e-6)


def test_faithfulness_of_one_head_of_difference_by_hand() -> None:
    """Kept: tokens, the MLP and one of two heads, in the first 6 edges (10 %) and later; at 5 % not yet."""
    case = CASES["difference"]
    given: Circuit = case.given
    plus, minus = (f"{node}-out" for node in case.parameters["nodes"][1:])
    order = [u for u, w in zip(case.units, labels("difference"), strict=True) if w and minus.split("-")[0] not in u]
    rest = [u for u in case.units if u not in order]
    last = [u for u in rest if minus.split("-")[0] in u]
    ranked = [*[u for u in rest if u not in last][:3], *order, *[u for u in rest if u not in last][3:], *last]
    values = torch.tensor([61.0 - ranked.index(unit) for unit in case.units])
    alphabet = given.run.token[:, :4].argmax(dim=1)  # type: ignore[attr-defined]
    tokens = alphabet[given.inputs].numpy()
    shares = [np.cumsum(tokens == k, axis=1) / np.arange(1, 7) for k in (0, 1)]
    clean = shares[0] - shares[1]
    lost = (shares[1] ** 2).mean() / (clean**2).mean()
    gained = (shares[0] * clean).mean() / (clean**2).mean()
    assert plus in order
    assert score("circuit_cmd", "difference", values) == pytest.approx((1 + 3 * lost) / 4, rel=1e-5)
    assert score("circuit_cpr", "difference", values) == pytest.approx(3 * gained / 4, rel=1e-5)


def test_ties_are_broken_by_names_and_not_by_places() -> None:
    case = CASES["induction"]
    order = torch.from_numpy(np.random.default_rng(0).permutation(61))
    spec = get("metric", "circuit_cmd")
    assert isinstance(spec, MetricSpec)
    moved = replace(
        case,
        truth=xb.Scores(case.truth.values[order]),
        units=tuple(case.units[i] for i in order.tolist()),
        hidden={k: v[order] for k, v in case.hidden.items()},
    )
    found = [
        score_programs(spec, spec.bind({}), xb.CaseEvaluation((c,), (xb.Scores(torch.ones(61)),), seed=0, budget=0))
        for c in (case, moved)
    ]
    assert found[0].equal(found[1])

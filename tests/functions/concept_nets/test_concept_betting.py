"""Betting on concepts: fair under the null, growth by quadrature, levels, false discoveries, and who needs what."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core.cases.case import CaseView
from xaibench.core.types import Array
from xaibench.functions.concept_nets.betting import LARGEST_BET, Bets, bet, e_benjamini_hochberg
from xaibench.functions.concept_nets.generation import concept_net
from xaibench.functions.concept_nets.worlds import ConceptWorld, concept_directions

WEIGHTS = np.array([2, 1, -1.5, 0, 0, 0, 0.5, 0])
USED = WEIGHTS != 0
ALPHA, RUNS, T = 0.1, 200, 400


def world(correlated: bool) -> ConceptWorld:
    return ConceptWorld(concept_directions(np.random.default_rng(0), oblique=False), correlated)


def played(rng: np.random.Generator, t: int, *, correlated: bool, conditional: bool = True) -> Bets:
    """Bets on y = sum of weights times concepts + N(0, 1)."""
    around = world(correlated)
    concepts = around.sample(t, rng)[1]
    drawn = around.redraw(concepts, rng, conditional=conditional)
    outputs = concepts.numpy() @ WEIGHTS + rng.standard_normal(t)
    return bet(outputs, concepts.numpy(), drawn.numpy())


@cache
def runs(correlated: bool, conditional: bool = True) -> tuple[Array, Array]:
    """Stopping times and e-values (200, 8)."""
    made = [
        played(np.random.default_rng((7, i)), T, correlated=correlated, conditional=conditional) for i in range(RUNS)
    ]
    return np.array([b.stopping_times(ALPHA) for b in made]), np.array([b.e_values for b in made])


@pytest.mark.parametrize("correlated", [False, True])
def test_null_concepts_are_rejected_at_most_at_the_level(correlated: bool) -> None:
    times, e_values = runs(correlated)
    allowed = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / RUNS)
    rates = (times > 0).mean(axis=0)
    assert (rates[~USED] <= allowed).all(), rates
    rejected = np.array([e_benjamini_hochberg(e, ALPHA) for e in e_values])
    false = (rejected & ~USED).sum(axis=1) / np.maximum(rejected.sum(axis=1), 1)
    assert false.mean() <= ALPHA
    assert (rejected & USED).sum(axis=1).mean() / USED.sum() > 0.5


@pytest.mark.parametrize("correlated", [False, True])
def test_used_concepts_are_found_the_sooner_the_larger_their_weight(correlated: bool) -> None:
    times, _ = runs(correlated)
    rates = (times > 0).mean(axis=0)
    assert rates[0] > 0.98
    assert rates[2] > 0.85
    assert rates[1] > 0.6
    median = [float(np.median(np.where(times[:, j] > 0, times[:, j], T + 1))) for j in (0, 2, 1)]
    assert median == sorted(median)
    assert median[0] < median[1] < median[2]


def test_a_marginal_sampler_finds_what_is_only_correlated() -> None:
    """Concept 3 has no weight, and its partner -1.5."""
    times, _ = runs(True, False)
    assert (times[:, 3] > 0).mean() > 0.4
    assert (runs(True)[0][:, 3] > 0).mean() < 0.15


def growth_rate(j: int) -> float:
    """Largest mean of log(1 + bet * payoff) for bets up to one half, by enumeration and quadrature."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(40)
    masses = masses / masses.sum()
    mean = WEIGHTS.sum() / 2
    others = np.array(list(product((0, 1), repeat=7)))
    rest = others @ np.delete(WEIGHTS, j)
    y = rest[:, None] + nodes
    payoffs, weights = [], []
    for c, drawn in product((0, 1), repeat=2):
        payoffs.append(np.tanh(np.sign(WEIGHTS[j]) * (y + WEIGHTS[j] * c - mean) * (c - drawn)).ravel())
        weights.append(np.broadcast_to(masses / len(others) / 4, y.shape).ravel())
    payoff, weight = np.concatenate(payoffs), np.concatenate(weights)
    shares = np.linspace(0, LARGEST_BET, 501)
    return max(float(weight @ np.log1p(share * payoff)) for share in shares)


@pytest.mark.parametrize("j", [0, 1, 2])
def test_wealth_grows_at_the_rate_that_quadrature_gives(j: int) -> None:
    t = 3000
    found = np.mean(
        [played(np.random.default_rng((3, i)), t, correlated=False).log_wealth[-1, j] / t for i in range(4)]
    )
    assert found == pytest.approx(growth_rate(j), rel=0.12)


def test_the_mean_wealth_of_a_null_concept_is_1() -> None:
    """The bet is fair after any past: the mean over what is drawn next is 1, whatever share is bet."""
    rng = np.random.default_rng(4)
    wealth = np.array([played(rng, 30, correlated=True).e_values[~USED] for _ in range(600)])
    error = wealth.std(axis=0) / np.sqrt(len(wealth))
    assert (np.abs(wealth.mean(axis=0) - 1) < 4 * error).all()


def test_bets_depend_on_the_past_only() -> None:
    rng = np.random.default_rng(5)
    y, c, d = (
        rng.standard_normal(50),
        rng.integers(0, 2, (50, 8)).astype(float),
        rng.integers(0, 2, (50, 8)).astype(float),
    )
    whole = bet(y, c, d)
    y[30:] += 5
    c[30:] = 1 - c[30:]
    np.testing.assert_array_equal(bet(y, c, d).log_wealth[:30], whole.log_wealth[:30])
    assert (whole.log_wealth[0] == 0).all(), "nothing is known before the first input"


def test_stopping_times_and_e_bh_by_hand() -> None:
    log_wealth = np.log(np.array([[1.0, 1, 12], [11, 1, 1], [1, 9, 1]]))
    bets = Bets(log_wealth, np.ones((3, 3)))
    assert bets.stopping_times(0.1).tolist() == [2, 0, 1]
    np.testing.assert_allclose(bets.e_values, [1, 9, 1])
    assert e_benjamini_hochberg(np.array([16.0, 14.0, 14.0, 1.0]), 0.1).tolist() == [True, True, True, False]
    assert e_benjamini_hochberg(np.array([39.0, 1.0, 1.0, 1.0]), 0.1).tolist() == [False] * 4


@pytest.mark.parametrize("correlated", [False, True])
def test_redrawn_concepts_have_the_conditional_rates(correlated: bool) -> None:
    rng = np.random.default_rng(6)
    around = world(correlated)
    _, concepts = around.sample(40_000, rng)
    drawn = around.redraw(concepts, rng)
    for j in range(8):
        partner = concepts[:, j ^ 1] > 0
        for value, wanted in ((True, 0.8), (False, 0.2)):
            rate = float(drawn[partner == value, j].mean())
            assert rate == pytest.approx(wanted if correlated else 0.5, abs=0.015)
            assert float(concepts[partner == value, j].mean()) == pytest.approx(rate, abs=0.02)
    assert float(around.redraw(concepts, rng, conditional=False).mean()) == pytest.approx(0.5, abs=0.01)


def test_the_explainer_says_signs_times_and_one_run() -> None:
    (case,) = concept_net(seed=5, n=1, correlated=True)
    answer = xb.explain_case("concept_betting", case, seed=1, n_inputs=800)
    assert isinstance(answer, xb.Scores)
    assert answer.queries == 1
    weights = torch.tensor(case.parameters["weights"])
    strong = weights.abs() >= 1
    assert answer.values[strong].sign().tolist() == weights[strong].sign().tolist()
    times = torch.tensor(answer.facts["times"])
    assert (answer.values.abs()[times > 0] * times[times > 0]).tolist() == pytest.approx([1.0] * int((times > 0).sum()))
    assert CaseView(case).given.redraw is not None

"""Checks of scores of cases on answers whose score is known by hand, from another library or by brute force.

Each takes the name of a score and fails if it is wrong; tests plant faults to see that it does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.circuits.circuit import Circuit
from xaibench.functions.circuits.compiled import compiled
from xaibench.functions.influence.generation import influence_digits
from xaibench.functions.scorers.candidates import Candidates


def scored(metric: str, explained: Any, answer: Any, **params: Any) -> float:
    spec = cast(MetricSpec, get("metric", metric))
    evaluation = xb.CaseEvaluation if isinstance(explained, xb.Case) else xb.ProgramEvaluation
    ev: Any = evaluation((explained,), (answer,), seed=0, budget=0)
    return float(score_programs(spec, spec.bind(params), ev)[0])


def scores_of(*values: float, **facts: Any) -> xb.Scores:
    return xb.Scores(torch.tensor(values, dtype=torch.float64), facts)


@dataclass(frozen=True)
class Given:
    """Nothing that an explainer needs."""

    test: Tensor


def case_of(kind: str, truth: Any, hidden: dict[str, Tensor], given: Any = None) -> xb.Case:
    units = () if isinstance(truth, xb.Dictionary) else tuple(f"unit {i}" for i in range(truth.values.shape[-1]))
    return xb.Case(f"planted/{kind}", kind, given or Given(torch.ones(1)), truth, hidden, units=units)


# Dictionaries

ON = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [2, 0, 0, 1]])
FEATURES = torch.eye(4)


def dictionary_score(metric: str, directions: Tensor, codes: Tensor, reconstruction: Tensor | None = None) -> float:
    truth = xb.Dictionary(FEATURES[:2], ON[:, :2], ON[:, :2] @ FEATURES[:2])
    hidden = {"directions": FEATURES, "activations": ON}
    found = xb.Dictionary(directions, codes, codes @ directions if reconstruction is None else reconstruction)
    return scored(metric, case_of("dictionary", truth, hidden, Given(ON @ FEATURES)), found)


def best_matching(metric: str) -> None:
    """The largest |cosine| is .7, and who takes it is left with 0; .6 and .65 are the best pair."""
    directions = torch.tensor([[0.7, 0.6, 0.0, 0.0], [0.65, 0.0, 0.0, 0.0]])
    truth = xb.Dictionary(FEATURES[:2], ON[:, :2], ON[:, :2] @ FEATURES[:2])
    directions[:, 2] = (1 - directions.square().sum(dim=1)).sqrt()
    case = case_of("dictionary", truth, {"directions": FEATURES[:2], "activations": ON[:, :2]}, Given(ON))
    assert scored(metric, case, xb.Dictionary(directions, ON[:, :2], ON)) == pytest.approx(0.625, abs=1e-6)


def lines_have_no_sign(metric: str) -> None:
    assert dictionary_score(metric, -FEATURES, -ON) == pytest.approx(1)


def half_silent(metric: str) -> None:
    codes = ON * torch.tensor([1.0, 1, 0, 0])
    assert dictionary_score(metric, FEATURES, codes) == pytest.approx(0.5)


def rounding_does_not_fire(metric: str) -> None:
    """Two of four directions fire, at the inputs 0, 1, 1, 2 and 5."""
    codes = torch.where(torch.arange(4) < 2, ON, 1e-9)
    wanted = {"active_codes": 5 / 6, "silent_directions": 0.5, "dictionary_f1": 0.5}[metric]
    assert dictionary_score(metric, FEATURES, codes) == pytest.approx(wanted)


def reconstruction_is_that_of_the_answer(metric: str) -> None:
    """Halfway from the mean to the inputs a quarter of the variance is left, whatever the codes are."""
    x = ON @ FEATURES
    assert dictionary_score(metric, FEATURES, ON, (x + x.mean(dim=0)) / 2) == pytest.approx(0.75)


# Circuits


@cache
def circuits() -> dict[str, xb.Case]:
    return {case.parameters["program"]: case for case in compiled(seed=11, n=2)}


def fresh(program: str) -> xb.Case:
    """A case whose outputs are not cached yet."""
    case = circuits()[program]
    return replace(case, given=replace(case.given))


def labels_of(metric: str, case: xb.Case) -> Tensor:
    return case.hidden[metric.removeprefix("edge_auroc_")] > 0


def ties_count_half(metric: str) -> None:
    case = fresh("reverse")
    true = labels_of(metric, case)
    assert scored(metric, case, xb.Scores(torch.zeros(61))) == 0.5
    some = torch.where(torch.arange(61) % 7 < 3, 1.0, 0.0)
    pairs = (some[true][:, None] > some[~true]).double() + 0.5 * (some[true][:, None] == some[~true]).double()
    assert scored(metric, case, xb.Scores(some)) == pytest.approx(float(pairs.mean()), abs=1e-6)


def sizes_count(metric: str) -> None:
    case = fresh("frac_prevs")
    assert scored(metric, case, xb.Scores(-case.truth.values)) == 1


def rounding_is_no_evidence(metric: str) -> None:
    """One other edge is far ahead, and the labelled ones are at rounding level, with all the rest."""
    case = fresh("reverse")
    true = labels_of(metric, case)
    leaks = torch.where(true, 1e-13, 0.0)
    leaks[int((~true).nonzero()[0, 0])] = 1.0
    assert scored(metric, case, xb.Scores(leaks)) == pytest.approx(0.5 - 0.5 / int((~true).sum()))


def faithfulness_edge_by_edge(metric: str) -> None:
    """Against runs of the net that replace nothing but the edges that are left out."""
    case = fresh("reverse")
    given: Circuit = case.given
    order = case.hidden["wiring"] * 100 + torch.arange(61) + 1
    clean, sent = given.run(given.inputs)
    outputs = []
    for k in (0, 3, 6, 12, 30):
        dropped = (order.argsort().argsort() < 61 - k).double()
        outputs.append(given.run(given.inputs, dropped, torch.zeros_like(sent))[0])
    way = clean - outputs[0]
    recovered = np.mean([float(((o - outputs[0]) * way).sum() / way.square().sum()) for o in outputs[1:]])
    lost = np.mean([float((o - clean).square().mean() / way.square().mean()) for o in outputs[1:]])
    wanted = {"circuit_cpr": recovered, "circuit_cmd": lost}[metric]
    assert scored(metric, case, xb.Scores(order)) == pytest.approx(wanted, abs=1e-6)


def with_an_unused_edge(case: xb.Case) -> Tensor:
    """The wiring, with an unused edge in the place of a variable one."""
    wrong = case.hidden["wiring"].clone()
    wrong[int(case.hidden["variable"].nonzero()[-1, 0])] = 0
    wrong[int((case.hidden["wiring"] == 0).nonzero()[0, 0])] = 1
    return wrong


def the_truth_is_ideal(metric: str) -> None:
    case = fresh("frac_prevs")
    assert scored(metric, case, xb.Scores(case.hidden["wiring"])) == 1


def an_unused_edge_is_not(metric: str) -> None:
    case = fresh("frac_prevs")
    assert scored(metric, case, xb.Scores(with_an_unused_edge(case))) < 1


def patching_finds_the_edges(metric: str) -> None:
    case = fresh("frac_prevs")
    assert scored(metric, case, xb.explain_case("edge_patching", case)) == 1


def partners_are_other_inputs(metric: str) -> None:
    case = compiled(seed=11, n=2)[1]
    given: Circuit = case.given
    found = xb.explain_case("edge_attribution", case, ablation="resample")
    assert scored(metric, case, found) == 1
    assert (given.partners != given.inputs).any(dim=1).all()


# Training data


@cache
def regression() -> xb.Case:
    return influence_digits(seed=3, n=1, rows=120, tests=5)[0]


def leaving_one_out_is_refitting(metric: str) -> None:
    (case,) = influence_digits(seed=3, n=1, rows=120, tests=5)
    assert not case.failed_gates
    found = xb.explain_case("leave_one_out_retraining", case)
    assert float((found.values - case.truth.values).abs().max()) < 1e-10
    assert scored(metric, case, found) == 1


def signs_of_effects_count(metric: str) -> None:
    case = regression()
    assert scored(metric, case, xb.Scores(-case.truth.values)) == pytest.approx(-1)


def subsets_by_rank(metric: str) -> None:
    case = regression()
    answer = xb.explain_case("gradient_dot", case)
    subsets, outputs = case.hidden["subsets"].double(), case.hidden["outputs"]
    wanted = [spearmanr(subsets @ a, outputs[:, q]).statistic for q, a in enumerate(answer.values)]
    assert scored(metric, case, answer) == pytest.approx(np.mean(wanted), abs=1e-6)


# Scores of descriptions

RELATION = torch.tensor([0, 1, 1, 2])
"""The true description, two that miss something and one with something extra."""


def rated(metric: str, *values: float, **facts: Any) -> float:
    case = case_of("scorer", scores_of(1, 0, 0, 0, range=1.0), {"relation": RELATION})
    return scored(metric, case, scores_of(*values, **facts))


def ties_of_descriptions(metric: str) -> None:
    assert rated(metric, 1, 1, 1, 1) == 0.5
    assert rated(metric, 1, 0, 1, 2) == pytest.approx(0.5)


def margins_are_shares_of_the_range(metric: str) -> None:
    assert rated(metric, 1, 0.9985, 0.9985, 0.9, range=2.0) == pytest.approx(1 / 3)
    assert np.isnan(rated(metric, 1, 0, 0, 0, range=None))


def the_smaller_fall_counts(metric: str) -> None:
    assert rated(metric, 1, 0.2, 0.4, 0.9, range=2.0) == pytest.approx(0.05)


def weights_make_up_for_the_sampling(metric: str) -> None:
    """With 40,000 labels of a neuron that is active at one input in fifty F1 is nearly exact, and F1 itself is."""
    active = torch.arange(1000) % 50 == 0
    candidates = torch.stack([active, active | (torch.arange(1000) % 50 == 7), torch.arange(1000) % 100 == 0])
    case = case_of("scorer", scores_of(1, 0, 0), {"relation": torch.tensor([0, 2, 1])}, Candidates(active, candidates))
    assert scored(metric, case, scores_of(1, 2 / 3, 2 / 3)) == pytest.approx(0, abs=1e-6)
    assert scored(metric, case, xb.explain_case("sampled_f1", case, labels=40_000)) < 0.03


def copies_are_pairs(metric: str) -> None:
    case = case_of("hidden_units", scores_of(1, 0, 0, 1), {"pair": torch.tensor([0, 1, 0, 1])})
    assert scored(metric, case, scores_of(2, 2, 1, 3)) == 1
    assert scored(metric, case, scores_of(1, 3, 1, 2)) == 0.25


# Neurons with several concepts

WORDS = [f"word {i}" for i in range(13)]


def neuron(*extents: range, tested: range = range(13)) -> xb.BlackBox:
    held = [[WORDS[i] for i in extent] for extent in extents]
    fires = {word for extent in held for word in extent}

    def program(words: Any) -> Any:
        return np.array([float(word in fires) for word in words])

    parameters = {"mode": "poly", "concepts": [f"concept {i}" for i in range(len(held))], "extents": held}
    domain = xb.Domain(0, 1)
    inputs = np.array([WORDS[i] for i in tested])
    return xb.BlackBox("neuron", "neuron", program, program, domain, "poly", parameters, "", inputs)


def naming(*extents: range) -> xb.Interpretation:
    return xb.Interpretation(lambda x: np.zeros(len(x)), facts={"concepts": [[WORDS[i] for i in e] for e in extents]})


def concepts_are_matched_at_best(metric: str) -> None:
    """By Jaccard .82, .6, .67 and .23: who takes the largest is left with the smallest, which does not match."""
    f = neuron(range(10), range(3, 13))
    assert scored(metric, f, naming(range(1, 11), range(6))) == 1


def concepts_are_counted(metric: str) -> None:
    f = neuron(range(4), range(4, 8), range(8, 12))
    assert scored(metric, f, naming(range(4))) == 2
    assert scored(metric, f, naming(range(4), range(3), range(5))) == 0


def firing_words_are_covered(metric: str) -> None:
    f = neuron(range(4), range(4, 8))
    assert scored(metric, f, naming(range(4))) == pytest.approx(0.5)
    assert scored(metric, f, naming(range(8))) == 1


# Concepts

EFFECTS = scores_of(2, -1, 1, 0, 0, 0)
CONCEPTS = {"used": torch.tensor([1, 1, 1, 0, 0, 0]), "partner_used": torch.tensor([0, 0, 0, 1, 0, 0])}


def concept_score(metric: str, *values: float) -> float:
    return scored(metric, case_of("concepts", EFFECTS, CONCEPTS), scores_of(*values))


def signs_of_concepts_count(metric: str) -> None:
    wanted = {"concept_spearman": -1, "concept_sign": 0}[metric]
    assert concept_score(metric, -2, 1, -1, 0, 0, 0) == pytest.approx(wanted)


def ties_of_concepts(metric: str) -> None:
    assert concept_score(metric, 1, 1, 1, 1, 1, 1) == 0.5
    assert concept_score(metric, 0, 0, 0, 0, 0, 0) == 0.5


def rounding_is_no_concept(metric: str) -> None:
    """One of three concepts with an effect has a score, and no other one."""
    wanted = {
        "concept_sign": 2 / 3, "concept_false_positives": 0, "concept_power": 1 / 3, "concept_false_discoveries": 0,
    }[metric]  # fmt: skip
    assert concept_score(metric, 1.0, -1e-15, 1e-15, 1e-15, -1e-15, 1e-15) == pytest.approx(wanted)


def the_gap_is_a_share_of_the_largest(metric: str) -> None:
    assert concept_score(metric, 4, -2, 0, -2, 1, 0) == pytest.approx((2 - 0.5) / 4)
    assert concept_score(metric, 4, -2, 0, torch.nan, 0, 0) == 0


# Features of small autoencoders, predicates of pictures


def small_scores_name_nothing(metric: str) -> None:
    case = case_of("superposition", scores_of(1, 0), {"represented": torch.tensor([1, 0])})
    assert scored(metric, case, scores_of(-3, 0.1)) == 1
    assert scored(metric, case, scores_of(-3, 0.4)) == 0


def tied_predicates(metric: str) -> None:
    tested = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]).bool()
    hidden = {"tested": tested, "fires": torch.tensor([True, True, False, False])}
    case = case_of("scene", scores_of(1, 0, 0), hidden)
    wanted = {"scene_concept": 0.5, "scene_auroc": 0.75}[metric]
    assert scored(metric, case, scores_of(1, 1, 0)) == pytest.approx(wanted)

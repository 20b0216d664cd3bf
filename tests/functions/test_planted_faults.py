"""Faults that are planted into scores and truths of cases: the check that guards each score notices every one of them.

A check passes as the code is and must fail with the fault, for each score that is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from helpers import case_checks as check
from torch import Tensor

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.program_specs import FunctionsSpec
from xaibench.core.registry import components
from xaibench.functions.circuits.circuit import Circuit
from xaibench.functions.circuits.compiled import interventions
from xaibench.functions.circuits.graph import EDGES, SENDERS
from xaibench.functions.scorers.label_sampling import sampled_inputs
from xaibench.functions.scorers.tables import TABLE_SCORES

SETS = [cast(FunctionsSpec, s) for s in components("functions") if cast(FunctionsSpec, s).holds_cases]
SCORES_OF_CASES = {s.name for s in components("metric") for of in SETS if cast(MetricSpec, s).takes_kind(of.functions)}


def greedy(similarity: Any, maximize: bool = True) -> tuple[Any, Any]:
    """The largest pair, then the largest of what is left."""
    left = np.array(similarity, dtype=float)
    pairs = []
    for _ in range(min(left.shape)):
        i, j = np.unravel_index(left.argmax(), left.shape)
        pairs.append((i, j))
        left[i, :] = left[:, j] = -np.inf
    rows, columns = zip(*pairs, strict=True)
    return np.array(rows), np.array(columns)


def signed_cosines(directions: Tensor, features: Tensor) -> Any:
    return (torch.nn.functional.normalize(directions) @ torch.nn.functional.normalize(features).T).double().numpy()


def f1_of_what_fires(dictionary: xb.Dictionary, features: Tensor, activations: Tensor) -> float:
    nearest = torch.from_numpy(np.abs(signed_cosines(dictionary.directions, features)).argmax(axis=1))
    found, wanted = dictionary.codes.abs() > 1e-6, activations[:, nearest] > 0
    alive = found.any(dim=0)
    f1 = 2 * (found & wanted).sum(dim=0) / (found.sum(dim=0) + wanted.sum(dim=0)).clamp_min(1)
    return float(f1[alive].mean())


def linear_reconstruction(ev: xb.CaseEvaluation, i: int) -> xb.Dictionary:
    found = cast(xb.Dictionary, ev.answers[i])
    return replace(found, reconstruction=found.codes @ found.directions)


def without_ties(labels: Any, sizes: Any) -> float:
    """AUROC of ranks by size, equal ones in the order in which they stand."""
    ranks = np.argsort(np.argsort(sizes, kind="stable"), kind="stable")
    return float((ranks[labels == 1][:, None] > ranks[labels == 0]).mean())


def by_node(removed: Tensor) -> Tensor:
    """What is removed on one edge is removed on all edges of its sender."""
    senders = {s: max(float(removed[i]) for i, e in enumerate(EDGES) if e.sender == s) for s in SENDERS}
    return torch.tensor([senders[e.sender] for e in EDGES], dtype=torch.float64)


def output_without_nodes(self: Circuit, removed: Tensor, messages: Tensor) -> Tensor:
    return self.run(self.inputs, by_node(removed), messages)[0].detach()


def own_messages(self: Circuit, ablation: str) -> Tensor:
    return self.run(self.inputs)[1].detach()


def sizes_correlated(a: Any, b: Any) -> Any:
    return np.array([np.corrcoef(np.abs(x), np.abs(y))[0, 1] for x, y in zip(a, b, strict=True)])


def all_pairs_of_units(ev: xb.CaseEvaluation, i: int) -> float:
    values, wired = ev.scores(i), ev.truth(i) > 0
    above, below = values[wired][:, None], values[~wired]
    return float(((above > below).double() + 0.5 * (above == below).double()).mean())


def pooled_fall(ev: xb.CaseEvaluation, i: int) -> float:
    values = ev.scores(i)
    answer = cast(xb.Scores, ev.answers[i])
    return float((values[0] - values[1:].mean()) / answer.facts["range"])


def unweighted(active: Any, sampling: Any, labels: int, draws: np.random.Generator) -> tuple[Any, Any]:
    """Inputs by importance, as if they were drawn uniformly."""
    rows, chances = sampled_inputs(active, sampling, labels, draws)
    return rows, np.full_like(chances, 1 / len(active))


def one_union(facts: Any) -> Any:
    return [frozenset().union(*map(frozenset, facts.get("extents", facts.get("concepts"))))]


def largest_for_nan(scores: Tensor) -> Any:
    return scores.nan_to_num(nan=float(scores.nan_to_num().max())).numpy()


def first_of_the_largest(scores: Tensor) -> Tensor:
    return torch.arange(len(scores)) == int(scores.nan_to_num(nan=-torch.inf).argmax())


FUNCTIONS = "xaibench.functions"
DICTIONARIES, CIRCUITS, CONCEPT_NETS = (f"{FUNCTIONS}.{room}" for room in ("dictionaries", "circuits", "concept_nets"))
AUROCS = ("edge_auroc_wiring", "edge_auroc_variable")
ABLATED = f"{CIRCUITS}.circuit.Circuit.output_without"


@dataclass(frozen=True)
class Fault:
    """What is planted where, the check that must notice, and the scores that are wrong with it."""

    name: str
    where: str
    planted: Any
    check: Callable[[str], None]
    scores: tuple[str, ...]


FAULTS = (
    Fault(
        "greedy matching",
        f"{DICTIONARIES}.matching.linear_sum_assignment",
        greedy,
        check.best_matching,
        ("dictionary_mcc",),
    ),
    Fault(
        "signed cosines, matching",
        f"{DICTIONARIES}.matching.absolute_cosines",
        signed_cosines,
        check.lines_have_no_sign,
        ("dictionary_mcc", "dictionary_f1"),
    ),
    Fault(
        "signed cosines",
        f"{DICTIONARIES}.dictionary_scores.absolute_cosines",
        signed_cosines,
        check.lines_have_no_sign,
        ("dictionary_mmcs", "dictionary_uniqueness"),
    ),
    Fault(
        "F1 of directions that fire",
        f"{DICTIONARIES}.dictionary_scores.firing_f1",
        f1_of_what_fires,
        check.half_silent,
        ("dictionary_f1",),
    ),
    Fault(
        "codes at rounding level fire",
        f"{DICTIONARIES}.dictionary_scores.firing",
        lambda codes: codes != 0,
        check.rounding_does_not_fire,
        ("active_codes", "silent_directions"),
    ),
    Fault(
        "reconstruction from codes and directions",
        "xaibench.core.cases.evaluation.CaseEvaluation.dictionary",
        linear_reconstruction,
        check.reconstruction_is_that_of_the_answer,
        ("explained_variance",),
    ),
    Fault("AUROC without ties", f"{CIRCUITS}.edge_scores.roc_auc_score", without_ties, check.ties_count_half, AUROCS),
    Fault("signed scores of edges", f"{CIRCUITS}.edge_scores.sizes_of", Tensor.numpy, check.sizes_count, AUROCS),
    Fault("rounding as evidence", f"{CIRCUITS}.edge_scores.FLOOR_SHARE", 0.0, check.rounding_is_no_evidence, AUROCS),
    Fault(
        "nodes instead of edges, patching", ABLATED, output_without_nodes, check.patching_finds_the_edges, AUROCS[:1]
    ),
    Fault(
        "nodes instead of edges, curves",
        ABLATED,
        output_without_nodes,
        check.faithfulness_edge_by_edge,
        ("circuit_cpr", "circuit_cmd"),
    ),
    Fault(
        "nodes instead of edges, tests",
        ABLATED,
        output_without_nodes,
        check.the_truth_is_ideal,
        ("circuit_equivalence", "circuit_independence"),
    ),
    Fault(
        "every edge counts",
        f"{CIRCUITS}.faithfulness._moved",
        lambda *_: True,
        check.an_unused_edge_is_not,
        ("circuit_minimality",),
    ),
    Fault(
        "an input is its own partner",
        f"{CIRCUITS}.compiled.partners_of",
        lambda inputs, *_: inputs,
        check.partners_are_other_inputs,
        AUROCS,
    ),
    Fault(
        "messages of the same input",
        f"{CIRCUITS}.circuit.Circuit.ablated_messages",
        own_messages,
        check.an_unused_edge_is_not,
        ("circuit_independence",),
    ),
    Fault(
        "the truth lacks 1 / (1 - leverage)",
        f"{FUNCTIONS}.influence.ridge.Ridge.leave_one_out",
        lambda self, *given: self.influence(*given),
        check.leaving_one_out_is_refitting,
        ("leave_one_out_correlation",),
    ),
    Fault(
        "effects without sign",
        f"{FUNCTIONS}.influence.scores.row_correlations",
        sizes_correlated,
        check.signs_of_effects_count,
        ("leave_one_out_correlation",),
    ),
    Fault(
        "values instead of ranks",
        f"{FUNCTIONS}.influence.scores.rankdata",
        lambda a, axis: a,
        check.subsets_by_rank,
        ("linear_datamodelling_score",),
    ),
    Fault(
        "a tie wins",
        f"{FUNCTIONS}.scorers.scores._preference",
        lambda true, others: float((true >= others).mean()),
        check.ties_of_descriptions,
        ("description_preference",),
    ),
    Fault(
        "any score has a range of 1",
        f"{FUNCTIONS}.scorers.scores.range_of",
        lambda *_: 1.0,
        check.margins_are_shares_of_the_range,
        ("description_margin",),
    ),
    Fault(
        "falls are pooled",
        f"{FUNCTIONS}.scorers.scores._sensitivity",
        pooled_fall,
        check.the_smaller_fall_counts,
        ("description_sensitivity",),
    ),
    Fault(
        "IoU instead of F1",
        f"{FUNCTIONS}.scorers.label_sampling.TABLE_SCORES",
        {"f1": TABLE_SCORES["iou"]},
        check.weights_make_up_for_the_sampling,
        ("f1_error",),
    ),
    Fault(
        "labels without weights",
        f"{FUNCTIONS}.scorers.label_sampling.sampled_inputs",
        unweighted,
        check.weights_make_up_for_the_sampling,
        ("f1_error",),
    ),
    Fault(
        "units against copies of others",
        f"{FUNCTIONS}.scorers.causal._causal",
        all_pairs_of_units,
        check.copies_are_pairs,
        ("description_causal",),
    ),
    Fault(
        "greedy matching of concepts",
        f"{FUNCTIONS}.neurons.polysemantic_scores.linear_sum_assignment",
        greedy,
        check.concepts_are_matched_at_best,
        ("neuron_concept_f1",),
    ),
    Fault(
        "concepts as one",
        f"{FUNCTIONS}.neurons.polysemantic_scores.extents_of",
        one_union,
        check.concepts_are_counted,
        ("neuron_count_error",),
    ),
    Fault(
        "silent words count",
        f"{FUNCTIONS}.neurons.polysemantic_scores.FIRING_THRESHOLD",
        -1.0,
        check.firing_words_are_covered,
        ("neuron_coverage",),
    ),
    Fault(
        "signs of concepts are lost",
        f"{CONCEPT_NETS}.concept_scores.floored",
        lambda s: s.abs().numpy(),
        check.signs_of_concepts_count,
        ("concept_spearman", "concept_sign"),
    ),
    Fault(
        "AUROC of concepts without ties",
        f"{CONCEPT_NETS}.concept_scores.roc_auc_score",
        without_ties,
        check.ties_of_concepts,
        ("concept_auroc",),
    ),
    Fault(
        "concepts at rounding level",
        f"{CONCEPT_NETS}.concept_scores.NEGLIGIBLE",
        0.0,
        check.rounding_is_no_concept,
        ("concept_sign", "concept_false_positives", "concept_power", "concept_false_discoveries"),
    ),
    Fault(
        "no opinion is the largest",
        f"{CONCEPT_NETS}.concept_scores.floored",
        largest_for_nan,
        check.the_gap_is_a_share_of_the_largest,
        ("correlated_null_gap",),
    ),
    Fault(
        "everything is named",
        f"{FUNCTIONS}.superposition.representation_scores.NAMED_SHARE",
        0.0,
        check.small_scores_name_nothing,
        ("representation_accuracy",),
    ),
    Fault(
        "the first of a tie",
        f"{FUNCTIONS}.scenes.scene_scores.named_predicates",
        first_of_the_largest,
        check.tied_predicates,
        ("scene_concept", "scene_auroc"),
    ),
)


@pytest.mark.parametrize(
    ("fault", "metric"), [(f, m) for f in FAULTS for m in f.scores], ids=lambda x: x if isinstance(x, str) else x.name
)
def test_the_check_of_a_score_passes_and_fails_with_the_fault(
    fault: Fault, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.check(metric)
    monkeypatch.setattr(fault.where, fault.planted)
    with pytest.raises(AssertionError):
        fault.check(metric)


def test_ablating_nodes_instead_of_edges_fails_the_gate() -> None:
    case = check.fresh("reverse")
    net = case.given.run
    faulty = replace(
        case.given, run=lambda x, removed=None, *rest: net(x, None if removed is None else by_node(removed), *rest)
    )
    wiring, variable = (case.hidden[k] > 0 for k in ("wiring", "variable"))
    for circuit, sound in ((case.given, True), (faulty, False)):
        gates = interventions(circuit, wiring, variable, np.random.default_rng(0))
        assert all(gate.passed for gate in gates) == sound


def test_every_score_of_cases_has_a_check_that_fails_with_a_fault() -> None:
    checked = {metric for fault in FAULTS for metric in fault.scores}
    assert SCORES_OF_CASES - checked == set(), "plant a fault for each of these scores, above"
    assert checked - SCORES_OF_CASES == {"neuron_concept_f1", "neuron_count_error", "neuron_coverage"}

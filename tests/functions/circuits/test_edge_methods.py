"""Methods that score edges, against closed forms, finite differences and planted faults."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

import xaibench as xb
from xaibench.functions.circuits.circuit import Circuit, output_distance
from xaibench.functions.circuits.compiled import compiled
from xaibench.functions.circuits.edge_scores import edge_auroc
from xaibench.functions.circuits.graph import EDGES, LEVELS

CASES = {case.parameters["program"]: case for case in compiled(seed=11)}
every_program = pytest.mark.parametrize("name", list(CASES))
every_ablation = pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])


@cache
def answer(method: str, program: str, **params: object) -> xb.Scores:
    found = xb.explain_case(method, CASES[program], seed=1, **params)
    assert isinstance(found, xb.Scores)
    return found


def auroc(method: str, program: str, labels: str, **params: object) -> float:
    return edge_auroc(answer(method, program, **params).values, CASES[program].hidden[labels])


def blind_to_constants(program: str) -> float:
    """1 - u/(2|T|) for u constant edges of |T| wired ones."""
    wired, variable = (float(CASES[program].hidden[k].sum()) for k in ("wiring", "variable"))
    return 1 - (wired - variable) / (2 * wired)


PUBLISHED = {"reverse": 0.75, "frac_prevs": 1, "induction": 0.857, "threshold": 0.875, "constant": 0.8, "backup": 0.75}


def test_the_closed_form_is_that_of_the_six_programs() -> None:
    assert {name: round(blind_to_constants(name), 3) for name in PUBLISHED} == PUBLISHED


@every_program
@pytest.mark.parametrize("ablation", ["mean", "resample"])
def test_who_leaves_constants_as_they_are_is_on_the_closed_form(name: str, ablation: str) -> None:
    for method, params in (("edge_patching", {}), ("edge_attribution", {"steps": 8})):
        assert auroc(method, name, "variable", ablation=ablation, **params) == 1
        assert auroc(method, name, "wiring", ablation=ablation, **params) == pytest.approx(
            blind_to_constants(name), abs=5e-4
        )


@pytest.mark.slow
@every_program
@pytest.mark.parametrize("ablation", ["mean", "resample"])
@pytest.mark.parametrize("method", ["acdc", "subnetwork_probing"])
def test_so_are_pruning_and_probing(name: str, ablation: str, method: str) -> None:
    assert auroc(method, name, "variable", ablation=ablation) == 1
    assert auroc(method, name, "wiring", ablation=ablation) == pytest.approx(blind_to_constants(name), abs=5e-4)


@every_program
def test_gradients_are_on_it_where_attention_is_not_saturated(name: str) -> None:
    # Queries of `places` pick among equal tokens, to which they give equal weights whatever they are.
    wanted = 0.75 if name == "places" else blind_to_constants(name)
    assert auroc("edge_attribution", name, "wiring", ablation="resample") == pytest.approx(wanted, abs=5e-4)


@every_program
def test_zero_ablation_finds_the_wiring(name: str) -> None:
    assert auroc("edge_attribution", name, "wiring", steps=8) == 1
    # Of two heads that each would do, patching sees those edges only that let something else through.
    assert auroc("edge_patching", name, "wiring") == (0.75 if name == "backup" else 1)


SATURATED = {"reverse": 2, "induction": 5, "backup": 8, "bigram": 2, "places": 2, "two_back": 4}
"""Wired edges without a gradient at the clean run: queries and keys of hard attention, and what is behind a cut-off."""


@every_program
def test_a_gradient_at_the_clean_run_misses_what_is_saturated(name: str) -> None:
    wired = float(CASES[name].hidden["wiring"].sum())
    wanted = 1 - SATURATED.get(name, 0) / (2 * wired)
    assert auroc("edge_attribution", name, "wiring") == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("name", ["reverse", "backup", "share_here"])
@every_ablation
def test_the_distance_to_the_clean_output_has_no_gradient(name: str, ablation: str) -> None:
    assert answer("edge_attribution", name, ablation=ablation, score="distance").values.abs().max() == 0


@pytest.mark.parametrize("name", ["induction", "threshold"])
@every_ablation
def test_attribution_is_the_derivative_of_the_output_along_the_ablation(name: str, ablation: str) -> None:
    """Central differences in the share of each message that is replaced; these programs are at no kink of a ReLU."""
    case = CASES[name]
    given: Circuit = case.given
    messages = given.ablated_messages(ablation)  # type: ignore[arg-type]
    clean = given.run(given.inputs)[0]
    direction = clean - given.output_without(torch.ones(61), messages)
    h = 1e-5

    def along(share: Tensor) -> float:
        return float((given.run(given.inputs, share, messages)[0] * direction).sum()) / 24

    wanted = [(along(h * edge) - along(-h * edge)) / (2 * h) for edge in torch.eye(61, dtype=torch.float64)]
    found = answer("edge_attribution", name, ablation=ablation).values
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_path_adds_up_over_the_edges_of_the_embeddings() -> None:
    """Completeness: where all edges from the embeddings go along, their scores sum to the change of the output."""
    case = CASES["threshold"]
    given: Circuit = case.given
    found = answer("edge_attribution", "threshold", steps=64).values
    embedded = torch.tensor([edge.sender in ("tok", "pos") for edge in EDGES])
    messages = given.ablated_messages("zero")
    clean = given.run(given.inputs)[0]
    direction = clean - given.output_without(torch.ones(61), messages)
    change = given.output_without(embedded, messages) - clean
    wanted = float((change * direction).sum()) / 24
    assert float(found[embedded].sum()) == pytest.approx(wanted, rel=0.125)


def test_patching_is_the_change_of_the_output() -> None:
    given: Circuit = CASES["constant"].given
    found = answer("edge_patching", "constant", ablation="resample").values
    other = given.run(given.partners)[1]
    clean = given.run(given.inputs)[0]
    for i in (0, 20, 60):
        single = torch.zeros(61, dtype=torch.float64)
        single[i] = 1
        assert float(found[i]) == pytest.approx(
            output_distance(given.run(given.inputs, single, other)[0], clean), abs=1e-15
        )


def test_pruning_drops_one_of_two_heads_that_stand_in_for_each_other() -> None:
    found = answer("acdc", "backup").values
    wired = CASES["backup"].hidden["wiring"] > 0
    assert int((found > 0).sum()) == 4
    assert not (found > 0)[~wired].any()
    dropped = {
        EDGES[i].receiver if EDGES[i].receiver != "out" else EDGES[i].sender for i in (found > 0).nonzero()[:, 0]
    }
    assert len(dropped) == 1
    assert set(found.unique().tolist()) <= {0.0, 1e-5, 0.01, 0.1, 0.5}


def test_runs_are_counted() -> None:
    runs = {
        ("edge_patching", "zero"): 62,
        ("edge_patching", "resample"): 63,
        ("acdc", "zero"): 246,
        ("edge_attribution", "zero"): 5,
        ("edge_attribution", "resample"): 6,
        ("subnetwork_probing", "zero"): 92,
    }
    assert {key: answer(key[0], "lookup", ablation=key[1]).queries for key in runs} == runs
    assert answer("edge_attribution", "lookup", steps=8).queries == 26
    for method in ("edge_weights", "edge_depth", "edge_degree", "constant"):
        assert answer(method, "lookup").queries == 0


def test_planted_resampling_of_a_sample_with_itself_finds_nothing() -> None:
    case = CASES["frac_prevs"]
    given: Circuit = case.given
    alone = replace(case, given=replace(given, partners=given.inputs))
    for method in ("edge_patching", "edge_attribution", "acdc"):
        found = xb.explain_case(method, alone, ablation="resample").values
        assert edge_auroc(found, case.hidden["variable"]) == 0.5
        assert auroc(method, "frac_prevs", "variable", ablation="resample") == 1


def test_weights_see_what_can_be_read() -> None:
    for case in CASES.values():
        given: Circuit = case.given
        found = answer("edge_weights", case.parameters["program"]).values
        assert (found[case.hidden["wiring"] > 0] > 0).all()
        receivers = set(case.parameters["nodes"])
        used = torch.tensor([edge.receiver in receivers | {"out"} for edge in EDGES])
        unread = used & (case.hidden["wiring"] == 0)
        assert float(found[unread].max()) < 1e-12
        assert (found[~used] > 0).all()
        assert given.edges == EDGES


def test_placebos_see_the_graph_only() -> None:
    for method in ("edge_depth", "edge_degree"):
        first = answer(method, "reverse").values
        assert all(answer(method, name).values.equal(first) for name in CASES)
    depth = answer("edge_depth", "reverse").values
    assert depth.tolist() == [5 - LEVELS[edge.receiver] for edge in EDGES]
    assert answer("edge_depth", "reverse", first="late receivers").values.tolist() == [
        LEVELS[e.receiver] for e in EDGES
    ]
    assert answer("edge_depth", "reverse", first="early senders").values.tolist() == [
        5 - LEVELS[e.sender] for e in EDGES
    ]
    degree = answer("edge_degree", "reverse").values
    i = CASES["reverse"].units.index("tok-h00.v")
    assert degree[i] == sum(e.sender == "tok" for e in EDGES) + 2


def test_probing_closes_what_is_not_needed_and_repeats_itself() -> None:
    found = answer("subnetwork_probing", "lookup").values
    wired = CASES["lookup"].hidden["wiring"] > 0
    assert float(found[~wired].max()) < float(found[wired].min())
    assert found[~wired].unique().numel() == 1, "gates that nothing depends on close alike"
    again = xb.explain_case("subnetwork_probing", CASES["lookup"], seed=1).values
    assert again.equal(found)
    assert not xb.explain_case("subnetwork_probing", CASES["lookup"], seed=2).values.equal(found)

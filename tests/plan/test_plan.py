"""Plans are streams: large ones, lists of planned cells and shards say the same as the plan in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from xaibench import suite as suites
from xaibench.core.errors import NothingToDoError, UsageError
from xaibench.core.keys import canonical_json, digest, digest_of_json
from xaibench.execution.row_building import make_row
from xaibench.plan import Selection, Shard, expand, make_plan, planned_tables
from xaibench.store.schema import to_table

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def suite(tiny_suite: Make) -> suites.Suite:
    first = tiny_suite(seeds=[0, 1], problem_seeds=[0, 1, 2], controls=True)
    second = {**first, "name": "second", "metrics": ["sparseness", "complexity"], "seeds": [1, 2]}
    return suites.parse({"name": "both", "parts": [first, second]})


def test_a_plan_that_is_not_kept_says_the_same(suite: suites.Suite) -> None:
    kept, stream = make_plan(suite), make_plan(suite, keep=10)
    assert list(stream.units) == list(kept.units)
    assert list(stream.units) == list(stream.units)
    assert len(stream.units) == len(kept.units) == len(list(kept.units))
    assert (stream.states, stream.todo, stream.seconds()) == (kept.states, kept.todo, kept.seconds())
    assert stream.todo == sum(len(u.todo) for u in kept.units) > 10
    assert [(p.key, len(u)) for p, u in stream.by_problem()] == [(p.key, len(u)) for p, u in kept.by_problem()]
    assert len({p.key for p, _ in kept.by_problem()}) == len(list(kept.by_problem())) == 3


def test_a_cell_of_several_parts_is_planned_once_and_its_problem_comes_once(suite: suites.Suite) -> None:
    cells = [c.cell_id for u in expand(suite) for c in u.cells]
    assert len(cells) == len(set(cells))
    alone = {c.cell_id for part in suite.matrices() for u in expand(part) for c in u.cells}
    assert set(cells) == alone


def test_the_list_of_planned_cells_is_that_of_rows(suite: suites.Suite) -> None:
    units = list(expand(suite))
    expected = to_table([make_row(u, c, 0, status="missing") for u in units for c in u.cells]).to_pylist()
    found = [row for table in planned_tables(iter(units)) for row in table.to_pylist()]
    for rows in (expected, found):
        for row in rows:
            del row["created"]
    assert found == expected


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_shards_divide_the_units_and_know_that_they_belong_together(suite: suites.Suite, of: int) -> None:
    whole = make_plan(suite)
    shards = [make_plan(suite, shard=Shard(i, of)) for i in range(1, of + 1)]
    parts = [[u.unit.unit_id for u in plan.units] for plan in shards]
    assert sorted(unit for part in parts for unit in part) == sorted(u.unit.unit_id for u in whole.units)
    assert {plan.cells_digest for plan in shards} == {whole.cells_digest}
    assert {plan.whole for plan in shards} == {True}
    assert all(len(list(plan.every_unit())) == len(whole.units) for plan in shards)
    assert [plan.facts()["shard"] for plan in shards] == [[i, of] for i in range(1, of + 1)]


def test_other_cells_have_another_digest(suite: suites.Suite, tiny_suite: Make) -> None:
    def cells(made: suites.Suite, selection: Selection | None = None) -> str:
        return make_plan(made, selection=selection).cells_digest

    everything = [
        cells(suite),
        cells(suite.shifted(1)),
        cells(suite, Selection(only=("sparseness",))),
        cells(suite, Selection(limit=4)),
        cells(suites.parse(tiny_suite())),
        cells(suites.parse(tiny_suite(metrics=["own_metric", "sparseness"]))),
    ]
    assert len(set(everything)) == len(everything)


def test_shards_are_read_and_may_be_empty(tiny_suite: Make) -> None:
    assert Shard.parse("2/3") == Shard(2, 3)
    for text in ("0/3", "4/3", "3", "a/b", "1/0", "-1/2", "1/2/3"):
        with pytest.raises(UsageError, match="is not a shard"):
            Shard.parse(text)
    small = suites.parse(tiny_suite(explainers=["gradient"]))
    assert sum(len(make_plan(small, shard=Shard(i, 50)).units) for i in range(1, 51)) == 1
    with pytest.raises(NothingToDoError):
        make_plan(small, selection=Selection(skip=("tiny",)), shard=Shard(1, 2))


def test_digests_of_json_are_those_of_values() -> None:
    parts = ["cell", [["a", "{}"], 1, None, 0.5], {"b": 1, "a": "ü"}]
    assert digest_of_json(*map(canonical_json, parts)) == digest(*parts)


def test_another_name_of_an_explainer_selects_it_in_every_place(tiny_suite: Make) -> None:
    """Before, `--skip expected_gradients` skipped nothing, and a rule with that name left nothing out."""

    def explained(selection: Selection | None = None, **fields: Any) -> set[str]:
        suite = suites.parse(tiny_suite(explainers=["gradient", "expected_gradients"], controls=False, **fields))
        return {u.unit.explainer.spec.name for u in make_plan(suite, selection=selection).units}

    assert explained() == {"gradient", "gradient_shap"}
    assert explained(Selection(skip=("expected_gradients",))) == {"gradient"}
    assert explained(Selection(only=("*/*/expected_gradients/*",))) == {"gradient_shap"}
    assert explained(exclude=[{"explainer": "expected_gradients"}]) == {"gradient"}
    claim: dict[str, Any] = {"id": "a", "source": "b", "statement": "c", "margin": 0, "number": 0}
    claimed = tiny_suite(
        explainers=["expected_gradients"], claims=[{**claim, "left": {"explainer": "expected_gradients"}}]
    )
    assert suites.parse(claimed).claims[0].left.explainer == ["gradient_shap"]

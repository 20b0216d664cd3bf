"""Suite files: what is wrong is said in one sentence, with the place and a suggestion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import xaibench as xb
from xaibench import suite as suites
from xaibench.core.errors import UsageError
from xaibench.plan import Selection, expand

Make = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("name", sorted(suites.available()))
def test_shipped_suites_are_valid_and_described(name: str) -> None:
    suite = suites.load(name)
    assert suite.description
    assert next(expand(suite))


def test_the_quick_suite_covers_what_it_promises() -> None:
    suite = suites.load("quick")
    datasets = {p.dataset.name for p in suite.problems}
    models = {m.name for p in suite.problems for m in p.models}
    assert len(datasets) >= 4
    assert len(models) >= 5
    assert len({e.name for e in suite.explainers}) >= 14
    assert len({m.name for m in suite.metrics}) >= 13
    slow = {"lime", "kernel_shap", "shapley_sampling"}
    for unit in expand(suite):
        if unit.spec.name in slow:
            assert not any("reexplain" in c.spec.needs for c in unit.cells)


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"sample": 3}, "unknown field 'sample'", "'samples'"),
        ({"samples": 0}, "samples: must be at least 1, and is 0", None),
        ({"seeds": []}, "seeds", None),
        ({"problems": []}, "problems", None),
        ({"target": "loss"}, "target", None),
        ({"metrics": ["pixel_fliping"]}, "unknown metric 'pixel_fliping'", "'pixel_flipping'"),
        ({"explainers": ["saliencies"]}, "unknown explainer 'saliencies'", "'saliency'"),
        ({"metrics": [{"name": "pixel_flipping", "params": {"step": 3}}]}, "no parameter 'step'", "'steps'"),
        (
            {"metrics": [{"name": "pixel_flipping", "param": {}}]},
            "unknown field 'param' in metrics, entry 1",
            "'params'",
        ),
        ({"metrics": [{"name": "pixel_flipping", "grid": {"steps": [1, "x"]}}]}, "steps = 'x' is not valid", None),
        ({"problems": [{"dataset": "tiny", "models": ["cnn"]}]}, "model 'cnn' takes image data", None),
        ({"metrics": [{"name": "pixel_flipping", "params": {"masker": "zeros"}}]}, "unknown masker 'zeros'", "'zero'"),
        ({"explainers": [{"name": "lime", "params": {"n_samples": -3}}]}, "n_samples = -3 is not valid", None),
        ({"explainers": [{"name": "lime", "n_samples": 3}]}, "unknown field", "parameters go into params"),
        ({"exclude": [{"explainers": "x"}]}, "unknown field 'explainers' in exclude, entry 1", "'explainer'"),
    ],
)
def test_mistakes(tiny_suite: Make, change: dict[str, Any], message: str, hint: str | None) -> None:
    with pytest.raises(UsageError, match=message) as error:
        list(expand(suites.parse(tiny_suite(**change))))
    assert hint is None or hint in (error.value.hint or "")


def test_broken_files(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("name = [")
    with pytest.raises(UsageError, match="not valid TOML"):
        suites.load(str(file))
    with pytest.raises(UsageError, match="there is no suite file"):
        suites.load(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="unknown suite 'quik'") as error:
        suites.load("quik")
    assert error.value.hint == "did you mean 'quick'?"


def test_grids_expand_to_every_combination(tiny_suite: Make) -> None:
    entry = {"name": "pixel_flipping", "params": {"steps": 2}, "grid": {"masker": ["zero", "mean"], "steps": [3, 4]}}
    (unit,) = expand(suites.parse(tiny_suite(explainers=["gradient"], metrics=[entry])))
    assert [(c.metric.params["masker"], c.metric.params["steps"]) for c in unit.cells] == [
        ("zero", 3), ("zero", 4), ("mean", 3), ("mean", 4)
    ]  # fmt: skip
    assert len({c.cell_id for c in unit.cells}) == 4


def test_include_exclude_and_selection(tiny_suite: Make) -> None:
    def cells(selection: Selection | None = None, **fields: Any) -> set[tuple[str, str]]:
        found = expand(suites.parse(tiny_suite(**fields)), selection)
        return {(u.spec.name, c.spec.name) for u in found for c in u.cells}

    everything = cells()
    assert len(everything) == 4
    assert cells(exclude=[{"explainer": "gradient", "metric": ["own*"]}]) == everything - {("gradient", "own_metric")}
    assert cells(include=[{"explainer": "grad*"}]) == {e for e in everything if e[0] == "gradient"}
    assert cells(Selection(only=("sparseness",))) == {e for e in everything if e[1] == "sparseness"}
    assert cells(Selection(only=("tiny/*/gradient",))) == {e for e in everything if e[0] == "gradient"}
    assert cells(Selection(skip=("tiny",))) == set()


def test_claims_about_values_that_no_component_has_are_found_before_the_run(tiny_suite: Make) -> None:
    explainers = ["gradient", {"name": "smoothgrad", "grid": {"n_samples": [2, 3]}}]
    metrics = [
        {"name": "pixel_flipping", "params": {"steps": 2, "masker": "zero"}},
        {"name": "pixel_flipping", "params": {"steps": 3, "masker": "mean"}},
    ]

    def parse(**left: Any) -> suites.Suite:
        given = {"explainer": "smoothgrad", "metric": "pixel_flipping", **left}
        claim = {"id": "tiny.c", "source": "s", "statement": "t", "left": given, "number": 0.0}
        return suites.parse(tiny_suite(explainers=explainers, metrics=metrics, claims=[claim]))

    parse(params={"masker": "mean", "steps": 3}, explainer_params={"n_samples": 3})
    parse(explainer="*", explainer_params={"n_samples": 2})
    for wrong, said, hint in (
        ({"params": {"masker": "men"}}, 'masker = "men", which no metric', 'the suite has masker = "zero", "mean"'),
        ({"params": {"steps": 4}}, "steps = 4", "the suite has steps = 2, 3"),
        ({"params": {"step": 2}}, "step = 2", "did you mean 'steps'?"),
        ({"params": {"masker": "mean", "steps": 2}}, "steps = 2", "no component has all of them"),
        ({"explainer_params": {"n_samples": 4}}, "which no explainer 'smoothgrad'", "the suite has n_samples = 2, 3"),
        ({"explainer": "gradient", "explainer_params": {"n_samples": 2}}, "which no explainer 'gradient'", None),
    ):
        with pytest.raises(UsageError, match=r"the left side of claim 'tiny\.c'") as error:
            parse(**wrong)
        assert said in error.value.message
        assert hint is None or hint in (error.value.hint or "")


def test_selection_sees_parameters_that_the_suite_gives(tiny_suite: Make) -> None:
    explainers = ["gradient", {"name": "smoothgrad", "grid": {"n_samples": [2, 3]}}]
    metrics = [{"name": "pixel_flipping", "grid": {"masker": ["zero", "mean"]}}]
    suite = suites.parse(tiny_suite(explainers=explainers, metrics=metrics))

    def cells(**patterns: tuple[str, ...]) -> set[tuple[str, str]]:
        return {(u.explainer.label, c.metric.label) for u in expand(suite, Selection(**patterns)) for c in u.cells}

    zero, mean = (f"pixel_flipping(masker={m})" for m in ("zero", "mean"))
    two, three = (f"smoothgrad(n_samples={n})" for n in (2, 3))
    assert cells(only=(two,)) == {(two, zero), (two, mean)}
    assert cells(only=("smoothgrad",)) == {(s, m) for s in (two, three) for m in (zero, mean)}
    assert cells(skip=("smoothgrad", zero)) == {("gradient", mean)}
    assert cells(only=(f"tiny/*/{three}/{mean}",)) == cells(only=(f"*/{three}/{mean}",)) == {(three, mean)}
    assert cells(only=("tiny/*/smoothgrad/*=mean)",)) == {(two, mean), (three, mean)}
    assert cells(only=("smoothgrad(n_samples=4)",)) == set()


def test_rules_see_parameters_that_the_suite_gives(tiny_suite: Make) -> None:
    explainers = [
        {"name": "smoothgrad", "params": {"n_samples": 2}},
        {"name": "smoothgrad", "params": {"n_samples": 3}},
    ]

    def labels(rule: str) -> list[str]:
        made = tiny_suite(explainers=explainers, metrics=["sparseness"], exclude=[{"explainer": rule}])
        return [u.explainer.label for u in expand(suites.parse(made))]

    assert labels("smoothgrad(n_samples=2)") == ["smoothgrad(n_samples=3)"]
    assert labels("smoothgrad") == []
    assert len(labels("smooth")) == 2


def test_seeds_are_offset_and_controls_join(tiny_suite: Make) -> None:
    suite = suites.parse(tiny_suite(seeds=[0, 1], problem_seeds=[0], controls=True, metrics=["sparseness"])).shifted(10)
    units = list(expand(suite))
    assert {u.seed for u in units} == {10, 11}
    assert {u.problem.seed for u in units} == {10}
    assert {"random", "constant", "oracle"} <= {u.spec.name for u in units}


def test_the_random_control_is_repeated_only_where_skill_needs_it(tiny_suite: Make) -> None:
    fields = {"controls": True, "metrics": ["weight_agreement", "sparseness"]}
    units = [u for u in expand(suites.parse(tiny_suite(**fields))) if u.spec.name == "random"]
    assert [u.repeat for u in units] == [0, 1]
    assert [c.spec.name for c in units[1].cells] == ["weight_agreement"]
    assert {u.repeat for u in expand(suites.parse(tiny_suite())) if u.spec.name != "random"} == {0}


def test_identities_follow_names_parameters_and_seeds_only(tiny_suite: Make) -> None:
    def ids(**fields: Any) -> set[str]:
        return {c.cell_id for u in expand(suites.parse(tiny_suite(**fields))) for c in u.cells}

    assert ids() == ids(name="other", description="another text")
    assert not ids() & ids(seeds=[1])
    assert not ids() & ids(problem_seeds=[1])
    assert not ids() & ids(samples=7)
    assert ids(metrics=["sparseness"]) < ids()


CLAIM = {"id": "c", "source": "s", "statement": "t", "left": {"metric": "sparseness"}, "number": 0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"right": {}}, "not with both"),
        ({"number": None}, "with a number, and not with both"),
        ({"statistic": "agreement"}, "agreement needs a reference"),
        ({"statistic": "agreement", "reference": {}}, "one number per trained model"),
        ({"direction": "equal"}, "give a margin"),
        ({"margin": -1.0}, "claims, entry 1, margin"),
        ({"number": float("nan")}, "claims, entry 1, number"),
        ({"id": "with space"}, "claims, entry 1, id"),
        ({"left": {"metrics": "sparseness"}}, "unknown field 'metrics' in claims, entry 1, left"),
        ({"left": {"metric": "sparsenes"}}, "claim 'c' is about metric 'sparsenes'"),
        ({"left": {"explainer": ["gradient", "lime"]}}, "claim 'c' is about explainer 'lime'"),
        ({"left": {"dataset": "tiny(n=3)"}}, "claim 'c' is about dataset"),
    ],
)
def test_claims_that_cannot_be_tested(tiny_suite: Make, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        suites.parse(tiny_suite(claims=[{k: v for k, v in {**CLAIM, **change}.items() if v is not None}]))


def test_claims_name_controls_by_their_names(tiny_suite: Make) -> None:
    # A pattern takes no control, so that this claim would look at nothing, or at the other explainers only.
    for named, fits in (("token_pos*", False), ("token_position", True)):
        claim = {**CLAIM, "left": {"metric": "sparseness", "explainer": ["gradient", named]}}
        given = tiny_suite(explainers=["gradient", "token_position"], claims=[claim])
        if fits:
            assert suites.parse(given).claims[0].left.explainer == ["gradient", named]
            continue
        with pytest.raises(UsageError, match="names controls by the pattern 'token_pos\\*'"):
            suites.parse(given)


def test_claims_are_read_and_ids_are_unique(tiny_suite: Make) -> None:
    suite = suites.parse(tiny_suite(claims=[CLAIM]))
    assert suite.claims[0].left.metric == ["sparseness"]
    with pytest.raises(UsageError, match="two claims have the id 'c'"):
        suites.parse(tiny_suite(claims=[CLAIM, CLAIM]))


def write(path: Path, document: dict[str, Any], *more: str) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in document.items() if key not in ("problems", "claims")]
    for problem in document.get("problems", []):
        lines += ["[[problems]]", *(f"{k} = {json.dumps(v)}" for k, v in problem.items())]
    path.write_text("\n".join([*lines, *more]))


def test_parts_bring_their_matrices_and_claims_and_no_cell_twice(tiny_suite: Make, tmp_path: Path) -> None:
    given = {key: value for key, value in tiny_suite().items() if key != "name"}
    claim = '[[claims]]\nid = "one.c"\nsource = "s"\nstatement = "t"\nnumber = 0.5\n[claims.left]'
    write(tmp_path / "one.toml", given, claim)
    write(tmp_path / "two.toml", {**given, "samples": 5})
    write(tmp_path / "same.toml", given)
    (tmp_path / "all.toml").write_text('parts = ["one.toml", "two.toml", "same.toml"]')
    suite = suites.load(str(tmp_path / "all.toml"))
    assert [part.name for part in suite.matrices()] == ["one", "two", "same"]
    assert [c.id for c in suite.all_claims()] == ["one.c"]
    cells = [c.cell_id for unit in expand(suite) for c in unit.cells]
    alone = [
        c.cell_id
        for name in ("one", "two")
        for u in expand(suites.load(str(tmp_path / f"{name}.toml")))
        for c in u.cells
    ]
    assert cells == alone
    assert len(set(cells)) == len(cells)
    assert suite.shifted(7).parts[0].problem_seeds == [s + 7 for s in suite.parts[0].problem_seeds]


def test_parts_that_are_missing_or_contain_themselves(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('parts = ["b.toml"]')
    (tmp_path / "b.toml").write_text('parts = ["a.toml"]')
    with pytest.raises(UsageError, match="part of itself"):
        suites.load(str(tmp_path / "a.toml"))
    (tmp_path / "named.toml").write_text('name = "own"\nparts = ["named.toml"]')
    with pytest.raises(UsageError, match="part of itself"):
        suites.load(str(tmp_path / "named.toml"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "leakage.toml").write_text(suites.available()["leakage"].read_text())
    (tmp_path / "leakage.toml").write_text('parts = ["sub/leakage.toml"]')
    assert len(suites.load(str(tmp_path / "leakage.toml")).all_claims()) > 0
    (tmp_path / "c.toml").write_text('parts = ["nowhere"]')
    with pytest.raises(UsageError, match="unknown suite 'nowhere'"):
        suites.load(str(tmp_path / "c.toml"))
    (tmp_path / "d.toml").write_text("parts = 3")
    with pytest.raises(UsageError, match="parts must be a list"):
        suites.load(str(tmp_path / "d.toml"))


@pytest.mark.slow
def test_claims_of_a_part_are_about_its_own_results(tiny_suite: Make, tmp_path: Path) -> None:
    given = {key: value for key, value in tiny_suite().items() if key != "name"}
    lines = (
        '[[claims]]\nid = "{0}.c"\nsource = "s"\nstatement = "t"\nnumber = 0.0\n'
        'left = {{ explainer = "gradient", metric = "sparseness" }}'
    )
    one = {**given, "problem_seeds": [0], "explainers": ["gradient"], "metrics": ["sparseness"]}
    write(tmp_path / "one.toml", one, lines.format("one"))
    write(tmp_path / "two.toml", {**one, "problem_seeds": [1, 2]}, lines.format("two"))
    (tmp_path / "both.toml").write_text('parts = ["one.toml", "two.toml"]')
    alone = []
    for name in ("one", "two", "both"):
        xb.run(tmp_path / f"{name}.toml", store=tmp_path / "store")
        alone.append(xb.claims(tmp_path / "store", name).drop(columns="suite"))
    pd.testing.assert_frame_equal(pd.concat(alone[:2], ignore_index=True), alone[2])
    assert alone[2]["n"].nunique() == 2

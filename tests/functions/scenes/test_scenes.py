"""Neurons over pictures: predicates by enumeration, activations, tests, drawing, and who finds the predicate."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.scenes.generation import find_scenes, natural_specs
from xaibench.functions.scenes.methods import correlations, one_factor_edits
from xaibench.functions.scenes.pictures import draw_pictures
from xaibench.functions.scenes.predicates import (
    FACTOR_SIZES,
    FACTORS,
    all_specs,
    candidate_names,
    has_values,
    members,
    scene_predicates,
    spec_rows,
)

NATURAL = np.random.default_rng(0).integers(np.array(FACTOR_SIZES), size=(300, 5))


@cache
def neurons(mode: str, confounded: float = 0.0, n: int = 10) -> tuple[xb.Case, ...]:
    return find_scenes(seed=5, n=n, mode=mode, confounded=confounded)  # type: ignore[arg-type]


def score(metric: str, cases: tuple[xb.Case, ...], answers: Any) -> np.ndarray[Any, Any]:
    spec = get("metric", metric)
    assert isinstance(spec, MetricSpec)
    return score_programs(spec, {}, xb.CaseEvaluation(cases, tuple(answers), seed=0, budget=0)).numpy()


def mean_score(metric: str, cases: tuple[xb.Case, ...], explainer: str, **params: Any) -> float:
    return float(score(metric, cases, [xb.explain_case(explainer, c, seed=1, **params) for c in cases]).mean())


def test_there_are_856_predicates_with_names_of_their_own() -> None:
    assert sum(FACTOR_SIZES) == 31
    assert len(scene_predicates()) == len(set(candidate_names())) == 31 + 31 * 30 // 2 + 360 == 856
    assert "object=dog and hue=original" in candidate_names()


def test_predicates_are_what_their_names_say() -> None:
    found = members(NATURAL)
    for p in range(0, 856, 17):
        name = candidate_names()[p]
        for spec, inside in zip(NATURAL[:40], found[:40, p], strict=True):
            has = {f"{f}={FACTORS[f][v]}" for f, v in zip(FACTORS, spec, strict=True)}
            parts = [part in has for word in (" and ", " or ") if word in name for part in name.split(word)]
            wanted = (all(parts) if " and " in name else any(parts)) if parts else name in has
            assert inside == wanted, name


def test_pictures_are_counted_through() -> None:
    assert len(all_specs()) == 4800
    np.testing.assert_array_equal(spec_rows(all_specs()), np.arange(4800))
    assert (has_values(all_specs()).sum(axis=1) == 5).all()
    for wrong in ([[10, 0, 0, 0, 0]], [[0, 0, 0, -1, 0]], [[0, 0, 0]]):
        with pytest.raises(ValueError, match="five numbers"):
            spec_rows(np.array(wrong))


@pytest.mark.parametrize("mode", ["mono", "or", "and"])
def test_neurons_fire_for_their_predicate_only_and_half_of_the_tests_fire(mode: str) -> None:
    for i, case in enumerate(neurons(mode)):
        assert not case.failed_gates
        true = int(case.truth.tensors["values"].argmax())
        assert scene_predicates()[true][0] == mode
        assert candidate_names()[true].startswith(("object", "scene")[i % 2])
        inside = members(all_specs())[:, true]
        for row in (int(np.flatnonzero(inside)[0]), int(np.flatnonzero(~inside)[0])):
            assert (case.given.probe(all_specs()[row]) > 0.5) == inside[row]
        np.testing.assert_array_equal(case.given.activations > 0.5, members(case.given.natural)[:, true])
        np.testing.assert_array_equal(case.hidden["tested"][:, true].numpy(), case.hidden["fires"].numpy())
        assert int(case.hidden["fires"].sum()) == 20


def test_silent_tests_of_two_values_at_once_have_one_of_them() -> None:
    for case in neurons("and"):
        _, a, b = scene_predicates()[int(case.truth.tensors["values"].argmax())]
        silent = case.hidden["tested"][~case.hidden["fires"]][:, [a, b]]
        assert (silent.sum(dim=1) == 1).all()
        assert silent.sum(dim=0).tolist() == [10, 10]


@pytest.mark.parametrize("confounded", [0.0, 0.9, 1.0])
def test_scenes_go_with_objects_as_often_as_is_said(confounded: float) -> None:
    found = natural_specs(confounded, np.random.default_rng(1))
    counts = np.histogram2d(found[:, 0], found[:, 1], bins=10)[0]
    share = counts.max(axis=1).sum() / len(found)
    assert share == pytest.approx(confounded + (1 - confounded) / 10, abs=0.06)
    assert np.bincount(found[:, 4]).min() > 400


def test_correlations_are_those_of_numpy_and_equal_for_equal_members() -> None:
    y = np.random.default_rng(2).random(300)
    found = correlations(NATURAL, y)
    inside = members(NATURAL)
    for p in range(0, 856, 29):
        column = inside[:, p].astype(float)
        wanted = np.corrcoef(column, y)[0, 1] if column.std() > 0 else 0.0
        assert found[p] == pytest.approx(wanted, abs=1e-10)
    confounded = NATURAL.copy()
    confounded[:, 1] = confounded[:, 0]
    same = correlations(confounded, y)
    np.testing.assert_array_equal(same[:10], same[10:20])


def test_edits_change_one_factor_of_the_loudest() -> None:
    edits = one_factor_edits(NATURAL[:3], 40, np.random.default_rng(0))
    assert len(edits) == len(np.unique(edits[:26], axis=0)) + 14
    assert ((edits[:26] != NATURAL[0]).sum(axis=1) == 1).all()
    assert ((edits[26:] != NATURAL[1]).sum(axis=1) == 1).all()


def test_the_auroc_is_that_of_scikit_learn_and_ties_share() -> None:
    (case,) = neurons("or", n=1)
    labels = case.hidden["fires"].numpy()
    for p in (3, 40, 700):
        values = torch.zeros(856)
        values[p] = 1
        wanted = roc_auc_score(labels, case.hidden["tested"][:, p].double().numpy())
        assert score("scene_auroc", (case,), [xb.Scores(values)])[0] == pytest.approx(wanted)
    tied = case.truth.tensors["values"].clone()
    tied[tied.argmax() - 1] = 1
    assert score("scene_concept", (case,), [xb.Scores(tied)])[0] == 0.5
    assert score("scene_concept", (case,), [xb.Scores(torch.ones(856))])[0] == pytest.approx(1 / 856)
    unknown = torch.full((856,), torch.nan)
    unknown[0] = -1.0
    assert score("scene_concept", (case,), [xb.Scores(unknown)])[0] == 0


def test_edits_tell_an_object_from_its_scene() -> None:
    cases = neurons("mono", 1.0)
    assert mean_score("scene_concept", cases, "passive_pictures") == 0.25, "object, scene, either and both"
    assert mean_score("scene_concept", cases, "exemplars") == pytest.approx(0.5, abs=0.26)
    assert mean_score("scene_concept", cases, "edited_pictures") == 1
    assert mean_score("scene_concept", neurons("mono"), "passive_pictures") == 1


def test_edits_are_counted() -> None:
    assert xb.explain_case("edited_pictures", neurons("mono")[0], n_edits=30).queries == 30
    assert xb.explain_case("passive_pictures", neurons("mono")[0]).queries == 0


def test_pictures_show_their_factors() -> None:
    base = np.array([3, 4, 0, 0, 0])
    (image,) = draw_pictures(base[None])
    assert image.shape == (3, 64, 64)
    for factor in range(5):
        other = base.copy()
        other[factor] += 1
        assert (draw_pictures(other[None])[0] != image).any(), list(FACTORS)[factor]
    moved = draw_pictures(base[None] + [[0, 0, 0, 0, 3]])[0]
    differs = (moved != image).any(axis=0)
    assert differs[:20, :20].any()
    assert differs[-20:, -20:].any()
    turned = draw_pictures(base[None] + [[0, 0, 0, 1, 0]])[0]
    np.testing.assert_array_equal(turned[:, 45:], image[:, 45:])

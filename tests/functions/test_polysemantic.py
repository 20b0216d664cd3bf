"""Neurons with several concepts, random test words, and the scores of answers that name several concepts."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.neurons.concepts import vocabulary
from xaibench.functions.neurons.generation import FIRING_THRESHOLD, MISS, find_neuron
from xaibench.functions.neurons.polysemantic_scores import extents_of, matches
from xaibench.functions.neurons.taxonomy import concept_distances


def scored(name: str, box: xb.BlackBox, *answers: xb.Interpretation) -> list[float]:
    spec = cast(MetricSpec, get("metric", name))
    ev = xb.ProgramEvaluation((box,) * len(answers), answers, 0, 8)
    return cast(list[float], score_programs(spec, {}, ev).tolist())


def naming(*extents: Any) -> xb.Interpretation:
    return xb.Interpretation(lambda x: np.zeros(len(x)), facts={"concepts": [list(e) for e in extents]})


@pytest.mark.parametrize("k", [2, 3, 4])
def test_concepts_are_disjoint_far_apart_and_all_tested(k: int) -> None:
    words = vocabulary()
    for f in find_neuron(seed=5, n=6, mode="poly", k=k):
        names, extents = f.parameters["concepts"], [set(e) for e in f.parameters["extents"]]
        assert len(names) == len(set(names)) == k
        assert sum(map(len, extents)) == len(set().union(*extents))
        distances = concept_distances(tuple(names))
        assert distances[~np.eye(k, dtype=bool)].min() >= 4
        levels = np.asarray(f.program(list(words.words)))
        assert {w for w, level in zip(words.words, levels, strict=True) if level == 1} == set().union(*extents)
        fires = [w for w in f.test_inputs if w in set().union(*extents)]
        assert all(any(w in e for w in fires) for e in extents)
        assert len(fires) * 2 == len(f.test_inputs)


def test_distances_count_the_steps_over_a_common_ancestor() -> None:
    meanings = tuple(c for c in vocabulary().concepts if not vocabulary().is_form(c))
    found = concept_distances(meanings)
    assert (np.diag(found) == 0).all()
    np.testing.assert_array_equal(found, found.T)
    members = vocabulary().members[: len(meanings)]
    inside = [
        (a, b) for a in range(40) for b in range(40) if a != b and (members[a] & members[b]).sum() == members[a].sum()
    ]
    assert all(np.isfinite(found[a, b]) for a, b in inside)


def test_a_larger_set_begins_with_the_smaller_one() -> None:
    small, large = find_neuron(seed=5, n=3, mode="poly", k=3), find_neuron(seed=5, n=5, mode="poly", k=3)
    assert [f.description for f in small] == [f.description for f in large[:3]]


@pytest.mark.parametrize("mode", ["single", "or", "and", "poly"])
def test_random_test_words_have_the_same_firing_ones_and_fewer_near_misses(mode: Any) -> None:
    near, random = (find_neuron(seed=2, n=12, mode=mode, test=test) for test in ("near", "random"))
    share = {}
    for name, functions in (("near", near), ("random", random)):
        found = []
        for f in functions:
            levels = np.asarray(f.program(list(f.test_inputs)))
            silent = levels[levels <= FIRING_THRESHOLD]
            assert len(silent) * 2 == len(levels)
            found.append((silent >= MISS).mean())
        share[name] = np.mean(found)
    assert share["random"] < share["near"]
    for f, g in zip(near, random, strict=True):
        assert f.description == g.description
        fires = [{w for w in b.test_inputs if b.program([w])[0] > FIRING_THRESHOLD} for b in (f, g)]
        assert fires[0] == fires[1]


@pytest.mark.parametrize("k", [2, 3, 4])
def test_one_of_k_concepts_has_two_over_one_plus_k_at_best(k: int) -> None:
    f = find_neuron(seed=5, n=1, mode="poly", k=k)[0]
    extents = f.parameters["extents"]
    whole, one = naming(*extents), naming(extents[0])
    assert scored("neuron_concept_f1", f, whole, one) == pytest.approx([1, 2 / (1 + k)])
    assert scored("neuron_count_error", f, whole, one) == [0, k - 1]
    coverage = scored("neuron_coverage", f, whole, one, naming([w for e in extents for w in e]))
    assert coverage[0] == coverage[2] == 1
    assert 0 < coverage[1] < 1


def test_a_greedy_matching_would_lose_a_pair() -> None:
    a, b, x, y = (frozenset(map(str, r)) for r in (range(10), range(3, 13), range(1, 11), range(6)))
    assert matches([a, b], [x, y]) == 2
    assert matches([a, b], [x, x]) == 2
    assert matches([a], [frozenset({"none"})]) == 0
    assert matches([a], [frozenset(map(str, range(5)))]) == 1, "a half is a match"
    assert matches([a], [frozenset(map(str, range(4)))]) == 0


def test_answers_of_a_search_are_read_by_the_names_of_their_concepts() -> None:
    single, either, both = (find_neuron(seed=1, n=1, mode=mode)[0] for mode in ("single", "or", "and"))
    for f, n in ((single, 1), (either, 2)):
        answer = xb.interpret("concept_search", f, budget=64)
        assert len(extents_of(answer.facts) or []) == n
        assert scored("neuron_concept_f1", f, answer) == [1]
        assert scored("neuron_count_error", f, answer) == [0]
    assert np.isnan(scored("neuron_concept_f1", both, xb.interpret("oracle", both))).all()


def test_who_names_nothing_has_nothing_and_malformed_lists_count_as_nothing() -> None:
    f = find_neuron(seed=5, n=1, mode="poly", k=3)[0]
    bad = xb.Interpretation(lambda x: np.zeros(len(x)), facts={"concepts": [1, 2]})
    empty = xb.Interpretation(lambda x: np.zeros(len(x)))
    for answer in (bad, empty, xb.Interpretation.failed("no idea")):
        assert scored("neuron_concept_f1", f, answer) == [0]
        assert scored("neuron_count_error", f, answer) == [3]
        assert scored("neuron_coverage", f, answer) == [0]
    assert scored("neuron_concept_f1", f, xb.interpret("oracle", f)) == [1]


def test_frequent_concepts_ask_nothing_and_cover_little() -> None:
    f = find_neuron(seed=5, n=1, mode="poly", k=3)[0]
    answer = xb.interpret("frequent_concepts", f, k=3)
    assert answer.queries == 0
    assert scored("neuron_count_error", f, answer) == [0]
    assert scored("neuron_concept_f1", f, answer)[0] < 1


def test_a_description_that_is_too_broad_is_seen_by_near_misses_only() -> None:
    found = {}
    for test in ("near", "random"):
        functions = find_neuron(seed=11, n=24, mode="single", test=test)  # type: ignore[arg-type]
        answers = [xb.interpret("broader_concept", f) for f in functions]
        for f, a in zip(functions, answers, strict=True):
            fires = {w for w in f.test_inputs if f.program([w])[0] > FIRING_THRESHOLD}
            assert fires <= set(a.facts["concepts"][0])
        found[test] = np.mean([scored("neuron_auroc", f, a)[0] for f, a in zip(functions, answers, strict=True)])
    assert found["random"] > 0.97
    assert found["near"] < found["random"] - 0.05

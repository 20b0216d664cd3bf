"""Scores of neurons, on answers whose scores are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from xaibench.core.programs.black_box import BlackBox, Domain, Interpretation
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.functions.neurons.scores import neuron_auroc, neuron_concept_accuracy, neuron_iou

WORDS = [f"w{k}" for k in range(10)]
TRUTH = {word: (1.0 if k < 4 else 0.1) for k, word in enumerate(WORDS)}


def box(test: list[str]) -> BlackBox:
    def call(words: Any) -> np.ndarray[Any, Any]:
        return np.array([TRUTH[w] for w in words])

    domain = Domain(words=tuple(w for w in WORDS if w not in test))
    return BlackBox("n", "neuron", call, call, domain, "single", {}, "", test)


def evaluation(program: Callable[[Any], Any], test: list[str] | None = None) -> ProgramEvaluation:
    return ProgramEvaluation((box(test or WORDS),), (Interpretation(program),), seed=0, budget=1)


def levels(*values: float) -> Callable[[Any], Any]:
    known = dict(zip(WORDS, values, strict=True))
    return lambda words: np.array([known[w] for w in words])


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_that_of_scikit_learn_with_ties(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, len(WORDS)) / 3
    wanted = roc_auc_score([TRUTH[w] > 0.5 for w in WORDS], values)
    assert neuron_auroc(evaluation(levels(*values)))[0] == pytest.approx(wanted)


def test_constants_have_one_half_and_words_without_output_count_against() -> None:
    assert neuron_auroc(evaluation(levels(*[0.3] * 10)))[0] == 0.5
    assert neuron_auroc(evaluation(lambda words: 1 / 0))[0] == 0
    # One of the four that fire has no output: its six pairs are lost. One of the six that do not: four pairs.
    one = [np.nan, 1, 1, 1, *[0.0] * 6]
    assert neuron_auroc(evaluation(levels(*one)))[0] == pytest.approx(18 / 24)
    other = [1.0] * 4 + [np.nan] + [0.0] * 5
    assert neuron_auroc(evaluation(levels(*other)))[0] == pytest.approx(20 / 24)


def test_auroc_of_one_side_is_not_defined() -> None:
    assert np.isnan(neuron_auroc(evaluation(levels(*[1.0] * 10), WORDS[:3]))[0])


def test_accuracy_asks_for_equal_members_over_domain_and_test() -> None:
    right = [0.51] * 4 + [0.5] * 6
    for test in (WORDS, WORDS[:2]):
        assert neuron_concept_accuracy(evaluation(levels(*right), test))[0] == 1
        for k in range(10):
            wrong = list(right)
            wrong[k] = 0.5 if k < 4 else 0.51
            assert neuron_concept_accuracy(evaluation(levels(*wrong), test))[0] == 0
            wrong[k] = np.nan
            assert neuron_concept_accuracy(evaluation(levels(*wrong), test))[0] == 0
    assert neuron_concept_accuracy(evaluation(lambda words: 1 / 0))[0] == 0


def test_iou_counts_words() -> None:
    assert neuron_iou(evaluation(levels(*[1.0] * 10)))[0] == pytest.approx(0.4)
    assert neuron_iou(evaluation(levels(1, 1, 0, 0, 1, 0, 0, 0, 0, 0)))[0] == pytest.approx(2 / 5)
    assert neuron_iou(evaluation(levels(*[0.0] * 10)))[0] == 0
    assert neuron_iou(evaluation(lambda words: 1 / 0))[0] == 0

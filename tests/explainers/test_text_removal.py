"""Runs of words left out together, and LIME by types of words, against closed forms and its authors' software."""

from __future__ import annotations

import numpy as np
import pytest

import xaibench as xb

SCORES = {"fine": 1.0, "dull": -2.0, "film": 0.25, "plot": 0.5}


def total(texts: list[str]) -> np.ndarray:
    """Sum of scores of words, as a margin of two logits."""
    found = np.array([sum(SCORES.get(word, 0.0) for word in text.split()) for text in texts])
    return np.stack([-found / 2, found / 2], axis=1)


def product(texts: list[str]) -> np.ndarray:
    """1 where both words of the pair "fine film" stand next to each other."""
    found = np.array([float("fine film" in text) for text in texts])
    return np.stack([-found / 2, found / 2], axis=1)


def explain(name: str, texts: list[str], function: object = total, **params: object) -> np.ndarray:
    model = xb.text_model(function, returns="logit")
    found: np.ndarray = xb.explain(name, model=model, inputs=texts, targets=[1] * len(texts), output="margin", **params)
    return found


def test_runs_of_words_of_a_sum_are_the_mean_over_runs_that_hold_a_word() -> None:
    found = explain("feature_ablation", ["fine dull film plot", "fine"], window=2, masker="delete")
    runs = np.array([-1.0, -1.75, 0.75]) / 2
    expected = [runs[0], (runs[0] + runs[1]) / 2, (runs[1] + runs[2]) / 2, runs[2]]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    # A text shorter than the run is one run.
    np.testing.assert_allclose(found[1, 0], 1.0, atol=1e-6)


def test_a_run_as_long_as_one_word_is_leaving_out_one_word() -> None:
    texts = ["fine dull film plot", "dull film"]
    np.testing.assert_array_equal(
        explain("feature_ablation", texts, window=1, masker="delete"),
        explain("feature_ablation", texts, masker="delete"),
    )


def test_runs_are_of_words_only() -> None:
    model = lambda x: np.stack([-x[:, 0], x[:, 0]], axis=1)  # noqa: E731
    with pytest.raises(xb.UnsupportedError, match="window is a run of words") as caught:
        xb.explain("feature_ablation", model=model, inputs=np.ones((2, 3), np.float32), returns="logit", window=2)
    assert "occlusion" in caught.value.hint


def test_types_of_words_of_a_sum_have_their_scores_shared_by_occurrences() -> None:
    # Without a penalty the regression of a sum is exact: the score of every word, half of it in each of two places.
    found = explain("lime_text", ["fine dull fine film", "plot"], ridge=0.0, n_samples=100)
    np.testing.assert_allclose(found[0], [1.0, -2.0, 1.0, 0.25], atol=1e-5)
    assert found[1, 0] == pytest.approx(0.5, abs=1e-5)
    by_place = explain("lime_text", ["fine dull fine film"], ridge=0.0, n_samples=100, by="position")
    np.testing.assert_allclose(by_place[0], [1.0, -2.0, 1.0, 0.25], atol=1e-5)


def test_occurrences_are_told_apart_by_place_only() -> None:
    text = ["fine film fine"]
    by_type = explain("lime_text", text, product, n_samples=400)[0]
    by_place = explain("lime_text", text, product, n_samples=400, by="position")[0]
    assert by_type[0] == by_type[2] > 0.1
    # The last word decides nothing, and by places LIME says so.
    assert by_place[0] > 0.3 > by_place[2]


def test_same_alone_and_in_a_batch() -> None:
    texts = ["fine dull film plot fine", "dull film"]
    together = explain("lime_text", texts, n_samples=30)
    np.testing.assert_array_equal(together[1, :2], explain("lime_text", texts[1:], n_samples=30)[0])


@pytest.mark.parametrize("function", [total, product])
def test_lime_text_is_that_of_its_authors(function: object) -> None:
    """Means over draws, within four standard errors; ours divides by the number of occurrences."""
    lime_text = pytest.importorskip("lime.lime_text")
    text = "fine film dull fine plot"
    words = ["fine", "film", "dull", "fine", "plot"]
    theirs, ours = [], []

    def probabilities(texts: list[str]) -> np.ndarray:
        raw: np.ndarray = function(texts)[:, 1] * 2  # type: ignore[operator]
        return np.stack([1 - raw, raw], axis=1)

    for seed in range(12):
        explainer = lime_text.LimeTextExplainer(feature_selection="none", random_state=seed, split_expression=r"\W+")
        weights = dict(explainer.explain_instance(text, probabilities, labels=(1,), num_samples=300).as_list(label=1))
        theirs.append([weights[word] for word in words])
        maps = explain("lime_text", [text], function, n_samples=300, seed=seed)[0]
        ours.append([m * words.count(word) for m, word in zip(maps, words, strict=True)])
    gap = np.mean(theirs, axis=0) - np.mean(ours, axis=0)
    error = np.sqrt((np.var(theirs, axis=0, ddof=1) + np.var(ours, axis=0, ddof=1)) / 12) + 1e-6
    assert (np.abs(gap) < 4 * error).all(), (theirs, ours)
    assert (np.abs(np.mean(ours, axis=0)) > 0.05).any()

"""What is explained: single columns of two classes, labels, named outputs, contrasts; against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.affine import affine
from torch import nn

import xaibench as xb
from xaibench.core.components import ExplainerSpec
from xaibench.core.errors import UnsupportedError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::xaibench.core.errors.UnusedBackgroundWarning")
R = np.random.default_rng(5)
X = R.normal(size=(6, 4)).astype(np.float32)
BACKGROUND = R.normal(size=(24, 4)).astype(np.float32)
W, B = R.normal(size=(4, 4)), R.normal(size=4)
NET = affine(W, B)
FIRST, SECOND = np.array([0, 1, 2, 3, 0, 1]), np.array([1, 2, 3, 0, 2, 3])
NOT_LINEAR = {"firm", "irt", "osft", "rise", "saliency", "vargrad", "random", "random_smooth", "constant"} | {
    "input_edges", "other_sample", "permutation_importance", "anchors", "oracle", "degraded_oracle",
    "smoothgrad_squared", "functional_information", "deep_taylor", "input_magnitude", "monotone_transform",
}  # fmt: skip
OF_OTHER_DATA = {
    name
    for name, needs in xb.components("explainer")[["name", "needs"]].itertuples(index=False)
    if {"text", "attention", "image", "series", "graph"} & set(needs)
}
LINEAR = sorted(set(xb.components("explainer")["name"]) - NOT_LINEAR - OF_OTHER_DATA)
"""Explainers whose map of a sum of outputs is the sum of their maps."""


def explain(name: str, model: Any = NET, **given: Any) -> Any:
    return np.asarray(xb.explain(name, model=model, inputs=X, background=BACKGROUND, **given), np.float64)


def test_labels_go_by_name_as_targets_do() -> None:
    """Labels of the samples and of the background; a name that there is not is refused."""
    names, numbers = ["cat", "dog", "cow", "hen"], np.array([0, 1, 2, 3, 0, 1])
    words = [names[i] for i in numbers]
    given = {"model": NET, "inputs": X, "class_names": names}
    for labels in (words, np.array(words), np.array(words, dtype=object)):
        assert xb.Problem(labels=labels, **given)._shared.everything().labels.tolist() == numbers.tolist()
    beside = {"background": BACKGROUND[:6], **given}
    maps = [
        xb.Problem(labels=of, background_labels=of, **beside).explain("permutation_importance")
        for of in (words, numbers)
    ]
    assert np.array_equal(*maps)
    assert np.any(maps[0])
    with pytest.raises(xb.UsageError, match="the model has no class 'cot'"):
        xb.Problem(labels=["cot", *words[1:]], **given)
    with pytest.raises(xb.UsageError, match="labels: expected an array of numbers"):
        xb.Problem(NET, X, labels=words)


@pytest.mark.parametrize("name", LINEAR)
def test_the_map_of_a_contrast_is_the_difference_of_the_maps(name: str) -> None:
    found = explain(name, targets=FIRST, foils=SECOND)
    apart = explain(name, targets=FIRST) - explain(name, targets=SECOND)
    assert np.abs(found).max() > 0.1
    assert found == pytest.approx(apart, abs=2e-5)


def test_the_gradient_of_a_contrast_is_the_difference_of_the_weights() -> None:
    assert explain("gradient", targets=FIRST, foils=SECOND) == pytest.approx(W[FIRST] - W[SECOND], abs=1e-6)


@pytest.mark.parametrize("name", ["gradient", "kernel_shap", "occlusion", "lrp", "lime"])
def test_a_contrast_with_the_runner_up_is_the_margin_of_a_linear_model_as_long_as_it_is_the_runner_up(
    name: str,
) -> None:
    found = explain(name, foils="runner_up", **({"masker": "zero"} if name in ("kernel_shap", "occlusion") else {}))
    order = np.argsort(X @ W.T + B, axis=1)
    assert found == pytest.approx(explain(name, targets=order[:, -1], foils=order[:, -2], **(
        {"masker": "zero"} if name in ("kernel_shap", "occlusion") else {}
    )), abs=1e-6)  # fmt: skip
    if name == "gradient":
        assert found == pytest.approx(explain(name, output="margin"), abs=1e-6)


def test_curves_of_a_contrast_are_the_probability_of_the_class_against_its_foil() -> None:
    problem = xb.Problem(NET, X, FIRST, foils=SECOND)
    maps = problem.explain("input_x_gradient")
    raw = X @ W.T + B
    pick = lambda z: 1 / (1 + np.exp(z[np.arange(6), SECOND] - z[np.arange(6), FIRST]))  # noqa: E731
    curve = problem.curve("pixel_flipping", maps, steps=4, masker="zero")
    assert curve[:, 0] == pytest.approx(pick(raw), abs=1e-6)
    assert curve[:, -1] == pytest.approx(pick(np.tile(B, (6, 1))), abs=1e-6)


def test_metrics_measure_the_contrast() -> None:
    problem = xb.Problem(NET, X, FIRST, foils=SECOND, background=BACKGROUND)
    exact = X * (W[FIRST] - W[SECOND])
    wrong_by = problem.score("completeness", exact, baseline="zero")
    assert wrong_by[np.isfinite(wrong_by)] == pytest.approx(0, abs=1e-5)
    assert np.isfinite(wrong_by).sum() > 3
    assert problem.score("faithfulness_correlation", exact, masker="zero") == pytest.approx(np.ones(6), abs=1e-5)
    assert problem.score("infidelity", W[FIRST] - W[SECOND], kind="slope") == pytest.approx(np.zeros(6), abs=1e-6)
    table = problem.evaluate(["gradient"], ["pixel_flipping", "completeness", "random_logit"], controls=False)
    assert set(table["output"]) == {"contrast", "probability"}
    assert table["selection"].str.contains("foils").all()


def test_another_sample_is_asked_the_same_question() -> None:
    for given in ({"targets": FIRST, "foils": SECOND}, {"targets": 2, "returns": "value"}):
        found = explain("other_sample", **given)
        chosen = W[FIRST] - W[SECOND] if "foils" in given else np.tile(W[2], (6, 1))
        ratio = found / chosen  # of a linear model, the other sample
        rows = [np.abs(BACKGROUND - row).max(axis=1).min() for row in ratio]
        assert rows == pytest.approx([0] * 6, abs=1e-4)


def test_another_class_is_neither_the_target_nor_its_foil() -> None:
    problem = xb.Problem(NET, X, FIRST, foils=SECOND)
    asked = []

    def explainer(model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        asked.append(targets.numpy())
        return torch.from_numpy(W)[targets]

    problem.score("random_logit", explain=explainer, kind="slope")
    others = asked[-1]
    assert (others != FIRST).all()
    assert (others != SECOND).all()


def test_a_contrast_of_two_classes_has_no_other_class() -> None:
    with pytest.raises(UnsupportedError, match="two outputs, which are contrasted"):
        xb.score("random_logit", model=affine(W[:2], B[:2]), inputs=X, targets=0, foils=1, explain="gradient")


@pytest.mark.parametrize("name", sorted(set(xb.components("explainer")["name"]) - {"oracle", "degraded_oracle"}))
@pytest.mark.parametrize("target", [0, 1])
def test_one_logit_is_two_halves(name: str, target: int) -> None:
    from xaibench.core import registry

    spec = registry.get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    if {"image", "labels", "text", "attention", "series", "graph"} & set(spec.needs):
        pytest.skip("needs images, labels, texts, series or graphs")
    w, b = W[:1], B[:1]
    one = explain(name, affine(w, b), returns="binary_logit", targets=[target] * 6)
    two = explain(name, affine(np.concatenate([-w, w]) / 2, np.concatenate([-b, b]) / 2), targets=[target] * 6)
    tolerance = 1e-6 if name != "lrp" else 2e-5  # its epsilon is in units of activations
    assert one == pytest.approx(two, abs=tolerance, nan_ok=True)


@pytest.mark.parametrize("shape", ["(N,)", "(N, 1)"])
@pytest.mark.parametrize("kind", ["module", "function"])
def test_probabilities_of_one_logit(kind: str, shape: str) -> None:
    w = W[0].astype(np.float32)
    model: Any = lambda a: a @ w if shape == "(N,)" else (a @ w)[:, None]  # noqa: E731
    if kind == "module":
        model = nn.Sequential(affine(W[:1], [0.0]), *([nn.Flatten(0)] if shape == "(N,)" else []))
    problem = xb.Problem(model, X, returns="binary_logit")
    assert problem.targets.tolist() == (X @ w > 0).astype(int).tolist()
    curve = problem.curve("pixel_flipping", np.ones_like(X), steps=2, masker="zero")
    assert curve[:, 0] == pytest.approx(1 / (1 + np.exp(-np.abs(X @ w))), abs=1e-5)
    assert curve[:, -1] == pytest.approx(np.full(6, 0.5), abs=1e-6)
    negative = explain("occlusion", model, returns="binary_logit", targets=0)
    assert negative == pytest.approx(-explain("occlusion", model, returns="binary_logit", targets=1), abs=1e-6)


def test_the_margin_of_one_logit_is_the_logit() -> None:
    found = explain("gradient", affine(W[:1], B[:1]), returns="binary_logit", targets=1, output="margin")
    assert found == pytest.approx(np.tile(W[:1], (6, 1)), abs=1e-6)


def test_one_probability() -> None:
    net = nn.Sequential(affine(W[:1], B[:1]), nn.Sigmoid())
    p = 1 / (1 + np.exp(-(X @ W[0] + B[0])))
    found = explain("gradient", net, returns="binary_probability", targets=1)
    assert found == pytest.approx((p * (1 - p))[:, None] * W[:1], abs=1e-6)
    assert explain("gradient", net, returns="binary_probability", targets=0) == pytest.approx(-found, abs=1e-6)


LABELS = affine(W[:3], B[:3])
SETS = [{0, 2}, {1}, set(), {0}, {0, 1, 2}, {2}]
INDICATOR = np.array([[label in s for label in range(3)] for s in SETS])


def test_every_label_of_a_row_is_a_sample() -> None:
    given = {"model": LABELS, "inputs": X, "returns": "multilabel_logit"}
    rows, columns = INDICATOR.nonzero()
    for targets in (SETS, INDICATOR, INDICATOR.astype(int), torch.tensor(INDICATOR)):
        problem = xb.Problem(LABELS, X, targets, returns="multilabel_logit")
        assert problem.rows.tolist() == rows.tolist()
        assert problem.targets.tolist() == columns.tolist()
        assert problem.explain("gradient") == pytest.approx(W[columns], abs=1e-6)
    single = xb.curve("pixel_flipping", attributions=np.ones((6, 4)), targets=1, steps=2, **given)  # type: ignore[arg-type]
    assert single[:, 0] == pytest.approx(1 / (1 + np.exp(-(X @ W[1] + B[1]))), abs=1e-6)


def test_another_label_with_the_same_column_changes_nothing_elsewhere() -> None:
    names = ["rain", "snow", "wind"]
    twice = affine(np.concatenate([W[:3], W[:1]]), np.concatenate([B[:3], B[:1]]))
    for name in ("kernel_shap", "smoothgrad", "lime", "integrated_gradients"):
        few = xb.Problem(LABELS, X, SETS, returns="multilabel_logit", class_names=names).explain(name)
        more = xb.Problem(twice, X, SETS, returns="multilabel_logit", class_names=[*names, "rain again"]).explain(name)
        assert few == pytest.approx(more, abs=1e-6)


def test_scores_of_a_table_are_one_per_row() -> None:
    problem = xb.Problem(LABELS, X, SETS, returns="multilabel_logit", background=BACKGROUND)
    maps = problem.explain("gradient")
    each = problem.score("infidelity", np.asarray(maps) + 0.1, kind="slope")
    table = problem.evaluate([xb.Attributions(np.asarray(maps) + 0.1, explainer="off", kind="slope")], ["infidelity"])
    own = table[table["explainer"] == "off"].sort_values("sample")
    kept = np.unique(problem.rows)
    assert len(own) == len(kept) == 5
    assert own["score"].to_numpy() == pytest.approx(
        [np.exp(np.log(each[problem.rows == row]).mean()) for row in kept], rel=1e-5
    )


def test_named_targets() -> None:
    names = ["rain", "snow", "wind", "sun"]
    given = {"class_names": names, "returns": "logit"}
    assert explain("gradient", targets="snow", **given) == pytest.approx(np.tile(W[1], (6, 1)), abs=1e-6)
    assert explain("gradient", targets=names + names[:2], **given) == pytest.approx(W[[0, 1, 2, 3, 0, 1]], abs=1e-6)
    found = explain("gradient", targets="sun", foils="rain", **given)
    assert found == pytest.approx(np.tile(W[3] - W[0], (6, 1)), abs=1e-6)


def test_names_of_an_estimator() -> None:
    from sklearn.linear_model import LogisticRegression

    words = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
    model = LogisticRegression().fit(X, words)
    assert np.array_equal(explain("occlusion", model, targets="yes"), explain("occlusion", model, targets=1))


def test_several_values() -> None:
    given = {"returns": "value"}
    assert explain("gradient", targets=2, **given) == pytest.approx(np.tile(W[2], (6, 1)), abs=1e-6)
    assert explain("gradient", targets=2, foils=0, **given) == pytest.approx(np.tile(W[2] - W[0], (6, 1)), abs=1e-6)
    exact = xb.score("completeness", model=NET, inputs=X, targets=3, attributions=X * W[3], returns="value")
    assert exact == pytest.approx(np.zeros(6), abs=1e-4)


def test_forests_of_labels_and_of_values() -> None:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    y = (X[:, :3] > 0).astype(int)
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    curve = xb.curve(
        "pixel_flipping", model=forest, inputs=X, targets=1, attributions=X, returns="multilabel_probability", steps=1
    )
    assert curve[:, 0] == pytest.approx(forest.predict_proba(X)[1][:, 1], abs=1e-6)
    values = RandomForestRegressor(20, random_state=0).fit(X, X[:, :2])
    assert explain("occlusion", values, targets=1, masker="zero").shape == (6, 4)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a class against itself": ({"targets": 0, "foils": 0}, "sample 0 contrasts output 0 with itself"),
    "a predicted class against itself": ({"foils": 0}, "with itself"),
    "foils out of range": ({"foils": [4] * 6}, "foils go from 4 to 4, the model has 4 outputs"),
    "too few foils": ({"foils": [1]}, r"foils have shape \(1,\) for 6 inputs"),
    "an unknown foil": ({"foils": "dog"}, "the model has no class 'dog'"),
    "an unknown class": ({"targets": "dgo", "class_names": ["cat", "dog", "cow", "hen"]}, "no class 'dgo'"),
    "too few names": ({"class_names": ["cat"]}, "1 class_names, the model has 4 outputs"),
    "one name": ({"class_names": "cat"}, "not a list of names"),
    "labels of classes": ({"targets": np.ones((6, 4), int)}, "classes of the model exclude each other"),
    "sets of classes": ({"targets": [{0}] * 6}, "classes of the model exclude each other"),
    "nothing to explain": ({"targets": [set()] * 6, "returns": "multilabel_logit"}, "no sample has a label"),
    "labels of other samples": ({"targets": np.ones((5, 4)), "returns": "multilabel_logit"}, "5 rows for 6 inputs"),
    "lists of labels": ({"targets": [[0, 2], [1], [0], [1], [2], [3]]}, "targets are lists, where one class per"),
    "an output that there is not": ({"targets": 7}, "the model has no class '7'"),
    "a fraction": ({"targets": 0.5}, "targets are a float"),
    "no value chosen": ({"returns": "value"}, "returns 4 values per sample, and none of them is predicted"),
    "two columns said to be one": ({"returns": "binary_logit"}, "4 columns, and returns=.binary_logit. is said of a"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_targets_get_one_sentence(what: str) -> None:
    given, message = WRONG[what]
    with pytest.raises(UsageError, match=message) as caught:
        explain("gradient", **given)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("output", ["logit", "margin"])
def test_other_outputs_than_the_contrast_are_unavailable_with_foils(output: str) -> None:
    with pytest.raises(UnsupportedError, match="where a class is contrasted with a foil"):
        explain("gradient", foils="runner_up", output=output)


def test_a_contrast_needs_a_foil() -> None:
    with pytest.raises(UnsupportedError, match="'contrast' is unavailable without a foil"):
        explain("gradient", output="contrast")


def test_one_column_without_a_word_gets_the_words() -> None:
    with pytest.raises(UsageError, match="a single logit per sample") as caught:
        explain("gradient", affine(W[:1], B[:1]))
    assert "binary_logit" in str(caught.value.hint)
    net = nn.Sequential(affine(W[:1], B[:1]), nn.Sigmoid())
    with pytest.raises(UsageError, match="outputs of a sigmoid") as caught:
        explain("gradient", net, returns="binary_logit")
    with pytest.raises(UsageError, match="these are not probabilities"):
        explain("gradient", affine(10 * W[:1], B[:1]), returns="binary_probability")


def test_maps_of_other_foils_are_not_taken() -> None:
    maps = xb.Problem(NET, X, FIRST, foils=SECOND).explain("gradient")
    with pytest.raises(UsageError, match="explain other targets"):
        xb.Problem(NET, X, FIRST).score("max_sensitivity", maps)


def test_rows_count_the_inputs_and_not_the_labels_that_are_explained() -> None:
    every = np.ones((len(X), 4), int)
    problem = xb.Problem(NET, X, targets=every, returns="multilabel_logit", background=BACKGROUND)
    table = problem.evaluate(["gradient"], ["sparseness"], controls=False, progress=False)
    assert len(problem.rows) == 4 * len(X)
    assert set(table["selection"]) == {f"inputs[:{len(X)}] each default background[:{len(BACKGROUND)}]"}

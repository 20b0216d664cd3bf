"""Wrong calls of the public API get one clear sentence, and never an exception of something underneath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.builders import IMAGE, TABLE, cnn, linear, make_inputs, mlp
from sklearn.linear_model import LogisticRegression

import xaibench as xb

X = make_inputs(TABLE).numpy()
NET = linear(TABLE)
MAPS = np.ones((8, 6), np.float32)


def problem(**given: Any) -> xb.Problem:
    return xb.Problem(**{"model": NET, "inputs": X, **given})


def explain(name: Any = "gradient", **given: Any) -> Any:
    return xb.explain(name, **{"model": NET, "inputs": X, **given})


def score(name: Any = "sparseness", **given: Any) -> Any:
    return xb.score(name, **{"model": NET, "inputs": X, "attributions": MAPS, **given})


def evaluate(explainers: Any = ("gradient",), metrics: Any = ("sparseness",), **given: Any) -> Any:
    return problem().evaluate(explainers, metrics, controls=False, **given)


def raising(model: Any, inputs: Any, targets: Any) -> Any:
    return {}["nothing"]


def other(**given: Any) -> xb.Attributions:
    return problem(**given).explain("gradient")


def changed() -> xb.Attributions:
    maps = problem().explain("gradient")
    maps[0] = 0
    return maps


def retrained() -> Any:
    net = mlp(TABLE)
    found = xb.Problem(net, X)
    with torch.no_grad():
        net[1].weight.add_(1.0)  # type: ignore[operator, union-attr]
    return found.explain("gradient")


CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "a list of metrics": (lambda: score(["sparseness", "complexity"]), "is a text, not a list"),
    "a list of explainers": (lambda: explain(["gradient", "lime"]), "is a text, not a list"),
    "a number as metric": (lambda: score(3), "is a text, not a int"),
    "a lambda as metric": (lambda: score(lambda ev: ev), "is a text, not a function"),
    "a class as explainer": (lambda: explain(LogisticRegression), "is a text, not a type"),
    "a function of other arguments": (lambda: explain(lambda problem: problem), "explainer '<lambda>' failed"),
    "a function that raises": (lambda: explain(raising), "explainer 'raising' failed: KeyError: 'nothing'"),
    "a function that gives another shape": (lambda: explain(lambda *a: MAPS[:, :2]), r"returned shape \(8, 2\)"),
    "a function that gives text": (lambda: explain(lambda *a: "nothing"), "failed: TypeError"),
    "an unknown explainer": (lambda: explain("gradientt"), "unknown explainer 'gradientt'"),
    "an unknown metric": (lambda: score("sparsness"), "unknown metric 'sparsness'"),
    "an unknown parameter": (lambda: explain("smoothgrad", n_sample=3), "has no parameter 'n_sample'"),
    "an unknown masker": (lambda: explain("kernel_shap", masker="median"), "unknown masker 'median'"),
    "a parameter of a wrong type": (lambda: explain("smoothgrad", n_samples="many"), "n_samples = 'many'"),
    "text as inputs": (lambda: explain(inputs=["a", "b"]), "array of numbers"),
    "one text as inputs": (lambda: explain(inputs="data.csv"), "array of numbers"),
    "inputs of different lengths": (lambda: explain(inputs=[[1.0, 2.0], [3.0]]), "samples of different lengths"),
    "no inputs": (lambda: explain(inputs=np.ones((0, 6))), r"inputs have shape \(0, 6\)"),
    "inputs without features": (lambda: explain(inputs=np.ones((4, 0))), r"inputs have shape \(4, 0\)"),
    "None as inputs": (lambda: explain(inputs=None), "array of numbers"),
    "a dictionary as inputs": (lambda: explain(inputs={"a": 1}), "first parameter is 'input'"),
    "one sample without an axis": (lambda: explain(inputs=X[0]), r"inputs have shape \(6,\)"),
    "inputs of another width": (lambda: explain(inputs=X[:, :4]), r"the model failed on one sample of shape \(4,\)"),
    "images for a table model": (lambda: explain(inputs=np.ones((2, 1, 8, 8))), "the model failed on one sample"),
    "NaN in the inputs": (lambda: explain(inputs=np.where(X > 1, np.nan, X)), "the model gives NaN for sample"),
    "text as background": (lambda: explain(background=["a", "b"]), "array of numbers"),
    "an unfitted model": (lambda: explain("lime", model=LogisticRegression()), "is not fitted"),
    "a class as model": (lambda: explain(model=LogisticRegression), "is a class, not a model"),
    "a model that returns text": (
        lambda: explain("lime", model=lambda a: ["x"] * len(a)),
        "the model returned an array of <U1",
    ),
    "a model whose numbers are no probabilities": (
        lambda: explain("lime", model=lambda a: a),
        "these are not probabilities",
    ),
    "gradients of a black box": (lambda: explain(model=lambda a: a, returns="logit"), "needs gradients"),
    "targets out of range": (lambda: explain(targets=[3] * 8), "targets go from 3 to 3"),
    "negative targets": (lambda: explain(targets=[-1] * 8), "targets go from -1 to -1"),
    "targets of text": (lambda: explain(targets=["cat"] * 8), "array of numbers"),
    "too few targets": (lambda: explain(targets=[0]), r"targets have shape \(1,\)"),
    "targets with an axis too many": (lambda: explain(targets=np.zeros((8, 1))), r"targets have shape \(8, 1\)"),
    "labels out of range": (lambda: problem(labels=[5] * 8), "labels go from 5 to 5"),
    "labels of the background, without one": (lambda: problem(background_labels=[0]), "for 0 reference samples"),
    "a truth of another shape": (lambda: problem(truth=np.ones((8, 5))), r"truth has shape \(8, 5\)"),
    "an unknown kind of truth": (lambda: problem(truth=MAPS > 0, truth_kind="mask"), "unknown truth_kind 'mask'"),
    "unknown features": (lambda: explain(features="tabular"), "unknown features 'tabular'"),
    "features in a list": (lambda: explain(features=["table"]), "unknown features"),
    "an unknown output": (lambda: explain(output="logits"), "unknown output 'logits'"),
    "an output that there is not": (lambda: explain(output="value"), "output 'value' is unavailable"),
    "an unknown kind of model": (lambda: explain(returns="logits"), "unknown returns 'logits'"),
    "a batch of no size": (lambda: explain(batch_size=0), "batch_size=0"),
    "a batch size of text": (lambda: explain(batch_size="all"), "batch_size='all'"),
    "a device of a number": (lambda: explain(device=3), "unknown device 3"),
    "an unknown device": (lambda: explain(device="gpu"), "unknown device 'gpu'"),
    "a seed of text": (lambda: explain(seed="one"), "seed='one' is not a whole number"),
    "a seed of a fraction": (lambda: score(seed=0.5), r"seed=0\.5 is not a whole number"),
    "attributions of another shape": (lambda: score(attributions=np.ones((8, 5))), "attributions have shape"),
    "attributions of text": (lambda: score(attributions="gradient"), "array of numbers"),
    "nothing to score": (lambda: score(attributions=None), "there is nothing to score"),
    "no explanation again": (lambda: score("max_sensitivity"), "needs reexplain"),
    "an unknown kind": (lambda: score(kind="gradient"), "unknown kind 'gradient'"),
    "another kind than it is": (lambda: score(attributions=other(), kind="saliency"), "of kind 'slope'"),
    "attributions of other inputs": (lambda: score(attributions=other(inputs=X + 1)), "of other inputs"),
    "attributions in another order": (lambda: score(attributions=other()[::-1]), "in another order"),
    "attributions of another model": (
        lambda: score(attributions=other(model=linear(TABLE, seed=1), targets=[0] * 8), targets=[0] * 8),
        "of another model",
    ),
    "attributions of other targets": (lambda: score(attributions=other(targets=[2] * 8), targets=[1] * 8), "targets"),
    "attributions with another background": (
        lambda: problem(background=X + 1).score("max_sensitivity", other(background=X)),
        "with another background",
    ),
    "an array that is not the explainer's": (
        lambda: score("max_sensitivity", explain="gradient"),
        "'gradient' with these parameters does not give these attributions",
    ),
    "an array that is not the function's": (
        lambda: score("max_sensitivity", explain=lambda m, x, y: 2 * x),
        "explain= does not give these attributions",
    ),
    "parameters of no explainer": (lambda: score(explainer_params={"steps": 3}), "explain=, which is not given"),
    "parameters that are a list": (
        lambda: score(explain="gradient", explainer_params=["steps"]),
        "parameters of an explainer are a dictionary",
    ),
    "a metric without a curve": (
        lambda: xb.curve("sparseness", model=NET, inputs=X, attributions=MAPS),
        "'sparseness' has no curve",
    ),
    "pairs that are a list": (lambda: score(pairs=[1]), "pairs is a list"),
    "retraining without data": (lambda: score("roar", retrain=lambda *a: NET), "needs both retrain= and train="),
    "a model that has changed": (retrained, "the model has changed"),
    "a name without a slash": (lambda: problem(name="loans"), "not the name of a problem"),
    "one explainer without a list": (lambda: evaluate("gradient"), "explainers is not a list"),
    "one metric without a list": (lambda: evaluate(metrics="sparseness"), "metrics is not a list"),
    "a function without a list": (lambda: evaluate(raising), "explainers is not a list"),
    "no explainers": (lambda: evaluate([]), "there is no explainer"),
    "no metrics": (lambda: evaluate(metrics=[]), "there is no metric"),
    "an array among explainers": (lambda: evaluate([MAPS]), "an array does not say what made it"),
    "changed attributions among explainers": (lambda: evaluate([changed()]), "were changed since"),
    "foreign attributions called as ours": (lambda: evaluate([xb.Attributions(MAPS, explainer="lime")]), "'lime'"),
    "foreign attributions called as an adapter": (
        lambda: evaluate([xb.Attributions(MAPS, explainer="captum:Saliency")]),
        "'captum:Saliency'",
    ),
    "the same explainer twice": (lambda: evaluate(["gradient", ("gradient", {})]), "'gradient' is there twice"),
    "the same metric twice": (lambda: evaluate(metrics=["sparseness", "sparseness"]), "there twice"),
    "a triple": (lambda: evaluate([("gradient", {}, 1)]), "with its parameters"),
    "seeds of text": (lambda: evaluate(seeds="all"), "seeds is not a list"),
    "attributions of numbers in text": (lambda: xb.Attributions([["a"]]), "not an array of numbers"),
    "attributions of one number": (lambda: xb.Attributions([1.0]), r"attributions have shape \(1,\)"),
    "attributions of an unknown kind": (lambda: xb.Attributions(MAPS, kind="shap"), "unknown kind 'shap'"),  # type: ignore[arg-type]
    "a board of another table": (lambda: xb.leaderboard(pd.DataFrame({"a": [1]})), "has no column 'dataset'"),
    "a board of two tables": (lambda: xb.leaderboard(pd.concat([evaluate(), evaluate()])), "in this table twice"),
    "a store that is not there": (lambda: xb.leaderboard("nowhere"), "there is no store"),
    "a board of nothing": (lambda: xb.leaderboard(None), "None is not a store"),  # type: ignore[arg-type]
    "pairs of a board": (lambda: xb.pairwise(xb.leaderboard(evaluate())), "no scores of samples"),
    "components of a number": (lambda: xb.components(3), "unknown kind 3"),  # type: ignore[arg-type]
    "a suite that is a list": (lambda: xb.run(["quick"]), "unknown suite"),  # type: ignore[arg-type]
    "images with four axes to a text": (
        lambda: explain(model=cnn(), inputs=make_inputs(IMAGE), features="tokens"),
        "inputs are not token ids",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_wrong_call_gets_one_sentence(case: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call, message = CALLS[case]
    with pytest.raises(xb.XaibenchError, match=message) as caught:
        call()
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250
    assert caught.value.hint is None or caught.value.hint in str(caught.value)

"""The public API: what a user of scikit-learn would try, and what goes wrong."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.builders import IMAGE, TABLE, cnn, linear, make_inputs, mlp
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

import xaibench as xb


def test_importing_loads_nothing_heavy_and_offers_everything() -> None:
    code = "import sys, xaibench; assert not {'torch', 'pandas', 'typer'} & set(sys.modules); print(len(dir(xaibench)))"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in xb.__all__:
        assert getattr(xb, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        _ = xb.explian  # type: ignore[attr-defined]


def test_explain_and_score_a_torch_module() -> None:
    net, x = mlp(TABLE), make_inputs(TABLE)
    attributions = xb.explain("integrated_gradients", model=net, inputs=x, steps=200)
    assert attributions.shape == (8, 6)
    assert attributions.dtype == np.float32
    error = xb.score("completeness", model=net, inputs=x.numpy(), attributions=attributions)
    assert np.median(error) < 0.005
    assert np.median(xb.score("completeness", model=net, inputs=x, explain="saliency")) > 0.5


def test_targets_are_explained() -> None:
    net, x = linear(TABLE), make_inputs(TABLE)
    for target in range(3):
        found = xb.explain("gradient", model=net, inputs=x, targets=[target] * 8)
        np.testing.assert_allclose(found, np.tile(net[1].weight[target].detach(), (8, 1)), rtol=1e-6)  # type: ignore[index]


@pytest.mark.parametrize("estimator", [LogisticRegression(), RandomForestClassifier(10, random_state=0)])
def test_scikit_learn_estimators_are_black_boxes(estimator: Any) -> None:
    x = make_inputs(TABLE, 60).numpy()
    estimator.fit(x, x[:, 0] > 0)
    attributions = xb.explain("kernel_shap", model=estimator, inputs=x[:5], background=x)
    given: dict[str, Any] = {"background": x, "baseline": "marginal"}
    error = xb.score("completeness", model=estimator, inputs=x[:5], attributions=attributions, **given)
    defined = error[
        np.isfinite(error)
    ]  # a forest may say the same of the sample and of the row that it is compared with
    assert len(defined) > 2
    np.testing.assert_allclose(defined, 0, atol=1e-3)
    with pytest.raises(xb.UnsupportedError, match="'gradient' needs gradients"):
        xb.explain("gradient", model=estimator, inputs=x[:5])


def test_regression_and_plain_callables() -> None:
    x = make_inputs(TABLE, 40).numpy()
    line = LinearRegression().fit(x, x @ np.arange(6) + 1)
    found = xb.explain("feature_ablation", model=line, inputs=x[:4], masker="zero")
    np.testing.assert_allclose(found, x[:4] * np.arange(6), atol=1e-4)
    again = xb.explain("feature_ablation", model=lambda a: a @ np.arange(6), inputs=x[:4], returns="value")
    np.testing.assert_allclose(again, found, atol=1e-4)


@pytest.mark.slow
def test_scores_are_kept_apart_from_batches_and_calls() -> None:
    net, x = cnn(), make_inputs(IMAGE)
    kwargs: dict[str, Any] = {"model": net, "explain": "smoothgrad", "seed": 3}
    together = xb.score("max_sensitivity", inputs=x, batch_size=3, **kwargs)
    alone = np.concatenate([xb.score("max_sensitivity", inputs=x[i : i + 1], **kwargs) for i in range(8)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert np.array_equal(together, xb.score("max_sensitivity", inputs=x, batch_size=3, **kwargs))
    assert not np.array_equal(together, xb.score("max_sensitivity", inputs=x, **{**kwargs, "seed": 4}))


def test_a_callable_explains_again() -> None:
    net, x = linear(TABLE), make_inputs(TABLE)
    seen = []

    def explain(model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(len(inputs))
        return model[1].weight[targets].detach()  # type: ignore[no-any-return]

    found = xb.score("max_sensitivity", model=net, inputs=x, explain=explain, n_samples=3)
    np.testing.assert_allclose(found, 0, atol=1e-6)
    assert sum(seen) == 8 + 3 * 8
    with pytest.raises(xb.UnsupportedError, match="needs reexplain"):
        xb.score("max_sensitivity", model=net, inputs=x, attributions=np.ones((8, 6)))


def test_weights_that_are_not_finite_are_no_truth() -> None:
    weights = np.ones((8, 8, 8), np.float32)
    weights[2, 3, 4] = np.nan
    with pytest.raises(xb.UsageError, match="not all finite"):
        xb.score("feature_agreement", model=cnn(), inputs=make_inputs(IMAGE), attributions=weights, truth=weights)


def test_truth_and_kinds() -> None:
    net, x = linear(TABLE), make_inputs(TABLE)
    mask = np.zeros((8, 6), dtype=bool)
    mask[:, :2] = True
    maps = np.tile([3.0, 2, 1, 0, 0, 0], (8, 1))
    assert xb.score("relevance_rank", model=net, inputs=x, attributions=maps, truth=mask).tolist() == [1] * 8
    with pytest.raises(xb.UnsupportedError, match=r"needs truth\.mask"):
        xb.score("relevance_rank", model=net, inputs=x, attributions=maps)
    weights = xb.explain("gradient", model=net, inputs=x)
    assert weights.kind == "slope"
    kwargs: dict[str, Any] = {"model": net, "inputs": x, "attributions": np.asarray(weights), "masker": "zero"}
    as_slopes = xb.score("faithfulness_correlation", kind="slope", **kwargs)
    np.testing.assert_allclose(as_slopes, 1, atol=1e-3)
    assert xb.score("faithfulness_correlation", **kwargs).mean() < 0.99
    known = xb.score("faithfulness_correlation", **{**kwargs, "attributions": weights})
    assert np.array_equal(known, as_slopes)


def test_curves_start_with_the_model_itself() -> None:
    net, x = linear(TABLE), make_inputs(TABLE)
    maps = xb.explain("input_x_gradient", model=net, inputs=x)
    found = xb.curve("pixel_flipping", model=net, inputs=x, attributions=maps, steps=6, masker="zero", output="logit")
    assert found.shape == (8, 7)
    with torch.no_grad():
        logits = net(x).amax(dim=1)
    expected = logits[:, None] - torch.from_numpy(np.cumsum(-np.sort(-maps, axis=1), axis=1))
    np.testing.assert_allclose(found[:, 0], logits, atol=1e-5)
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-4)
    with pytest.raises(xb.UsageError, match="'sparseness' has no curve"):
        xb.curve("sparseness", model=net, inputs=x, attributions=maps)


def test_the_callers_things_stay_as_they_are() -> None:
    net, x = cnn(), make_inputs(IMAGE)
    before, state = x.clone(), {k: v.clone() for k, v in net.state_dict().items()}
    threads = torch.get_num_threads()
    xb.score("mprt", model=net, inputs=x, explain="guided_backprop")
    assert torch.equal(x, before)
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert torch.get_num_threads() == threads
    assert not any(m._forward_hooks or m._backward_hooks for m in net.modules())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attributions": np.ones((8, 5))}, r"attributions have shape \(8, 5\), the features \(8, 6\)"),
        ({"targets": [0, 1]}, r"targets have shape \(2,\) for 8 inputs"),
        ({"targets": [7] * 8}, "targets go from 7 to 7, the model has 3 outputs"),
        ({"targets": [0.5] * 8}, "targets are not whole numbers"),
        ({"attributions": "saliency"}, "expected an array of numbers"),
        ({"background": np.ones((4, 5))}, "background samples have shape"),
        ({"background": np.ones((0, 6))}, "background has no samples"),
        ({"features": "picture"}, "unknown features 'picture'"),
        ({"attributions": None}, "there is nothing to score"),
        ({"kind": "gradient"}, "unknown kind 'gradient'"),
        ({"steps": 0.5}, r"steps = 0\.5 is not valid"),
        ({"model": "resnet50"}, "a str is not a model"),
        ({"device": "tpu"}, "device 'tpu'"),
        ({"inputs": np.ones((8, 2, 3))}, "could be several things"),
    ],
)
def test_mistakes(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"model": linear(TABLE), "inputs": make_inputs(TABLE), "attributions": np.ones((8, 6))}
    with pytest.raises(xb.XaibenchError, match=message):
        xb.score("pixel_flipping", **{**good, **change})


def test_every_parameter_of_a_component_can_be_given() -> None:
    for kind, function in (("explainer", xb.explain), ("metric", xb.score)):
        taken = set(inspect.signature(function).parameters)
        for row in xb.components(kind).itertuples():
            assert not taken & set(row.parameters), row.name


def test_arrays_of_every_memory_layout_are_the_same_numbers() -> None:
    x, net = make_inputs(TABLE).numpy(), linear(TABLE)
    maps = xb.explain("input_x_gradient", model=net, inputs=x)
    for change in (lambda a: a.astype(">f4"), np.asfortranarray, lambda a: a[::-1].copy()[::-1], lambda a: a.tolist()):
        found = xb.score("pixel_flipping", model=net, inputs=change(x), attributions=change(maps))
        np.testing.assert_allclose(found, xb.score("pixel_flipping", model=net, inputs=x, attributions=maps), rtol=1e-6)


@pytest.mark.slow
def test_run_and_leaderboard(tiny_suite: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    run = xb.run(tiny_suite(controls=True, metrics=["weight_agreement"], random_draws=10), store=tmp_path / "store")
    board = xb.leaderboard(run.store)
    assert {"suite", "value", "ci_low", "ci_high", "skill", "rank", "n", "explain_seconds"} <= set(board.columns)
    gradient = board.set_index("explainer").loc["gradient"]
    assert gradient["value"] == pytest.approx(1)
    assert gradient["skill"] == pytest.approx(1, abs=1e-5)
    assert (run.store / "leaderboard.parquet").exists()
    assert (run.store / "leaderboard.csv").exists()
    with pytest.raises(xb.UsageError, match="holds no run of suite 'tinny'"):
        xb.leaderboard(run.store, "tinny")


@pytest.mark.parametrize("kind", ["explainer", "metric", "dataset", "model"])
def test_components_are_listed(kind: str) -> None:
    table = xb.components(kind)
    assert {"name", "version", "needs", "parameters", "summary"} <= set(table.columns)
    assert table["name"].is_unique
    pd.testing.assert_frame_equal(xb.components(kind + "s"), table)
    with pytest.raises(xb.UsageError, match="unknown kind"):
        xb.components(kind + "z")


def test_max_sensitivity_knows_no_scale() -> None:
    net, x = mlp(TABLE), make_inputs(TABLE)
    found = []
    for scale in (1.0, 1e20, 1e-21):

        def scaled(model: Any, inputs: torch.Tensor, targets: torch.Tensor, scale: float = scale) -> torch.Tensor:
            return scale * torch.tanh(inputs)

        found.append(xb.score("max_sensitivity", model=net, inputs=x, explain=scaled))
    assert found[0].min() > 0
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-4)


def test_curves_of_maps_that_are_not_finite_are_undefined() -> None:
    net, x = mlp(TABLE), make_inputs(TABLE)
    maps = np.ones((8, 6), dtype=np.float32)
    maps[2, 3] = np.nan
    found = xb.curve("deletion", model=net, inputs=x, attributions=maps)
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(found, 2, axis=0)).all()


def test_sigmoid_heads_give_probabilities_and_one_logit_is_refused() -> None:
    x = make_inputs(TABLE)
    net = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Sigmoid())
    maps = np.ones((8, 6))
    with torch.no_grad():
        expected = net(x).amax(dim=1)
    np.testing.assert_allclose(xb.curve("deletion", model=net, inputs=x, attributions=maps)[:, 0], expected, rtol=1e-6)
    with pytest.raises(xb.UsageError, match="a single logit per sample"):
        xb.score("pixel_flipping", model=torch.nn.Linear(6, 1), inputs=x, attributions=maps)
    as_value = xb.curve("deletion", model=torch.nn.Linear(6, 1), inputs=x, attributions=maps, returns="value")
    assert as_value.std() > 0

"""Explainers of other libraries equal ours where the documentation says so, and differ where it says so."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs, make_view, mlp
from helpers.explainer_cases import FunctionalNet, ModularNet, plain_cnn, run, view_of
from helpers.library_cases import forest_view
from scipy.stats import spearmanr
from torch import nn

from xaibench.core.errors import UnsupportedError
from xaibench.explainers.captum_cam import module_of_maps

pytest.importorskip("captum")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
EQUAL = [
    ("captum:Saliency", {}, "saliency", {}),
    ("captum:Saliency", {"abs": False}, "gradient", {}),
    ("captum:InputXGradient", {}, "input_x_gradient", {}),
    ("captum:IntegratedGradients", {"n_steps": 20, "method": "riemann_middle"}, "integrated_gradients", {"steps": 20}),
    ("captum:DeepLift", {}, "deep_lift", {}),
    ("captum:GuidedBackprop", {}, "guided_backprop", {}),
    ("captum:Deconvolution", {}, "deconvolution", {}),
    ("captum:Occlusion", {"sliding_window_shapes": 2, "strides": 2}, "occlusion", {"patch": 2, "stride": 2}),
    ("captum:FeatureAblation", {"feature_mask": 3}, "feature_ablation", {"patch": 3}),
    (
        "captum:LayerGradCam",
        {"relu_attributions": True, "interpolate_mode": "bilinear"},
        "grad_cam",
        {},
    ),
    ("captum:GuidedGradCam", {"interpolate_mode": "bilinear"}, "guided_grad_cam", {}),
    ("captum:LRP", {}, "lrp", {"rule": "epsilon"}),
]


@pytest.mark.parametrize(("theirs", "given", "ours", "own"), EQUAL, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("data", ["image", "rgb"])
def test_equal_on_networks_of_modules(theirs: str, given: dict, ours: str, own: dict, data: str) -> None:
    model = plain_cnn(3 if data == "rgb" else 1)
    if theirs == "captum:DeepLift":
        # The two give a maximum back in different ways, so without one.
        model[2] = nn.AvgPool2d(2)
    view = view_of(data, 5, model=model)
    if theirs == "captum:LRP":
        # Their stabiliser is smaller.
        torch.testing.assert_close(run(theirs, view, **given), run(ours, view, **own), rtol=1e-3, atol=1e-4)
        return
    torch.testing.assert_close(run(theirs, view, **given), run(ours, view, **own), **CLOSE)


@pytest.mark.parametrize("data", ["table", "series"])
@pytest.mark.parametrize(("theirs", "given", "ours", "own"), EQUAL[:9], ids=lambda v: v if isinstance(v, str) else "")
def test_equal_on_tables_and_series(theirs: str, given: dict, ours: str, own: dict, data: str) -> None:
    view = view_of(data, 5)
    torch.testing.assert_close(run(theirs, view, **given), run(ours, view, **own), **CLOSE)


def test_functional_relus_are_not_seen() -> None:
    """Guided backpropagation becomes the gradient, and DeepLift input x gradient, without a word; ours do not."""

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.second(torch.relu(self.first(inputs)))
            return found

    view = make_view(Functional().eval(), make_inputs((6,), 5))
    torch.testing.assert_close(run("captum:GuidedBackprop", view), run("gradient", view), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(run("captum:Deconvolution", view), run("gradient", view), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(run("captum:DeepLift", view), run("input_x_gradient", view), rtol=1e-5, atol=1e-6)
    assert (run("guided_backprop", view) - run("gradient", view)).abs().max() > 0.01
    assert (run("deep_lift", view) - run("input_x_gradient", view)).abs().max() > 0.01
    total = view.scores(view.inputs) - view.scores(torch.zeros_like(view.inputs))
    torch.testing.assert_close(run("deep_lift", view).sum(dim=1), total, **CLOSE)


def test_modules_used_twice_are_refused() -> None:
    twin = FunctionalNet()
    view = make_view(twin, make_inputs((1, 8, 8), 2))
    modular = make_view(ModularNet(twin), view.inputs)
    torch.testing.assert_close(modular.predict(view.inputs), view.predict(view.inputs))
    with pytest.raises(UnsupportedError, match="captum:DeepLift refuses this model"):
        run("captum:DeepLift", view)
    with pytest.raises(UnsupportedError, match="captum:LRP refuses this model"):
        run("captum:LRP", make_view(nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 2)).eval(),
                                    make_inputs((6,), 2)))  # fmt: skip


def exact_shapley(function, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Shapley values by enumeration: absent columns are those of every row."""
    d = len(x)
    value = {}
    for bits in itertools.product([0, 1], repeat=d):
        keep = np.array(bits, bool)
        value[bits] = float(np.mean(function(np.where(keep, x, rows))))
    found = np.zeros(d)
    for bits, v in value.items():
        s = sum(bits)
        for i in range(d):
            if bits[i]:
                without = (*bits[:i], 0, *bits[i + 1 :])
                found[i] += (v - value[without]) * math.factorial(s - 1) * math.factorial(d - s) / math.factorial(d)
    return found


def function_of(view, row: int):
    def function(rows: np.ndarray) -> np.ndarray:
        owners = torch.full((len(rows),), row)
        return view.scores(torch.from_numpy(rows.astype(np.float32)), owners).numpy()

    return function


def shapley_of(view) -> torch.Tensor:
    rows = view.background.numpy()
    found = [exact_shapley(function_of(view, i), view.inputs[i].numpy(), rows) for i in range(len(view))]
    return torch.from_numpy(np.stack(found)).float()


@pytest.mark.slow
def test_kernel_and_permutation_of_shap_are_exact_where_all_coalitions_are_there() -> None:
    pytest.importorskip("shap")
    view = view_of("table", 3, background=make_inputs((6,), 8, seed=5))
    exact = shapley_of(view)
    torch.testing.assert_close(run("shap:Kernel", view, nsamples=64, l1_reg=False), exact, rtol=1e-4, atol=1e-4)
    many = run("shap:Permutation", view, max_evals=13 * 40)
    torch.testing.assert_close(many, exact, rtol=0.2, atol=0.04)
    total = view.scores(view.inputs) - view.scores(view.background[:, None].expand(-1, 3, -1).flatten(0, 1),
                                                   torch.arange(3).repeat(8)).view(8, 3).mean(dim=0)  # fmt: skip
    torch.testing.assert_close(run("shap:Partition", view, max_evals=500).sum(dim=1), total, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_kernel_of_shap_leaves_all_but_ten_players_at_zero() -> None:
    """By default, although every column has the same effect."""
    pytest.importorskip("shap")
    view = make_view(nn.Sequential(nn.Linear(30, 2)).eval(), make_inputs((30,), 2), background=make_inputs((30,), 10))
    assert ((run("shap:Kernel", view, nsamples=300) != 0).sum(dim=1) <= 10).all()
    assert ((run("shap:Kernel", view, nsamples=300, l1_reg=False) != 0).sum(dim=1) == 30).all()


@pytest.mark.slow
def test_tree_and_linear_of_shap_are_exact() -> None:
    pytest.importorskip("shap")
    view = forest_view(4)
    torch.testing.assert_close(run("shap:Tree", view), shapley_of(view), rtol=1e-5, atol=1e-5)
    linear = make_view(
        nn.Sequential(nn.Linear(5, 3)).eval(), make_inputs((5,), 4), background=make_inputs((5,), 7, seed=3)
    )
    torch.testing.assert_close(run("shap:Linear", linear), shapley_of(linear), rtol=1e-4, atol=1e-5)
    with pytest.raises(UnsupportedError, match="the logit of this one is not linear"):
        run("shap:Linear", view_of("table", 2))
    with pytest.raises(UnsupportedError, match="reads fitted scikit-learn ensembles"):
        run("shap:Tree", view_of("table", 2))


@pytest.mark.slow
def test_boosted_trees_explain_log_odds_by_default_and_are_refused_for_probabilities() -> None:
    pytest.importorskip("shap")
    from sklearn.ensemble import GradientBoostingClassifier

    from xaibench.models.adapters import as_predictor

    x = make_inputs((4,), 80).numpy()
    boosted = GradientBoostingClassifier(n_estimators=10, max_depth=2, random_state=0).fit(x, x[:, 0] * x[:, 1] > 0)
    view = make_view(as_predictor(boosted), torch.from_numpy(x[:6]), background=torch.from_numpy(x[40:50]))
    with pytest.raises(UnsupportedError, match="explains another number than the probability"):
        run("shap:Tree", view)
    # The library scales the values of the log odds, so they add up to the probability, and are not its Shapley values.
    found, exact = run("shap:Tree", view, model_output="probability"), shapley_of(view)
    torch.testing.assert_close(found.sum(dim=1), exact.sum(dim=1), rtol=1e-3, atol=1e-4)
    assert (found - exact).abs().max() > 1e-3
    assert (found - exact).abs().max() < 0.05
    assert len(view.targets.unique()) == 2


@pytest.mark.slow
def test_deep_of_shap_adds_up_and_gradient_of_shap_has_our_mean() -> None:
    pytest.importorskip("shap")
    view = view_of("table", 3, background=make_inputs((6,), 10, seed=5))
    outputs = [view.scores(view.background, torch.full((10,), i)).mean() for i in range(3)]
    total = view.scores(view.inputs) - torch.stack(outputs)
    torch.testing.assert_close(run("shap:Deep", view).sum(dim=1), total, rtol=1e-3, atol=1e-4)
    theirs = run("shap:Gradient", view, nsamples=4000)
    ours = run("gradient_shap", view, n_samples=8000)
    torch.testing.assert_close(theirs, ours, rtol=0.05, atol=0.02)


def repeats(name: str, view, n: int, **params) -> torch.Tensor:
    return torch.stack([run(name, view, f"explain{i}", **params) for i in range(n)])


def within_standard_errors(found: torch.Tensor, truth: torch.Tensor, most: float = 4.0) -> None:
    error = found.std(dim=0) / math.sqrt(len(found))
    assert ((found.mean(dim=0) - truth).abs() <= most * error + 1e-5).all()


@pytest.mark.slow
def test_means_of_draws_are_ours() -> None:
    view = view_of("table", 2, background=make_inputs((6,), 8, seed=5))
    truth = run("gradient_shap", view, n_samples=20_000)
    within_standard_errors(repeats("captum:GradientShap", view, 40, n_samples=50), truth, 4.5)
    smooth = run("smoothgrad", view, n_samples=20_000, radius=0.3)
    found = repeats("captum:NoiseTunnel", view, 40, nt_samples=50, stdevs=0.3, abs=False)
    within_standard_errors(found, smooth, 4.5)


@pytest.mark.slow
def test_shapley_values_of_captum_are_exact_on_the_mean() -> None:
    view = view_of("table", 2)
    exact = run("shapley_sampling", view, n_samples=64)
    within_standard_errors(repeats("captum:ShapleyValueSampling", view, 20, n_samples=5), exact)
    found = repeats("captum:KernelShap", view, 6, n_samples=400)
    torch.testing.assert_close(found.mean(dim=0), exact, rtol=0.05, atol=0.02)


@pytest.mark.slow
def test_lime_of_tables_and_images_agrees_with_ours() -> None:
    pytest.importorskip("lime")
    rows = make_inputs((6,), 200, seed=5)
    view = make_view(mlp((6,)), make_inputs((6,), 4), background=rows)
    theirs = run("lime:tabular", view, discretize_continuous=False, sample_around_instance=True, num_samples=5000)
    ours = run("tabular_lime", view, n_samples=5000)
    assert min(spearmanr(a, b).statistic for a, b in zip(theirs.numpy(), ours.numpy(), strict=True)) >= 0.94
    picture = view_of("image", 3, model=plain_cnn())
    shown = run("lime:image", picture, patch=4, hide_color=0.0, num_samples=1000)
    lime = run("lime", picture, patch=4, n_samples=1000)
    corners = shown[:, ::4, ::4].flatten(1), lime[:, ::4, ::4].flatten(1)
    assert min(spearmanr(a, b).statistic for a, b in zip(*corners, strict=True)) >= 0.79
    torch.testing.assert_close(shown[:, 0, 0], shown[:, 3, 3])


def test_the_module_of_the_maps_is_found() -> None:
    view = view_of("image", 2, model=plain_cnn())
    # The ReLU before the last pooling, as for our own.
    assert module_of_maps(view, None) == "4"
    assert module_of_maps(view, "0") == "0"

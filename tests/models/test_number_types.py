"""Models that compute in other number types, black boxes that need every digit, compiled modules, and copies."""

from __future__ import annotations

import copy
import threading
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs
from helpers.odd_models import Around, Codes, small_net
from torch import Tensor, nn

import xaibench as xb
from xaibench.core.errors import UnsupportedError
from xaibench.core.module_copies import copy_module, sharing_copy
from xaibench.models.adapters import as_predictor, fingerprint
from xaibench.models.first_look import first_look

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
X = make_inputs((6,), 6)
NET = small_net()
EXPLAINERS = ["gradient", "integrated_gradients", "deep_lift", "lrp", "guided_backprop", "occlusion", "kernel_shap"]
METRICS = ["pixel_flipping", "infidelity", "mprt", "relative_output_stability", "completeness", "input_invariance"]
TOLERANCES = {torch.float64: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def close(found: Any, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", EXPLAINERS)
def test_models_are_called_in_their_own_type(dtype: torch.dtype, name: str) -> None:
    net = copy.deepcopy(NET).to(dtype)
    for inputs in (X, X.numpy(), X.to(dtype)):
        found = xb.explain(name, model=net, inputs=inputs, seed=1)
        expected = xb.explain(name, model=NET, inputs=X if name != "kernel_shap" else inputs, seed=1)
        assert found.dtype == np.float32
        if name != "kernel_shap":
            close(found, expected, TOLERANCES[dtype])
        assert np.isfinite(found).all()
    assert all(p.dtype == dtype for p in net.parameters())


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", METRICS)
def test_metrics_take_them(dtype: torch.dtype, name: str) -> None:
    net = copy.deepcopy(NET).to(dtype)
    found = xb.score(name, model=net, inputs=X, explain="gradient")
    assert np.isfinite(found).all() or name == "relative_output_stability"


def test_float64_models_give_every_digit() -> None:
    line = nn.Linear(2, 2, bias=False).double().eval()
    line.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    inputs = np.array([[20240131.0, 1.0], [20240131.0 + 1e-3, 2.0]])
    found = first_look(as_predictor(line), torch.from_numpy(inputs)).predict(torch.from_numpy(inputs))
    np.testing.assert_array_equal(found.numpy(), inputs)


def test_mixed_types_that_do_not_fit_are_one_sentence() -> None:
    net = copy.deepcopy(NET)
    net[2].double()
    with pytest.raises(xb.UsageError, match="the model failed on one sample") as caught:
        xb.explain("gradient", model=net, inputs=X)
    assert "model.float()" in str(caught.value.hint)


def test_conv_and_recurrent_models_in_bfloat16() -> None:
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    images = make_inputs((1, 8, 8), 4)
    for name in ("gradient", "grad_cam", "lrp"):
        found = xb.explain(name, model=copy.deepcopy(conv).bfloat16(), inputs=images, targets=[0, 1, 2, 0])
        close(found, xb.explain(name, model=conv, inputs=images, targets=[0, 1, 2, 0]), 5e-2)


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = copy.deepcopy(NET)

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out: Tensor = self.net(inputs)
        return out


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients", "guided_backprop", "occlusion"])
def test_autocast_is_followed(name: str) -> None:
    close(xb.explain(name, model=Autocast().eval(), inputs=X), xb.explain(name, model=NET, inputs=X), 2e-2)


@pytest.mark.parametrize("name", ["lrp", "deep_lift"])
def test_rules_do_not_follow_autocast(name: str) -> None:
    with pytest.raises(xb.UnsupportedError, match="autocast"):
        xb.explain(name, model=Autocast().eval(), inputs=X)


@pytest.mark.parametrize(
    "written",
    [lambda m, x: m.net(x).to_sparse(), lambda m, x: m.net(x).numpy(), lambda m, x: m.net(x).tolist()],
    ids=["sparse", "numpy", "list"],
)
def test_outputs_of_other_kinds_are_read(written: Any) -> None:
    found = xb.explain("occlusion", model=Around(NET, written).eval(), inputs=X, returns="logit")
    np.testing.assert_allclose(found, xb.explain("occlusion", model=NET, inputs=X), rtol=1e-5, atol=1e-6)


# Black boxes


def test_values_of_any_size_have_exact_effects() -> None:
    box = lambda a: 1.2e8 + 3 * a[:, 0] - 2 * a[:, 1]  # noqa: E731
    inputs = np.array([[5.0, 1], [7, 2]])
    for given in (inputs, inputs.astype(int), inputs.astype(int).tolist(), torch.from_numpy(inputs)):
        found = xb.explain("occlusion", model=box, inputs=given, returns="value")
        np.testing.assert_array_equal(found, [[15, -2], [21, -4]])


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint32, np.float64, list])
def test_dates_reach_a_black_box_as_they_are(kind: Any) -> None:
    seen: list[Any] = []

    def box(rows: Any) -> Any:
        seen.append(rows[:, 0].copy())
        return rows[:, 0] - 20240000

    dates = [[20240131, 1], [20240229, 2]]
    found = xb.explain("occlusion", model=box, inputs=dates if kind is list else np.array(dates, kind), returns="value")
    assert {20240131, 20240229} <= {int(v) for rows in seen for v in rows}
    np.testing.assert_array_equal(found[:, 0], np.float32([20240131, 20240229]))


@pytest.mark.parametrize("name", ["shapley_sampling", "kernel_shap", "lime", "feature_ablation", "rise", "c_lime"])
def test_explainers_take_float64(name: str) -> None:
    rng = np.random.default_rng(0)
    inputs, background = rng.normal(size=(4, 3)), rng.normal(size=(20, 3))
    small = lambda a: a @ [3.0, -2.0, 0.0]  # noqa: E731
    large = lambda a: 1e8 + a @ [3.0, -2.0, 0.0]  # noqa: E731
    around = {} if name == "c_lime" else {"background": background}  # It has no use for one.
    found, expected = (
        xb.explain(name, model=m, inputs=inputs, returns="value", seed=3, **around) for m in (large, small)
    )
    if name != "rise":  # RISE weighs outputs, it does not take differences.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_scores_take_float64() -> None:
    inputs = np.random.default_rng(0).normal(size=(4, 3))
    weights = np.array([3.0, -2.0, 1.0])
    given: dict[str, Any] = {"inputs": inputs, "attributions": inputs * weights, "returns": "value"}
    for name in ("infidelity", "pgi"):
        large, small = (xb.score(name, model=lambda a, c=c: c + a @ weights, **given) for c in (1e8, 0))
        np.testing.assert_allclose(large, small, rtol=1e-3, atol=1e-3)


def test_float32_stays_float32() -> None:
    types: set[Any] = set()

    def box(rows: Any) -> Any:
        types.add(rows.dtype)
        return rows[:, :3]

    xb.explain("occlusion", model=box, inputs=X.numpy(), returns="logit")
    xb.explain("occlusion", model=box, inputs=np.arange(12, dtype=np.uint8).reshape(2, 6), returns="logit")
    assert types == {np.dtype(np.float32)}


# Whole numbers


@pytest.mark.parametrize("name", ["occlusion", "feature_ablation", "shapley_sampling", "random"])
def test_modules_that_read_whole_numbers_get_them(name: str) -> None:
    model, codes = Codes().eval(), np.random.default_rng(0).integers(1, 50, (5, 6))
    found = xb.explain(name, model=model, inputs=codes, returns="logit", seed=1)
    boxed = xb.explain(
        name, model=lambda a: model(torch.from_numpy(a).long()).detach(), inputs=codes, returns="logit", seed=1
    )
    np.testing.assert_allclose(found, boxed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.full((2, 6), 50), "IndexError: index out of range"),
        (np.full((2, 6), -1), "IndexError: index out of range"),
        (np.full((2, 6), 1.5), "indices"),
        (np.array([[1.0] * 6, [1.5] * 6]), "reads whole numbers"),
    ],
)
def test_codes_that_a_table_does_not_have_are_one_sentence(codes: Any, message: str) -> None:
    with pytest.raises(xb.XaibenchError, match=message):
        xb.explain("occlusion", model=Codes().eval(), inputs=codes)


@pytest.mark.parametrize(("metric", "params"), [("pixel_flipping", {"masker": "mean"}), ("max_sensitivity", {}),
                                                ("input_invariance", {})])  # fmt: skip
def test_half_a_code_is_not_a_code(metric: str, params: dict[str, Any]) -> None:
    codes = np.array([[1, 2, 3, 4, 5, 6], [8, 9, 10, 11, 12, 13]])
    given: dict[str, Any] = {"model": Codes().eval(), "inputs": codes, "background": codes + 1, "explain": "occlusion"}
    with pytest.raises(xb.UnsupportedError, match="reads whole numbers"):
        xb.score(metric, **given, **params)
    assert np.isfinite(xb.score("pixel_flipping", **given, masker="marginal")).all()


# Compiled modules


def compiled(kind: str) -> Any:
    net = copy.deepcopy(NET)
    scripted = torch.jit.trace(net, X) if kind == "trace" else torch.jit.script(net)
    return torch.jit.freeze(scripted) if kind == "freeze" else scripted


@pytest.mark.parametrize("kind", ["script", "freeze", "trace"])
@pytest.mark.parametrize("name", ["gradient", "integrated_gradients", "smoothgrad", "occlusion", "kernel_shap", "rise"])
def test_compiled_modules_are_explained_where_no_layer_is_needed(kind: str, name: str) -> None:
    found = xb.explain(name, model=compiled(kind), inputs=X, seed=2)
    np.testing.assert_allclose(found, xb.explain(name, model=NET, inputs=X, seed=2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["script", "freeze", "trace"])
@pytest.mark.parametrize("name", ["deep_lift", "lrp", "guided_backprop", "mprt", "smooth_mprt", "input_invariance"])
def test_what_needs_layers_or_copies_of_a_compiled_module_is_unsupported(kind: str, name: str) -> None:
    given: dict[str, Any] = {"model": compiled(kind), "inputs": X}
    call = xb.explain if name in ("deep_lift", "lrp", "guided_backprop") else partial(xb.score, explain="gradient")
    with pytest.raises(xb.UnsupportedError, match="TorchScript"):
        call(name, **given)


def test_compiled_modules_in_training_mode_are_copied() -> None:
    scripted = torch.jit.script(nn.Sequential(copy.deepcopy(NET), nn.Dropout(0.5)).train())
    found = xb.explain("gradient", model=scripted, inputs=X)
    np.testing.assert_allclose(found, xb.explain("gradient", model=NET, inputs=X), rtol=1e-5)
    assert scripted.training


def test_compiled_modules_of_other_types_and_answers() -> None:
    class Double(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = copy.deepcopy(NET).double()

        def forward(self, inputs: Tensor) -> dict[str, Tensor]:
            return {"logits": self.net(inputs), "inputs": inputs}

    found = xb.explain("gradient", model=torch.jit.script(Double().eval()), inputs=X)
    np.testing.assert_allclose(found, xb.explain("gradient", model=NET, inputs=X), rtol=1e-5, atol=1e-6)


def test_frozen_modules_with_other_weights_have_other_fingerprints() -> None:
    other = copy.deepcopy(NET)
    with torch.no_grad():
        other[0].weight[0, 0] += 1
    first, second = (torch.jit.freeze(torch.jit.script(n)) for n in (NET, other))
    assert fingerprint(first, X.numpy()) != fingerprint(second, X.numpy())
    assert fingerprint(first, X.numpy()) == fingerprint(torch.jit.freeze(torch.jit.script(NET)), X.numpy())


# Copies


def normed(how: Any) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(how(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("how", [nn.utils.weight_norm, nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm])
@pytest.mark.parametrize("training", [True, False])
def test_normed_weights_are_copied_after_training(how: Any, training: bool) -> None:
    net = normed(how).train()
    for _ in range(3):
        net(X).sum().backward()
    plain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    net.eval()(X)
    plain.load_state_dict({"0.weight": net[0].weight.detach(), "0.bias": net[0].bias.detach(),
                           "2.weight": net[2].weight.detach(), "2.bias": net[2].bias.detach()})  # fmt: skip
    net.train(training)
    if training:
        net(X).sum().backward()
    for name in ("gradient", "deep_lift", "occlusion"):
        found = xb.explain(name, model=net, inputs=X)
        if how is not nn.utils.spectral_norm or not training:  # Its estimate moves with every pass in training mode.
            np.testing.assert_allclose(found, xb.explain(name, model=plain.eval(), inputs=X), rtol=1e-4, atol=1e-5)
        assert np.isfinite(found).all()
    for metric in ("mprt", "input_invariance", "faithfulness_estimate"):
        assert np.isfinite(xb.score(metric, model=net, inputs=X, explain="gradient")).all()
    assert net.training == training


def test_randomised_weights_of_a_normed_layer_change_its_output() -> None:
    net = normed(nn.utils.weight_norm).eval()
    net(X).sum().backward()
    assert (xb.score("mprt", model=net, inputs=X, explain="gradient") < 0.95).all()


@pytest.mark.parametrize("place", ["attribute", "list", "dictionary"])
def test_modules_that_store_what_they_computed_are_copied(place: str) -> None:
    def written(m: Any, x: Tensor) -> Tensor:
        out: Tensor = m.net(x)
        m.stored = {"attribute": out, "list": [out], "dictionary": {"h": [out]}}[place]
        return out

    model = Around(copy.deepcopy(NET), written).eval()
    model(X)
    for metric in ("mprt", "input_invariance"):
        assert np.isfinite(xb.score(metric, model=model, inputs=X, explain="gradient")).all()
    model.train()(X)
    np.testing.assert_array_equal(
        xb.explain("gradient", model=model, inputs=X), xb.explain("gradient", model=NET, inputs=X)
    )


class Locked(nn.Module):
    def __init__(self, wrap: bool = False) -> None:
        super().__init__()
        self.net, self.lock, self.wrap = copy.deepcopy(NET), threading.Lock(), wrap

    def forward(self, inputs: Tensor) -> Any:
        with self.lock:
            return {"logits": self.net(inputs)} if self.wrap else self.net(inputs)


@pytest.mark.parametrize("wrap", [False, True])
def test_what_cannot_be_copied_is_explained_all_the_same(wrap: bool) -> None:
    model = Locked(wrap).eval()
    for name in ("gradient", "deep_lift", "occlusion"):
        np.testing.assert_array_equal(xb.explain(name, model=model, inputs=X), xb.explain(name, model=NET, inputs=X))
    for metric in ("mprt", "input_invariance"):
        with pytest.raises(xb.UnsupportedError, match="cannot be copied"):
            xb.score(metric, model=model, inputs=X, explain="gradient")
    with pytest.raises(xb.UsageError, match=r"training mode .* cannot be copied") as caught:
        xb.explain("gradient", model=model.train(), inputs=X)
    assert "model.eval()" in str(caught.value.hint)


def test_a_sharing_copy_shares_weights_and_no_hooks() -> None:
    own = sharing_copy(NET)
    assert [id(p) for p in own.parameters()] == [id(p) for p in NET.parameters()]
    own.register_forward_hook(lambda *_: None)
    assert not NET._forward_hooks
    with pytest.raises(UnsupportedError, match="cannot be copied"):
        sharing_copy(Locked())


def test_a_sharing_copy_does_not_copy_what_a_module_holds() -> None:
    holder = Around(NET, lambda m, x: m.net(x))
    holder.rows, holder.table = np.ones((2, 2)), {"a": [torch.ones(2), torch.ones(2)]}  # type: ignore[assignment]
    own = sharing_copy(holder)
    assert own.rows is holder.rows
    assert own.table["a"][0] is holder.table["a"][0]
    deep = copy_module(holder)
    assert deep.rows is not holder.rows
    assert deep.table["a"][0] is not holder.table["a"][0]

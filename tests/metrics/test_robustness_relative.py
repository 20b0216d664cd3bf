"""Relative stability against its definition, and the hidden representations behind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, TABLE, cnn, gradient, linear, make_evaluation, make_inputs, make_view, mlp
from helpers.robustness_cases import itself, noise_of, run, times_gradient
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import CallablePredictor, TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.storage.cache import MemoryCache
from xaibench.metrics.engines.representations import Representation, layer_calls

INPUT, OUTPUT, HIDDEN = (f"relative_{what}_stability" for what in ("input", "output", "representation"))
FORMS = pytest.mark.parametrize("relative", ["element", "norm"])


def change(own: Tensor, there: Tensor, relative: str) -> Tensor:
    """Relative change (N, K) from ``own`` (N, ...) to ``there`` (N, K, ...), straight from the definition."""
    own, there = own.flatten(1).double().unsqueeze(1), there.flatten(2).double()
    if relative == "norm":
        return (there - own).norm(dim=2) / own.norm(dim=2)
    floor = 1e-3 * own.abs().amax(dim=2, keepdim=True)
    return ((there - own) / torch.maximum(own.abs(), floor)).norm(dim=2)


def far_from_zero(n: int = 6) -> Tensor:
    return make_inputs(TABLE, n).abs() + 0.5


@FORMS
@pytest.mark.parametrize("shape", [TABLE, IMAGE])
def test_the_input_as_explanation_is_as_stable_as_the_input(shape: tuple[int, ...], relative: str) -> None:
    view = make_view(linear(shape), 3 * make_inputs(shape, 5))
    ev = make_evaluation(view, kind="contribution", function=itself)
    values = run(INPUT, ev, relative=relative)
    np.testing.assert_array_equal(values[torch.isfinite(values)], 1)
    assert bool(torch.isfinite(values).any())


@FORMS
@pytest.mark.parametrize("name", [INPUT, OUTPUT, HIDDEN])
def test_the_gradient_of_a_linear_model_is_perfectly_stable(name: str, relative: str) -> None:
    view = make_view(linear(TABLE), 5 * make_inputs(TABLE, 5))
    values = run(name, make_evaluation(view), relative=relative)
    np.testing.assert_array_equal(values[torch.isfinite(values)], 0)
    assert bool(torch.isfinite(values).any())


@FORMS
def test_input_and_output_stability_of_a_linear_model_in_closed_form(relative: str) -> None:
    """Input times gradient is ``w x``; the outputs move by ``W d``. No copy changes its class here."""
    module = linear(TABLE)
    module[1].bias.data[0] += 100  # type: ignore[index]
    view = make_view(module, far_from_zero())
    w, d = module[1].weight.detach(), noise_of(view).double()  # type: ignore[index]
    there = view.inputs.unsqueeze(1) + d
    moved = change(view.inputs * w[0], there * w[0], relative)
    ev = make_evaluation(view, kind="contribution", function=times_gradient)
    ris = (moved / change(view.inputs, there, relative)).amax(dim=1)
    np.testing.assert_allclose(run(INPUT, ev, relative=relative), ris, rtol=1e-4)
    ros = (moved / (d @ w.double().T).norm(dim=2)).amax(dim=1)
    np.testing.assert_allclose(run(OUTPUT, ev, relative=relative), ros, rtol=1e-3)


@FORMS
@pytest.mark.parametrize("layer", ["first", "penultimate"])
def test_representation_stability_by_hand(relative: str, layer: str) -> None:
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    module[2].bias.data[0] += 100
    view = make_view(module, far_from_zero())
    part = module[:1] if layer == "first" else module[:2]
    there = view.inputs.unsqueeze(1) + noise_of(view)
    with torch.no_grad():
        hidden = change(part(view.inputs), part(there), relative)
    moved = change(view.inputs, there, relative)
    ev = make_evaluation(view, kind="contribution", function=itself)
    found = run(HIDDEN, ev, relative=relative, layer=layer)
    np.testing.assert_allclose(found, (moved / hidden.clamp(min=1e-6)).amax(dim=1), rtol=1e-3)


def test_without_a_hidden_layer_the_first_is_the_output_and_the_penultimate_the_input() -> None:
    view = make_view(linear(TABLE), far_from_zero())
    ev = make_evaluation(view, kind="contribution", function=itself)
    np.testing.assert_allclose(run(HIDDEN, ev, layer="penultimate"), run(INPUT, ev), rtol=1e-6)
    look = Representation(view.model, "first", view.inputs[:1])  # type: ignore[arg-type]
    raw, hidden = look(view.inputs, view.predict)
    assert torch.equal(raw, hidden)


def flips(x: np.ndarray) -> np.ndarray:
    """Class 1 where the first column is at least 1."""
    one = (x[:, 0] >= 1).astype(np.float32)
    return np.stack([1 - one, one], axis=1)


def jumps(view: ProblemView, stream: str = "") -> Tensor:
    """Explains class 1 by a map a hundred times as large, and drifts with the second column."""
    return torch.where(view.inputs[:, :1] >= 1, 100.0, 1.0) * (1 + view.inputs[:, 1:2]).expand(-1, 6)


@FORMS
def test_copies_of_another_class_are_left_out(relative: str) -> None:
    """The map jumps with the class, for one sign of the noise: only copies on the sample's side count."""
    view = make_view(CallablePredictor(flips, "probability"), far_from_zero(8))
    view.inputs[:, 0] = torch.tensor([0.9999, 1.0001] * 4)
    ev = make_evaluation(view, kind="saliency", function=jumps)
    there = view.inputs.unsqueeze(1) + noise_of(view)
    same = (there[..., 0] >= 1) == (view.inputs[:, :1] >= 1)
    assert bool((same.any(dim=1) & ~same.all(dim=1)).all())
    drift = (1 + there[..., 1:2]).expand(-1, -1, 6)
    ratio = change((1 + view.inputs[:, 1:2]).expand(-1, 6), drift, relative) / change(view.inputs, there, relative)
    expected = torch.where(same, ratio, 0).amax(dim=1)
    np.testing.assert_allclose(run(INPUT, ev, relative=relative), expected, rtol=1e-3)
    assert float(run("local_lipschitz", ev).min()) > 50


def test_a_sample_whose_copies_all_change_class_is_undefined() -> None:
    def only_here(x: np.ndarray) -> np.ndarray:
        there = (x[:, 0] == 1).astype(np.float32)
        return np.stack([1 - there, there], axis=1)

    view = make_view(CallablePredictor(only_here, "probability"), far_from_zero(3))
    view.inputs[1, 0] = 1
    ev = make_evaluation(view, kind="saliency", function=itself)
    for name in (INPUT, OUTPUT):
        assert torch.isnan(run(name, ev)).tolist() == [False, True, False]


def test_models_of_values_have_no_class_to_lose() -> None:
    view = make_view(CallablePredictor(lambda x: np.stack([x[:, 0], 1 - x[:, 0]], axis=1), "value"), far_from_zero(3))
    view.inputs[:, 0] = 0.5
    assert bool(torch.isfinite(run(INPUT, make_evaluation(view, kind="saliency", function=itself))).all())


def test_entries_near_zero_count_as_a_thousandth_of_the_largest() -> None:
    """An explanation with an entry at 0 that comes alive: its change is divided by 1e-3 of the largest."""

    def comes_alive(view: ProblemView, stream: str = "") -> Tensor:
        out = torch.zeros(len(view), 6)
        out[:, 0] = 2
        out[:, 1] = 0.5 * (view.inputs != first).any(dim=1)
        return out

    view = make_view(linear(TABLE), 10 * far_from_zero(1))
    first = view.inputs.clone()
    ev = make_evaluation(view, kind="saliency", function=comes_alive)
    moved = change(view.inputs, view.inputs.unsqueeze(1) + noise_of(view), "element").amin()
    np.testing.assert_allclose(run(INPUT, ev), 0.5 / (1e-3 * 2) / moved, rtol=1e-3)


def test_the_model_is_evaluated_once_for_all_explainers() -> None:
    view = make_view(cnn(), make_inputs(IMAGE, 4))
    ev = make_evaluation(view, kind="saliency", function=itself)
    counts = []
    for _ in range(3):
        for name in (INPUT, OUTPUT, HIDDEN):
            run(name, ev)
        counts.append(view.model.n_evaluations)
        object.__setattr__(ev, "cache", MemoryCache())
    assert counts[0] == counts[1] == counts[2]


def test_layers_in_the_order_of_their_calls() -> None:
    class Wrapped(nn.Module):
        """A bare parameter around layers that are defined head first; the body is called twice."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.head, self.body, self.idle = nn.Linear(6, 2), nn.Linear(6, 6), nn.Linear(6, 6)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.body(self.relu(self.body(self.scale * x)))))

    module = Wrapped().eval()
    assert layer_calls(module, torch.zeros(1, 6)) == ["body", "body", "head"]
    x = make_inputs(TABLE, 5)
    for batch_size in (2, 64):
        predictor = TorchPredictor(module, batch_size=batch_size)
        with torch.no_grad():
            first = module.body(x)
            last = module.body(first.relu()).relu()
        raw, hidden = Representation(predictor, "first", x[:1])(x, predictor.predict)
        torch.testing.assert_close(hidden, first)
        torch.testing.assert_close(Representation(predictor, "penultimate", x[:1])(x, predictor.predict)[1], last)
        torch.testing.assert_close(raw, module(x))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_the_penultimate_representation_of_a_transformer() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    module = nn.Sequential(nn.Unflatten(1, (3, 2)), nn.Linear(2, 8), encoder, nn.Flatten(), nn.Linear(24, 3)).eval()
    x = make_inputs(TABLE, 4)
    with torch.no_grad():
        expected = module[:4](x)
    predictor = TorchPredictor(module)
    hidden = Representation(predictor, "penultimate", x[:1])(x, predictor.predict)[1]
    torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-5)


def test_models_without_layers_have_no_representation() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(dim=1), -x.sum(dim=1)], dim=1)

    view = make_view(Sum(), make_inputs(TABLE, 3))
    with pytest.raises(UnsupportedError, match="no layer"):
        run(HIDDEN, make_evaluation(view, function=gradient))
    black_box = make_view(lambda x: np.ones((len(x), 2)), make_inputs(TABLE, 3))
    with pytest.raises(UnsupportedError):
        run(HIDDEN, make_evaluation(black_box, kind="saliency", function=itself))


def test_a_layer_that_mixes_samples_has_no_representation() -> None:
    class Mixes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.view(-1, 3)).view(len(x), -1)

    view = make_view(Mixes().eval(), make_inputs(TABLE, 3))
    with pytest.raises(UnsupportedError, match="one row per sample"):
        run(HIDDEN, make_evaluation(view))


def test_deep_models_keep_all_batches_apart() -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 9), batch_size=4)
    whole = make_view(mlp(TABLE), make_inputs(TABLE, 9))
    for layer in ("first", "penultimate"):
        found = [run(HIDDEN, make_evaluation(v, function=itself), layer=layer) for v in (view, whole)]
        np.testing.assert_allclose(*found, rtol=1e-4)

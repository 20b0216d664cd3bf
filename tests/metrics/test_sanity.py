"""Randomised models, MPRT and random logit."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from helpers.builders import (
    IMAGE,
    TABLE,
    cnn,
    gradient,
    linear,
    make_evaluation,
    make_inputs,
    make_view,
    mlp,
    occlusion,
)
from helpers.robustness_cases import registered
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import CallablePredictor, TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.metrics.engines.random_weights import forward_order, layer_tensors, random_weights, randomised_models
from xaibench.metrics.maps.similarity import spearman


class Transformer(nn.Module):
    """Attention, norms, a bare parameter and a mask with infinite entries."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 6, 8))
        self.temperature = nn.Parameter(torch.ones(()))
        self.register_buffer("causal", torch.full((6, 6), -torch.inf).triu(1))
        self.embed = nn.Linear(1, 8)
        self.first = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.second = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.unsqueeze(2)) + self.place
        tokens = self.second(self.first(tokens, src_mask=self.causal), src_mask=self.causal)
        return self.head(tokens.mean(dim=1)) * self.temperature


class Bare(nn.Module):
    """Parameters without a layer, and buffers of a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))
        self.mix = nn.Parameter(torch.eye(6))
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.scale * x @ self.mix))


MODULES = {"mlp": lambda: mlp(TABLE), "cnn": cnn, "transformer": Transformer, "bare": Bare}


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and floating-point buffers that are finite."""
    return {k: v for k, v in module.state_dict().items() if v.is_floating_point() and bool(torch.isfinite(v).all())}


def fully_randomised(module: nn.Module, seed: int = 0, order: str = "top_down") -> nn.Module:
    predictor = TorchPredictor(module)
    image = any(isinstance(m, nn.Conv2d) for m in module.modules())
    one = torch.zeros(1, *(IMAGE if image else TABLE))
    *_, last = randomised_models(predictor, one, random_weights(predictor.module, seed), "cascade", order)  # type: ignore[arg-type]
    return last.module


@pytest.mark.parametrize("name", MODULES)
def test_after_full_randomisation_every_number_differs(name: str) -> None:
    torch.manual_seed(0)
    module = MODULES[name]().eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    for order in ("top_down", "bottom_up"):
        random = fully_randomised(module, order=order)
        after = weights_of(random)
        assert set(after) == set(weights_of(module))
        for key, value in after.items():
            assert bool((value != before[key]).all()), key
            assert bool(torch.isfinite(value).all())
            assert "running_var" not in key or bool((value > 0).all())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    inputs = make_inputs(IMAGE if name == "cnn" else TABLE, 4)
    assert bool(torch.isfinite(random(inputs)).all())
    assert random(inputs).std(dim=0).min() > 1e-4


@pytest.mark.parametrize("name", MODULES)
def test_no_two_layers_get_the_same_weights(name: str) -> None:
    weights = weights_of(fully_randomised(MODULES[name]()))
    for (a, first), (b, second) in combinations(weights.items(), 2):
        shared = min(first.numel(), second.numel())
        assert not bool((first.flatten()[:shared] == second.flatten()[:shared]).any()), (a, b)


def test_weights_follow_the_seed_and_the_name_only() -> None:
    module = mlp(TABLE)
    first, again, other = (random_weights(module, seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not any(torch.equal(first[k], other[k]) for k in first)
    deeper = nn.Sequential(*module, nn.Linear(3, 3))
    assert all(torch.equal(first[k], random_weights(deeper, 0)[k]) for k in first)


def test_matrices_are_as_wide_as_pytorchs_default() -> None:
    weights = random_weights(nn.Sequential(nn.Linear(400, 300), nn.Conv2d(16, 64, 3)), 0)
    for name, fan in (("0.weight", 400), ("0.bias", 400), ("1.weight", 144), ("1.bias", 144)):
        assert weights[name].abs().max() == pytest.approx(fan**-0.5, rel=0.05)
        assert weights[name].std() == pytest.approx((3 * fan) ** -0.5, rel=0.15)


def test_layers_follow_the_forward_pass_not_the_definition() -> None:
    class HeadFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.body = nn.Linear(4, 2), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x))

    assert forward_order(HeadFirst(), torch.zeros(1, 6)) == ["body", "head"]
    layers = forward_order(Transformer().eval(), torch.zeros(1, 6))
    assert layers[:2] == ["", "embed"]
    assert layers[-1] == "head"
    assert layers.index("first.self_attn.out_proj") < layers.index("second.self_attn")
    assert sorted(layers) == sorted(layer_tensors(Transformer()))


def test_cascade_and_independent_change_the_layers_they_should() -> None:
    predictor = TorchPredictor(mlp(TABLE))
    original, weights = predictor.module.state_dict(), random_weights(predictor.module, 0)
    layers = list(layer_tensors(predictor.module).values())
    assert [names[0] for names in layers] == ["1.weight", "3.weight", "5.weight"]
    for mode in ("cascade", "independent"):
        for order in ("top_down", "bottom_up"):
            sequence = layers[::-1] if order == "top_down" else layers
            states = list(randomised_models(predictor, torch.zeros(1, 6), weights, mode, order))  # type: ignore[arg-type]
            assert len(states) == 3
            for step, state in enumerate(states):
                changed = {k for k, v in state.module.state_dict().items() if not torch.equal(v, original[k])}
                expected = sequence[: step + 1] if mode == "cascade" else [sequence[step]]
                assert changed == {name for names in expected for name in names}


def run(name: str, ev, **params) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def edges(view: ProblemView, stream: str = "") -> Tensor:
    """Never looks at the model."""
    return view.layout.reduce(view.inputs)


def test_an_explanation_that_ignores_the_model_fails_both_checks() -> None:
    view = make_view(cnn(), make_inputs(IMAGE, 6))
    blind = make_evaluation(view, function=edges)
    np.testing.assert_allclose(run("mprt", blind), 1)
    np.testing.assert_allclose(run("random_logit", blind), 1)
    looking = make_evaluation(view)
    assert run("mprt", looking).abs().mean() < 0.5
    assert run("random_logit", looking).mean() < 0.7


def test_mprt_of_a_linear_model_is_the_similarity_of_old_and_new_weights() -> None:
    module = linear(TABLE)
    view = make_view(module, make_inputs(TABLE, 5))
    fresh = random_weights(module, view.seed)["1.weight"][view.targets]
    expected = spearman(module[1].weight.detach()[view.targets], fresh)  # type: ignore[index]
    np.testing.assert_allclose(run("mprt", make_evaluation(view)), expected, rtol=1e-6)


def test_mprt_has_no_self_correlation_and_one_term_per_layer() -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 5))
    ev = make_evaluation(view)
    states = randomised_models(view.model, view.inputs[:1], random_weights(view.model.module, 0), "cascade", "top_down")  # type: ignore[arg-type]
    terms = [spearman(ev.attributions, gradient(ProblemView(**{**vars(view), "model": state}))) for state in states]
    np.testing.assert_allclose(run("mprt", ev), torch.stack(terms).mean(dim=0), rtol=1e-5)


def test_random_logit_explains_another_class_of_the_model() -> None:
    """A linear model with ten classes; class c has the weights of class 0 but for one feature."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(20, 10))
    asked: list[Tensor] = []

    def spy(view: ProblemView, stream: str = "") -> Tensor:
        asked.append(view.targets)
        return gradient(view)

    view = make_view(module.eval(), make_inputs((20,), 200))
    ev = make_evaluation(view, function=spy)
    values = run("random_logit", ev)
    assert bool((asked[-1] != view.targets).all())
    assert set(asked[-1].tolist()) == set(range(10))
    w = module[1].weight.detach()
    np.testing.assert_allclose(values, spearman(w[view.targets], w[asked[-1]]), rtol=1e-5)


def test_random_logit_needs_another_class() -> None:
    view = make_view(TorchPredictor(linear(TABLE, 1), "value"), make_inputs(TABLE, 3))
    with pytest.raises(UnsupportedError, match="one output"):
        run("random_logit", make_evaluation(view))


def test_two_classes_explain_each_other() -> None:
    view = make_view(linear(TABLE, 2), make_inputs(TABLE, 4), output="probability")
    np.testing.assert_allclose(run("random_logit", make_evaluation(view)), -1, rtol=1e-6)
    assert math.isclose(run("random_logit", make_evaluation(view), similarity="abs_spearman").mean(), 1, rel_tol=1e-6)


class _WithIdleHead(nn.Module):
    """An auxiliary head that the forward pass never uses."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.aux = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@pytest.mark.parametrize("params", [{}, {"mode": "independent"}, {"order": "bottom_up"}])
def test_a_layer_without_part_in_the_output_is_no_step(params: dict[str, str]) -> None:
    x = make_inputs(TABLE, 4)
    net = mlp(TABLE)
    idle = _WithIdleHead(net).eval()
    assert forward_order(idle, x[:1]) == [f"net.{name}" for name in forward_order(net, x[:1])]
    models = list(randomised_models(TorchPredictor(idle), x[:1], random_weights(idle, 0), "cascade", "top_down"))
    assert len(models) == 3
    for name, tensor in models[-1].module.named_parameters():
        assert not torch.equal(tensor, idle.get_parameter(name))
    changed = [m.predict(x) for m in models]
    assert all(not torch.allclose(a, idle(x)) for a in changed)


def test_a_buffer_of_two_layers_is_randomised_once_and_stays_shared() -> None:
    net = mlp(TABLE)
    table = torch.rand(3)
    net[1].register_buffer("table", table)  # type: ignore[operator]
    net[3].register_buffer("table", table)  # type: ignore[operator]
    random = fully_randomised(net)
    assert random[1].table is random[3].table  # type: ignore[index]
    assert bool((random[1].table != table).all())  # type: ignore[index]


@pytest.mark.parametrize("name", ["mprt", "smooth_mprt", "efficient_mprt", "random_logit"])
def test_samples_that_cannot_be_explained_again_have_no_score(name: str) -> None:
    """Not the similarity of the order in which a sort leaves what is not a number."""
    view = make_view(mlp(TABLE), make_inputs(TABLE, 4))
    digest = view.digests[1]

    def sometimes(v: ProblemView, _stream: str) -> Tensor:
        maps = gradient(v)
        again = v.model is not view.model or not torch.equal(v.targets, view.targets)
        maps[[again and d == digest for d in v.digests]] = torch.nan
        return maps

    assert torch.isnan(run(name, make_evaluation(view, function=sometimes))).tolist() == [False, True, False, False]


def test_positive_buffers_stay_positive() -> None:
    net = nn.Sequential(nn.Linear(6, 3))
    net.register_buffer("std", torch.ones(6))
    assert (random_weights(net, 0)["std"] > 0).all()


def test_a_shifted_model_does_the_same_on_shifted_inputs() -> None:
    """Exactly, where the numbers can be added and subtracted without rounding; with the same gradients and names."""
    x = (256 * torch.rand(5, *IMAGE, generator=torch.Generator().manual_seed(0))).round() / 256
    view = make_view(cnn(), x)
    shifted = view.model.shifted(0.5)
    assert torch.equal(shifted.predict(x + 0.5), view.model.predict(x))
    assert not torch.allclose(shifted.predict(x), view.model.predict(x))
    moved = view.take(slice(None), x + 0.5, shifted)
    assert torch.equal(moved.gradients(moved.inputs), view.gradients(x))
    assert shifted.returns == view.model.returns
    names = [[n for n, _ in m.module.named_modules()] for m in (shifted, view.model)]  # type: ignore[union-attr]
    assert names[0] == names[1]
    assert not view.model.module._forward_pre_hooks  # type: ignore[union-attr]
    black_box = CallablePredictor(lambda a: np.stack([a.sum(axis=1), a[:, 0]], axis=1), "value")
    table = (64 * make_inputs(TABLE, 4)).round() / 64
    assert torch.equal(black_box.shifted(-2.0).predict(table - 2), black_box.predict(table))


@pytest.mark.parametrize("shift", [0.25, 1.0, -2.0])
def test_the_gradient_does_not_see_the_zero_point(shift: float) -> None:
    for module, shape in ((cnn(), IMAGE), (mlp(TABLE), TABLE)):
        ev = make_evaluation(make_view(module, make_inputs(shape, 10)))
        assert float(run("input_invariance", ev, shift=shift).max()) < 1e-5


@pytest.mark.parametrize("explainer", ["input_x_gradient", "integrated_gradients"])
def test_a_baseline_of_zero_sees_the_zero_point_in_closed_form(explainer: str) -> None:
    """``w (x + c)`` instead of ``w x``: off by ``|c| ||w|| / ||w x||``."""
    module = linear(TABLE)
    view = make_view(module, make_inputs(TABLE, 6), background=make_inputs(TABLE, 9, seed=3))
    w = module[1].weight.detach()[view.targets]  # type: ignore[index]
    expected = 1.5 * w.norm(dim=1) / (w * view.inputs).norm(dim=1)
    ev = make_evaluation(view, kind="contribution", function=registered(explainer))
    np.testing.assert_allclose(run("input_invariance", ev, shift=1.5), expected, rtol=1e-4)


@pytest.mark.parametrize("background", [None, make_inputs(TABLE, 9, seed=3)])
@pytest.mark.parametrize("module", [linear(TABLE), mlp(TABLE)])
def test_a_baseline_from_the_data_moves_with_it(module: nn.Module, background: Tensor | None) -> None:
    view = make_view(module, make_inputs(TABLE, 6), background=background)
    for baseline, invariant in (("mean", True), ("zero", False)):
        ev = make_evaluation(view, function=registered("integrated_gradients", baseline=baseline))
        values = run("input_invariance", ev)
        assert float(values.max()) < 1e-4 if invariant else float(values.min()) > 0.1


def test_black_boxes_are_shifted_too() -> None:
    """Occlusion with zeros: the drop is ``w x`` in one world, ``w (x + c)`` in the other."""
    w = torch.tensor([[1.0, 2, -1, 0.5, 3, -2]])
    view = make_view(CallablePredictor(lambda x: x @ w.numpy().T, "value"), make_inputs(TABLE, 5))
    ev = make_evaluation(view, kind="contribution", function=occlusion)
    expected = 0.5 * w.norm() / (w * view.inputs).norm(dim=1)
    np.testing.assert_allclose(run("input_invariance", ev, shift=0.5), expected, rtol=1e-4)


def test_a_shift_that_rounds_the_input_away_is_undefined() -> None:
    view = make_view(linear(TABLE), make_inputs(TABLE, 4))
    assert bool(torch.isnan(run("input_invariance", make_evaluation(view), shift=1e9)).all())
    np.testing.assert_array_equal(run("input_invariance", make_evaluation(view), shift=1.0), 0)

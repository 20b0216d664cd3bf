"""Adversarial training: PGD against its closed form, and what training against it does to a linear model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers.builders import cnn, linear, make_inputs, mlp
from torch import nn

from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.registry import get
from xaibench.models.networks import build_mlp
from xaibench.models.obtain import obtain
from xaibench.models.robust import RampedPGD, pgd
from xaibench.models.training import train

each_norm = pytest.mark.parametrize("norm", ["l2", "linf"])


def distances(moved: torch.Tensor, norm: str) -> torch.Tensor:
    flat = moved.flatten(1)
    return flat.norm(dim=1) if norm == "l2" else flat.abs().amax(dim=1)


def two_clouds(n: int = 200, *, seed: int = 0) -> Data:
    """Two classes at distance 2 along the first of four axes, with noise everywhere."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % 2
    inputs = 0.3 * rng.standard_normal((n, 4)).astype(np.float32)
    inputs[:, 0] += 2 * targets - 1
    return Data("table", inputs, targets, inputs[:50], targets[:50], class_names=("a", "b"))


@each_norm
@pytest.mark.parametrize("make", [mlp, cnn])
def test_pgd_stays_in_the_ball_and_raises_the_loss(norm: str, make: object) -> None:
    module, inputs = make((1, 8, 8)), make_inputs((1, 8, 8), 12)  # type: ignore[operator]
    targets = module(inputs).argmax(dim=1)
    found = pgd(module, inputs, targets, norm=norm, epsilon=0.5, steps=5)
    assert float(distances(found - inputs, norm).max()) <= 0.5 + 1e-5
    assert float(distances(found - inputs, norm).min()) > 0.25
    losses = [nn.functional.cross_entropy(module(x), targets, reduction="none") for x in (inputs, found)]
    assert bool((losses[1] > losses[0]).all())


@each_norm
def test_pgd_is_exact_on_a_linear_model_of_two_classes(norm: str) -> None:
    """The worst case there is epsilon along the slope of the margin, or along its sign."""
    module, inputs = linear((6,), 2), make_inputs((6,), 10)
    targets = torch.arange(10) % 2
    weight = module[1].weight.detach()  # type: ignore[index]
    slope = (weight[1 - targets] - weight[targets]).detach()
    direction = slope.sign() if norm == "linf" else slope / slope.norm(dim=1, keepdim=True)
    found = pgd(module, inputs, targets, norm=norm, epsilon=0.3, steps=4)
    torch.testing.assert_close(found, inputs + 0.3 * direction, rtol=1e-4, atol=1e-5)


@each_norm
def test_pgd_changes_nothing_and_draws_nothing(norm: str) -> None:
    module, inputs = cnn(), make_inputs((1, 8, 8), 6)
    module.train()
    module(inputs)
    state = copy.deepcopy(module.state_dict())
    before, kept, targets = torch.get_rng_state(), inputs.clone(), torch.zeros(6, dtype=torch.int64)
    first = pgd(module, inputs, targets, norm=norm, epsilon=0.2, steps=3)
    assert torch.equal(first, pgd(module, inputs, targets, norm=norm, epsilon=0.2, steps=3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(inputs, kept)
    assert module.training
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())  # batch norm too
    alone = pgd(module, inputs[2:3], targets[:1], norm=norm, epsilon=0.2, steps=3)
    torch.testing.assert_close(alone, first[2:3])


@each_norm
def test_no_radius_and_no_slope_leave_the_inputs(norm: str) -> None:
    inputs, targets = make_inputs((6,), 4), torch.zeros(4, dtype=torch.int64)
    assert torch.equal(pgd(linear((6,), 2), inputs, targets, norm=norm, epsilon=0.0, steps=3), inputs)
    flat = linear((6,), 2)
    nn.init.zeros_(flat[1].weight)  # type: ignore[index]
    assert torch.equal(pgd(flat, inputs, targets, norm=norm, epsilon=0.5, steps=3), inputs)


def test_the_radius_grows_over_the_first_half() -> None:
    inputs, targets = make_inputs((6,), 4), torch.zeros(4, dtype=torch.int64)
    adversary = RampedPGD("linf", 0.4, 2)
    moved = [adversary(linear((6,), 2), inputs, targets, done) - inputs for done in (0.0, 0.25, 0.5, 0.9)]
    assert [float(m.abs().max()) for m in moved] == pytest.approx([0, 0.2, 0.4, 0.4], abs=1e-6)


@pytest.mark.slow
def test_training_against_linf_gives_up_features_weaker_than_the_radius() -> None:
    """A column whose class means lie closer than the radius cannot help a robust linear model; a strong one can."""
    rng = np.random.default_rng(0)
    targets = np.arange(400) % 2
    sign = (2 * targets - 1)[:, None]
    inputs = (sign * np.array([1.0, 0.1, 0.1, 0.1]) + 0.05 * rng.standard_normal((400, 4))).astype(np.float32)
    data = Data("table", inputs, targets, inputs, targets, class_names=("a", "b"))

    def slopes(adversary: RampedPGD | None) -> torch.Tensor:
        def build() -> nn.Module:
            net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
            nn.init.zeros_(net[1].weight)
            return net

        net = train(
            build, data, seed=0, epochs=20, learning_rate=0.3, weight_decay=0, optimizer="sgd", adversary=adversary
        )
        weight = net[1].weight.detach()  # type: ignore[index]
        return weight[1] - weight[0]

    plain, robust = slopes(None), slopes(RampedPGD("linf", 0.3, 3))
    assert bool((plain[1:] / plain[0] > 0.05).all())
    assert bool((robust[1:].abs() / robust[0] < 0.02).all())
    assert float(robust[0]) > 0.5


@pytest.mark.parametrize("name", ["one_hidden", "robust_one_hidden", "robust_mlp", "mlp"])
def test_recipes_are_deterministic_and_leave_the_global_generator(name: str) -> None:
    data, spec = two_clouds(), get("model", name)
    params = spec.bind({"width": 8, "epochs": 2, **({"epsilon": 0.1} if name.startswith("robust") else {})})
    before = torch.get_rng_state()
    nets = [spec.function(data, seed=seed, **params) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not nets[0].training


def test_robust_recipes_share_the_networks_of_the_standard_ones() -> None:
    data = Data(
        "image", make_inputs((1, 8, 8), 20).numpy(), np.arange(20) % 2, make_inputs((1, 8, 8), 4).numpy(),
        np.arange(4) % 2, class_names=("a", "b"),
    )  # fmt: skip
    for name in ("mlp", "cnn"):
        plain, robust = (get("model", n).function(data, seed=0, epochs=1) for n in (name, f"robust_{name}"))
        assert str(plain) == str(robust)


def test_robust_weights_come_from_the_cache(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    data, spec = two_clouds(), get("model", "robust_one_hidden")
    assert isinstance(spec, ModelSpec)
    params = spec.bind({"width": 8, "epochs": 2})
    first = obtain(spec, params, data, cache=tmp_path)  # type: ignore[arg-type]
    monkeypatch.setattr("xaibench.models.robust.pgd", lambda *a, **k: pytest.fail("trained again"))
    again = obtain(spec, params, data, cache=tmp_path)  # type: ignore[arg-type]
    assert again.from_cache
    assert again.fingerprint == first.fingerprint


@pytest.mark.slow
def test_a_robust_network_withstands_what_misleads_a_standard_one() -> None:
    data = two_clouds()
    inputs, targets = (torch.from_numpy(a) for a in (data.train_inputs, data.train_targets))
    shares = {}
    for epsilon in (None, 0.5):
        adversary = None if epsilon is None else RampedPGD("l2", epsilon, 4)
        net = train(lambda: build_mlp(data, 32), data, seed=0, epochs=15, adversary=adversary)
        moved = pgd(net, inputs, targets, norm="l2", epsilon=0.5, steps=8)
        shares[epsilon] = float((net(moved).argmax(dim=1) == targets).float().mean())
    assert shares[0.5] >= shares[None]
    assert shares[0.5] > 0.9

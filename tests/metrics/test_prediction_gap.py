"""PGI and PGU against the folded normal distribution and literal loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import RGB, SHAPES, TABLE, linear, make_evaluation, make_inputs, make_view, mlp
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score


def run(name: str, ev: Evaluation, *, output: str | None = None, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev, output=output).values


def test_on_a_linear_model_the_gap_is_a_folded_normal() -> None:
    for shape in SHAPES.values():
        module = linear(shape)
        view = make_view(module, make_inputs(shape, 4))
        w = module[1].weight.detach()[view.targets].view(-1, *shape)  # type: ignore[index]
        maps = make_inputs(view.layout.feature_shape, 4, seed=2)
        ev = make_evaluation(view, maps, kind="contribution")
        k = view.layout.n_features // 2
        top = torch.zeros(4, view.layout.n_features).scatter(1, maps.abs().flatten(1).topk(k, dim=1).indices, 1)
        for name, noisy in (("pgi", top), ("pgu", 1 - top)):
            size = (w * view.layout.expand(noisy.view_as(maps))).flatten(1).norm(dim=1)
            found = run(name, ev, k=k, radius=0.3, n_samples=5000, output="logit")
            np.testing.assert_allclose(found, 0.3 * size * math.sqrt(2 / math.pi), rtol=0.05)


def test_it_is_the_mean_change_of_the_probability() -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 5))
    maps = make_inputs(TABLE, 5, seed=2)
    ev = make_evaluation(view, maps, kind="contribution")
    noise = 0.5 * view.draws("prediction_gap").normal((30, 6))
    top = torch.zeros(5, 6).scatter(1, maps.abs().topk(2, dim=1).indices, 1)
    clean = view.scores(view.inputs, output="probability")
    for name, noisy in (("pgi", top), ("pgu", 1 - top)):
        gaps = [(view.scores(view.inputs + noisy * noise[:, j], output="probability") - clean).abs() for j in range(30)]
        expected = torch.stack(gaps).mean(dim=0)
        np.testing.assert_allclose(run(name, ev, k=2, n_samples=30, radius=0.5), expected, rtol=1e-4, atol=1e-6)


def test_magnitude_decides_and_sign_does_not() -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 5))
    maps = make_inputs(TABLE, 5, seed=2)
    for name in ("pgi", "pgu"):
        a, b = (run(name, make_evaluation(view, m, kind="contribution"), n_samples=9) for m in (maps, maps.abs()))
        assert torch.equal(a, b)


def test_k_is_a_number_or_a_share() -> None:
    ev = make_evaluation(make_view(mlp(TABLE), make_inputs(TABLE, 5)))
    assert torch.equal(run("pgi", ev, k=2, n_samples=9), run("pgi", ev, k=0.25, n_samples=9))
    assert run("pgu", ev, k=6, n_samples=9).abs().max() < 1e-6
    for wrong in (7, 0, 1.0, -0.5):
        for name in ("pgi", "pgu"):
            with pytest.raises((UsageError, UnsupportedError)):
                run(name, ev, k=wrong)


def test_largest_slopes_have_the_largest_gap() -> None:
    view = make_view(linear(RGB), make_inputs(RGB, 20))
    w = view.gradients(view.inputs).square().sum(dim=1).sqrt()
    truth = make_evaluation(view, w, kind="slope")
    for seed in range(5):
        noise = make_evaluation(view, make_inputs((8, 8), 20, seed=seed), kind="contribution")
        assert (run("pgi", truth, output="logit") > run("pgi", noise, output="logit")).double().mean() > 0.8
        assert (run("pgu", truth, output="logit") < run("pgu", noise, output="logit")).double().mean() > 0.8

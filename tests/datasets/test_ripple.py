"""The attack with a closed form: outputs stay, gradients turn, smoothing shrinks the ripple as theory says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import make_view

from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import Explainer, explain, explain_function
from xaibench.core.pairs import Pair
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.datasets.ripple import ripple
from xaibench.models.written_formulas import ripple_function as written

A, K = 3.0, 50.0


def problem():
    data = ripple(seed=0, samples=60)
    view = make_view(
        written(data), torch.from_numpy(data.test_inputs), targets=torch.ones(60, dtype=torch.int64), output="logit"
    )
    pairs = {p.need: (Pair(inputs=torch.from_numpy(p.inputs)),) for p in data.pairs}
    return data, view, pairs


def similarity(metric: str, explainer: str, **params) -> torch.Tensor:
    _, view, pairs = problem()
    spec, of = get("explainer", explainer), get("metric", metric)
    function = explain_function(spec, spec.bind(params))
    again = Explainer(function, view, "explain")
    ev = Evaluation.of(view, attributions=explain(function, view, "explain"), kind="contribution", explainer=again,
                       pairs=pairs)  # fmt: skip
    return score(of, {}, replace(ev)).values


def test_the_output_stays_and_the_length_is_half_a_wave() -> None:
    data, view, pairs = problem()
    moved = pairs["input_pair.attacked"][0].inputs
    net = view.model.module
    with torch.no_grad():
        assert (net(moved.double()) - net(view.inputs.double())).abs().max() < 2e-6
    for need in ("input_pair.attacked", "input_pair.noise"):
        lengths = (pairs[need][0].inputs - view.inputs).norm(dim=1)
        torch.testing.assert_close(lengths, torch.full((60,), math.pi / K), rtol=1e-3, atol=1e-5)
    w, u = np.asarray(data.facts["w"]), np.asarray(data.facts["u"])
    assert [w @ w, u @ u, w @ u] == pytest.approx([1, 1, 0], abs=1e-12)


def test_the_gradient_turns_round_and_noise_does_not_turn_it() -> None:
    turned = similarity("attack_similarity", "gradient")
    torch.testing.assert_close(turned, torch.full((60,), (1 - A**2) / (1 + A**2)), rtol=0, atol=1e-4, check_dtype=False)
    assert similarity("noise_similarity", "gradient").mean() > 0.99


@pytest.mark.parametrize("radius", [0.01, 0.02, 0.04])
def test_smoothing_shrinks_the_ripple_as_theory_says(radius: float) -> None:
    """Along u SmoothGrad has A exp(-k^2 s^2 / 2), within four standard errors."""
    data, view, _ = problem()
    spec = get("explainer", "smoothgrad")
    maps = explain(explain_function(spec, spec.bind({"radius": radius, "n_samples": 400})), view, "explain").double()
    ripples = (maps @ torch.from_numpy(np.asarray(data.facts["u"]))).numpy() / A
    theory = math.exp(-(K**2) * radius**2 / 2)
    error = ripples.std(ddof=1) / math.sqrt(len(ripples))
    assert abs(ripples.mean() - theory) <= 4 * error
    along = (maps @ torch.from_numpy(np.asarray(data.facts["w"]))).numpy()
    np.testing.assert_allclose(along, 1, atol=1e-4)


def test_wide_smoothing_and_removal_are_not_fooled() -> None:
    assert similarity("attack_similarity", "smoothgrad", radius=0.1, n_samples=200).mean() > 0.9
    assert similarity("attack_similarity", "occlusion").mean() > 0.8

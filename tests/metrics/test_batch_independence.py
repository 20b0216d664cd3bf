"""Scores of comparisons do not depend on the batch, where outputs are equal but for rounding or nearly so.

Networks that hardly move, or not at all, have outputs that differ by what rounding adds, and that
changes with the size of a batch, its order and the processor.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.builders import SERIES, TABLE, cnn, make_evaluation, make_inputs, make_view, mlp
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.pairs import Pair
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth

COMPARING = [
    "mu_fidelity", "faithfulness_correlation", "sensitivity_n", "slope_test", "recourse_test", "spurious_test",
    "monotonicity", "monotonicity_correlation", "faithfulness_estimate", "non_sensitivity",
]  # fmt: skip
FLAT = ["as it is", "small inputs", "hardly moves", "saturated", "dead features", "equal features", "all the same"]


def network(flat: str, shape: tuple[int, ...], seed: int) -> nn.Module:
    """A network that is flat in some way."""
    net = cnn(shape, seed=seed) if len(shape) == 3 else mlp(shape, seed=seed)
    first, last = net[1] if len(shape) < 3 else net[0], net[-1]
    with torch.no_grad():
        if flat == "hardly moves":
            last.weight.mul_(1e-5)
            last.bias.fill_(1.0)
        elif flat == "saturated":
            last.weight.mul_(80)
        elif flat == "dead features" and len(shape) < 3:
            first.weight[:, ::2] = 0
        elif flat == "equal features" and len(shape) < 3:
            first.weight[:] = first.weight[:, :1]
        elif flat == "all the same":
            last.weight.zero_()
    return net


def flat_view(flat: str, seed: int, batch_size: int | None = None) -> ProblemView:
    shape = (TABLE, (1, 4, 4), SERIES, (3, 4, 4))[seed % 4]
    scale = 1e-5 if flat == "small inputs" else 1.0
    inputs, background = (scale * make_inputs(shape, n, seed=seed + n) for n in (7, 20))
    if flat == "equal features":
        inputs, background = inputs.sign(), background.sign()
    output = "probability" if flat == "saturated" else None
    return make_view(network(flat, shape, seed), inputs, background=background, batch_size=batch_size, output=output)


def maps_of(view: ProblemView, seed: int) -> Tensor:
    if seed % 3 == 0:
        return view.layout.reduce(view.gradients(view.inputs))
    noise = make_inputs(view.layout.feature_shape, len(view), seed=seed)
    return noise.round() if seed % 3 == 1 else noise


def values_of(name: str, view: ProblemView, maps: Tensor, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    small = {k: v for k, v in {"n_subsets": 40, "n_samples": 3}.items() if k in spec.parameters}
    return score(spec, spec.bind({**small, **params}), make_evaluation(view, maps, kind="contribution")).values


def check_company(name: str, flat: str, seed: int, **params: object) -> None:
    """Batches of 1, 5 and 64, another order of the samples, and each alone: the same scores, undefined ones too."""
    view = flat_view(flat, seed)
    maps = maps_of(view, seed)
    whole = values_of(name, view, maps, **params)
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])
    alone = [values_of(name, view.take(slice(i, i + 1)), maps[i : i + 1], **params) for i in range(7)]
    found = [values_of(name, flat_view(flat, seed, size), maps, **params) for size in (1, 5, 64)]
    for other in (*found, torch.cat(alone), values_of(name, view.take(order), maps[order], **params)[order.argsort()]):
        np.testing.assert_allclose(other, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("flat", FLAT)
@pytest.mark.parametrize("name", COMPARING)
def test_scores_of_flat_networks_see_neither_neighbours_nor_batches(name: str, flat: str) -> None:
    check_company(name, flat, FLAT.index(flat) + COMPARING.index(name))


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("flat", FLAT)
@pytest.mark.parametrize("name", COMPARING)
def test_many_seeds_of_flat_networks(name: str, flat: str) -> None:
    for seed in range(20):
        check_company(name, flat, seed)


@pytest.mark.parametrize("seed", [pytest.param(s, marks=[pytest.mark.slow] if s > 1 else []) for s in range(12)])
@pytest.mark.parametrize("radius", [1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("name", ["slope_test", "recourse_test", "spurious_test"])
def test_steps_that_hardly_move_the_output_see_neither(name: str, radius: float, seed: int) -> None:
    """Inputs that differ by a hundred-thousandth have outputs that do by about what float32 rounds away."""
    check_company(name, "as it is", seed, radius=radius)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("flat", FLAT)
def test_processors_without_vectors_give_the_same_scores(flat: str, tmp_path: Path) -> None:
    script = (
        "import sys, torch, pathlib\nfrom metrics.test_batch_independence import *\n"
        "def both(n, s):\n    v = flat_view(sys.argv[1], s)\n"
        "    return values_of(n, v, maps_of(v, 3 * s + 1 + s % 2))\n"
        "torch.save({(n, s): both(n, s)"
        " for n in COMPARING for s in range(8)}, sys.argv[2])"
    )
    tests = str(Path(__file__).parents[1])
    found = {}
    for capability in ("default", "avx2"):
        path = tmp_path / capability
        paths = os.pathsep.join([tests, *filter(None, sys.path)])
        env = {**os.environ, "ATEN_CPU_CAPABILITY": capability, "PYTHONPATH": paths}
        subprocess.run([sys.executable, "-c", script, flat, str(path)], env=env, check=True)
        found[capability] = torch.load(path)
    for key, values in found["default"].items():
        np.testing.assert_allclose(values, found["avx2"][key], rtol=1e-4, atol=1e-5, err_msg=str(key))


def test_repeated_subsets_tie_exactly() -> None:
    """Six features have six subsets of one: a hundred drawn ones are a hundred ties, on both sides."""
    view = flat_view("as it is", 0)
    maps = maps_of(view, 2)
    found = values_of("mu_fidelity", view, maps)
    fill = view.removed("mean")
    for row in range(7):
        gone = view.draws("faithfulness_correlation/1").subsets(6, 1, (40,))[row]
        effect = [
            float(view.scores(torch.where(g, fill[row], view.inputs[row])[None], slice(row, row + 1)))
            for g in torch.eye(6).bool()
        ]
        which = gone.double().argmax(dim=1)
        ranks = [np.unique(v, return_inverse=True)[1][which] for v in (maps[row].numpy(), -np.array(effect))]
        from scipy.stats import spearmanr

        assert found[row].item() == pytest.approx(spearmanr(*ranks).statistic, abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_maps_that_tie_but_for_rounding_are_a_half_of_dependence(seed: int) -> None:
    """The same maps from batches of other compositions: a relative error of 1e-7 at every place."""
    rng, n, shape = np.random.default_rng(seed), 40, (1, 6, 6)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2)).eval()
    inputs = make_inputs(shape, n, seed=seed)
    without = inputs + (1e-7 if seed % 2 else 0.1)
    view = make_view(net, inputs)
    base = torch.from_numpy(rng.random((n, 6, 6)).astype(np.float32)) * 10.0 ** rng.integers(-6, 6)
    if seed % 3 == 0:
        base = base * 1e-3 + float(base.max())  # a small range of large values
    region = torch.from_numpy(rng.random((n, 6, 6)) < 0.4)
    region[:, 0, 0] = True
    pair = Pair(inputs=without, labels=net(without).argmax(dim=1))
    shaken = base * torch.from_numpy(1 + 1e-7 * rng.standard_normal((n, 6, 6))).float()

    def explain(v: ProblemView, stream: str) -> Tensor:
        return base if torch.equal(v.inputs, inputs) else shaken

    truth = Truth("model", None, None, region)
    view = replace(view, labels=view.targets)
    ev = make_evaluation(view, kind="saliency", function=explain, truth=truth, pairs={"input_pair.without": (pair,)})
    for name in ("input_dependence", "input_dependence_sign"):
        spec = get("metric", name)
        assert isinstance(spec, MetricSpec)
        values = score(spec, spec.bind({}), ev).values
        defined = values[torch.isfinite(values)]
        assert set(defined.tolist()) <= {0.5}
        if name == "input_dependence":
            assert len(defined) == n
        elif seed % 2:
            assert len(defined) < n // 2  # the object moves the output by nothing but rounding


@pytest.mark.parametrize("name", ["accumulated_local_effects", "partial_dependence"])
@pytest.mark.parametrize("seed", [pytest.param(s, marks=[pytest.mark.slow] if s % 4 > 1 else []) for s in range(8)])
def test_effects_over_narrow_cells_do_not_depend_on_the_batch(name: str, seed: int) -> None:
    """Cells a hundred-thousandth wide turn a rounding error of 1e-7 into a slope of .01."""
    from helpers.explainer_cases import run

    shape = (TABLE, SERIES, (1, 4, 4), (3, 4, 4))[seed % 4]
    scale = (1.0, 1e-3, 1e-5)[seed % 3]
    net = cnn(shape, seed=seed) if len(shape) == 3 else mlp(shape, seed=seed)
    inputs, background = (1 + scale * make_inputs(shape, n, seed=seed + n) for n in (5, 20))
    sizes = (1, 7, None)
    one, *others = (run(name, make_view(net, inputs, background=background, batch_size=b), steps=6) for b in sizes)
    for other in others:
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-7)


def test_float64_evaluations_are_counted_for_the_model_itself() -> None:
    view = flat_view("small inputs", 0)
    assert isinstance(view.model, TorchPredictor)
    before = view.model.n_evaluations
    values_of("slope_test", view, maps_of(view, 1))
    assert view.model.n_evaluations - before == 7 * (math.prod(TABLE) + 1)

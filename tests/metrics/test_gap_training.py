"""IDSDS and F-Fidelity where the model that was trained with gaps is known, and its effects are a formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.builders import make_data, make_evaluation, make_view
from helpers.refit import Refit
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score

SIDE, N = 8, 6
FREE = {"min_kept": 0.0, "max_lost": 1.0}


def linear(seed: int) -> nn.Sequential:
    """Logits 0 and w.x."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 2, bias=False))
    weights = torch.randn(SIDE * SIDE, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        module[1].weight.copy_(torch.stack([torch.zeros_like(weights), weights]))
    return module.eval()


class AnotherLinear(Refit):
    """What is trained with gaps has other weights; the inputs that it was trained on are kept."""

    seen: Data | None = None

    def build(self, data: Data, seed: int) -> nn.Module:
        type(self).seen = data
        return linear(1)


def evaluation(function: Any) -> Evaluation:
    inputs = torch.randn(N, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(5)) + 2
    view = make_view(linear(0), inputs, targets=torch.ones(N, dtype=torch.int64))
    object.__setattr__(view, "labels", torch.ones(N, dtype=torch.int64))
    data = make_data((1, SIDE, SIDE), n_classes=2)
    return make_evaluation(view, kind="contribution", function=function, retraining=AnotherLinear(view, data))


def run(name: str, ev: Evaluation, **params: Any) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind({**FREE, **params}), ev).values


def terms(view: ProblemView, stream: str = "") -> Tensor:
    """The exact contributions: input times gradient of a linear model."""
    return view.layout.reduce(view.inputs * view.gradients(view.inputs))


def test_exact_contributions_of_the_model_that_is_asked_are_in_the_order_of_the_losses() -> None:
    assert run("idsds", evaluation(terms)).tolist() == pytest.approx([1.0] * N)
    assert run("idsds", evaluation(lambda view, stream: -terms(view))).tolist() == pytest.approx([-1.0] * N)


def test_the_first_model_is_not_the_one_that_is_explained() -> None:
    ev = evaluation(terms)
    known = ev.attributions.clone()
    assert run("idsds", evaluation(lambda view, stream: known)).abs().max() < 1.0 - 1e-6


def test_half_of_the_training_images_lose_one_cell() -> None:
    run("idsds", evaluation(terms), cells=4)
    assert AnotherLinear.seen is not None
    clean, holed = make_data((1, SIDE, SIDE), n_classes=2).train_inputs, AnotherLinear.seen.train_inputs
    lost = (holed == 0) & (clean != 0)
    sizes = lost.reshape(len(lost), -1).sum(axis=1)
    assert set(sizes.tolist()) == {0, 4}
    assert 0.35 < (sizes > 0).mean() < 0.65
    one = lost[sizes > 0][0, 0]
    rows, columns = one.nonzero()
    assert (rows.max() - rows.min(), columns.max() - columns.min()) == (1, 1)


def fidelity_of(order: Tensor, inputs: Tensor, weights: Tensor, size: float, probability: float) -> Tensor:
    """Mean loss of probability over all subsets of a top set of two features, exactly."""
    top = order[:, : round(size * order.shape[1])]
    clean = torch.sigmoid(inputs @ weights)
    parts = (inputs * weights).gather(1, top)
    assert top.shape[1] == 2
    loss = torch.zeros(len(inputs))
    for drop in ((0, 0), (0, 1), (1, 0), (1, 1)):
        chance = probability ** sum(drop) * (1 - probability) ** (2 - sum(drop))
        changed = torch.sigmoid(inputs @ weights - parts @ torch.tensor([float(d) for d in drop]))
        loss += chance * (clean - changed)
    return loss


def test_f_fidelity_is_the_mean_over_subsets() -> None:
    size = 2 / SIDE**2
    ev = evaluation(terms)
    found = run("f_fidelity_plus", ev, sizes=(size,), alpha=0.5, beta=0.9, n_samples=4000)
    inputs, weights = ev.inputs.flatten(1), linear(1)[1].weight[1].detach()
    order = ev.attributions.flatten(1).argsort(dim=1, descending=True)
    expected = fidelity_of(order, inputs, weights, size, 0.5)
    assert found.tolist() == pytest.approx(expected.tolist(), abs=0.02)


def test_no_more_is_removed_than_the_model_was_trained_to_take() -> None:
    ev = evaluation(terms)
    few = run("f_fidelity_plus", ev, sizes=(0.5,), alpha=0.5, beta=0.01, n_samples=200)
    many = run("f_fidelity_plus", ev, sizes=(0.5,), alpha=0.5, beta=0.5, n_samples=200)
    assert few.abs().mean() < many.abs().mean()
    assert AnotherLinear.seen is not None
    clean, holed = make_data((1, SIDE, SIDE), n_classes=2).train_inputs, AnotherLinear.seen.train_inputs
    share = ((holed == 0) & (clean != 0)).reshape(len(clean), -1).mean(axis=1)
    assert share.max() < 0.5 + 0.2
    assert share.mean() == pytest.approx(0.25, abs=0.05)


def test_what_lies_outside_is_removed_for_minus_and_a_better_order_loses_less() -> None:
    good = evaluation(lambda view, stream: view.inputs[:, 0] * linear(1)[1].weight[1].detach().view(SIDE, SIDE))
    bad = evaluation(lambda view, stream: -view.inputs[:, 0] * linear(1)[1].weight[1].detach().view(SIDE, SIDE))
    assert run("f_fidelity_minus", good).mean() < run("f_fidelity_minus", bad).mean()
    assert run("f_fidelity_plus", good).mean() > run("f_fidelity_plus", bad).mean()


def test_a_model_that_is_no_good_after_the_training_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="trained with gaps, the model has an accuracy of"):
        run("idsds", evaluation(terms), min_kept=1.0, max_lost=0.0)

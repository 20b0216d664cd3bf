"""Comprehensiveness, sufficiency and log odds against sums of contributions and literal loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, SHAPES, TABLE, linear, make_evaluation, make_inputs, make_view, mlp
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import CallablePredictor
from xaibench.core.registry import get
from xaibench.core.scoring import score


def run(name: str, ev: Evaluation, *, output: str | None = None, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev, output=output).values


@pytest.mark.parametrize("masker", ["zero", "mean", "marginal"])
@pytest.mark.parametrize("kind", SHAPES)
def test_on_a_linear_model_they_are_sums_of_contributions(kind: str, masker: str) -> None:
    shape = SHAPES[kind]
    module, inputs = linear(shape), make_inputs(shape, 5)
    view = make_view(module, inputs, background=make_inputs(shape, 9, seed=1) + 1)
    w = module[1].weight.detach()[view.targets].view(-1, *shape)  # type: ignore[index]
    parts = view.layout.reduce(w * (inputs - view.removed(masker)))
    ev = make_evaluation(view, parts, kind="contribution")
    shares = (0.2, 0.5)
    ranked = parts.flatten(1).sort(dim=1, descending=True).values
    counts = [max(1, round(s * view.layout.n_features)) for s in shares]
    top = torch.stack([ranked[:, :k].sum(dim=1) for k in counts]).mean(dim=0)
    rest = torch.stack([ranked[:, k:].sum(dim=1) for k in counts]).mean(dim=0)
    chosen = {"shares": shares, "masker": masker, "output": "logit"}
    np.testing.assert_allclose(run("comprehensiveness", ev, **chosen), top, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run("sufficiency", ev, **chosen), rest, rtol=1e-4, atol=1e-4)


def test_they_are_what_their_definitions_say() -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 4))
    ev = make_evaluation(view, kind="contribution")
    clean, removed, kept, logs = view.scores(view.inputs, output="probability"), [], [], []
    for share in (0.01, 0.05, 0.1, 0.2, 0.5):
        k = max(1, round(share * 64))
        top = torch.zeros(4, 64).scatter(1, ev.attributions.flatten(1).topk(k, dim=1).indices, 1).view(4, *IMAGE)
        without, alone = (view.scores(view.inputs * part, output="probability") for part in (1 - top, top))
        removed.append(clean - without)
        kept.append(clean - alone)
        logs.append(without.log() - clean.log())
    for name, found in (("comprehensiveness", removed), ("sufficiency", kept), ("log_odds", logs)):
        expected = torch.stack(found).mean(dim=0)
        np.testing.assert_allclose(run(name, ev, masker="zero"), expected, rtol=1e-4, atol=1e-5)


def test_all_features_are_the_masked_sample_and_the_whole_one() -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 5))
    ev = make_evaluation(view)
    drop = view.scores(view.inputs, output="probability") - view.scores(view.baseline("mean"), output="probability")
    np.testing.assert_allclose(run("comprehensiveness", ev, shares=[1.0]), drop, rtol=1e-5, atol=1e-6)
    assert run("sufficiency", ev, shares=[1.0]).tolist() == [0] * 5


def test_points_of_a_curve_are_not_evaluated_again() -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 4))
    ev = make_evaluation(view)
    run("abpc", ev, steps=64)
    before = view.model.n_evaluations
    for name in ("comprehensiveness", "sufficiency", "log_odds"):
        run(name, ev)
    assert view.model.n_evaluations == before


def test_a_probability_of_zero_counts_as_a_millionth() -> None:
    def step(inputs: np.ndarray) -> np.ndarray:
        sure = (inputs[:, :1] > 0).astype(np.float32)
        return np.concatenate([sure, 1 - sure], axis=1)

    inputs = torch.ones(2, 3)
    view = make_view(step, inputs, targets=torch.tensor([0, 1]))
    ev = make_evaluation(view, torch.tensor([[3.0, 2, 1]] * 2), kind="contribution")
    least = np.log(1e-6)
    np.testing.assert_allclose(run("log_odds", ev, masker="zero", shares=[0.3]), [least, -least], rtol=1e-5)


def test_log_odds_need_probabilities() -> None:
    values = CallablePredictor(lambda x: x.sum(axis=1), "value")
    view = make_view(values, make_inputs(TABLE, 3), targets=torch.zeros(3, dtype=torch.int64))
    ev = make_evaluation(view, view.inputs, kind="contribution")
    with pytest.raises(UnsupportedError, match="probability"):
        run("log_odds", ev)
    assert bool(torch.isfinite(run("comprehensiveness", ev)).all())
    logits = make_evaluation(make_view(mlp(TABLE), make_inputs(TABLE, 3)))
    assert torch.equal(run("log_odds", logits), run("log_odds", replace(logits, output="probability")))
    for output in ("logit", "margin"):
        with pytest.raises(UnsupportedError, match=f"not of a {output}"):
            run("log_odds", logits, output=output)


@pytest.mark.parametrize("shares", [[], [0.0], [0.5, 1.5], [-0.1]])
def test_shares_are_checked(shares: list[float]) -> None:
    ev = make_evaluation(make_view(mlp(TABLE), make_inputs(TABLE, 3)))
    for name in ("comprehensiveness", "sufficiency", "log_odds"):
        with pytest.raises(UsageError, match="shares"):
            run(name, ev, shares=shares)

"""Label randomisation with a model that learns any labels by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import gradient, make_evaluation, make_view
from helpers.refit import Refit
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import ExplainFunction
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score

F, N = 24, 40


class Memory(nn.Module):
    """Votes of the training samples, by distance."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.register_buffer("rows", torch.from_numpy(data.train_inputs))
        self.register_buffer("votes", torch.eye(3)[torch.from_numpy(data.train_targets)] - 1 / 3)

    def forward(self, inputs: Tensor) -> Tensor:
        near: Tensor = torch.exp(-(inputs.unsqueeze(1) - self.rows).square().sum(dim=2) / 8)
        return near @ self.votes


class LearnsByHeart(Refit):
    def build(self, data: Data, seed: int) -> nn.Module:
        return Memory(data).eval()


def clusters() -> Data:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, F))
    y = np.arange(240) % 3
    x = (centres[y] + 0.8 * rng.standard_normal((240, F))).astype(np.float32)
    return Data("table", x[N:], y[N:], x[:N], y[:N])


def evaluation(function: ExplainFunction = gradient, retraining: type[Refit] = LearnsByHeart) -> Evaluation:
    data = clusters()
    view = make_view(Memory(data).eval(), torch.from_numpy(data.test_inputs))
    return make_evaluation(view, function=function, retraining=retraining(view, data))


def run(ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", "label_randomisation")
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def test_what_the_model_learned_from_labels_goes_with_them() -> None:
    scores = run(evaluation())
    assert scores.shape == (N,)
    assert abs(float(scores.mean())) < 0.2


def test_maps_that_do_not_depend_on_the_labels_stay() -> None:
    assert run(evaluation(lambda view, stream: view.inputs)).tolist() == [pytest.approx(1)] * N


def test_labels_are_permuted_by_the_seed_and_their_counts_stay() -> None:
    seen = []

    class Recorder(LearnsByHeart):
        def build(self, data: Data, seed: int) -> nn.Module:
            seen.append(data)
            return super().build(data, seed)

    ev = evaluation(retraining=Recorder)
    first = run(ev)
    assert torch.equal(first, run(ev))
    whole = clusters()
    assert len(seen) == 1
    assert np.array_equal(seen[0].train_inputs, whole.train_inputs)
    assert np.array_equal(np.bincount(seen[0].train_targets), np.bincount(whole.train_targets))
    assert 0.2 < (seen[0].train_targets == whole.train_targets).mean() < 0.5
    run(ev, similarity="pearson")
    assert len(seen) == 1


def test_a_model_that_did_not_learn_them_is_refused_and_the_message_says_how_much_it_did() -> None:
    ev = evaluation(retraining=Refit)
    with pytest.raises(UnsupportedError, match=r"learned \d\d\.\d% of the permuted labels, not 95%"):
        run(ev)
    assert bool(torch.isfinite(run(ev, min_accuracy=0.2)).all())


def test_rows_beyond_the_limit_are_left_out() -> None:
    sizes = []

    class Recorder(LearnsByHeart):
        def build(self, data: Data, seed: int) -> nn.Module:
            sizes.append(len(data.train_inputs))
            return super().build(data, seed)

    run(evaluation(retraining=Recorder), max_train=50)
    assert sizes == [50]


def test_targets_stay_those_of_the_samples() -> None:
    asked = []

    def recorded(view: ProblemView, stream: str) -> Tensor:
        asked.append(view.targets)
        return gradient(view)

    ev = evaluation(recorded)
    run(ev)
    assert all(torch.equal(t, ev.targets) for t in asked)

"""Metrics under test: edits of the truth are what they are said to be, and a known fidelity has a known order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import make_evaluation, make_inputs, make_view
from scipy.stats import spearmanr
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.metrics.sanity.edited_truths import edited_sets

N, F = 4, 24


class CountsTrue(nn.Module):
    """Two values: how many of the first six columns are 1, and how many of the others."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, :6].sum(dim=1), x[:, 6:].sum(dim=1)], dim=1)


def evaluation() -> Evaluation:
    view = make_view(CountsTrue(), 1 + 0.01 * make_inputs((F,), N), targets=torch.zeros(N, dtype=torch.long))
    mask = (torch.arange(F) < 6).expand(N, F)
    return make_evaluation(view, make_inputs((F,), N, seed=1), kind="contribution", truth=Truth("model", mask))


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev, output="logit").values


def test_sets_are_the_truth_with_so_many_features_added_and_removed() -> None:
    ev = evaluation()
    truth = ev.truth.mask  # type: ignore[union-attr]
    sets, distance = edited_sets(ev, truth, (0, 4, 30), (0, 5))
    assert torch.equal(sets[:, 0], truth)
    assert distance.tolist() == [[0, 5, 4, 9, 18, 23]] * N
    assert torch.equal((sets ^ truth.unsqueeze(1)).sum(dim=2), distance)
    assert torch.equal((sets & ~truth.unsqueeze(1)).sum(dim=2), torch.tensor([[0, 0, 4, 4, 18, 18]]).expand(N, 6))
    # What is taken away at a small number is taken away at a larger one: steps of one ladder.
    more, _ = edited_sets(ev, truth, (0,), (1, 3))
    assert not (more[:, 1] & ~more[:, 0]).any()


def test_the_correlation_is_scipys_over_scores_of_the_sets() -> None:
    ev = evaluation()
    truth = ev.truth.mask  # type: ignore[union-attr]
    sets, distance = edited_sets(ev, truth, (0, 4, 12), (0, 1, 3, 5))
    f1 = 2 * (sets & truth.unsqueeze(1)).sum(2) / (sets.sum(2) + 6)
    clean = ev.scores(ev.inputs, output="logit")
    plus = torch.stack([clean - ev.scores(ev.inputs * ~s, output="logit") for s in sets.unbind(1)], dim=1)
    minus = torch.stack([clean - ev.scores(ev.inputs * s, output="logit") for s in sets.unbind(1)], dim=1)
    plain = {"alpha1": 1.0, "alpha2": 0.0}
    for fidelity, values in (("plus", plus), ("minus", -minus), ("delta", plus - minus)):
        for against, wanted in (("edit_distance", -distance), ("f1", f1)):
            expected = [spearmanr(values[i], wanted[i]).statistic for i in range(N)]
            found = run("edit_correlation", ev, fidelity=fidelity, against=against, **plain)
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_robust_removal_of_an_additive_model_orders_by_true_features() -> None:
    """E of fid+ is alpha times the number of true features in the set, so that only removed ones count."""
    ev = evaluation()
    found = run("edit_correlation", ev, fidelity="plus", alpha1=0.5, added=(0,), removed=(0, 2, 4, 6), n_samples=400)
    np.testing.assert_allclose(found, np.ones(N), atol=1e-6)


@pytest.mark.parametrize(("trivial", "plus"), [("empty", 6.0), ("full", 0.0)])
def test_the_truth_against_nothing_and_everything(trivial: str, plus: float) -> None:
    ev = evaluation()
    found = run("truth_over_trivial", ev, fidelity="plus", trivial=trivial, alpha1=1.0)
    np.testing.assert_allclose(found, np.full(N, plus), atol=0.1)


def test_no_score_without_a_truth_or_a_choice() -> None:
    ev = evaluation()
    mask = ev.truth.mask.clone()  # type: ignore[union-attr]
    mask[0], mask[2] = False, True
    ev = make_evaluation(ev, ev.attributions, kind="contribution", truth=Truth("model", mask))  # type: ignore[arg-type]
    for name in ("edit_correlation", "truth_over_trivial"):
        assert torch.isnan(run(name, ev)).tolist() == [True, False, True, False]


def test_it_is_the_same_for_every_explanation() -> None:
    ev = evaluation()
    other = ev.with_attributions(-ev.attributions, "contribution")
    np.testing.assert_array_equal(run("edit_correlation", ev), run("edit_correlation", other))

"""Eight features in three hidden units: how many are represented, and who says which."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core.errors import UnsupportedError
from xaibench.functions.superposition.many_features import (
    LinearAutoencoder,
    mean_errors,
    sparse_inputs,
    superposition_of_eight,
)


@cache
def cases() -> tuple[xb.Case, ...]:
    return superposition_of_eight(seed=12)


def test_features_kept_as_they_are_have_no_error_and_the_others_their_second_moment() -> None:
    inputs = sparse_inputs(50_000, 8, 0.3, np.random.default_rng(0))
    assert float((inputs > 0).double().mean()) == pytest.approx(0.3, abs=0.01)
    net = LinearAutoencoder(torch.eye(8).double()[:, :3], torch.zeros(8).double())
    errors = mean_errors(net, inputs)
    assert errors[:3].tolist() == [0, 0, 0]
    assert errors[3:].tolist() == pytest.approx([0.3 / 3] * 5, rel=0.05)


@pytest.mark.slow
def test_more_features_are_represented_the_fewer_are_there_at_once() -> None:
    assert not any(case.failed_gates for case in cases())
    for counts in (
        [case.parameters["large weights"] for case in cases()],
        [int(case.hidden["represented"].sum()) for case in cases()],
    ):
        assert counts == sorted(counts, reverse=True)
        assert counts[0] == 8
        assert counts[-1] == 3
    dense = cases()[-1].truth.tensors["values"]
    assert dense.argsort(descending=True)[:3].sort().values.tolist() == [0, 1, 2], "the most important ones"


@pytest.mark.slow
def test_dropping_a_feature_and_its_weights_say_what_is_represented() -> None:
    for case in cases():
        for method in ("weight_size", "feature_dropping"):
            answer = xb.explain_case(method, case)
            assert isinstance(answer, xb.Scores)
            three = set(answer.values.argsort(descending=True)[: int(case.hidden["represented"].sum())].tolist())
            assert three == set(torch.nonzero(case.hidden["represented"])[:, 0].tolist()), (method, case.name)
    with pytest.raises(UnsupportedError, match="no closed form for 8 features"):
        xb.explain_case("closed_form_prediction", cases()[0])

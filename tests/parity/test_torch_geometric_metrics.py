"""Characterisation against torch_geometric, which divides by 0 where a fidelity is 0; here the score is 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.graphs import SumNet, lists, sample

import xaibench as xb

metric = pytest.importorskip("torch_geometric.explain.metric")

NET = SumNet()
W, CONTEXT = lists(sample())
GIVEN: dict[str, Any] = {"model": NET, "inputs": W, "context": CONTEXT, "features": "edges", "targets": [1] * 5}
MAPS = np.random.default_rng(4).normal(size=(5, 9)).astype(np.float32)


def score(name: str, **params: Any) -> np.ndarray:
    return np.asarray(xb.score(name, attributions=MAPS, **GIVEN, **params))


def test_characterization_is_the_same_where_both_are_defined() -> None:
    plus, minus = score("fid_plus", share=0.5), score("fid_minus", share=0.5)
    found = score("characterization", share=0.5)
    inside = (plus > 0) & (plus < 1) & (minus > 0) & (minus < 1)
    theirs = metric.characterization_score(torch.from_numpy(plus[inside]), torch.from_numpy(minus[inside]))
    np.testing.assert_allclose(found[inside], theirs, rtol=1e-5)
    assert inside.any()
    with pytest.raises(ZeroDivisionError):
        metric.characterization_score(0.0, 0.5)

"""Which samples of a problem a run stores for reports, and that curves cost nothing beside their scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.builders import cnn, make_data, make_evaluation, make_view, mlp

from xaibench.api.examples import curve_measure
from xaibench.api.shown_series import time_first
from xaibench.core import registry, scoring
from xaibench.core.data import Data
from xaibench.core.features import infer_layout
from xaibench.core.problem import Problem
from xaibench.core.truth import Truth
from xaibench.execution import stored_examples
from xaibench.execution.stored_examples import MAX_EXAMPLES, examples_of
from xaibench.store import Store, StoredCurve
from xaibench.store.examples import CURVED


def problem_of(n: int, **data: Any) -> tuple[Problem, Any]:
    made = make_data(n=max(n, 30))
    made = replace(made, class_names=("cat", "dog", "owl"), **data)
    inputs = torch.from_numpy(made.test_inputs[:n])
    view = make_view(cnn(), inputs, targets=torch.zeros(n, dtype=torch.int64))
    samples = replace(view, truth=None)
    mask = torch.from_numpy(np.arange(n * 64).reshape(n, 8, 8) % 3 == 0)
    return Problem("d", "m", samples, "fingerprint", frozenset(), Truth("model", mask)), made


def test_all_samples_are_stored_where_they_fit() -> None:
    problem, data = problem_of(10)
    found = examples_of(problem, data)
    assert found is not None
    assert found.index == tuple(range(10))
    assert found.n_samples == 10
    assert torch.equal(found.inputs, problem.samples.inputs)
    assert found.truth is not None
    assert found.truth.dtype == torch.bool
    assert found.targets == ("cat",) * 10
    assert set(found.labels) <= {"cat", "dog", "owl"}


def test_of_many_samples_some_are_drawn_and_always_the_same() -> None:
    problem, data = problem_of(MAX_EXAMPLES + 20)
    first, second = examples_of(problem, data), examples_of(problem, data)
    assert first is not None
    assert second is not None
    assert first.index == second.index
    assert len(set(first.index)) == MAX_EXAMPLES
    assert list(first.index) == sorted(first.index)
    assert torch.equal(first.inputs, problem.samples.inputs[list(first.index)])


@pytest.mark.parametrize(("limit", "n"), [(0, None), (320, 1), (1000, 3)])
def test_bytes_are_limited(monkeypatch: pytest.MonkeyPatch, limit: int, n: int | None) -> None:
    monkeypatch.setattr(stored_examples, "MAX_BYTES", limit)  # a sample is 256 bytes of inputs and 64 of truth
    problem, data = problem_of(10)
    found = examples_of(problem, data)
    assert (None if found is None else len(found.index)) == n


@pytest.mark.parametrize("name", CURVED)
def test_the_curve_of_a_score_evaluates_nothing_again(name: str) -> None:
    spec = registry.get("metric", name)
    ev = make_evaluation(make_view(cnn(), torch.randn(4, 1, 8, 8, generator=torch.manual_seed(0))))
    params = spec.bind({"masker": "zero"})
    scoring.score(spec, params, ev)
    before = ev.model.n_evaluations
    assert scoring.curve(spec, params, ev).shape[0] == 4
    assert ev.model.n_evaluations == before


def test_curves_come_back_as_they_were_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    lines = [torch.linspace(0, 1, 5) * k for k in range(4)]
    lines[2][0] = torch.nan
    store.save_curve("ab12", StoredCurve(*lines, n_samples=7, output="probability"))  # type: ignore[misc]
    found = store.load_curve("ab12")
    assert found is not None
    assert (found.n_samples, found.output) == (7, "probability")
    assert torch.equal(found.mean, lines[1])
    assert bool(found.low[0].isnan())
    assert store.load_curve("cd34") is None


def test_the_first_removal_metric_with_scores_is_drawn() -> None:
    cells = pd.DataFrame(
        [("deletion", "{}", "", "ok"), ("pixel_flipping", '{"n":1}', "logit", "failed"),
         ("pixel_flipping", '{"n":2}', "logit", "ok"), ("pixel_flipping", '{"n":2}', "", "ok")],
        columns=["metric", "params", "asked_output", "status"],
    )  # fmt: skip
    assert curve_measure(cells) == ("pixel_flipping", '{"n":2}', "logit")
    assert curve_measure(cells[:2]) == ("deletion", "{}", "")
    assert curve_measure(cells[1:2]) is None


@pytest.mark.parametrize("sensors_first", [False, True])
def test_series_come_back_with_their_axes_and_means_of_sensors(tmp_path: Path, sensors_first: bool) -> None:
    x = np.random.default_rng(0).normal(size=(6, 3, 9) if sensors_first else (6, 9, 3)).astype(np.float32)
    axes = "NCT" if sensors_first else "NTC"
    labels = np.arange(6) % 3
    data = Data("series", x, labels, x, labels, test_rows=x, class_names=("a", "b", "c"), axes=axes)
    inputs = torch.from_numpy(x)
    view = make_view(mlp(x.shape[1:]), inputs, targets=torch.zeros(6, dtype=torch.int64), features="image")
    samples = replace(view, layout=infer_layout(x.shape[1:], "series", axes), truth=None, background=inputs)
    problem = Problem("d", "m", samples, "fingerprint", frozenset(), None)
    found = examples_of(problem, data)
    assert found is not None
    store = Store(tmp_path / "store", create=True)
    store.save_examples("fingerprint", found)
    back = store.load_examples("fingerprint")
    assert back is not None
    assert back.axes == ("NCT" if sensors_first else "")
    assert back.sensor_means is not None
    means = x.mean(axis=(0, 2) if sensors_first else (0, 1))
    np.testing.assert_allclose(back.sensor_means.numpy(), means, rtol=1e-5)
    assert time_first(back.inputs[0].numpy(), back).shape == (9, 3)

"""Metrics of Quantus are called as its users call them, and whatever they return becomes a score per sample."""

from __future__ import annotations

import types
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, cnn, make_evaluation, make_inputs, make_view

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import adapters, components, get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.metrics.engines import quantus_calls

N = 6
SPECS = [spec for spec in adapters("metric") if isinstance(spec, MetricSpec)]


def evaluation(rows: slice = slice(None), shape: tuple[int, ...] = IMAGE) -> Evaluation:
    inputs = make_inputs(shape, N)[rows]
    mask = (make_inputs(shape[1:], N, seed=3) > 0.7)[rows]
    view = make_view(cnn(shape), inputs, background=make_inputs(shape, 8, seed=5))
    return make_evaluation(view, kind="contribution", truth=Truth("model", mask))


def scored(name: str, ev: Evaluation) -> torch.Tensor:
    spec = get("metric", f"quantus:{name}")
    assert isinstance(spec, MetricSpec)
    return score(spec, {}, ev).values


class Fake:
    """Stands for a metric of the library: remembers how it was called."""

    seen: dict[str, Any]
    answer: Any = None

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __call__(self, **given: Any) -> Any:
        type(self).seen = {**given, "options": self.options}
        np.random.rand(3)  # noqa: NPY002
        given["x_batch"] *= 0
        return type(self).answer(given) if callable(type(self).answer) else type(self).answer


def fake(monkeypatch: pytest.MonkeyPatch, name: str, answer: Any) -> type[Fake]:
    made = type(name, (Fake,), {"answer": staticmethod(answer) if callable(answer) else answer})
    monkeypatch.setattr(quantus_calls, "import_library", lambda _name: types.SimpleNamespace(**{name: made}))
    return made


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("Sparseness", [0.5] * N, [0.5] * N),
        ("Completeness", [True, False] * 3, [1.0, 0.0] * 3),
        ("PixelFlipping", [[1.0, 0.5, 0.0]] * N, [0.5] * N),
        ("MPRT", {"original": [1.0] * N, "fc": [0.2] * N, "conv": [0.4] * N}, [0.3] * N),
        ("SensitivityN", 0.25, [0.25]),
        ("ROAD", {"1": 0.5, "2": 0.3}, [0.4]),
    ],
)
def test_every_kind_of_result_becomes_scores(monkeypatch, name: str, answer: Any, expected: list[float]) -> None:
    fake(monkeypatch, name, answer)
    found = scored(name, evaluation())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_a_wrong_number_of_scores_is_an_error(monkeypatch) -> None:
    fake(monkeypatch, "Sparseness", [0.5] * (N - 1))
    with pytest.raises(ValueError, match=r"the library returned .* for 6 samples"):
        scored("Sparseness", evaluation())


def test_it_is_given_copies_with_a_channel_and_an_explainer(monkeypatch) -> None:
    ev = evaluation()

    def answer(given: dict[str, Any]) -> list[float]:
        again = given["explain_func"](model=given["model"], inputs=ev.inputs.numpy(), targets=given["y_batch"])
        np.testing.assert_allclose(again, given["a_batch"], rtol=1e-5, atol=1e-6)
        twice = np.concatenate([ev.inputs.numpy()] * 2)
        assert given["explain_func"](model=given["model"], inputs=twice, targets=None).shape == (2 * N, 1, 8, 8)
        with pytest.raises(ValueError, match="are not copies of 6 samples"):
            given["explain_func"](model=None, inputs=ev.inputs.numpy()[:4], targets=None)
        return [1.0] * N

    before = ev.inputs.clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    made = fake(monkeypatch, "MaxSensitivity", answer)
    assert scored("MaxSensitivity", ev).tolist() == [1.0] * N
    assert made.seen["a_batch"].shape == made.seen["s_batch"].shape == (N, 1, 8, 8)
    assert made.seen["s_batch"].dtype == bool
    assert made.seen["options"] == {"disable_warnings": True, "display_progressbar": False}
    assert torch.equal(ev.inputs, before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_another_model_is_explained_where_one_is_given(monkeypatch) -> None:
    ev = evaluation()
    other = cnn(seed=4)

    def answer(given: dict[str, Any]) -> list[float]:
        found = given["explain_func"](model=other, inputs=ev.inputs.numpy(), targets=given["y_batch"])
        return [float(np.abs(found - given["a_batch"]).max())] * N

    fake(monkeypatch, "MPRT", answer)
    assert scored("MPRT", ev).min() > 0.001


def test_options_that_have_no_default(monkeypatch) -> None:
    ev = evaluation()
    made = fake(monkeypatch, "TopKIntersection", [0.0] * N)
    scored("TopKIntersection", ev)
    assert made.seen["options"]["k"] == int(ev.truth.mask.flatten(1).sum(dim=1).min())
    made = fake(monkeypatch, "FaithfulnessCorrelation", [0.0] * N)
    scored("FaithfulnessCorrelation", ev)
    assert made.seen["options"]["return_aggregate"] is False


def test_they_are_listed_apart_and_need_a_module() -> None:
    names = {spec.name for spec in SPECS}
    assert len(names) == len(SPECS) >= 36
    assert not names & {spec.name for spec in components("metric")}
    assert all("module" in spec.needs and spec.library == "quantus" for spec in SPECS)
    assert all(spec.summary.endswith(".") for spec in SPECS)
    series = make_evaluation(make_view(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20, 2)).eval(),
                                       make_inputs((10, 2), 3)))  # fmt: skip
    with pytest.raises(UnsupportedError, match="Quantus is given images and tables"):
        scored("Sparseness", series)


# What Quantus 0.6.0 itself does; each of these is a reproducer of what the audit says.
with_quantus = pytest.mark.filterwarnings("ignore")


def needs_quantus() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("quantus")


@with_quantus
@pytest.mark.slow
@pytest.mark.parametrize(("name", "constant"), [("Monotonicity", 1.0), ("Completeness", 0.0)])
def test_constant_whatever_the_map_is(name: str, constant: float) -> None:
    needs_quantus()
    ev = evaluation()
    random = ev.with_attributions(torch.randn(ev.attributions.shape), "contribution")
    assert scored(name, ev).unique().tolist() == scored(name, random).unique().tolist() == [constant]


@with_quantus
@pytest.mark.slow
def test_a_score_that_depends_on_the_company() -> None:
    """Maps are divided by the largest value of the batch, and the score is not."""
    needs_quantus()
    name = "LocalLipschitzEstimate"
    together, alone = scored(name, evaluation()), scored(name, evaluation(slice(1)))
    assert abs(float(together[0] - alone[0])) > 1e-3 * abs(float(alone[0]))


@with_quantus
@pytest.mark.slow
@pytest.mark.parametrize(("name", "error"), [("IROF", "trapz"), ("RandomLogit", "out of bounds")])
def test_some_raise(name: str, error: str) -> None:
    needs_quantus()
    with pytest.raises((AttributeError, IndexError, RuntimeError), match=error):
        scored(name, evaluation())


@with_quantus
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["RelevanceMassAccuracy", "RelevanceRankAccuracy", "PointingGame", "Sparseness", "Complexity"]
)
def test_acquitted_the_same_alone_and_in_company(name: str) -> None:
    needs_quantus()
    together, alone = scored(name, evaluation()), scored(name, evaluation(slice(1)))
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)

"""Parity of the robustness and sanity families with Quantus 0.6.0, where its definition is sound.

Run in an environment that has quantus: ``python -m pytest tests/parity`` (or ``nox -s parity``).

Deliberate differences, one line each:

- All: a sample's score never depends on the others here; there, maps are divided by the largest value of the batch.
- Max/AvgSensitivity, LocalLipschitz: copies that change class count here, and make the sample NaN there by default.
- LocalLipschitz: uniform noise of radius 0.2 here as in the whole family, Gaussian with deviation 0.01 there.
- Relative stability: noise is symmetric here, from U(0.02, 0.2) there.
- Relative stability: copies of another class are left out here; a single one makes the sample NaN there.
- Relative stability: entries below 1e-3 of the largest count as that much here; only exact zeros are replaced there.
- RelativeRepresentationStability: the layer is chosen by its place in the forward pass here, by its name there, and
  hidden values near zero are common: not compared, see the tests of the metric.
- EfficientMPRT: the number of bins is a matter of the sample here, of the batch there; entropies are compared.
- MPRT: every layer has random numbers of its own here; layers of one shape get the same there.
- RandomLogit: the number of classes comes from the model here; 1000 is the default there, and fails for fewer.
- Continuity: not compared; a translation blackens what moved in and maps are cut into patches there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, cnn, make_evaluation, make_inputs, make_view
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.metrics.engines.random_weights import random_weights, with_weights
from xaibench.metrics.maps.histogram import entropy

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus")
    from quantus.functions.complexity_func import discrete_entropy

pytestmark = pytest.mark.filterwarnings("ignore")
N, SAMPLES, RADIUS = 12, 8, 0.2
QUIET = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}
Stream = Callable[..., np.ndarray]


def formula(x: Tensor, slopes: Tensor) -> Tensor:
    """An explanation without entries near zero, so that no rule for them plays a part."""
    return 1 + x**2 + slopes**2


def explained(view: ProblemView, stream: str = "") -> Tensor:
    return formula(view.inputs, view.gradients(view.inputs)).squeeze(1)


def explain_func(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **kwargs: object) -> np.ndarray:
    x = torch.as_tensor(inputs, dtype=torch.float32)
    view = make_view(TorchPredictor(model), x, targets=torch.as_tensor(targets))
    return formula(x, view.gradients(x)).numpy()


@pytest.fixture
def ev() -> Evaluation:
    module = cnn()
    module[-1].bias.data[0] += 10  # No copy changes its class.
    return make_evaluation(make_view(module, 2 + make_inputs(IMAGE, N)), kind="contribution", function=explained)


@pytest.fixture
def stream(ev: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our noise in the place of theirs, draw by draw, for all samples at once."""
    noise = RADIUS * (2 * ev.draws(f"robustness/{RADIUS}").uniform((SAMPLES, *IMAGE)) - 1)
    draws = iter(noise.flatten(2).transpose(0, 1).numpy())
    for name in ("uniform", "normal"):
        monkeypatch.setattr(np.random, name, lambda *_args, **_kwargs: next(draws))


def ours(name: str, ev: Evaluation, **params: object) -> np.ndarray:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind({"n_samples": SAMPLES, "radius": RADIUS, **params}), ev).values.numpy()


def theirs(metric, ev: Evaluation, rows: slice = slice(None), **kwargs: object) -> np.ndarray:
    return np.array(
        metric(
            model=ev.model.module,
            x_batch=ev.inputs[rows].numpy().copy(),
            y_batch=ev.targets[rows].numpy().copy(),
            a_batch=ev.attributions[rows].unsqueeze(1).numpy().copy(),
            channel_first=True,
            batch_size=N,
            explain_func=explain_func,
            **kwargs,
        )
    )


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize(
    ("name", "peer", "kwargs"),
    [
        ("max_sensitivity", quantus.MaxSensitivity, {"lower_bound": RADIUS}),
        ("avg_sensitivity", quantus.AvgSensitivity, {"lower_bound": RADIUS}),
        ("local_lipschitz", quantus.LocalLipschitzEstimate, {}),
        ("relative_input_stability", quantus.RelativeInputStability, {}),
        ("relative_output_stability", quantus.RelativeOutputStability, {}),
    ],
)
def test_values_agree_on_the_same_noise(ev: Evaluation, name: str, peer, kwargs: dict[str, object]) -> None:
    expected = theirs(peer(nr_samples=SAMPLES, **kwargs, **QUIET), ev)
    assert expected.shape == (N,)
    np.testing.assert_allclose(ours(name, ev), expected, rtol=1e-4)


def test_entropy_agrees() -> None:
    maps = make_inputs((8, 8), N)
    expected = [discrete_entropy(m, m, n_bins=20) for m in maps.double().numpy()]
    np.testing.assert_allclose(entropy(maps.flatten(1), torch.full((N,), 20)), expected, rtol=1e-6)


def test_their_normalisation_makes_a_sample_depend_on_its_batch(
    ev: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for rows in (slice(0, 1), slice(None)):
        draws = iter(np.random.default_rng(0).uniform(-RADIUS, RADIUS, (SAMPLES, 1, 64)))
        monkeypatch.setattr(
            np.random, "normal", lambda *_a, size, draws=draws, **_k: np.repeat(next(draws), size[0], 0)
        )
        metric = quantus.LocalLipschitzEstimate(nr_samples=SAMPLES, **{**QUIET, "normalise": True})
        found.append(theirs(metric, ev, rows)[0])
    assert abs(found[0] / found[1] - 1) > 0.01
    alone = make_evaluation(ev_view(ev).take(torch.tensor([0])), kind="contribution", function=explained)
    np.testing.assert_allclose(ours("local_lipschitz", alone), ours("local_lipschitz", ev)[:1], rtol=1e-4)


def test_their_noise_of_relative_stability_is_positive(ev: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
        asked.append((low, high))
        return np.full(size, (low + high) / 2)

    monkeypatch.setattr(np.random, "uniform", uniform)
    theirs(quantus.RelativeInputStability(nr_samples=2, **QUIET), ev)
    assert min(low for low, _ in asked) > 0


@pytest.mark.usefixtures("stream")
def test_one_copy_of_another_class_costs_them_the_sample() -> None:
    """A linear model on the edge between two classes: about half of the copies change theirs."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    view = make_view(module, 2 + make_inputs(IMAGE, N))
    with torch.no_grad():
        logits = module(view.inputs)
    module[1].bias.data[1] += float((logits[0, 0] - logits[0, 1]) - 1e-4)
    ev = make_evaluation(make_view(module, view.inputs), kind="contribution", function=explained)
    assert np.isnan(theirs(quantus.RelativeInputStability(nr_samples=SAMPLES, **QUIET), ev)[0])
    assert np.isfinite(ours("relative_input_stability", ev)).all()


def test_their_random_layers_of_one_shape_are_the_same() -> None:
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).eval()
    wrapped = quantus.helpers.model.pytorch_model.PyTorchModel(module, channel_first=True)
    *_, (_, theirs_random) = wrapped.get_random_layer_generator(order="top_down", seed=42)
    assert torch.equal(theirs_random[0].weight, theirs_random[2].weight)
    random = with_weights(TorchPredictor(module), random_weights(module, 0)).module
    assert not bool((random[0].weight == random[2].weight).any())  # type: ignore[index]


def test_their_random_logit_does_not_know_the_number_of_classes(ev: Evaluation) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        theirs(quantus.RandomLogit(**QUIET), ev)
    spec = get("metric", "random_logit")
    assert isinstance(spec, MetricSpec)
    assert bool(torch.isfinite(score(spec, spec.bind({}), ev).values).all())


def ev_view(ev: Evaluation) -> ProblemView:
    """The samples of an evaluation, to be explained again."""
    return make_view(ev.model, ev.inputs, targets=ev.targets)

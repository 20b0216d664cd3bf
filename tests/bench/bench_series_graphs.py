"""Series and graphs: metrics and explainers against the forward and backward passes that they cannot do without.

Run: python tests/bench/bench_series_graphs.py [TURNS]. Every figure is processor time of one thread. A ratio is taken
within a turn, so that a busy machine slows both sides; the median of all turns is printed with the least and the most.

What is counted as the model's own cost is a pass over all copies in batches of the size that the rule chooses.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, "tests")
from helpers.builders import make_evaluation, make_view

from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain, explain_function
from xaibench.core.features import FeatureLayout
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.storage.cache import MemoryCache, SharedCache
from xaibench.core.truth import Truth
from xaibench.datasets.ba2motifs import ba2motifs
from xaibench.models.message_passing import GIN
from xaibench.models.series_cnn import SeriesNetwork

STEPS, SENSORS, SAMPLES = 60, 10, 256
EPOCHS = 20
"""Of the masks; the cost of an epoch does not depend on how many there are."""


class Recurrent(nn.Module):
    """A GRU with 32 units; its last state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(SENSORS, 32, batch_first=True), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0][:, -1])  # type: ignore[no-any-return]


@dataclass
class Case:
    """A model with its samples, and how much slower than its own passes anything may be."""

    name: str
    view: ProblemView
    allowed: float

    def evaluation(self) -> Evaluation:
        """A fresh one: nothing is shared with what was measured before."""
        torch.manual_seed(1)
        shape = self.view.layout.feature_shape
        mask = torch.zeros(len(self.view), self.view.layout.n_features, dtype=torch.bool)
        mask[:, :: max(1, self.view.layout.n_features // 8)] = True
        mask = mask.view(-1, *shape) & (self.view.inputs.view(-1, *shape) != 0)
        found = make_evaluation(self.view, torch.rand(len(self.view), *shape), truth=Truth("model", mask))
        return replace(found, cache=MemoryCache(), shared=SharedCache())

    def forward(self, copies: int) -> None:
        """``copies`` of every sample through the model, in batches of the rule."""
        index = torch.arange(len(self.view)).repeat_interleave(copies)
        for rows in index.split(self.view.batch_size):
            self.view.predict(self.view.inputs[rows], rows)

    def passes(self, copies: int) -> None:
        """The same with gradients for the inputs."""
        index = torch.arange(len(self.view)).repeat_interleave(copies)
        for rows in index.split(self.view.batch_size):
            self.view.gradients(self.view.inputs[rows], rows=rows)


def series(name: str, module: nn.Module) -> Case:
    torch.manual_seed(0)
    inputs = torch.randn(SAMPLES, STEPS, SENSORS)
    view = make_view(module.eval(), inputs, features="series", background=torch.randn(32, STEPS, SENSORS))
    return Case(name, view, 1.2)


def graphs() -> Case:
    torch.manual_seed(0)
    data = ba2motifs(seed=1, n_train=2, n_test=SAMPLES)
    context = {name: torch.from_numpy(values) for name, values in data.test_context.items()}
    inputs = torch.from_numpy(data.test_inputs)
    module = GIN(1, 2, 3, 20).eval()
    targets = torch.from_numpy(data.test_targets)
    # The builder asks the model without a context, so that a constant stands in for it.
    view = make_view(lambda a: np.full((len(a), 2), 0.5), inputs, targets=targets, features="edges")
    return Case("GIN", replace(view, model=TorchPredictor(module), output="logit", context=context), 2.0)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def report(
    what: str, case: Case, work: Callable[[Evaluation], object], floor: Callable[[], object], most: float, turns: int
) -> None:
    """Print the ratio of a piece of work to its floor; the evaluation that it is given is new in every turn."""
    work(case.evaluation()), floor()
    ratios = []
    for _ in range(turns):
        ev, least = case.evaluation(), seconds(floor)
        ratios.append(seconds(partial(work, ev)) / least)
    middle = statistics.median(ratios)
    verdict = "ok" if middle <= most else "OVER"
    print(
        f"{what:<34} {case.name:<4} {middle:6.2f} of {most:.1f}  [{min(ratios):.2f}, {max(ratios):.2f}]  {verdict}",
        flush=True,
    )


def scored(ev: Evaluation, name: str, params: Mapping[str, object] | None = None) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(dict(params or {})), ev)


def explained(view: ProblemView, name: str, **params: object) -> Tensor:
    spec = get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    return explain(explain_function(spec, spec.bind(params)), view, f"explain/{name}")


def maps_alone(case: Case, turns: int) -> None:
    """Metrics without a call of the model, in milliseconds per sample of 600 cells."""
    published = {"estimator": "published"}
    for name, params in (("auprc", {}), ("aup", published), ("aur", published), ("aup", {}), ("aur", {}), ("gea", {})):
        evaluations = [case.evaluation() for _ in range(turns)]
        times = [1e3 * seconds(partial(scored, ev, name, params)) / SAMPLES for ev in evaluations]
        middle = statistics.median(times)
        label = f"{name}{'(published)' if params else ''}"
        print(f"{label:<34} 600 cells {middle:.3f} ms a sample of 2.0  {'ok' if middle <= 2 else 'OVER'}", flush=True)


def fidelities(case: Case, turns: int) -> None:
    """Plain fidelity: the whole sample, the explanation and the rest; robust: 20 draws on either side."""
    plain = ("fid_plus", "fid_minus", "fid_delta")

    def all_plain(ev: Evaluation) -> None:
        for name in plain:
            scored(ev, name)

    report("fid_plus, _minus and _delta", case, all_plain, lambda: case.forward(3), case.allowed, turns)
    for name, draws in (("robust_fid_plus", 20), ("robust_fid_minus", 20), ("robust_fid_delta", 40)):
        floor = partial(case.forward, draws + 1)
        report(name, case, partial(scored, name=name), floor, case.allowed, turns)


def rescaling(case: Case, turns: int) -> None:
    """Temporal rescaling by sensor: T + D + 1 explanations."""

    def work(_ev: Evaluation) -> Tensor:
        return explained(case.view, "temporal_rescaling", explainer="input_x_gradient", by="sensor")

    report("temporal_rescaling by sensor", case, work, lambda: case.passes(STEPS + SENSORS + 1), case.allowed, turns)


def masks(case: Case, name: str, turns: int) -> None:
    """Learned masks: a forward and a backward pass per epoch."""

    def floor() -> None:
        for _ in range(EPOCHS):
            case.passes(1)

    report(name, case, lambda _ev: explained(case.view, name, epochs=EPOCHS), floor, 1.3, turns)


def main() -> None:
    torch.set_num_threads(1)
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    cnn = series("CNN", SeriesNetwork(SENSORS, 3, sensors_first=False))
    gru, graph = series("GRU", Recurrent()), graphs()
    assert cnn.view.layout == FeatureLayout("series", (STEPS, SENSORS))
    for case in (cnn, gru, graph):
        print(f"{case.name}: batches of {case.view.batch_size}, {case.view.layout.n_features} features", flush=True)
    maps_alone(cnn, turns)
    for case in (cnn, gru, graph):
        fidelities(case, turns)
    for case in (cnn, gru):
        rescaling(case, turns)
        masks(case, "extremal_mask", turns)
    masks(graph, "gnn_explainer", turns)


if __name__ == "__main__":
    main()

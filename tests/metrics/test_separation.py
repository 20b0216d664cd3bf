"""Faithfulness metrics tell the truth from noise, wherever theory says that they must.

On a linear model the slopes are known, and with them the contributions w (x - b) of every masker b:
each metric converts the slopes as it converts those of any explainer, and must put them above
random maps. On a network with a planted mask that was verified by intervention, whatever goes by
the order of features must put the mask above random maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from helpers.builders import IMAGE, gradient, linear, make_evaluation, make_inputs, make_view
from scipy import stats

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain
from xaibench.core.registry import components
from xaibench.core.scoring import score
from xaibench.core.storage.cache import SharedCache
from xaibench.core.storage.paths import cache_folder
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.suite import ComponentRef

FAITHFUL = [
    s
    for s in components("metric")
    if isinstance(s, MetricSpec) and s.family == "faithfulness" and s.scope == "sample" and not s.about_programs
]
TRAINED_ONCE = [s for s in FAITHFUL if "retrain" not in s.needs]
ORDERING = [s for s in TRAINED_ONCE if s.convert == "order" and "saliency" in s.accepts]
REWARDING = [s for s in TRAINED_ONCE if s.rewards_truth]
"""The others cannot separate by definition: see test_consistency.py, where equal maps, true or not, score the same.
Those that train the model again need data that can be learned: see test_gap_training.py and test_mask_transfer.py."""
SMALL = {"n_samples": 20, "n_subsets": 60, "steps": 16}
N_RANDOM = 5
MIN_DEFINED = 10


@dataclass(frozen=True)
class Case:
    """The truth and random maps of one problem; metrics share their evaluations."""

    truth: Evaluation
    noise: tuple[Evaluation, ...]

    @classmethod
    def of(cls, truth: Evaluation) -> Case:
        shape = truth.layout.feature_shape
        maps = (truth.draws(f"noise {i}").normal(shape) for i in range(N_RANDOM))
        return cls(truth, tuple(truth.with_attributions(m, "contribution") for m in maps))

    def advantage(self, spec: MetricSpec, **params: object) -> tuple[float, float]:
        """95 % interval, over samples, of how much better the truth scores than random maps."""
        small = {name: value for name, value in SMALL.items() if name in spec.parameters}
        bound = spec.bind({**small, **params})
        truth, *noise = (self.scores(spec, bound, ev) for ev in (self.truth, *self.noise))
        better = (truth - np.mean(noise, axis=0)) * (1 if spec.higher_is_better else -1)
        if "some inputs" in spec.undefined_for:
            better = better[np.isfinite(better)]
            if len(better) < MIN_DEFINED:
                pytest.skip("hardly any sample has a score")
        assert np.isfinite(better).all()
        return stats.t.interval(0.95, len(better) - 1, better.mean(), stats.sem(better))  # type: ignore[no-any-return]

    @staticmethod
    def scores(spec: MetricSpec, bound: dict[str, object], ev: Evaluation) -> np.ndarray:
        values = score(spec, bound, ev).values.double().numpy()
        # An exact claim has an error of 0, of which there is no logarithm.
        return np.log10(np.maximum(values, 1e-30)) if spec.aggregate == "median_log10" else values


@pytest.fixture(scope="module")
def on_a_linear_model() -> Case:
    view = make_view(linear(IMAGE), make_inputs(IMAGE, 40), background=make_inputs(IMAGE, 30, seed=1) + 0.5)
    return Case.of(make_evaluation(view, explain(gradient, view, "explain"), kind="slope"))


@pytest.fixture(scope="module")
def on_a_planted_mask() -> Case:
    spec = ProblemSpec(
        ComponentRef.of("dataset", "planted_digits", {"copies": 4}),
        ComponentRef.of("model", "cnn", {}),
        0,
        64,
        "predicted",
        32,
    )
    problem = Problems(cache_folder()).prepare(spec)
    assert problem.gate_passed, [str(g) for g in problem.gates]
    assert problem.truth is not None
    assert problem.truth.mask is not None
    return Case.of(
        Evaluation.of(problem.samples, attributions=problem.truth.mask.float(), kind="saliency", shared=SharedCache())
    )


def each_of(specs: list[MetricSpec]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("spec", specs, ids=lambda s: s.name)


@each_of(REWARDING)
def test_the_truth_of_a_linear_model_beats_random_maps(spec: MetricSpec, on_a_linear_model: Case) -> None:
    low, _ = on_a_linear_model.advantage(spec)
    assert low > 0


@pytest.mark.slow
@pytest.mark.parametrize("masker", ["zero", "mean"])
@each_of(ORDERING)
def test_a_verified_mask_beats_random_maps(spec: MetricSpec, masker: str, on_a_planted_mask: Case) -> None:
    """Monotonicity the least: a mask has two values, and few steps lie where one follows the other."""
    chosen = {"masker": masker} if "masker" in spec.parameters else {}
    low, _ = on_a_planted_mask.advantage(spec, **chosen)
    assert low > 0


@each_of(REWARDING)
def test_random_maps_do_not_beat_random_maps(spec: MetricSpec, on_a_linear_model: Case) -> None:
    """The same comparison must not find an advantage where there is none."""
    first, *others = on_a_linear_model.noise
    low, high = Case(first, tuple(others)).advantage(spec)
    wide = 1.5 * (high - low)
    assert low - wide < 0 < high + wide


def test_only_faithfulness_can_decline_to_reward_the_truth() -> None:
    """Elsewhere nothing asks for the declaration, and it would say nothing."""
    declined = [s for s in components("metric") if isinstance(s, MetricSpec) and not s.rewards_truth]
    assert all(s in FAITHFUL for s in declined)
    assert len(declined) < len(FAITHFUL) / 4

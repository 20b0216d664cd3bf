"""What every metric promises, on every kind of data.

Nothing here names a metric as an exception: what a metric promises besides is in its declaration, and
tests hold it to that, both ways. A new metric is a file of its own and comes through all of this.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.builders import (
    SHAPES,
    cnn,
    gradient,
    linear,
    make_evaluation,
    make_inputs,
    make_view,
    mlp,
    occlusion,
    whole_truth,
)
from helpers.metric_lists import METRICS_OF_ARRAYS
from helpers.refit import Refit
from torch import nn

from xaibench.core import registry
from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.keys import row_digests
from xaibench.core.needs import DATA_NEEDS
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.scoring import measured, score
from xaibench.core.storage.cache import MemoryCache, SharedCache

FIRST_SET = {
    "pixel_flipping", "insertion", "deletion", "faithfulness_correlation", "infidelity", "max_sensitivity", "mprt",
    "random_logit", "relevance_rank", "relevance_mass", "sparseness", "complexity", "completeness",
}  # fmt: skip
SMALL = {
    "n_samples": 6, "n_subsets": 9, "steps": 5, "epsilon": 0.02, "n_retrainings": 2, "n_repeats": 2,
    "min_accuracy": 0.0, "min_kept": 0.0, "max_lost": 1.0, "queries": 3, "n_noise": 2,
}  # fmt: skip
N = 7
every_metric = pytest.mark.parametrize("spec", METRICS_OF_ARRAYS, ids=lambda s: s.name)


def applies(spec: MetricSpec, shape: str) -> bool:
    """Whether a metric is offered for this kind of data; one that names no kind is offered for all."""
    kinds = spec.needs & DATA_NEEDS
    return not kinds or {"rgb": "image"}.get(shape, shape) in kinds


def home(spec: MetricSpec) -> str:
    """A table, or the next best for metrics that are not about tables."""
    return next(kind for kind in ("table", "image", "series") if applies(spec, kind))


def takes_long(spec: MetricSpec, kind: str) -> bool:
    """With three channels everything costs three times as much; so do models that are fitted again to images."""
    return kind == "rgb" or ("retrain" in spec.needs and kind != home(spec))


def on_its_shapes(slow: Callable[[MetricSpec, str], bool]) -> pytest.MarkDecorator:
    """Every metric on every kind of data that it is offered for; ``slow`` says which of these take long."""
    pairs = [(s, k) for s in METRICS_OF_ARRAYS for k in SHAPES if applies(s, k)]
    return pytest.mark.parametrize(
        ("spec", "kind"),
        [pytest.param(s, k, id=f"{s.name}-{k}", marks=[pytest.mark.slow] if slow(s, k) else []) for s, k in pairs],
    )


each_on_its_shapes = on_its_shapes(takes_long)


def run(spec: MetricSpec, ev: Evaluation, *, output: str | None = None, **params: object) -> torch.Tensor:
    small = {name: value for name, value in SMALL.items() if name in spec.parameters}
    return score(spec, spec.bind({**small, **params}), ev, output=output).values


def problem(kind: str, *, batch_size: int | None = None, n: int = N, module: nn.Module | None = None) -> ProblemView:
    shape = SHAPES[kind]
    inputs = 3 * make_inputs(shape, n, seed=5)
    if module is None:
        module = cnn(shape) if kind in ("image", "rgb") else mlp(shape)
    view = make_view(module, inputs, batch_size=batch_size, background=make_inputs(shape, 20, seed=1))
    mask = torch.from_numpy(np.random.default_rng(2).random((n, *view.layout.feature_shape)) < 0.4)
    mask[:, 0] = False
    mask[:, -1] = True
    if kind == "series":
        mask[1, :, 0] = False  # one sample with a sensor that does not matter
    distractors = ~mask & torch.from_numpy(np.random.default_rng(3).random(mask.shape) < 0.6)
    distractors[:, 0] = True
    return replace(view, truth=whole_truth(mask, planted_weights(make_view(module, inputs)), distractors))


def planted_weights(view: ProblemView) -> torch.Tensor:
    """Slopes of the model, disturbed: truth that gradients get partly right."""
    slopes = gradient(view)
    noise = torch.from_numpy(np.random.default_rng(6).standard_normal(slopes.shape).astype(np.float32))
    return slopes + slopes.flatten(1).std(dim=1).view(-1, *[1] * (slopes.ndim - 1)) * noise


def evaluation(view: ProblemView, attributions: torch.Tensor | None = None) -> Evaluation:
    """Gradients as contributions for several channels, where slopes cannot be converted."""
    return make_evaluation(view, attributions, kind="contribution" if view.layout.channels else "slope")


def times_gradient(view: ProblemView, stream: str) -> torch.Tensor:
    """What moves with the input even where the model is linear."""
    return view.layout.reduce(view.inputs * view.gradients(view.inputs))


def minus_times_gradient(view: ProblemView, stream: str) -> torch.Tensor:
    return -times_gradient(view, stream)


def restless(view: ProblemView, stream: str) -> torch.Tensor:
    """An explanation that depends on everything, draws included, and is 0 in places."""
    noise = view.draws(stream).normal(view.layout.feature_shape)
    return times_gradient(view, stream) * (noise > -0.5) + 0.1 * noise.clamp(min=0)


def take(view: ProblemView, rows: list[int]) -> ProblemView:
    return view.take(torch.tensor(rows))


def test_the_first_set_is_there() -> None:
    assert {spec.name for spec in METRICS_OF_ARRAYS} >= FIRST_SET
    for spec in METRICS_OF_ARRAYS:
        assert spec.summary.endswith((".", "?", "``"))
        assert spec.source


def n_scores(spec: MetricSpec) -> int:
    """One per sample; over a data set one per repeat, or one alone where nothing is repeated."""
    if spec.scope == "sample":
        return N
    return max((SMALL[p] for p in ("n_retrainings", "n_repeats") if p in spec.parameters), default=1)


def spec_output(spec: MetricSpec, view: ProblemView) -> str:
    """The output that a metric measures here."""
    return measured(spec, evaluation(view)).output


@each_on_its_shapes
def test_one_finite_number_per_sample_within_bounds(spec: MetricSpec, kind: str) -> None:
    view = problem(kind)
    values = run(spec, evaluation(view))
    assert values.shape == (n_scores(spec),)
    defined = values[torch.isfinite(values)]
    low, high = spec.bounds_of({}, spec_output(spec, view))
    assert low is None or bool((defined >= low - 1e-6).all())
    assert high is None or bool((defined <= high + 1e-6).all())
    if "some inputs" not in spec.undefined_for:
        assert len(defined) == len(values)
    if spec.scope == "sample" and "some inputs" not in spec.undefined_for and len(defined.unique()) == 1:
        # The gradient can be perfect everywhere; what moves with everything is not.
        maps = [restless(view, stream) for stream in "abc"]
        others = [run(spec, make_evaluation(view, m, kind="contribution", function=restless)) for m in maps]
        # An answer of yes or no may be the same for all maps of a kind.
        assert len(torch.cat([values, *others]).unique()) > 1 or set(values.tolist()) <= {0.0, 1.0}


@pytest.mark.slow
@every_metric
def test_what_is_undefined_for_some_inputs_is_defined_for_others(spec: MetricSpec) -> None:
    kinds = [kind for kind in SHAPES if applies(spec, kind) and not takes_long(spec, kind)]
    undefined = torch.cat([torch.isnan(run(spec, evaluation(problem(kind)))) for kind in kinds])
    assert bool(undefined.any()) == ("some inputs" in spec.undefined_for)
    assert not bool(undefined.all())


@pytest.mark.parametrize(
    ("spec", "kind"),
    [pytest.param(s, k, id=f"{s.name}-{k}") for s in METRICS_OF_ARRAYS for k in SHAPES if not applies(s, k)],
)
def test_other_kinds_of_data_are_refused(spec: MetricSpec, kind: str) -> None:
    with pytest.raises(UnsupportedError):
        run(spec, evaluation(problem(kind)))


@pytest.mark.slow
@each_on_its_shapes
def test_scores_do_not_depend_on_the_other_samples(spec: MetricSpec, kind: str) -> None:
    if spec.scope == "dataset":
        pytest.skip("a score over a data set is no mean over its samples")
    view = problem(kind)
    whole = run(spec, evaluation(view))
    order = [4, 0, 6, 2, 5, 1, 3]
    np.testing.assert_allclose(run(spec, evaluation(take(view, order))), whole[order], rtol=1e-4, atol=1e-5)
    for row in (0, 5):
        alone = run(spec, evaluation(take(view, [row])))
        np.testing.assert_allclose(alone, whole[[row]], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@on_its_shapes(lambda spec, kind: kind != home(spec))
def test_scores_do_not_depend_on_the_batch_size(spec: MetricSpec, kind: str) -> None:
    one, seven, many = (run(spec, evaluation(problem(kind, batch_size=size))) for size in (1, 7, 64))
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seven, many, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@every_metric
def test_the_memory_bound_changes_nothing(spec: MetricSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "image" if applies(spec, "image") else home(spec)
    whole = run(spec, evaluation(problem(kind, batch_size=1, n=3)))
    monkeypatch.setattr("xaibench.metrics.engines.perturbation.PERTURBED_BLOCK_BYTES", 1)
    np.testing.assert_allclose(run(spec, evaluation(problem(kind, batch_size=1, n=3))), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@each_on_its_shapes
def test_repeats_are_bit_identical_and_change_nothing(spec: MetricSpec, kind: str) -> None:
    view = problem(kind)
    ev = evaluation(view)
    state = {k: v.clone() for k, v in view.model.module.state_dict().items()}  # type: ignore[union-attr]
    inputs, attributions = ev.inputs.clone(), ev.attributions.clone()
    first = run(spec, ev)
    again = run(spec, replace(ev, cache=MemoryCache(), shared=SharedCache()))
    cached = run(spec, ev)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(cached, first)
    assert torch.equal(ev.inputs, inputs)
    assert torch.equal(ev.attributions, attributions)
    assert all(torch.equal(v, state[k]) for k, v in view.model.module.state_dict().items())  # type: ignore[union-attr]


@pytest.mark.slow
@every_metric
def test_global_generators_are_left_alone(spec: MetricSpec) -> None:
    ev = evaluation(problem(home(spec)))
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(spec, ev)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.mark.slow
@every_metric
def test_zero_constant_and_nan_maps_have_a_defined_outcome(spec: MetricSpec) -> None:
    view = problem("image" if applies(spec, "image") else home(spec))
    explained = evaluation(view).attributions
    maps = explained.clone().flatten(1)
    maps[0], maps[1] = 0, 0.3
    maps[2, 0], maps[3, -1] = torch.nan, torch.inf
    values = run(spec, make_evaluation(view, maps.view_as(explained), kind="contribution"))
    if spec.scope == "dataset":
        assert bool(torch.isnan(values).all())
        return
    clean = run(spec, make_evaluation(view, explained, kind="contribution"))
    for row, what in enumerate(("zero maps", "constant maps")):
        # A sample to which the question does not apply has no score, whatever its map is.
        if "some inputs" not in spec.undefined_for or not bool(torch.isnan(clean[row])):
            assert bool(torch.isnan(values[row])) == (what in spec.undefined_for)
    assert bool(torch.isnan(values[2:4]).all())
    np.testing.assert_array_equal(values[4:], clean[4:])


@pytest.mark.slow
@every_metric
def test_positive_rescaling_matters_only_where_it_must(spec: MetricSpec) -> None:
    view = problem(home(spec))
    ev = evaluation(view)

    def scaled(view: ProblemView, stream: str) -> torch.Tensor:
        return 8 * gradient(view)

    values = run(spec, make_evaluation(view, kind=ev.kind, function=scaled))
    same = np.allclose(values, run(spec, ev), rtol=1e-4, atol=1e-6, equal_nan=True)
    assert same == spec.scale_invariant


@pytest.mark.slow
@every_metric
def test_scores_have_the_unit_of_the_output_only_where_they_must(spec: MetricSpec) -> None:
    """A model of values in another unit, 256 to one, with the same attributions: scores times 256, or not."""
    shape = SHAPES[home(spec)]
    module = cnn(shape) if home(spec) == "image" else mlp(shape)
    for params in ({}, *({"measure": m} for m in ("output", "accuracy") if "measure" in spec.parameters)):
        found, standardised = [], []
        for unit in (1.0, 256.0):
            predictor = TorchPredictor(OneValue(module, unit), returns="value")
            background = make_inputs(shape, 20, seed=1)
            truth = problem(home(spec)).truth
            view = make_view(
                predictor, 3 * make_inputs(shape, N, seed=5), targets=torch.zeros(N, dtype=torch.long),
                background=background, truth=truth,
            )  # fmt: skip
            try:
                ev = make_evaluation(view, kind="contribution", function=of_inputs)
                found.append(run(spec, ev, output="value", **params))
                standardised.append(run(spec, ev, **params))
            except UnsupportedError:
                break
        if len(found) < 2:
            continue  # classes only: what is right has no unit
        scaled = np.allclose(found[1], 256 * found[0], rtol=1e-3, equal_nan=True) and bool(found[0].nan_to_num().any())
        assert scaled == spec.has_output_unit(params), (params, found)
        if spec.output == "curve" and scaled:
            np.testing.assert_allclose(standardised[1], standardised[0], rtol=1e-3, atol=1e-5)


class OneValue(nn.Module):
    """The first output of a module, in some unit."""

    def __init__(self, module: nn.Module, unit: float) -> None:
        super().__init__()
        self.module, self.unit = module, unit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.unit * self.module(x)[:, :1]
        return values


def of_inputs(view: ProblemView, stream: str) -> torch.Tensor:
    """Attributions that do not depend on the model."""
    return view.layout.reduce(view.inputs) + 0.1


@pytest.mark.slow
@every_metric
def test_black_boxes_are_scored_where_no_gradient_is_needed(spec: MetricSpec) -> None:
    shape = SHAPES[home(spec)]
    module = mlp(shape)

    def black_box(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return torch.softmax(module(torch.from_numpy(x)), dim=1).numpy()

    background = make_inputs(shape, 20, seed=1) if "background" in spec.needs else None
    view = make_view(black_box, make_inputs(shape, N), background=background, truth=problem(home(spec)).truth)
    ev = make_evaluation(view, kind="contribution", function=occlusion)
    if spec.needs & {"module", "gradients"}:
        with pytest.raises(UnsupportedError):
            run(spec, ev)
    else:
        assert "some inputs" in spec.undefined_for or bool(torch.isfinite(run(spec, ev)).all())


@pytest.mark.slow
@every_metric
def test_permuting_the_pixels_of_everything_matters_only_where_it_must(spec: MetricSpec) -> None:
    # What is about series alone has no image to be permuted.
    features, n = (None if applies(spec, "image") else "series"), 5
    shape = (1, 14, 14) if features is None else (14, 14)
    module = linear(shape)
    weights, inputs = module[1].weight.detach(), make_inputs(shape, n)  # type: ignore[index]
    shuffle = torch.from_numpy(np.random.default_rng(3).permutation(196))
    shuffled = linear(shape)
    shuffled[1].load_state_dict({"weight": weights[:, shuffle], "bias": module[1].bias.detach()})  # type: ignore[index]
    mask, distractors = (torch.arange(196).view(1, 14, 14).expand(n, 14, 14) % 3 == rest for rest in (0, 1))
    if features == "series":  # a box of steps and sensors, since every third cell would be in all of them
        mask = torch.zeros(n, 14, 14, dtype=torch.bool)
        mask[:, 3:7, :5] = True
    slopes = planted_weights(make_view(module, inputs, features=features))
    background = make_inputs(shape, 30, seed=1) if "background" in spec.needs else None
    truth = whole_truth(mask, slopes, distractors)
    view = make_view(module, inputs, features=features, background=background, truth=truth)
    moved = replace(
        view,
        model=make_view(shuffled, inputs, features=features).model,
        inputs=inputs.flatten(1)[:, shuffle].view(n, *shape),
        background=None if background is None else background.flatten(1)[:, shuffle].view(30, *shape),
        truth=whole_truth(*(t.flatten(1)[:, shuffle].view(n, 14, 14) for t in (mask, slopes, distractors))),
    )
    found = []
    # The right order may be the best there can be wherever features are; the wrong one is not.
    for function in (times_gradient, minus_times_gradient):
        before = run(spec, make_evaluation(view, kind="contribution", function=function))
        again = Refit(view, shuffle=shuffle.numpy())
        after = run(spec, make_evaluation(moved, kind="contribution", function=function, retraining=again))
        found.append(np.allclose(after, before, rtol=1e-4, atol=1e-5, equal_nan=True))
    assert all(found) != spec.place_matters, found


@pytest.mark.parametrize("spec", [s for s in METRICS_OF_ARRAYS if s.shares_evaluations], ids=lambda s: s.name)
def test_sixteen_explainers_evaluate_the_model_as_often_as_one(spec: MetricSpec) -> None:
    view, shared = problem("image" if applies(spec, "image") else home(spec)), SharedCache()
    counts, scores, ev = evaluations_of(spec, view, shared, n=16)
    assert counts[0] > 0
    assert counts[-1] == counts[0]
    last = run(spec, replace(ev, cache=MemoryCache(), shared=SharedCache()))
    np.testing.assert_array_equal(scores[-1], last)
    assert any(not np.array_equal(scores[0], other, equal_nan=True) for other in scores[1:])


@every_metric
def test_evaluations_are_shared_only_where_the_metric_says_so(spec: MetricSpec) -> None:
    if spec.needs & {"reexplain", "retrain"}:
        assert not spec.shares_evaluations, "every explainer evaluates the model, or another one, in its own way"
        return
    counts, _, _ = evaluations_of(spec, problem(home(spec)), SharedCache(), n=2)
    assert (counts[1] == counts[0] > 0) == spec.shares_evaluations


def evaluations_of(
    spec: MetricSpec, view: ProblemView, shared: SharedCache, *, n: int
) -> tuple[list[int], list[torch.Tensor], Evaluation]:
    """Score n explanations of one problem, one after another.

    Returns
    -------
    tuple
        How often the model was evaluated from the start until after each of them, their scores,
        and the evaluation of the last.
    """
    base = evaluation(view)
    started = view.model.n_evaluations
    counts, scores, ev = [], [], base
    for number in range(n):
        noise = make_inputs(tuple(base.attributions.shape[1:]), N, seed=number)
        maps = base.attributions + 0.1 * number * noise
        ev = replace(base, attributions=maps * (noise > -1), cache=MemoryCache(), shared=shared)
        scores.append(run(spec, ev))
        counts.append(view.model.n_evaluations - started)
    return counts, scores, ev


@pytest.mark.parametrize("kind", ["image", "table"])
def test_metrics_of_a_unit_share_one_curve(kind: str) -> None:
    specs = {s.name: s for s in METRICS_OF_ARRAYS}
    view = problem(kind)
    ev = evaluation(view)
    run(specs["pixel_flipping"], ev)
    before = view.model.n_evaluations
    run(specs["deletion"], ev)
    assert view.model.n_evaluations == before


def test_a_digest_decides_the_draws_not_the_position() -> None:
    view = problem("image")
    spec = next(s for s in METRICS_OF_ARRAYS if s.name == "infidelity")
    other = replace(view, digests=row_digests(np.arange(N)))
    assert not torch.equal(run(spec, evaluation(view)), run(spec, evaluation(other)))


def contract() -> Iterator[tuple[str, Callable[..., None]]]:
    """Every test of this module that is about one metric, whichever."""
    for name, test in sorted(globals().items()):
        if name.startswith("test_") and "spec" in inspect.signature(test).parameters:
            yield name, test


def hold_to_contract(spec: MetricSpec, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Put a metric through the whole contract; gives the names of the tests that it fails."""
    failed = set()
    for name, test in contract():
        kinds = [kind for kind in SHAPES if applies(spec, kind) != (name == "test_other_kinds_of_data_are_refused")]
        for kind in kinds if "kind" in inspect.signature(test).parameters else [home(spec)]:
            given = {"spec": spec, "kind": kind, "monkeypatch": monkeypatch}
            if name == "test_sixteen_explainers_evaluate_the_model_as_often_as_one" and not spec.shares_evaluations:
                continue
            try:
                test(**{k: v for k, v in given.items() if k in inspect.signature(test).parameters})
            except (AssertionError, pytest.fail.Exception):
                failed.add(name)
            except pytest.skip.Exception:
                pass
            finally:
                monkeypatch.undo()
    return failed


PLUGIN = '''
import torch
import xaibench as xb

@xb.metric("peak", family="complexity", higher_is_better=True, source="this test", bounds=(0, None), DECLARED)
def peak(ev):
    """The largest magnitude of a map."""
    return ev.attributions.abs().flatten(1).max(dim=1).values
'''


@pytest.mark.parametrize(
    ("declared", "failed"),
    [
        ("scale_invariant=False", set()),
        ("", {"test_positive_rescaling_matters_only_where_it_must"}),
        (
            "scale_invariant=False, place_matters=True, undefined_for={'zero maps'}",
            {
                "test_permuting_the_pixels_of_everything_matters_only_where_it_must",
                "test_zero_constant_and_nan_maps_have_a_defined_outcome",
            },
        ),
    ],
    ids=["right", "nothing", "too much"],
)
def test_a_metric_in_a_file_of_its_own_is_held_to_what_it_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: str, failed: set[str]
) -> None:
    file = tmp_path / "peak.py"
    file.write_text(PLUGIN.replace("DECLARED", declared))
    spec = registry.get("metric", f"{file}:peak")
    assert isinstance(spec, MetricSpec)
    assert hold_to_contract(spec, monkeypatch) == failed

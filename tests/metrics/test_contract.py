"""What every metric promises, on every kind of data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import SHAPES, cnn, gradient, linear, make_evaluation, make_inputs, make_view, mlp, occlusion
from helpers.refit import Refit
from torch import nn

from xaibench.core.components import DATA_NEEDS, MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.keys import row_digests
from xaibench.core.problem import ProblemView
from xaibench.core.registry import components
from xaibench.core.scoring import score
from xaibench.core.storage.cache import MemoryCache, SharedCache
from xaibench.core.truth import Truth

METRICS = [spec for spec in components("metric") if isinstance(spec, MetricSpec) and not spec.about_programs]
FIRST_SET = {
    "pixel_flipping", "insertion", "deletion", "faithfulness_correlation", "infidelity", "max_sensitivity", "mprt",
    "random_logit", "relevance_rank", "relevance_mass", "sparseness", "complexity", "completeness",
}  # fmt: skip
SMALL = {
    "n_samples": 6, "n_subsets": 9, "steps": 5, "epsilon": 0.02, "n_retrainings": 2, "n_repeats": 2,
    "min_accuracy": 0.0,
}  # fmt: skip
OVER_DATA = {s.name: "a score over a data set is no mean over its samples" for s in METRICS if s.scope == "dataset"}
"""One score per repeat: what is promised of single samples does not apply, everything else does."""
N = 7
every_metric = pytest.mark.parametrize("spec", METRICS, ids=lambda s: s.name)


def applies(spec: MetricSpec, shape: str) -> bool:
    """Whether a metric is offered for this kind of data; one that names no kind is offered for all."""
    kinds = spec.needs & DATA_NEEDS
    return not kinds or {"rgb": "image"}.get(shape, shape) in kinds


def home(spec: MetricSpec) -> str:
    """A table, or an image for metrics that are not about tables."""
    return "table" if applies(spec, "table") else "image"


each_on_its_shapes = pytest.mark.parametrize(
    ("spec", "kind"), [pytest.param(s, k, id=f"{s.name}-{k}") for s in METRICS for k in SHAPES if applies(s, k)]
)


def run(spec: MetricSpec, ev: Evaluation, **params: object) -> torch.Tensor:
    small = {name: value for name, value in SMALL.items() if name in spec.parameters}
    return score(spec, spec.bind({**small, **params}), ev).values


def problem(kind: str, *, batch_size: int | None = None, n: int = N, module: nn.Module | None = None) -> ProblemView:
    shape = SHAPES[kind]
    inputs = 3 * make_inputs(shape, n, seed=5)
    if module is None:
        module = cnn(shape) if kind in ("image", "rgb") else mlp(shape)
    view = make_view(module, inputs, batch_size=batch_size, background=make_inputs(shape, 20, seed=1))
    mask = torch.from_numpy(np.random.default_rng(2).random((n, *view.layout.feature_shape)) < 0.4)
    mask[:, 0] = False
    mask[:, -1] = True
    distractors = ~mask & torch.from_numpy(np.random.default_rng(3).random(mask.shape) < 0.6)
    distractors[:, 0] = True
    return replace(view, truth=Truth("model", mask, planted_weights(make_view(module, inputs)), distractors))


def planted_weights(view: ProblemView) -> torch.Tensor:
    """Slopes of the model, disturbed: truth that gradients get partly right."""
    slopes = gradient(view)
    noise = torch.from_numpy(np.random.default_rng(6).standard_normal(slopes.shape).astype(np.float32))
    return slopes + slopes.flatten(1).std(dim=1).view(-1, *[1] * (slopes.ndim - 1)) * noise


def evaluation(view: ProblemView, attributions: torch.Tensor | None = None) -> Evaluation:
    """Gradients as contributions for several channels, where slopes cannot be converted."""
    return make_evaluation(view, attributions, kind="contribution" if view.layout.channels else "slope")


def take(view: ProblemView, rows: list[int]) -> ProblemView:
    return view.take(torch.tensor(rows))


def test_the_first_set_is_there() -> None:
    assert {spec.name for spec in METRICS} >= FIRST_SET
    for spec in METRICS:
        assert spec.summary.endswith((".", "?", "``"))
        assert spec.source


PERFECT_GRADIENT = {"input_invariance", "rerun_stability", "non_sensitivity"}
"""The gradient has no draws, does not know where zero is, and is nowhere 0 without cause: these are 0 for it."""
NEEDS_COMPANY = {"consistency", "sufficiency_distance"}
"""Undefined, by their definition, where no reference sample shares the explanation: with many pixels, few do."""
NEEDS_LIGHT = {"input_independence"}
"""Undefined, by its definition, where the region is dark in the sample itself; nearby inputs may all pass."""
ONE_NUMBER = {
    "commonality_correlation", "discovery_power", "false_discovery_proportion", "power_at_fdr",
}  # fmt: skip
"""Over a data set, without repeats."""
COARSE = {"distractor_share"}
"""0 or 1 where its default k is one feature, as of a table: seven samples may well agree."""

ANSWERED = {"slope_test", "recourse_test"}
"""The gradient answers questions about short steps; read as a contribution, it is about a coin."""
NEEDS_FLAT = {"spurious_test"}
"""Undefined, by its definition, where the output is flat in no feature: with few features, in most samples."""


@each_on_its_shapes
def test_one_finite_number_per_sample_within_bounds(spec: MetricSpec, kind: str) -> None:
    values = run(spec, evaluation(problem(kind)))
    repeats = 1 if spec.name in ONE_NUMBER else SMALL["n_repeats"]
    assert values.shape == (repeats if spec.name in OVER_DATA else N,)
    defined = values[torch.isfinite(values)]
    low, high = spec.bounds
    assert low is None or bool((defined >= low - 1e-6).all())
    assert high is None or bool((defined <= high + 1e-6).all())
    if spec.name in NEEDS_COMPANY | NEEDS_LIGHT:
        assert len(defined) > 0 or kind != "table"
        return
    if spec.name in NEEDS_FLAT:
        assert len(defined) >= {"image": 5, "rgb": N}.get(kind, 0)
        return
    assert len(defined) == len(values)
    if spec.name in ANSWERED and kind in ("table", "series"):
        assert float(values.min()) > 1.5
        return
    if spec.name in PERFECT_GRADIENT:
        assert float(values.abs().max()) < 1e-5
    elif spec.name not in OVER_DATA and not (spec.name in COARSE and kind == "table"):
        assert len(values.unique()) > 1


@pytest.mark.parametrize(
    ("spec", "kind"), [pytest.param(s, k, id=f"{s.name}-{k}") for s in METRICS for k in SHAPES if not applies(s, k)]
)
def test_other_kinds_of_data_are_refused(spec: MetricSpec, kind: str) -> None:
    with pytest.raises(UnsupportedError):
        run(spec, evaluation(problem(kind)))


@each_on_its_shapes
def test_scores_do_not_depend_on_the_other_samples(spec: MetricSpec, kind: str) -> None:
    if spec.name in OVER_DATA:
        pytest.skip(OVER_DATA[spec.name])
    view = problem(kind)
    whole = run(spec, evaluation(view))
    order = [4, 0, 6, 2, 5, 1, 3]
    np.testing.assert_allclose(run(spec, evaluation(take(view, order))), whole[order], rtol=1e-4, atol=1e-5)
    for row in (0, 5):
        alone = run(spec, evaluation(take(view, [row])))
        np.testing.assert_allclose(alone, whole[[row]], rtol=1e-4, atol=1e-5)


@each_on_its_shapes
def test_scores_do_not_depend_on_the_batch_size(spec: MetricSpec, kind: str) -> None:
    one, seven, many = (run(spec, evaluation(problem(kind, batch_size=size))) for size in (1, 7, 64))
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seven, many, rtol=1e-4, atol=1e-5)


@every_metric
def test_the_memory_bound_changes_nothing(spec: MetricSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(spec, evaluation(problem("image", batch_size=1, n=3)))
    monkeypatch.setattr("xaibench.metrics.engines.perturbation.BLOCK_BYTES", 1)
    np.testing.assert_allclose(run(spec, evaluation(problem("image", batch_size=1, n=3))), whole, rtol=1e-4, atol=1e-5)


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


@every_metric
def test_global_generators_are_left_alone(spec: MetricSpec) -> None:
    ev = evaluation(problem(home(spec)))
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(spec, ev)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


UNDEFINED_FOR_ZERO = {
    "consistency", "faithfulness_estimate", "monotonicity_correlation", "sufficiency_distance",
    "faithfulness_correlation", "mu_fidelity", "sensitivity_n", "max_sensitivity", "mprt", "random_logit",
    "sparseness", "complexity",
    "relevance_mass", "positive_attribution_ratio", "attribution_localisation", "emd", "aup", "aur", "rank_correlation",
    "avg_sensitivity", "rerun_stability", "relative_input_stability", "relative_output_stability",
    "relative_representation_stability", "efficient_mprt", "input_invariance", "label_randomisation",
    "distractor_mass", "distractor_ratio", "input_independence",
}  # fmt: skip
UNDEFINED_FOR_CONSTANT = {
    "mprt", "efficient_mprt", "random_logit", "aup", "aur", "rank_correlation", "label_randomisation",
    "faithfulness_estimate", "monotonicity_correlation", *NEEDS_COMPANY,
}  # fmt: skip


@every_metric
def test_zero_constant_and_nan_maps_have_a_defined_outcome(spec: MetricSpec) -> None:
    view = problem("image")
    explained = evaluation(view).attributions
    maps = explained.clone()
    maps[0], maps[1] = 0, 0.3
    maps[2, 0, 0], maps[3, 1, 1] = torch.nan, torch.inf
    values = run(spec, make_evaluation(view, maps, kind="contribution"))
    if spec.name in OVER_DATA:
        assert bool(torch.isnan(values).all())
        return
    assert bool(torch.isnan(values[0])) == (spec.name in UNDEFINED_FOR_ZERO)
    undefined = UNDEFINED_FOR_CONSTANT | {"faithfulness_correlation", "mu_fidelity", "sensitivity_n"}
    assert bool(torch.isnan(values[1])) == (spec.name in undefined)
    assert bool(torch.isnan(values[2:4]).all())
    clean = run(spec, make_evaluation(view, explained, kind="contribution"))
    np.testing.assert_array_equal(values[4:], clean[4:])


SCALE_MATTERS = {"completeness", "effective_complexity", "local_lipschitz", "continuity", "neighbourhood_fit"}


@every_metric
def test_positive_rescaling_matters_only_where_it_must(spec: MetricSpec) -> None:
    view = problem(home(spec))
    ev = evaluation(view)

    def scaled(view: ProblemView, stream: str) -> torch.Tensor:
        return 8 * gradient(view)

    values = run(spec, make_evaluation(view, kind=ev.kind, function=scaled))
    same = np.allclose(values, run(spec, ev), rtol=1e-4, atol=1e-6, equal_nan=True)
    assert same == (spec.name not in SCALE_MATTERS)


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
        defined = torch.isfinite(run(spec, ev))
        few = spec.name in NEEDS_COMPANY | NEEDS_LIGHT
        assert spec.name in NEEDS_FLAT or bool(defined.any() if few else defined.all())


PLACE_MATTERS = {
    "mprt": "random weights belong to places",
    "smooth_mprt": "random weights belong to places",
    "emd": "distances between pixels are what it measures",
    "continuity": "it moves the input along neighbouring places",
    "monotonicity_correlation": "the random values that replace features belong to places",
    "irof": "superpixels are made of neighbours",
    "pgi": "noise belongs to places",
    "pgu": "noise belongs to places",
    "region_perturbation": "patches are made of neighbours",
    "road_lerf": "pixels are imputed from their neighbours",
    "road_morf": "pixels are imputed from their neighbours",
    "selectivity": "patches are made of neighbours",
}


@every_metric
def test_permuting_the_pixels_of_everything_changes_nothing(spec: MetricSpec) -> None:
    if spec.name in PLACE_MATTERS:
        pytest.skip(PLACE_MATTERS[spec.name])
    shape, n = (1, 6, 6), 5
    module = linear(shape)
    weights, inputs = module[1].weight.detach(), make_inputs(shape, n)  # type: ignore[index]
    shuffle = torch.from_numpy(np.random.default_rng(3).permutation(36))
    shuffled = linear(shape)
    shuffled[1].load_state_dict({"weight": weights[:, shuffle], "bias": module[1].bias.detach()})  # type: ignore[index]
    mask, distractors = (torch.arange(36).view(1, 6, 6).expand(n, 6, 6) % 3 == rest for rest in (0, 1))
    slopes = planted_weights(make_view(module, inputs))
    background = make_inputs(shape, 30, seed=1) if "background" in spec.needs else None
    view = make_view(module, inputs, background=background, truth=Truth("model", mask, slopes, distractors))
    moved = replace(
        view,
        model=make_view(shuffled, inputs).model,
        inputs=inputs.flatten(1)[:, shuffle].view(n, *shape),
        background=None if background is None else background.flatten(1)[:, shuffle].view(30, *shape),
        truth=Truth("model", *(t.flatten(1)[:, shuffle].view(n, 6, 6) for t in (mask, slopes, distractors))),
    )
    moved_ev = make_evaluation(moved, retraining=Refit(view, shuffle=shuffle.numpy()))
    np.testing.assert_allclose(run(spec, moved_ev), run(spec, make_evaluation(view)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [
    "faithfulness_correlation", "faithfulness_estimate", "infidelity", "monotonicity_correlation", "mu_fidelity",
    "sensitivity_n",
])  # fmt: skip
def test_sixteen_explainers_evaluate_the_model_as_often_as_one(name: str) -> None:
    spec = next(s for s in METRICS if s.name == name)
    view, shared = problem("image"), SharedCache()
    base = evaluation(view)
    counts, scores = [], []
    for number in range(16):
        maps = base.attributions + 0.01 * number * make_inputs((8, 8), N, seed=number)
        ev = replace(base, attributions=maps, cache=MemoryCache(), shared=shared)
        scores.append(run(spec, ev))
        counts.append(view.model.n_evaluations)
    assert counts[0] > 0
    assert counts[-1] == counts[0]
    last = run(spec, replace(ev, cache=MemoryCache(), shared=SharedCache()))
    assert torch.equal(scores[-1], last)
    assert not torch.equal(scores[0], last)


@pytest.mark.parametrize("kind", ["image", "table"])
def test_metrics_of_a_unit_share_one_curve(kind: str) -> None:
    specs = {s.name: s for s in METRICS}
    view = problem(kind)
    ev = evaluation(view)
    run(specs["pixel_flipping"], ev)
    before = view.model.n_evaluations
    run(specs["deletion"], ev)
    assert view.model.n_evaluations == before


def test_a_digest_decides_the_draws_not_the_position() -> None:
    view = problem("image")
    spec = next(s for s in METRICS if s.name == "infidelity")
    other = replace(view, digests=row_digests(np.arange(N)))
    assert not torch.equal(run(spec, evaluation(view)), run(spec, evaluation(other)))

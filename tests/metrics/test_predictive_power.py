"""ROAR, KAR, mask leakage and DiffROAR on data of which one feature is the label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import gradient, linear, make_evaluation, make_view
from helpers.refit import Refit
from torch import Tensor, nn

from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import Explainer, explain, explain_function
from xaibench.core.predictor import CallablePredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.metrics.engines.explained_rows import chosen_rows, explain_rows, explained, rows_of

F, N_TRAIN, N_TEST, TOLD = 10, 200, 400, 3
CHANCE = pytest.approx(0.5, abs=0.1)


class LeastSquares(Refit):
    """Fits a linear model exactly."""

    def build(self, data: Data, seed: int) -> nn.Module:
        x = np.hstack([data.train_inputs.reshape(len(data.train_inputs), -1), np.ones((len(data.train_inputs), 1))])
        answers = np.eye(data.n_classes)[data.train_targets]
        found = torch.from_numpy(np.linalg.lstsq(x, answers, rcond=1e-6)[0].T.astype(np.float32))
        module = nn.Sequential(nn.Flatten(), nn.Linear(x.shape[1] - 1, data.n_classes))
        module[1].load_state_dict({"weight": found[:, :-1], "bias": found[:, -1]})
        return module.eval()


def told(*, masks: bool = False, told_at: int | None = TOLD) -> Data:
    """Noise, with the label, -1 or 1, in one column."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N_TRAIN + N_TEST, F)).astype(np.float32)
    y = rng.integers(2, size=len(x))
    if told_at is not None:
        x[:, told_at] = 2 * y - 1
    mask = np.tile(np.arange(F) == told_at, (len(x), 1))
    return Data(
        "table", x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:],
        test_mask=mask[N_TRAIN:] if masks else None, train_mask=mask[:N_TRAIN] if masks else None,
    )  # fmt: skip


def evaluation(
    function: Callable[[ProblemView, str], Tensor], data: Data | None = None, *, kind: str = "contribution", n: int = 4
) -> Evaluation:
    data = data or told()
    view = make_view(
        linear((F,), 2), torch.from_numpy(data.test_inputs[:n]), background=torch.from_numpy(data.train_inputs)
    )
    return make_evaluation(view, function=function, kind=kind, retraining=LeastSquares(view, data))


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def right(view: ProblemView, stream: str) -> Tensor:
    return (torch.arange(F) == TOLD).float().expand(len(view), F)


def wrong(view: ProblemView, stream: str) -> Tensor:
    return 1 - right(view, stream)


def noise(view: ProblemView, stream: str) -> Tensor:
    return view.draws(stream).normal((F,))


def test_without_the_feature_that_tells_nothing_is_learned_and_with_it_alone_everything() -> None:
    best, worst = evaluation(right), evaluation(wrong)
    assert run("roar", best).tolist() == [CHANCE] * 3
    assert run("kar", best).tolist() == [1] * 3
    assert run("roar", worst).tolist() == [1] * 3
    assert run("kar", worst).tolist() == [CHANCE] * 3
    for name in ("roar", "kar"):
        between = float(run(name, evaluation(noise)).mean())
        assert between == pytest.approx(0.75, abs=0.1)


def test_an_order_is_all_that_counts_and_magnitudes_make_it() -> None:
    ev = evaluation(lambda view, stream: -3 * right(view, stream))
    assert torch.equal(run("roar", ev), run("roar", evaluation(right)))
    assert run("roar", ev, sign="signed").tolist() == [1] * 3


@pytest.mark.parametrize(
    ("function", "expected"),
    [(right, 0.5), (wrong, -0.5), (noise, 0), (lambda v, s: torch.zeros(len(v), F), 0)],
    ids=["oracle", "inverted", "random", "constant"],
)
def test_diffroar_tells_the_oracle_from_random_maps_and_from_its_opposite(
    function: Callable[[ProblemView, str], Tensor], expected: float
) -> None:
    assert run("diffroar", evaluation(function), n_retrainings=2).tolist() == [pytest.approx(expected, abs=0.1)] * 2


def points_at_its_target(view: ProblemView, stream: str) -> Tensor:
    return torch.nn.functional.one_hot(view.targets, F).float()


def test_a_mask_that_tells_the_label_is_found_out() -> None:
    """The data are positive noise, so that everything above chance comes from the mask."""
    data = told(told_at=None)
    data = replace(data, train_inputs=data.train_inputs + 5, test_inputs=data.test_inputs + 5)
    ev = evaluation(points_at_its_target, data)
    assert run("mask_leakage", ev, target="label", shares=(0.1,)).tolist() == [1] * 3
    assert run("kar", ev, target="label", shares=(0.1,), masker="zero").min() > 0.95
    # The model that is explained knows nothing of the labels, so its predictions cannot tell them.
    assert run("mask_leakage", ev, target="predicted", shares=(0.1,)).tolist() == [CHANCE] * 3
    for function in (noise, right):
        assert run("mask_leakage", evaluation(function, data), target="label").tolist() == [CHANCE] * 3


def test_without_a_background_the_training_data_are_the_background() -> None:
    """The mean of a sample of 10 numbers, filled in, would tell the one that was removed."""
    without = replace(evaluation(right), background=None)
    assert torch.equal(run("roar", without), run("roar", evaluation(right)))


def test_a_mask_says_nothing_of_values() -> None:
    """`kar` sees the column that tells the label, a mask of it is the same for every sample."""
    assert run("mask_leakage", evaluation(right)).tolist() == [CHANCE] * 3


def test_signed_slopes_are_ordered_as_contributions_under_the_metrics_masker() -> None:
    def contributions(view: ProblemView, stream: str) -> Tensor:
        return gradient(view) * (view.inputs - view.baseline("mean"))

    slopes = run("roar", evaluation(gradient, kind="slope"), sign="signed")
    assert torch.equal(slopes, run("roar", evaluation(contributions), sign="signed"))
    assert not torch.equal(slopes, run("roar", evaluation(gradient), sign="signed"))


def test_the_oracle_explains_the_training_data_where_their_truth_is_known() -> None:
    spec = get("explainer", "oracle")
    assert isinstance(spec, ExplainerSpec)
    for masks in (True, False):
        ev = evaluation(right, told(masks=masks))
        mask = torch.from_numpy(told(masks=True).test_mask[:4])
        view = make_view(linear((F,), 2), ev.inputs, truth=Truth("model", mask))
        ev = replace(ev, explainer=Explainer(explain_function(spec, {}), view, "explain/oracle"))
        if masks:
            assert run("kar", ev).tolist() == [1] * 3
        else:
            with pytest.raises(UnsupportedError, match="is given the truth"):
                run("kar", ev)


def test_one_map_that_is_not_finite_leaves_no_score() -> None:
    def one_nan(view: ProblemView, stream: str) -> Tensor:
        return torch.where(view.inputs[:, :1] == float(told().train_inputs[7, 0]), torch.nan, view.inputs)

    ev = evaluation(one_nan)
    assert bool(torch.isfinite(ev.attributions).all())
    for name in ("roar", "kar", "mask_leakage", "diffroar"):
        assert bool(run(name, ev).isnan().all())


def test_only_rows_within_the_limit_are_used_and_data_in_order_of_class_keep_all_classes() -> None:
    assert chosen_rows(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert chosen_rows(100, 3).tolist() == [0, 49, 99]
    assert chosen_rows(7, 1).tolist() == [0]
    data = told()
    order = np.argsort(data.train_targets, kind="stable")
    ordered = replace(data, train_inputs=data.train_inputs[order], train_targets=data.train_targets[order])
    assert run("kar", evaluation(right, ordered), max_train=30, max_test=50).tolist() == [1] * 3


class Spy:
    """Counts the samples that an explainer is asked for."""

    def __init__(self, function: Callable[[ProblemView, str], Tensor]) -> None:
        self.function = function
        self.n = 0

    def __call__(self, view: ProblemView, stream: str) -> Tensor:
        self.n += len(view)
        return self.function(view, stream)


def test_the_data_are_explained_once_for_all_metrics_of_an_explanation() -> None:
    spy = Spy(gradient)
    ev = evaluation(spy)
    spy.n = 0
    run("roar", ev)
    assert spy.n == N_TRAIN + N_TEST
    run("kar", ev)
    run("mask_leakage", ev)
    assert spy.n == N_TRAIN + N_TEST


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_are_explained_again_only_where_the_model_is_wrong(split: str) -> None:
    spy = Spy(gradient)
    ev = evaluation(spy)
    found = explained(ev, split, 150, "label")  # type: ignore[arg-type]
    rows = rows_of(ev, split, 150)  # type: ignore[arg-type]
    predicted = ev.model.predict(rows.inputs).argmax(dim=1)
    n_wrong = int((predicted != rows.targets).sum())
    assert 0 < n_wrong < 150
    assert spy.n == 4 + 150 + n_wrong
    assert torch.equal(found.targets, rows.targets)
    assert torch.equal(found.attributions, explain(gradient, rows, ""))
    assert torch.equal(explained(ev, split, 150, "predicted").targets, predicted)  # type: ignore[arg-type]


def test_rows_are_explained_with_their_own_draws_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    ev = evaluation(noise)
    rows = rows_of(ev, "test", 400)
    whole = explain_rows(ev, rows)
    assert torch.equal(whole[:4], ev.attributions)
    monkeypatch.setattr("xaibench.metrics.engines.explained_rows._BLOCK", 7)
    assert torch.equal(explain_rows(ev, rows), whole)


def test_equal_masked_data_are_learned_once() -> None:
    """Keeping the top half and removing the bottom half is one data set; seeds and shares are others."""
    ev = evaluation(noise)
    fits = ev.retraining
    assert isinstance(fits, LeastSquares)
    run("kar", ev, shares=(0.5, 0.9), masker="zero", target="label")
    assert fits.n_fits == 2 * 3
    run("diffroar", ev, shares=(0.5,))
    assert fits.n_fits == 2 * 3 + 3
    other = replace(evaluation(lambda v, s: 2 * noise(v, "explain")), retraining=fits)
    run("kar", other, shares=(0.5, 0.9), masker="zero", target="label")
    assert fits.n_fits == 2 * 3 + 3


def test_without_a_background_the_mean_is_that_of_the_rows_that_are_used() -> None:
    data = told()
    drifting = replace(data, train_inputs=data.train_inputs + np.arange(N_TRAIN, dtype=np.float32)[:, None] / 20)
    make = lambda: replace(evaluation(noise, drifting), background=None)  # noqa: E731
    shared = make()
    run("kar", shared, max_train=10)
    assert torch.equal(run("kar", shared, max_train=60), run("kar", make(), max_train=60))


def test_a_single_feature_cannot_be_removed_in_part() -> None:
    data = told()
    first = replace(data, train_inputs=data.train_inputs[:, :1], test_inputs=data.test_inputs[:, :1])
    view = make_view(linear((1,), 2), torch.from_numpy(first.test_inputs[:4]))
    with pytest.raises(UnsupportedError, match="only one"):
        run("roar", make_evaluation(view, kind="contribution", retraining=LeastSquares(view, first)))


def test_what_cannot_be_retrained_says_so() -> None:
    ev = evaluation(right)
    with pytest.raises(UnsupportedError, match="retrains the model"):
        run("roar", replace(ev, retraining=None))
    values = CallablePredictor(lambda x: x[:, :1], "value")
    with pytest.raises(UnsupportedError, match="measure accuracy"):
        run("roar", replace(ev, model=values, output="value"))


@pytest.mark.parametrize("params", [{"shares": ()}, {"shares": (1.0,)}, {"shares": (0.0,)}, {"recipe": "mpl"}])
def test_wrong_parameters_are_found_before_anything_runs(params: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        get("metric", "roar").bind(params)


def test_shares_come_from_a_suite_as_a_list() -> None:
    assert get("metric", "roar").bind({"shares": [0.2, 0.4], "recipe": "mlp"})["shares"] == (0.2, 0.4)
    with pytest.raises(UsageError):
        get("metric", "diffroar").bind({"shares": [0.6]})

"""The first look at a model: the right value, or one sentence, for models as people have them."""

from __future__ import annotations

import threading
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs
from helpers.odd_models import Around, Attributes, Codes, ModelOutput, Tagger, WithoutBatchFirst, small_net
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn
from torch.nn import functional as fn

import xaibench as xb
from xaibench.models.adapters import as_predictor
from xaibench.models.first_look import first_look

X = make_inputs((6,), 8)
NET = small_net()
SERIES = make_inputs((9, 5), 6)
GRADIENT_EXPLAINERS = ["gradient", "saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "vargrad",
                       "gradient_shap", "deep_lift", "lrp", "guided_backprop", "deconvolution"]  # fmt: skip
Pair = namedtuple("Pair", ["features", "logits"])


def facts(model: Any, inputs: Tensor = X, **said: Any) -> Any:
    found = first_look(as_predictor(model, **said), inputs, given=said.get("returns")).facts
    assert found is not None
    return found


# What models return their outputs in

HOLDERS: dict[str, tuple[Any, str]] = {
    "dictionary": (lambda m, x: {"logits": m.net(x)}, "dictionary, logits"),
    "dictionary with more": (lambda m, x: {"hidden": x, "logits": m.net(x), "loss": None}, "dictionary, logits"),
    "only entry": (lambda m, x: {"scores": m.net(x)}, "dictionary, scores"),
    "model output": (lambda m, x: ModelOutput(logits=m.net(x), attentions=x), "dictionary, logits"),
    "tuple": (lambda m, x: (m.net(x), x), "tuple, first of 2"),
    "named tuple": (lambda m, x: Pair(x, m.net(x)), "tuple, logits"),
    "object": (lambda m, x: Attributes(m.net(x)), "Attributes, logits"),
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("explainer", ["gradient", "integrated_gradients", "deep_lift", "lrp", "occlusion"])
def test_outputs_are_read_wherever_they_are(holder: str, explainer: str) -> None:
    written, part = HOLDERS[holder]
    model = Around(NET, written).eval()
    found, expected = (xb.explain(explainer, model=m, inputs=X) for m in (model, NET))
    np.testing.assert_array_equal(found, expected)
    assert facts(model).output == part
    assert not model._forward_hooks, "the caller's model must stay as it is"


@pytest.mark.parametrize("metric", ["pixel_flipping", "mprt", "relative_representation_stability", "input_invariance"])
def test_metrics_take_a_dictionary_too(metric: str) -> None:
    model = Around(NET, lambda m, x: {"logits": m.net(x)}).eval()
    found, expected = (xb.score(metric, model=m, inputs=X, explain="gradient") for m in (model, NET))
    if metric == "mprt":  # Weights are drawn by name, and here the names are others.
        assert np.isfinite(found).all()
    else:
        np.testing.assert_array_equal(found, expected)


def test_a_black_box_may_return_a_dictionary_or_a_tuple() -> None:
    weights = np.arange(18.0).reshape(6, 3)
    expected = xb.explain("occlusion", model=lambda a: a @ weights, inputs=X, returns="logit")
    for box in (lambda a: {"logits": a @ weights, "b": a}, lambda a: (a @ weights, a)):
        np.testing.assert_array_equal(xb.explain("occlusion", model=box, inputs=X, returns="logit"), expected)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda m, x: {"a": m.net(x), "b": x}, "a dictionary with a, b, and none is called 'logits'"),
        (lambda m, x: {}, "a dictionary with no entries"),
        (lambda m, x: (None, m.net(x)), "a tuple whose first element is a NoneType"),
        (lambda m, x: m.net(x).sum(), r"returned shape \(\)"),
        (lambda m, x: m.net(x)[:, :, None], r"returned shape \(8, 3, 1\)"),
        (lambda m, x: None, "returned NoneType, not numbers"),
        (lambda m, x: "yes", "returned str, not numbers"),
        (lambda m, x: torch.complex(m.net(x), m.net(x)), "complex numbers"),
        (lambda m, x: m.net(x[:, :2]), "shapes cannot be multiplied"),
        (lambda m, x: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
@pytest.mark.parametrize("explainer", ["gradient", "occlusion"])
def test_what_cannot_be_read_is_one_sentence(answer: Any, message: str, explainer: str) -> None:
    with pytest.raises(xb.UsageError, match=message) as caught:
        xb.explain(explainer, model=Around(NET, answer).eval(), inputs=X)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda a: {"a": a, "b": a}, "none is called 'logits'"),
        (lambda a: [[1], [1, 2]] * (len(a) // 2) + [[1]] * (len(a) % 2), "rows of different lengths"),
        (lambda a: ["yes"] * len(a), "an array of <U3, not numbers"),
        (lambda a: (a.mean(1), a.std(1)), "2 rows for 8 inputs"),
        (lambda a: a["x"], "IndexError"),
    ],
)
def test_what_cannot_be_read_of_a_black_box_is_one_sentence(answer: Any, message: str) -> None:
    with pytest.raises(xb.UsageError, match=message):
        xb.explain("occlusion", model=answer, inputs=X, returns="logit")


# Rows and samples


@pytest.mark.parametrize("explainer", ["gradient", "occlusion"])
@pytest.mark.parametrize(
    ("model", "n"),
    [
        (WithoutBatchFirst(nn.LSTM), 6),
        (WithoutBatchFirst(nn.GRU), 6),
        (WithoutBatchFirst(nn.RNN), 1),
        (WithoutBatchFirst(nn.LSTM), 9),
        (Tagger(), 6),
    ],
    ids=["lstm", "gru", "one sample", "as many samples as steps", "tagger"],
)
def test_more_rows_than_samples_are_one_sentence(model: nn.Module, n: int, explainer: str) -> None:
    inputs = make_inputs((9, 5), n)
    with pytest.raises(xb.UsageError, match=r"returned \d+ rows for \d inputs") as caught:
        xb.explain(explainer, model=model.eval(), inputs=inputs, features="series")
    assert "batch_first=True" in str(caught.value.hint)


# Gradients


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = torch.relu(self.a(inputs))
        out: Tensor = self.b(hidden)
        return out


WITHOUT_GRADIENT: dict[str, Any] = {
    "frozen": Frozen().eval(),
    "codes": Around(small_net(), lambda m, x: m.net(x.long().float())).eval(),
    "votes": Around(NET, lambda m, x: fn.one_hot(m.net(x).argmax(1), 3).float()).eval(),
    "numpy": Around(NET, lambda m, x: m.net(torch.from_numpy(x.detach().numpy()))).eval(),
    "numpy that fails": Around(NET, lambda m, x: m.net(torch.from_numpy(x.numpy()))).eval(),
    "inference": Around(NET, torch.inference_mode()(lambda m, x: m.net(x).clone())).eval(),
}


@pytest.mark.parametrize("name", GRADIENT_EXPLAINERS)
@pytest.mark.parametrize("model", WITHOUT_GRADIENT)
def test_without_a_gradient_every_gradient_explainer_says_so(model: str, name: str) -> None:
    with pytest.raises(xb.UnsupportedError, match=r"gradient|numpy") as caught:
        xb.explain(name, model=WITHOUT_GRADIENT[model], inputs=X, returns="logit")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("model", ["frozen", "codes", "numpy"])
def test_controls_and_black_box_explainers_do_without(model: str) -> None:
    net = WITHOUT_GRADIENT[model]
    assert np.isfinite(xb.explain("occlusion", model=net, inputs=X)).all()
    found = xb.explain("other_sample", model=net, inputs=X, background=X)
    boxed = xb.explain(
        "other_sample", model=lambda a: net(torch.from_numpy(a)).detach(), inputs=X, background=X, returns="logit"
    )
    np.testing.assert_allclose(found, boxed, rtol=1e-5, atol=1e-6)


# What the numbers are


def test_an_unused_softmax_layer_does_not_make_probabilities_of_logits() -> None:
    torch.manual_seed(0)
    model = Around(nn.Linear(6, 3), lambda m, x: m.net(x) * 5, softmax=nn.Softmax(dim=1)).eval()
    maps = xb.explain("gradient", model=model, inputs=X)
    found = xb.score("pixel_flipping", model=model, inputs=X, attributions=maps)
    said = xb.score("pixel_flipping", model=model, inputs=X, attributions=maps, returns="logit")
    np.testing.assert_array_equal(found, said)
    assert ((found >= 0) & (found <= 1)).all()
    assert facts(model).returns_from == "default"


@pytest.mark.parametrize(
    "written",
    [
        lambda m, x: fn.softmax(m.net(x), dim=1),
        lambda m, x: m.net(x).log_softmax(1).exp(),
        lambda m, x: torch.stack([1 - (p := m.net(x)[:, 0].sigmoid()), p], dim=1),
        lambda m, x: torch.sigmoid(m.net(x)),
        lambda m, x: {"logits": m.net(x).sigmoid()},
    ],
    ids=["softmax", "exp of log", "both classes", "sigmoid", "sigmoid in a dictionary"],
)
def test_probabilities_made_in_forward_are_not_softmaxed_again(written: Any) -> None:
    model = Around(NET, written).eval()
    assert facts(model).returns == "probability"
    curve = xb.curve("pixel_flipping", model=model, inputs=X, attributions=X, steps=3)
    raw = model(X)
    clean = (raw["logits"] if isinstance(raw, dict) else raw).max(dim=1).values
    np.testing.assert_allclose(curve[:, 0], clean.detach(), rtol=1e-6)


def test_a_single_sample_is_enough_where_the_operation_is_known() -> None:
    for last, returns in ((nn.Softmax(1), "probability"), (nn.Sigmoid(), "probability"), (nn.Identity(), "logit")):
        assert facts(nn.Sequential(NET, last), X[:1]).returns == returns


@pytest.mark.parametrize(
    ("model", "said", "message", "hint"),
    [
        (NET, "probability", "are not probabilities", 'returns="logit"'),
        (nn.Sequential(NET, nn.Softmax(1)), "logit", "sum to 1", 'returns="probability"'),
        (lambda a: 3 * a[:, :3], None, "unless something else is said", 'returns="logit"'),
        (lambda a: 3 * a[:, 0], None, "are not probabilities", 'returns="value"'),
        (lambda a: np.full((len(a), 2), 0.5) + 0.1 * np.sign(a[:, :1]) * [1, -1] * a[:, 1:2].clip(-1, 1), "logit",
         "sum to 1", 'returns="probability"'),
    ],
)  # fmt: skip
def test_numbers_that_are_not_what_was_said_are_an_error(model: Any, said: str | None, message: str, hint: str) -> None:
    with pytest.raises(xb.UsageError, match=message) as caught:
        xb.explain("occlusion", model=model, inputs=X, returns=said)
    assert hint in str(caught.value.hint)


def test_doubt_is_a_warning_that_names_the_keyword() -> None:
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.sigmoid()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad

    model = Around(NET, lambda m, x: Own.apply(m.net(x))).eval()
    with pytest.warns(UserWarning, match='say returns="logit", or returns="probability"'):
        xb.explain("occlusion", model=model, inputs=X)


def test_probabilities_of_independent_labels_are_sigmoids_of_their_own_column() -> None:
    net = nn.Linear(2, 3).eval()
    net.weight.data = torch.tensor([[2.0, 0], [0, 2], [0, 0]])
    net.bias.data = torch.tensor([0.0, 0, -1])
    given: dict[str, Any] = {
        "inputs": torch.tensor([[1.5, 1.4]]),
        "targets": [0],
        "attributions": [[1.0, 0.0]],
        "steps": 2,
        "masker": "zero",
    }
    found = xb.curve("pixel_flipping", model=net, returns="multilabel_logit", **given)
    sigmoid = xb.curve("pixel_flipping", model=nn.Sequential(net, nn.Sigmoid()).eval(), **given)
    np.testing.assert_allclose(found, [[1 / (1 + np.exp(-3)), 0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(sigmoid, found, rtol=1e-6)


def test_the_logit_of_one_sigmoid_is_explained_as_it_is() -> None:
    line = nn.Linear(6, 1).eval()
    found = xb.explain("gradient", model=line, inputs=X, returns="multilabel_logit")
    np.testing.assert_allclose(found, line.weight.detach().expand(8, 6), rtol=1e-6)
    curve = xb.curve("pixel_flipping", model=line, inputs=X, attributions=found, returns="multilabel_logit", steps=2)
    np.testing.assert_allclose(curve[:, 0], line(X).sigmoid().detach()[:, 0], rtol=1e-6)


@pytest.mark.parametrize("metric", ["consistency", "sufficiency_distance"])
def test_metrics_of_predicted_classes_refuse_independent_labels(metric: str) -> None:
    with pytest.raises(xb.UnsupportedError, match="the labels of the model do not exclude each other"):
        xb.score(metric, model=NET, inputs=X, background=X, explain="gradient", returns="multilabel_logit")


# Rows that depend on each other, rows that are not finite


@pytest.mark.parametrize(
    "model",
    [
        Around(NET, lambda m, x: (x - x.mean(0)) / x.std(0, correction=0) @ m.net[0].weight.T).eval(),
        Around(NET, lambda m, x: m.net(x - x.mean(0))).eval(),
        Around(NET, lambda m, x: m.net(x) / len(x)).eval(),
        Around(NET, lambda m, x: m.net(x.flip(0))).eval(),
        lambda a: (a - a.mean(0))[:, :3],
    ],
    ids=["norm over the batch", "batch mean", "batch size", "order", "black box"],
)
def test_a_sample_that_depends_on_its_batch_is_an_error(model: Any) -> None:
    with pytest.raises(xb.UsageError, match="depends on the other samples of its batch"):
        xb.explain("occlusion", model=model, inputs=X, returns="logit")


def test_batch_statistics_are_named() -> None:
    model = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, track_running_stats=False)).eval()
    with pytest.raises(xb.UsageError, match="Expected more than 1 value per channel") as caught:
        xb.explain("occlusion", model=model, inputs=X)
    assert "running statistics" in str(caught.value.hint)


def test_one_sample_at_a_time_depends_on_nothing_else() -> None:
    model = Around(NET, lambda m, x: m.net(x) / len(x)).eval()
    found = xb.explain("gradient", model=model, inputs=X, batch_size=1)
    np.testing.assert_array_equal(found, xb.explain("gradient", model=NET, inputs=X))


def test_a_model_that_draws_at_random_is_told_apart_from_one_that_mixes_samples() -> None:
    model = Around(NET, lambda m, x: fn.dropout(m.net(x), 0.5, training=True)).eval()
    assert not facts(model).repeatable
    with pytest.warns(UserWarning, match="other outputs for the same inputs"):
        xb.explain("occlusion", model=model, inputs=X)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_rounding_is_not_taken_for_dependence(scale: float) -> None:
    torch.manual_seed(3)
    deep = nn.Sequential(*[m for _ in range(12) for m in (nn.Linear(64, 64), nn.Tanh())], nn.Linear(64, 3)).eval()
    model = Around(deep, lambda m, x: scale * m.net(x)).eval()
    assert facts(model, make_inputs((64,), 8)).repeatable


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Around(NET, lambda m, x: torch.where(x[:, :1] > 0, torch.nan, m.net(x))).eval(), r"NaN for \d of 8 inputs"),
        (Around(NET, lambda m, x: m.net(x).exp().exp().exp().exp().exp()).eval(), r"infinity for \d of 8 inputs"),
        (lambda a: np.where(a[:, :1] > 0, np.nan, a[:, :3]), r"NaN for \d of 8 inputs"),
    ],
)
def test_numbers_that_are_not_finite_are_counted(model: Any, message: str) -> None:
    n = int((X[:, 0] > 0).sum())
    with pytest.raises(xb.UsageError, match=message) as caught:
        xb.explain("occlusion", model=model, inputs=X, returns="logit")
    assert "infinity" in caught.value.message or f"for {n} of 8" in caught.value.message


# Facts


def test_facts_of_a_plain_network() -> None:
    found = facts(NET)
    assert found.to_json() == {
        "kind": "torch module", "returns": "logit", "returns_from": "default", "columns": 3, "output": "tensor",
        "input_dtype": "float32", "output_dtype": "float32", "device": "cpu", "gradients": True, "hooks": True,
        "copies": True, "repeatable": True, "provides": ["gradients", "module"], "lacking": {}, "notes": [],
    }  # fmt: skip


def test_facts_of_others() -> None:
    box = facts(lambda a: a[:, :3], returns="logit")
    assert (box.kind, box.gradients, box.provides, box.output) == ("black box", False, frozenset(), "array")
    line = facts(LinearRegression().fit(X.numpy(), X[:, 0].numpy()))
    assert (line.returns, line.returns_from, line.columns) == ("value", "default", 1)
    codes = facts(Codes().eval(), torch.arange(12.0).view(2, 6))
    assert (codes.input_dtype, codes.gradients, sorted(codes.lacking)) == ("int64", False, ["gradients"])
    locked = NET.__class__(*NET)
    locked.lock = threading.Lock()  # type: ignore[assignment]
    assert not facts(locked.eval()).copies


def test_the_caller_s_module_is_used_where_nothing_has_to_be_adapted() -> None:
    assert first_look(as_predictor(NET), X).module is NET


def test_few_evaluations() -> None:
    predictor = first_look(as_predictor(lambda a: a[:, :3], returns="logit"), make_inputs((6,), 100), given="logit")
    assert predictor.n_evaluations <= 8 + 1 + 8

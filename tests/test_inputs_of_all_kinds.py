"""Token ids, several inputs and samples of different lengths in the Python API: right numbers, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.explainer_cases import NAMES
from torch import Tensor, nn

import xaibench as xb

WEIGHTS = np.zeros(50)
WEIGHTS[7], WEIGHTS[9], WEIGHTS[24] = 2, -1, 5
IDS = np.array([[7, 9, 30, 30]])
BACKGROUND = np.full((10, 4), 24)
BACKGROUND[::2] = 25
PAD = xb.Tokens(pad=0)


def bag(ids: np.ndarray) -> np.ndarray:
    """Logits of a bag of words."""
    total = WEIGHTS[ids].sum(axis=1)
    return np.stack([-total / 2, total / 2], axis=1)


class Net(nn.Module):
    """Mean of embeddings; ids only."""

    def __init__(self, *, mask_padding: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.e, self.l = nn.Embedding(50, 8), nn.Linear(8, 3)
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.l(self.e(ids).mean(1))
        return found


class Two(nn.Module):
    """Two inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)
        self.eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        found: Tensor = torch.relu(self.a(a)) * torch.sigmoid(self.b(b))
        return found


TEXT: dict[str, Any] = {
    "model": bag, "inputs": IDS, "targets": [1], "features": "tokens", "returns": "logit", "background": BACKGROUND,
}  # fmt: skip


def refused(call: Callable[[], Any], kind: type[xb.XaibenchError], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        call()
    assert caught.value.hint


def test_token_ids_reach_a_module_as_integers() -> None:
    ids = np.random.default_rng(0).integers(1, 50, (6, 12))
    net, row = Net(), torch.from_numpy(ids[2:3])
    for name in ("occlusion", "feature_ablation"):
        found = xb.explain(
            name, model=net, inputs=ids, targets=[1] * 6, output="logit", features="tokens", special_tokens=PAD
        )
        for place in range(12):
            less = row.clone()
            less[0, place] = 0
            with torch.no_grad():
                gap = net(row)[0, 1] - net(less)[0, 1]
            assert found[2, place] == pytest.approx(float(gap), abs=1e-6)


def test_gradients_of_a_module_over_ids_are_those_at_its_embedding() -> None:
    ids, net = np.random.default_rng(0).integers(1, 50, (3, 5)), Net()
    given = {"model": net, "inputs": ids, "targets": [1] * 3, "output": "logit"}
    norms = xb.explain("gradient", features="tokens", **given)
    assert norms == pytest.approx(np.full((3, 5), float(net.l.weight[1].detach().norm()) / 5), abs=1e-6)
    assert norms.kind == "saliency"
    found = xb.explain("gradient", features="tokens", channels="sum", **given)
    assert found == pytest.approx(np.full((3, 5), float(net.l.weight[1].detach().sum()) / 5), abs=1e-6)
    for embedding in ("e", net.e):
        same = xb.explain("gradient", embedding=embedding, channels="sum", **given)
        np.testing.assert_array_equal(found, same)


def test_integrated_gradients_equal_captum_at_the_embedding() -> None:
    captum = pytest.importorskip("captum.attr")
    ids, net = np.random.default_rng(0).integers(1, 50, (3, 5)), _Curved()
    found = xb.explain(
        "integrated_gradients", model=net, inputs=ids, targets=[1] * 3, output="logit", features="tokens",
        baseline="pad", special_tokens=PAD, steps=32,
    )  # fmt: skip
    theirs = captum.LayerIntegratedGradients(net, net.e).attribute(
        torch.from_numpy(ids), torch.zeros(3, 5, dtype=torch.long), target=1, method="riemann_middle", n_steps=32
    )
    np.testing.assert_allclose(found, theirs.sum(2).numpy(), rtol=1e-4, atol=1e-6)


class _Curved(Net):
    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.l(torch.tanh(self.e(ids)).mean(1).square())
        return found


def test_the_curve_of_a_bag_of_words_is_that_by_hand() -> None:
    curve = xb.curve("pixel_flipping", attributions=WEIGHTS[IDS], steps=4, special_tokens=PAD, **TEXT)
    assert curve[0] == pytest.approx([0.7310586, 0.2689414, 0.2689414, 0.2689414, 0.5], abs=1e-6)


@pytest.mark.parametrize("tokens", [PAD, xb.Tokens(mask=1), None])
def test_ablation_finds_the_weights_of_a_bag_of_words(tokens: xb.Tokens | None) -> None:
    """A pad and a mask weigh nothing, and a deleted word is gone: all three say the same here."""
    for name, params in (("feature_ablation", {}), ("kernel_shap", {}), ("shapley_sampling", {})):
        given = {**TEXT, "special_tokens": tokens, **params}
        if tokens is None and name != "feature_ablation":
            continue  # Without a pad nothing stands for an empty text.
        found = xb.explain(name, output="margin", **given)
        assert found[0] == pytest.approx([2, -1, 0, 0], abs=1e-4)


@pytest.mark.parametrize("masker", ["mean", "zero", "uniform", "blur", "noisy_linear", "sample_min", "conditional"])
def test_maskers_that_put_numbers_between_ids_are_refused(masker: str) -> None:
    given = {**TEXT, "special_tokens": PAD, "masker": masker}
    refused(lambda: xb.explain("feature_ablation", **given), xb.UnsupportedError, "not defined for token ids")
    refused(
        lambda: xb.score("deletion", attributions=WEIGHTS[IDS], **given),
        xb.UnsupportedError,
        "not defined for token ids",
    )


NOISY = [
    "max_sensitivity", "avg_sensitivity", "relative_input_stability", "infidelity", "pgi", "local_lipschitz",
    "slope_test", "recourse_test", "spurious_test",
]  # fmt: skip


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("explain", ["feature_ablation", "random"])
def test_noise_on_ids_is_refused_whatever_explains(name: str, explain: str) -> None:
    with pytest.raises(xb.UnsupportedError, match=r"quantities|shifted|needs"):
        xb.score(name, explain=explain, special_tokens=PAD, **TEXT)


def test_slopes_along_ids_and_shifted_ids_are_refused() -> None:
    given = {**TEXT, "special_tokens": PAD}
    for name, params in (("finite_difference", {"radius": 1.0}), ("c_lime", {}), ("finite_difference", {})):
        refused(lambda n=name, p=params: xb.explain(n, **given, **p), xb.UnsupportedError, "quantities")
    refused(lambda: xb.score("input_invariance", explain="random", **given), xb.UnsupportedError, "cannot be shifted")
    refused(
        lambda: xb.score("pixel_flipping", attributions=WEIGHTS[IDS], kind="slope", **given),
        xb.UnsupportedError, "quantities",
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_explainer_says_why_or_gives_finite_maps_on_ids(name: str) -> None:
    try:
        found = xb.explain(name, special_tokens=PAD, truth=WEIGHTS[IDS] != 0, **TEXT)
    except xb.UnsupportedError as error:
        assert error.message  # noqa: PT017
        return
    assert found.shape == (1, 4)
    assert np.isfinite(found).all()


def test_ids_as_floats_are_ids_and_fractions_are_none() -> None:
    whole = xb.explain("feature_ablation", special_tokens=PAD, **{**TEXT, "inputs": IDS.astype(np.float64)})
    np.testing.assert_array_equal(whole, xb.explain("feature_ablation", special_tokens=PAD, **TEXT))
    refused(lambda: xb.explain("occlusion", **{**TEXT, "inputs": IDS + 0.5}), xb.UsageError, "not whole numbers")
    refused(lambda: xb.explain("occlusion", **{**TEXT, "inputs": IDS * np.nan}), xb.UsageError, "not whole numbers")
    refused(lambda: xb.explain("occlusion", **{**TEXT, "inputs": IDS * 2.0**24}), xb.UsageError, "exactly")


def test_ids_out_of_the_vocabulary_are_refused() -> None:
    known = xb.Tokens(50, pad=0)
    refused(lambda: xb.explain("occlusion", special_tokens=known, **{**TEXT, "inputs": IDS + 30}), xb.UsageError, "60")
    refused(lambda: xb.explain("occlusion", special_tokens=known, **{**TEXT, "inputs": -IDS}), xb.UsageError, "-30")
    refused(lambda: xb.Tokens(50, pad=50), xb.UsageError, "pad = 50")
    net = Net()
    ids = torch.tensor([[1, 2, 60]])
    given = {"model": net, "features": "tokens", "special_tokens": PAD}
    refused(lambda: xb.explain("occlusion", inputs=ids, **given), xb.UsageError, "the id 60")


def test_empty_texts_one_token_and_nothing_but_padding() -> None:
    refused(
        lambda: xb.explain("occlusion", **{**TEXT, "inputs": [[7, 9], []], "targets": [1, 1]}), xb.UsageError, "row 1"
    )
    one = xb.explain("feature_ablation", special_tokens=PAD, output="margin", **{**TEXT, "inputs": [[7]]})
    assert one.tolist() == [[2.0]]
    for name in ("kernel_shap", "lime", "shapley_sampling", "rise"):
        found = xb.explain(name, special_tokens=PAD, output="margin", **{**TEXT, "inputs": [[7]]})
        assert found.shape == (1, 1)
        assert np.isfinite(found).all()
    # Padding that the caller left in is text like any other: it weighs nothing here.
    padding = xb.explain("feature_ablation", special_tokens=PAD, output="margin", **{**TEXT, "inputs": [[0, 0, 0]]})
    assert padding.tolist() == [[0.0, 0.0, 0.0]]


def test_deleting_needs_a_model_that_takes_shorter_texts() -> None:
    def four(ids: np.ndarray) -> np.ndarray:
        return bag(ids.reshape(-1, 4))

    refused(
        lambda: xb.explain("feature_ablation", **{**TEXT, "model": four}), xb.UnsupportedError, "a text of 3 tokens"
    )
    assert xb.explain("feature_ablation", special_tokens=PAD, output="margin", **{**TEXT, "model": four})[0, 0] == 2


def test_baselines_of_deleted_tokens_have_no_value() -> None:
    given = {"model": Net(), "inputs": IDS, "features": "tokens"}
    for name in ("integrated_gradients", "gradient_shap", "deep_lift"):
        refused(lambda n=name: xb.explain(n, baseline="delete", **given), xb.UnsupportedError, "no value to start from")
    refused(
        lambda: xb.score("completeness", explain="input_x_gradient", baseline="delete", **given),
        xb.UnsupportedError, "no value to start from",
    )  # fmt: skip


def test_a_module_whose_ids_go_elsewhere_too_is_a_black_box() -> None:
    class Counts(Net):
        def forward(self, ids: Tensor) -> Tensor:
            found: Tensor = super().forward(ids) * (1 + (ids == 7).sum(1, keepdim=True))
            return found

    given = {"model": Counts(), "inputs": [[7, 9, 30], [8, 9, 7]], "features": "tokens", "special_tokens": PAD}
    assert np.isfinite(xb.explain("occlusion", **given)).all()
    with pytest.raises(xb.UnsupportedError, match="gradients") as caught:
        xb.explain("gradient", **given)
    assert "other ways than through the embedding" in str(caught.value.hint)
    refused(lambda: xb.explain("gradient", embedding="e", **given), xb.UsageError, "other ways")
    refused(lambda: xb.explain("gradient", embedding="x", **given), xb.UsageError, "no embedding 'x'")


def test_embeddings_are_tokens_with_a_slot() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    x = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0))
    found = xb.explain("input_x_gradient", model=net, inputs=x, features="tokens", targets=[1] * 3, output="logit")
    weight = net[1].weight[1].detach().view(4, 3)
    np.testing.assert_allclose(found, (x * weight).sum(2).numpy(), rtol=1e-5, atol=1e-6)
    ablated = xb.explain("feature_ablation", model=net, inputs=x, features="tokens", targets=[1] * 3, output="logit")
    np.testing.assert_allclose(ablated, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["gradient", "lrp", "deep_lift", "integrated_gradients", "occlusion", "kernel_shap", "lime"]
)
def test_two_inputs_are_one_that_is_explained_and_one_that_is_fixed(name: str) -> None:
    a, b = torch.randn(5, 4), torch.randn(5, 2)
    net = Two()
    try:
        expected = xb.explain(name, model=net, inputs=a, context={"b": b})
    except xb.UnsupportedError:
        pytest.skip("no rule")
    for inputs in ((a, b), {"a": a, "b": b}, (a.numpy(), b.numpy())):
        np.testing.assert_allclose(xb.explain(name, model=net, inputs=inputs), expected, rtol=1e-6, atol=1e-7)
    alone = xb.explain(name, model=net, inputs=(a[3:4], b[3:4]))
    np.testing.assert_allclose(alone, expected[3:4], rtol=1e-4, atol=1e-5)


def test_two_inputs_of_a_black_box() -> None:
    def model(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return (x * scale).sum(axis=1)

    x, scale = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 1.0], [0.0, 5.0]])
    found = xb.explain("feature_ablation", model=model, inputs=(x, scale), returns="value")
    assert found.tolist() == [[10, 2], [0, 20]]
    assert xb.explain("kernel_shap", model=model, inputs=x, context={"scale": scale}, returns="value") == pytest.approx(
        found
    )


def test_inputs_that_do_not_fit_the_model_are_named() -> None:
    a, b, net = torch.randn(5, 4), torch.randn(5, 2), Two()
    refused(lambda: xb.explain("gradient", model=net, inputs=a), xb.UsageError, "also takes 'b'")
    refused(lambda: xb.explain("gradient", model=net, inputs=(a, b, b)), xb.UsageError, "tuple of 3")
    refused(lambda: xb.explain("gradient", model=net, inputs=(a, b[:3])), xb.UsageError, "5, 3 rows")
    refused(lambda: xb.explain("gradient", model=net, inputs={"b": b, "a": a}), xb.UsageError, "first parameter is 'a'")
    refused(
        lambda: xb.explain("gradient", model=net, inputs=a, context={"b": b, "c": b}), xb.UsageError, "takes no 'c'"
    )
    refused(lambda: xb.explain("gradient", model=net, inputs=a, context={"b": b[:2]}), xb.UsageError, "for 5 samples")
    refused(
        lambda: xb.explain("gradient", model=net, inputs=(a, b), context={"b": b}),
        xb.UsageError,
        "give it once|context",
    )
    refused(
        lambda: xb.explain("pattern", model=net, inputs=(a, b), background=a), xb.UnsupportedError, "reference samples"
    )
    found = xb.explain("pattern", model=net, inputs=(a, b), background=a, background_context={"b": b})
    assert found.shape == (5, 4)


def test_a_tuple_of_samples_of_one_input_is_an_array() -> None:
    net = nn.Linear(3, 2).eval()
    rows = (np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0]))
    np.testing.assert_array_equal(
        xb.explain("gradient", model=net, inputs=rows), xb.explain("gradient", model=net, inputs=np.stack(rows))
    )


def test_series_of_different_lengths_alone_and_together() -> None:
    torch.manual_seed(0)

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.r, self.f = nn.GRU(2, 6, batch_first=True), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.f(self.r(x)[0][:, -1])
            return found

    net, rng = Recurrent().eval(), np.random.default_rng(0)
    series = [rng.normal(size=(n, 2)).astype(np.float32) for n in (9, 4, 6, 4)]
    background = [rng.normal(size=(n, 2)).astype(np.float32) for n in (5, 8)]
    for name, params in (
        ("gradient", {}),
        ("occlusion", {}),
        ("kernel_shap", {"masker": "mean"}),
        ("random_smooth", {}),
    ):
        given = {"model": net, "features": "series", "background": background, **params}
        together = xb.explain(name, inputs=series, **given)
        assert together.shape == (4, 9, 2)
        for row, one in enumerate(series):
            alone = xb.explain(name, inputs=[one], **given)[0]
            np.testing.assert_allclose(together[row, : len(one)], alone, rtol=1e-5, atol=1e-6)
            assert np.isnan(together[row, len(one) :]).all()
    given = {"model": net, "features": "series", "background": background}
    maps = [rng.normal(size=one.shape) for one in series]
    together = xb.score("pixel_flipping", inputs=series, attributions=maps, **given)
    alone = [
        xb.score("pixel_flipping", inputs=[s], attributions=[m], **given)[0] for s, m in zip(series, maps, strict=True)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    refused(lambda: xb.explain("gradient", model=net, inputs=series), xb.UsageError, "different lengths")
    refused(
        lambda: xb.explain("occlusion", inputs=series, masker="marginal", **given),
        xb.UnsupportedError,
        "no reference rows",
    ) if "masker" in xb.components("explainer").set_index("name").loc["occlusion", "parameters"] else None


def test_pairs_of_texts_and_of_series_of_different_lengths() -> None:
    def ends(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, -1], -x[:, -1]], axis=1)

    rng = np.random.default_rng(0)
    series = [rng.normal(size=n) for n in (5, 3, 5)]
    given = {"returns": "logit", "features": "series", "explain": "occlusion", "labels": [0, 0, 0]}
    pairs = {"model_pair.contrast": {"model": lambda x: -ends(x), "labels": [0, 0, 0]}}
    needs = {"truth": [np.arange(len(s)) == 0 for s in series], "pairs": pairs}
    together = xb.score("model_contrast", model=ends, inputs=series, **given, **needs)
    assert together.shape == (3,)
    texts = [[7, 9, 30], [7, 24]]
    patched, idle = [[9, 9, 30], [24, 24]], [[True, False, False], [False, True]]
    given = {"explain": "feature_ablation", "special_tokens": PAD}

    def measured(rows: list[int], inputs: Any) -> np.ndarray:
        few = {"targets": [1] * len(rows), "labels": [1] * len(rows), "inputs": [texts[r] for r in rows]}
        beside = {"distractors": [idle[r] for r in rows], "pairs": {"input_pair.patched": {"inputs": inputs}}}
        return xb.score("input_independence", **{**TEXT, **given, **few, **beside})

    together = measured([0, 1], patched)
    np.testing.assert_allclose(together, [measured([r], [patched[r]])[0] for r in (0, 1)], atol=1e-6)
    refused(lambda: measured([0, 1], [[9, 9], [24, 24, 7]]), xb.UsageError, "lengths")


def test_mean_pooling_has_its_closed_forms() -> None:
    """Mean of word scores: zero fill gives s/n; deletion changes the denominator, (s - f)/(n - 1)."""
    scores = torch.tensor([0.0, 1.0, -2.0, 3.0, 0.5, 4.0])

    class Mean(nn.Module):
        def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
            return embeddings.mean(dim=1)

    model = xb.TokenPredictor(Mean(), scores[:, None], PAD, "value")
    text = [[1, 2, 3, 5]]
    s = scores[text[0]].numpy()
    mean, n = s.mean(), len(s)
    given = {"model": model, "inputs": text}
    assert xb.explain("feature_ablation", masker="zero", **given)[0] == pytest.approx(s / n)
    assert xb.explain("feature_ablation", masker="delete", **given)[0] == pytest.approx((s - mean) / (n - 1))
    assert xb.explain("integrated_gradients", baseline="zero", **given)[0] == pytest.approx(s / n, abs=1e-6)
    harmonic = sum(1 / k for k in range(1, n + 1))
    others = (s.sum() - s) / (n - 1)
    expected = (s + (harmonic - 1) * (s - others)) / n
    assert xb.explain("kernel_shap", masker="delete", **given)[0] == pytest.approx(expected, abs=1e-5)


def test_a_deleted_column_is_a_missing_value_where_the_estimator_takes_some() -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    x[rng.random(x.shape) < 0.2] = np.nan
    y = np.nan_to_num(x) @ [3.0, -2.0, 0.0]
    model = HistGradientBoostingRegressor(max_iter=20, random_state=0).fit(x, y)
    rows = np.nan_to_num(x[:4], nan=0.5)
    found = xb.explain("feature_ablation", model=model, inputs=rows, masker="delete")
    for column in range(3):
        less = rows.copy()
        less[:, column] = np.nan
        np.testing.assert_allclose(found[:, column], model.predict(rows) - model.predict(less), rtol=1e-4, atol=1e-4)
    other = LinearRegression().fit(rows, y[:4])
    refused(
        lambda: xb.explain("feature_ablation", model=other, inputs=rows, masker="delete"),
        xb.UnsupportedError,
        "missing values",
    )

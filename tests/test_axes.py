"""Axes: series, images and volumes are read as they are meant, and a shape that leaves doubt is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import xaibench as xb
from xaibench.core.errors import UsageError
from xaibench.core.features import FeatureLayout, infer_layout

R = np.random.default_rng(0)
SERIES_EXPLAINERS = ("gradient", "occlusion", "feature_ablation", "rise", "random_smooth", "integrated_gradients")
SERIES_METRICS = ("pixel_flipping", "sufficiency", "faithfulness_correlation", "region_perturbation", "road_morf")


class Turned(nn.Module):
    """The same model for the other order of axes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.mT)


def convolutional(channels: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(channels, 6, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(24, 2)
    ).eval()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SERIES_EXPLAINERS)
@pytest.mark.parametrize("masker", ["mean", "blur", "uniform", "noisy_linear", "zero"])
def test_sensors_first_is_the_same_turned(channels: int, name: str, masker: str) -> None:
    """A model that turns its inputs says what an explanation of the other order must be."""
    net, x = convolutional(channels), torch.from_numpy(R.normal(size=(3, channels, 24)).astype(np.float32))
    params: dict[str, Any] = {}
    if name in ("occlusion", "feature_ablation", "rise"):
        params["masker"] = masker
    elif name == "integrated_gradients":
        params["baseline"] = masker
    elif masker != "mean":
        pytest.skip("has no masker")
    drawn = name in ("rise", "random_smooth") or masker in ("uniform", "noisy_linear")
    first = xb.explain(name, model=net, inputs=x, targets=[0, 1, 0], features="series", axes="NCT", **params)
    assert first.shape == x.shape
    assert np.isfinite(first).all()
    if not drawn:
        last = xb.explain(
            name,
            model=Turned(net),
            inputs=x.mT.contiguous(),
            targets=[0, 1, 0],
            features="series",
            axes="NTC",
            **params,
        )
        np.testing.assert_allclose(first, last.swapaxes(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SERIES_METRICS)
def test_scores_of_sensors_first_are_those_turned(name: str) -> None:
    net, x = convolutional(2), torch.from_numpy(R.normal(size=(4, 2, 24)).astype(np.float32))
    maps = R.normal(size=x.shape).astype(np.float32)
    masker = {"masker": "mean"} if name != "faithfulness_correlation" else {"masker": "mean", "subset_size": 48}
    if name == "faithfulness_correlation":
        masker = {"masker": "mean"}
    given: dict[str, Any] = {"targets": [0, 1, 0, 1], "features": "series", **masker}
    first = xb.score(name, model=net, inputs=x, attributions=maps, axes="NCT", **given)
    last = xb.score(
        name, model=Turned(net), inputs=x.mT.contiguous(), attributions=maps.swapaxes(1, 2), axes="NTC", **given
    )
    assert np.isfinite(first).all()
    assert len(np.unique(first)) > 1
    if name in ("pixel_flipping", "sufficiency"):
        np.testing.assert_allclose(first, last, rtol=1e-4, atol=1e-5)


def test_univariate_series_lose_something_when_steps_are_removed() -> None:
    """Row 25: with the default masker nothing was ever removed, and every map had one score."""
    net = convolutional(1)
    x, maps = torch.randn(4, 1, 32) * 2, R.normal(size=(4, 1, 32))
    for masker in ("mean", "blur", "uniform"):
        given: dict[str, Any] = {"model": net, "inputs": x, "attributions": maps, "features": "series", "axes": "NCT"}
        assert (np.ptp(xb.curve("pixel_flipping", masker=masker, **given), axis=1) > 0).all()
    assert (xb.score("sufficiency", **given) != 0).any()


@pytest.mark.parametrize(
    ("shape", "features", "axes", "words"),
    [
        ((1, 32), "series", None, ["read in 2 ways", 'axes="NTC" for 1 step of 32', 'axes="NCT" for 1 sensor of 32']),
        ((3, 100), "series", None, ['axes="NCT" for 3 sensors of 100 steps']),
        ((32, 32, 3), "image", None, ['axes="NCHW" for 32 channels', 'axes="NHWC" for 32 x 32 pixels of 3 channels']),
        ((32, 32, 3), None, None, ['axes="NHWC"', 'features="volume", axes="NDHW"']),
        ((1, 6, 8, 8), None, None, ['features="volume", axes="NCDHW" for 1 channel of 6 x 8 x 8 voxels']),
        ((10, 4), None, None, ['features="series", axes="NTC"', 'features="series", axes="NCT"', 'features="image"']),
        ((10, 4), "series", "NHWC", ["cannot be those of 'series'"]),
        ((10, 4), "series", "NTX", ["did you mean 'NTC'"]),
        ((10,), "table", "NTC", ["cannot be those of 'table'"]),
        ((10, 4), None, "NCT", ["needs features="]),
        ((1, 6, 8, 8), "image", None, ["cannot be 'image'"]),
    ],
)  # fmt: skip
def test_doubt_is_an_error_that_lists_the_readings(shape: Any, features: Any, axes: Any, words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        infer_layout(shape, features, axes)
    text = f"{error.value.message} {error.value.hint}"
    assert all(word in text for word in words), text


def test_what_leaves_no_doubt_is_read_as_before() -> None:
    assert infer_layout((10, 2), "series") == FeatureLayout("series", (10, 2))
    assert infer_layout((10, 10), "series").neighbour_axes == (0,)
    assert infer_layout((3, 8, 8)).feature_shape == (8, 8)
    assert infer_layout((8, 8), "image").channels is None
    assert infer_layout((12,)).neighbour_axes == ()
    assert infer_layout((6, 8, 8), "volume").feature_shape == (6, 8, 8)
    assert infer_layout((2, 6, 8, 8), "volume").channels == 2


def test_the_first_convolution_tells_that_sensors_are_first() -> None:
    x = torch.randn(2, 12, 10)
    with pytest.raises(UsageError, match="first convolution takes 12 channels") as error:
        xb.explain("gradient", model=convolutional(12), inputs=x, features="series")
    assert 'axes="NCT"' in (error.value.hint or "")
    assert xb.explain("gradient", model=convolutional(12), inputs=x, features="series", axes="NCT").shape == (2, 12, 10)
    assert xb.explain("gradient", model=Turned(convolutional(10)), inputs=x, features="series").shape == (2, 12, 10)


@pytest.mark.parametrize("kind", ["module", "callable"])
def test_images_with_channels_last_are_explained_like_those_with_channels_first(kind: str) -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)).eval()

    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return first(x.permute(0, 3, 1, 2))

    model: Any = Last().eval() if kind == "module" else lambda a: Last()(torch.from_numpy(a)).detach().numpy()
    x = torch.rand(3, 12, 10, 3)
    for name in ("occlusion", "gradient")[: 2 if kind == "module" else 1]:
        given: dict[str, Any] = {"targets": [0, 1, 0], "returns": "logit"}
        ours = xb.explain(name, model=model, inputs=x, axes="NHWC", **given)
        theirs = xb.explain(name, model=first, inputs=x.permute(0, 3, 1, 2), **given)
        assert ours.shape == (3, 12, 10)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        one = xb.score("pixel_flipping", model=model, inputs=x, attributions=ours, axes="NHWC", background=x, **given)
        two = xb.score(
            "pixel_flipping", model=first, inputs=x.permute(0, 3, 1, 2), attributions=theirs,
            background=x.permute(0, 3, 1, 2), **given,
        )  # fmt: skip
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


VOLUME = (2, 6, 8, 8)


@pytest.mark.parametrize("masker", ["zero", "mean", "blur", "uniform", "marginal", "sample_min"])
def test_contributions_of_a_linear_model_of_volumes_are_weight_times_difference(masker: str) -> None:
    """Voxels are features and channels are summed; the closed form is that of any linear model."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(VOLUME)), 2)).eval()
    x, background = torch.randn(2, *VOLUME), torch.randn(5, *VOLUME)
    given: dict[str, Any] = {"model": net, "inputs": x, "targets": [0, 1], "features": "volume", "seed": 3}
    given |= {"background": background} if masker in ("mean", "uniform", "marginal") else {}
    found = xb.explain("feature_ablation", patch=1, masker=masker, **given)
    slopes = xb.explain("gradient", **{k: v for k, v in given.items() if k != "background"})
    weights = net[1].weight.detach()[[0, 1]].view(2, *VOLUME)
    assert found.shape == slopes.shape == (2, 6, 8, 8)
    np.testing.assert_allclose(slopes, weights.sum(1), rtol=1e-4, atol=1e-6)
    if masker == "zero":
        np.testing.assert_allclose(found, (weights * x).sum(1), rtol=1e-3, atol=1e-4)
    if masker == "mean":
        mean = background.mean(dim=(0, 2, 3, 4)).view(1, 2, 1, 1, 1)
        np.testing.assert_allclose(found, (weights * (x - mean)).sum(1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["occlusion", "rise", "kernel_shap", "lime", "shapley_sampling", "integrated_gradients", "smoothgrad",
             "random_smooth", "input_edges"],
)  # fmt: skip
def test_explainers_of_volumes_give_a_number_for_every_voxel(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(768, 2)).eval()
    found = xb.explain(name, model=net, inputs=torch.randn(2, 1, 6, 8, 8), features="volume")
    assert found.shape == (2, 6, 8, 8)
    assert np.isfinite(found).all()
    assert found.std() > 0


@pytest.mark.parametrize(
    "name", ["pixel_flipping", "region_perturbation", "selectivity", "infidelity", "sensitivity_n"]
)
def test_metrics_of_volumes(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(768, 2)).eval()
    given: dict[str, Any] = {"model": net, "inputs": torch.randn(2, 1, 6, 8, 8), "features": "volume"}
    params = {"perturbation": "noisy_baseline"} if name == "infidelity" else {}
    assert np.isfinite(xb.score(name, explain="gradient", **given, **params)).all()


@pytest.mark.parametrize("name", ["grad_cam", "guided_grad_cam", "tabular_lime"])
def test_explainers_of_images_and_tables_say_that_they_cannot(name: str) -> None:
    net = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(768, 2)).eval()
    x = torch.randn(2, 1, 6, 8, 8)
    with pytest.raises(xb.UnsupportedError, match=r"needs (image|table)"):
        xb.explain(name, model=net, inputs=x, background=x, features="volume")
    with pytest.raises(xb.UnsupportedError, match="noisy_linear masker needs an image or a series, not a volume"):
        xb.explain("occlusion", model=net, inputs=x, masker="noisy_linear", features="volume")


def test_the_rise_of_a_volume_finds_the_voxels_that_count() -> None:
    weights = np.zeros((6, 8, 8), np.float32)
    weights[:3, :4, :4] = 1
    model = lambda a: np.stack([(a * weights).sum((1, 2, 3)), np.zeros(len(a))], axis=1)  # noqa: E731
    x = np.ones((1, 6, 8, 8), np.float32)
    found = xb.explain("rise", model=model, inputs=x, targets=[0], features="volume", returns="logit", n_samples=2000)
    assert np.corrcoef(found.ravel(), weights.ravel())[0, 1] > 0.7


def test_series_with_sensors_first_and_volumes_run_in_suites(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(
        "import numpy as np, torch, xaibench as xb\nfrom torch import nn\n"
        "def made(shape, features, seed, **more):\n"
        "    rng = np.random.default_rng(seed); x = rng.normal(size=(40, *shape)).astype('float32')\n"
        "    y = (x.reshape(40, -1)[:, :4].sum(1) > 0).astype('int64')\n"
        "    return xb.Data(features, x[:20], y[:20], x[20:], y[20:], accuracy_floor=None, **more)\n"
        "@xb.dataset('waves', features='series')\n"
        "def waves(*, seed: int = 0, axes: str = 'NCT') -> xb.Data:\n    '''Waves.'''\n"
        "    return made((2, 16), 'series', seed, axes=axes)\n"
        "@xb.dataset('scans', features='volume')\n"
        "def scans(*, seed: int = 0) -> xb.Data:\n    '''Scans.'''\n    return made((1, 3, 4, 4), 'volume', seed)\n"
        "def net(data):\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(data.input_shape)), 2))\n"
    )
    lab = tmp_path / "lab.py"
    suite: dict[str, Any] = {
        "name": "axes", "samples": 4, "background": 8, "controls": True, "random_draws": 1,
        "explainers": ["occlusion", "rise", "grad_cam"], "metrics": ["pixel_flipping", "region_perturbation"],
        "problems": [{"dataset": f"{lab}:{d}", "models": [f"{lab}:net"]} for d in ("waves", "scans")],
    }  # fmt: skip
    done = xb.run(suite, store=tmp_path / "st")
    rows = xb.results(done.store)
    assert set(rows["status"]) == {"ok", "unsupported"}
    assert set(rows.loc[rows["status"] == "unsupported", "explainer"]) <= {"grad_cam", "oracle"}
    waves = {"name": f"{lab}:waves", "params": {"axes": ""}}
    wrong = {**suite, "problems": [{"dataset": waves, "models": [f"{lab}:net"]}]}
    xb.run(wrong, store=tmp_path / "wrong")
    failed = xb.results(tmp_path / "wrong")
    assert set(failed["status"]) == {"failed"}
    assert failed["message"].str.contains("can be read in 2 ways").all()

"""grad-cam, zennit and saliency equal ours where the documentation says so, and differ where it says so."""

from __future__ import annotations

import copy
import inspect
import random

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs, make_view
from helpers.explainer_cases import plain_cnn, run, spec_of, view_of
from helpers.torchvision_stub import install_torchvision_stub
from scipy.stats import spearmanr
from torch import nn

from xaibench.core import libraries
from xaibench.core.errors import UnsupportedError
from xaibench.core.registry import adapters
from xaibench.explainers.xrai import averaged

NAMES = [s.name for s in adapters("explainer") if s.library in ("pytorch_grad_cam", "zennit", "saliency")]
CAMS = {
    "GradCAM": ("grad_cam", {}), "HiResCAM": ("hires_cam", {}), "LayerCAM": ("layer_cam", {}),
    "XGradCAM": ("xgrad_cam", {}),
}  # fmt: skip
COMPOSITES = {
    "EpsilonPlus": "epsilon_plus", "EpsilonPlusFlat": "epsilon_plus_flat", "EpsilonAlpha2Beta1": "epsilon_alpha2_beta1",
    "EpsilonGammaBox": "epsilon_gamma_box",
}  # fmt: skip


def library(name: str):
    """The library of a component, or the test is skipped."""
    prefix = name.partition(":")[0]
    package = libraries.LIBRARIES[prefix].package
    if prefix in ("pytorch_grad_cam", "zennit"):
        pytest.importorskip("torch")
        if libraries.why_missing(prefix) is None:
            install_torchvision_stub()
    return pytest.importorskip(package, exc_type=ImportError)


def flat_net(channels: int = 3) -> nn.Module:
    """ReLU maps, flattened, and one linear layer."""
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 3),
    ).eval()  # fmt: skip


def takes_interpolation() -> bool:
    """Whether numpy still takes what the library calls its quantiles with; 2.4 does not."""
    return "interpolation" in inspect.signature(np.quantile).parameters


def scaled(maps: torch.Tensor) -> torch.Tensor:
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-12)


def first_three(**options):
    view = view_of("rgb", 6, model=flat_net(), **options)
    return view.take(slice(0, 6))


def test_all_are_registered_with_a_sentence() -> None:
    assert len(NAMES) == 15
    assert all(spec_of(name).summary.endswith(".") for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_library_is_unsupported_with_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda _name: None)
    spec = spec_of(name)
    extra = libraries.LIBRARIES[str(spec.library)].extra
    with pytest.raises(UnsupportedError, match="not installed") as caught:
        run(name, first_three())
    assert caught.value.hint == f"pip install 'xaibench[{extra}]'"


@pytest.mark.parametrize("theirs", CAMS)
def test_class_activation_maps_equal_ours_after_scaling(theirs: str) -> None:
    library("pytorch_grad_cam:GradCAM")
    ours, given = CAMS[theirs]
    view = first_three()
    # They scale before enlarging and again behind; interpolation is not exactly that of torch.
    torch.testing.assert_close(
        scaled(run(f"pytorch_grad_cam:{theirs}", view)), scaled(run(ours, view, **given)), rtol=0, atol=1e-3
    )


def test_grad_cam_plus_plus_differs_by_the_number_in_its_denominator() -> None:
    library("pytorch_grad_cam:GradCAM")
    net = flat_net()
    view = make_view(net, make_inputs((3, 8, 8), 6))
    large = (scaled(run("pytorch_grad_cam:GradCAMPlusPlus", view)) - scaled(run("grad_cam_pp", view))).abs().max()
    net[-1].weight.data *= 1e-4
    net[-1].bias.data *= 1e-4
    small_view = make_view(net, view.inputs, targets=view.targets)
    small = scaled(run("pytorch_grad_cam:GradCAMPlusPlus", small_view)) - scaled(run("grad_cam_pp", small_view))
    assert large < 0.02
    assert small.abs().max() > 3 * large


def test_eigen_cam_equals_ours_centred_up_to_its_sign() -> None:
    library("pytorch_grad_cam:GradCAM")
    view = first_three()
    theirs, ours = run("pytorch_grad_cam:EigenCAM", view), run("eigen_cam", view, centre=True)
    same = [(scaled(theirs)[i] - scaled(ours)[i]).abs().max() < 2e-3 for i in range(len(view))]
    assert any(same)
    for i, equal in enumerate(same):
        if not equal:
            # The other sign is the other half of the component: no place is positive in both.
            assert spearmanr(theirs[i].flatten(), ours[i].flatten()).statistic < 0.2


def test_score_cam_and_ablation_cam_are_near_ours_and_not_equal() -> None:
    library("pytorch_grad_cam:GradCAM")
    view = first_three()
    positive = view.scores(view.inputs) > 0
    for theirs, ours in (("ScoreCAM", "score_cam"), ("AblationCAM", "ablation_cam")):
        a, b = scaled(run(f"pytorch_grad_cam:{theirs}", view)), scaled(run(ours, view))
        for i in range(len(view)):
            if theirs == "AblationCAM" and not positive[i]:
                continue
            assert np.corrcoef(a[i].flatten(), b[i].flatten())[0, 1] > 0.9


@pytest.mark.parametrize("theirs", COMPOSITES)
@pytest.mark.parametrize("norm", [False, True])
def test_composites_equal_ours(theirs: str, norm: bool) -> None:
    library("zennit:EpsilonPlus")
    model = plain_cnn(3)
    model[2] = nn.AvgPool2d(2)
    if norm:
        torch.manual_seed(1)
        layer = nn.BatchNorm2d(6)
        layer.running_mean.normal_(0, 0.2)
        layer.running_var.uniform_(0.5, 2)
        layer.weight.data.uniform_(0.5, 1.5)
        layer.bias.data.normal_(0, 0.2)
        model.insert(1, layer.eval())
    view = view_of("rgb", 4, model=model)
    given = {"low": -6.0, "high": 6.0} if theirs == "EpsilonGammaBox" else {}
    found, ours = run(f"zennit:{theirs}", view, **given), run("lrp", view, rule=COMPOSITES[theirs], **given)
    torch.testing.assert_close(found, ours, rtol=1e-4, atol=1e-4 * float(ours.abs().max()))


def test_zennit_does_not_see_sums_that_are_no_modules() -> None:
    library("zennit:EpsilonPlus")

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = (
                nn.Conv2d(3, 3, 3, padding=1, bias=False),
                nn.Conv2d(3, 3, 3, padding=1, bias=False),
            )
            self.relu, self.head = nn.ReLU(), nn.Linear(192, 3, bias=False)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            hidden = self.relu(self.first(inputs))
            found: torch.Tensor = self.head((hidden + self.relu(self.second(hidden))).flatten(1))
            return found

    view = make_view(Residual().eval(), make_inputs((3, 8, 8), 4))
    logit = view.scores(view.inputs)
    ours, theirs = (run(n, view, **g).sum(dim=(1, 2)) for n, g in (("lrp", {"rule": "epsilon_plus"}),
                                                                    ("zennit:EpsilonPlus", {})))  # fmt: skip
    torch.testing.assert_close(ours, logit, rtol=1e-3, atol=1e-3)
    assert ((theirs - logit).abs() > 0.2 * logit.abs()).any()


@pytest.mark.parametrize("output", ["probability", "margin"])
def test_zennit_explains_logits_only(output: str) -> None:
    library("zennit:EpsilonPlus")
    with pytest.raises(UnsupportedError, match="starts from a logit"):
        run("zennit:EpsilonPlus", first_three(output=output))


def test_guided_ig_equals_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    library("saliency:GuidedIG")
    whole = np.quantile

    def quantile(values, share, interpolation=None, **others):
        return whole(values, share, method=interpolation or "linear", **others)

    monkeypatch.setattr(np, "quantile", quantile)
    view = view_of("rgb", 3, model=flat_net())
    theirs, ours = run("saliency:GuidedIG", view, x_steps=32), run("guided_ig", view, steps=32)
    # Gradients are in float32.
    torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-4 * float(ours.abs().max()))


def test_blur_ig_goes_the_same_way_as_ours() -> None:
    library("saliency:BlurIG")
    view = view_of("rgb", 3, model=flat_net())
    theirs, ours = run("saliency:BlurIG", view, max_sigma=2.0, steps=64), run("blur_ig", view, max_sigma=2.0, steps=64)
    assert [spearmanr(a.flatten(), b.flatten()).statistic > 0.7 for a, b in zip(theirs, ours, strict=True)] == [
        True
    ] * 3


def test_xrai_averages_as_ours_over_the_same_segments() -> None:
    """The whole maps differ: the library grows segments by 5 pixels whatever the side, ours in proportion to it."""
    library("saliency:XRAI")
    core = pytest.importorskip("saliency.core")
    rng = np.random.default_rng(0)
    base = rng.normal(size=(48, 48, 3))
    masks = np.zeros((40, 48, 48), dtype=bool)
    for mask, (y, x, h, w) in zip(masks, rng.integers(4, 36, (40, 4)), strict=True):
        mask[y : y + h, x : x + w] = True
    theirs = core.XRAI().GetMask(base, None, base_attribution=base, segments=list(masks))
    ours = averaged(base.max(axis=2), masks, least=50)
    np.testing.assert_allclose(theirs, ours, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_behind(name: str) -> None:
    library(name)
    view = view_of("rgb", 3, model=flat_net())
    if name == "saliency:XRAI":
        view = make_view(flat_net_of(24), make_inputs((3, 24, 24), 2))
    module = view.model.module
    before, inputs = copy.deepcopy(module.state_dict()), view.inputs.clone()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    given = {"steps": 5} if name == "saliency:BlurIG" else {"low": -6.0, "high": 6.0} if "Box" in name else {}
    if name == "saliency:GuidedIG" and not takes_interpolation():
        with pytest.raises(UnsupportedError, match="interpolation"):
            run(name, view, **given)
        return
    first = run(name, view, **given)
    assert torch.isfinite(first).all()
    assert torch.equal(first, run(name, view, **given)), "two calls differ"
    alone = run(name, view.take(slice(1, 2)), **given)
    torch.testing.assert_close(alone, first[1:2], rtol=1e-4, atol=1e-5)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(np.random.get_state()[1], states[1][1])  # noqa: NPY002
    assert states[2] == random.getstate()
    assert torch.equal(view.inputs, inputs)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert not module.training
    assert not any(part._forward_hooks or part._backward_hooks for part in module.modules())


def flat_net_of(side: int) -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 3)
    ).eval()

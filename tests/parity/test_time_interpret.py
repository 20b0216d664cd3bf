"""time_interpret 0.3 (`tint`): what is equal, and every deliberate difference in a line.

- Published areas, information and entropy: it adds 1e-5 to the range that scales a map, so that its largest value is
  not 1. Areas move by some 1e-5, information by about one bit per sample, because its largest term is log2(1e-5) here.
- AUPRC is of all samples of a batch together there, and of each sample here (`pooled=True` gives theirs).
- Information and entropy are sums over a batch there, and one number per sample here.
- Occlusion: a cell gets the mean loss of the windows that hold it there, and its share of that here, the loss divided
  by the cells of the window, so that windows that do not overlap add up to what is lost.
- Permutation exchanges a cell with another sample of the batch there, and with a row of the background here.
- Augmented occlusion draws a reference for every window there; here a sample's windows share the drawn rows.
- The question of every step's own output takes a prefix per step there (`TimeForwardTunnel`), one pass here.
- DynaMask is no reference: its size penalty is in `training_step_end`, a hook that pytorch-lightning 2 has not.

The package is read from its files without `tint.attr.__init__`, which needs pytorch-lightning:
``pip download --no-deps time_interpret==0.3.0`` and a folder of it on the path are enough.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_evaluation, make_view, mlp
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.explaining import explain, explain_function
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.models.step_adapters import OwnStep

pytest.importorskip("captum")
tint = pytest.importorskip("tint")
white_box = pytest.importorskip("tint.metrics.white_box")
N, STEPS, SENSORS = 6, 12, 4


def attribution(name: str) -> Any:
    """A module of `tint.attr`, without what stands in the package's `__init__`."""
    spec = importlib.util.find_spec("tint")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    if "tint.attr" not in sys.modules:
        package = ModuleType("tint.attr")
        package.__path__ = [f"{folder}/attr" for folder in spec.submodule_search_locations]
        sys.modules["tint.attr"] = package
    return importlib.import_module(f"tint.attr.{name}")


def maps_and_truth(seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    maps = torch.from_numpy(rng.normal(size=(N, STEPS, SENSORS)).astype(np.float32))
    mask = torch.from_numpy(rng.random((N, STEPS, SENSORS)) < 0.2)
    return maps + mask, mask


def scores(name: str, maps: Tensor, mask: Tensor, **params: object) -> Tensor:
    view = make_view(linear((STEPS, SENSORS)), torch.randn(maps.shape), features="series")
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), make_evaluation(view, maps, truth=Truth("model", mask))).values


def scaled(maps: Tensor) -> Tensor:
    """Magnitudes from 0 to 1 within each sample."""
    size = maps.abs().flatten(1)
    low, high = size.amin(dim=1, keepdim=True), size.amax(dim=1, keepdim=True)
    return ((size - low) / (high - low)).view_as(maps)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["aup", "aur", "auprc"])
def test_pooled_areas_are_equal_on_maps_that_are_scaled(name: str, seed: int) -> None:
    maps, mask = maps_and_truth(seed)
    params = {"pooled": True, "sign": "absolute", "estimator": "published"}
    if name == "auprc":
        # Its curve has no published variant: the exact area is what it computes.
        params["estimator"] = "exact"
        maps = scaled(maps)
    found = float(scores(name, maps, mask, **params))
    theirs = getattr(white_box, name)
    assert found == pytest.approx(theirs(scaled(maps).double(), mask.int(), normalize=False), abs=1e-6)
    assert found == pytest.approx(theirs(maps.abs().double(), mask.int()), abs=1e-4)


@pytest.mark.parametrize(("ours", "theirs"), [("information", "information"), ("mask_entropy", "entropy")])
def test_information_and_entropy_of_a_batch_are_the_sums_over_samples(ours: str, theirs: str) -> None:
    maps, mask = maps_and_truth()
    found = float(scores(ours, maps, mask).sum())
    assert found == pytest.approx(getattr(white_box, theirs)(scaled(maps), mask.int(), normalize=False), rel=1e-5)


def test_its_scaling_costs_about_a_bit_of_information_per_sample_whose_largest_value_is_true() -> None:
    maps, mask = maps_and_truth()
    at_top = int((maps.abs().flatten(1).argmax(dim=1, keepdim=True) == mask.flatten(1).nonzero()[:, 1]).any())
    largest = mask.flatten(1).gather(1, maps.abs().flatten(1).argmax(dim=1, keepdim=True)).sum()
    assert at_top
    lost = white_box.information(scaled(maps), mask.int(), normalize=False) - white_box.information(
        maps.abs(), mask.int()
    )
    assert 0 < lost < 1.5 * int(largest)


def explained(view: ProblemView, name: str, **params: object) -> Tensor:
    spec = get("explainer", name)
    return explain(explain_function(spec, spec.bind(params)), view, f"explain/{name}")  # type: ignore[arg-type]


@pytest.fixture
def problem() -> tuple[nn.Module, Tensor, ProblemView, Tensor]:
    module = mlp((STEPS, SENSORS)).eval()
    inputs = torch.randn(N, STEPS, SENSORS, generator=torch.Generator().manual_seed(1))
    row = torch.randn(1, STEPS, SENSORS, generator=torch.Generator().manual_seed(2))
    return module, inputs, make_view(module, inputs, features="series", background=row), row


@pytest.mark.parametrize("window", [1, 3])
def test_occlusion_by_windows_that_do_not_overlap_is_theirs_over_the_cells_of_a_window(
    problem: tuple[nn.Module, Tensor, ProblemView, Tensor], window: int
) -> None:
    module, inputs, view, _ = problem
    occlusion = attribution("occlusion").Occlusion(module)
    theirs = occlusion.attribute(
        inputs, sliding_window_shapes=(window, 1), strides=(window, 1), baselines=0, target=view.targets
    )
    ours = explained(view, "occlusion", patch=window, stride=window, masker="zero")
    torch.testing.assert_close(ours * window, theirs, rtol=1e-4, atol=1e-5)


def test_removal_and_permutation_agree_where_there_is_one_row_to_exchange_with(
    problem: tuple[nn.Module, Tensor, ProblemView, Tensor],
) -> None:
    module, inputs, view, row = problem
    ours = explained(view, "feature_ablation", patch=1, masker="marginal")
    ablation = attribution("feature_ablation").FeatureAblation(module)
    torch.testing.assert_close(
        ours, ablation.attribute(inputs, baselines=row, target=view.targets), rtol=1e-4, atol=1e-5
    )
    from captum.attr import FeaturePermutation

    # What it permutes with is the batch: here every sample of it is exchanged for the one row.
    permuted = FeaturePermutation(module, perm_func=lambda x, mask: torch.where(mask.bool(), row.expand_as(x), x))
    torch.testing.assert_close(ours, permuted.attribute(inputs, target=view.targets), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("draws", [1, 3])
def test_augmented_occlusion_is_theirs_where_all_draws_are_one_row(
    problem: tuple[nn.Module, Tensor, ProblemView, Tensor], draws: int
) -> None:
    module, inputs, view, row = problem
    theirs = attribution("augmented_occlusion").AugmentedOcclusion(module, data=row, n_sampling=draws)
    found = theirs.attribute(
        inputs, sliding_window_shapes=(1, 1), strides=(1, 1), target=view.targets, attributions_fn=abs
    )
    ours = explained(view, "augmented_occlusion", patch=1, stride=1, n_samples=draws, absolute=True)
    torch.testing.assert_close(ours, found, rtol=1e-4, atol=1e-5)


def test_integrated_gradients_are_those_of_captum_which_it_takes(
    problem: tuple[nn.Module, Tensor, ProblemView, Tensor],
) -> None:
    from captum.attr import IntegratedGradients

    module, inputs, view, _ = problem
    theirs = IntegratedGradients(module).attribute(
        inputs, baselines=0, target=view.targets, n_steps=16, method="riemann_middle"
    )
    ours = explained(view, "integrated_gradients", steps=16, baseline="zero")
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


class PerStep(nn.Module):
    """A GRU with two outputs at every step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru, self.head = nn.GRU(SENSORS, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0])  # type: ignore[no-any-return]


def test_losses_of_a_step_s_own_output_take_a_prefix_per_step_there_and_one_pass_here() -> None:
    net = PerStep().eval()
    inputs = torch.randn(2, 5, SENSORS, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        classes = net(inputs).argmax(dim=2)
    theirs = torch.zeros_like(inputs)
    temporal = attribution("temporal_occlusion").TemporalOcclusion(lambda x: net(x)[:, -1])
    for t in range(inputs.shape[1]):
        prefix = temporal.attribute(inputs[:, : t + 1], sliding_window_shapes=(1,), baselines=0, target=classes[:, t])
        theirs[:, t] = prefix[:, t]
    own = OwnStep(net.gru, net.head)
    import xaibench as xb

    ours = xb.explain(
        "feature_ablation", model=own, inputs=inputs.numpy(), context=own.context(inputs, classes), features="series",
        returns="value", patch=1, masker="zero",
    )  # fmt: skip
    np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), rtol=1e-4, atol=1e-5)

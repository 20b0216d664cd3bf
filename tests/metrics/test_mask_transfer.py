"""A mask that only one network takes for the class, told by a second network of the recipe."""

from __future__ import annotations

import pytest
import torch
from helpers.builders import make_data, make_evaluation, make_view
from helpers.refit import Refit
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import TorchPredictor
from xaibench.core.registry import get
from xaibench.core.scoring import score

N, SIDE = 5, 8


class LooksAt(nn.Module):
    """Says class 1 where the mean of some pixels is above one half."""

    def __init__(self, rows: slice) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, inputs: Tensor) -> Tensor:
        seen = inputs[:, 0, self.rows].mean(dim=(1, 2))
        return torch.stack([torch.zeros_like(seen), 8 * (seen - 0.5)], dim=1)


class SeesTheTopOnly(Refit):
    """Whoever is trained again looks at the upper half: the lower half is a habit of the first network."""

    def build(self, data: Data, seed: int) -> nn.Module:
        return LooksAt(slice(0, SIDE // 2)).eval()


def evaluation(shown: slice) -> Evaluation:
    """A first network that looks at all rows, and a map of some of them."""
    inputs = torch.ones(N, 1, SIDE, SIDE) + 0.01 * torch.arange(N).view(N, 1, 1, 1)
    view = make_view(LooksAt(slice(None)).eval(), inputs, targets=torch.ones(N, dtype=torch.int64))
    maps = torch.zeros(N, SIDE, SIDE)
    maps[:, shown] = 1.0
    return make_evaluation(view, maps, kind="saliency", retraining=SeesTheTopOnly(view, make_data((1, SIDE, SIDE))))


def run(ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", "mask_transfer")
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind({"masker": "zero", "share": 0.5, **params}), ev).values


def test_the_second_network_is_asked_about_what_is_shown() -> None:
    top, bottom = slice(0, SIDE // 2), slice(SIDE // 2, SIDE)
    brightness = 1 + 0.01 * torch.arange(N, dtype=torch.float64)
    # Half of the picture is there: the first network sees half its brightness wherever that is.
    own = torch.sigmoid(8 * (brightness / 2 - 0.5))
    for shown, second in (
        (top, torch.sigmoid(8 * (brightness - 0.5))),
        (bottom, torch.full((N,), 1 / (1 + 2.718281828**4))),
    ):
        torch.testing.assert_close(run(evaluation(shown)).double(), second.double(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(run(evaluation(shown), network="own").double(), own, rtol=1e-5, atol=1e-6)


def test_models_of_values_are_refused() -> None:
    ev = evaluation(slice(0, 4))
    view = make_view(TorchPredictor(LooksAt(slice(None)).eval(), "value"), ev.inputs, targets=ev.targets)
    with pytest.raises(UnsupportedError):
        run(make_evaluation(view, ev.attributions))

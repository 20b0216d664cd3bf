"""Evaluating many explainers with many metrics in one call gives what a suite gives, at the same cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.store_rows import COSTS
from torch import nn

import xaibench as xb
from xaibench.analysis.leaderboard.columns import LEADERBOARD_COLUMNS

N, N_REFERENCES = 12, 16
EXPLAINERS: list[Any] = [
    "gradient",
    "integrated_gradients",
    ("smoothgrad", {"n_samples": 8}),
    "occlusion",
    ("kernel_shap", {"n_samples": 64}),
    "lrp",
]
METRICS: list[Any] = [
    ("pixel_flipping", {"masker": "zero"}),
    ("faithfulness_correlation", {"output": "logit"}),
    "infidelity",
    "max_sensitivity",
    "relevance_mass",
    "completeness",
]
NAMES = ["suite", "dataset", "model", "selection"]


class LittleNet(nn.Module):
    """A convolution, its sum over the image, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(inputs)
        return out


@xb.dataset("little_squares", features="image", version=1, provides={"truth.mask"})
def little_squares(*, seed: int) -> xb.Data:
    """Noise with a bright square in a corner that tells the class."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(3, size=64).astype("int64")
    inputs = rng.normal(scale=0.3, size=(64, 1, 6, 6)).astype("float32")
    mask = np.zeros((64, 6, 6), dtype=bool)
    for i, target in enumerate(targets):
        mask[i, 2 * target : 2 * target + 2, :2] = True
    inputs[:, 0][mask] += 2
    test = {"test_mask": mask[32:], "truth_kind": "data", "accuracy_floor": None}
    return xb.Data("image", inputs[:32], targets[:32], inputs[32:], targets[32:], **test)


@xb.model("little_net", version=1)
def little_net(data: xb.Data, *, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = LittleNet()
    steps = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        steps.zero_grad()
        found = net.body(torch.from_numpy(data.train_inputs))
        nn.functional.cross_entropy(found, torch.from_numpy(data.train_targets)).backward()
        steps.step()
    return net.eval()


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Inputs that any `LittleNet` is given."""
    found = {"n": 0}

    def count(module: nn.Module, inputs: Any, _output: Any) -> None:
        if isinstance(module, LittleNet):
            found["n"] += len(inputs[0])

    handle = nn.modules.module.register_module_forward_hook(count)
    try:
        yield found
    finally:
        handle.remove()


def _entry(given: Any) -> dict[str, Any]:
    name, params = given if isinstance(given, tuple) else (given, {})
    output = {"output": params["output"]} if "output" in params else {}
    return {"name": name, "params": {k: v for k, v in params.items() if k != "output"}, **output}


def _suite(metrics: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "little", "samples": N, "background": N_REFERENCES, "target": "label",
        "problems": [{"dataset": "little_squares", "models": ["little_net"]}],
        "explainers": [_entry(e) for e in EXPLAINERS], "metrics": [_entry(m) for m in metrics], **more,
    }  # fmt: skip


def _problem() -> xb.Problem:
    data = little_squares(seed=0)
    rows = np.unique(np.linspace(0, 31, N_REFERENCES).astype(int))
    return xb.Problem(
        little_net(data, seed=0),
        data.test_inputs[:N],
        data.test_targets[:N],
        labels=data.test_targets[:N],
        background=data.train_inputs[rows],
        background_labels=data.train_targets[rows],
        truth=data.test_mask[:N],
        truth_kind="data",
        name="little_squares/little_net",
    )


@pytest.fixture(scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
def test_board_and_evaluations_are_those_of_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    with counted() as preparing:
        xb.run(_suite(["sparseness"], explainers=["constant"], controls=False), store=tmp_path / "nothing")
    with counted() as suite:
        run = xb.run(_suite(METRICS, seeds=[3]), store=tmp_path / "store")
    problem = _problem()
    with counted() as one_call:
        table = problem.evaluate(EXPLAINERS, METRICS, seeds=3)
    board, expected = xb.leaderboard(table), run.leaderboard()
    columns = [c for c in LEADERBOARD_COLUMNS if c not in NAMES + COSTS]
    pd.testing.assert_frame_equal(board[columns], expected[columns], check_exact=True)
    assert one_call["n"] == suite["n"] - preparing["n"]

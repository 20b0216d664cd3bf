"""A problem that needs no training, and components that go wrong in known ways."""

import dataclasses

import numpy as np
import torch
from torch import nn

import xaibench as xb


@xb.dataset("tiny", features="table", provides=set())
def tiny(*, seed: int = 0, n: int = 24) -> xb.Data:
    """Six Gaussian columns; the class is the sign of a known sum."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3 * n, 6)).astype(np.float32)
    y = (x @ np.arange(1, 7) > 0).astype(np.int64)
    return xb.Data("table", x[n:], y[n:], x[:n], y[:n], accuracy_floor=0.9)


@xb.dataset("tiny_masked", features="table", provides={"truth.mask"})
def tiny_masked(*, seed: int = 0) -> xb.Data:
    """`tiny`, with the last two columns as truth."""
    data = tiny(seed=seed)
    mask = np.tile(np.arange(6) > 3, (len(data.test_inputs), 1))
    return dataclasses.replace(data, test_mask=mask, truth_kind="data")


@xb.model("exact", provides={"gradients", "module", "truth.weights"})
def exact(data: xb.Data, *, scale: float = 1.0) -> nn.Module:
    """The linear model behind `tiny`."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    with torch.no_grad():
        net[1].weight.copy_(scale * torch.stack([-torch.arange(1.0, 7), torch.arange(1.0, 7)]))
        net[1].bias.zero_()
    return net


@xb.model("upside_down", provides={"gradients", "module"})
def upside_down(data: xb.Data) -> nn.Module:
    """Always wrong: fails the accuracy gate."""
    net = exact(data)
    with torch.no_grad():
        net[1].weight.neg_()
    return net


@xb.model("breaks")
def breaks(data: xb.Data) -> nn.Module:
    """Cannot be built."""
    raise RuntimeError("no such weights")


def black_box(data: xb.Data):
    """A plain function that returns a callable: no gradients, no decorator."""
    w = np.arange(1, 7)

    def predict(x: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-(x.reshape(len(x), -1) @ w)))
        return np.stack([1 - p, p], axis=1)

    return predict


@xb.explainer("weights_times_input", kind="contribution", needs={"gradients"})
def weights_times_input(problem: xb.ProblemView, *, gain: float = 1.0) -> torch.Tensor:
    """A user's own explainer."""
    return gain * problem.gradients(problem.inputs) * problem.inputs


@xb.explainer("raises", kind="slope")
def raises(problem: xb.ProblemView) -> torch.Tensor:
    """Fails with a message."""
    raise ValueError("this explainer is broken")


@xb.explainer("wrong_shape", kind="slope")
def wrong_shape(problem: xb.ProblemView) -> torch.Tensor:
    """Returns one number too few."""
    return problem.inputs[:, 1:]


@xb.explainer("out_of_memory", kind="slope")
def out_of_memory(problem: xb.ProblemView) -> torch.Tensor:
    """Pretends that memory is exhausted."""
    raise MemoryError


@xb.explainer("nan_map", kind="slope")
def nan_map(problem: xb.ProblemView) -> torch.Tensor:
    """Not a number anywhere."""
    return torch.full_like(problem.inputs, torch.nan)


@xb.metric("own_metric", family="complexity", higher_is_better=False, bounds=(0, None))
def own_metric(ev: xb.Evaluation, *, power: float = 1.0) -> torch.Tensor:
    """A user's own metric."""
    return ev.attributions.abs().pow(power).sum(dim=1)


@xb.metric(
    "weight_agreement", family="ground_truth", higher_is_better=True, bounds=(-1, 1), needs={"truth.weights"},
    skill_valid=True,
)  # fmt: skip
def weight_agreement(ev: xb.Evaluation) -> torch.Tensor:
    """Cosine of the attributions and the true weights."""
    return torch.cosine_similarity(ev.attributions, ev.truth.weights, dim=1)


@xb.metric("broken_metric", family="complexity", higher_is_better=False)
def broken_metric(ev: xb.Evaluation) -> torch.Tensor:
    """Fails on every explanation."""
    raise ZeroDivisionError("a division by zero")

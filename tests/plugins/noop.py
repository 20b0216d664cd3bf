"""Components that do nothing, any number of them: what remains is the harness."""

import torch

import xaibench as xb


@xb.explainer("noop", kind="slope")
def noop(problem: xb.ProblemView, *, k: int = 0) -> torch.Tensor:
    """Zeros."""
    return torch.zeros_like(problem.inputs)


@xb.metric("noop_metric", family="complexity", higher_is_better=False)
def noop_metric(ev: xb.Evaluation, *, k: int = 0) -> torch.Tensor:
    """Zeros."""
    return torch.zeros(len(ev.inputs))

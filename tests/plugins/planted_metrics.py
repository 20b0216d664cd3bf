"""Metrics that are broken in known ways; all but the constant one are built on a sound metric."""

import torch

import xaibench as xb
from xaibench.core.registry import get


def _sound(ev: xb.Evaluation) -> torch.Tensor:
    spec = get("metric", "comprehensiveness")
    return spec.function(ev, **spec.bind({}))


@xb.metric("always_constant", family="faithfulness", higher_is_better=True)
def always_constant(ev: xb.Evaluation) -> torch.Tensor:
    """One number, whatever it is given."""
    return torch.full((len(ev),), 0.7)


@xb.metric("batch_coupled", family="faithfulness", higher_is_better=True, convert="order", output="curve")
def batch_coupled(ev: xb.Evaluation) -> torch.Tensor:
    """A sound score, divided by the largest one of the batch."""
    scores = _sound(ev)
    return scores / scores.abs().max()


@xb.metric("batch_ranked", family="faithfulness", higher_is_better=True, convert="order", output="curve")
def batch_ranked(ev: xb.Evaluation) -> torch.Tensor:
    """The place of a sound score among those of the batch."""
    return _sound(ev).argsort().argsort() / len(ev)


@xb.metric("sign_flipped", family="faithfulness", higher_is_better=False, convert="order", output="curve")
def sign_flipped(ev: xb.Evaluation) -> torch.Tensor:
    """A sound score that is declared to be the better, the lower it is."""
    return _sound(ev)


@xb.metric("blind", family="faithfulness", higher_is_better=True)
def blind(ev: xb.Evaluation) -> torch.Tensor:
    """The model's output, whatever the explanation."""
    return ev.scores(ev.inputs)

"""Linear models of given weights, whose explanations and scores are known in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def affine(weights: Any, bias: Any) -> nn.Linear:
    """A module that returns ``x @ weights.T + bias``, of weights (C, F) and a bias (C,)."""
    w, b = (torch.as_tensor(numbers, dtype=torch.float32) for numbers in (weights, bias))
    net = nn.Linear(w.shape[1], w.shape[0])
    with torch.no_grad():
        net.weight.copy_(w)
        net.bias.copy_(b)
    return net.eval()

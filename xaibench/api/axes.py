"""Images with their channels last: turned for the explainers, and turned back for the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.errors import UsageError
from xaibench.core.predictor import CallablePredictor, Predictor
from xaibench.core.types import Array
from xaibench.models.adapters import as_predictor

LAST = "NHWC"


class _TakesChannelsLast(nn.Module):
    """A network of images (N, H, W, C), for images (N, C, H, W)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, **context: Tensor) -> Any:
        return self.network(images.permute(0, 2, 3, 1), **context)


def takes_channels_first(model: Any, returns: str | None, device: str, batch_size: int | None) -> Predictor:
    """A predictor of images (N, C, H, W) made of a model of images (N, H, W, C)."""
    if isinstance(model, nn.Module):
        turned = _TakesChannelsLast(model).train(model.training)
        return as_predictor(turned, returns=returns, device=device, batch_size=batch_size)
    inner = as_predictor(model, returns=returns, device=device, batch_size=batch_size)

    def predict(images: Array, **context: Array) -> Array:
        turned = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        beside = {name: torch.from_numpy(values) for name, values in context.items()}
        found: Array = inner.predict(torch.from_numpy(turned), beside or None).cpu().numpy()
        return found

    outer = CallablePredictor(predict, inner.returns, batch_size=batch_size)
    outer.returns_assumed = inner.returns_assumed
    return outer


def channels_first(images: Tensor, name: str) -> Tensor:
    """Images (N, H, W, C) as (N, C, H, W).

    Raises
    ------
    UsageError
        If there are not four axes.
    """
    if images.ndim != 4:
        raise UsageError(f"{name} of shape {tuple(images.shape)} cannot have the axes {LAST}", "leave axes out")
    return images.permute(0, 3, 1, 2).contiguous()

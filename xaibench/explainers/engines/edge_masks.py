"""Losses of learned edge masks: does the model still say the same, and is the mask small and decided?"""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.errors import UnsupportedError
from xaibench.core.outputs import default_output
from xaibench.core.predictor import require_module
from xaibench.core.problem import Samples

SMALLEST_PROBABILITY = 1e-12
"""Probabilities below this count as this much in a logarithm."""


class EdgeMaskLoss:
    """How far the model under a mask is from what is explained, sample by sample and differentiable.

    Minus the log probability of the explained class; for models that return values the squared distance from the value
    of the whole graph.

    Parameters
    ----------
    samples : Samples
        Of graphs, whose features are edges.

    Raises
    ------
    UnsupportedError
        If the model has no gradients, or a contrast is explained.
    """

    def __init__(self, samples: Samples) -> None:
        samples.refuse_foils("a mask is learned for one class")
        self.samples = samples
        self.model = require_module(samples.model)
        self.values = default_output(samples.model.returns) == "value"
        self._clean: Tensor | None = None

    def __call__(self, mask: Tensor, rows: Tensor | slice) -> Tensor:
        """Loss (B,) of the samples ``rows`` whose weights are multiplied by ``mask`` (B, E)."""
        own = torch.arange(len(self.samples), device=mask.device)[rows]
        beside = context_rows(self.samples.context, rows) or None
        raw = self.model.forward(self.samples.inputs[rows] * mask, beside)
        if self.values:
            return (self.samples.select(raw, own, output="value") - self._whole()[own]).square()
        if self.model.returns == "logit":
            picked = raw.log_softmax(dim=1).gather(1, self.samples.targets[own].unsqueeze(1))
            return -picked.squeeze(1)
        return -self.samples.select(raw, own, output="probability").clamp(min=SMALLEST_PROBABILITY).log()

    def _whole(self) -> Tensor:
        """Values (N,) of the whole graphs."""
        if self._clean is None:
            self._clean = self.samples.scores(self.samples.inputs, output="value")
        return self._clean


def mask_penalty(mask: Tensor, size: float, entropy: float) -> Tensor:
    """``size`` times the sum of masks (..., E) and ``entropy`` times the mean entropy of an edge, in nats.

    Examples
    --------
    A mask of one half has the entropy log 2:

    >>> import torch
    >>> round(float(mask_penalty(torch.full((1, 4), 0.5), size=0.0, entropy=1.0)), 4)
    0.6931
    """
    inside = mask.clamp(SMALLEST_PROBABILITY, 1 - 1e-7)
    spread = -(inside * inside.log() + (1 - inside) * (1 - inside).log())
    return size * mask.sum(dim=-1) + entropy * spread.mean(dim=-1)


def require_embeddings(samples: Samples) -> None:
    """Raise UnsupportedError unless the module has ``embed``, which gives states of nodes."""
    if not callable(getattr(require_module(samples.model).module, "embed", None)):
        raise UnsupportedError(
            "the explainer reads states of nodes, and the module does not give any",
            "give it a method embed(w, **context) that returns the states of the nodes after its last layer, (N, n, h)",
        )

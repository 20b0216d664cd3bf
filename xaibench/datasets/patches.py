"""Adversarial patches that are visible and leave the logits of a model unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.checks import margins
from xaibench.core.data import Data
from xaibench.core.gates import Findings, Gate
from xaibench.core.keys import array_digest
from xaibench.core.predictor import Predictor, TorchPredictor, require_module
from xaibench.core.types import Array

PATCHES_VERSION = 2
"""Raised when patches change."""
SCHEDULE = ((0.01, 150), (0.003, 100), (0.001, 100), (0.0003, 50))
"""Step sizes of Adam and for how many steps, in units of pixels from 0 to 1."""
FAINTER = (0.75, 0.5, 0.35)
"""How much of the object the next try starts from, where the outputs still changed too much."""
VISIBLE = 0.05
"""Weight of the norm of the patch against that of the change of the logits."""
NEED = "input_pair.patched"
BLOCK = 16
"""Images patched at a time: fixed, since the last bits of a batch grow to grey levels over the steps."""
_TINY = 1e-12
"""Keeps the slope of a norm finite where the norm is 0."""


@dataclass(frozen=True)
class InsignificantPatch:
    """Finds for every image a patch that leaves the logits as they are, and verifies that it does.

    The clean images x are the first test inputs. From an object pasted on them, Adam walks down
    ``||f(x + d) - f(x)|| - 0.05 ||d||`` over the pixels d of the object, held within the range of
    pixels; the result is rounded to 8 bits, as images are stored (Yang & Kim 2019, input
    independence; the weight is our own). Where a logit still changes by more than ``max_change``,
    it walks again from a fainter object, and the patch that changes least is selected. The found
    images are the problem's ``input_pair.patched``.

    Parameters
    ----------
    inputs : array (M, C, H, W), float32
        The first M test inputs with the object pasted, from 0 to 1.
    masks : array (M, H, W) of bool
        Pixels that the patch may change.
    max_change : float
        What the 95th percentile over images of the largest change of a logit may be.
    max_share : float
        What the same may be as a share of the median margin of the clean images.
    least_rms : float
        What the root mean square of the patch must be, over all of its pixels and channels.
    """

    inputs: Array
    masks: Array
    max_change: float = 0.1
    max_share: float = 0.05
    least_rms: float = 0.2

    @property
    def identity(self) -> list[Any]:
        settings = [VISIBLE, *(number for phase in SCHEDULE for number in phase), *FAINTER]
        limits = [self.max_change, self.max_share, self.least_rms]
        return [
            "insignificant patch",
            PATCHES_VERSION,
            settings,
            limits,
            array_digest(self.inputs),
            array_digest(self.masks),
        ]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Patch the images and measure what the model notices.

        Raises
        ------
        UnsupportedError
            If the model has no gradients.
        """
        module = require_module(model)
        clean = data.test_inputs[: len(self.inputs)]
        before, start, mask = (torch.from_numpy(a).to(module.device) for a in (clean, self.inputs, self.masks[:, None]))
        found = unnoticed(module, before, start, mask, self.max_change).cpu().numpy()
        return Findings(self._gates(model, clean, found), {NEED: found})

    def _gates(self, model: Predictor, clean: Array, found: Array) -> tuple[Gate, ...]:
        before, after = (model.predict(torch.from_numpy(a)).cpu() for a in (clean, found))
        said = before.argmax(dim=1)
        same = float((after.argmax(dim=1) == said).double().mean())
        change = float(np.quantile((after - before).abs().amax(dim=1).numpy(), 0.95))
        margin = float(np.median(margins(model, clean, said.numpy())))
        where = np.broadcast_to(self.masks[:, None], clean.shape)
        rms = float(np.sqrt(np.square((found - clean)[where], dtype=np.float64).mean()))
        return (
            Gate("patch, same prediction", same, 1.0),
            Gate("patch, 95th percentile of the largest change of a logit", change, self.max_change, at_least=False),
            Gate("patch, that change as a share of the median margin", change / margin, self.max_share, at_least=False),
            Gate("patch, root mean square", rms, self.least_rms),
        )


def unnoticed(model: TorchPredictor, clean: Tensor, start: Tensor, mask: Tensor, max_change: float) -> Tensor:
    """`patched`, and again from ever fainter objects where a logit changes by more than ``max_change``.

    Returns
    -------
    Tensor (M, C, H, W)
        Of all tries for an image the one whose largest change of a logit is smallest.
    """

    def walk(rows: Tensor, share: float) -> tuple[Tensor, Tensor]:
        images, changes = [], []
        for some in torch.split(rows, BLOCK):
            x = clean[some]
            image = patched(model, x, x + share * (start[some] - x), mask[some])
            with torch.no_grad():
                changes.append((model.forward(image) - model.forward(x)).abs().amax(dim=1))
            images.append(image)
        return torch.cat(images), torch.cat(changes)

    found, change = walk(torch.arange(len(clean), device=clean.device), 1.0)
    for share in FAINTER:
        rows = (change > max_change).nonzero().flatten()
        if not len(rows):
            break
        images, changes = walk(rows, share)
        better = changes < change[rows]
        found[rows[better]], change[rows[better]] = images[better], changes[better]
    return found


def patched(model: TorchPredictor, clean: Tensor, start: Tensor, mask: Tensor) -> Tensor:
    """Images with a patch that keeps the logits of the clean ones; each found apart from the others.

    Parameters
    ----------
    model : TorchPredictor
    clean, start : Tensor (M, C, H, W)
        Pixels from 0 to 1.
    mask : Tensor (M, 1, H, W) of bool
        Outside of it the images stay clean.

    Returns
    -------
    Tensor (M, C, H, W)
        Inside of the mask multiples of 1/255.
    """
    with torch.no_grad():
        wanted = model.forward(clean)
    image = torch.where(mask, start, clean).requires_grad_()
    optimizer = torch.optim.Adam([image])
    with torch.enable_grad():
        for rate, steps in SCHEDULE:
            optimizer.param_groups[0]["lr"] = rate
            for _ in range(steps):
                change, size = model.forward(image) - wanted, (image - clean).flatten(1)
                loss = _norm(change) - VISIBLE * _norm(size)
                (slope,) = torch.autograd.grad(loss.sum(), image)
                image.grad = slope * mask
                optimizer.step()
                with torch.no_grad():
                    image.clamp_(0, 1)
    return torch.where(mask, (255 * image.detach()).round() / 255, clean)


def _norm(rows: Tensor) -> Tensor:
    return (rows.square().sum(dim=1) + _TINY).sqrt()

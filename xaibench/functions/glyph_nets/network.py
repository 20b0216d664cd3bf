"""A small convolutional network for images of glyphs, in two halves, and how it is trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from xaibench.core.keys import array_digest, digest
from xaibench.core.storage.files import load_tensors, save_tensors
from xaibench.functions.glyph_nets.images import SIDE

N_CHANNELS = 24
N_GLYPH_IMAGES, N_EPOCHS, GLYPH_BATCH, GLYPH_LEARNING_RATE = 1500, 8, 64, 1e-2
MAP_SHAPE = (N_CHANNELS, SIDE, SIDE)
"""Shape of the activations behind the last convolution."""


class GlyphNet(nn.Module):
    """Two convolutions with ReLU, the global maximum of each channel, and a linear layer with two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, N_CHANNELS, 3, padding=1), nn.ReLU()
        )
        self.linear = nn.Linear(N_CHANNELS, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 2) of images (n, 1, 12, 12)."""
        found: Tensor = self.linear(self.convolutions(images).amax(dim=(2, 3)))
        return found

    def margin(self, activations: Tensor) -> Tensor:
        """Difference of the logits (n,) for activations of the last convolution, flat (n, 3456), in their precision."""
        weights = self.linear.weight.to(activations.dtype)
        bias = self.linear.bias.to(activations.dtype)
        logits = activations.view(-1, *MAP_SHAPE).amax(dim=(2, 3)) @ weights.T + bias
        found: Tensor = logits[:, 1] - logits[:, 0]
        return found

    def maps(self, images: Tensor) -> Tensor:
        """Activations of the last convolution (n, 3456), float64."""
        with torch.no_grad():
            found: Tensor = self.convolutions(images).flatten(1).double()
        return found


def trained_net(images: Tensor, labels: Tensor, seed: int, cache: Path | None) -> GlyphNet:
    """Train a net (AdamW, one cycle of the learning rate), or load it where the cache has one of these images and seed.

    Parameters
    ----------
    images : Tensor (n, 1, 12, 12)
    labels : Tensor (n,) of int
    seed : int
    cache : Path or None
        Folder for fitted models.
    """
    key = digest("glyph net 1", array_digest(images.numpy()), labels.tolist(), seed)
    path = None if cache is None else cache / "glyph_nets" / f"{key}.safetensors"
    known = load_tensors(path) if path is not None and path.is_file() else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = GlyphNet()
        if known is not None:
            net.load_state_dict(known)
        else:
            _fit(net, images, labels)
            if path is not None:
                save_tensors(path, net.state_dict())
    for p in net.parameters():
        p.requires_grad_(False)
    return net.eval()


def _fit(net: GlyphNet, images: Tensor, labels: Tensor) -> None:
    steps = -(-len(images) // GLYPH_BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=GLYPH_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=GLYPH_LEARNING_RATE, epochs=N_EPOCHS, steps_per_epoch=steps
    )
    for _ in range(N_EPOCHS):
        for rows in torch.split(torch.randperm(len(images)), GLYPH_BATCH):
            loss = nn.functional.cross_entropy(net(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()

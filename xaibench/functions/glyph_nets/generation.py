"""The set of trained nets on glyphs: what an explainer may see, and what erasing each glyph does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions
from xaibench.functions.concept_nets.generation import ConceptModel
from xaibench.functions.glyph_nets.images import GLYPH_COPYING, GLYPH_SHAPES, N_GLYPHS, drawn_presence, glyph_images
from xaibench.functions.glyph_nets.network import MAP_SHAPE, N_GLYPH_IMAGES, GlyphNet, trained_net

N_EXPLAINED_IMAGES, N_ERASED = 100, 1000
ACCURACY, RELIANCE = 0.97, 10.0
"""Least accuracy, and least ratio of the effect of the used glyph to that of any other, by erasing."""
ProbeSet = Literal["natural", "isolated"]


@dataclass(frozen=True, eq=False)
class GlyphModel(ConceptModel):
    """A model from the last convolution to the difference of the logits; inputs are activations, flat.

    Attributes
    ----------
    map_shape : tuple of int
        Channels, height and width of the activations.
    """

    map_shape: tuple[int, int, int] = MAP_SHAPE


@dataclass(frozen=True, eq=False)
class GlyphProbe:
    """Activations of images with and without glyphs.

    Attributes
    ----------
    net : GlyphNet
    isolated : bool
        Whether probe images have no background and no other glyph, and those without the glyph nothing at all.
    """

    net: GlyphNet
    isolated: bool

    def labelled(self, n: int, rng: np.random.Generator, *, correlated: bool = True) -> tuple[Tensor, Tensor]:
        """Activations (n, 3456) and which glyphs are there (n, 4)."""
        present = drawn_presence(n, rng, correlated=correlated)
        return self.net.maps(glyph_images(present, rng)[0]), torch.from_numpy(present).double()

    def redraw(self, concepts: Tensor, rng: np.random.Generator, *, conditional: bool = True) -> Tensor:
        """Each glyph (n, 4) drawn again given all others, or regardless of them."""
        rate = torch.full_like(concepts, 0.5)
        if conditional:
            rate[:, :2] += GLYPH_COPYING * (concepts[:, :2].flip(1) - 0.5)
        return (torch.from_numpy(rng.random(tuple(concepts.shape))) < rate).to(concepts.dtype)

    def probe(self, concept: int, n: int, rng: np.random.Generator, independent: bool = False) -> tuple[Tensor, Tensor]:
        """Activations of n images that have a glyph, and of n that do not, (n, 3456) each."""
        if self.isolated:
            present = np.zeros((2 * n, N_GLYPHS), dtype=np.int64)
            present[:n, concept] = 1
            maps = self.net.maps(glyph_images(present, rng, background=False)[0])
            return maps[:n], maps[n:]
        present = drawn_presence(8 * n + 100, rng, correlated=not independent)
        rows = [np.flatnonzero(present[:, concept] == value)[:n] for value in (1, 0)]
        maps = self.net.maps(glyph_images(present[np.concatenate(rows)], rng)[0])
        return maps[:n], maps[n:]


@functions("concept_cnn", kind="concepts", version=1)
def concept_cnn(
    *, seed: int, n: PositiveInt = 6, probes: ProbeSet = "natural", cache: Path | None = None
) -> tuple[Case, ...]:
    """Convolutional nets trained on glyphs, of which each uses one, with the effect of erasing each glyph.

    Images have a plus, a cross, a box and bars with probability 1/2 each; a cross mostly is there where a plus is. Of
    two nets on the same images one is trained to tell a plus, and the other a cross. Units are glyphs, and what is
    explained is the difference of the logits as a function of the last convolution.

    Parameters
    ----------
    seed : int
    n : int
        Nets.
    probes : {"natural", "isolated"}
        Images for concept vectors: like the training images; or a glyph on black, against black images.
    """
    return tuple(_case(i, seed, probes, cache) for i in range(n))


def _case(i: int, seed: int, probes: ProbeSet, cache: Path | None) -> Case:
    used = i % 2
    name = f"concept_cnn/{i // 2}/{list(GLYPH_SHAPES)[used]}"
    net = _net(i, seed, cache)
    rng = keyed_generator(seed, "effects", name)
    effects, accuracy = erasing_effects(net, used, rng)
    around = GlyphProbe(net, probes == "isolated")
    inputs, _ = around.labelled(N_EXPLAINED_IMAGES, rng)
    own = effects[used].abs()
    others = torch.cat([effects[:used], effects[used + 1 :]]).abs().max()
    is_used = torch.arange(N_GLYPHS) == used
    return Case(
        name,
        "concepts",
        GlyphModel(net.margin, inputs, around.probe, around.labelled, around.redraw),
        Scores(effects),
        {"used": is_used.double(), "partner_used": (torch.arange(N_GLYPHS) == 1 - used).double()},
        units=tuple(GLYPH_SHAPES),
        parameters={"label": list(GLYPH_SHAPES)[used], "probes": probes},
        description=f"a convolutional net that was trained to tell whether there is a {list(GLYPH_SHAPES)[used]}",
        gates=(
            Gate("accuracy", accuracy, ACCURACY),
            Gate("effect of the used glyph against the largest other", float(own / others), RELIANCE),
        ),
        content={"seed": seed, "probes": probes},
    )


@lru_cache(maxsize=16)
def _net(i: int, seed: int, cache: Path | None) -> GlyphNet:
    """Net number i; 2 i and 2 i + 1 are trained on the same images."""
    draws = keyed_generator(seed, "glyphs", f"concept_cnn/{i // 2}")
    present = drawn_presence(N_GLYPH_IMAGES, draws, correlated=True)
    images, _ = glyph_images(present, draws)
    return trained_net(images, torch.from_numpy(present[:, i % 2]), seed=1000 * seed + i, cache=cache)


def erasing_effects(net: GlyphNet, used: int, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Mean fall of the margin (4,) when a glyph that is there is replaced by the background, and the accuracy."""
    present = drawn_presence(N_ERASED, rng, correlated=True)
    images, erased = glyph_images(present, rng)
    margins = net.margin(net.maps(images))
    without = net.margin(net.maps(erased.flatten(0, 1))).view(N_ERASED, N_GLYPHS)
    there = torch.from_numpy(present).double()
    effects = ((margins[:, None] - without) * there).sum(dim=0) / there.sum(dim=0)
    accuracy = ((margins > 0) == (there[:, used] > 0)).double().mean()
    return effects, float(accuracy)

"""Placebos of dictionaries: random and principal directions, training inputs, and decoders that cannot learn much."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Dictionary
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.functions.dictionaries.activation_rules import largest_of_rows
from xaibench.functions.dictionaries.generation import FeatureInputs
from xaibench.functions.dictionaries.methods import TRAINING_STEPS, coded, unit_directions
from xaibench.functions.dictionaries.sparse_autoencoder import SparseAutoencoder, train_sparse_autoencoder

SOFT_COSINE = 0.8
"""Least cosine of a soft-frozen decoder's directions with where they started."""


@interpreter("random_directions", takes=["dictionary"], control=True)
def random_directions(case: CaseView, draws: np.random.Generator) -> Dictionary:
    """Random directions; codes are the k largest products with the input minus the mean."""
    given: FeatureInputs = case.given
    return _tied(unit_directions(draws, given.m, given.train.shape[1]), given)


@interpreter("principal_components", takes=["dictionary"], control=True)
def principal_components(case: CaseView, draws: np.random.Generator) -> Dictionary:
    """Principal components of the training inputs and their negatives, over and over up to m; the k largest codes."""
    given: FeatureInputs = case.given
    centred = given.train - given.train.mean(dim=0)
    axes = torch.linalg.svd(centred.T @ centred).U.T
    both = torch.cat([axes, -axes])
    return _tied(both.repeat(-(-given.m // len(both)), 1)[: given.m], given)


@interpreter("data_points", takes=["dictionary"], control=True)
def data_points(case: CaseView, draws: np.random.Generator) -> Dictionary:
    """Training inputs less their mean as directions; codes are the k largest products."""
    given: FeatureInputs = case.given
    rows = given.train[torch.from_numpy(draws.choice(len(given.train), given.m, replace=False))]
    directions = rows - given.train.mean(dim=0)
    return _tied(directions / directions.norm(dim=1, keepdim=True), given)


@interpreter("frozen_decoder", takes=["dictionary"], control=True)
def frozen_decoder(case: CaseView, draws: np.random.Generator, *, steps: PositiveInt = TRAINING_STEPS) -> Dictionary:
    """BatchTopK whose directions stay where they started; only the encoder learns.

    Parameters
    ----------
    steps : int
    """
    return _bound(case, draws, steps, cosine=1.0)


@interpreter("soft_frozen_decoder", takes=["dictionary"], control=True)
def soft_frozen_decoder(
    case: CaseView, draws: np.random.Generator, *, steps: PositiveInt = TRAINING_STEPS
) -> Dictionary:
    """BatchTopK whose directions stay within a cosine of .8 of where they started.

    Parameters
    ----------
    steps : int
    """
    return _bound(case, draws, steps, cosine=SOFT_COSINE)


def _bound(case: CaseView, draws: np.random.Generator, steps: int, *, cosine: float) -> Dictionary:
    given: FeatureInputs = case.given
    start = unit_directions(draws, given.m, given.train.shape[1])
    model = SparseAutoencoder.of("batchtopk", given.k, start, given.train.mean(dim=0))

    def constrain(decoder: Tensor) -> Tensor:
        return within_cosine(decoder, start, cosine)

    return coded(train_sparse_autoencoder(model, given.train, draws, steps=steps, constrain=constrain), given)


def within_cosine(directions: Tensor, start: Tensor, cosine: float) -> Tensor:
    """Directions (m, d), of unit length, turned back towards their start where the cosine with it is smaller."""
    along = (directions * start).sum(dim=1, keepdim=True)
    across = directions - along * start
    across = across / across.norm(dim=1, keepdim=True).clamp_min(1e-12)
    turned = cosine * start + (1 - cosine**2) ** 0.5 * across
    unit = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return torch.where(along < cosine * directions.norm(dim=1, keepdim=True), turned, unit)


def _tied(directions: Tensor, given: FeatureInputs) -> Dictionary:
    """Directions with the k largest products of each test input, minus the mean of the training inputs, as codes."""
    mean = given.train.mean(dim=0)
    codes = largest_of_rows(((given.test - mean) @ directions.T).relu(), given.k)
    return Dictionary(directions, codes, mean + codes @ directions)

"""Sparse autoencoders as explainers of worlds of features, and the true decoder with greedy codes."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Dictionary
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.functions.dictionaries.activation_rules import matching_pursuit
from xaibench.functions.dictionaries.generation import FeatureInputs
from xaibench.functions.dictionaries.sparse_autoencoder import Architecture, SparseAutoencoder, train_sparse_autoencoder

TRAINING_STEPS = 2500


@interpreter("sparse_autoencoder", takes=["dictionary"])
def sparse_autoencoder(
    case: CaseView,
    draws: np.random.Generator,
    *,
    architecture: Architecture = "batchtopk",
    steps: PositiveInt = TRAINING_STEPS,
) -> Dictionary:
    """A sparse autoencoder trained on the inputs of the world; 3 to 10 s.

    Parameters
    ----------
    architecture : {"l1", "topk", "batchtopk", "jumprelu", "matryoshka", "matching_pursuit"}
        ReLU with a penalty on the sum of codes; the k largest codes of an input, or of a batch with a threshold at
        test (Bussmann et al. 2024); thresholds that are learned (Rajamanoharan et al. 2024); the k largest of
        a batch, where the first latents must reconstruct on their own (Bussmann et al. 2025); k
        greedy rounds without an encoder (Costa et al. 2025). Penalties are controlled so that k latents are
        active on average.
    steps : int
        Batches of 256 inputs.
    """
    given: FeatureInputs = case.given
    start = unit_directions(draws, given.m, given.train.shape[1])
    model = SparseAutoencoder.of(architecture, given.k, start, given.train.mean(dim=0))
    return coded(train_sparse_autoencoder(model, given.train, draws, steps=steps), given)


@interpreter("true_decoder", takes=["dictionary"], needs={"truth"})
def true_decoder(case: CaseView, draws: np.random.Generator) -> Dictionary:
    """The true directions with greedy codes: what encoding alone costs when the directions are right."""
    assert isinstance(case.truth, Dictionary)
    return greedily_coded(case.truth.directions.float(), case.given)


def unit_directions(draws: np.random.Generator, m: int, d: int) -> Tensor:
    """Random directions (m, d) of unit length, float32."""
    rows = torch.from_numpy(draws.standard_normal((m, d))).float()
    found: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return found


def coded(model: SparseAutoencoder, given: FeatureInputs) -> Dictionary:
    """The dictionary of a trained autoencoder, with codes and reconstruction of the test inputs."""
    codes = model.codes(given.test)
    return Dictionary(model.decoder, codes, model.bias + codes @ model.decoder, facts={"threshold": model.threshold})


def greedily_coded(directions: Tensor, given: FeatureInputs) -> Dictionary:
    """Directions (m, d) of unit length with codes of the test inputs by k rounds of matching pursuit."""
    codes = matching_pursuit(given.test, directions, given.k)
    return Dictionary(directions, codes, codes @ directions)

"""Concepts without labels: components of activations by non-negative matrix factorisation (ICE)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import PositiveInt
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.errors import UnsupportedError
from xaibench.core.program_registry import interpreter
from xaibench.core.types import Array
from xaibench.functions.concept_nets.generation import ConceptModel
from xaibench.functions.glyph_nets.generation import GlyphModel

NMF_ROUNDS = 150
"""At most; it ends when a round improves the fit by less than a ten-thousandth."""
N_PROBE = 60


@dataclass(frozen=True, eq=False)
class Components:
    """Activations at each place as sums of r components.

    Attributes
    ----------
    strengths : array (N, places, r)
    components : array (r, channels)
    """

    strengths: Array
    components: Array

    def maps(self, without: int | None = None) -> Tensor:
        """Activations (N, channels * places), flat, as the components make them; without one of them."""
        kept = np.delete(np.arange(len(self.components)), [] if without is None else [without])
        found = self.strengths[..., kept] @ self.components[kept]
        return torch.from_numpy(found.transpose(0, 2, 1).reshape(len(found), -1).copy())


@interpreter("nmf_components", takes=["concepts"])
def nmf_components(case: CaseView, draws: np.random.Generator, *, n_components: PositiveInt = 12) -> Scores:
    """Importance of the component that goes with a concept (ICE, Zhang et al. 2021), by removing it; r + 2 runs.

    The activations of a layer are factorised (non-negative, at most 150 rounds). A component is important as the
    output falls when it is left out. The score of a concept is the importance of the component whose largest strength
    tells best (AUROC) whether an image has it. ``facts`` has the fidelity: how often the sign of the output stays
    when all components stand for the activations.

    Parameters
    ----------
    n_components : int
        r.

    Raises
    ------
    UnsupportedError
        If the inputs of the case are not activations of a convolution.
    """
    model: ConceptModel = case.given
    if not isinstance(model, GlyphModel):
        raise UnsupportedError("the inputs of this case are not activations of a convolution")
    probes = [model.probe(j, N_PROBE, draws) for j in range(len(case.units))]
    shown = torch.cat([part for pair in probes for part in pair])
    explained, loudest = _factorised(model.inputs, shown, model.map_shape, n_components, int(draws.integers(2**31)))
    whole = model.run(explained.maps())
    importance = np.array([float((whole - model.run(explained.maps(r))).mean()) for r in range(n_components)])
    fidelity = float(((whole > 0) == (model.run(model.inputs) > 0)).double().mean())
    loudest = loudest.reshape(len(case.units), 2 * N_PROBE, n_components)
    labels = np.repeat([1, 0], N_PROBE)
    presence = np.array([[roc_auc_score(labels, one) for one in part.T] for part in loudest])
    best = presence.argmax(axis=1)
    facts = {"fidelity": fidelity, "presence": presence.max(axis=1).tolist(), "importance": importance.tolist()}
    return Scores(torch.from_numpy(importance[best]), facts=facts)


def _factorised(
    inputs: Tensor, probes: Tensor, shape: tuple[int, int, int], r: int, seed: int
) -> tuple[Components, Array]:
    """Components of the inputs (N, channels * places), and the largest strength (M, r) of each in probe images."""
    factorisation = NMF(r, init="nndsvda", max_iter=NMF_ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        strengths = factorisation.fit_transform(_places(inputs, shape)).reshape(len(inputs), -1, r)
        probed = factorisation.transform(_places(probes, shape)).reshape(len(probes), -1, r)
    return Components(strengths, factorisation.components_), probed.max(axis=1)


def _places(rows: Tensor, shape: tuple[int, int, int]) -> Array:
    """Activations (N * places, channels) of flat ones (N, channels * places)."""
    found: Array = rows.reshape(len(rows), shape[0], -1).transpose(1, 2).reshape(-1, shape[0]).numpy()
    return found

"""Maps of inputs that were attacked so that the output stays and the map does not, beside noise of the same length."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.registry import metric

_similarity = partial(
    metric,
    family="robustness",
    higher_is_better=True,
    bounds=(-1, 1),
    source="Ghorbani et al. 2019, Interpretation of neural networks is fragile; Dombrowski et al. 2019, Explanations "
    "can be manipulated",
    undefined_for={"zero maps"},
)
"""Declares the similarity of a map to that of other inputs."""


@_similarity("attack_similarity", needs={"reexplain", "input_pair.attacked"})
def attack_similarity(ev: Evaluation) -> Tensor:
    """Cosine of the map with that of the attacked input, whose output is the same; read beside `noise_similarity`.

    Returns
    -------
    Tensor (N,)
        1 where nothing moves, -1 where the map turns round. NaN where a map is 0 everywhere.
    """
    return _cosine(ev, "input_pair.attacked")


@_similarity("noise_similarity", needs={"reexplain", "input_pair.noise"})
def noise_similarity(ev: Evaluation) -> Tensor:
    """Cosine of the map with that of an input with random noise of the attack's length: the placebo of an attack.

    Returns
    -------
    Tensor (N,)
        NaN where a map is 0 everywhere.
    """
    return _cosine(ev, "input_pair.noise")


def _cosine(ev: Evaluation, need: str) -> Tensor:
    (pair,) = ev.pairs[need][:1]
    own = ev.attributions.flatten(1).double()
    other = ev.explain(ExplainRequest(pair=pair)).flatten(1).double()
    sizes = own.norm(dim=1) * other.norm(dim=1)
    return torch.where(sizes > 0, (own * other).sum(dim=1) / sizes, torch.nan).clamp(-1, 1)

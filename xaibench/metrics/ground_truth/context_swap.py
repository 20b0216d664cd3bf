"""Whether an explanation of what matters stays when everything else is exchanged."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.pairs import only_pair, pair_maps
from xaibench.metrics.maps.masks import true_mask
from xaibench.metrics.maps.similarity import spearman


@metric(
    "context_swap_agreement",
    family="ground_truth",
    construct="context_swap",
    higher_is_better=True,
    bounds=(-1, 1),
    needs={"truth.mask", "reexplain", "input_pair.context"},
    source="xaibench; self-consistency on planted problems",
    undefined_for={"zero maps", "constant maps", "some inputs"},
)
def context_swap_agreement(ev: Evaluation) -> Tensor:
    """Rank correlation of the attributions of true features with and without the context that was exchanged.

    The pair holds the same samples with all other features taken from elsewhere; what is true of them stays. An
    explanation that tells which of the true features matter more tells the same then.

    Returns
    -------
    Tensor (N,)
        Spearman's correlation over the true features. NaN for fewer than two of them, and where they tie.
    """
    pair = only_pair(ev, "input_pair.context")
    maps = [m.flatten(1) for m in (ev.attributions, pair_maps(ev, pair, "input_pair.context/0"))]
    mask = true_mask(ev)
    out = torch.full((len(ev),), torch.nan, dtype=torch.float64, device=ev.inputs.device)
    sizes = mask.sum(dim=1)
    for size in sorted(set(sizes.tolist()) - {0, 1}):
        rows = (sizes == size).nonzero().squeeze(1)
        # Rows with equally many true features are compared together.
        own = [m[rows][mask[rows]].view(len(rows), size) for m in maps]
        out[rows] = spearman(*own)
    return out

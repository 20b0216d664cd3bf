"""Effects of groups of neighbouring features: what attributions of a group add up to, against what removing it does."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.exact_outputs import in_float64, rounding_of
from xaibench.metrics.engines.feature_effects import outputs_without_groups


@metric(
    "group_effects",
    family="faithfulness",
    higher_is_better=False,
    bounds=(0, None),
    convert="contribution",
    source="Lee et al. 2025, XAI-Units, cancelling features; Yeh et al. 2019, On the (in)fidelity, square removal",
    scale_invariant=False,
    shares_evaluations=True,
    favours={"zero maps"},  # they are wrong by exactly the losses, and random maps by more
)
def group_effects(ev: Evaluation, *, group_size: PositiveInt = 2, masker: str = "zero") -> Tensor:
    """Relative error with which groups of features add up to what the output loses without them.

    ``sum over groups of |sum of phi - loss| / sum over groups of |loss|``. Where the output is a sum over these groups
    the losses are beyond dispute, whatever happens inside a group: two features that cancel have to add up to 0.

    Parameters
    ----------
    group_size : int
        Features of a group, counted along the rows; the last group may be smaller.
    masker : str
        What a removed group is set to.

    Returns
    -------
    Tensor (N,)
        0 where all groups are right, 1 for an all-zero map; NaN where no group has an effect.
    """
    n_features = ev.layout.n_features
    number = torch.arange(n_features, device=ev.inputs.device) // group_size
    n_groups = int(number.max()) + 1

    def evaluate() -> dict[str, Tensor]:
        with in_float64(ev) as exact:
            clean = exact.scores(ev.inputs).double().unsqueeze(1)
            found = outputs_without_groups(exact, number.unsqueeze(0), n_groups, ev.masker(masker))
            size = torch.maximum(clean.abs(), found.double().abs().amax(dim=1, keepdim=True))
            losses = clean - found.double()
            return {"losses": losses.masked_fill(losses.abs() <= rounding_of(found) * size, 0)}

    losses = ev.shared.get(("groups", group_size, masker, ev.output), evaluate)["losses"].to(ev.inputs.device)
    flat = ev.attributions.flatten(1).double()
    sums = flat.new_zeros(len(ev), n_groups).index_add_(1, number, flat)
    total = losses.abs().sum(dim=1)
    return torch.where(total > 0, (sums - losses).abs().sum(dim=1) / total, torch.nan)

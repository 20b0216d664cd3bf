"""Rare misinterpretations (Huang et al. 2023, SAFARI): how likely noise turns a map over while the class stays."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated

import torch
from annotated_types import Ge, Le
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.generators import seed_of_sample
from xaibench.core.outputs import require_classes
from xaibench.core.registry import metric
from xaibench.metrics.engines.subset_simulation import rare_event
from xaibench.metrics.maps.similarity import is_constant, pearson

NEVER = -1.0
"""Discrepancy of a point with another class: below that of every map."""


@metric(
    "misinterpretation_log10p",
    family="robustness",
    higher_is_better=False,
    bounds=(None, 0),
    needs={"reexplain"},
    source="Huang et al. 2023, SAFARI; Au & Beck 2001, subset simulation",
    undefined_for={"zero maps", "constant maps"},
)
def misinterpretation_log10p(
    ev: Evaluation,
    *,
    radius: PositiveFloat = 0.1,
    threshold: Annotated[float, Ge(-1), Le(1)] = 0.4,
    n_samples: PositiveInt = 200,
    steps: PositiveInt = 5,
    max_levels: PositiveInt = 12,
) -> Tensor:
    """Log10 of the probability that the map correlates below a threshold with its own, while the class stays.

    Under noise from U(-radius, radius) on every input number. Small probabilities are found by subset simulation,
    which needs a discrepancy that can be climbed. Where maps are piecewise constant, as the gradients of ReLU
    networks, it cannot be, and the number is that of plain sampling with as many draws as 10 times ``n_samples``.

    Parameters
    ----------
    radius : float
        Size of the noise, in input units.
    threshold : float
        Pearson correlation below which a map says something else.
    n_samples : int
        Particles; 1,000 in the literature.
    steps : int
        Metropolis steps per level; 10 in the literature.
    max_levels : int
        Levels, each about a factor of ten.

    Returns
    -------
    Tensor (N,)
        At most 0; more negative is rarer. NaN for maps without variance. An upper bound where plain sampling has not
        met the event (the upper end of its exact 95 % interval: below 1 in some hundreds, and nothing more is known),
        and where the levels end before the event.
    """
    require_classes(ev.model.returns, "the predicted class has to stay")
    flat = ev.attributions.flatten(1).double()
    found = torch.full((len(ev),), torch.nan, dtype=torch.float64)
    classes = ev.predict(ev.inputs).argmax(dim=1)
    for row in (~is_constant(flat)).nonzero()[:, 0].tolist():
        seed = seed_of_sample(ev.seed, "misinterpretation", ev.digests[row])
        generator = torch.Generator().manual_seed(seed)
        event = rare_event(
            partial(_discrepancy, ev, row, radius, flat[row], classes[row]),
            1 - threshold,
            ev.inputs[0].numel(),
            generator=generator,
            space="cube",
            n=n_samples,
            steps=steps,
            most_levels=max_levels,
            plain=10 * n_samples,
        )
        # Where plain sampling has not met the event, the upper end of its interval is what is known.
        found[row] = event.log10_p if math.isfinite(event.log10_p) else event.high
    return found


def _discrepancy(ev: Evaluation, row: int, radius: float, own: Tensor, predicted: Tensor, points: Tensor) -> Tensor:
    """One minus the correlation with the map of the sample (B,), or -1 where another class is predicted."""
    noise = radius * points.reshape(-1, *ev.inputs.shape[1:]).to(ev.inputs)
    inputs = ev.inputs[row : row + 1] + ev.layout.only_quantities(noise, "noise")
    rows = torch.full((len(inputs),), row, dtype=torch.int64, device=ev.inputs.device)
    maps = ev.explain(ExplainRequest(inputs=inputs, rows=rows)).flatten(1).double()
    correlation = pearson(maps, own.expand_as(maps)).nan_to_num(0.0)
    kept = ev.predict(inputs, rows).argmax(dim=1) == predicted
    return torch.where(kept, 1 - correlation, NEVER).cpu()

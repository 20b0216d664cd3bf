"""Robustness: how far explanations move when inputs move a little."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.perturbation import Block, over_copies


@metric(
    "max_sensitivity",
    family="robustness",
    higher_is_better=False,
    bounds=(0, None),
    needs={"reexplain"},
    source="Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, definition 2.3",
)
def max_sensitivity(ev: Evaluation, *, radius: PositiveFloat = 0.2, n_samples: PositiveInt = 10) -> Tensor:
    """Largest relative change of the explanation among noisy copies of the input.

    ``max_d ||phi(x + d) - phi(x)||_2 / ||phi(x)||_2`` over uniform noise with ``|d| <= radius`` in
    every input number. Copies are explained with the draws of their original. A maximum over few
    samples is far below the true one, and constant explanations are perfectly robust: never rank
    by this alone.

    Parameters
    ----------
    radius : float
        Largest change of an input number, in input units.
    n_samples : int
        Noisy copies per sample.

    Returns
    -------
    Tensor (N,)
        NaN for an all-zero map.
    """
    return relative_changes(ev, radius, n_samples).amax(dim=1)


def relative_changes(ev: Evaluation, radius: float, n_samples: int) -> Tensor:
    """Relative change of the explanation of every noisy copy (N, n_samples), computed once per explanation."""

    def compute(block: Block) -> Tensor:
        noise = radius * (2 * block.draws.uniform((block.n_copies, *ev.layout.input_shape)) - 1)
        again = ev.explain(inputs=block.copies_of(ev.inputs) + noise.flatten(0, 1), rows=block.index)
        change: Tensor = torch.linalg.vector_norm(
            again.flatten(1).double() - block.copies_of(ev.attributions).flatten(1).double(), dim=1
        )
        return change

    def changes() -> Tensor:
        size = torch.linalg.vector_norm(ev.attributions.flatten(1).double(), dim=1, keepdim=True)
        moved = over_copies(ev, n_samples, f"robustness/{radius}", compute)
        return torch.where(size > 0, moved / size, torch.nan)

    shared: Tensor = ev.reuse(f"robustness/{radius}/{n_samples}", changes)
    return shared

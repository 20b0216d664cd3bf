"""Ground truth of samples: masks of features that matter, true weights, distractors, contributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

TruthKind = Literal["model", "data", "circuit", "program"]


@dataclass(frozen=True)
class Truth:
    """Ground truth of N samples.

    Attributes
    ----------
    kind : {"model", "data", "circuit", "program"}
    mask : Tensor (N, *feature_shape) of bool, or None
        Features that matter.
    weights : Tensor (N, *feature_shape), or None
        Slope of the explained output in every feature, where the model is linear in them.
    distractors : Tensor (N, *feature_shape) of bool, or None
        Features that look as if they mattered and do not. No explainer is shown them.
    contributions : mapping of str to Tensor (N, *feature_shape), or None
        By baseline (``zero``, ``mean``, ``marginal``): what every feature contributes to the explained output, signed
        and exact; they sum to its difference from the baseline.
    """

    kind: TruthKind
    mask: Tensor | None = None
    weights: Tensor | None = None
    distractors: Tensor | None = None
    contributions: Mapping[str, Tensor] | None = None

    def __getitem__(self, rows: slice | Tensor) -> Truth:
        mask, weights, distractors = (
            None if t is None else t[rows] for t in (self.mask, self.weights, self.distractors)
        )
        known = self.contributions
        contributions = None if known is None else {name: t[rows] for name, t in known.items()}
        return Truth(self.kind, mask, weights, distractors, contributions)

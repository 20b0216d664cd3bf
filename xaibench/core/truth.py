"""Ground truth of samples: masks of features that matter, true weights, contributions, directions, distractors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        By baseline, such as ``zero``: what every feature contributes to the explained output, signed and exact; they
        sum to its difference from the baseline.
    signs : Tensor (N, *feature_shape) of int8, or None
        Whether a feature is evidence for what is explained (1), against it (-1) or neither (0).
    """

    kind: TruthKind
    mask: Tensor | None = None
    weights: Tensor | None = None
    distractors: Tensor | None = None
    contributions: Mapping[str, Tensor] | None = None
    signs: Tensor | None = None

    def __getitem__(self, rows: slice | Tensor) -> Truth:
        return self.mapped(lambda t: t[rows])

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Truth:
        """The truth with every tensor of it changed alike."""
        parts = (self.mask, self.weights, self.distractors, self.signs)
        mask, weights, distractors, signs = (None if t is None else change(t) for t in parts)
        known = self.contributions
        contributions = None if known is None else {name: change(t) for name, t in known.items()}
        return Truth(self.kind, mask, weights, distractors, contributions, signs)

    @property
    def shown(self) -> Tensor | None:
        """What stands for the truth where one map is shown: the mask, else weights, contributions or signs."""
        against_zero = None if self.contributions is None else self.contributions.get("zero")
        return next((t for t in (self.mask, self.weights, against_zero, self.signs) if t is not None), None)

"""Gate of BA-2Motifs: what a model says of a graph without its motif."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from xaibench.core.data import Data
from xaibench.core.gates import Findings, Gate
from xaibench.core.keys import array_digest
from xaibench.core.outputs import select_output
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array


@dataclass(frozen=True)
class MotifErased:
    """Whether a model is undecided about graphs whose motif is erased, averaged over them.

    Attributes
    ----------
    inputs : array (N, E), float32
        Weights of the test graphs with those of the motif at 0.
    tolerance : float
        Of the distance of the mean probability of the first class from one half. Erased graphs of both classes look
        alike, so a model that takes one class as its default has a mean probability near 0 or 1.
    """

    inputs: Array
    tolerance: float = 0.1

    @property
    def identity(self) -> list[Any]:
        return ["motif erased", 1, self.tolerance, array_digest(self.inputs)]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Probability of the first class, for all test graphs."""
        raw = predict_raw(model, self.inputs, data.test_context)
        first = torch.zeros(len(raw), dtype=torch.int64, device=raw.device)
        p = float(select_output(raw, first, "probability", model.returns).mean())
        name = f"|mean p of {data.class_names[0]} - 1/2|, motif erased"
        return Findings((Gate(name, abs(p - 0.5), self.tolerance, at_least=False),))

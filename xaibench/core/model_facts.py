"""What a first look at a model found: its outputs, its number types, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

ModelKind = Literal["torch module", "TorchScript module", "black box"]
ReturnsFrom = Literal["given", "outputs", "default"]


@dataclass(frozen=True)
class ModelFacts:
    """What was found by evaluating a model on a few samples.

    Attributes
    ----------
    kind : {"torch module", "TorchScript module", "black box"}
    returns : {"logit", "multilabel_logit", "probability", "multilabel_probability", "value"}
    returns_from : {"given", "outputs", "default"}
        Whether ``returns`` was given, is decided by the outputs, or is what a model of this kind returns by default.
    columns : int
        Outputs per sample.
    output : str
        What the model returns them in: ``"tensor"``, or the part of a dictionary or tuple that is read.
    input_dtype, output_dtype : str
        Number types that the model is called with and that it returns.
    device : str
    gradients : bool
        Whether gradients of the outputs reach the inputs.
    hooks : bool
        Whether the layers inside can be watched and followed.
    copies : bool
        Whether the model can be copied, with other weights or other inputs.
    repeatable : bool
        Whether the same inputs gave the same outputs.
    provides : frozenset of str
        Needs of explainers and metrics that the model meets.
    lacking : mapping of str to str
        Needs of explainers and metrics that a torch module usually meets and this one does not, and why.
    notes : tuple of str
        What a user should know, a sentence each.
    """

    kind: ModelKind
    returns: str
    returns_from: ReturnsFrom
    columns: int
    output: str
    input_dtype: str
    output_dtype: str
    device: str
    gradients: bool
    hooks: bool
    copies: bool
    repeatable: bool = True
    provides: frozenset[str] = frozenset()
    lacking: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The facts as plain data, in a fixed order."""
        return {**asdict(self), "provides": sorted(self.provides), "notes": list(self.notes)}

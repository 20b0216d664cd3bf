"""Stored examples for reports: inputs by the fingerprint of their problem, and mean removal curves by score key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from xaibench.core.storage.files import tensors_from_bytes, tensors_to_bytes
from xaibench.store.files import Files

if TYPE_CHECKING:
    from torch import Tensor

EXAMPLES, CURVES = "examples", "curves"
CURVED = ("pixel_flipping", "deletion")
"""Metrics whose curves are stored: those of removing features, most relevant first."""
_SUFFIX = ".safetensors"
_STRUCTURE = "structure."
"""Begins the names of tensors that draw graphs."""
SENSORS_FIRST = "NCT"
"""Axes of series whose sensors come before their time."""


@dataclass(frozen=True)
class StoredExamples:
    """Some samples of a problem, as they were explained.

    Attributes
    ----------
    sample_ids : tuple of str
        Names of the samples, as in the results.
    index : tuple of int
        Place of each among the test data.
    n_samples : int
        Samples that were explained; these are all of them, or some drawn at random.
    inputs : Tensor (n, *input_shape)
    truth : Tensor (n, *feature_shape) or None
        A mask (bool) or weights.
    targets : tuple of str
        What is explained of each, in words.
    labels : tuple of str or None
        True class of each, in words; empty where there is none.
    features : {"image", "table", "series", "tokens"}
    feature_names : tuple of str
    words : tuple of tuple of str
        Of texts: the features of each sample, in words. Empty for other data.
    structure : mapping of str to Tensor (n, ...)
        Of graphs: what draws them, see `xaibench.execution.stored_graphs`. Empty for other data.
    axes : {"", "NCT"}
        Of series: ``"NCT"`` where sensors come before time.
    sensor_means : Tensor (n_sensors,) or None
        Of series: mean of the background by sensor; None without a background, and for other data.
    """

    sample_ids: tuple[str, ...]
    index: tuple[int, ...]
    n_samples: int
    inputs: Tensor
    truth: Tensor | None
    targets: tuple[str, ...]
    labels: tuple[str, ...]
    features: str
    feature_names: tuple[str, ...]
    words: tuple[tuple[str, ...], ...] = ()
    structure: Mapping[str, Tensor] = field(default_factory=dict)
    axes: str = ""
    sensor_means: Tensor | None = None


@dataclass(frozen=True)
class StoredCurve:
    """The mean removal curve of one explanation.

    Attributes
    ----------
    share : Tensor (points,)
        Share of the features that is removed.
    mean, low, high : Tensor (points,)
        Over samples, with a 95 % interval at each point; NaN where there is none.
    n_samples : int
    output : str
        What is measured.
    """

    share: Tensor
    mean: Tensor
    low: Tensor
    high: Tensor
    n_samples: int
    output: str


class Examples:
    """Safetensors with a digest inside, a file per fingerprint and a file per score key."""

    def __init__(self, files: Files) -> None:
        self.files = files

    @staticmethod
    def name(folder: str, key: str) -> str:
        """Name of the file of a key."""
        return f"{folder}/{key[:2]}/{key}{_SUFFIX}"

    def names(self) -> dict[str, int]:
        """Names and sizes of all files."""
        found = {**self.files.find(EXAMPLES), **self.files.find(CURVES)}
        return {n: size for n, size in found.items() if n.endswith(_SUFFIX)}

    def has_examples(self, fingerprint: str) -> bool:
        """Whether there is a file for this problem, sound or not."""
        name = self.name(EXAMPLES, fingerprint)
        return name in self.files.find(str(PurePosixPath(name).parent))

    def save_examples(self, fingerprint: str, found: StoredExamples) -> None:
        """Write the examples of a problem; equal content is written twice without harm."""
        tensors = {"inputs": found.inputs} | ({} if found.truth is None else {"truth": found.truth})
        tensors |= {} if found.sensor_means is None else {"sensor_means": found.sensor_means}
        tensors |= {_STRUCTURE + name: values for name, values in found.structure.items()}
        facts = {
            "sample_ids": found.sample_ids, "index": found.index, "n_samples": found.n_samples,
            "targets": found.targets, "labels": found.labels, "features": found.features,
            "feature_names": found.feature_names, **({"words": found.words} if found.words else {}),
            **({"axes": found.axes} if found.axes else {}),
        }  # fmt: skip
        self._save(self.name(EXAMPLES, fingerprint), tensors, facts)

    def load_examples(self, fingerprint: str) -> StoredExamples | None:
        """Examples of a problem; None if they are missing or damaged."""
        found = self._load(self.name(EXAMPLES, fingerprint))
        if found is None:
            return None
        tensors, facts = found
        lists = ("sample_ids", "index", "targets", "labels", "feature_names")
        return StoredExamples(
            inputs=tensors["inputs"], truth=tensors.get("truth"), features=str(facts["features"]),
            n_samples=int(facts["n_samples"]), words=tuple(map(tuple, facts.get("words", ()))),
            structure={k.removeprefix(_STRUCTURE): t for k, t in tensors.items() if k.startswith(_STRUCTURE)},
            axes=str(facts.get("axes", "")), sensor_means=tensors.get("sensor_means"),
            **{name: tuple(facts[name]) for name in lists},
        )  # fmt: skip

    def save_curve(self, score_key: str, found: StoredCurve) -> None:
        """Write the curve of a cell."""
        tensors = {"share": found.share, "mean": found.mean, "low": found.low, "high": found.high}
        facts = {"n_samples": found.n_samples, "output": found.output}
        self._save(self.name(CURVES, score_key), tensors, facts)

    def load_curve(self, score_key: str) -> StoredCurve | None:
        """Curve of a cell; None if it is missing or damaged."""
        found = self._load(self.name(CURVES, score_key))
        if found is None:
            return None
        tensors, facts = found
        share, mean, low, high = (tensors[name] for name in ("share", "mean", "low", "high"))
        return StoredCurve(share, mean, low, high, int(facts["n_samples"]), str(facts["output"]))

    def sound(self, name: str) -> bool:
        """Whether the file of this name holds what was written."""
        return tensors_from_bytes(self.files.read(name)) is not None

    def _save(self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.files.write(name, tensors_to_bytes(tensors, {"facts": json.dumps(facts)}))

    def _load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        try:
            found = tensors_from_bytes(self.files.read(name))
        except FileNotFoundError:
            return None
        return None if found is None else (found[0], json.loads(found[1]["facts"]))


def example_files(files: Files, fingerprints: set[Any], score_keys: set[Any]) -> dict[str, int]:
    """Files of problems and scores that are not among these, with their sizes in bytes."""
    needed = {EXAMPLES: fingerprints, CURVES: score_keys}
    names = Examples(files).names()
    return {n: size for n, size in names.items() if PurePosixPath(n).stem not in needed[n.partition("/")[0]]}

"""Findings of checks on disk: what took long to find out about a model is not asked again."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import torch

from xaibench.core.data import Check, Data
from xaibench.core.gates import Findings, Gate
from xaibench.core.keys import digest
from xaibench.core.predictor import Predictor
from xaibench.core.storage.files import load_tensors_and_metadata, save_tensors

MIN_CACHED_SECONDS = 1.0
"""Seconds; what is found sooner is not worth a file."""


class KeptFindings:
    """Measures checks, and remembers what took long.

    Parameters
    ----------
    folder : Path, optional
        None remembers nothing.
    scope : tuple of str
        What every check is below: data, weights, recipe.
    """

    def __init__(self, folder: Path | None = None, scope: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.scope = scope

    def measure(self, check: Check, model: Predictor, data: Data) -> Findings:
        """What the check finds, from disk where it is known."""
        path = self._path(check, model)
        known = None if path is None else _load(path)
        if known is not None:
            return known
        started = time.perf_counter()
        found = check.measure(model, data)
        if path is not None and time.perf_counter() - started > MIN_CACHED_SECONDS:
            tensors = {need: torch.from_numpy(rows) for need, rows in found.inputs.items()}
            save_tensors(path, tensors, {"gates": json.dumps([asdict(gate) for gate in found.gates])})
        return found

    def _path(self, check: Check, model: Predictor) -> Path | None:
        if self.folder is None:
            return None
        machine = (model.device.type, f"threads {torch.get_num_threads()}", torch.__version__)
        name = digest(list(self.scope), check.identity, list(machine))
        return self.folder / name[:2] / f"{name}.safetensors"


def _load(path: Path) -> Findings | None:
    """Findings of a file, None if it is missing or damaged."""
    saved = load_tensors_and_metadata(path)
    if saved is None or "gates" not in saved[1]:
        return None
    tensors, metadata = saved
    gates = tuple(Gate(**gate) for gate in json.loads(metadata["gates"]))
    return Findings(gates, {need: rows.numpy() for need, rows in tensors.items()})

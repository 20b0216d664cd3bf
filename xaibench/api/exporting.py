"""Exporting problems: inputs, targets, outputs and row ids, so that any other tool can explain them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xaibench.api.planning import load_suite
from xaibench.core.errors import NothingToDoError, UnsupportedError, UsageError
from xaibench.core.storage.files import write_bytes
from xaibench.core.storage.paths import cache_folder
from xaibench.plan.expansion import Selection, problems
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec


def export_problems(
    suite: str | Path | dict[str, Any],
    folder: str | Path,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    device: str = "cpu",
    plugins: Sequence[str | Path] = (),
) -> list[Path]:
    """Write what another tool needs to explain the problems of a suite.

    An npz file per problem holds ``inputs`` (N, *input_shape) as the model is given them, the ``targets`` (N,) that are
    explained, the ``foils`` (N,) that they are contrasted with if they are, the model's ``outputs`` (N, C), the true
    ``labels`` (N,), ``row_ids`` (N,), and ``background`` (M, ...). Problems that ask different things of one model have
    a file each. Of a table that models are given as a data frame, a CSV file beside it holds the samples as they were,
    after a column ``row_id``. Maps that are stored with these ``row_ids``, ``targets`` and ``foils`` can be named in a
    suite as ``explainers = [{ file = "maps.npz" }]``.

    Parameters
    ----------
    suite : str, path or dict
    folder : path
    only : sequence of str
        ``dataset`` or ``dataset/model`` of the problems that are wanted.
    limit : int, optional
        At most this many samples per problem.
    device : str
    plugins : sequence of str or path

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    NothingToDoError
        If the suite has no such problem of a data set and a model.
    """
    loaded = load_suite(suite, plugins=plugins)
    place, written = Path(folder).expanduser(), []
    preparing = Problems(cache_folder(), device=device)
    wanted: list[tuple[str, ProblemSpec]] = []
    for part in loaded.matrices():
        for spec in problems(part, Selection(limit=limit)):
            if isinstance(spec, ProblemSpec) and _wanted(spec, only):
                seed = f"-seed{spec.seed}" if len(part.problem_seeds) > 1 else ""
                wanted.append((f"{_file_name(spec.name)}{seed}", spec))
    for name, spec in _apart(wanted).items():
        path = place / f"{name}.npz"
        arrays = _arrays(spec, preparing)
        _write(path, arrays)
        written.append(path)
        codec = preparing.data(spec).codec
        if codec is not None:
            written.append(_write_rows(path.with_suffix(".csv"), codec.decode(arrays["inputs"]), arrays))
    if not written:
        raise NothingToDoError("there is no problem of a data set and a model to export", "see --only")
    return written


def _wanted(spec: ProblemSpec, only: Sequence[str]) -> bool:
    names = {spec.name, *spec.labels, "/".join(spec.names), *spec.names}
    return not only or any(name in names for name in only)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.=,()-]+", "__", name)


def _apart(wanted: Sequence[tuple[str, ProblemSpec]]) -> dict[str, ProblemSpec]:
    """The different problems by a name each: those of one name that explain different things say what, or which."""
    found: dict[str, ProblemSpec] = {}
    for name, spec in wanted:
        same = [other for called, other in wanted if called == name]
        if len({other.target for other in same}) > 1:
            name += f"-{_file_name(spec.target)}"
        if len({other.key for other in same if other.target == spec.target}) > 1:
            name += f"-{spec.key[:8]}"
        found.setdefault(name, spec)
    return found


def _arrays(spec: ProblemSpec, preparing: Problems) -> dict[str, Any]:
    problem = preparing.prepare(spec)
    samples = problem.samples
    if samples.sizes is not None:
        raise UnsupportedError(f"{spec.name} has samples of different sizes, which are not exported yet")
    found: dict[str, Any] = {
        "inputs": samples.inputs.cpu().numpy(),
        "targets": samples.targets.cpu().numpy(),
        "outputs": samples.predict(samples.inputs).cpu().numpy(),
        "row_ids": np.array([digest.hex() for digest in samples.digests]),
        "problem": np.array(spec.name),
    }
    if samples.foils is not None:
        found["foils"] = samples.foils.cpu().numpy()
    if samples.labels is not None:
        found["labels"] = samples.labels.cpu().numpy()
    if samples.background is not None:
        found["background"] = samples.background.cpu().numpy()
    names = preparing.data(spec).feature_names
    return found | ({"feature_names": np.array(names)} if names else {})


def _write_rows(path: Path, rows: pd.DataFrame, arrays: dict[str, Any]) -> Path:
    rows.insert(0, "row_id", arrays["row_ids"])
    write_bytes(path, rows.to_csv(index=False).encode())
    return path


def _write(path: Path, arrays: dict[str, Any]) -> None:
    import io

    content = io.BytesIO()
    np.savez(content, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error

"""``xaibench init``: a first suite for one's own data and model, checked before it is left behind."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xaibench.api.planning import plan_suite
from xaibench.cli.initialising_files import (
    DATA_ENDINGS,
    MODEL_ENDINGS,
    FilesGiven,
    names_files,
    seen_from,
    write_suite_of_files,
)
from xaibench.cli.next_steps import planned_counts
from xaibench.cli.output import stdout
from xaibench.core import registry
from xaibench.core.declaration_index import built_in
from xaibench.core.errors import UsageError, XaibenchError, did_you_mean
from xaibench.core.needs import missing_needs
from xaibench.core.storage.files import write_bytes
from xaibench.core.trust import trust_files
from xaibench.plan import Plan
from xaibench.problems.specs import ProblemSpec
from xaibench.suite import ComponentRef
from xaibench.suite.drafting import BLACK_BOX, GRADIENTS, METRICS, draft_dataset, draft_suite

MOST_CLASSES, LEAST_ROWS, MOST_CATEGORIES = 20, 4, 30
"""Values of a target that are taken for classes; rows that each must have; texts of a column that are categories."""


@dataclass(frozen=True)
class Source:
    """Where the data come from: the reference of a data set, and the file that defines it, if one is to be written.

    Attributes
    ----------
    reference, name : str
    file : Path or None
    text : str
        What is to be written into the file.
    notes : tuple of str
        What the user should know of the data.
    """

    reference: str
    name: str
    file: Path | None = None
    text: str = ""
    notes: tuple[str, ...] = ()


def write_first_suite(
    data: str,
    model: str,
    *,
    target: str | None,
    output: Path,
    force: bool,
    explanations: Sequence[str] = (),
    split: str | None = None,
    trust: Sequence[str] = (),
) -> int:
    """Write a suite, and where a model is fitted to a CSV file a data set beside it; returns the exit code.

    Raises
    ------
    UsageError
        If data or model cannot be taken, a file exists already, or the plan of the suite fails; nothing is left then.
    """
    output = output.expanduser()
    if output.suffix != ".toml":
        raise UsageError(f"{output} is not a suite file", f"name it {output.with_suffix('.toml').name}")
    trust_files(trust)
    folder = output.resolve().parent
    if names_files(data, model, explanations):
        return write_suite_of_files(
            FilesGiven(data, model, tuple(explanations), target, split), output, force=force, reference=_model_reference
        )
    if split is not None:
        raise UsageError("--split is for tables with a fitted model", "edit the data set that is written instead")
    source = _source(data, target, folder)
    chosen = _model_reference(model, folder)
    files = [path for path in (output, source.file) if path is not None]
    there = [path for path in files if path.exists()]
    if there and not force:
        raise UsageError(f"{there[0]} already exists", "add --force to overwrite it, or name another file with -o")
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    try:
        plan = _written(source, chosen, output)
    except BaseException as error:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        if isinstance(error, (XaibenchError, KeyboardInterrupt)):
            raise
        said = f"{type(error).__name__}: {error}"
        raise UsageError(f"the suite for {data} does not work: {said}", "nothing was written") from error
    out = stdout()
    for note in source.notes:
        out.print(note, markup=False, soft_wrap=True)
    for path in files:
        out.print(f"wrote {output.with_name(path.name)}", markup=False, soft_wrap=True)
    counts = planned_counts(plan)
    out.print(f"{counts}. Next: xaibench run {output}", markup=False, soft_wrap=True)
    return 0


def _written(source: Source, model: str, output: Path) -> Plan:
    """Write the files and plan the suite."""
    folder = output.resolve().parent
    if source.file is not None:
        write_bytes(source.file, source.text.encode())
    dataset = ComponentRef.of("dataset", source.reference, {}, folder)
    if source.file is not None:
        dataset.spec.function(seed=0)
    recipe = ComponentRef.of("model", model, {}, folder)
    problem = ProblemSpec(dataset, recipe, 0, samples=32, target="predicted", background=64)
    problem.check()
    offered = problem.capabilities()
    known = frozenset() if offered is None else offered

    def fits(kind: str, name: str) -> bool:
        spec = registry.get("explainer" if kind == "explainer" else "metric", name)
        return not missing_needs(spec.needs, known | {"reexplain"})

    explainers = [name for name in (*GRADIENTS, *BLACK_BOX) if fits("explainer", name)]
    metrics = [name for name in METRICS if fits("metric", name)]
    label = f"{source.name}/{recipe.spec.name}"
    text = draft_suite(source.reference, model, explainers=explainers, metrics=metrics, name=label)
    write_bytes(output, text.encode())
    return plan_suite(str(output), None)


def _model_reference(model: str, folder: Path) -> str:
    """The model as a suite in this folder names it."""
    file, colon, name = model.rpartition(":")
    if not colon and Path(model).suffix == ".py":
        raise UsageError(
            f"{model} does not say which function gives the model", f"write {model}:NAME, with the name of a function"
        )
    if not colon and (Path(model).suffix or Path(model).exists()):
        raise UsageError(f"{model} is not a model file that is read", f"known: {', '.join(MODEL_ENDINGS)}")
    if colon and file.endswith(".py") and Path(file).is_file():
        model = f"{seen_from(Path(file), folder)}:{name}"
    registry.get("model", model, folder=folder)
    return model


def _source(data: str, target: str | None, folder: Path) -> Source:
    """The data set of a name, or the one that is written for a CSV file."""
    path = Path(data).expanduser()
    if path.suffix.lower() == ".csv":
        return _csv_source(path, target, folder)
    file, colon, name = data.rpartition(":")
    if not colon and (path.suffix or path.exists()):
        raise UsageError(
            f"{data} is not a file that data sets are read from",
            f"known: {', '.join(DATA_ENDINGS)}, folders of images; or a data set of your own, my_data.py:NAME",
        )
    if target is not None:
        raise UsageError(f"the data set {data} has its target already", "leave --target out")
    if colon and file.endswith(".py") and Path(file).is_file():
        data = f"{seen_from(Path(file), folder)}:{name}"
    return Source(data, registry.get("dataset", data, folder=folder).name)


def _csv_source(path: Path, target: str | None, folder: Path) -> Source:
    """A data set that reads a CSV file, checked to have classes and something to learn them from."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "--data takes a CSV file, or the name of a data set")
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}", "the first line names the columns") from error
    columns = [str(c) for c in table.columns]
    if target is None:
        known = ", ".join(columns[:20])
        raise UsageError(f"--target is missing: which column of {path} is to be predicted?", f"its columns: {known}")
    if target not in columns:
        raise UsageError(f"{path} has no column {target!r}", did_you_mean(target, columns))
    whole = table.dropna()
    text = [c for c in columns if c != target and not pd.api.types.is_numeric_dtype(table[c])]
    dropped = [c for c in text if whole[c].nunique() > MOST_CATEGORIES]
    _check_classes(path, whole, target)
    if len(columns) - 1 == len(dropped):
        raise UsageError(f"{path} has no column to predict {target!r} from", "numbers and categories are taken")
    notes = []
    if len(whole) < len(table):
        notes.append(f"{len(table) - len(whole)} of {len(table)} rows have gaps and are left out.")
    for column in dropped:
        notes.append(f"Column {column!r} has {whole[column].nunique()} different texts and is left out.")
    name = re.sub(r"\W+", "_", path.stem.lower()).strip("_") or "data"
    taken = {spec.name for spec in registry.components("dataset") if built_in(spec)}
    name = f"data_{name}" if not name.isidentifier() or keyword.iskeyword(name) or name in taken else name
    file = folder / f"{name}_data.py"
    draft = draft_dataset(seen_from(path, folder), name, target, dropped=dropped)
    return Source(f"{file.name}:{name}", name, file, draft, tuple(notes))


def _check_classes(path: Path, whole: pd.DataFrame, target: str) -> None:
    counts = whole[target].value_counts()
    if len(counts) > MOST_CLASSES:
        raise UsageError(
            f"column {target!r} of {path} has {len(counts)} different values; that is not a class",
            "name a column of classes; for numbers to predict see train_values in docs/how-to/own-data.md",
        )
    if len(counts) < 2:
        raise UsageError(
            f"column {target!r} of {path} has {len(counts)} class in rows without gaps", "at least two are needed"
        )
    if counts.iloc[-1] < LEAST_ROWS:
        rarest = counts.index[-1]
        raise UsageError(
            f"class {rarest!r} of column {target!r} has {counts.iloc[-1]} rows without gaps",
            f"join it with another class, or remove it: {LEAST_ROWS} rows are needed",
        )

"""``xaibench init`` for files: a suite that names data, a fitted model and explanations as they are, without Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xaibench.api.planning import plan_suite
from xaibench.cli.next_steps import planned_counts
from xaibench.cli.output import stdout
from xaibench.core import registry
from xaibench.core.components import ExplainerSpec
from xaibench.core.data import Data
from xaibench.core.errors import UsageError, XaibenchError, did_you_mean
from xaibench.core.needs import missing_needs
from xaibench.core.storage.files import write_bytes
from xaibench.core.storage.paths import cache_folder
from xaibench.explainers.stored_maps import has_row_ids, map_names, read_maps
from xaibench.suite.drafting import BLACK_BOX, GRADIENTS, METRICS, draft_suite
from xaibench.suite.references import ComponentEntry, ComponentRef

TABLES = (".csv", ".tsv", ".parquet", ".feather")
DATA_ENDINGS = (*TABLES, ".npz")
MODEL_ENDINGS = (".onnx", ".skops", ".pt2", ".pt", ".ts", ".safetensors", ".pth", ".joblib", ".pkl", ".pickle")
SAMPLES = 32


@dataclass(frozen=True)
class FilesGiven:
    """What the command line names.

    Attributes
    ----------
    data, model : str
        At least one of them is a file.
    explanations : tuple of str
        Files with maps.
    target, split : str or None
        Columns of a table.
    """

    data: str
    model: str
    explanations: tuple[str, ...] = ()
    target: str | None = None
    split: str | None = None


@dataclass
class _Draft:
    """A suite as far as it is known."""

    dataset: Any
    model: Any
    explainers: list[Any] = field(default_factory=list)
    samples: int = SAMPLES
    notes: list[str] = field(default_factory=list)


def names_files(data: str, model: str, explanations: Sequence[str]) -> bool:
    """Whether a suite with file entries is wanted; a CSV file with a model that is fitted gets a data set in Python."""
    path = Path(data).expanduser()
    of_data = path.suffix.lower() in DATA_ENDINGS[1:] or (path.is_dir() and ":" not in data)
    return of_data or _is_model_file(model) or bool(explanations)


def _is_model_file(model: str) -> bool:
    return ":" not in Path(model).name and Path(model).suffix.lower() in MODEL_ENDINGS


def seen_from(path: Path, folder: Path) -> str:
    """A path as written in a file of this folder."""
    return Path(os.path.relpath(path.absolute(), folder)).as_posix()


def write_suite_of_files(given: FilesGiven, output: Path, *, force: bool, reference: Callable[[str, Path], str]) -> int:
    """Write the suite once data, model and maps were opened and go together; returns the exit code.

    Parameters
    ----------
    given : FilesGiven
    output : Path
        The suite file.
    force : bool
        Whether it may be overwritten.
    reference : callable
        Name of a model that is not a file, as the suite has it.

    Raises
    ------
    UsageError, DataError
        If one of the files cannot be taken, or they do not go together; nothing is written then.
    """
    if output.exists() and not force:
        raise UsageError(f"{output} already exists", "add --force to overwrite it, or name another file with -o")
    for file in given.explanations:
        if not Path(file).expanduser().is_file():
            raise UsageError(f"there is no file {file}", "--explanations takes an npz or Parquet file with maps")
    folder = output.resolve().parent
    draft = _Draft(_dataset(given, folder), _model(given, folder, reference))
    problem = _prepared(draft, folder, ordered=_has_order(given, draft, folder))
    explainers, metrics = _suited(draft, problem)
    draft.explainers = [*_maps(given, folder, draft, problem), *explainers]
    text = draft_suite(
        draft.dataset,
        draft.model,
        explainers=draft.explainers,
        metrics=metrics,
        name=problem.name,
        samples=draft.samples,
        notes=[note for note in draft.notes if note.startswith("Column ") or "test rows" in note],
    )
    before = output.read_bytes() if output.exists() else None
    write_bytes(output, text.encode())
    try:
        plan = plan_suite(str(output), None)
    except BaseException:
        output.unlink() if before is None else output.write_bytes(before)
        raise
    out = stdout()
    for note in draft.notes:
        out.print(note, markup=False, soft_wrap=True)
    out.print(f"wrote {output}", markup=False, soft_wrap=True)
    counts = planned_counts(plan)
    out.print(f"{counts}. Next: xaibench run {output}", markup=False, soft_wrap=True)
    return 0


def _dataset(given: FilesGiven, folder: Path) -> Any:
    path = Path(given.data).expanduser()
    table = path.suffix.lower() in TABLES
    if not table and given.split is not None:
        raise UsageError("--split names a column of a table", f"{given.data} is none")
    if not table and given.target is not None:
        raise UsageError(f"{given.data} has its targets already", "leave --target out")
    if path.suffix.lower() not in DATA_ENDINGS and not path.is_dir():
        if path.suffix and ":" not in given.data:
            raise UsageError(
                f"{given.data} is not a file that data sets are read from",
                f"known: {', '.join(DATA_ENDINGS)}, folders of images",
            )
        registry.get("dataset", given.data, folder=folder)
        return given.data
    if not path.exists():
        raise UsageError(f"there is no file {given.data}", "--data takes a file, a folder, or the name of a data set")
    params: dict[str, Any] = {}
    if table:
        params = {"target": _target(given, path)}
        params |= {"split": given.split} if given.split is not None else {}
        params |= {} if _is_model_file(given.model) else {"encode": "onehot"}
    elif path.is_dir():
        # What matters in the images may be beside them, as masks of the same names.
        masks = path.parent / "masks"
        params = {"masks": seen_from(masks, folder)} if masks.is_dir() and masks != path else {}
    entry = {"file": seen_from(path, folder)}
    return {**entry, "params": params} if params else entry


def _target(given: FilesGiven, path: Path) -> str:
    from xaibench.datasets.files.reading import column_names_of

    columns = column_names_of(path)
    if given.target is None:
        known = ", ".join(columns[:20])
        raise UsageError(
            f"--target is missing: which column of {given.data} is to be predicted?", f"its columns: {known}"
        )
    if given.target not in columns:
        raise UsageError(f"{given.data} has no column {given.target!r}", did_you_mean(given.target, columns))
    return given.target


def _model(given: FilesGiven, folder: Path, reference: Callable[[str, Path], str]) -> Any:
    if not _is_model_file(given.model):
        return reference(given.model, folder)
    path = Path(given.model).expanduser()
    if not path.is_file():
        raise UsageError(f"there is no file {given.model}", "--model takes a model file, a name, or file.py:NAME")
    return {"file": seen_from(path, folder)}


def _ref(kind: Any, entry: Any, folder: Path) -> ComponentRef:
    found = ComponentEntry.model_validate({"name": entry} if isinstance(entry, str) else entry)
    return next(found.choices(kind, folder))


def _prepared(draft: _Draft, folder: Path, *, ordered: bool) -> Any:
    """The problem, without columns that the model does not take; of all test rows if maps are in their order."""
    from xaibench.core.user_errors import described
    from xaibench.models.files.rows import ForeignColumnError
    from xaibench.problems.preparing import Problems
    from xaibench.problems.specs import ProblemSpec

    while True:
        dataset, model = _ref("dataset", draft.dataset, folder), _ref("model", draft.model, folder)
        spec = ProblemSpec(dataset, model, 0, samples=draft.samples, target="predicted", background=64)
        spec.check()
        try:
            problems = Problems(cache_folder())
            problem = problems.prepare(spec)
        except ForeignColumnError as error:
            draft.dataset["params"].setdefault("drop", []).append(error.column)
            draft.notes.append(f"Column {error.column!r} is left out: {model.spec.name} does not take it.")
            continue
        except XaibenchError:
            raise
        except Exception as error:
            raise UsageError(f"{spec.name} does not work: {described(error)}", "nothing was written") from error
        data = problems.data(spec)
        if ordered and draft.samples != len(data.test_inputs):
            draft.samples = len(data.test_inputs)
            continue
        draft.samples = min(draft.samples, len(data.test_inputs))
        draft.notes.append(
            f"{dataset.spec.name}: {len(data.train_inputs)} training rows, {len(data.test_inputs)} test rows;"
            f" {_what_is_predicted(data)}."
        )
        params = draft.dataset.get("params", {}) if isinstance(draft.dataset, dict) else {}
        if getattr(model.spec, "fitted", False) and "split" not in params:
            right = next((g.value for g in problem.gates if "accuracy" in g.name or "R2" in g.name), None)
            quality = "" if right is None else f", where it reaches {right:.3f}"
            draft.notes.append(
                f"A file does not say whether {model.spec.name} was trained on these test rows{quality}."
            )
        return problem


def _what_is_predicted(data: Data) -> str:
    """Values, or the classes by name, or how many there are where nothing names them."""
    if data.test_values is not None:
        return "values to predict"
    if data.class_names:
        return f"classes {', '.join(data.class_names[:8])}"
    return f"{data.n_classes} classes"


def _suited(draft: _Draft, problem: Any) -> tuple[list[Any], list[Any]]:
    """Explainers and metrics that the problem has what they need for; with legal values where there are categories."""
    layout = problem.samples.layout
    codes = bool(layout.categorical or layout.boolean)

    def entry(kind: Any, name: str) -> Any:
        legal = codes and "masker" in registry.get(kind, name).parameters
        return {"name": name, "params": {"masker": "marginal"}} if legal else name

    def fits(kind: Any, name: str) -> bool:
        return not missing_needs(registry.get(kind, name).needs, problem.capabilities)

    explainers = [entry("explainer", name) for name in (*GRADIENTS, *BLACK_BOX) if fits("explainer", name)]
    return explainers, [entry("metric", name) for name in METRICS if fits("metric", name)]


def _maps(given: FilesGiven, folder: Path, draft: _Draft, problem: Any) -> list[Any]:
    """An entry for every method whose maps are in the files, each of which was read."""
    entries: list[Any] = []
    for file in given.explanations:
        path = Path(file).expanduser()
        names = map_names(path) if path.suffix.lower() == ".npz" else [""]
        for name in names:
            alone = name in ("", "attributions", problem.name)
            entry: dict[str, Any] = {"file": seen_from(path, folder), "name": path.stem if alone else name}
            entry |= {} if alone else {"params": {"array": name}}
            entries.append(_checked(entry, folder, draft, problem))
    return entries


def _checked(entry: dict[str, Any], folder: Path, draft: _Draft, problem: Any) -> dict[str, Any]:
    """The entry, with what must be said so that its maps can be read."""
    path, params = folder / entry["file"], entry.get("params", {})
    stored = read_maps(path, params.get("array", ""), problem.name)
    if not stored.row_ids:
        if len(stored.maps) != len(problem.samples) or not _has_own_order(draft.dataset, folder):
            raise UsageError(
                f"{path.name} does not say which samples its {len(stored.maps)} maps are of",
                "add row_ids, which `xaibench export` writes; or give the data as npz with test_inputs, a map for each",
            )
        entry["params"] = {**params, "order": "test"}
        draft.notes.append(f"{path.name} has no row_ids: its maps are taken to be of the test rows in their order.")
    found = _ref("explainer", entry, folder)
    spec = found.spec
    assert isinstance(spec, ExplainerSpec)
    spec.function(problem.view(0), **found.params)
    if spec.stated_kind(found.params) == "saliency":
        draft.notes.append(
            f'Maps {entry["name"]!r} are taken as saliency, without a sign; kind = "contribution" or "slope" says more.'
        )
    return entry


def _has_order(given: FilesGiven, draft: _Draft, folder: Path) -> bool:
    """Whether maps without row ids are named, and the data say which rows are test rows, in which order."""
    paths = [Path(file).expanduser() for file in given.explanations]
    npz = [path for path in paths if path.is_file() and path.suffix.lower() == ".npz"]
    return any(not has_row_ids(path) for path in npz) and _has_own_order(draft.dataset, folder)


def _has_own_order(dataset: Any, folder: Path) -> bool:
    """Whether the file itself says which rows are test rows, in which order."""
    from xaibench.datasets.files.arrays_file import shapes_of

    file = dataset.get("file", "") if isinstance(dataset, dict) else ""
    return file.endswith(".npz") and "test_inputs" in shapes_of(folder / file)

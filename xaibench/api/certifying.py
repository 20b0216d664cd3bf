"""Certificates of explainers: would an explanation show that a model of this kind, on these data, cheats?"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench.analysis.certificates.certificate import Certificate, certify_copies
from xaibench.analysis.certificates.fitted_copies import CopySet, read_copies
from xaibench.analysis.certificates.verdicts import CertificateSummary, with_verdicts
from xaibench.api.certify_request import CertifyRequest, read_request
from xaibench.api.certify_suite import PreparedCertificate, prepare
from xaibench.api.orchestration import CompletedRun, Watch, run_suite
from xaibench.api.reading import results
from xaibench.core.errors import NothingToDoError, UsageError
from xaibench.core.features import FeatureKind
from xaibench.core.session_objects import is_object_reference
from xaibench.core.storage.paths import Location, cache_folder, default_store
from xaibench.core.trust import trust_files, trusted_digests
from xaibench.datasets.session_data import data_reference
from xaibench.execution import Observer, Options
from xaibench.models.session_recipes import recipe_reference
from xaibench.store import FAILURES, Store
from xaibench.suite.drafting import toml_value

FALLBACK = "overwrite"
"""Plant that is tried where a recipe does not take another column, and none was named."""
NO_DOMINANCE = 1e-6
"""Dominance below this is rounding."""
Announce = Callable[[PreparedCertificate], None]
"""Called with what is about to be run, before anything is."""


@dataclass(frozen=True, repr=False)
class Certification:
    """A finished certificate.

    Attributes
    ----------
    thresholds : DataFrame
        One row per explainer, the best first: threshold, its interval, verdict.
    copies : DataFrame
        One row per level, copy and explainer.
    proved : bool
        Whether any copy passed its gates; without one nothing is certified.
    message : str
        What the certificate says, in sentences; without a proved copy why there is none.
    store : Path or StoreUrl
    folder : str
        Folder in the store that holds ``certify.parquet``, ``thresholds.parquet`` and ``suite.toml``.
    n_failed : int
        Cells that failed.

    Examples
    --------
    >>> import xaibench as xb
    >>> found = xb.certify(
    ...     "logistic_regression", "breast_cancer", levels=(0, 1), copies=1, rows=60,
    ...     explainers=["occlusion"], store="certificates",
    ... )
    >>> found.proved
    True
    >>> found.thresholds.loc[0, "explainer"], float(found.thresholds.loc[0, "found_at_full_level"])
    ('occlusion', 1.0)
    """

    certificate: Certificate
    copy_set: CopySet
    prepared: PreparedCertificate
    summary: CertificateSummary
    store: Location
    folder: str
    n_failed: int
    run: int

    def __repr__(self) -> str:
        place = f"store={str(self.store)!r}, folder={self.folder!r}"
        return f"Certification(proved={self.proved}, message={self.message!r}, {place})"

    @property
    def thresholds(self) -> pd.DataFrame:
        return self.certificate.thresholds

    @property
    def copies(self) -> pd.DataFrame:
        return self.certificate.copies

    @property
    def proved(self) -> bool:
        return self.certificate.proved

    @property
    def message(self) -> str:
        return self.summary.text


def certify(
    model: Any,
    data: Any,
    *,
    target: str | None = None,
    features: FeatureKind | None = None,
    plant: str | None = None,
    levels: Sequence[float] | None = None,
    copies: int | None = None,
    explainers: Sequence[str | dict[str, Any]] | None = None,
    rows: int | None = None,
    store: str | Path | None = None,
    workers: int = 0,
    trust: Sequence[str | Path] = (),
    observer: Observer | None = None,
    **more: Any,
) -> Certification:
    """Plant a shortcut into copies of your data, and see which explainers show it, like ``xaibench certify``.

    The recipe is fitted to the data as they are, to copies in which a shortcut gives the label away at several levels,
    and to a null twin in which it means nothing. Interventions prove what every copy uses. The same test rows are then
    explained on all copies: an explainer certifies from the reliance on at which it shows the shortcut first in half
    of the rows that the shortcut decides.

    Parameters
    ----------
    model : str, unfitted estimator or pipeline, callable or torch.nn.Module
        The recipe: an estimator of which copies are fitted (to strings, where the data are texts); a function
        ``build(data, seed)`` of a `Data` that returns a fitted model; a network of which copies are trained on, see
        ``fine_tune``; or by name: a registered model, ``file.py:build``, ``file.py:pipeline``, ``file.py:net``.
    data : str, tuple, DataFrame or Data
        ``(inputs, labels)``, where inputs are an array, a data frame or a list of texts; a data frame with ``target``;
        a `Data`, which brings its own split; or by name: a data set, ``file.py:name``, a file or folder. Of arrays,
        frames and texts 30 % become test rows, by label, and nothing is scaled: that is the recipe's part.
    target : str, optional
        Column of a table that is predicted.
    features : {"table", "image", "series"}, optional
        What an array of more than two axes holds.
    plant : {"new", "overwrite", "category", "pair", "patch", "texture", "tint", "bump", "token"}, optional
        By default ``new`` for tables, ``patch`` for images, ``bump`` for series and ``token`` for texts.
    levels : sequence of float, optional
        How strongly labels follow the shortcut, by default 0, .3, .6, 1.
    copies : int, optional
        Copies per level, by default 3.
    explainers : sequence, optional
        By default those that apply.
    rows : int, optional
        Test rows that are explained, by default 100.
    store : path, optional
    workers : int
        Processes that work at once; 0: only this one. Objects do not leave this process.
    trust : sequence of path, optional
        Files outside the current folder that may be read.
    observer : Observer, optional
    **more
        Other fields of a request, such as ``column``, ``classes``, ``share``, ``protocol``, ``data_params``,
        ``model_params`` or ``fine_tune``.

    Returns
    -------
    Certification

    Raises
    ------
    UsageError
        If the recipe cannot be trained, the plant does not go with the data, or workers are asked for objects.

    Notes
    -----
    An object is known by its content: parameters, weights, source and arrays. The same call in a new session resumes
    from the store; ``xaibench run`` cannot, because no file has the object.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> from sklearn.linear_model import LogisticRegression
    >>> inputs = np.random.default_rng(0).normal(size=(400, 4))
    >>> labels = np.where(inputs[:, 0] + inputs[:, 1] > 0, "high", "low")
    >>> found = xb.certify(
    ...     LogisticRegression(), (inputs, labels), levels=(0, 1), copies=1, rows=60,
    ...     explainers=["occlusion"], store="certificates",
    ... )
    >>> found.thresholds.loc[0, ["explainer", "verdict"]].tolist()
    ['occlusion', 'finds it']
    """
    recipe, where = recipe_reference(model), data_reference(data, target=target, features=features)
    if workers and any(map(is_object_reference, (recipe, where))):
        raise UsageError(
            "an object of this session does not reach other processes",
            "leave workers out, or name a file: file.py:name",
        )
    target = None if is_object_reference(where) else target
    given: Mapping[str, Any] = {
        "model": recipe, "data": where, "target": target, "plant": plant, "levels": levels, "copies": copies,
        "explainers": explainers, "rows": rows, **more,
    }  # fmt: skip
    request = read_request(given)
    trust_files(trust)
    options = Options(workers=workers, trusted=tuple(sorted(trusted_digests())), argv=["xaibench.certify"])
    watch: Watch | None = None if observer is None else lambda plan, opened: nullcontext(observer)
    return certify_request(request, options, store=store, watch=watch)


def certify_request(
    request: CertifyRequest,
    options: Options,
    *,
    store: str | Path | None = None,
    watch: Watch | None = None,
    tell: Announce | None = None,
) -> Certification:
    """Prepare, run, analyse and write a certificate.

    Parameters
    ----------
    request : CertifyRequest
    options : Options
    store : path, optional
    watch : callable, optional
        See `xaibench.api.orchestration.Watch`.
    tell : callable, optional
        Called before the run; may raise to stop.
    """
    cache = options.cache or cache_folder()
    opened = Store(store or default_store(), create=True)
    prepared = prepare(request, folder=Path.cwd(), cache=cache)
    found = _certified(prepared, opened, options, watch, tell)
    if not request.plant and prepared.plant == "new" and not found.proved and _ignored(found):
        note = "this recipe does not use another column, so a column that it has is overwritten instead"
        prepared = prepare(request.model_copy(update={"plant": FALLBACK}), folder=Path.cwd(), cache=cache)
        prepared = replace(prepared, notes=(*prepared.notes, note))
        found = _certified(prepared, opened, options, watch, tell)
    return found


def _certified(
    prepared: PreparedCertificate, opened: Store, options: Options, watch: Watch | None, tell: Announce | None
) -> Certification:
    folder = f"certify/{prepared.suite['name']}-{prepared.key}"
    if tell is not None:
        tell(prepared)
    opened.files.write(f"{folder}/suite.toml", suite_toml(prepared).encode())
    if not prepared.deterministic:
        # Every process would fit a model of its own.
        options = replace(options, workers=0)
    done = run_suite({**prepared.suite}, options, store=str(opened.path), watch=watch)
    return certification_of(prepared, done, folder)


def certification_of(prepared: PreparedCertificate, done: CompletedRun, folder: str) -> Certification:
    """The certificate of a run, written into the store.

    Raises
    ------
    NothingToDoError
        If the run was interrupted before every copy was there.
    """
    rows = results(done.store.path, prepared.suite["name"], run=done.outcome.run)
    if done.outcome.end == "interrupted":
        raise NothingToDoError("interrupted before every copy was explained", "the same command resumes")
    copies = replace(read_copies(rows), deterministic=prepared.deterministic)
    certificate = certify_copies(copies, place_is_fixed=prepared.data.features == "table")
    fixed: dict[str, Any] = {
        "dataset": prepared.request.data, "model": prepared.request.model,
        "original_accuracy": prepared.original.accuracy, "original_fingerprint": prepared.original_fingerprint,
        "data_fingerprint": prepared.data.fingerprint,
    }  # fmt: skip
    judged, summary = with_verdicts(certificate, copies, prepared.plant)
    certificate = replace(judged, copies=judged.copies.assign(**fixed), thresholds=judged.thresholds)
    for name, frame in (("certify", certificate.copies), ("thresholds", certificate.thresholds)):
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        done.store.files.write(f"{folder}/{name}.parquet", buffer.getvalue())
    failed = int(rows["status"].isin(FAILURES).sum())
    return Certification(certificate, copies, prepared, summary, done.store.path, folder, failed, done.outcome.run)


def _ignored(found: Certification) -> bool:
    """Whether no copy changed its output when the plant did, or none could be fitted."""
    copies = [copy for copy in found.copy_set.copies if copy.level > 0]
    return all(copy.dominance < NO_DOMINANCE or not copy.gates for copy in copies)


def suite_toml(prepared: PreparedCertificate) -> str:
    """The generated suite as a file that ``xaibench run`` takes, from the folder that its paths start from."""
    suite = prepared.suite
    problem = suite["problems"][0]
    lines = ["# Made by `xaibench certify`. Paths start from the folder that it was called in."]
    if any(map(is_object_reference, (prepared.request.model, prepared.request.data))):
        lines.append(
            "# Made of objects of a Python session, which no file has: call xb.certify with them to run it again."
        )
    lines += [f"{name} = {toml_value(value)}" for name, value in suite.items() if name not in ("problems", "name")]
    lines += ["", "[[problems]]", *(f"{name} = {toml_value(value)}" for name, value in problem.items())]
    return "\n".join(lines) + "\n"


def certificate_document(found: Certification) -> dict[str, Any]:
    """The certificate as plain values, for ``--json``."""
    records = json.loads(found.thresholds.to_json(orient="records"))
    for record, threshold in zip(records, found.thresholds["threshold"], strict=True):
        record["threshold"] = None if not pd.notna(threshold) or threshold == float("inf") else float(threshold)
    return {
        "suite": found.prepared.suite["name"],
        "store": str(found.store),
        "folder": found.folder,
        "plant": found.prepared.plant,
        "classes": list(found.prepared.classes),
        "original_accuracy": found.prepared.original.accuracy,
        "proved": found.proved,
        "message": found.message,
        "notes": list(found.prepared.notes),
        "failures": [
            {"level": level, "copy": number, "reasons": list(reasons)}
            for level, number, reasons in found.certificate.failures
        ],
        "thresholds": records,
        "copies": json.loads(found.copies.drop(columns="gates").to_json(orient="records")),
    }

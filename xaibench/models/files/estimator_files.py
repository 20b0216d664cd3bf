"""Fitted scikit-learn estimators and pipelines from files: skops, and joblib or pickle where the user trusts them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xaibench.core.component_files import SourceFile, of_file, reads_files
from xaibench.core.components import Component
from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import DataError, UsageError
from xaibench.core.extras import install_command
from xaibench.core.trust import require_trust
from xaibench.core.zip_archives import check_zip
from xaibench.models.files.rows import fitted_estimator, lacking_of_black_box

KNOWN_TYPES = frozenset({"sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"})
"""Types that skops does not trust by itself and that hold numbers only."""
_RUNS_CODE = "can run any code when it is opened"


@reads_files("model", ".skops")
def skops_file(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The estimator of a skops file; types that are not known to be harmless need the user's trust."""

    def load(data: Data) -> Any:
        """A fitted scikit-learn estimator or pipeline, stored by skops."""
        return fitted_estimator(read_skops(file), data, file.name)

    return _estimator_spec(file, load)


@reads_files("model", ".joblib", ".pkl", ".pickle")
def pickled_file(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The estimator of a pickle, which the user must trust."""
    require_trust(file.path, file.sha256, _RUNS_CODE)

    def load(data: Data) -> Any:
        """A fitted scikit-learn estimator or pipeline, stored by joblib or pickle."""
        require_trust(file.path, file.sha256, _RUNS_CODE)
        return fitted_estimator(open_trusted(file.path), data, file.name)

    return _estimator_spec(file, load)


def _estimator_spec(file: SourceFile, load: Any) -> ModelSpec:
    lacking = lacking_of_black_box("an estimator")
    return ModelSpec(file.name, of_file(load, file), provides=frozenset(), fitted=True, lacking=lacking)


def read_skops(file: SourceFile) -> Any:
    """What a skops file holds.

    Raises
    ------
    DataError
        If it is damaged, or not a skops file.
    UsageError
        If skops is not installed, or there are types in it that need trust.
    """
    try:
        import skops.io
    except ImportError as error:
        raise UsageError("skops files need the package skops", install_command("skops")) from error
    check_zip(file.path)
    try:
        unknown = set(skops.io.get_untrusted_types(file=str(file.path))) - KNOWN_TYPES
    except Exception as error:  # A damaged file may raise anything.
        raise DataError(f"{file.name} is not a skops file: {type(error).__name__}: {error}") from error
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        require_trust(file.path, file.sha256, f"holds the type {min(unknown)}{more}, whose code runs when it is opened")
    try:
        return skops.io.load(str(file.path), trusted=sorted(KNOWN_TYPES | unknown))
    except Exception as error:
        raise DataError(f"{file.name} cannot be opened: {type(error).__name__}: {error}") from error


def open_trusted(path: Path) -> Any:
    """What a pickle holds; called only for files that the user trusts.

    Raises
    ------
    DataError
        If it cannot be opened.
    """
    import joblib

    try:
        return joblib.load(path)
    except Exception as error:
        raise DataError(f"{path.name} cannot be opened: {type(error).__name__}: {error}") from error

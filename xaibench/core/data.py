"""What a data set says before any model is there: inputs, targets, truth, checks of the model, pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xaibench.core.data_identity import intervention_identity, plain_fact
from xaibench.core.data_inputs import as_float32, check_finite, column_names, place_of_first
from xaibench.core.data_tables import column_groups, column_numbers, encode_frames, table_layout
from xaibench.core.errors import DataError
from xaibench.core.feature_groups import FeatureGroups
from xaibench.core.features import GRAPH_KINDS, FeatureKind, FeatureLayout, infer_layout, raw_layout
from xaibench.core.frames.detection import is_frame
from xaibench.core.gates import Findings
from xaibench.core.graphs import check_graphs
from xaibench.core.intervention import Intervention as Intervention
from xaibench.core.keys import array_digest, digest
from xaibench.core.labels import number_classes
from xaibench.core.many_targets import fields_of_many_targets
from xaibench.core.predictor import Predictor
from xaibench.core.tokens import Tokens, check_ids
from xaibench.core.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from xaibench.core.frames.codec import FrameCodec


class Check(Protocol):
    """Measures a fitted model: whether the truth that its data set claims is true of it."""

    @property
    def identity(self) -> list[Any]:
        """Name, version and everything that the findings depend on besides model and data, as plain values."""
        ...

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Look at the model; deterministic, and without changing it."""
        ...


@dataclass(frozen=True)
class PairSource:
    """What a data set says about a pair, before any model is there.

    Attributes
    ----------
    need : str
        What it offers to metrics: ``model_pair.NAME`` or ``input_pair.NAME``. Several sources may
        share a need; their order stays.
    identity : str
        Name and parameters of what is behind it, for the fingerprint.
    data : callable without arguments, optional
        The data set that the other model is fitted to, by the problem's own recipe and seed.
    inputs : array (N, *input_shape), float32, optional
        Other inputs for the test samples.
    labels : array (N,), int64, optional
        What the other model should say about the test samples, or the model about the other inputs.
    level : float, optional
        A number that orders the sources of one need. A source of a model pair that brings nothing
        else stands for the problem's own model in that order.
    truth : array (N, *feature_shape), optional
        What is true of the pair, for explainers that are given the truth: which features matter
        (bool), or how much (float32).
    """

    need: str
    identity: str
    data: Callable[[], Data] | None = None
    inputs: Array | None = None
    labels: Array | None = None
    level: float | None = None
    truth: Array | None = None


@dataclass(frozen=True)
class Data:
    """Train and test split of a data set, ready for a model.

    Parameters
    ----------
    features : {"image", "volume", "table", "series", "tokens", "edges", "nodes", "node_features"}
    train_inputs, test_inputs : array (N, *input_shape), float32
        Other numbers are converted where float32 can distinguish them. A data frame brings its column names along,
        and its text, categories and booleans become codes; models fitted on frames are given frames. Tables may hold
        NaN, for models that take missing values.
    train_targets, test_targets : array (N,), int64
        Classes. What is not numbered 0 to C - 1 is, see `xaibench.core.labels.number_classes`;
        numbers with a fraction are the values of a regression, also of several outputs (N, K). Zeros and ones (N, L)
        with several or no ones in some row are labels that may be true together.
    test_rows : array (N, ...), optional
        The raw rows behind ``test_inputs`` (before scaling); random draws are keyed by their bytes.
    feature_names, class_names : tuple of str
    test_mask : array (N, *feature_shape) of bool, optional
        Ground truth: the features that matter, per test sample.
    train_mask : array (N, *feature_shape) of bool, optional
        The same per training sample, for metrics that explain the training data.
    truth_kind : {"model", "data", "circuit", "program"}
        What the masks are the truth about.
    interventions : tuple of Intervention
        Causal checks that make the truth true; they become gates of the problem.
    accuracy_floor : float or None
        Held-out accuracy (of regression: R2) below which a model is not worth explaining. None:
        there is nothing to be accurate about.
    test_distractors : array (N, *feature_shape) of bool, optional
        Ground truth: features that look as if they mattered and do not, per test sample.
    test_signs : array (N, *feature_shape) of int8, optional
        Ground truth: which features are evidence for what is explained (1) and against it (-1), 0 for the others.
    train_values, test_values : array (N,) or (N, K), optional
        What a regression model learns to say, of one output or several, called ``class_names``; the targets are then
        all 0. Float32, or float64 where float32 cannot distinguish the values.
    background, background_targets : array (M, *input_shape), float32; array (M,), int64, optional
        Reference samples, where training rows are not what features should be compared with.
    facts : mapping of str to number, str, list or array
        What analytic models must know of the generator, such as its weights.
    checks : tuple of Check
        Other measurements of the fitted model that the truth rests on.
    pairs : tuple of PairSource
        The test samples seen otherwise.
    tokens : Tokens, optional
        What the ids mean, where ``features`` is "tokens"; inputs are then ids (N, L) of int32, -1 behind the end of a
        text, or pieces of words (N, W, P).
    train_context, test_context, background_context : mapping of str to array (N, ...)
        What goes to the model beside the inputs, by name, and is not a feature: the other inputs of a model with
        several, the structure of a graph. Every model is called with it, ``model(inputs, **context)``.
    axes : {"", "NTC", "NCT"}
        Order of the axes of a series where its shape leaves doubt: sensors last, or first.
    train_labels, test_labels : array (N, L) of bool, optional
        Labels that may be true together, called ``class_names``; the targets are then all 0.
    feature_groups : mapping of str to columns, or sequence of columns
        Of a table: columns that are one feature, such as one-hot blocks, by name or number; other columns are features
        of their own. Stored as a partition, a tuple of columns for every feature, and masks are of these features.
    categorical : sequence of str or int
        Columns of numbers that are names, such as codes of categories. Columns of text and pandas categoricals of a
        data frame are known as such, and one-hot groups are recognised.
    codec : FrameCodec, optional
        Made from data frames: how rows become the frames that models are given. See ``train_frame``.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> rows = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    >>> data = xb.Data("table", rows, np.array([0, 1]), rows, np.array([0, 1]), class_names=("no", "yes"))
    >>> data.input_shape, data.n_classes
    ((2,), 2)
    """

    features: FeatureKind
    train_inputs: Array
    train_targets: Array
    test_inputs: Array
    test_targets: Array
    test_rows: Array | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    test_mask: Array | None = None
    truth_kind: str = "model"
    interventions: tuple[Intervention, ...] = field(default=())
    accuracy_floor: float | None = 0.0
    train_mask: Array | None = None
    test_distractors: Array | None = None
    test_signs: Array | None = None
    train_values: Array | None = None
    test_values: Array | None = None
    background: Array | None = None
    background_targets: Array | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    pairs: tuple[PairSource, ...] = ()
    tokens: Tokens | None = None
    train_context: Mapping[str, Array] = field(default_factory=dict)
    test_context: Mapping[str, Array] = field(default_factory=dict)
    background_context: Mapping[str, Array] = field(default_factory=dict)
    axes: str = ""
    train_labels: Array | None = None
    test_labels: Array | None = None
    feature_groups: Any = ()
    categorical: Any = ()
    codec: FrameCodec | None = None
    group_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_context()
        self._take_frames()
        self._take_inputs()
        self._take_groups()
        self._take_labels()
        for split in ("train", "test"):
            inputs = getattr(self, f"{split}_inputs")
            for name in ("mask", "values", "distractors", "labels", "signs"):
                beside = getattr(self, f"{split}_{name}", None)
                if beside is not None and len(beside) != len(inputs):
                    raise DataError(f"{split} split has {len(inputs)} inputs and {len(beside)} {name.rstrip('s')}s")

    def _check_context(self) -> None:
        if set(self.train_context) != set(self.test_context):
            raise DataError(
                f"train context is {sorted(self.train_context)}, test context {sorted(self.test_context)}",
                "the model takes the same names for both",
            )
        for split in ("train", "test", "background"):
            rows = getattr(self, "background" if split == "background" else f"{split}_inputs")
            for name, values in getattr(self, f"{split}_context").items():
                if rows is None or len(values) != len(rows):
                    n = 0 if rows is None else len(rows)
                    raise DataError(f"{split}_context {name!r} has {len(values)} rows for {n} inputs")

    def _take_frames(self) -> None:
        """Encode data frames by column name."""
        given = {name: getattr(self, name) for name in ("train_inputs", "test_inputs", "background")}
        frames = {name: values for name, values in given.items() if is_frame(values)}
        if self.features != "table" or not {"train_inputs", "test_inputs"} <= set(frames):
            if "background" in frames:
                raise DataError("background is a data frame, and the inputs are not", "give data frames for all")
            return
        codec, arrays = encode_frames(frames, self.categorical)
        for name, values in {"codec": codec, "feature_names": self.feature_names or codec.names, **arrays}.items():
            object.__setattr__(self, name, values)

    def _take_groups(self) -> None:
        """Store groups and categories as numbers of columns."""
        if not len(self.feature_groups) and not len(self.categorical) and self.codec is None:
            return
        if self.features != "table":
            raise DataError(f"feature_groups and categorical are about tables, not {self.features} data")
        n, names = self.input_shape[0], self.feature_names
        found = column_groups(self.feature_groups, n, names) if len(self.feature_groups) else FeatureGroups((), ())
        coded = column_numbers(self.categorical, n, names)
        coded = coded if self.codec is None else tuple(sorted({*coded, *self.codec.categorical}))
        object.__setattr__(self, "feature_groups", found.members)
        object.__setattr__(self, "group_names", self.group_names or found.names)
        object.__setattr__(self, "categorical", coded)

    @property
    def layout(self) -> FeatureLayout:
        """What the axes of the inputs mean, with groups and categories; of texts that of the raw ids."""
        if self.has_ids:
            return raw_layout(self.input_shape)
        layout = infer_layout(self.input_shape, self.features, self.axes or None)
        boolean = () if self.codec is None else self.codec.boolean
        if not (self.feature_groups or self.categorical or boolean):
            return layout
        return table_layout(layout, self.feature_groups, self.categorical, boolean, self.train_inputs)

    @property
    def frame_codec(self) -> FrameCodec | None:
        """How rows become data frames; None where columns have no names."""
        if self.codec is not None or self.features != "table" or not self.feature_names:
            return self.codec
        from xaibench.core.frames.codec import FrameCodec

        return FrameCodec.of_numbers(self.feature_names, np.float32)

    @property
    def train_frame(self) -> pd.DataFrame:
        """The training inputs as a data frame with column names and dtypes, for models that are fitted on frames."""
        return self._frame(self.train_inputs)

    @property
    def test_frame(self) -> pd.DataFrame:
        """The test inputs as a data frame; see ``train_frame``."""
        return self._frame(self.test_inputs)

    def _frame(self, inputs: Array) -> pd.DataFrame:
        if self.features != "table" or self.frame_codec is None:
            raise DataError("only tables whose columns have names become frames", "give data frames, or feature_names")
        return self.frame_codec.decode(inputs)

    @property
    def has_ids(self) -> bool:
        """Whether inputs are token ids."""
        return self.features == "tokens" and self.train_inputs.dtype.kind in "iu"

    def _take_inputs(self) -> None:
        """Check the inputs, and store them as float32; token ids stay whole numbers."""
        names = self.feature_names or column_names(self.train_inputs)
        for split in ("train", "test"):
            field_name = f"{split}_inputs"
            inputs = getattr(self, field_name)
            kind = inputs.dtype.kind if self.features == "tokens" and isinstance(inputs, np.ndarray) else ""
            if kind and kind in "iu":
                check_ids(inputs, self.tokens, f"{split} inputs")
                continue
            inputs = as_float32(inputs, split, names)
            if kind == "f" and inputs.ndim == 2:
                raise DataError(f"{split} inputs are token ids of {inputs.dtype}", "ids are int32, -1 behind the end")
            if inputs.ndim < 2:
                raise DataError(f"{split} inputs have shape {inputs.shape}", "give (N, ...), one row per sample")
            check_finite(inputs, split, names, missing=self.features == "table")
            object.__setattr__(self, field_name, inputs)
            if self.features in GRAPH_KINDS:
                check_graphs(self.features, inputs, getattr(self, f"{split}_context"), f"{split} inputs")
        train, test = self.train_inputs.shape[1:], self.test_inputs.shape[1:]
        if train != test and not self.has_ids:
            raise DataError(f"train inputs have shape (N, {_shape(train)}), test inputs (N, {_shape(test)})")
        if self.features == "table" and names and len(names) != train[0]:
            raise DataError(f"there are {len(names)} feature names for {train[0]} columns", "name every column")
        object.__setattr__(self, "feature_names", tuple(names))

    def _take_labels(self) -> None:
        """Check the targets, and store them as numbers of classes."""
        for split in ("train", "test"):
            inputs, targets = getattr(self, f"{split}_inputs"), getattr(self, f"{split}_targets")
            if len(inputs) != len(targets) or len(inputs) == 0:
                raise DataError(f"{split} split has {len(inputs)} inputs and {len(targets)} targets")
        for name, values in fields_of_many_targets(vars(self)).items():
            object.__setattr__(self, name, values)
        if self.train_labels is not None or self.n_values > 1:
            return
        labels = number_classes(self.train_targets, self.test_targets, self.class_names)
        if labels.values is not None and self.train_values is not None:
            raise DataError("targets are numbers with fractions, and there are values too", "let the targets be all 0")
        if labels.values is not None:
            object.__setattr__(self, "train_values", labels.values[0])
            object.__setattr__(self, "test_values", labels.values[1])
        object.__setattr__(self, "train_targets", labels.train)
        object.__setattr__(self, "test_targets", labels.test)
        object.__setattr__(self, "class_names", labels.class_names)

    @property
    def n_values(self) -> int:
        """Values that a regression model returns; 0 where there are classes or labels."""
        if self.train_values is None:
            return 0
        return 1 if self.train_values.ndim == 1 else int(self.train_values.shape[1])

    @property
    def n_outputs(self) -> int:
        """Columns that a model of these data returns."""
        return self.n_values or self.n_classes

    @property
    def first_missing(self) -> str | None:
        """Split, column and row of the first missing value: ``column 'income', row 3 of the train inputs``."""
        for split in ("train", "test"):
            missing = np.isnan(getattr(self, f"{split}_inputs"))
            if missing.any():
                return f"{place_of_first(missing, self.feature_names)} of the {split} inputs"
        return None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.train_inputs.shape[1:])

    @property
    def n_classes(self) -> int:
        """Classes, or labels that may be true together."""
        if self.train_labels is not None:
            return int(self.train_labels.shape[1])
        return len(self.class_names) or int(self.train_targets.max()) + 1

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that a model, a draw, a truth or a gate can depend on."""
        arrays = (self.train_inputs, self.train_targets, self.test_inputs, self.test_targets)
        optional = [None if a is None else array_digest(a) for a in (self.test_rows, self.test_mask)]
        # Only where there are any: keys of data sets without them stay what they were.
        optional += [] if self.train_mask is None else [array_digest(self.train_mask)]
        later = ("test_distractors", "test_signs", "train_values", "test_values", "background", "background_targets")
        named = {name: getattr(self, name) for name in (*later, "train_labels", "test_labels")}
        more: dict[str, Any] = {name: array_digest(a) for name, a in named.items() if a is not None}
        more |= {"axes": self.axes} if self.axes else {}
        more |= {"groups": [list(g) for g in self.feature_groups]} if self.feature_groups else {}
        more |= {"categorical": list(self.categorical)} if self.categorical else {}
        more |= {"frame": self.codec.identity} if self.codec is not None and not self.codec.all_numbers else {}
        more |= {"facts": {k: plain_fact(v) for k, v in self.facts.items()}} if self.facts else {}
        more |= {"checks": [c.identity for c in self.checks]} if self.checks else {}
        more |= {"pairs": [_pair(p) for p in self.pairs]} if self.pairs else {}
        more |= {"tokens": self.tokens.identity} if self.tokens is not None else {}
        for name in ("train_context", "test_context", "background_context"):
            given = getattr(self, name)
            more |= {name: {k: array_digest(v) for k, v in sorted(given.items())}} if given else {}
        checks = [intervention_identity(c) for c in self.interventions]
        facts = [self.features, self.truth_kind, self.accuracy_floor, list(self.class_names)]
        return digest(facts, [array_digest(a) for a in arrays], optional, checks, *([more] if more else []))


def _shape(sides: tuple[int, ...]) -> str:
    return ", ".join(map(str, sides))


def _pair(source: PairSource) -> list[Any]:
    arrays = [None if a is None else array_digest(a) for a in (source.inputs, source.labels)]
    arrays += [] if source.truth is None else [array_digest(source.truth)]
    return [source.need, source.identity, source.level, *arrays]

"""Problems: a fitted model, its inputs and targets, and whatever ground truth exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.finite import all_finite
from xaibench.core.gates import Gate
from xaibench.core.graphs import cut_sample
from xaibench.core.input_gradients import as_leaf, input_gradient
from xaibench.core.masking.maskers import Masker, make_masker
from xaibench.core.masking.tokens import Absence
from xaibench.core.needs import sees_truth
from xaibench.core.outputs import STANDARDISED, select_output
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor, require_module
from xaibench.core.raw_rows import RawRows
from xaibench.core.retraining import Retraining
from xaibench.core.token_predictor import TokenPredictor
from xaibench.core.truth import Truth

if TYPE_CHECKING:
    from xaibench.core.frames.codec import FrameCodec


METRIC_STREAM, EXPLAINER_STREAM = "masker", "explain/masker"


@dataclass(frozen=True)
class Samples:
    """N samples of a problem: what explainers and metrics have in common.

    Attributes
    ----------
    model : Predictor
    inputs : Tensor (N, *input_shape)
    targets : Tensor (N,) of int64
        The output column that is explained.
    layout : FeatureLayout
    output : {"logit", "probability", "margin", "value"}
        The number that is explained.
    digests : tuple of bytes
        Identity of every sample; random draws are keyed by it.
    background : Tensor (M, *input_shape) or None
        Reference samples.
    seed : int
    labels : Tensor (N,) of int64 or None
        True class of every sample.
    background_labels : Tensor (M,) of int64 or None
    context : mapping of str to Tensor (N, ...)
        What goes to the model with every copy of a sample and is not a feature of it: the other inputs of a
        model that has several, the structure of a graph. It is never perturbed, attributed or ranked.
    background_context : mapping of str to Tensor (M, ...)
        The same of the reference samples.
    sizes : Tensor (N,) of int64 or None
        Where samples have different numbers of features, and for token ids: how many of each there are, along the
        first axis of the inputs. ``inputs`` are then raw rows, left-aligned, and no explainer or metric sees them:
        they get groups of equal size, encoded and without ``sizes`` (see `core.groups`).
    foils : Tensor (N,) of int64 or None
        Columns that the targets are contrasted with, where a contrast is explained.
    clusters : tuple of bytes or None
        Digest of the row that each sample is of, where one row is several samples, one for each of its labels: such
        samples are not independent. None: every sample is a row of its own.
    units : Tensor (N, 2) or None
        Mean and standard deviation of the explained value over the reference samples, where the output that is
        measured is ``standardised_value``.
    pool : Tensor (M, *slot) or None
        In such a group: what exists in the reference samples, one feature after the other; there is no background.
    references : RawRows or None
        The reference samples as raw rows.
    problem : str
        ``dataset/model``, by which files that hold explanations of several problems name theirs; may be empty.
    codec : FrameCodec or None
        How rows become the data frames that the model is given.
    feature_names : tuple of str
        Of the features, in their order, where they have names and come from a data set.
    """

    model: Predictor
    inputs: Tensor
    targets: Tensor
    layout: FeatureLayout
    output: str
    digests: tuple[bytes, ...]
    background: Tensor | None = None
    seed: int = 0
    labels: Tensor | None = None
    background_labels: Tensor | None = None
    context: Mapping[str, Tensor] = field(default_factory=dict)
    background_context: Mapping[str, Tensor] = field(default_factory=dict)
    sizes: Tensor | None = None
    pool: Tensor | None = None
    references: RawRows | None = None
    foils: Tensor | None = None
    clusters: tuple[bytes, ...] | None = None
    units: Tensor | None = None
    problem: str = ""
    codec: FrameCodec | None = None
    feature_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def draws(self, stream: str) -> Draws:
        """Fresh draws of the named stream for these samples."""
        return Draws(self.seed, stream, self.digests, device=self.inputs.device)

    def predict(self, inputs: Tensor, rows: Tensor | slice | None = None) -> Tensor:
        """Evaluate the model on copies of the samples, each with the context of its sample, without gradients.

        The only way by which explainers and metrics call the model: a component that calls the predictor itself
        leaves the context out.

        Parameters
        ----------
        inputs : Tensor (B, *input_shape)
        rows : Tensor (B,) of int64 or slice, optional
            Sample that each input belongs to; by default input i to sample i.

        Returns
        -------
        Tensor (B, C)
            Raw outputs.
        """
        if self.sizes is not None:
            raise ValueError("raw rows of different sizes are evaluated in groups of equal size")
        return self.model.predict(inputs, self._context(rows)) if self.context else self.model.predict(inputs)

    def require_background(self, message: str) -> Tensor:
        """Reference samples (M, *input_shape), or UnsupportedError with this message."""
        if self.background is None and self.references is not None:
            raise UnsupportedError(
                f"{message}, and texts, graphs and samples of different lengths have no features in common",
                "explainers by removal or by gradients of the sample work",
            )
        if self.background is None:
            raise UnsupportedError(message, "pass background=, reference samples")
        return self.background

    def predict_background(self, inputs: Tensor | None = None, rows: Tensor | slice | None = None) -> Tensor:
        """Raw outputs (B, C) of the reference samples, or of copies of them, each with the context of its own."""
        assert self.background is not None
        inputs = self.background if inputs is None else inputs
        if self.context and not self.background_context:
            raise UnsupportedError(
                "the model takes a context, and none is known for the reference samples",
                "pass background_context= beside background=",
            )
        if not self.background_context:
            return self.model.predict(inputs)
        chosen = slice(0, len(inputs)) if rows is None else rows
        return self.model.predict(inputs, context_rows(self.background_context, chosen))

    @property
    def batch_size(self) -> int:
        """Samples that the model takes at a time, of different sizes the longest; see `Predictor.batch_size`."""
        if self.sizes is None:
            return self.model.batch_size(self.inputs, self.context or None)
        longest = int(self.sizes.argmax())
        found = self.model.encode(self.inputs[longest : longest + 1], int(self.sizes[longest]), self.layout)
        beside = {**cut_sample(self.context, longest, self.inputs, self.layout.kind), **found.context}
        return self.model.batch_size(found.inputs, beside or None)

    @property
    def encoded_layout(self) -> FeatureLayout:
        """The layout of what the model is evaluated in; of samples of different sizes that of the longest."""
        return self.layout if self.sizes is None else self.model.encoded_layout(self.layout, int(self.sizes.max()))

    @property
    def token_masker(self) -> str:
        """The masker for tokens where none is named: a hidden token, else an empty one, else none at all."""
        return next((name for name in ("mask", "pad") if name in self.model.symbols), "delete")

    def _context(self, rows: Tensor | slice | None) -> Mapping[str, Tensor]:
        return self.context if rows is None else context_rows(self.context, rows)

    def scores(self, inputs: Tensor, rows: Tensor | slice | None = None, *, output: str | None = None) -> Tensor:
        """Evaluate the explained output, without gradients.

        Parameters
        ----------
        inputs : Tensor (B, *input_shape)
        rows : Tensor (B,) of int64 or slice, optional
            Sample that each input belongs to (its target is used); by default input i to sample i.
        output : str, optional
            Measure another output than the one that is explained.

        Returns
        -------
        Tensor (B,)
        """
        return self.select(self.predict(inputs, rows), rows, output=output)

    def select(self, raw: Tensor, rows: Tensor | slice | None = None, *, output: str | None = None) -> Tensor:
        """The explained output (B,) from raw outputs (B, C), differentiable.

        Parameters
        ----------
        raw : Tensor (B, C)
        rows : Tensor (B,) of int64 or slice, optional
            Sample that each row belongs to (its target and its foil are used); by default row i to sample i.
        output : str, optional
            Another output than the one that is explained.
        """
        targets, foils, chosen = self.targets, self.foils, output or self.output
        if rows is not None:
            targets, foils = targets[rows], None if foils is None else foils[rows]
        if chosen != STANDARDISED:
            return select_output(raw, targets, chosen, self.model.returns, foils)
        assert self.units is not None
        units = self.units if rows is None else self.units[rows]
        value = select_output(raw, targets, "value" if foils is None else "contrast", self.model.returns, foils)
        return (value - units[:, 0]) / units[:, 1]

    def refuse_foils(self, what: str) -> None:
        """Raise UnsupportedError where a contrast is explained; ``what`` says what has no foil."""
        if self.foils is not None:
            raise UnsupportedError(f"a contrast is explained, and {what}", "explain a single class")

    def gradients(self, inputs: Tensor, rows: Tensor | slice | None = None) -> Tensor:
        """Gradient of the explained output with respect to inputs, batched; same shape as ``inputs``.

        Raises
        ------
        UnsupportedError
            If the model has no gradients, or none that reaches the inputs.
        """
        self.layout.require_quantities("a gradient")
        model = require_module(self.model)
        owners = torch.arange(len(self), device=self.targets.device)
        owners = owners if rows is None else owners[rows]
        context = self._context(rows)
        size = model.batch_size(inputs, context or None)
        parts = []
        for start, x, own in zip(
            range(0, len(inputs), size), torch.split(inputs, size), torch.split(owners, size), strict=True
        ):
            beside = context_rows(context, slice(start, start + size)) or None
            with torch.enable_grad():
                leaf = as_leaf(x.to(model.device))
                # A copy, because a model may change its inputs in place, and a leaf must not be changed.
                picked = self.select(model.forward(leaf.clone(), beside), own)
            parts.append(input_gradient(picked, leaf))
        return torch.cat(parts)

    def masker(self, name: str) -> Masker:
        """The named masker, bound to these samples.

        A masker that draws gives explainers and metrics draws of their own: an explainer that knew
        what a metric is going to put in the place of features would be fitted to its test.
        """
        return self.masker_of(f"{METRIC_STREAM}/{name}", name)

    def baseline(self, name: str) -> Tensor:
        """Inputs (N, *input_shape) with every feature missing under the named masker, to compute with.

        Raises
        ------
        UnsupportedError
            If a missing feature has no value there, as with ``delete``.
        """
        return _with_values(self.masker(name))

    def reference(self, name: str) -> Tensor:
        """What an explainer with this baseline compares the samples with: inputs (N, *input_shape)."""
        return _with_values(self.masker_of(f"{EXPLAINER_STREAM}/{name}", name))

    def removed(self, name: str) -> Tensor:
        """Inputs (N, *input_shape) with every feature missing as metrics have it, for any caller."""
        return _with_values(self.masker_of(f"{METRIC_STREAM}/{name}", name))

    def masker_of(self, stream: str, name: str) -> Masker:
        """The named masker, bound to these samples, with draws of a stream of its own."""
        model, words = self.model, None
        if isinstance(model, TokenPredictor) and model.language_model is not None and "ids" in self.context:
            words = partial(model.words_in_place, self.inputs, self.context)
        absence = Absence(model.symbols, self.pool, self.context.get("live"), model.takes_missing, words)
        return make_masker(name, self.inputs, self.layout, self.background, self.draws(stream), absence)


def _with_values(masker: Masker) -> Tensor:
    if not all_finite(masker.fill) and bool(torch.isnan(masker.fill).any()):
        raise UnsupportedError(
            f"{masker.name} has no value to start from: it takes a feature out",
            "mask, pad and mean have one, as baselines and for contributions",
        )
    return masker.fill


@dataclass(frozen=True)
class ProblemView(Samples):
    """What an explainer may see. ``truth`` is there only for explainers that declare the need.

    Examples
    --------
    An explainer is given the view of a problem:

    >>> import xaibench as xb
    >>> @xb.explainer("the_input", kind="contribution")
    ... def the_input(problem: xb.ProblemView):
    ...     return problem.inputs
    >>> xb.explain("the_input", model=lambda a: a, inputs=[[0.25, 0.75]]).tolist()
    [[0.25, 0.75]]
    """

    truth: Truth | None = None

    def masker(self, name: str) -> Masker:
        """The named masker, bound to these samples, with the draws of explainers."""
        return self.masker_of(f"{EXPLAINER_STREAM}/{name}", name)

    def take(
        self,
        rows: slice | Tensor,
        inputs: Tensor | None = None,
        model: Predictor | None = None,
        context: Mapping[str, Tensor] | None = None,
    ) -> ProblemView:
        """The view of some samples, optionally with other inputs, another model or another context in their place.

        Draws, targets, truth and context stay those of the original samples, so that a perturbed copy is
        explained with the random numbers of its original.
        """
        chosen = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        return replace(
            self,
            model=self.model if model is None else model,
            inputs=self.inputs[rows] if inputs is None else inputs,
            targets=self.targets[rows],
            digests=tuple(map(self.digests.__getitem__, chosen)),
            foils=None if self.foils is None else self.foils[rows],
            clusters=None if self.clusters is None else tuple(map(self.clusters.__getitem__, chosen)),
            labels=None if self.labels is None else self.labels[rows],
            truth=None if self.truth is None else self.truth[rows],
            context=context_rows(self.context, rows) if context is None else context,
            sizes=None if self.sizes is None else self.sizes[rows],
        )


@dataclass(frozen=True)
class Problem:
    """A materialised problem, named ``dataset/model``.

    Attributes
    ----------
    samples : Samples
        The selected test samples; ``samples.seed`` is set per unit.
    fingerprint : str
        Content digest of weights, data and sample selection.
    capabilities : frozenset of str
        Which needs of explainers and metrics this problem meets.
    truth : Truth or None
    gates : tuple of Gate
    retraining : Retraining or None
        The whole data set and how the model is fitted, for metrics that retrain.
    pairs : mapping of str to tuple of Pair
        The samples seen otherwise, by the need that this meets.
    info : dict
        What was found out on the way, as plain values; ``model`` holds the `ModelFacts` of a first look.
    lacking : mapping of str to str
        Needs that models of this kind usually meet and this one does not, and why.
    """

    dataset: str
    model: str
    samples: Samples
    fingerprint: str
    capabilities: frozenset[str]
    truth: Truth | None = None
    gates: tuple[Gate, ...] = ()
    retraining: Retraining | None = None
    pairs: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.model}"

    @property
    def gate_passed(self) -> bool:
        return all(g.passed for g in self.gates)

    def view(self, seed: int, *, needs: Iterable[str] = ()) -> ProblemView:
        """The view for one explainer with one seed."""
        shown = self.truth if sees_truth(needs) else None
        if shown is not None and shown.distractors is not None:
            shown = replace(shown, distractors=None)
        given = {f.name: getattr(self.samples, f.name) for f in fields(Samples)}
        return ProblemView(**{**given, "seed": seed}, truth=shown)

"""A model and its inputs as a problem: wrapped once, explained and scored many times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from xaibench.api.arguments import failures_as_usage_errors, find_component, require_choice, require_whole
from xaibench.api.assembling import assemble_problem
from xaibench.api.attributions import Attributions, origin_of
from xaibench.api.background import meant
from xaibench.api.choosing import ExplainWith, choose_explainer
from xaibench.api.inputs import ArrayLike, require_needs
from xaibench.api.pairs import PairsArgument
from xaibench.api.retraining import RetrainWith
from xaibench.api.scored_explanation import explanation_to_score
from xaibench.core import registry, scoring
from xaibench.core.components import ATTRIBUTION_KINDS, AttributionKind, MetricSpec
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.feature_groups import ColumnGroups
from xaibench.core.features import FeatureKind
from xaibench.core.outputs import OUTPUTS, GivenReturns, Output
from xaibench.core.tokens import Tokens
from xaibench.core.truth import TruthKind
from xaibench.core.types import Array

if TYPE_CHECKING:
    import pandas as pd


class Problem:
    """A fitted model with inputs to explain: wrapped once, explained and scored many times.

    What metrics evaluate regardless of the explanation is evaluated once for all explainers, as in a
    suite. The model must not change while its problem lives; a torch module that did is noticed.

    Parameters
    ----------
    model : torch.nn.Module, fitted scikit-learn estimator, or callable (N, ...) -> (N, C)
        A module in training mode is copied as it is now, and evaluated in evaluation mode.
    inputs : array or Tensor (N, *input_shape), or DataFrame
    targets : array or Tensor (N,) of int, int, str, array (N, C) of bool, list of sets, optional
        Output column to explain, by number or name; the predicted class by default. See `xaibench.explain`.
    foils : array or Tensor (N,) of int, int, str, optional
        Output column that the target is contrasted with; ``"runner_up"``: the largest other one.
    class_names : sequence of str, optional
        Names of the output columns.
    background : array or Tensor (M, *input_shape), optional
        Reference samples, usually training data.
    background_labels : array (M,) of int or of names, optional
        Their true classes.
    truth : array or Tensor (N, *features), optional
        For ground-truth metrics and the oracle: a mask (booleans or integers) or weights (floats).
    truth_kind : {"model", "data"}
        What the truth is about: what the model uses, or what is related to the target in the data.
    labels : array (N,) of int or of names, optional
        True class of every input.
    distractors : array or Tensor (N, *features) of bool, optional
        Features that look as if they mattered and do not. No explainer is shown them.
    pairs, retrain, train, context, background_context, special_tokens, embedding, feature_groups, categorical_features
        See `xaibench.score` and `xaibench.explain`.
    features : {"image", "volume", "table", "series", "tokens", "edges", "nodes", "node_features"}, optional
        What the axes mean, where the shape leaves doubt.
    axes : str, optional
        Their order, a letter for each: ``"NTC"`` or ``"NCT"`` of series, ``"NCHW"`` or ``"NHWC"`` of images.
    output : {"logit", "probability", "margin", "contrast", "value"}, optional
        The number that is explained; by default what the model returns.
    returns : {"logit", "binary_logit", "multilabel_logit", "probability", ..., "value"}, optional
        What the model's numbers are, where its outputs do not show it: a module gives logits, a callable
        probabilities.
    batch_size, device
        Never change a result beyond rounding.
    name : str, optional
        ``DATASET/MODEL``, for the columns of tables; by default ``inputs`` and the class of the model.

    Raises
    ------
    UsageError
        If an argument has a wrong type, shape or name, or the model does not take the inputs.
    UnsupportedError
        If the model cannot give this output.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    >>> model = lambda a: np.stack([a @ [2.0, -1.0, 0.0], a @ [0.0, 0.0, 0.0]], axis=1)
    >>> problem = xb.Problem(model, x, returns="logit", background=x)
    >>> maps = problem.explain("kernel_shap", n_samples=64)
    >>> problem.score("pixel_flipping", maps).shape
    (16,)
    """

    def __init__(
        self,
        model: Any,
        inputs: ArrayLike,
        targets: ArrayLike | None = None,
        *,
        foils: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        background: ArrayLike | None = None,
        background_labels: ArrayLike | None = None,
        truth: ArrayLike | None = None,
        truth_kind: TruthKind = "model",
        labels: ArrayLike | None = None,
        distractors: ArrayLike | None = None,
        pairs: PairsArgument | None = None,
        retrain: RetrainWith | None = None,
        train: tuple[ArrayLike, ArrayLike] | None = None,
        context: Mapping[str, ArrayLike] | None = None,
        background_context: Mapping[str, ArrayLike] | None = None,
        special_tokens: Tokens | None = None,
        embedding: nn.Embedding | Tensor | str | None = None,
        feature_groups: ColumnGroups | None = None,
        categorical_features: Sequence[str | int] = (),
        features: FeatureKind | None = None,
        axes: str | None = None,
        output: Output | None = None,
        returns: GivenReturns | None = None,
        batch_size: int | None = None,
        device: str | torch.device = "cpu",
        name: str | None = None,
    ) -> None:
        self._shared = assemble_problem(
            model,
            inputs,
            targets,
            background=background,
            background_labels=background_labels,
            truth=truth,
            truth_kind=truth_kind,
            labels=labels,
            distractors=distractors,
            pairs=pairs,
            retrain=retrain,
            train=train,
            context=context,
            background_context=background_context,
            special_tokens=special_tokens,
            embedding=embedding,
            feature_groups=feature_groups,
            categorical_features=categorical_features,
            features=features,
            axes=axes,
            output=output,
            returns=returns,
            batch_size=batch_size,
            device=device,
            name=name,
            foils=foils,
            class_names=class_names,
        )

    def __len__(self) -> int:
        return len(self._shared.prepared.samples)

    def __repr__(self) -> str:
        samples = self._shared.prepared.samples
        return (
            f"Problem({self._shared.prepared.name!r}, {len(self)} {samples.layout.kind} inputs of shape "
            f"{samples.layout.input_shape}, output {samples.output!r})"
        )

    @property
    def targets(self) -> Array:
        """Output column that is explained, (N,) of int64."""
        found: Array = self._shared.prepared.samples.targets.cpu().numpy()
        return found

    @property
    def rows(self) -> Array:
        """Input that every sample is of, (N,) of int64: each its own, unless several labels of it are explained."""
        return self._shared.rows

    def explain(
        self,
        explainer: ExplainWith | None = None,
        /,
        *,
        kind: AttributionKind | None = None,
        seed: int = 0,
        **params: Any,
    ) -> Attributions:
        """Explain the model's outputs.

        Parameters
        ----------
        explainer : str or callable (model, inputs, targets) -> attributions
            A name, `components` ("explainer") lists them, or a function. It is given the module itself, or for a
            black box a function of tensors. A second ``explainer=`` is a parameter, as `temporal_rescaling` has.
        kind : {"slope", "contribution", "saliency"}, optional
            What the numbers of a function mean; by default ``"contribution"``.
        seed : int
        **params
            Parameters of the explainer.

        Returns
        -------
        Attributions (N, *features)

        Raises
        ------
        UsageError
            If a name, a parameter or what the function returns is wrong.
        UnsupportedError
            If the explainer cannot work on this model or these data.
        """
        if explainer is None and (explainer := params.pop("explainer", None)) is None:
            raise UsageError("there is no explainer", 'xb.components("explainer") lists them')
        chosen = choose_explainer(explainer, params, kind, self._shared.everything())
        require_whole("seed", seed)
        self._shared.require_unchanged()
        return self._shared.explain(chosen, seed)

    def score(
        self,
        metric: str,
        attributions: ArrayLike | None = None,
        *,
        explain: ExplainWith | None = None,
        explainer_params: Mapping[str, Any] | None = None,
        kind: AttributionKind | None = None,
        output: Output | None = None,
        seed: int = 0,
        **params: Any,
    ) -> Array:
        """Score an explanation of every sample.

        Parameters
        ----------
        metric : str
            `components` ("metric") lists them.
        attributions : array or Tensor (N, *features), optional
            What is scored; without them, what ``explain`` gives. `Attributions` are explained again, where the
            metric does so, with the parameters that made them.
        explain : str or callable, optional
            What makes attributions that are a plain array. It must give them, but for rounding.
        explainer_params : mapping, optional
            Parameters that it made them with.
        kind : {"slope", "contribution", "saliency"}, optional
            What a plain array means; by default what the named explainer declares, else ``"contribution"``.
        output : str, optional
            Measure another output than the metric's rule says.
        seed : int
            Of the metric's draws.
        **params
            Parameters of the metric.

        Returns
        -------
        array (N,), float32
            NaN where the score is not defined. A metric of scope ``dataset`` gives one number per repeat
            instead, (R,).

        Raises
        ------
        UsageError
            If a name, a parameter or a shape is wrong, or the attributions are not what the explainer gives.
        UnsupportedError
            If the metric cannot work on this model, these data or this kind of explanation.
        """
        spec = cast(MetricSpec, find_component("metric", metric))
        bound = spec.bind(meant(spec, params, self._shared.everything()))
        require_choice("output", output, OUTPUTS)
        require_choice("kind", kind, ATTRIBUTION_KINDS)
        require_whole("seed", seed)
        origin = origin_of(attributions)
        self._require(spec, explains=explain is not None or (origin is not None and origin.spec is not None))
        ev = explanation_to_score(
            self._shared,
            attributions,
            explain,
            explainer_params,
            kind,
            seed,
            explains_again="reexplain" in spec.needs,
        )
        with failures_as_usage_errors(f"metric {spec.name!r} failed"):
            found: Array = scoring.score(spec, bound, self._shared.seen_by(spec, ev), output=output).values.numpy()
        return found

    def curve(
        self,
        metric: str,
        attributions: ArrayLike,
        *,
        kind: AttributionKind | None = None,
        output: Output | None = None,
        seed: int = 0,
        **params: Any,
    ) -> Array:
        """The curve behind a metric such as ``pixel_flipping``, start point included.

        Parameters are those of `Problem.score`; the curve of a random order is that of the explainer ``random``.

        Returns
        -------
        array (N, points), float32
            One point per step and one for the start; the ROAD metrics have one per share. NaN for
            samples whose attributions are not finite.

        Raises
        ------
        UsageError
            If the metric has no curve, or a name, a parameter or a shape is wrong.
        UnsupportedError
            If the metric cannot work on this model or these data.
        """
        spec = cast(MetricSpec, find_component("metric", metric))
        if spec.curve is None:
            known = [s.name for s in registry.components("metric") if cast(MetricSpec, s).curve is not None]
            raise UsageError(f"{metric!r} has no curve", did_you_mean(metric, known))
        bound = spec.bind(meant(spec, params, self._shared.everything()))
        require_choice("output", output, OUTPUTS)
        require_choice("kind", kind, ATTRIBUTION_KINDS)
        require_whole("seed", seed)
        self._require(spec, explains=False)
        ev = explanation_to_score(self._shared, attributions, None, None, kind, seed, explains_again=False)
        with failures_as_usage_errors(f"metric {spec.name!r} failed"):
            found: Array = scoring.curve(spec, bound, self._shared.seen_by(spec, ev), output=output).numpy()
        return found

    def evaluate(
        self,
        explainers: Iterable[Any],
        metrics: Iterable[Any],
        *,
        controls: bool = True,
        seeds: int | Iterable[int] = 0,
        random_draws: int = 10,
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """Score several explainers with several metrics, beside the controls, as a suite does.

        Parameters
        ----------
        explainers : iterable of str, (str, dict), (str, array), callable or Attributions
            Names, names with parameters, functions (model, inputs, targets) -> attributions, maps (N, *features)
            that were made elsewhere under a name of their own, and what `explain` or `Attributions` gave. Maps with
            a number per channel are summed.
        metrics : iterable of str or (str, dict)
            Names, or names with parameters; ``output`` among them measures another output than the metric's rule.
        controls : bool
            Add the controls that are not named: an explainer that does not beat the placebos among them explains
            nothing.
        seeds : int or iterable of int
        random_draws : int
            Draws of the control ``random``, where the skill needs several.
        progress : bool, optional
            By default in terminals and notebooks only.

        Returns
        -------
        DataFrame
            A row per sample (per repeat, where a metric scores the whole data set), with the columns of
            `results` and ``sample``, ``sample_id``, ``score`` in the place of its lists. A cell without scores
            has one row, whose ``status`` and ``message`` say why. `leaderboard` makes a board of it.

        Raises
        ------
        UsageError
            If a name or a parameter is wrong, or two explainers have the same name and parameters.

        Warns
        -----
        UserWarning
            If cells have failed.
        """
        from xaibench.api.evaluating import evaluate

        self._shared.require_unchanged()
        return evaluate(
            self._shared,
            explainers,
            metrics,
            controls=controls,
            seeds=seeds,
            random_draws=random_draws,
            progress=progress,
        )

    def recommend(self, store: str | Path | None = None) -> pd.DataFrame:
        """List the explainers that apply to this model, and what the leaderboards of a store say; see `recommend`."""
        from xaibench.api.recommending import recommend_for

        return recommend_for(self._shared, store)

    def _require(self, spec: MetricSpec, *, explains: bool) -> None:
        """Raise what is wrong before anything is computed: a changed model, a need that is not met."""
        self._shared.require_unchanged()
        prepared = self._shared.prepared
        retrains = prepared.retraining is not None
        require_needs(spec, self._shared.everything(), explains=explains, retrains=retrains, pairs=prepared.pairs)

"""Explaining and scoring arrays, without a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from xaibench.api.inputs import ArrayLike, ExplainWith, make_evaluation, make_view, require_needs, with_distractors
from xaibench.api.pairs import PairsArgument, make_labels, make_pairs
from xaibench.api.retraining import RetrainWith, make_retraining
from xaibench.core import registry, scoring
from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.types import Array


def explain(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    seed: int = 0,
    features: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """Explain a model's outputs.

    Parameters
    ----------
    name : str
        An explainer; `components` ("explainer") lists them.
    model : torch.nn.Module, fitted scikit-learn estimator, or callable (N, ...) -> (N, C)
    inputs : array or Tensor (N, *input_shape)
    targets : array or Tensor (N,) of int, optional
        Output column to explain; the predicted class by default.
    seed : int
    features : {"image", "table", "series", "tokens"}, optional
        What the axes mean, where the shape leaves doubt.
    output : {"logit", "probability", "margin", "value"}, optional
        The number that is explained; by default what the model returns.
    returns : {"logit", "multilabel_logit", "probability", "value"}, optional
        What the model's numbers are: scores of classes, scores of independent labels (the argument of a sigmoid
        each), probabilities, or values. By default the outputs decide; where they leave doubt, a warning says so.
    background : array or Tensor (M, *input_shape), optional
        Reference samples.
    truth : array or Tensor (N, *features), optional
        For the oracle: a mask (booleans or integers) or weights (floats).
    batch_size, device
        Never change a result beyond rounding.
    **params
        Parameters of the explainer.

    Returns
    -------
    array (N, *features), float32

    Raises
    ------
    UsageError
        If a name, a parameter or a shape is wrong.
    UnsupportedError
        If the explainer cannot work on this model or these data.

    Examples
    --------
    The contributions of a linear model to its first output:

    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a @ [2.0, -1.0], a @ [0.0, 0.0]], axis=1)
    >>> xb.explain("feature_ablation", model=model, returns="logit", inputs=np.ones((1, 2)), targets=[0]).tolist()
    [[2.0, -1.0]]
    """
    view = make_view(model, inputs, targets, seed, features, output, returns, background, truth, batch_size, device)
    spec = cast(ExplainerSpec, registry.get("explainer", name))
    require_needs(spec, view)
    function = scoring.explain_function(spec, spec.bind(params))
    return scoring.explain(function, view, f"explain/{spec.name}").cpu().numpy()


def score(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    attributions: ArrayLike | None = None,
    explain: ExplainWith | None = None,
    kind: str | None = None,
    truth: ArrayLike | None = None,
    seed: int = 0,
    features: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    retrain: RetrainWith | None = None,
    train: tuple[ArrayLike, ArrayLike] | None = None,
    labels: ArrayLike | None = None,
    distractors: ArrayLike | None = None,
    pairs: PairsArgument | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """Score an explanation; nothing is cached between calls.

    Parameters
    ----------
    name : str
        A metric; `components` ("metric") lists them.
    attributions : array or Tensor (N, *features), optional
        What is scored. Without them, what ``explain`` gives.
    explain : str or callable (model, inputs, targets) -> attributions, optional
        Explains again, for metrics that need it. With ``attributions`` it serves only that.
    kind : {"slope", "contribution", "saliency"}, optional
        What the attributions mean; by default what the named explainer declares, else
        ``"contribution"``. Metrics of contributions turn slopes into them.
    truth : array or Tensor (N, *features), optional
        A mask or weights, for ground-truth metrics.
    output : str, optional
        The number that is explained and measured; removal curves use the probability by default.
    retrain : callable (inputs, targets, seed) -> model, optional
        Fits the model from scratch to arrays (M, *input_shape) and (M,), for metrics that retrain.
        The global random generators are seeded around every call and then put back. ``targets``
        must be the labels of ``inputs``, which serve as test data.
    train : tuple of array (M, *input_shape) and array (M,) of int, optional
        The data that the model was fitted to: inputs and labels.
    labels : array or Tensor (N,) of int, optional
        True class of every input, where a metric asks what the model gets right; ``targets`` say what is explained.
    distractors : array or Tensor (N, *features) of bool, optional
        Features that look as if they mattered and do not. No explainer is shown them.
    pairs : dict, optional
        The inputs seen otherwise, by the need of the metric. ``"model_pair.NAME"`` is a dictionary
        with the other ``model`` (and ``returns``, where that is not plain) and its ``labels``,
        ``"input_pair.NAME"`` one with the other ``inputs``, in the same order, and their
        ``labels``, by default those of the inputs themselves. Several pairs of one need are a list,
        each with its ``level``; one with a level only stands for ``model`` itself. The oracle asks
        for the ``truth`` of each pair, as ``truth`` above.
    **params
        Parameters of the metric; the others are those of `explain`.

    Returns
    -------
    array (N,), float32
        NaN where the score is not defined. A metric of scope ``dataset`` gives one number per
        repeat instead, (R,).

    Raises
    ------
    UsageError
        If a name, a parameter or a shape is wrong.
    UnsupportedError
        If the metric cannot work on this model, these data or this kind of explanation.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a @ [2.0, -1.0], a @ [0.0, 0.0]], axis=1)
    >>> given = dict(model=model, returns="logit", inputs=np.ones((1, 2)), targets=[0], baseline="zero")
    >>> xb.score("completeness", attributions=[[2.0, -1.0]], **given).tolist()
    [0.0]
    """
    view = make_view(model, inputs, targets, seed, features, output, returns, background, truth, batch_size, device)
    if labels is not None:
        view = replace(view, labels=make_labels(view, labels, view.model))
    if distractors is not None:
        view = with_distractors(view, distractors)
    spec = cast(MetricSpec, registry.get("metric", name))
    ev = make_evaluation(view, attributions, explain, kind)
    known = {} if pairs is None else make_pairs(view, pairs, returns)
    ev = replace(ev, pairs=known)
    if retrain is not None or train is not None:
        ev = replace(ev, retraining=make_retraining(view, inputs, targets, retrain, train, returns))
    require_needs(spec, view, explains=explain is not None, retrains=retrain is not None, pairs=known)
    return scoring.score(spec, spec.bind(params), ev, output=output).values.numpy()


def curve(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    attributions: ArrayLike,
    seed: int = 0,
    features: str | None = None,
    output: str | None = None,
    returns: str | None = None,
    background: ArrayLike | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """The curve behind a metric such as ``pixel_flipping``, start point included.

    Parameters are those of `score`; attributions are ordered as they are. The curve of a random
    order is that of the explainer ``random``.

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

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a @ [2.0, -1.0], a @ [0.0, 0.0]], axis=1)
    >>> given = dict(model=model, returns="logit", inputs=np.ones((1, 2)), targets=[0], masker="zero", output="logit")
    >>> xb.curve("pixel_flipping", attributions=[[2.0, -1.0]], steps=2, **given).tolist()
    [[1.0, -1.0, 0.0]]
    """
    spec = cast(MetricSpec, registry.get("metric", name))
    if spec.curve is None:
        known = [s.name for s in registry.components("metric") if cast(MetricSpec, s).curve is not None]
        raise UsageError(f"{name!r} has no curve", did_you_mean(name, known))
    view = make_view(model, inputs, targets, seed, features, output, returns, background, None, batch_size, device)
    require_needs(spec, view)
    ev = make_evaluation(view, attributions, None, None)
    return scoring.curve(spec, spec.bind(params), ev, output=output).numpy()

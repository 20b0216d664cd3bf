"""Explaining and scoring arrays in single calls: a problem that is made for one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from xaibench.api.attributions import Attributions
from xaibench.api.choosing import ExplainWith
from xaibench.api.inputs import ArrayLike
from xaibench.api.pairs import PairsArgument
from xaibench.api.problem import Problem
from xaibench.api.retraining import RetrainWith
from xaibench.api.unused_background import say_if_background_is_unused
from xaibench.core.components import AttributionKind
from xaibench.core.feature_groups import ColumnGroups
from xaibench.core.features import FeatureKind
from xaibench.core.outputs import GivenReturns, Output
from xaibench.core.tokens import Tokens
from xaibench.core.types import Array


def explain(
    name: ExplainWith,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    foils: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    features: FeatureKind | None = None,
    axes: str | None = None,
    output: Output | None = None,
    returns: GivenReturns | None = None,
    background: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    context: Mapping[str, ArrayLike] | None = None,
    background_context: Mapping[str, ArrayLike] | None = None,
    special_tokens: Tokens | None = None,
    embedding: nn.Embedding | Tensor | str | None = None,
    feature_groups: ColumnGroups | None = None,
    categorical_features: Sequence[str | int] = (),
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Attributions:
    """Explain a model's outputs; `Problem` wraps the model once for several calls.

    Parameters
    ----------
    name : str or callable (model, inputs, targets) -> attributions
        An explainer; `components` ("explainer") lists them.
    model : torch.nn.Module, fitted scikit-learn estimator, or callable (N, ...) -> (N, C)
    inputs : array, Tensor (N, *input_shape) or DataFrame
        A data frame goes to the model as a frame, by the names of its columns.
        For a model with several inputs a tuple in the order of its parameters, or a dictionary by their
        names: the first one is explained, the others are held fixed (see ``context``). Series of different
        lengths are a list of arrays. Texts are strings, for a model made by `text_model`; or token ids (N, L) with -1
        behind the end, a list of lists of ids, or pieces of words (N, W, P).
    targets : array or Tensor (N,) of int or str, int, str, array (N, C) of bool, list of sets, optional
        Output column to explain, by number or by name; the predicted class by default. One for all samples, one for
        each, or, of a model of independent labels, all that are explained of each: there is then a map for every label
        of every sample, one after the other.
    foils : array or Tensor (N,) of int or str, int, str, optional
        Explain why the target and not this output: the difference of the two (``output="contrast"``). ``"runner_up"``
        is the largest other output of the sample.
    class_names : sequence of str, optional
        Names of the output columns; by default the ``classes_`` of an estimator.
    seed : int
    features : {"image", "volume", "table", "series", "tokens", "edges", "nodes", "node_features"}, optional
        What the inputs are, where the shape leaves doubt. Of graphs it says what is explained: edges, whose inputs are
        weights (N, E), or nodes (N, n, F), with the rest of the graph as context (see docs/how-to/graphs.md).
    axes : str, optional
        A letter for each axis of the inputs: ``"NTC"`` (time, then sensors) or ``"NCT"`` of series,
        ``"NCHW"`` or ``"NHWC"`` of images, ``"NCDHW"`` of volumes. Attributions have the axes of the
        inputs, without channels of images and volumes.
    output : {"logit", "probability", "margin", "contrast", "value"}, optional
        The number that is explained; by default what the model returns.
    returns : str, optional
        What the model's numbers are: ``logit`` or ``probability`` of classes, ``multilabel_logit`` or
        ``multilabel_probability`` of independent labels, ``binary_logit`` or ``binary_probability`` of class 1 of two
        in a single column, or ``value``. By default the outputs decide; where they leave doubt, a warning says so.
    background : array or Tensor (M, *input_shape), optional
        Reference samples. Explainers that remove columns of a table put those of a drawn reference
        sample in their place (``masker="marginal"``) unless a masker is named; where nothing uses
        them, an `UnusedBackgroundWarning` says so.
    truth : array or Tensor (N, *features), optional
        For the oracle: a mask (booleans or integers) or weights (floats).
    context : dict of str to array (N, ...), optional
        What goes to the model beside the inputs, by the names of its parameters: ``model(inputs, **context)``.
        Every changed copy of a sample comes with the context of that sample, which is never explained.
    background_context : dict of str to array (M, ...), optional
        The same of the reference samples, for components that evaluate the model there.
    special_tokens : Tokens, optional
        Of token ids: the symbols for a hidden, an empty and an unknown token, and what stands around every text.
        Maskers are then ``mask``, ``pad``, ``unk``, ``delete`` and ``unigram``; the default is the first of ``mask``,
        ``pad`` and ``delete`` that there is.
    embedding : torch.nn.Embedding or str, optional
        Of a model of token ids: where it looks them up, or the name of that module; found where it can be. The model
        is then differentiated in embeddings.
    feature_groups : dict of str to columns, or list of columns, optional
        Of a table: columns that are one feature, such as one-hot blocks, by label or number; the other columns are
        features of their own. Attributions have a number per group, the groups in the order of their first columns.
    categorical_features : sequence of str or int, optional
        Columns of numbers that are names, such as codes. Columns of text, pandas categoricals and what a scikit-learn
        pipeline encodes are known as such.
    batch_size, device
        Never change a result beyond rounding.
    **params
        Parameters of the explainer.

    Returns
    -------
    Attributions (N, *features), float32
        An array that knows its explainer, parameters, kind and seed. Of samples of different lengths as long as
        the longest, NaN behind the end of the others.

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
    problem = Problem(
        model,
        inputs,
        targets,
        foils=foils,
        class_names=class_names,
        features=features,
        axes=axes,
        output=output,
        returns=returns,
        background=background,
        truth=truth,
        context=context,
        background_context=background_context,
        special_tokens=special_tokens,
        embedding=embedding,
        feature_groups=feature_groups,
        categorical_features=categorical_features,
        batch_size=batch_size,
        device=device,
    )
    made = problem.explain(name, seed=seed, **params)
    say_if_background_is_unused(problem, attributions=made)
    return made


def score(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    foils: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    attributions: ArrayLike | None = None,
    explain: ExplainWith | None = None,
    explainer_params: Mapping[str, Any] | None = None,
    kind: AttributionKind | None = None,
    truth: ArrayLike | None = None,
    seed: int = 0,
    features: FeatureKind | None = None,
    axes: str | None = None,
    output: Output | None = None,
    returns: GivenReturns | None = None,
    background: ArrayLike | None = None,
    retrain: RetrainWith | None = None,
    train: tuple[ArrayLike, ArrayLike] | None = None,
    labels: ArrayLike | None = None,
    distractors: ArrayLike | None = None,
    pairs: PairsArgument | None = None,
    context: Mapping[str, ArrayLike] | None = None,
    background_context: Mapping[str, ArrayLike] | None = None,
    special_tokens: Tokens | None = None,
    embedding: nn.Embedding | Tensor | str | None = None,
    feature_groups: ColumnGroups | None = None,
    categorical_features: Sequence[str | int] = (),
    batch_size: int | None = None,
    device: str = "cpu",
    **params: Any,
) -> Array:
    """Score an explanation; nothing is cached between calls, unlike those of a `Problem`.

    Parameters
    ----------
    name : str
        A metric; `components` ("metric") lists them.
    attributions : array or Tensor (N, *features), optional
        What is scored. Without them, what ``explain`` gives. `Attributions`, as `xaibench.explain` returns
        them, are explained again with the parameters and the seed that made them.
    explain : str or callable (model, inputs, targets) -> attributions, optional
        Explains again, for metrics that need it. With a plain array as ``attributions`` it serves only that,
        and must give this array, but for rounding. Where there is a ``context``, a callable is given it by this
        name, a row for every input.
    explainer_params : mapping, optional
        Parameters of ``explain``.
    kind : {"slope", "contribution", "saliency"}, optional
        What a plain array means; by default what the named explainer declares, else
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
    problem = Problem(
        model,
        inputs,
        targets,
        foils=foils,
        class_names=class_names,
        features=features,
        axes=axes,
        output=output,
        returns=returns,
        background=background,
        truth=truth,
        context=context,
        background_context=background_context,
        special_tokens=special_tokens,
        embedding=embedding,
        feature_groups=feature_groups,
        categorical_features=categorical_features,
        labels=labels,
        distractors=distractors,
        pairs=pairs,
        retrain=retrain,
        train=train,
        batch_size=batch_size,
        device=device,
    )
    found = problem.score(
        name,
        attributions,
        explain=explain,
        explainer_params=explainer_params,
        kind=kind,
        output=output,
        seed=seed,
        **params,
    )
    say_if_background_is_unused(
        problem, name, params, attributions=attributions, explain=explain, explainer_params=explainer_params
    )
    return found


def curve(
    name: str,
    *,
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None = None,
    foils: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    attributions: ArrayLike,
    seed: int = 0,
    features: FeatureKind | None = None,
    axes: str | None = None,
    output: Output | None = None,
    returns: GivenReturns | None = None,
    background: ArrayLike | None = None,
    context: Mapping[str, ArrayLike] | None = None,
    background_context: Mapping[str, ArrayLike] | None = None,
    special_tokens: Tokens | None = None,
    embedding: nn.Embedding | Tensor | str | None = None,
    feature_groups: ColumnGroups | None = None,
    categorical_features: Sequence[str | int] = (),
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
    problem = Problem(
        model,
        inputs,
        targets,
        foils=foils,
        class_names=class_names,
        features=features,
        axes=axes,
        output=output,
        returns=returns,
        background=background,
        context=context,
        background_context=background_context,
        special_tokens=special_tokens,
        embedding=embedding,
        feature_groups=feature_groups,
        categorical_features=categorical_features,
        batch_size=batch_size,
        device=device,
    )
    found = problem.curve(name, attributions, output=output, seed=seed, **params)
    say_if_background_is_unused(problem, name, params, attributions=attributions)
    return found

"""Explanations and predictions of paired samples; see `core.pairs`."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.features import raw_layout
from xaibench.core.groups import predict_groups
from xaibench.core.outputs import require_classes
from xaibench.core.pairs import Pair
from xaibench.metrics.engines.perturbation import clean_raw


def only_pair(ev: Evaluation, need: str) -> Pair:
    """The one pair of this need."""
    found = ev.pairs[need]
    if len(found) != 1:
        raise UnsupportedError(f"there are {len(found)} pairs {need}, and this metric takes one", "leave one")
    return found[0]


def pair_maps(ev: Evaluation, pair: Pair, name: str) -> Tensor:
    """Explanations of what is said about a pair, once for all metrics: the other model's, or of the other inputs.

    All samples are explained at once, as the first time: maps that look neither at the model nor at
    what has changed come out the same to the last bit.
    """

    def explain() -> Tensor:
        targets = ev.targets if pair.inputs is None else ev.targets[: len(pair.inputs)]
        if pair.model is not None:
            ev.refuse_foils("the other model is explained for the class that it predicts, which has none")
            targets = targets if ev.model.returns == "value" else pair_raw(ev, pair, name).argmax(dim=1)
        return ev.explain(ExplainRequest(pair=pair, targets=targets))

    maps: Tensor = ev.reuse(f"pair/{name}", explain)
    return maps


def pair_raw(ev: Evaluation, pair: Pair, name: str) -> Tensor:
    """Raw outputs (M, C) of the other model, or for the other inputs; once for all explainers."""

    def predict() -> dict[str, Tensor]:
        model = ev.model if pair.model is None else pair.model()
        inputs = ev.inputs if pair.inputs is None else pair.inputs
        if pair.sizes is not None:
            layout = raw_layout(tuple(inputs.shape[1:]))
            return {"raw": predict_groups(model, inputs, pair.sizes, layout, pair.context or None)}
        seen = replace(ev, model=model, context=ev.context if pair.context is None else pair.context)
        return {"raw": seen.predict(inputs, slice(0, len(inputs)))}

    return ev.shared.get(("pair", name), predict)["raw"].to(ev.inputs.device)


def true_labels(ev: Evaluation) -> Tensor:
    assert ev.labels is not None
    return ev.labels.to(ev.targets.device)


def own_is_right(ev: Evaluation) -> Tensor:
    """Where the model says the label, and that is what is explained (N,)."""
    require_classes(ev.model.returns, "this metric compares predicted classes")
    labels = true_labels(ev)
    return (clean_raw(ev).argmax(dim=1) == labels) & (ev.targets == labels)


def pair_is_right(ev: Evaluation, pair: Pair, name: str) -> Tensor:
    """Where what is said about a pair is what should be; without labels of its own, the samples' labels (N,)."""
    labels = true_labels(ev) if pair.labels is None else pair.labels.to(ev.targets.device)
    return pair_raw(ev, pair, name).argmax(dim=1) == labels

"""Consistency and sufficiency: do samples with the same explanation get the same prediction?

The population are the reference samples of the problem, each explained for the class that is
predicted there. So the score of a sample does not depend on which others are scored with it.
"""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional

from xaibench.core.evaluation import Evaluation
from xaibench.core.keys import row_digests, sample_digests
from xaibench.core.outputs import require_classes
from xaibench.core.problem import ProblemView
from xaibench.core.registry import metric
from xaibench.metrics.engines.explained_rows import explain_rows
from xaibench.metrics.engines.perturbation import clean_raw
from xaibench.metrics.maps.orders import TopK, top_size

_PAPER = "Dasgupta, Frost & Moshkovitz 2022, Framework for evaluating faithfulness of local explanations"


@metric(
    "consistency",
    family="faithfulness",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"reexplain", "background"},
    source=f"{_PAPER}, consistency; explanations made discrete by their top features and signs",
    undefined_for={"zero maps", "constant maps", "some inputs"},
    rewards_truth=False,  # samples with one explanation should share a prediction, be it right or wrong
)
def consistency(ev: Evaluation, *, k: TopK = 1) -> Tensor:
    """Share of the reference samples with the same discrete explanation that get the same prediction.

    Two explanations are the same if the k features of largest magnitude are the same and have the
    same signs, in any order. Ties go by position, so that equal maps are the same explanation.
    It depends only on differences between samples: an explainer whose maps are all equal, like a mask that
    never moves, scores the share of its class whether the mask is right or wrong.

    Parameters
    ----------
    k : int or float
        Number of features, or a share of them, rounded up. More than a few are rarely ever shared.

    Returns
    -------
    Tensor (N,)
        NaN where no reference sample shares the explanation; one that equals the sample itself
        does not count.

    Raises
    ------
    UnsupportedError
        If the model has no classes, or there are no reference samples.
    UsageError
        If there are fewer features than ``k``.
    """
    reference = explained_background(ev)
    size = top_size(k, ev.layout.n_features)
    found = torch.cat([_discrete(ev.attributions, size), _discrete(reference.attributions, size)])
    label = torch.unique(found, dim=0, return_inverse=True)[1]
    return _agreement(ev, reference, label[: len(ev)].unsqueeze(1) == label[len(ev) :])


@metric(
    "sufficiency_distance",
    family="faithfulness",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"reexplain", "background"},
    source=f"{_PAPER}, sufficiency; an explanation applies to all samples whose maps are near",
    undefined_for={"zero maps", "constant maps", "some inputs"},
    rewards_truth=False,  # samples with one explanation should share a prediction, be it right or wrong
)
def sufficiency_distance(ev: Evaluation, *, threshold: PositiveFloat = 0.5) -> Tensor:
    """Share of the reference samples with a similar map that get the same prediction.

    Similar is a cosine distance up to ``threshold``, so neither the scale of the maps nor the
    other samples play a role. As with `consistency`, an explainer whose maps are all equal scores
    the share of its class.

    Parameters
    ----------
    threshold : float
        Largest cosine distance, ``1 - cos``: 0 for maps of the same direction, 1 for unrelated
        ones, 2 for opposite ones. From 2 on, every explainer scores the share of the class.

    Returns
    -------
    Tensor (N,)
        NaN for an all-zero map, and where no reference sample has a similar one; one that equals
        the sample itself does not count.

    Raises
    ------
    UnsupportedError
        If the model has no classes, or there are no reference samples.
    """
    reference = explained_background(ev)
    own, others = (functional.normalize(e.attributions.flatten(1).double(), dim=1) for e in (ev, reference))
    near = 1 - own @ others.T <= threshold
    return _agreement(ev, reference, near & own.any(dim=1, keepdim=True) & others.any(dim=1))


def explained_background(ev: Evaluation) -> Evaluation:
    """The reference samples, each explained for its predicted class, once per explanation.

    Raises
    ------
    UnsupportedError
        If the model has no classes, or there are no reference samples.
    """
    background = ev.require_background("this metric needs a background")
    require_classes(ev.model.returns, "this metric compares predicted classes")
    ev.refuse_foils("this metric explains reference samples, which have none")

    def classes() -> dict[str, Tensor]:
        return {"classes": ev.predict_background().argmax(dim=1)}

    def explain() -> Evaluation:
        view = ProblemView(
            ev.model,
            background,
            ev.shared.get(("background",), classes)["classes"].to(background.device),
            ev.layout,
            ev.output,
            sample_digests(background.cpu().numpy(), {k: v.cpu().numpy() for k, v in ev.background_context.items()}),
            background,
            ev.seed,
            context=ev.background_context,
            background_context=ev.background_context,
        )
        return Evaluation.of(view, attributions=explain_rows(ev, view), kind=ev.kind)

    found: Evaluation = ev.reuse(f"background/{ev.output}", explain)
    return found


def _discrete(maps: Tensor, size: int) -> Tensor:
    """The ``size`` features of largest magnitude in rising order, with their signs (B, size) int64."""
    flat = maps.flatten(1)
    # A stable sort, not a draw per sample: two equal maps must be the same explanation.
    top = flat.abs().sort(dim=1, descending=True, stable=True).indices[:, :size].sort(dim=1).values
    return 3 * top + flat.gather(1, top).sign().long()


def _agreement(ev: Evaluation, reference: Evaluation, alike: Tensor) -> Tensor:
    """Share of the reference samples ``alike`` (N, M) that get the prediction of the sample, itself left out (N,)."""
    others = alike & ~_identical(ev.inputs, reference.inputs)
    same_class = clean_raw(ev).argmax(dim=1).unsqueeze(1) == reference.targets
    # 0 / 0 is NaN: no other sample to agree with.
    return (others & same_class).sum(dim=1).double() / others.sum(dim=1)


def _identical(inputs: Tensor, others: Tensor) -> Tensor:
    """Which of N inputs and M others are the same numbers (N, M)."""
    seen: dict[bytes, int] = {}
    numbers = [[seen.setdefault(d, len(seen)) for d in row_digests(x.cpu().numpy())] for x in (inputs, others)]
    own, theirs = (torch.tensor(n, device=inputs.device) for n in numbers)
    return own.unsqueeze(1) == theirs

"""What a second network says of the features that an explanation of the first one keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from annotated_types import Gt, Lt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import curve_output
from xaibench.core.registry import metric
from xaibench.core.retraining import retraining_seed
from xaibench.metrics.engines.explained_rows import retraining_of
from xaibench.metrics.engines.removal import counts_of_shares
from xaibench.metrics.maps.orders import ranked, ranks_of


@metric(
    "mask_transfer",
    family="faithfulness",
    construct="mask_transfer",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"retrain"},
    convert="order",
    source="Fong & Vedaldi 2017, Interpretable explanations of black boxes by meaningful perturbation, section 4.3: "
    "masks must not be artefacts of one network",
)
def mask_transfer(
    ev: Evaluation,
    *,
    share: Annotated[float, Gt(0), Lt(1)] = 0.1,
    masker: str = "mean",
    network: Literal["second", "own"] = "second",
) -> Tensor:
    """Probability of the explained class when only the top features are shown, to a second network of the recipe.

    Masks that are optimised against one network find inputs that only that network takes for the class. What is
    evidence convinces a network that was trained again, on the same data from another seed, too. Read it beside
    ``network = "own"``: a large difference is a mask that fits the network and not the picture.

    Parameters
    ----------
    share : float
        Share of the features that are shown, those with the largest attributions.
    masker : str
        What the others are set to; for optimised masks, the one that they were optimised with.
    network : {"second", "own"}
        Who is asked: the network that was trained again, one for all explainers, or the one that is explained.

    Returns
    -------
    Tensor (N,)

    Raises
    ------
    UnsupportedError
        If the model is not a classifier, or cannot be fitted again.
    """
    retraining = retraining_of(ev)
    shown = counts_of_shares(ev.layout.n_features, (share,))[0]
    keep = (ranks_of(ranked(ev, "signed")) < shown).view(-1, 1, *ev.layout.feature_shape)
    copies = ev.masker(masker).copies(slice(0, len(ev)), keep)
    asked = ev
    if network == "second":
        second = retraining.fit(retraining.data, retraining_seed("second network", ev.seed))
        asked = replace(ev, model=second)
    return asked.scores(copies, output=curve_output(asked.model.returns))

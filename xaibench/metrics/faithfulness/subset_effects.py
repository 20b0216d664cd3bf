"""Faithfulness correlation, mu-fidelity, sensitivity-n: sums of attributions against effects of removing subsets.

The perturbed samples do not depend on the attributions. The model is evaluated once per problem,
and its outputs are shared by all explainers.
"""

from __future__ import annotations

from functools import partial

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.exact_outputs import FLOAT32_ROUNDING, above, merged, rounding_of
from xaibench.metrics.engines.perturbation import Block, SharedCopies
from xaibench.metrics.maps.similarity import pearson, spearman

SUBSETS_VERSION = 2
"""Of the metrics, and of what is in the shared cache."""


# Skill is not valid: weights are the best possible answer for a linear model only, and a mask is a
# ground truth that scores like random here.
_subset_effects = partial(
    metric,
    family="faithfulness",
    construct="subset_effects",
    higher_is_better=True,
    bounds=(-1, 1),
    version=SUBSETS_VERSION,
    convert="contribution",
    undefined_for={"zero maps", "constant maps"},
    shares_evaluations=True,
    place_matters=True,  # subsets of places are drawn
)
"""Declares a metric of the construct ``subset_effects``."""


@_subset_effects(
    "faithfulness_correlation",
    source="Bhatt et al. 2020, Evaluating and aggregating feature-based model explanations, definition 4",
)
def faithfulness_correlation(
    ev: Evaluation, *, n_subsets: PositiveInt = 100, subset_size: PositiveInt | None = None, masker: str = "mean"
) -> Tensor:
    """Correlation, over random subsets, of the sum of attributions with the output's drop when the subset is removed.

    It is 1 for the contributions w (x - b) of a linear model, b being what the masker fills in.
    Slopes are turned into such contributions with the metric's own masker; contributions and
    unsigned maps are taken as they are.

    Parameters
    ----------
    n_subsets : int
        Random subsets per sample, the same for all explainers.
    subset_size : int, optional
        Features per subset; default a quarter of them, at least one.
    masker : str

    Returns
    -------
    Tensor (N,)
        NaN where the sums or the outputs do not vary: a constant map, a model that ignores the subsets.

    Raises
    ------
    UnsupportedError
        If there are fewer features than ``subset_size``.
    """
    masked, sums = _masked_and_sums(ev, n_subsets, subset_size or _quarter(ev), masker)
    # The drop is f(x) - f(masked); a correlation does not see the constant f(x).
    return -pearson(sums, masked)


@_subset_effects(
    "mu_fidelity",
    source="Fel et al. 2021, Look at the variance! (supplement, mu-fidelity), after Bhatt et al. 2020, definition 4",
)
def mu_fidelity(
    ev: Evaluation, *, n_subsets: PositiveInt = 100, subset_size: PositiveInt | None = None, masker: str = "mean"
) -> Tensor:
    """Rank correlation, over random subsets, of the sum of attributions with the drop of the output.

    Faithfulness correlation with Spearman's coefficient: outliers among the subsets count less, and
    so does a saturating output. Sums, or outputs, that are equal but for rounding tie: subsets repeat where
    there are few features. With equal parameters both share all model evaluations. Fel et al.
    take a fifth of the features and a zero baseline.

    Parameters
    ----------
    n_subsets : int
    subset_size : int, optional
        Features per subset; default a quarter of them, at least one.
    masker : str

    Returns
    -------
    Tensor (N,)
        NaN where the sums or the outputs do not vary.

    Raises
    ------
    UnsupportedError
        If there are fewer features than ``subset_size``.
    """
    masked, sums = _masked_and_sums(ev, n_subsets, subset_size or _quarter(ev), masker)
    masked = merged(masked, rounding_of(masked) * masked.abs().amax(dim=1))
    # Maps are float32, whatever they are summed in.
    return -spearman(merged(sums, FLOAT32_ROUNDING * ev.attributions.flatten(1).abs().amax(dim=1)), masked)


@_subset_effects(
    "sensitivity_n",
    source="Ancona et al. 2018, Towards better understanding of gradient-based attribution methods, section 4",
)
def sensitivity_n(
    ev: Evaluation,
    *,
    n_subsets: PositiveInt = 100,
    shares: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75),
    masker: str = "mean",
) -> Tensor:
    """Correlation of the sum of attributions with the drop of the output, averaged over sizes of random subsets.

    An explanation has the property sensitivity-n when its sum over every subset of n features is the
    drop of the output, and the correlation is then 1. Ancona et al. plot it against n, here the mean
    over several n is the score.

    Parameters
    ----------
    n_subsets : int
        Random subsets of every size.
    shares : tuple of float
        Sizes of the subsets, as shares of the features between 0 and 1, rounded down, but at least
        one feature and not all; sizes that coincide count once.
    masker : str

    Returns
    -------
    Tensor (N,)
        NaN where for one of the sizes the sums or the outputs do not vary.

    Raises
    ------
    UsageError
        If a share is not between 0 and 1.
    """
    n_features = ev.layout.n_features
    if not shares or not all(0 < s < 1 for s in shares):
        raise UsageError(f"shares must lie between 0 and 1, not {shares}")
    # The full set leaves nothing to correlate with: there is only one. Without the margin, .29 of 100 features
    # would be 28: the product is 28.999999999999996.
    sizes = sorted({min(max(1, int(s * n_features + 1e-9)), max(1, n_features - 1)) for s in shares})
    found = [_masked_and_sums(ev, n_subsets, size, masker) for size in sizes]
    return torch.stack([-pearson(sums, masked) for masked, sums in found]).mean(dim=0)


def _quarter(ev: Evaluation) -> int:
    return max(1, ev.layout.n_features // 4)


def _masked_and_sums(ev: Evaluation, n_subsets: int, size: int, masker: str) -> tuple[Tensor, Tensor]:
    """Outputs without random subsets of ``size`` features, and the sums of attributions in them (N, n_subsets)."""
    n_features = ev.layout.n_features
    if not 1 <= size <= n_features:
        raise UnsupportedError(f"subset_size must be between 1 and the {n_features} features, not {size}")
    flat = ev.attributions.flatten(1).double()
    mask = ev.masker(masker)

    def draw(block: Block) -> Tensor:
        return block.draws.subsets(n_features, size, (block.n_copies,))

    def build(block: Block, gone: Tensor) -> Tensor:
        return mask.copies(block.rows, ~gone.view(*gone.shape[:2], *ev.layout.feature_shape))

    def claim(block: Block, gone: Tensor) -> Tensor:
        return (gone.double() @ flat[block.rows].unsqueeze(2)).squeeze(2)

    # The stream keeps the name of the metric that drew these subsets first.
    stream = f"faithfulness_correlation/{size}"
    probes = SharedCopies(n_subsets, stream, draw, (SUBSETS_VERSION,), build=build, built=(masker,), exact=True)
    masked = probes.outputs(ev)
    # Metrics of subsets do not see a constant that is added to all outputs of a sample.
    return above(ev, masked, masked[:, :1]), probes.numbers(ev, claim)

"""Random logit (Sixt et al. 2020) and input invariance (Kindermans et al. 2019)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.registry import metric
from xaibench.metrics.maps.similarity import Similarity, similarity_to


@metric(
    "random_logit",
    family="sanity",
    higher_is_better=False,
    bounds=(-1, 1),
    needs={"reexplain"},
    source="Sixt et al. 2020, When explanations lie, section 4 (random logit)",
    undefined_for={"zero maps", "constant maps"},
)
def random_logit(ev: Evaluation, *, similarity: Similarity = "spearman") -> Tensor:
    """Similarity of the explanations of the target and of another class, drawn per sample.

    Where a contrast is explained, the other class is not the foil, and is contrasted with the same foil.

    Parameters
    ----------
    similarity : {"spearman", "abs_spearman", "pearson"}

    Returns
    -------
    Tensor (N,)
        NaN where one of the maps is constant or not finite.

    Raises
    ------
    UnsupportedError
        If the model has a single output, or two where they are contrasted.
    """
    n_classes = ev.predict(ev.inputs[:1], slice(0, 1)).shape[1]
    n_asked = 1 if ev.foils is None else 2
    if n_classes <= n_asked:
        what = "one output" if n_classes == 1 else "two outputs, which are contrasted"
        raise UnsupportedError(f"the model has {what}, so there is no other class to explain")
    step = 1 + ev.draws("random_logit").integers(n_classes - n_asked).to(ev.targets.device)
    if ev.foils is not None:
        step += step >= (ev.foils - ev.targets) % n_classes
    other = ev.explain(ExplainRequest(targets=(ev.targets + step) % n_classes))
    return similarity_to(ev.attributions.flatten(1), similarity)(other.flatten(1))


@metric(
    "input_invariance",
    family="sanity",
    higher_is_better=False,
    bounds=(0, None),
    needs={"reexplain"},
    source="Kindermans et al. 2019, The (un)reliability of saliency methods, section 2",
    undefined_for={"zero maps"},
)
def input_invariance(ev: Evaluation, *, shift: float = 1.0) -> Tensor:
    """Relative change of the explanation when all inputs, and the model with them, are shifted by a constant.

    ``||phi_2(x + c) - phi_1(x)||_2 / ||phi_1(x)||_2`` where the second model subtracts the constant
    first, so that it does exactly the same on shifted inputs. The background moves along: a baseline
    that is taken from the data moves with it, black does not. Copies are explained with the draws
    of their original.

    ``(x + c) - c`` differs from ``x`` by rounding, about 1e-7 times the larger of the two, which
    moves an invariant explanation by as little, unless it sits at an edge of the model. A power of
    two no larger than the inputs is best.

    Parameters
    ----------
    shift : float
        The constant, in input units.

    Returns
    -------
    Tensor (N,)
        0 for an invariant explanation. NaN for an all-zero map, and where rounding makes the outputs
        of the two models differ by more than 1e-4 relative and 1e-5 absolute.
    """
    ev.layout.require_no_categories("shifting all inputs", booleans=True)
    model, inputs = ev.model.shifted(shift), ev.inputs + shift
    background = None if ev.background is None else ev.background + shift
    again = ev.explain(ExplainRequest(model=model, inputs=inputs, background=background))
    own = ev.attributions.flatten(1).double()
    size = torch.linalg.vector_norm(own, dim=1)
    moved = torch.linalg.vector_norm(again.flatten(1).double() - own, dim=1)
    same = torch.isclose(replace(ev, model=model).predict(inputs), ev.predict(ev.inputs), rtol=1e-4, atol=1e-5).all(
        dim=1
    )
    return torch.where((size > 0) & same.to(size.device), moved / size, torch.nan)

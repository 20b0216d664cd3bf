"""What is scored, and what explains again: a caller's arrays, attributions and explainers put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch

from xaibench.api.attributions import Attributions, ExplanationOrigin, origin_of
from xaibench.api.choosing import ChosenExplainer, ExplainWith, choose_explainer
from xaibench.api.inputs import ArrayLike, as_attributions, require_needs
from xaibench.api.shared_problem import SharedProblem
from xaibench.core.components import AttributionKind
from xaibench.core.errors import UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import Explainer
from xaibench.core.keys import row_digests


def explanation_to_score(
    problem: SharedProblem,
    attributions: ArrayLike | None,
    explain: ExplainWith | None,
    explainer_params: Mapping[str, Any] | None,
    kind: AttributionKind | None,
    seed: int,
    *,
    explains_again: bool,
) -> Evaluation:
    """Put an evaluation together from attributions, an explainer, or both.

    Parameters
    ----------
    problem : SharedProblem
    attributions, explain, explainer_params, kind, seed
        As in `Problem.score`.
    explains_again : bool
        Whether the metric does so.

    Raises
    ------
    UsageError
        If there is nothing to score, the attributions are not of this problem, or the explainer does not
        give them.
    UnsupportedError
        If the explainer cannot work on this problem.
    """
    if explain is None and explainer_params is not None:
        raise UsageError("explainer_params= are those of explain=, which is not given", 'explain="smoothgrad"')
    chosen = (
        None
        if explain is None
        else choose_explainer(explain, explainer_params, kind if callable(explain) else None, problem.everything())
    )
    if chosen is not None:
        require_needs(chosen.spec, problem.view(chosen, seed))
    if attributions is None:
        if chosen is None:
            raise UsageError("there is nothing to score", "give attributions=, or explain=, an explainer")
        made = problem.explain(chosen, seed)
        origin = cast(ExplanationOrigin, origin_of(made))
        return _evaluation(problem, made, replace(origin, kind=kind or origin.kind), seed)
    values = as_attributions(problem.everything(), attributions)
    known = origin_of(attributions)
    if known is not None:
        problem.require_own(known)
        if kind is not None and kind != known.kind:
            raise UsageError(
                f"these attributions are of kind {known.kind!r}, not {kind!r}",
                "leave kind= out, or pass np.asarray(attributions)",
            )
        if chosen is None or chosen.same(known.spec, known.params if explainer_params is not None else None):
            return _evaluation(problem, values, known, seed, explains_again=explains_again)
    return _evaluation(
        problem,
        values,
        _origin(problem, values, chosen, kind, seed, check=explains_again),
        seed,
        explains_again=explains_again,
    )


def _origin(
    problem: SharedProblem,
    values: torch.Tensor,
    chosen: ChosenExplainer | None,
    kind: AttributionKind | None,
    seed: int,
    *,
    check: bool,
) -> ExplanationOrigin:
    """What a plain array is: what the explainer gives that the caller names, where it does, or of unknown origin."""
    maps = values.cpu().numpy()
    if chosen is None:
        return ExplanationOrigin("given", {}, kind or "contribution", row_digests(maps))
    if check:
        problem.require_reproduced(chosen, maps, seed)
    origin = problem.origin(chosen, seed, maps)
    return replace(origin, kind=kind or origin.kind)


def _evaluation(
    problem: SharedProblem,
    values: Attributions | torch.Tensor,
    origin: ExplanationOrigin,
    seed: int,
    *,
    explains_again: bool = True,
) -> Evaluation:
    if not isinstance(values, torch.Tensor):
        values = as_attributions(problem.everything(), values)
    explainer: Explainer | None = problem.explainer_of(origin) if explains_again else None
    return problem.evaluation(values, origin, seed, explainer)

"""The reference graphs of a problem as samples, in groups of equal numbers of edges and nodes."""

from __future__ import annotations

from xaibench.core.errors import UnsupportedError
from xaibench.core.groups import cut, groups, others_of, predict_groups
from xaibench.core.outputs import default_output
from xaibench.core.problem import ProblemView, Samples


def reference_graphs(problem: ProblemView) -> list[Samples]:
    """Samples of one size each, which together are all reference graphs; explained is the class that is predicted.

    Raises
    ------
    UnsupportedError
        If there are no reference graphs.
    """
    found = problem.references
    if found is None or len(found.values) == 0:
        raise UnsupportedError(
            "the explainer is trained on reference graphs", "pass background= and background_context="
        )
    raw = predict_groups(problem.model, found.values, found.sizes, found.layout, found.context)
    if default_output(problem.model.returns) == "value":
        targets = problem.targets[:1].expand(len(raw))
    else:
        targets = raw.argmax(dim=1)
    whole = Samples(
        problem.model,
        found.values,
        targets.to(problem.targets),
        found.layout,
        default_output(problem.model.returns),
        (b"",) * len(raw),
        seed=problem.seed,
        context=found.context,
        sizes=found.sizes,
    )
    others = others_of(found.layout, found.values, found.context)
    return [cut(whole, group, None) for group in groups(found.sizes, None, others)]

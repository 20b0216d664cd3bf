"""A caller's problem put together once: views for explainers, explanations, and evaluations that all share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.api.arguments import failures_as_usage_errors
from xaibench.api.attributions import Attributions, ExplanationOrigin, with_origin
from xaibench.api.choosing import ChosenExplainer
from xaibench.api.inputs import require_needs
from xaibench.api.raw_rows import behind_end
from xaibench.core import explaining
from xaibench.core.components import AttributionKind, MetricSpec
from xaibench.core.errors import UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.keys import array_digest, digest, row_digests, sample_digests
from xaibench.core.module_copies import is_compiled
from xaibench.core.problem import Problem as PreparedProblem
from xaibench.core.problem import ProblemView, Samples
from xaibench.core.tokens import text_widths
from xaibench.core.types import Array
from xaibench.execution.unit import ProblemCaches
from xaibench.models.adapters import fingerprint

RELATIVE_ROUNDING, ABSOLUTE_ROUNDING = 1e-4, 1e-6
"""Maps that differ by less, relative to the largest number of a map or absolutely, are equal but for rounding."""


class SharedProblem:
    """A prepared problem with what explanations and metrics of it share.

    Attributes
    ----------
    prepared : PreparedProblem
    selection : str
        Which samples, what is explained of them, and against how many reference samples.
    rows : array (N,) of int64
        Input that every sample is of.
    weights : str
        Digest of the weights of a torch module, empty for a black box.
    """

    def __init__(self, prepared: PreparedProblem, selection: str, rows: Tensor | None = None) -> None:
        self.prepared = prepared
        self.rows: Array = np.arange(len(prepared.samples)) if rows is None else _numpy(rows)
        self.selection = selection
        self.weights = digest_of_weights(prepared.samples)
        self.samples = _digests_of_inputs(prepared.samples)
        self.targets = _asked(prepared.samples)
        self._caches = ProblemCaches(prepared, None)
        self._latest: tuple[Any, Evaluation] | None = None

    def view(self, chosen: ChosenExplainer, seed: int) -> ProblemView:
        """What an explainer may see."""
        return self.prepared.view(seed, needs=chosen.spec.needs)

    def everything(self) -> ProblemView:
        """What metrics may see."""
        return replace(self.prepared.view(0), truth=self.prepared.truth)

    def require_unchanged(self) -> None:
        """Raise UsageError if the weights are others than when the problem was made."""
        if digest_of_weights(self.prepared.samples) != self.weights:
            raise UsageError(
                "the model has changed since this problem was made", "make a new Problem of the model as it is now"
            )

    def explainer(
        self, chosen: ChosenExplainer, seed: int, *, output: str | None = None, stream: str | None = None
    ) -> explaining.Explainer:
        """What explains these samples, and explains them again."""
        view = self.view(chosen, seed)
        if output is not None and output != view.output:
            view = replace(view, output=output)
        return explaining.Explainer(
            explaining.explain_function(chosen.spec, chosen.params), view, stream or chosen.stream
        )

    def explain(self, chosen: ChosenExplainer, seed: int) -> Attributions:
        """Explain, and note what has done so."""
        require_needs(chosen.spec, self.view(chosen, seed))
        explaining.check_masker(chosen.params, self.view(chosen, seed))
        again = self.explainer(chosen, seed)
        with failures_as_usage_errors(f"explainer {chosen.spec.name!r} failed"):
            maps = _numpy(without_ends(again.view.layout.to_given(again()), again.view, torch.nan))
        return with_origin(maps, self.origin(chosen, seed, maps))

    def origin(self, chosen: ChosenExplainer, seed: int, maps: Array) -> ExplanationOrigin:
        """What is to be known of maps that this explainer made with this seed."""
        view = self.view(chosen, seed)
        return ExplanationOrigin(
            chosen.spec.name,
            chosen.params,
            cast(AttributionKind, explaining.attribution_kind(chosen.spec, view, chosen.params)),
            row_digests(maps),
            chosen.spec,
            seed,
            view.output,
            self.samples,
            self.targets,
            _digest_of_background(view),
            _digests_of_truth(view),
            self.weights,
        )

    def require_own(self, origin: ExplanationOrigin) -> None:
        """Raise UsageError if attributions are of another model, of other inputs or of other targets."""
        hint = "explain this problem, or pass np.asarray(attributions) to score them all the same"
        if origin.samples and origin.samples != self.samples:
            raise UsageError("these attributions are of other inputs, or of these in another order", hint)
        if origin.targets and origin.targets != self.targets:
            raise UsageError("these attributions explain other targets", hint)
        if origin.spec is not None and origin.model != self.weights:
            raise UsageError("these attributions are of another model", hint)

    def explainer_of(self, origin: ExplanationOrigin) -> explaining.Explainer | None:
        """What made attributions, to explain again; None where they were made elsewhere.

        Raises
        ------
        UsageError
            If it has seen another background or truth.
        """
        if origin.spec is None:
            return None
        chosen = ChosenExplainer(origin.spec, origin.params)
        here = self.origin(chosen, origin.seed, np.empty((0, 1), np.float32))
        for name, (before, now) in {
            "background": (origin.background, here.background),
            "truth": (origin.truth, here.truth),
        }.items():
            if before != now:
                raise UsageError(
                    f"these attributions were made with another {name} than this problem has",
                    f"pass the same {name}=, or explain this problem",
                )
        return self.explainer(chosen, origin.seed, output=origin.output)

    def require_reproduced(self, chosen: ChosenExplainer, maps: Array, seed: int) -> None:
        """Raise UsageError if an explainer gives other maps than a caller's, beyond rounding.

        Functions of a caller may draw what they want: one that does not give its own maps twice is left alone.
        """
        again = self.explainer(chosen, seed)
        maps = _numpy(without_ends(torch.from_numpy(maps), again.view, 0))
        with failures_as_usage_errors(f"explainer {chosen.spec.name!r} failed"):
            made = _numpy(without_ends(again(), again.view, 0))
            found = _difference(made, maps)
            if found <= 1:
                return
            if not chosen.spec.registered and _difference(made, _numpy(without_ends(again(), again.view, 0))) > 1:
                return
        shown = f"differs by up to {_share(made, maps):.2g} of the largest number of a map"
        if not chosen.spec.registered:
            raise UsageError(
                f"explain= does not give these attributions, it {shown}", "pass what it gives, or leave explain= out"
            )
        raise UsageError(
            f"{chosen.spec.name!r} with these parameters does not give these attributions, it {shown}",
            "explainer_params= are the parameters that made them; seed= is their seed too",
        )

    def evaluation(
        self, values: Tensor, origin: ExplanationOrigin, seed: int, explainer: explaining.Explainer | None
    ) -> Evaluation:
        """An explanation, ready to be scored; of the latest one, what metrics have computed is remembered."""
        key = (origin.maps, origin.kind, seed, origin.seed, origin.output, id(origin.spec), repr(origin.params))
        if self._latest is not None and self._latest[0] == (key, explainer is None):
            return self._latest[1]
        problem = self.prepared
        ev = Evaluation.of(
            replace(problem.samples, seed=seed),
            attributions=values,
            kind=origin.kind,
            truth=problem.truth,
            explainer=explainer,
            shared=self._caches.shared(seed),
            retraining=problem.retraining,
            pairs=problem.pairs,
        )
        self._latest = (key, explainer is None), ev
        return ev

    def seen_by(self, metric: MetricSpec, ev: Evaluation) -> Evaluation:
        """The evaluation as a metric takes it: one of a caller's own shares evaluations with the same code only."""
        source = metric.code_digest
        return ev if source is None else replace(ev, shared=self._caches.shared(ev.seed, source))


def digest_of_weights(samples: Samples) -> str:
    """Digest of a module's weights and layers; empty for a black box and for a module that may hide them."""
    module = samples.model.module
    return "" if not isinstance(module, nn.Module) or is_compiled(module) else fingerprint(module, np.empty(0))


def _asked(samples: Samples) -> tuple[int | tuple[int, int], ...]:
    """What is explained of every sample: the target, with its foil where there is one."""
    targets = samples.targets.tolist()
    return tuple(targets) if samples.foils is None else tuple(zip(targets, samples.foils.tolist(), strict=True))


def _numpy(values: Tensor) -> Array:
    found: Array = values.detach().cpu().numpy()
    return found


def without_ends(maps: Tensor, samples: Samples, fill: float) -> Tensor:
    """The maps with ``fill`` behind the end of samples that are shorter than others."""
    if samples.sizes is None:
        return maps
    behind = behind_end(samples.sizes, tuple(maps.shape[1:])).to(maps.device)
    return maps.masked_fill(behind, fill)


def _digests_of_inputs(samples: Samples) -> tuple[bytes, ...]:
    """Identity of what the model is given, whatever type of number the caller had it in."""
    context = {name: _numpy(values) for name, values in samples.context.items()}
    sizes = None if samples.sizes is None else _numpy(samples.sizes)
    rows = _numpy(samples.inputs)
    return sample_digests(rows, context, sizes, text_widths(rows) if samples.model.encodes_ids else None)


def _digest_of_background(samples: Samples) -> str:
    rows = samples.background if samples.references is None else samples.references.values
    context = samples.background_context if samples.references is None else samples.references.context
    if rows is None:
        return ""
    return digest(array_digest(_numpy(rows)), {name: array_digest(_numpy(values)) for name, values in context.items()})


def _digests_of_truth(view: ProblemView) -> tuple[bytes, ...]:
    truth = view.truth
    shown = None if truth is None else truth.shown
    return () if shown is None else row_digests(_numpy(shown))


def _difference(made: Array, maps: Array) -> float:
    """Largest difference of two sets of maps (N, *features), in units of what rounding may do; NaN equals NaN."""
    a, b = (torch.from_numpy(np.ascontiguousarray(m)).double().flatten(1) for m in (made, maps))
    if not torch.equal(a.isfinite(), b.isfinite()):
        return torch.inf
    a, b = a.nan_to_num(0, 0, 0), b.nan_to_num(0, 0, 0)
    allowed = RELATIVE_ROUNDING * a.abs().amax(dim=1, keepdim=True) + ABSOLUTE_ROUNDING
    return float(((a - b).abs() / allowed).max())


def _share(made: Array, maps: Array) -> float:
    """Largest difference as a share of the largest number of its map."""
    a, b = made.reshape(len(made), -1), maps.reshape(len(maps), -1)
    largest = np.maximum(np.abs(a).max(axis=1), np.finfo(np.float32).tiny)
    return float(np.nanmax(np.abs(a - b).max(axis=1) / largest))

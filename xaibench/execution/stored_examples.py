"""What a run leaves in the store for reports: a few example inputs of every problem, and mean removal curves."""

from __future__ import annotations

import numpy as np
import torch

from xaibench.analysis.mean_curves import mean_curve
from xaibench.core import scoring
from xaibench.core.components import ORACLE, RANDOM
from xaibench.core.data import Data
from xaibench.core.evaluation import Evaluation
from xaibench.core.keys import sample_ids
from xaibench.core.keys import seed as seed_of
from xaibench.core.problem import Problem
from xaibench.core.tokens import shown_words
from xaibench.metrics.engines.removal import schedule
from xaibench.plan import Cell, Unit
from xaibench.store import Store, StoredCurve, StoredExamples
from xaibench.store.examples import CURVED

MAX_EXAMPLES = 64
"""Samples of a problem whose inputs are stored, at most."""
MAX_BYTES = 5_000_000
"""Bytes that the inputs and truths of a problem may take in the store."""


def examples_of(problem: Problem, data: Data) -> StoredExamples | None:
    """Samples of a problem for a report: all of them, or as many as fit `MAX_EXAMPLES` and `MAX_BYTES`.

    Where they do not all fit, which ones are stored is drawn at random, keyed by the samples.

    Returns
    -------
    StoredExamples or None
        None where not even one fits.
    """
    ids = sample_ids(problem.samples.digests)
    inputs, truth = problem.samples.inputs, _truth(problem)
    size = inputs[0].nbytes + (0 if truth is None else truth[0].nbytes)
    room = min(MAX_EXAMPLES, MAX_BYTES // max(size, 1))
    if room < 1:
        return None
    chosen = np.arange(len(ids))
    if len(ids) > room:
        draws = np.random.default_rng(seed_of("stored examples", *ids))
        chosen = np.sort(draws.permutation(len(ids))[:room])
    rows = torch.from_numpy(chosen).to(inputs.device)
    names = [_words(problem, data, int(i)) for i in chosen]
    return StoredExamples(
        sample_ids=tuple(ids[i] for i in chosen),
        index=tuple(int(i) for i in chosen),
        n_samples=len(ids),
        inputs=inputs[rows].cpu(),
        truth=None if truth is None else truth[rows].cpu(),
        targets=tuple(target for target, _ in names),
        labels=tuple(label for _, label in names),
        features=data.features,
        feature_names=tuple(data.feature_names),
        words=tuple(shown_words(data.test_inputs[i], data.tokens) for i in chosen) if data.has_ids else (),
    )


def _truth(problem: Problem) -> torch.Tensor | None:
    truth = problem.truth
    if truth is None:
        return None
    return truth.mask if truth.mask is not None else truth.weights


def _words(problem: Problem, data: Data, i: int) -> tuple[str, str]:
    """What is explained of a sample, and its true class; of regressions the true value."""
    samples = problem.samples
    if data.test_values is not None:
        return "the value", f"{float(data.test_values[i]):.4g}"

    def name(column: int) -> str:
        return data.class_names[column] if column < len(data.class_names) else f"class {column}"

    return name(int(samples.targets[i])), "" if samples.labels is None else name(int(samples.labels[i]))


def is_drawn(unit: Unit, cell: Cell) -> bool:
    """Whether reports draw the curve of a cell: a removal curve of an explainer, of random or of the oracle."""
    beside = not unit.spec.control or unit.spec.name in (RANDOM, ORACLE)
    return cell.spec.name in CURVED and beside and unit.repeat == 0


def save_curve(store: Store, score_key: str, cell: Cell, ev: Evaluation, output: str) -> None:
    """Store the mean curve behind a score; metrics of removal have it at hand, so that nothing is evaluated again.

    Parameters
    ----------
    store : Store
    score_key : str
        Of the cell.
    cell : Cell
    ev : Evaluation
        With which the cell was scored.
    output : str
        What was measured.
    """
    try:
        values = scoring.curve(cell.spec, cell.metric.params, ev, output=cell.output)
    except Exception:  # the scores are there; a report says that the curve is not
        return
    n_features = ev.layout.n_features
    share = schedule(n_features, values.shape[1] - 1).to(torch.float32) / n_features
    found = mean_curve(values.to(torch.float64).numpy())
    mean, low, high = (torch.from_numpy(line.astype(np.float32)) for line in (found.mean, found.low, found.high))
    store.save_curve(score_key, StoredCurve(share.cpu(), mean, low, high, len(values), output))

"""Examples that a run stores for reports: a few inputs of every problem, and mean removal curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from xaibench.analysis.mean_curves import mean_curve
from xaibench.core import scoring
from xaibench.core.components import ORACLE, RANDOM
from xaibench.core.data import Data
from xaibench.core.evaluation import Evaluation
from xaibench.core.features import FeatureLayout
from xaibench.core.keys import sample_ids
from xaibench.core.keys import seed as seed_of
from xaibench.core.problem import Problem, Samples
from xaibench.core.tokens import shown_words
from xaibench.execution.stored_graphs import graph_structure
from xaibench.metrics.engines.removal import schedule
from xaibench.metrics.engines.removal_units import removal_units
from xaibench.plan import Cell, Unit
from xaibench.store import Store, StoredCurve, StoredExamples
from xaibench.store.examples import CURVED, SENSORS_FIRST

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
    samples = problem.samples
    ids = sample_ids(samples.digests if samples.clusters is None else samples.clusters)
    inputs, truth = _by_group(samples.layout, samples.inputs), _truth(problem)
    size = inputs[0].nbytes + (0 if truth is None else truth[0].nbytes)
    room = min(MAX_EXAMPLES, MAX_BYTES // max(size, 1))
    if room < 1:
        return None
    chosen = np.arange(len(ids))
    if samples.clusters is not None:
        # Of a row that is several samples, one for each of its labels, the first.
        chosen = np.sort(np.unique(ids, return_index=True)[1])
    n_samples = len(chosen)
    if n_samples > room:
        draws = np.random.default_rng(seed_of("stored examples", *ids))
        chosen = np.sort(chosen[draws.permutation(n_samples)[:room]])
    rows = torch.from_numpy(chosen).to(inputs.device)
    names = [_words(problem, data, int(i)) for i in chosen]
    return StoredExamples(
        sample_ids=tuple(ids[i] for i in chosen),
        index=tuple(int(i) for i in chosen),
        n_samples=n_samples,
        inputs=inputs[rows].cpu(),
        truth=None if truth is None else truth[rows].cpu(),
        targets=tuple(target for target, _ in names),
        labels=tuple(label for _, label in names),
        features=data.features,
        feature_names=data.group_names if data.feature_groups else tuple(data.feature_names),
        structure=graph_structure(samples, rows),
        words=tuple(shown_words(samples.inputs[i].cpu().numpy(), data.tokens) for i in chosen) if data.has_ids else (),
        axes=SENSORS_FIRST if samples.layout.kind == "series" and samples.layout.sensors_first else "",
        sensor_means=_sensor_means(samples),
    )


def _sensor_means(samples: Samples) -> torch.Tensor | None:
    """Mean of the background by sensor (n_sensors,) of series; None of other data and without a background."""
    if samples.layout.kind != "series" or samples.background is None:
        return None
    time = 1 + samples.layout.neighbour_axes[0]
    return samples.background.nanmean(dim=(0, time)).view(-1).cpu()


def _by_group(layout: FeatureLayout, inputs: torch.Tensor) -> torch.Tensor:
    """Inputs with a number per group of columns: which column of a one-hot block is the largest, else their mean."""
    if not layout.groups:
        return inputs
    found = layout.reduce(inputs) / layout.reduce(torch.ones_like(inputs))
    for feature in layout.categorical:
        columns = list(layout.groups[feature])
        if len(columns) > 1:
            found[:, feature] = inputs[:, columns].argmax(dim=1).to(found)
    return found


def _truth(problem: Problem) -> torch.Tensor | None:
    return None if problem.truth is None else problem.truth.shown


def _words(problem: Problem, data: Data, i: int) -> tuple[str, str]:
    """What is explained of a sample, and its true class; of regressions the true value, of labels all that are true."""
    samples = problem.samples
    column = int(samples.targets[i])
    what = "class" if data.n_values == 0 and data.test_labels is None else "label" if data.n_values == 0 else "output"

    def name(column: int) -> str:
        return data.class_names[column] if column < len(data.class_names) else f"{what} {column}"

    target = "the value" if data.n_values == 1 else name(column)
    if samples.foils is not None:
        target += f" rather than {name(int(samples.foils[i]))}"
    if data.test_values is not None:
        value = data.test_values[i] if data.n_values == 1 else data.test_values[i, column]
        return target, f"{float(value):.4g}"
    if data.test_labels is not None:
        # Of a row that is several samples, the label that is explained is one of the true ones.
        true = [] if samples.clusters is not None else np.flatnonzero(data.test_labels[i]).tolist()
        return target, " and ".join(map(name, true))
    return target, "" if samples.labels is None else name(int(samples.labels[i]))


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
    n_units = _units_removed(cell.metric.params, ev)
    share = schedule(n_units, values.shape[1] - 1).to(torch.float32) / n_units
    found = mean_curve(values.to(torch.float64).numpy())
    mean, low, high = (torch.from_numpy(line.astype(np.float32)) for line in (found.mean, found.low, found.high))
    store.save_curve(score_key, StoredCurve(share.cpu(), mean, low, high, len(values), output))


def _units_removed(params: Mapping[str, Any], ev: Evaluation) -> int:
    """How many features, or groups of them, are removed one after another behind a curve."""
    return removal_units(ev, params["masker"], params["group"], params["patch"]).count

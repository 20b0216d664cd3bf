"""Perturbed copies of every sample, evaluated in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from xaibench.core import copy_blocks as blocks
from xaibench.core.context import context_rows
from xaibench.core.errors import UsageError
from xaibench.core.input_gradients import as_leaf
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView

COPIES_BLOCK_BYTES = 32 * 2**20
"""Size of the largest tensor of copies; an explainer holds a handful of these at a time.

Copies of a sample are drawn as many at a time as fit: changing it means new versions of explainers that draw.
"""
BATCHES_BLOCK_BYTES = 8 * 2**20
"""Copies beyond this size wait for the next block if they are more than a batch of the model: caches hold few."""

_ALIKE = 16
"""Products of matrices end the same to the last bit in blocks of a multiple of this many samples."""


def copies_at_once(problem: ProblemView, bytes_each: int) -> int:
    """How many copies make a block: at least a batch of the model, as far as `COPIES_BLOCK_BYTES` allows."""
    most = blocks.fitting(COPIES_BLOCK_BYTES, bytes_each)
    few = blocks.fitting(BATCHES_BLOCK_BYTES, bytes_each)
    return few if few == most else min(most, max(few, problem.batch_size))


def blocks_of(problem: ProblemView, total: int, bytes_each: int) -> Iterator[slice]:
    """Slices of ``range(total)`` copies of samples, of `copies_at_once`."""
    return blocks.chunks(total, copies_at_once(problem, bytes_each))


def sample_blocks(problem: ProblemView, bytes_per_sample: int) -> Iterator[slice]:
    """Slices of the samples such that ``bytes_per_sample`` times their number stays in `COPIES_BLOCK_BYTES`."""
    return blocks.chunks(len(problem), blocks.fitting(COPIES_BLOCK_BYTES, bytes_per_sample))


def copy_blocks(problem: ProblemView, n_copies: int) -> Iterator[tuple[slice, Iterator[slice]]]:
    """Blocks of samples, and for each the chunks of its copies: their size depends on the input's shape only."""
    bytes_each = 4 * problem.inputs[0].numel()
    copies = min(n_copies, blocks.fitting(COPIES_BLOCK_BYTES, bytes_each))
    samples = max(1, copies_at_once(problem, bytes_each) // copies)
    if samples > _ALIKE:
        samples -= samples % _ALIKE
    return blocks.cut_copies(len(problem), n_copies, samples_at_once=samples, copies_at_once=copies)


def gradients(problem: ProblemView, copies: Tensor) -> Tensor:
    """Gradients at copies (N, K, *input_shape) of the samples, same shape."""
    return problem.gradients(copies.flatten(0, 1), _owners(problem, copies)).view_as(copies)


def scores(problem: ProblemView, copies: Tensor) -> Tensor:
    """Explained output (N, K) at copies (N, K, *input_shape) of the samples."""
    return problem.scores(copies.flatten(0, 1), _owners(problem, copies)).view(copies.shape[:2])


def _owners(problem: ProblemView, copies: Tensor) -> Tensor:
    return blocks.owners(slice(0, len(problem)), copies.shape[1], problem.targets.device)


def model_batches(problem: ProblemView, model: TorchPredictor) -> Iterator[tuple[Tensor, slice, dict[str, Tensor]]]:
    """Inputs, ready to be differentiated, which samples they are, and context, in batches of the model's size."""
    size = problem.batch_size
    for part in blocks.chunks(len(problem), size):
        yield as_leaf(problem.inputs[part].to(model.device)), part, context_rows(problem.context, part)


def check_positive(**counts: int) -> None:
    """Raise UsageError for a count below 1."""
    for name, count in counts.items():
        if count < 1:
            raise UsageError(f"{name} must be at least 1, not {count}")

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
"""Size of the largest tensor of copies; an explainer holds a handful of these at a time."""


def blocks_of(total: int, bytes_each: int) -> Iterator[slice]:
    """Slices of ``range(total)`` such that ``bytes_each`` times their length stays in `COPIES_BLOCK_BYTES`."""
    return blocks.chunks(total, blocks.fitting(COPIES_BLOCK_BYTES, bytes_each))


def sample_blocks(problem: ProblemView, bytes_per_sample: int) -> Iterator[slice]:
    """Slices of the samples such that ``bytes_per_sample`` times their number stays in `COPIES_BLOCK_BYTES`."""
    return blocks_of(len(problem), bytes_per_sample)


def copy_blocks(problem: ProblemView, n_copies: int) -> Iterator[tuple[slice, Iterator[slice]]]:
    """Blocks of samples, and for each the chunks of its copies: their size depends on the input's shape only."""
    bytes_each = 4 * problem.inputs[0].numel()
    copies = min(n_copies, blocks.fitting(COPIES_BLOCK_BYTES, bytes_each))
    samples = blocks.fitting(COPIES_BLOCK_BYTES, copies * bytes_each)
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

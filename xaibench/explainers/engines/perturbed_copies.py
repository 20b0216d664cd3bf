"""Perturbed copies: many variants of every sample, evaluated in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.errors import UsageError
from xaibench.core.input_gradients import as_leaf
from xaibench.core.predictor import TorchPredictor
from xaibench.core.problem import ProblemView

COPIES_BLOCK_BYTES = 32 * 2**20
"""Size of the largest tensor of copies; an explainer holds a handful of these at a time."""


def copies_per_chunk(problem: ProblemView, n_copies: int) -> int:
    """Copies of one sample that are made at once: depends on the input's shape, never on the batch."""
    return max(1, min(n_copies, COPIES_BLOCK_BYTES // (4 * problem.inputs[0].numel())))


def chunks(total: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``range(total)``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def sample_blocks(problem: ProblemView, bytes_per_sample: int) -> Iterator[slice]:
    """Slices of the samples such that ``bytes_per_sample`` times their number stays in `COPIES_BLOCK_BYTES`."""
    return chunks(len(problem), max(1, COPIES_BLOCK_BYTES // max(bytes_per_sample, 1)))


def copy_blocks(problem: ProblemView, n_copies: int) -> Iterator[tuple[slice, Iterator[slice]]]:
    """Blocks of samples, and for each the chunks of its copies."""
    size = copies_per_chunk(problem, n_copies)
    for block in sample_blocks(problem, 4 * size * problem.inputs[0].numel()):
        yield block, chunks(n_copies, size)


def gradients(problem: ProblemView, copies: Tensor) -> Tensor:
    """Gradients at copies (N, K, *input_shape) of the samples, same shape."""
    rows = owners(problem, copies.shape[1])
    return problem.gradients(copies.flatten(0, 1), rows).view_as(copies)


def scores(problem: ProblemView, copies: Tensor) -> Tensor:
    """Explained output (N, K) at copies (N, K, *input_shape) of the samples."""
    rows = owners(problem, copies.shape[1])
    return problem.scores(copies.flatten(0, 1), rows).view(copies.shape[:2])


def owners(problem: ProblemView, n_copies: int) -> Tensor:
    """Sample of each copy (N * n_copies,), in the order of a flattened (N, n_copies)."""
    return problem.targets.new_tensor(range(len(problem))).repeat_interleave(n_copies)


def model_batches(problem: ProblemView, model: TorchPredictor) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    """Inputs, ready to be differentiated, targets and context, in batches of the model's size."""
    size = problem.batch_size
    for part in chunks(len(problem), size):
        yield as_leaf(problem.inputs[part].to(model.device)), problem.targets[part], context_rows(problem.context, part)


def check_positive(**counts: int) -> None:
    """Raise UsageError for a count below 1."""
    for name, count in counts.items():
        if count < 1:
            raise UsageError(f"{name} must be at least 1, not {count}")

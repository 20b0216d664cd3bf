"""Peak memory of explaining and of scoring: what a stage took beyond what the process held when it began."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_LINE = re.compile(rb"^(VmHWM|VmRSS):\s+(\d+) kB", re.MULTILINE)
_PEAK_ONLY = b"5"
"""Written to the file of Linux that resets counters: set the peak of resident memory to what is resident now."""


@dataclass(frozen=True)
class MemoryStage:
    """A stage that has begun, on a processor or on a GPU.

    On a processor this is resident memory of the process, which includes what other threads do. Memory that was freed
    before and that the process still holds (see `xaibench.execution.malloc`) is used first and is not counted, so that
    the first stage of a kind shows what it takes, and a repeated one often nothing. On a GPU it is what PyTorch
    allocates there, without such a limit.

    Attributes
    ----------
    before : int or None
        Bytes when it began; None where the system does not tell.
    device : torch.device or None
        The GPU; None on a processor.
    """

    before: int | None
    device: torch.device | None = None

    @classmethod
    def begin(cls, device: torch.device | str = "cpu") -> MemoryStage:
        """Begin a stage of work on this device."""
        place = torch.device(device)
        if place.type == "cuda":
            torch.cuda.reset_peak_memory_stats(place)
            return cls(torch.cuda.memory_allocated(place), place)
        try:
            _RESET.write_bytes(_PEAK_ONLY)
        except OSError:
            return cls(None)
        return cls(_status().get(b"VmRSS"))

    def bytes(self) -> int | None:
        """Peak since the beginning, minus what was held then; None where the system does not tell."""
        if self.before is None:
            return None
        if self.device is not None:
            return max(0, torch.cuda.max_memory_allocated(self.device) - self.before)
        peak = _status().get(b"VmHWM")
        return None if peak is None else max(0, peak - self.before)


def _status() -> dict[bytes, int]:
    try:
        return {name: int(kb) * 1024 for name, kb in _LINE.findall(_STATUS.read_bytes())}
    except OSError:
        return {}

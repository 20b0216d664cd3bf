"""Provenance of a run: code, packages, machine, settings."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from xaibench.core.storage.paths import checkout

_GPU_DEVICES = ("nvidiactl", "nvidia0", "nvidia-modeset", "kfd", "dxg", "nvhost-gpu", "nvgpu")
"""Files of Linux that drivers of NVIDIA, AMD, WSL and Jetson make."""
_PACKAGES = ("xaibench", "torch", "numpy", "pandas", "scipy", "scikit-learn", "pyarrow")


def provenance(*, argv: list[str] | None = None, threads: int | None = None) -> dict[str, Any]:
    """Git revision, package versions, processor, threads and determinism flags of this process.

    Torch is imported only if the number of threads is to be asked of it, or the system shows a graphics processor.
    """
    torch = _torch(threads is None or may_have_gpu())
    return {
        "argv": sys.argv if argv is None else argv,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "git": git_state(),
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else [],
        },
        "threads": threads or torch.get_num_threads(),
        "deterministic": torch is not None and torch.are_deterministic_algorithms_enabled(),
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("OMP_", "MKL_", "XAIBENCH_", "CUDA_"))},
    }


def may_have_gpu() -> bool:
    """Whether this system may have a graphics processor that torch computes with; False only where that is certain."""
    if sys.platform == "darwin":
        return False
    return not sys.platform.startswith("linux") or any(Path("/dev", name).exists() for name in _GPU_DEVICES)


def _torch(wanted: bool) -> Any:
    """Torch if it is imported already, or is wanted; else None."""
    return importlib.import_module("torch") if wanted else sys.modules.get("torch")


def git_state() -> dict[str, Any] | None:
    """Revision of the checkout and whether it has uncommitted changes; None outside one."""
    top = checkout()
    if top is None or not (top / ".git").exists():
        return None
    try:
        sha = _git(top, "rev-parse", "HEAD")
        return {"sha": sha, "dirty": bool(_git(top, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(top: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(top), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

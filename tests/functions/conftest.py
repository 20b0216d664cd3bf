"""Fixtures of function problems: tiny sets, and a suite document over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xaibench.core import registry

PROGRAMS = Path(__file__).parent.parent / "plugins" / "programs.py"


@pytest.fixture
def programs() -> Iterator[ModuleType]:
    """The module with tiny functions, interpreters and metrics, and nothing going wrong in it."""
    module = registry.load_module(str(PROGRAMS))
    module.ASKED.clear()
    module.SWITCHES.clear()
    yield module
    module.SWITCHES.clear()


@pytest.fixture
def function_suite(programs: ModuleType) -> Callable[..., dict[str, Any]]:
    """Make a suite document over twenty lines; keywords replace its fields."""

    def make(**fields: Any) -> dict[str, Any]:
        return {
            "name": "lines",
            "controls": False,
            "problems": [{"functions": "tiny_lines"}],
            "interpreters": ["two_points"],
            "metrics": ["tiny_fit"],
            "budget": 8,
            **fields,
        }

    return make

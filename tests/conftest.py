"""Fixtures that every folder shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from helpers.command_line import Call, caller

from xaibench.core import registry
from xaibench.core.source_files import defined_in

PLUGINS = Path(__file__).parent / "plugins"
PLUGIN = PLUGINS / "tiny.py"

# How long an example takes says something of the machine, and nothing of the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep models and evaluations of the tests out of the user's cache; start workers only where a test says so.

    Tables are as wide as in a pipe: shells export the size of their terminal, and so does pytest-xdist to its workers.
    """
    with pytest.MonkeyPatch.context() as patch:
        for size in ("COLUMNS", "LINES"):
            patch.delenv(size, raising=False)
        patch.setenv("XAIBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XAIBENCH_WORKERS", "0")
        yield


@pytest.fixture(autouse=True)
def _forgets_components_of_the_test() -> Iterator[None]:
    """Two tests, which run in one process in any order, may give their components the same name.

    What this package and the plugins of the tests register stays: their modules are imported once.
    """
    before = {kind: set(table) for kind, table in registry._registry.items()}
    yield
    for kind, table in registry._registry.items():
        for name in table.keys() - before[kind]:
            function = table[name].function
            own = function.__module__.partition(".")[0] == "xaibench"
            if not own and not Path(defined_in(function)[0]).is_relative_to(PLUGINS):
                del table[name]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process; gives exit code, output and errors."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return caller(monkeypatch, capsys)


@pytest.fixture
def plugin() -> Path:
    """The file with tiny components, loaded."""
    registry.load_module(str(PLUGIN))
    return PLUGIN


@pytest.fixture
def tiny_suite(plugin: Path) -> Callable[..., dict[str, Any]]:
    """Make a suite document over `tiny` that runs in a moment; keywords replace its fields."""

    def make(**fields: Any) -> dict[str, Any]:
        return {
            "name": "tiny",
            "samples": 8,
            "background": 8,
            "random_draws": 2,
            "controls": False,
            "problems": [{"dataset": "tiny", "models": ["exact"]}],
            "explainers": ["gradient", "weights_times_input"],
            "metrics": ["sparseness", "own_metric"],
            **fields,
        }

    return make

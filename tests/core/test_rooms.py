"""Components lie where their kind and family say, and what they share registers nothing."""

from __future__ import annotations

import inspect
from pkgutil import walk_packages
from types import ModuleType

import pytest

from xaibench import explainers, metrics
from xaibench.core.components import KINDS, MetricSpec
from xaibench.core.registry import components
from xaibench.explainers import engines as explainer_engines
from xaibench.metrics import engines as metric_engines
from xaibench.metrics import maps

METRICS = [
    s
    for s in components("metric")
    if isinstance(s, MetricSpec) and s.function.__module__.startswith(f"{metrics.__name__}.")
]
ROOMS = {room.__name__: room for room in (metric_engines, maps, explainer_engines)}


@pytest.mark.parametrize("spec", METRICS, ids=lambda s: s.name)
def test_the_folder_of_a_metric_is_its_family(spec: MetricSpec) -> None:
    package, family, _ = spec.function.__module__.removeprefix("xaibench.").split(".")
    assert (package, family) == ("metrics", spec.family)


def test_every_folder_of_metrics_is_a_family_or_a_room_of_what_they_share() -> None:
    folders = {found.name.rpartition(".")[2] for found in walk_packages(metrics.__path__) if found.ispkg}
    assert folders == {spec.family for spec in METRICS} | {"engines", "maps"}


@pytest.mark.parametrize("room", ROOMS.values(), ids=list(ROOMS))
def test_rooms_of_what_components_share_register_nothing(room: ModuleType) -> None:
    inside = {found.name for found in walk_packages(room.__path__, f"{room.__name__}.")}
    assert inside
    registered = {spec.function.__module__ for kind in KINDS for spec in components(kind)}
    assert not registered & inside
    files = {inspect.getsourcefile(spec.function) for kind in KINDS for spec in components(kind)}
    assert not any(str(file).startswith(str(room.__path__[0])) for file in files)


def test_explainers_lie_flat() -> None:
    modules = {s.function.__module__ for s in components("explainer")}
    own = {m for m in modules if m.startswith(f"{explainers.__name__}.")}
    assert own
    assert all(m.count(".") == 2 for m in own)

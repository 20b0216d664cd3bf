"""Kinds that can be listed, maskers among them, and plain messages about wrong words."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import xaibench as xb
from xaibench.cli.choices import LISTED, listed
from xaibench.core.errors import UsageError
from xaibench.core.masking.maskers import FILLS, ConditionalMasker, NoisyLinearMasker
from xaibench.core.masking.names import MASKERS, SUMMARIES, TOKEN_MASKERS

Call = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("kind", LISTED)
def test_kinds_are_known_in_the_singular_too(kind: str) -> None:
    assert listed(kind) == kind
    assert listed(kind.removesuffix("s")) == kind


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "maskrs"], "error: 'maskrs' cannot be listed\nhint: did you mean 'maskers'?"),
        (["show", "marginl"], "hint: did you mean 'marginal'"),
        (["run", "--rerun", "foo"], "Invalid value for '--rerun': 'foo' is not one of 'failed', 'stale', 'all'"),
        (["leaderboard", "--format", "pdf"], "'pdf' is not one of 'table'"),
    ],
)
def test_wrong_words_are_named_without_a_python_exception(call: Call, arguments: list[str], message: str) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Value error" not in err


def test_every_masker_is_listed_and_shown(call: Call) -> None:
    found = json.loads(call("list", "masker", "--json")[1])["maskers"]
    assert [m["name"] for m in found] == list(MASKERS)
    assert {m["name"] for m in found if m["features"] == "tokens"} == set(TOKEN_MASKERS)
    for name in ("zero", "delete"):
        shown = call("show", name)[1]
        assert shown.startswith(f"masker {name}\n")
        assert SUMMARIES[name] in shown


def test_a_name_of_a_masker_and_of_a_component_shows_both(call: Call) -> None:
    shown = call("show", "mean")[1]
    assert "interpreter mean\n" in shown
    assert "\n\nmasker mean\n" in shown


def test_summaries_of_maskers_are_those_of_the_code() -> None:
    classes = {"noisy_linear": NoisyLinearMasker, "conditional": ConditionalMasker}
    for name, code in {**FILLS, **classes}.items():
        assert SUMMARIES[name] == (code.__doc__ or "").splitlines()[0]
    assert set(SUMMARIES) == set(MASKERS)


def test_python_takes_plurals_of_kinds_and_refuses_others() -> None:
    assert list(xb.components("explainers")["name"]) == list(xb.components("explainer")["name"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown kind 'maskers'"):
        xb.components("maskers")  # type: ignore[arg-type]

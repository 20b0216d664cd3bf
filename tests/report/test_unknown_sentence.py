"""What a board says of constructs that speak for nobody."""

from __future__ import annotations

from xaibench.analysis.advice.verdicts import Advice, AdviceScope, OpenConstruct
from xaibench.report.advice import unknown_sentence


def said(*unknown: OpenConstruct) -> str:
    return unknown_sentence(Advice((), unknown, AdviceScope(1, 1, 8, 8, 1, 0, ()), compared=True))


def test_tests_of_too_few_samples_do_not_count_and_are_not_called_lost() -> None:
    few = [OpenConstruct(name, "few samples", ()) for name in ("completeness", "removal")]
    assert said(*few) == "Too few samples for a test on completeness and removal to count."
    other = OpenConstruct("localisation", "oracle fails", ())
    assert said(few[0], other) == (
        "No explainer is shown to be better than the placebos on localisation (nor is the oracle)."
        " Too few samples for a test on completeness to count."
    )
    assert said() == ""

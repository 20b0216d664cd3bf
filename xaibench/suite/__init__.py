"""Suite files: TOML, validated, with every name and parameter checked before anything runs."""

from xaibench.suite.claims import Claim, Scores
from xaibench.suite.matrix import EXPLAINING, Rule, Suite, components_of
from xaibench.suite.problems import FunctionsEntry, ProblemEntry
from xaibench.suite.reading import DEFAULT_SUITE, available, find, load, parse
from xaibench.suite.references import Choice, Entry
from xaibench.suite.validation import has_params

__all__ = [
    "DEFAULT_SUITE",
    "EXPLAINING",
    "Choice",
    "Claim",
    "Entry",
    "FunctionsEntry",
    "ProblemEntry",
    "Rule",
    "Scores",
    "Suite",
    "available",
    "components_of",
    "find",
    "has_params",
    "load",
    "parse",
]

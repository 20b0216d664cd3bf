"""Suite files: TOML, validated, with every name and parameter checked before anything runs."""

from xaibench.suite.claims import Claim, ScoreSelection
from xaibench.suite.matrix import EXPLAINING, CellPattern, Suite, components_of
from xaibench.suite.problems import FunctionsEntry, ProblemEntry
from xaibench.suite.reading import DEFAULT_SUITE, available, descriptions, find, load, parse, shipped_claims
from xaibench.suite.references import ComponentEntry, ComponentRef
from xaibench.suite.validation import has_params

__all__ = [
    "DEFAULT_SUITE",
    "EXPLAINING",
    "CellPattern",
    "Claim",
    "ComponentEntry",
    "ComponentRef",
    "FunctionsEntry",
    "ProblemEntry",
    "ScoreSelection",
    "Suite",
    "available",
    "components_of",
    "descriptions",
    "find",
    "has_params",
    "load",
    "parse",
    "shipped_claims",
]

"""Which explanation can you trust? A harness that benchmarks explainers with evidence.

    import xaibench as xb

    attr = xb.explain("integrated_gradients", model=net, inputs=x, targets=y)
    scores = xb.score("pixel_flipping", model=net, inputs=x, targets=y, attributions=attr)

Names are imported when they are first used, so that ``import xaibench`` takes no time.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from xaibench._version import __version__ as __version__

if TYPE_CHECKING:
    from xaibench.api.advising import advice
    from xaibench.api.attributions import Attributions
    from xaibench.api.auditing import agreement, audit
    from xaibench.api.certifying import Certification, certify
    from xaibench.api.comparing import compare
    from xaibench.api.explaining import curve, explain, score
    from xaibench.api.interactions import interactions
    from xaibench.api.interpreting import explain_case, interpret
    from xaibench.api.listing import components
    from xaibench.api.problem import Problem
    from xaibench.api.published import claims_index
    from xaibench.api.ranking import overall, pairwise
    from xaibench.api.reading import claims, leaderboard, results
    from xaibench.api.recommending import recommend
    from xaibench.api.reporting import report
    from xaibench.api.runs import Run, run
    from xaibench.core.cases.answers import Dictionary, Scores
    from xaibench.core.cases.case import Case, CaseView
    from xaibench.core.cases.evaluation import CaseEvaluation
    from xaibench.core.cases.kinds import CaseKind, register_case_kind
    from xaibench.core.data import Data, Intervention
    from xaibench.core.data_registry import dataset, model
    from xaibench.core.draws import Draws
    from xaibench.core.errors import (
        UnsupportedError,
        UnusedBackgroundWarning,
        UsageError,
        XaibenchError,
        XaibenchWarning,
    )
    from xaibench.core.evaluation import Evaluation
    from xaibench.core.explain_request import ExplainRequest
    from xaibench.core.problem import ProblemView
    from xaibench.core.program_registry import function_set, interpreter
    from xaibench.core.programs.black_box import BlackBox, Domain, Interpretation, Probe
    from xaibench.core.programs.evaluation import ProgramEvaluation
    from xaibench.core.registry import explainer, metric
    from xaibench.core.token_predictor import TokenPredictor
    from xaibench.core.tokens import Tokens
    from xaibench.models.pyg_models import from_pyg
    from xaibench.models.reduced import Reduced
    from xaibench.models.step_adapters import OwnStep, SumOfSteps
    from xaibench.models.text_models import text_model

_HOME = {
    "api.advising": ("advice",),
    "api.attributions": ("Attributions",),
    "api.auditing": ("agreement", "audit"),
    "api.certifying": ("Certification", "certify"),
    "api.comparing": ("compare",),
    "api.explaining": ("curve", "explain", "score"),
    "api.interactions": ("interactions",),
    "api.interpreting": ("explain_case", "interpret"),
    "api.listing": ("components",),
    "api.problem": ("Problem",),
    "api.published": ("claims_index",),
    "api.ranking": ("overall", "pairwise"),
    "api.reading": ("claims", "leaderboard", "results"),
    "api.recommending": ("recommend",),
    "api.reporting": ("report",),
    "api.runs": ("Run", "run"),
    "core.cases.answers": ("Dictionary", "Scores"),
    "core.cases.case": ("Case", "CaseView"),
    "core.cases.evaluation": ("CaseEvaluation",),
    "core.cases.kinds": ("CaseKind", "register_case_kind"),
    "core.data": ("Data", "Intervention"),
    "core.data_registry": ("dataset", "model"),
    "core.draws": ("Draws",),
    "core.errors": (
        "UnsupportedError",
        "UnusedBackgroundWarning",
        "UsageError",
        "XaibenchError",
        "XaibenchWarning",
    ),
    "core.evaluation": ("Evaluation",),
    "core.explain_request": ("ExplainRequest",),
    "core.problem": ("ProblemView",),
    "core.programs.evaluation": ("ProgramEvaluation",),
    "core.programs.black_box": ("BlackBox", "Domain", "Interpretation", "Probe"),
    "core.program_registry": ("function_set", "interpreter"),
    "core.registry": ("explainer", "metric"),
    "core.token_predictor": ("TokenPredictor",),
    "core.tokens": ("Tokens",),
    "models.pyg_models": ("from_pyg",),
    "models.reduced": ("Reduced",),
    "models.step_adapters": ("OwnStep", "SumOfSteps"),
    "models.text_models": ("text_model",),
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Attributions",
    "BlackBox",
    "Case",
    "CaseEvaluation",
    "CaseKind",
    "CaseView",
    "Certification",
    "Data",
    "Dictionary",
    "Domain",
    "Draws",
    "Evaluation",
    "ExplainRequest",
    "Interpretation",
    "Intervention",
    "OwnStep",
    "Probe",
    "Problem",
    "ProblemView",
    "ProgramEvaluation",
    "Reduced",
    "Run",
    "Scores",
    "SumOfSteps",
    "TokenPredictor",
    "Tokens",
    "UnsupportedError",
    "UnusedBackgroundWarning",
    "UsageError",
    "XaibenchError",
    "XaibenchWarning",
    "advice",
    "agreement",
    "audit",
    "certify",
    "claims",
    "claims_index",
    "compare",
    "components",
    "curve",
    "dataset",
    "explain",
    "explain_case",
    "explainer",
    "from_pyg",
    "function_set",
    "interactions",
    "interpret",
    "interpreter",
    "leaderboard",
    "metric",
    "model",
    "overall",
    "pairwise",
    "recommend",
    "register_case_kind",
    "report",
    "results",
    "run",
    "score",
    "text_model",
]


class _Package(ModuleType):
    """This package, in which a public function may have the name of a subpackage, as `report` has.

    Importing a subpackage would otherwise put it in the place of the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _WHERE or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'xaibench' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"xaibench.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Columns of an advice table with their types and descriptions, for files and the data dictionary."""

from __future__ import annotations

ADVICE_COLUMNS: dict[str, str] = {
    "suite": "str", "kind": "str", "cause": "str", "explainers": "list[str]", "reason": "str", "tests": "list[str]",
    "evidence": "list[str]",
}  # fmt: skip
ADVICE_COLUMN_DESCRIPTIONS: dict[str, str] = {
    "suite": "Name of the suite whose leaderboard gives the advice.",
    "kind": "use, also (supported as well, but behind or slower), avoid, undecided or untested, which are about "
    "explainers; none (nothing can be recommended), unknown (constructs where no explainer beats the placebos) or "
    "scope.",
    "cause": "Why something is undecided or untested: contradicted, one construct, not shown, few samples, undefined, "
    "raced, no explanation (made without the model or from the truth) or no test; empty otherwise.",
    "explainers": "Names of the explainers that the sentence is about, with the parameters that distinguish variants.",
    "reason": "The sentence, as leaderboards and reports show it.",
    "tests": "The tests behind it: outcome, explainer, metric and problem of each, and plants found by a certificate.",
    "evidence": "cell_id of the scores behind these tests, those of the explainers and of their best placebos; empty "
    "where the advice was made from a board without its results.",
}
"""A sentence or two by column of `ADVICE_COLUMNS`, in its order."""

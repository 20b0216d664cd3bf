"""Descriptions of every column of the table of claims, for the data dictionary of the documentation."""

from __future__ import annotations

CLAIM_COLUMN_DESCRIPTIONS: dict[str, str] = {
    "suite": "Name of the suite that makes the claim.",
    "id": "Name of the claim.",
    "verdict": "reproduced, refuted or inconclusive.",
    "effect": "Left minus right, or left minus the number of the claim.",
    "ci_low": "Lower end of the 95 % interval of the effect.",
    "ci_high": "Upper end of the 95 % interval of the effect.",
    "n": "Independent units behind the effect.",
    "n_informative": "Units whose score differs from the other side's, or from the number.",
    "unit": "What is independent: sample (given these models) or training.",
    "p": "p-value of the test that the verdict rests on.",
    "direction": "What is claimed of the effect: greater, less or equal.",
    "margin": "Size that the effect must exceed, or stay within for equal.",
    "left": "Mean of the left side.",
    "right": "Mean of the right side.",
    "binding": "Where a side is about every explainer: the one that decides.",
    "statement": "The claim in a sentence.",
    "source": "Where the claim was published.",
    "message": "Why nothing could be decided.",
    "would_need_n": "Units that would decide the claim if effect and spread stay as they are.",
    "critical_margin": "The margin at which the verdict changes.",
    "would_change": "What would change the verdict, in a sentence.",
}
"""A sentence by column of `CLAIM_COLUMNS`, in its order."""

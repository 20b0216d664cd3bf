"""What a first look at a model found, in words, for the terminal and for reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

_FROM = {"given": "as said", "outputs": "decided by its outputs", "default": "assumed of a model of this kind"}
_RETURNS = {
    "logit": "logits",
    "multilabel_logit": "logits of labels",
    "probability": "probabilities",
    "multilabel_probability": "probabilities of labels",
    "value": "values",
}


def describe_model(facts: Mapping[str, Any]) -> dict[str, str]:
    """Short texts about a model by what they are about; ``facts`` are those of `ModelFacts.to_json`."""
    lacking = "; ".join(f"no {need}: {why}" for need, why in facts["lacking"].items())
    numbers = facts["input_dtype"]
    if facts["output_dtype"] != numbers:
        numbers += f" to {facts['output_dtype']}"
    can = [name for name, there in (("hooks", facts["hooks"]), ("copies", facts["copies"])) if there]
    return {
        "kind": facts["kind"],
        "returns": f"{_RETURNS[facts['returns']]} ({_FROM[facts['returns_from']]}), columns: {facts['columns']}",
        "read from": facts["output"],
        "number types": numbers,
        "device": facts["device"],
        "gradients reach the inputs": "yes" if facts["gradients"] else "no",
        "layers can be used by": " and ".join(can) or "nothing",
        "remarks": "; ".join([*([lacking] if lacking else []), *facts["notes"]]) or "none",
    }


def model_rows(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """What reports show of the models of some results: one entry per problem, with its facts in words."""
    if "model_facts" not in cells:
        return []
    known = cells[cells["model_facts"].notna()]
    names = known[["dataset", "model", "problem_seed", "model_facts"]].drop_duplicates()
    several = names.duplicated(["dataset", "model"], keep=False)
    return [
        {
            "problem": f"{row.dataset}/{row.model}" + (f", seed {row.problem_seed}" if many else ""),
            "facts": describe_model(json.loads(str(row.model_facts))),
        }
        for row, many in zip(names.itertuples(index=False), several, strict=True)
    ]

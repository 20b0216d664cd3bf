"""The card of published results: how they were made, and what to conclude from them and what not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from xaibench.analysis.advice.verdicts import advise
from xaibench.analysis.claims.verdicts import CLAIM_VERDICTS
from xaibench.analysis.leaderboard.columns import PROBLEM
from xaibench.analysis.leaderboard.extent import extent
from xaibench.analysis.leaderboard.gates import gate_conditions
from xaibench.report.advice import advice_groups, opening_sentence, scope_sentence, unknown_sentence

GIVEN_MODELS = "given these models"
MODELS_LIKE_THESE = "for models that are trained in this way"
MOST_CLAIMS = 12
"""Claims that a sentence names; of more it says how many."""
FEW_TRAININGS = 6
"""Trained models per problem from which on a sign test can reach 2.5 % on one side: (1/2)^6 < .025."""


def conclusions(
    board: pd.DataFrame, claims: pd.DataFrame, audit: pd.DataFrame | None
) -> tuple[list[str], list[str], str]:
    """Sentences on what to conclude, on what not to conclude, and what intervals are about.

    Parameters
    ----------
    board, claims, audit : DataFrame
        Of one suite.

    Returns
    -------
    conclude, not_conclude : list of str
    about : str
        `GIVEN_MODELS` where any problem has fewer than `FEW_TRAININGS` training seeds, else `MODELS_LIKE_THESE`.
    """
    found = advise(board, audit=audit)
    groups = advice_groups(found, board)
    opening = opening_sentence(found)
    conclude = [opening] if opening else []
    conclude += [group.text for group in groups if group.kind in ("use", "also", "avoid")]
    conclude += [
        _claims_named(verdict, claims.loc[claims["verdict"] == verdict, "id"].tolist())
        for verdict in CLAIM_VERDICTS[:2]
        if (claims["verdict"] == verdict).any()
    ]
    open_claims = claims.loc[~claims["verdict"].isin(CLAIM_VERDICTS[:2]), "id"]
    limits = [scope_sentence(found.scope)]
    few = _few_trainings(board)
    about = GIVEN_MODELS if few else MODELS_LIKE_THESE
    limits += [few] if few else []
    unknown = unknown_sentence(found)
    limits += [unknown] if unknown else []
    limits += [group.text for group in groups if group.kind in ("undecided", "untested")]
    limits += [_claims_named("not decided", open_claims.tolist())] if len(open_claims) else []
    limits += _gates_and_failures(board)
    return conclude, limits, about


def _few_trainings(board: pd.DataFrame) -> str:
    """What intervals and verdicts are not about, where any problem has few training seeds; else nothing."""
    trainings = board[board["n"] > 0].groupby(PROBLEM, dropna=False)["n_seeds"].min()
    few = trainings[trainings < FEW_TRAININGS]
    if len(trainings) and few.empty:
        return ""
    low, high = (int(few.min()), int(few.max())) if len(few) else (0, 0)
    seeds = "one seed" if high == 1 else f"{high} seeds" if low == high else f"{low} to {high} seeds"
    held = f"hold {GIVEN_MODELS}, not for retrained ones."
    if len(few) == len(trainings):
        return f"Data and models of {seeds}: intervals and verdicts {held}"
    return f"Data and models of {seeds} on {len(few)} of {len(trainings)} problems: intervals and verdicts there {held}"


def _claims_named(verdict: str, ids: list[str]) -> str:
    """How many claims have a verdict, and the first of them; the board's page has a table of all."""
    more = f" and {len(ids) - MOST_CLAIMS} more" if len(ids) > MOST_CLAIMS else ""
    return f"Claims {verdict} ({len(ids)}): {', '.join(ids[:MOST_CLAIMS])}{more}."


def _gates_and_failures(board: pd.DataFrame) -> list[str]:
    gates = gate_conditions(board)
    failed = gates[~gates["passed"].astype(bool)]
    named = dict.fromkeys(f"{d}/{m}" for d, m in zip(failed["dataset"], failed["model"], strict=True))
    said = [f"Gates failed on {', '.join(named)}: not ranked."] if named else []
    n_failed = int(board["n_failed"].sum())
    return [*said, f"{n_failed} cells failed and have no score."] if n_failed else said


def extent_facts(board: pd.DataFrame) -> dict[str, Any]:
    """Numbers of problems, data sets and samples behind a board."""
    size = extent(board)
    return {"problems": size.problems, "samples": [size.least_samples, size.most_samples], "rows": len(board)}


def to_toml(card: Mapping[str, Any]) -> str:
    """A card as TOML: plain values and lists first, then tables of them.

    Raises
    ------
    TypeError
        If a value is none of text, number, truth value and list.

    Examples
    --------
    >>> import tomllib
    >>> from xaibench.api.publication_card import to_toml
    >>> card = {"suite": "a \\"b\\" \\\\ \\u00e9", "seeds": [1, 2], "machine": {"cores": 2}}
    >>> tomllib.loads(to_toml(card)) == card
    True
    """
    plain = [f"{key} = {_value(v)}" for key, v in card.items() if not isinstance(v, Mapping)]
    tables = [
        "\n".join([f"[{name}]", *(f"{_key(key)} = {_value(v)}" for key, v in table.items())])
        for name, table in card.items()
        if isinstance(table, Mapping)
    ]
    return "\n\n".join(["\n".join(plain), *tables]) + "\n"


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, list):
        inner = [_value(v) for v in value]
        if not any(isinstance(v, str) for v in value):
            return f"[{', '.join(inner)}]"
        return "[\n" + "".join(f"  {v},\n" for v in inner) + "]"
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise TypeError(f"{value!r} has no place on a card")

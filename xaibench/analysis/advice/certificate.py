"""Votes of certificates: whether an explainer finds a planted shortcut that the model provably uses."""

from __future__ import annotations

import pandas as pd

from xaibench.analysis.advice.placebo_votes import VOTE_COLUMNS

FOUND = 0.5
"""Net share of rows from which on a plant counts as found, as for the thresholds of a certificate."""
_NEEDED = {"plant", "level", "explainer", "net"}


def certificate_votes(certificate: pd.DataFrame | None) -> pd.DataFrame | None:
    """One vote per explainer of a certificate, at the highest level of every plant.

    Parameters
    ----------
    certificate : DataFrame or None
        Rows of ``certify.parquet``: ``plant``, ``level``, ``explainer``, ``net`` (found on the copy minus found on its
        null twin), and where they are there ``explainer_params``, ``gate_passed`` (rows that are False do not count),
        ``control`` (controls have no vote).

    Returns
    -------
    DataFrame or None
        The columns of `construct_votes`; ``for`` where the mean over copies reaches `FOUND` for every plant,
        ``against`` where it is not above 0 for any plant, else ``open``. None without a certificate that can be read.
    """
    if certificate is None or not set(certificate.columns) >= _NEEDED or certificate.empty:
        return None
    rows = certificate.assign(explainer_params=certificate.get("explainer_params", "{}"))
    if "control" in rows:
        rows = rows[~rows["control"].astype(bool)]
    if "gate_passed" in rows:
        rows = rows[rows["gate_passed"].astype(bool)]
    rows = rows[rows["net"].notna() & (rows["level"] > 0)]
    top = rows[rows["level"] == rows.groupby("plant")["level"].transform("max")]
    means = top.groupby(["explainer", "explainer_params", "plant"])["net"].mean().reset_index()
    votes = []
    for (explainer, params), group in means.groupby(["explainer", "explainer_params"]):
        won, lost = int((group["net"] >= FOUND).sum()), int((group["net"] <= 0).sum())
        vote = "for" if won == len(group) else "against" if lost == len(group) else "open"
        votes.append((explainer, params, "certificate", "planted shortcut", "model", won, lost, len(group), vote, 2))
    return pd.DataFrame(votes, columns=VOTE_COLUMNS)

"""Tables of explainers against groups: the widest comparison fills a cell, support and mean rank order the rows."""

from __future__ import annotations

import pandas as pd

from xaibench.analysis.ranks.rank_orders import order_by_groups, order_by_maskers, widest_comparisons


def test_widest_comparisons_and_the_order_of_explainers() -> None:
    frame = pd.DataFrame(
        [("x", "a", 1, 0.0), ("x", "a", 0, 0.5), ("y", "a", 0, 0.3), ("x", "b", 0, 0.2), ("y", "b", 0, 0.4),
         ("x", "c", 1, 0.0)],
        columns=["group", "explainer", "comparison", "relative_rank"],
    ).assign(explainer_params="{}")  # fmt: skip
    widest = widest_comparisons(frame)
    found = widest.set_index(["explainer", "group"])["relative_rank"].to_dict()
    assert found == {("a", "x"): 0.5, ("a", "y"): 0.3, ("b", "x"): 0.2, ("b", "y"): 0.4, ("c", "x"): 0.0}
    assert order_by_groups(widest) == [("b", "{}"), ("a", "{}"), ("c", "{}")], "c is in one group only"


def test_explainers_by_their_mean_over_maskers() -> None:
    ranks = pd.DataFrame(
        [("a", "zero", 0.5), ("a", "mean", 0.1), ("b", "zero", 0.2), ("c", "zero", 0.3)],
        columns=["explainer", "masker", "relative_rank"],
    ).assign(explainer_params="{}")
    assert [name for name, _ in order_by_maskers(ranks)] == ["b", "a", "c"], "ties stay in their order"

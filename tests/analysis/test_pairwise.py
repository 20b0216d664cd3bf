"""All pairs of explainers: the same story as the board, with effects and both corrections."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as sps
from helpers.hall import two_sided_p
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.pairwise import pairwise
from xaibench.analysis.leaderboard.table import leaderboard


def test_pairs_tell_what_the_board_tells() -> None:
    r = np.random.default_rng(0)
    scores = {n: np.float32(r.normal(0.4 * i, 1, 40)).astype(float) for i, n in enumerate("abcd")}
    cells = concat(
        make_results(scores | {"random": r.normal(size=40)}),
        make_results({"a": 10 ** scores["a"], "d": 10 ** scores["d"]}, metric="infidelity", aggregate="median_log10",
                     higher_is_better=False),
    )  # fmt: skip
    board = leaderboard(cells, suite="s")
    table = pairwise(cells, board)
    assert table.groupby("metric", sort=False).size().to_dict() == {"infidelity": 1, "pixel_flipping": 6}
    rows = table[table["metric"] == "pixel_flipping"].set_index(["explainer_a", "explainer_b"])
    for (a, b), row in rows.iterrows():
        d = scores[a] - scores[b]
        assert row["difference"] == pytest.approx(d.mean())
        assert row["win_rate"] == pytest.approx((d > 0).mean())
        ranks = sps.rankdata(np.abs(d))
        assert row["effect"] == pytest.approx((ranks[d > 0].sum() - ranks[d < 0].sum()) / ranks.sum())
        assert row["p"] == pytest.approx(two_sided_p(d))
    np.testing.assert_allclose(rows["p_bh"], sps.false_discovery_control(rows["p"]))
    assert (rows["p_holm"] >= rows["p_bh"]).all()
    groups = board[board["metric"] == "pixel_flipping"].set_index("explainer")["tie_group"]
    apart = {pair for pair, row in rows.iterrows() if row["better"] is not None and row["better"] == row["better"]}
    assert apart == {(a, b) for a, b in rows.index if not set(groups[a]) & set(groups[b])}
    assert apart
    assert table.loc[0, "better"] == "a"  # lower is better
    assert table.loc[0, "effect"] > 0


def test_boards_of_other_results_are_refused() -> None:
    cells = make_results({"a": np.zeros(9), "b": np.ones(9)})
    board = leaderboard(cells, suite="s")
    with pytest.raises(ValueError, match="other results"):
        pairwise(cells[cells["explainer"] == "a"], board)

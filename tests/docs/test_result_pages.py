"""Pages of published results: every link leads to a page, numbers are those of the tables, names cannot break out."""

from __future__ import annotations

import json
import posixpath
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.documentation import DOCS, hook
from helpers.documentation import pages as all_pages
from helpers.results import concat, make_results

import xaibench as xb
from xaibench import suite as suites
from xaibench.analysis.claims.claims_index import index_claims
from xaibench.analysis.claims.verdicts import claims_table
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.quality_and_cost import quality_and_cost
from xaibench.api.publication_card import conclusions
from xaibench.api.published import ADVICE, AUDIT, BOARD, CLAIMS, COST, Published

boards: Any = hook("result_boards")
components: Any = hook("result_components")
tables: Any = hook("result_tables")
HOSTILE = "<b>x</b>|</script>"
CLAIM = suites.Claim.model_validate(
    {
        "id": "small.good", "source": "Ada et al. 2020", "statement": f"Good is above bad {HOSTILE}",
        "left": {"explainer": "good*", "metric": "one"}, "right": {"explainer": "bad"},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Published results of a made-up suite, with a certain order and a hostile name."""
    rng = np.random.default_rng(0)
    values = {"good": 0.9, "lib:fine": 0.7, "bad": 0.2, HOSTILE: 0.5, "random": 0.4, "constant": 0.3}
    scores = {name: mean + 0.05 * rng.normal(size=40) for name, mean in values.items()}
    cells = concat(*(make_results(scores, metric=metric) for metric in ("one", "two")))
    cells = cells.assign(explain_seconds=cells["explainer"].map({n: 0.4 * (i + 1) for i, n in enumerate(scores)}))
    board, verdicts = leaderboard(cells, suite="small"), claims_table(cells, [CLAIM], suite="small")
    folder = tmp_path_factory.mktemp("published") / "small"
    folder.mkdir()
    board.to_parquet(folder / BOARD)
    verdicts.to_parquet(folder / CLAIMS)
    xb.advice(board).drop(columns=["tests", "evidence"]).to_parquet(folder / ADVICE)
    quality_and_cost(board).to_parquet(folder / COST)
    audited = {
        "suite": "small", "dataset": "digits", "model": "cnn", "metric": "one", "verdict": "weak",
        "diagnosis": f"noise {HOSTILE}", "trust": 0.3,
    }  # fmt: skip
    pd.DataFrame([audited]).to_parquet(folder / AUDIT)
    conclude, limits, about = conclusions(board, verdicts, None)
    card = {
        "description": "A made-up suite", "command": "xaibench run small", "commit": "0" * 40, "seconds": 3.0,
        "started": "2026-01-02T03:04:05", "conclude": conclude, "not_conclude": limits, "about": about,
        "problem_seeds": [0], "seeds": [0], "extent": {"problems": 1}, "verdicts": {"reproduced": 1},
    }  # fmt: skip
    return Published(folder, card)


@pytest.fixture(scope="module")
def made(small: Published) -> dict[str, str]:
    index = index_claims({"small": [CLAIM]}, small.table(CLAIMS))
    return {
        **boards.pages([small], index, {"small": "A made-up suite", "other": "not run"}),
        **components.pages([small], index, {"small": [CLAIM]}),
    }


def dead_links(pages: dict[str, str]) -> list[tuple[str, str]]:
    """Links within HTML, which MkDocs does not check, that lead to none of the pages."""
    urls = {re.sub(r"(index)?\.md$", "", path).rstrip("/") for path in pages}
    found = []
    for path, text in pages.items():
        here = re.sub(r"(index)?\.md$", "", path).rstrip("/")
        for target in re.findall(r'href="([^"#]+)"', text):
            if (
                not re.match(r"[a-z]+:", target)
                and posixpath.normpath(posixpath.join(here, unescape(target))) not in urls
            ):
                found.append((path, target))
    return found


def test_every_link_between_pages_leads_to_one(made: dict[str, str]) -> None:
    assert "results/explainers/lib-fine.md" in made
    assert sum(text.count("href=") for text in made.values()) > 10
    assert dead_links(made) == []
    assert dead_links({**made, "results/x.md": '<a href="nowhere/">'}) == [("results/x.md", "nowhere/")]


def test_names_cannot_break_out(made: dict[str, str]) -> None:
    for path, text in made.items():
        assert "<b>x" not in text, path
        assert text.count("<script") == text.count("</script>"), path


def drawn(text: str) -> dict[str, Any]:
    """The values of the page's large table."""
    found = re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def test_a_board_shows_the_numbers_of_its_table(made: dict[str, str], small: Published) -> None:
    content = drawn(made["results/boards/small.md"])
    assert len(content["rows"]) == len(small.board)
    rows = {(row[0], row[1]): dict(zip(content["heads"], row, strict=True)) for row in content["rows"]}
    expected = small.board.set_index(["explainer", "metric"])
    for name in ("good", "lib:fine", "bad"):
        row, at = rows[name, "one"], expected.loc[(name, "one")]
        assert row["value"] == pytest.approx(at["value"], rel=1e-3)
        assert row["95 % interval"] == pytest.approx([at["ci_low"], at["ci_high"]], rel=1e-3)
        assert row["ties"] == at["tie_group"]
    assert rows["good", "one"]["placebos"] == "beats"
    assert rows["bad", "one"]["placebos"] == "loses"
    assert "random (control)" in {row[0] for row in content["rows"]}


def test_what_is_known_of_an_explainer_is_on_its_page(made: dict[str, str]) -> None:
    good, bad = (made[f"results/explainers/{name}.md"] for name in ("good", "bad"))
    assert "Where it beats every placebo" in good
    assert "Where it loses to a placebo" not in good
    assert "Where it loses to a placebo" in bad
    assert "10 ms" in good, "0.4 s for 40 samples"
    assert "small.good" in good
    assert "small.good" in bad
    assert "small.good" not in made["results/explainers/lib-fine.md"]


def test_a_metric_has_its_verdict_and_a_claim_what_would_change_it(made: dict[str, str]) -> None:
    assert "weak" in made["results/metrics/one.md"]
    assert "part of no published audit" in made["results/metrics/two.md"]
    content = drawn(made["results/claims.md"])
    (row,) = (dict(zip(content["heads"], row, strict=True)) for row in content["rows"])
    assert (row["verdict"], row["paper"]) == ("reproduced", "Ada et al. 2020")
    assert row["what would change it"].startswith("a margin above")
    assert row["turns at"] == pytest.approx(row["95 % interval"][0])


def test_the_overview_says_what_is_stale_and_what_was_not_run(made: dict[str, str]) -> None:
    text = made["results/index.md"]
    assert "there is no suite of this name" in made["results/boards/small.md"]
    assert "stale" in text
    assert "without published results: other." in text


def test_without_any_results_there_are_pages_all_the_same() -> None:
    index = index_claims({"small": [CLAIM]})
    pages = {**boards.pages([], index, {"small": ""}), **components.pages([], index, {"small": [CLAIM]})}
    assert "No results are published yet" in pages["results/index.md"]
    assert "on no published board" in pages["results/explainers/good.md"]
    assert dead_links(pages) == []


def test_published_pages_have_no_dead_links_and_load_nothing() -> None:
    there = {p.relative_to(DOCS).as_posix(): text for p, text in all_pages().items() if p.is_relative_to(DOCS)}
    pages = {path: text for path, text in there.items() if path.startswith("results/")}
    assert "results/boards/quick.md" in pages
    assert dead_links(pages) == []
    assets = Path(boards.__file__).parents[1] / "assets"
    texts = [*pages.values(), *(p.read_text(encoding="utf-8") for p in assets.iterdir())]
    assert not [t for t in texts if re.search(r'(src=|@import|url\(|fetch\(|import\()\s*["\']?(https?:)?//', t)]

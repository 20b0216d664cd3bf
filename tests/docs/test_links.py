"""No internal link of the documentation or the README is dead, and code names pages that are there."""

from __future__ import annotations

import re

import pytest
from helpers.documentation import DOCS, FENCE, TOP, anchors, pages

PATHS = {p.resolve(): text for p, text in pages().items()}


def outside_navigation(page: str) -> bool:
    """Whether a page, by its path below docs, is one of many that `not_in_nav` names; test_result_pages has those."""
    many = page.startswith(("results/boards/", "results/explainers/", "results/metrics/"))
    return many and not page.endswith("index.md")


LINKED = sorted(str(p.relative_to(TOP)) for p in pages() if not outside_navigation(str(p).removeprefix(f"{DOCS}/")))


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_somewhere(page: str) -> None:
    text, folder = pages()[TOP / page], (TOP / page).parent
    dead = []
    for link in re.findall(r"\]\(<?([^)\s>]+)>?\)", FENCE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (folder / name).resolve() if name else (TOP / page).resolve()
        if (target not in PATHS and not target.exists()) or (
            anchor and target in PATHS and anchor not in anchors(PATHS[target])
        ):
            dead.append(link)
    assert not dead


def test_pages_that_code_and_suites_name_are_there() -> None:
    files = [
        p for folder in ("xaibench", "suites", "tests", ".github") for p in (TOP / folder).rglob("*") if p.is_file()
    ]
    named = {
        (str(p.relative_to(TOP)), found)
        for p in [*files, TOP / "CHANGELOG.md", TOP / "noxfile.py", TOP / "pyproject.toml"]
        if p.suffix in (".py", ".toml", ".md", ".yml", ".html", ".j2")
        for found in re.findall(r"\bdocs/[\w/.-]+\.(?:md|py|png)\b", p.read_text(encoding="utf-8"))
    }
    assert named
    assert not {(where, name) for where, name in named if not (TOP / name).exists()}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (TOP / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"([\w/-]+\.md)$", navigation, flags=re.MULTILINE))
    there = {str(p.relative_to(DOCS)) for p in pages() if p.is_relative_to(DOCS)}
    assert listed == {page for page in there if not outside_navigation(page)}


def test_links_of_the_readme_are_no_links_into_generated_pages() -> None:
    links = re.findall(r"\]\((docs/[^)#]+)", (TOP / "README.md").read_text(encoding="utf-8"))
    assert links
    assert not [link for link in links if not (TOP / link).exists()]

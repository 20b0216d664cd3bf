"""MkDocs hook: pages of suites have no headings, so their tables get the room of the table of contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Called by MkDocs with every page before it is rendered."""
    if page.file.src_uri.startswith("suites/"):
        page.meta["hide"] = ["toc"]
    return markdown

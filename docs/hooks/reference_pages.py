"""MkDocs hook: adds the pages that are made from the code when the site is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import columns
import components
import maskers
import result_pages
import suite_fields

import suites

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def pages() -> dict[str, str]:
    """All generated pages: Markdown by path below the documentation's folder."""
    makers = (components, maskers, columns, suite_fields, suites, result_pages)
    return {path: text for maker in makers for path, text in maker.pages().items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs with the files that it found."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files

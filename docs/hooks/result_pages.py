"""All pages of published results."""

from __future__ import annotations

import result_boards
import result_components

from xaibench import suite as suites
from xaibench.api.published import claims_index, published


def pages() -> dict[str, str]:
    """Markdown by path below the documentation's folder."""
    results, index = published(), claims_index()
    return {
        **result_boards.pages(results, index, suites.descriptions()),
        **result_components.pages(results, index, suites.shipped_claims()),
    }

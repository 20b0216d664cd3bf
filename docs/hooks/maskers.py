"""Reference page of maskers: what replaces a removed feature."""

from __future__ import annotations

import numpydoc

from xaibench.core.masking.maskers import DRAWN, FILLS, MASKERS, ConditionalMasker, NoisyLinearMasker
from xaibench.core.masking.names import SERIES_MASKERS
from xaibench.core.masking.tokens import TOKEN_MASKERS

CLASSES = {"noisy_linear": NoisyLinearMasker, "conditional": ConditionalMasker}
INTRODUCTION = """\
# Maskers

A masker says what replaces a removed feature. Explainers take it as `masker` or `baseline`, metrics as
`masker`; there is no neutral choice, and it can decide an order of explainers
(see [footguns](../concepts/footguns.md)). `xaibench list maskers` prints this list. In a suite:

```toml
explainers = [{ name = "kernel_shap", params = { masker = "marginal" } }]
metrics = [{ name = "pixel_flipping", grid = { masker = ["mean", "marginal"] } }]
```
"""


def pages() -> dict[str, str]:
    """Markdown by path below the documentation's folder."""
    parts = [INTRODUCTION]
    for name in MASKERS:
        if name in TOKEN_MASKERS or name in SERIES_MASKERS:
            of = f"Of tokens. {TOKEN_MASKERS[name]}" if name in TOKEN_MASKERS else f"Of series. {SERIES_MASKERS[name]}"
            drawn = "Random: keyed by seed and sample." if name in DRAWN else "Deterministic."
            parts.append("\n\n".join([f"## {name} {{ #{name} }}", of, drawn]))
            continue
        doc = numpydoc.parse((FILLS.get(name) or CLASSES[name]).__doc__)
        drawn = "Random: keyed by seed and sample." if name in DRAWN else "Deterministic."
        raised = [f"*Refuses* (`{e.names[0]}`): {e.text}" for e in doc.entries.get("Raises", [])]
        parts.append("\n\n".join([f"## {name} {{ #{name} }}", doc.text, drawn, *raised]))
    return {"reference/maskers.md": "\n\n".join(parts) + "\n"}

"""Models: architectures and training recipes. Importing this package registers them."""

from xaibench.models import (
    discoveries,
    forests,
    logistic,
    networks,
)

__all__ = ["discoveries", "forests", "logistic", "networks"]

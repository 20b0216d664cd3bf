"""Models: architectures and training recipes. Importing this package registers them."""

from xaibench.models import (
    analytic,
    discoveries,
    forests,
    logistic,
    networks,
    robust,
)

__all__ = [
    "analytic",
    "discoveries",
    "forests",
    "logistic",
    "networks",
    "robust",
]

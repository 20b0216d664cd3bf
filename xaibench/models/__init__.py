"""Models: architectures and training recipes. Importing this package registers them."""

from xaibench.models import (
    analytic,
    deep,
    discoveries,
    forests,
    logistic,
    networks,
    robust,
    scaffold,
)

__all__ = ["analytic", "deep", "discoveries", "forests", "logistic", "networks", "robust", "scaffold"]

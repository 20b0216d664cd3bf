"""Models: architectures and training recipes. Importing this package registers them."""

from xaibench.models import forests, networks

__all__ = ["forests", "networks"]

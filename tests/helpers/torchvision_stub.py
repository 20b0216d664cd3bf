"""A stand-in for torchvision, with the names that grad-cam and zennit import and do not use here."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

NAMES = {
    "": (),
    "transforms": ("Compose", "Normalize", "ToTensor"),
    "transforms.functional": ("resize",),
    "ops": (),
    "models": (),
    "models.resnet": ("Bottleneck", "BasicBlock"),
    "models.vgg": ("VGG",),
    "models.vision_transformer": ("VisionTransformer",),
}


def install_torchvision_stub() -> None:
    """Let libraries be imported that import torchvision, where there is none."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return
    made: dict[str, Any] = {}
    for path, names in NAMES.items():
        full = f"torchvision.{path}".rstrip(".")
        module: Any = ModuleType(full)
        module.__path__ = []
        module.__spec__ = importlib.util.spec_from_loader(full, loader=None)
        for name in names:
            setattr(module, name, type(name, (), {}))
        made[path] = sys.modules[full] = module
        if path:
            parent, _, own = path.rpartition(".")
            setattr(made[parent], own, module)

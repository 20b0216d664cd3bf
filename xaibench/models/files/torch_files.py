"""Torch models from files: exported programs, TorchScript, and weights for an architecture of the user's."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from xaibench.core import registry
from xaibench.core.component_files import SourceFile, of_file, reads_files
from xaibench.core.components import Component
from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import DataError, UsageError, XaibenchError
from xaibench.core.source_files import source_of
from xaibench.core.trust import require_trust
from xaibench.core.user_errors import described
from xaibench.core.zip_archives import check_zip
from xaibench.models.files.rows import NO_RETRAINING, in_evaluation_mode, require_own_columns

_EXAMPLE = 'params = { architecture = "my_model.py:net" }'
_PICKLED_PARTS = "holds pickled parts, which can run any code when it is opened"


@reads_files("model", ".pt2")
def exported_file(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The module of a program that `torch.export.save` stored."""
    check_exported(file)

    def load(data: Data) -> nn.Module:
        """A program exported by torch; its gradients are there, its layers are operations."""
        _require_plain_columns(data, file.name)
        check_exported(file)
        try:
            # Copies of an exported program meet a deprecation inside torch, which users cannot do anything about.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            program = torch.export.load(str(file.path))
            return in_evaluation_mode(program.module())
        except XaibenchError:
            raise
        except Exception as error:
            raise DataError(f"{file.name} cannot be opened: {described(error)}") from error

    return _module_spec(file, load)


@reads_files("model", ".pt", ".ts", ".pth", ".safetensors")
def module_file(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The module of a TorchScript file, or of weights with an architecture."""
    named = str(params.get("architecture", ""))
    more: list[str] = []
    if named:
        more = [f"architecture:{source_of(_architecture(named, file)) or named}"]
    elif params and file.path.suffix.lower() in (".pth", ".safetensors"):
        raise UsageError(f"{file.name} holds weights, and no architecture is named", _EXAMPLE)

    def load(data: Data, *, architecture: str = "") -> nn.Module:
        """A torch module.

        Parameters
        ----------
        architecture : str
            ``file.py:NAME`` of a function or class without required arguments that makes the module whose weights
            the file holds; not for TorchScript.
        """
        _require_plain_columns(data, file.name)
        if not architecture:
            return _scripted(file)
        module = _made(_architecture(architecture, file), architecture)
        weights = _weights(file)
        try:
            module.load_state_dict(weights, strict=True)
        except (RuntimeError, TypeError) as error:
            said = " ".join(str(error).split())[:300]
            raise UsageError(f"the weights of {file.name} are not those of {architecture}: {said}") from error
        return module.eval()

    return _module_spec(file, load, *more)


def _module_spec(file: SourceFile, load: Callable[..., nn.Module], *more: str) -> ModelSpec:
    return ModelSpec(file.name, of_file(load, file, *more), fitted=True, lacking={"retrain": NO_RETRAINING})


def check_exported(file: SourceFile) -> None:
    """Refuse an exported program with pickled parts, unless the user trusts it; nothing of it is opened.

    Torch unpickles weights, constants and sample inputs of an archive without restriction where its configuration
    says ``use_pickle``, and where the sample inputs are not plain tensors.

    Raises
    ------
    DataError
        If it is not such a program.
    UsageError
        If it needs trust.
    """
    members = check_zip(file.path)
    pickled = False
    with zipfile.ZipFile(file.path) as archive:
        for member in members:
            name = member.filename
            if name.endswith((".pt", ".pkl", ".pickle")) and _is_pickle(archive, member):
                pickled = True
            if name.endswith(".json"):
                try:
                    pickled |= _says_pickle(json.loads(archive.read(member)))
                except (ValueError, OSError, RecursionError) as error:
                    raise DataError(f"{name} in {file.name} is damaged: {error}") from error
    if not any(member.filename.endswith(".json") for member in members):
        raise DataError(f"{file.name} is not a program that torch.export.save stored")
    if pickled:
        require_trust(file.path, file.sha256, _PICKLED_PARTS)


def _says_pickle(document: Any) -> bool:
    if isinstance(document, dict):
        return bool(document.get("use_pickle")) or any(map(_says_pickle, document.values()))
    return isinstance(document, list) and any(map(_says_pickle, document))


def _is_pickle(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether a member is a pickle that holds more than tensors (these are read with ``weights_only``)."""
    import io

    content = archive.read(member)
    if not content:
        return False
    try:
        torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception:  # What cannot be read so would be unpickled.
        return True
    return False


def _scripted(file: SourceFile) -> nn.Module:
    if file.path.suffix.lower() in (".pth", ".safetensors"):
        raise UsageError(f"{file.name} holds weights, and no architecture is named", _EXAMPLE)
    check_zip(file.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module: nn.Module = torch.jit.load(str(file.path), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:
        raise DataError(
            f"{file.name} is not a TorchScript file: {str(error).partition(chr(10))[0]}",
            f"for weights name the architecture: {_EXAMPLE}",
        ) from error
    return in_evaluation_mode(module)


def _weights(file: SourceFile) -> dict[str, Any]:
    """A state dict, without unpickling anything but tensors."""
    try:
        if file.path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(file.path))
        found = torch.load(str(file.path), weights_only=True, map_location="cpu")
    except Exception as error:
        raise DataError(
            f"{file.name} does not hold plain weights ({type(error).__name__})",
            "a whole pickled module is not opened; store its weights: torch.save(net.state_dict(), ...)",
        ) from error
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise DataError(
            f"{file.name} holds a {type(found).__name__}, not a state dict", "torch.save(net.state_dict(), ...)"
        )
    return found


def _architecture(named: str, file: SourceFile) -> Any:
    source, colon, name = named.rpartition(":")
    if not colon:
        raise UsageError(f"{named!r} does not say which function makes the module", _EXAMPLE)
    module = registry.load_module(source, folder=file.folder)
    found = getattr(module, name, None)
    if found is None:
        raise UsageError(f"{source} has no {name!r}")
    return found


def _made(architecture: Any, named: str) -> nn.Module:
    try:
        found = architecture if isinstance(architecture, nn.Module) else architecture()
    except XaibenchError:
        raise
    except Exception as error:
        raise UsageError(f"{named} failed: {described(error)}", "it is called without arguments") from error
    if not isinstance(found, nn.Module):
        raise UsageError(f"{named} gives a {type(found).__name__}, not a torch module")
    return found


def _require_plain_columns(data: Data, model: str) -> None:
    """Raise UsageError if inputs are not numbers as they are in the file: a module takes nothing else."""
    require_own_columns(data, model)
    text = [] if data.codec is None else [c.name for c in data.codec.columns if c.kind == "category"]
    if text:
        raise UsageError(
            f"{model} takes numbers, and column {text[0]!r} holds categories",
            "store the table with the numbers that the module was trained on",
        )

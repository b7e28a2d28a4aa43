"""Checkpoints: one safetensors file with the weights, and in its metadata all that is needed to use them.

The metadata are strings: ``format`` ("facedepth"), ``model`` and ``options`` (JSON: what ``create_model`` takes),
``kind``, ``input_size``, ``mean``, ``std``, ``version``, and whatever else is told (training data, metrics, licence).
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from ..checks import InputError, choose_device
from ..io import atomic_path
from .converters import convert
from .network import DepthNetwork
from .registry import MODELS, SHIPPED, create_model

_OWN_KEYS = ("format", "model", "options", "kind", "input_size", "mean", "std", "version")


def save_model(
    model: DepthNetwork, path: str | Path, *, info: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    """Write a model, made by ``create_model`` or ``load_model``, as a .safetensors checkpoint.

    Args:
        info: further metadata, such as ``training_data``, ``metrics``, ``licence``; joins what the model already has.
        half: store the weights in 16 bits, half the size; they are computed with in 32 all the same.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: expected a name that ends in .safetensors")
    metadata = {**model.info, **(info or {})} | {
        "format": "facedepth", "model": model.name, "options": json.dumps(model.options), "kind": model.kind,
        "input_size": str(model.input_size), "mean": json.dumps(model.mean.flatten().tolist()),
        "std": json.dumps(model.std.flatten().tolist()), "version": version("facedepth"),
    }
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    if half:
        state = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(serialise(state, metadata=metadata))
    return path


def load_model(source: str | Path, *, device: str | torch.device = "auto") -> DepthNetwork:
    """A network with its trained weights, in evaluation mode.

    Args:
        source: the name of a model whose weights are shipped ("attention_unet"); a checkpoint of this library
            (.safetensors); or a state dict published elsewhere (.pt, .pth), which is recognised by its keys: the
            original project's Attention-UNet.
        device: "auto" is the CUDA card where there is one, else the CPU.

    Raises:
        InputError: no such file, a file that is no checkpoint, or tensors that are missing, superfluous or misshapen.
    """
    path = Path(source)
    if not path.is_file() and str(source) in MODELS:
        path = SHIPPED / f"{source}.safetensors"
    if not path.is_file():
        hint = f"; name a file (weights: {MODELS[str(source)].weights})" if str(source) in MODELS else ""
        raise InputError(f"{path}: no such checkpoint file{hint}")
    if path.suffix == ".safetensors":
        model, state = _read_own(path)
    elif path.suffix in (".pt", ".pth"):
        name, options, state = convert(_read_pickle(path), path)
        model = create_model(name, **options)
    else:
        raise InputError(f"{path}: expected a .safetensors, .pt or .pth file, got {path.suffix or 'no suffix'}")
    _load_strictly(model, state, path)
    return model.to(choose_device(device)).eval()


def _read_own(path: Path) -> tuple[DepthNetwork, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None
    if metadata.get("format") != "facedepth":
        raise InputError(f"{path}: a safetensors file, but not a checkpoint of facedepth (its metadata do not say so)")
    try:
        options = json.loads(metadata["options"])
        options |= {"kind": metadata["kind"], "input_size": int(metadata["input_size"])}
        model = create_model(metadata["model"], **options)
    except (KeyError, TypeError, ValueError) as error:
        written_by = metadata.get("version", "of unknown version")
        raise InputError(
            f"{path}: written by facedepth {written_by}, whose model is not known here ({error})"
        ) from None
    model.info = {key: value for key, value in metadata.items() if key not in _OWN_KEYS}
    return model, state


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: refused: not a plain state dict, loading it could run code; if you trust it, "
            "open it yourself and save its tensors with torch.save(model.state_dict(), ...)"
        ) from None
    except Exception as error:  # bytes that are no pickle make PyTorch's reader fail in every way there is
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{path}: not a readable PyTorch file ({reason})") from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise InputError(f"{path}: expected a state dict (tensors by name), got {type(loaded).__name__}")
    return loaded


def _load_strictly(model: DepthNetwork, state: dict[str, Tensor], path: Path) -> None:
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    problems = [f"missing {key} {expected[key]}" for key in expected.keys() - found.keys()]
    problems += [f"unknown {key} {found[key]}" for key in found.keys() - expected.keys()]
    common = expected.keys() & found.keys()
    problems += [f"{key}: expected {expected[key]}, got {found[key]}" for key in common if found[key] != expected[key]]
    if problems:
        shown = "; ".join(sorted(problems)[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise InputError(f"{path}: its tensors do not fit the model {model.name!r}: {shown}")
    model.load_state_dict(state)

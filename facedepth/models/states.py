"""State dicts: read from files without running code in them, and loaded strictly."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..checks import InputError
from ..paths import existing_file, why_unreadable


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a .safetensors file, floating-point ones in 32 bits, and its metadata.

    Raises:
        InputError: no such file, or one of another format.
    """
    path = existing_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: {why_unreadable(path) or f'not a readable safetensors file ({error})'}") from None
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}, metadata


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pt or .pth file, at its top level or under "state_dict".

    Raises:
        InputError: no such file, one of another format, or one whose loading could run code.
    """
    path = existing_file(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        reason = why_unreadable(path) or (
            "refused: not a plain state dict, loading it could run code; if you trust it, open it yourself and save "
            "its tensors with torch.save(model.state_dict(), ...)"
        )
        raise InputError(f"{path}: {reason}") from None
    except Exception as error:  # bytes that are not a pickle make PyTorch's reader fail in all kinds of ways
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{path}: {why_unreadable(path) or f'not a readable PyTorch file ({reason})'}") from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise InputError(f"{path}: expected a state dict (tensors by name), got {type(loaded).__name__}")
    return loaded


def load_strictly(module: nn.Module, state: dict[str, Tensor], source: Path, name: str) -> None:
    """Load the tensors of ``state`` into ``module``, which must have exactly these. A module on the device "meta", made
    without weights, takes copies of the tensors as its own.

    Args:
        source: the file they come from, for the message.
        name: what they should fit, for the message.

    Raises:
        InputError: missing, unknown or misshapen tensors; it lists them.
    """
    expected = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    problems = [f"missing {key} {expected[key]}" for key in expected.keys() - found.keys()]
    problems += [f"unknown {key} {found[key]}" for key in found.keys() - expected.keys()]
    common = expected.keys() & found.keys()
    problems += [f"{key}: expected {expected[key]}, got {found[key]}" for key in common if found[key] != expected[key]]
    if problems:
        shown = "; ".join(sorted(problems)[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise InputError(f"{source}: its tensors do not fit {name}: {shown}")
    before = module.state_dict()
    without_weights = any(tensor.is_meta for tensor in before.values())
    # A copy: what was read may be a view of the file, which others may overwrite.
    fitting = {key: tensor.to(before[key].dtype, copy=without_weights) for key, tensor in state.items()}
    module.load_state_dict(fitting, assign=without_weights)

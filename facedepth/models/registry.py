"""The models by name: build one, list them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..checks import InputError
from .attention_unet import AttentionUNet
from .midas_small import MidasSmall
from .network import DepthNetwork

SHIPPED = Path(__file__).parents[2] / "assets" / "weights"
"""Weights that lie in the repository, ``<name>.safetensors`` each, with a model card beside it."""


class ModelEntry(NamedTuple):
    """A row of the table of models.

    Attributes:
        build: the network's class.
        about: one line for people.
        licence: of the published weights this architecture takes.
        weights: where those weights come from.
        options: of the class, where this model's differ from the class's defaults.
    """

    build: type[DepthNetwork]
    about: str
    licence: str
    weights: str
    options: Mapping[str, object] = MappingProxyType({})


MODELS = {
    "attention_unet": ModelEntry(
        AttentionUNet,
        about="Attention-UNet, keeps fine detail",
        licence="MIT (code and shipped weights)",
        weights="shipped in a clone of the repository; or train it, or the original's Attention_UNET_*_weights.pt",
    ),
    "face_small": ModelEntry(
        MidasSmall,
        about="small and quick, made for training on faces",
        licence="MIT (code)",
        weights="train it",
        options={
            "encoder": "tf_efficientnet_lite0", "head_mask": True, "non_negative": False, "kind": "relief",
            "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5),  # those of the ImageNet weights that load_encoder takes
        },
    ),
    "midas_small": ModelEntry(
        MidasSmall,
        about="MiDaS v2.1 small, relative depth of any photo on a CPU",
        licence="MIT",
        weights="https://github.com/isl-org/MiDaS/releases/download/v2_1/midas_v21_small_256.pt",
    ),
}


def create_model(name: str, **options) -> DepthNetwork:
    """A new network with random weights.

    Args:
        name: one of ``list_models()``.
        options: the keyword arguments of the network's class; they win over the table's.

    Raises:
        InputError: unknown name. TypeError: unknown option.
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}; choose one of {', '.join(sorted(MODELS))}")
    build, options = MODELS[name].build, {**MODELS[name].options, **options}
    model = build(**options)
    # Defaults are written down too: a checkpoint must not change when they do, nor when the table does.
    defaults = {key: parameter.default for key, parameter in inspect.signature(build).parameters.items()}
    model.name, model.options, model.info = name, defaults | options, {}
    return model


def list_models() -> list[str]:
    """Names that ``create_model`` knows."""
    return sorted(MODELS)

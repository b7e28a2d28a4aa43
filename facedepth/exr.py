"""Depth in OpenEXR pictures, as renderers write it; read with the extra ``exr``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .checks import InputError, shown
from .paths import why_unreadable


def read_exr_depth(path: Path) -> np.ndarray:
    """The depth channel of an OpenEXR file: the one called Z, or else any but the opacity, if they are all equal."""
    try:
        import OpenEXR
    except ImportError:
        raise InputError(
            f'{path}: reading .exr needs the package openexr: pip install ".[exr]" in the clone; or save .npy files'
        ) from None
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            parts = [file.channels(part) for part in range(len(file.parts))]
            channels = [(name, channel.pixels) for part in parts for name, channel in part.items()]
        if not channels:
            raise EOFError("cut short")  # OpenEXR prints a warning and goes on
    except Exception as error:  # OpenEXR's errors are of many types
        raise InputError(f"{path}: {why_unreadable(path) or f'a damaged OpenEXR picture ({error})'}") from None
    layers = [name.rpartition(".")[2].upper() for name, _ in channels]
    wanted = {"Z"} if "Z" in layers else set(layers) - {"A"}
    depths = [pixels for layer, (_, pixels) in zip(layers, channels, strict=True) if layer in wanted]
    if not depths or not all(np.array_equal(depth, depths[0], equal_nan=True) for depth in depths[1:]):
        names = shown(sorted(name for name, _ in channels), 10)
        raise InputError(f"{path}: expected one channel of depth, or one called Z, got {names}")
    return depths[0]

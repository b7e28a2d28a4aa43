"""Depth, errors and normals as coloured pictures; what is not known is light grey."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..camera import Camera
from ..checks import check_shapes
from ..geometry import normals_from_depth
from ..io import image_to_uint8

_NO_DATA = 245  # a light grey that is in no colour map used here


def colour_depth(depth: Tensor, mask: Tensor, *, near: float | None = None, far: float | None = None) -> np.ndarray:
    """(H, W, 3) uint8 picture of (1, H, W) depth in Spectral: near is warm, far is cold, no data light grey.

    ``near`` and ``far`` are the ends of the scale; by default the 1st and the 99th percentile in the mask.
    """
    check_shapes(depth=(depth, "1 H W"), mask=(mask, "1 H W"))
    mask = mask & depth.isfinite()
    if not mask.any():
        return np.full((*depth.shape[-2:], 3), _NO_DATA, np.uint8)
    values = depth[mask].detach().float().cpu().numpy()
    near = float(np.percentile(values, 1)) if near is None else near
    far = float(np.percentile(values, 99)) if far is None else far
    return _colour(depth, mask, near, max(far, near + 1e-9), "Spectral")


def colour_error(error: Tensor, mask: Tensor, *, greatest: float) -> np.ndarray:
    """(H, W, 3) uint8 picture of a (1, H, W) error from 0 (dark) to ``greatest`` (bright)."""
    check_shapes(error=(error, "1 H W"), mask=(mask, "1 H W"))
    return _colour(error, mask & ~error.isnan(), 0.0, max(greatest, 1e-9), "inferno")


def colour_normals(depth: Tensor, camera: Camera, mask: Tensor) -> np.ndarray:
    """(H, W, 3) uint8 picture of the normals: red to the right, green up, blue to the viewer."""
    check_shapes(depth=(depth, "1 H W"), mask=(mask, "1 H W"))
    known = mask & depth.isfinite()
    normals = normals_from_depth(depth, camera, known) * depth.new_tensor([1, -1, -1])[:, None, None]
    picture = image_to_uint8((normals + 1) / 2)
    picture[(normals == 0).all(dim=0).cpu().numpy()] = _NO_DATA
    return picture


def _colour(values: Tensor, mask: Tensor, low: float, high: float, colour_map: str) -> np.ndarray:
    from matplotlib import colormaps

    fraction = np.nan_to_num((values[0].detach().float().cpu().numpy() - low) / (high - low)).clip(0, 1)
    table = (colormaps[colour_map](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    picture = table[(fraction * 255).round().astype(np.uint8)]
    picture[~mask[0].cpu().numpy()] = _NO_DATA
    return picture

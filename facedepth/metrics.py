"""Scores of depth maps, one per image, (B,). Depths are z-depth (B, 1, H, W); ``region`` is a bool mask of that shape.

The score of an image with an empty region is NaN, never a flattering 0. Predicted depth that is not positive has no
logarithm and no meaningful ratio; there it counts as ``MIN_DEPTH``, very wrong, but the score stays finite.
Predictions of unknown scale and shift must be aligned first, in the space they were predicted in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .camera import Camera
from .checks import InputError, at_least_32_bits, check_shapes
from .depth import fit_range
from .geometry import normals_from_depth, normals_valid

MIN_DEPTH = 1e-6
"""What a predicted depth that is not positive counts as in ``delta`` and ``side``, in the unit of depth."""

DELTA_THRESHOLDS = (1.05, 1.1, 1.25)
NORMAL_DEGREES = (11.25, 20, 22.5, 25, 30)
HIGHER_IS_BETTER = frozenset(
    [f"delta_{threshold:g}" for threshold in DELTA_THRESHOLDS] + [f"normals_{deg:g}_pct" for deg in NORMAL_DEGREES]
    + ["head_iou"]
)
"""The scores for which higher is better; for all others, lower is."""

_MEANINGS = {
    "abs_rel": "mean error of depth, as a fraction of the true depth",
    "rmse": "root of the mean squared error, in the data's unit of depth (metres where it has one)",
    "side_e2": "scale-invariant error of log depth, hundredths",
    "mad_deg": "mean angle between predicted and true normals, degrees",
    "picture_l1": "mean error of the depth picture in [-1, 1]",
    "head_iou": "overlap of the predicted and the true head: their intersection over their union",
    "flat": "share of pictures scored as a flat surface: the prediction has no relief, or runs against the truth",
}


def score_meaning(name: str) -> str:
    """What a score means, and in which unit; an empty string for an unknown name."""
    kind, _, bound = name.partition("_")
    if kind == "delta":
        return f"share of pixels whose depth is within a factor of {bound}"
    if kind == "normals":
        return f"percent of normals within {bound.removesuffix('_pct')} degrees"
    return _MEANINGS.get(name, "")


def depth_scores(pred: Tensor, true: Tensor, region: Tensor, camera: Camera) -> dict[str, Tensor]:
    """All scores of a predicted z-depth map against the true one.

    Args:
        pred: (B, 1, H, W) z-depth, in the unit of ``true``, already aligned if its scale is unknown.
        true: (B, 1, H, W) z-depth, positive in ``region``.
        region: (B, 1, H, W) bool, the pixels that count.
        camera: the camera of both maps.

    Returns:
        (B,) scores: ``abs_rel`` (a fraction), ``rmse`` (in the unit of depth), ``delta_1.25`` and the like (shares,
        0 ... 1), ``side_e2`` (hundredths), ``mad_deg`` (degrees), ``normals_11.25_pct`` and the like (percent).

    Raises:
        InputError: true depth in the region that is not positive.
    """
    check_shapes(pred=(pred, "B 1 H W"), true=(true, "B 1 H W"), region=(region, "B 1 H W"))
    bad_pixels = int((region & ~(true > 0)).sum())
    if bad_pixels:
        raise InputError(
            f"true: expected positive depth in the whole region, got {bad_pixels} pixels without; "
            "leave pixels of unknown depth out of the region (region & mask)"
        )
    angles_deg = normal_angles_deg(pred, true, camera)
    return {
        "abs_rel": abs_rel(pred, true, region),
        "rmse": rmse(pred, true, region),
        **{f"delta_{threshold:g}": delta(pred, true, region, threshold) for threshold in DELTA_THRESHOLDS},
        "side_e2": side(pred, true, region),
        "mad_deg": mad_deg(angles_deg, region),
        **{f"normals_{degrees:g}_pct": normals_within(angles_deg, region, degrees) for degrees in NORMAL_DEGREES},
    }


def abs_rel(pred: Tensor, true: Tensor, region: Tensor) -> Tensor:
    """(B,) mean of |pred - true| / true."""
    return _mean((pred - true).abs() / true, region)


def rmse(pred: Tensor, true: Tensor, region: Tensor) -> Tensor:
    """(B,) root of the mean squared error, in the unit of depth."""
    return _mean((pred - true).square(), region).sqrt()


def delta(pred: Tensor, true: Tensor, region: Tensor, threshold: float) -> Tensor:
    """(B,) share, 0 ... 1, of pixels with max(pred / true, true / pred) below ``threshold``."""
    pred = pred.clamp(min=MIN_DEPTH)
    return _mean((torch.maximum(pred / true, true / pred) < threshold).to(pred.dtype), region)


def side(pred: Tensor, true: Tensor, region: Tensor) -> Tensor:
    """(B,) scale-invariant depth error, in hundredths: 100 sqrt(mean(D^2) - mean(D)^2) with D = log pred - log true.

    Source: Eigen et al. (2014); the form and the factor 1e-2 of Wu et al., unsup3d (2020).
    """
    difference = pred.clamp(min=MIN_DEPTH).log() - true.log()
    deviation = difference - _mean(difference, region)[:, None, None, None]  # mean(D^2) - mean(D)^2 would cancel
    return 100 * _mean(deviation.square(), region).sqrt()


def normal_angles_deg(pred: Tensor, true: Tensor, camera: Camera) -> Tensor:
    """(B, 1, H, W) angle between the normals of two z-depth maps, in degrees, 0 ... 180.

    A predicted depth that is not positive is on no visible surface: it counts as 180 degrees off.
    """
    check_shapes(pred=(pred, "B 1 H W"), true=(true, "B 1 H W"))
    first, second = normals_from_depth(pred, camera), normals_from_depth(true, camera)
    sine = torch.linalg.cross(first, second, dim=1).square().sum(dim=1, keepdim=True).sqrt()  # norm is far slower
    cosine = (first * second).sum(dim=1, keepdim=True)
    angles_deg = torch.rad2deg(torch.atan2(sine, cosine))  # acos would lose all angles below 0.02 degrees
    return torch.where(pred <= 0, 180.0, angles_deg)


def mad_deg(angles_deg: Tensor, region: Tensor) -> Tensor:
    """(B,) mean of ``normal_angles_deg``, in degrees, where a pixel and its neighbours are in ``region``."""
    return _mean(angles_deg, normals_valid(region))


def normals_within(angles_deg: Tensor, region: Tensor, degrees: float) -> Tensor:
    """(B,) percent of the normals (the same as in ``mad_deg``) less than ``degrees`` off."""
    return 100 * _mean((angles_deg < degrees).to(angles_deg.dtype), normals_valid(region))


def to_picture(depth: Tensor, mask: Tensor) -> Tensor:
    """Depth (B, 1, H, W) as the original's pictures: minus the depth, scaled over ``mask`` to [-1, 1]; -1 outside.

    The nearest pixel is 1, the farthest -1, like the background.
    """
    return torch.where(mask, fit_range(-depth, mask, -1.0, 1.0), -1.0)


def picture_l1(pred_picture: Tensor, true_picture: Tensor, region: Tensor) -> Tensor:
    """(B,) mean absolute difference of two pictures in [-1, 1]: the original notebooks' validation loss."""
    return _mean((pred_picture - true_picture).abs(), region)


def mask_iou(pred: Tensor, true: Tensor) -> Tensor:
    """(B,) intersection over union, 0 ... 1, of two bool masks (B, 1, H, W); NaN where both are empty."""
    check_shapes(pred=(pred, "B 1 H W"), true=(true, "B 1 H W"))
    return (pred & true).flatten(1).sum(dim=1) / (pred | true).flatten(1).sum(dim=1)


def _mean(values: Tensor, region: Tensor) -> Tensor:
    """(B,) mean of ``values`` over ``region``, NaN if it is empty."""
    check_shapes(values=(values, "B 1 H W"), region=(region, "B 1 H W"))
    return torch.where(region, at_least_32_bits(values), 0.0).flatten(1).sum(dim=1) / region.flatten(1).sum(dim=1)

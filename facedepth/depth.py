"""Depth in its several forms: z-depth, ray distance, inverse depth, relief; and scale-and-shift alignment.

All functions take any leading batch dimensions. Relief and the axis depth it is made of are measured along the ray
through the *crop's centre*, not along the photo's optical axis, and in crop widths at the face: a face at the edge of a
wide photo would otherwise come out sheared, and, as lenses draw it larger there, too small for its relief.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .camera import Camera, Crop
from .checks import InputError, at_least_32_bits, check_shapes

KINDS = ("relief", "affine_relief", "affine_inverse")
"""What a network says; in each kind larger is nearer."""

_ROUNDING = 16
"""Values that vary by less than this many units of the last place of their size do not vary: it is rounding."""


def z_to_distance(z: Tensor, camera: Camera) -> Tensor:
    """z-depth (..., 1, H, W) to Euclidean distance along the pixel's ray."""
    return z * _ray_length(z, camera)


def distance_to_z(distance: Tensor, camera: Camera) -> Tensor:
    """Euclidean distance along the ray (..., 1, H, W) to z-depth."""
    return distance / _ray_length(distance, camera)


def _ray_length(values: Tensor, camera: Camera) -> Tensor:
    # Not norm: over an axis of three torch's is many times slower on a CPU.
    return camera.rays(*values.shape[-2:]).square().sum(dim=-3, keepdim=True).sqrt()


def axis_factor(camera: Camera, height: int, width: int, crop: Crop | None = None) -> Tensor:
    """(..., 1, H, W) factor from z-depth to depth along the crop's central ray a: z_a = z (d . a), d = K^-1 (u, v, 1).

    It is 1 everywhere when the camera's principal point is the centre of the crop.

    Args:
        camera, height, width: of the picture.
        crop: the network's square in this picture; None where the picture is the crop.
    """
    K, ray = camera.K, _central_ray(camera, height, width, crop)
    axis = ray / ray.norm(dim=-1, keepdim=True)
    # a . K^-1 (u, v, 1) is linear in u and v: no (3, H, W) rays are needed, which matters for large photos.
    along_u, along_v, constant = torch.linalg.solve(K.mT, axis[..., None])[..., 0].unbind(dim=-1)
    u = (torch.arange(width, dtype=K.dtype, device=K.device) + 0.5) * along_u[..., None, None, None]
    v = (torch.arange(height, dtype=K.dtype, device=K.device)[:, None] + 0.5) * along_v[..., None, None, None]
    return u + v + constant[..., None, None, None]


def crop_focal_px(camera: Camera, height: int, width: int, crop: Crop | None = None) -> Tensor:
    """(..., 1, 1, 1) focal length in pixels of a virtual camera aimed at the crop's middle that sees the face as large.

    At an angle t from the camera's axis a lens enlarges what faces it, by 1 / cos^2 t along the radius and 1 / cos t
    across it: f / cos^1.5 t in the mean of both, the camera's own f in the middle.
    """
    ray = _central_ray(camera, height, width, crop)  # 1 / cos t long
    return (camera.K[..., 0, 0] * ray.norm(dim=-1) ** 1.5)[..., None, None, None]


def _central_ray(camera: Camera, height: int, width: int, crop: Crop | None) -> Tensor:
    """(..., 3) K^-1 (u, v, 1) of the crop's centre."""
    left, top, crop_width, crop_height = (0, 0, width, height) if crop is None else (*crop[:3], crop.size)
    K = camera.K
    centre = K.new_tensor([left + crop_width / 2, top + crop_height / 2, 1]).expand(*K.shape[:-2], 3)
    return torch.linalg.solve(K, centre[..., None])[..., 0]


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """(..., 1, 1, 1) median of ``values`` (..., 1, H, W) where ``mask``; the lower one of two middle values.

    Raises:
        InputError: where a mask is empty.
    """
    check_shapes(values=(values, "... 1 H W"), mask=(mask, "... 1 H W"))
    if not mask.flatten(-3).any(dim=-1).all():
        raise InputError("mask: expected at least one valid pixel in every image, got none")
    median = torch.where(mask, values, torch.nan).flatten(-3).nanmedian(dim=-1).values
    return median[..., None, None, None]


def depth_to_relief(depth: Tensor, head: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """z-depth to relief r = (z0 - z_a) f / (z0 width), in crop widths, larger is nearer.

    Args:
        depth: (..., 1, H, W) z-depth of a square crop.
        head: (..., 1, H, W) bool; z0 is the median of the axis depth z_a over it.
        camera: the crop's camera; f is its ``crop_focal_px``.

    Returns:
        relief (..., 1, H, W), 0 where depth is 0, and z0 (..., 1, 1, 1) in the unit of depth.
    """
    height, width = depth.shape[-2:]
    along_axis = depth * axis_factor(camera, height, width)
    z0 = masked_median(along_axis, head & (depth > 0))
    focal_px = crop_focal_px(camera, height, width)
    relief = (z0 - along_axis) * focal_px / (z0 * width)
    return torch.where(depth > 0, relief, 0.0), z0


def relief_to_depth(relief: Tensor, z0: Tensor | float, camera: Camera, crop: Crop | None = None) -> Tensor:
    """The way back: relief (..., 1, H, W) and the head's depth z0 to z-depth, z_a = z0 (1 - r width / f).

    Args:
        camera: of the picture the relief lies on.
        crop: the network's square in it; None where the picture is the crop.
    """
    height, width = relief.shape[-2:]
    focal_px = crop_focal_px(camera, height, width, crop)
    along_axis = z0 * (1 - relief * ((width if crop is None else crop.size) / focal_px))
    return along_axis / axis_factor(camera, height, width, crop)


def relief_in_crop(relief: Tensor, camera: Camera, source: Crop, target: Crop) -> Tensor:
    """The relief (..., 1, H, W) of one square of a picture as that of another one: the same surface, at the same z0.

    Args:
        camera: of the picture, on whose pixels both reliefs lie.
        source: the square whose relief is given.
        target: the square whose relief is wanted.
    """
    height, width = relief.shape[-2:]
    along_axis = relief_to_depth(relief, 1.0, camera, source) * axis_factor(camera, height, width, target)
    return (1 - along_axis) * crop_focal_px(camera, height, width, target) / target.size


def invert_depth(depth: Tensor) -> Tensor:
    """1 / depth where depth is positive, else 0; z-depth to inverse depth and back."""
    valid = depth > 0
    return torch.where(valid, 1 / torch.where(valid, depth, 1.0), 0.0)


def nearness(along_axis: Tensor, kind: str) -> Tensor:
    """What a network of a kind without scale should say of an axis depth, up to scale and shift, larger is nearer:
    1 / z_a (0 where there is none) for "affine_inverse", -z_a for the others."""
    return invert_depth(along_axis) if kind == "affine_inverse" else -along_axis


def affine_to_picture(depth: Tensor) -> Tensor:
    """Affine depth, 0 nearest to 1 farthest, as the original's networks learn it: 1 nearest to -1 farthest."""
    return 1 - 2 * depth


def exceeds_rounding(spread: Tensor, level: Tensor) -> Tensor:
    """bool: whether values of about ``level`` that differ by ``spread`` differ by more than they are rounded."""
    return spread > _ROUNDING * torch.finfo(spread.dtype).eps * level.abs()


def fit_scale_shift(
    values: Tensor, target: Tensor, mask: Tensor, *, least_scale: float = -torch.inf
) -> tuple[Tensor, Tensor]:
    """Least-squares scale and shift, each (..., 1, 1, 1), so that scale * values + shift is nearest to ``target``.

    Closed form over the pixels in ``mask``, computed around the means. Values that do not vary get scale 0 and the
    target's mean as shift; an empty mask gets scale 0 and shift 0. ``least_scale`` 0 keeps values that run against
    the target from being turned around: they get scale 0 too.
    """
    check_shapes(values=(values, "... 1 H W"), target=(target, "... 1 H W"), mask=(mask, "... 1 H W"))
    values, target = at_least_32_bits(values), at_least_32_bits(target)
    count = mask.sum(dim=(-3, -2, -1), keepdim=True).clamp(min=1)

    def mean(x: Tensor) -> Tensor:
        return torch.where(mask, x, 0.0).sum(dim=(-3, -2, -1), keepdim=True) / count

    mean_values, mean_target = mean(values), mean(target)
    deviation = values - mean_values
    variance = mean(deviation.square())
    covariance = mean(deviation * (target - mean_target))
    varies = exceeds_rounding(variance.sqrt(), mean_values)
    scale = torch.where(varies, covariance / torch.where(varies, variance, 1.0), 0.0).clamp(min=least_scale)
    return scale, mean_target - scale * mean_values


def fit_range(values: Tensor, mask: Tensor, low: float, high: float) -> Tensor:
    """Map the least value in ``mask`` to ``low`` and the greatest to ``high``, linearly; others follow the same line.

    Values that do not vary go to the middle.
    """
    check_shapes(values=(values, "... 1 H W"), mask=(mask, "... 1 H W"))
    least = torch.where(mask, values, torch.inf).amin(dim=(-3, -2, -1), keepdim=True)
    greatest = torch.where(mask, values, -torch.inf).amax(dim=(-3, -2, -1), keepdim=True)
    extent = greatest - least
    flat = ~exceeds_rounding(extent, torch.maximum(least.abs(), greatest.abs()))
    fraction = torch.where(flat, 0.5, (values - least) / torch.where(flat, 1.0, extent))
    return low + (high - low) * fraction

"""Bring what a network said to the truth's scale, and score it, a batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError
from ..depth import (
    affine_to_picture,
    axis_factor,
    fit_scale_shift,
    invert_depth,
    masked_median,
    nearness,
    relief_to_depth,
)
from ..framing import whole_crop
from ..metrics import depth_scores, mask_iou, picture_l1, to_picture
from ..sample import Sample

ALIGNMENTS = ("scale_shift", "none")
REGIONS = ("face", "head", "mask")

FARTHEST = 2.0
"""Fitted inverse depth may come out at infinity or beyond. It counts as this many times the picture's farthest true
depth, as evaluations of such networks cap it: very wrong, and what lies farther never scores better."""

SURELY_BACKGROUND = 0.95
"""If a head is a greater share of the pictures than this, the background must be in it."""

_LEAST_FITTED_PX = 3

MAIN_SCORE = {"metric": "rmse", "affine": "picture_l1"}
"""By a data set's depth_kind: the score that its pictures are ranked by. Less is better."""


def check_choices(region: str, align: str) -> None:
    """Refuse a region or an alignment that there is not.

    Raises:
        InputError: naming those that there are.
    """
    if region not in REGIONS or align not in ALIGNMENTS:
        raise InputError(
            f"region: one of {', '.join(REGIONS)}, got {region!r}; align: one of {', '.join(ALIGNMENTS)}, got {align!r}"
        )


def check_depth_kind(depth_kind: str) -> None:
    """Refuse a ``depth_kind`` that there is not.

    Raises:
        InputError: naming those that there are.
    """
    if depth_kind not in MAIN_SCORE:
        raise InputError(f"depth_kind: expected one of {', '.join(MAIN_SCORE)}, got {depth_kind!r}")


def score_batch(
    values: Tensor, kind: str, batch: Sample, depth_kind: str, *, region: str, align: str
) -> tuple[Tensor, dict[str, Tensor]]:
    """Align what a network said of a batch, and score it.

    Args:
        values: (B, 1, H, W) of the given kind.
        batch: a batch of samples of the given ``depth_kind``.

    Returns:
        What was scored, (B, 1, H, W): z-depth, or for affine data the picture in [-1, 1]; and (B,) scores by name, NaN
        for a picture whose region is empty, or too small to fit scale and shift to. After a fit, ``flat`` is 1 where
        the fitted scale is 0, so that a flat surface was scored.
    """
    area = getattr(batch, region) & batch.mask
    if align == "scale_shift":  # two numbers are fitted: fewer pixels than three would be met whatever was said
        area = area & (area.sum(dim=(-3, -2, -1), keepdim=True) >= _LEAST_FITTED_PX)
    if depth_kind == "affine":
        true_picture = affine_to_picture(batch.depth)
        aligned, scale = _align_picture(values, kind, true_picture, area, align)
        scores = {"picture_l1": picture_l1(aligned, true_picture, area)}
    else:
        aligned, scale = align_depth(values, kind, batch, area, align)
        scores = depth_scores(aligned, batch.depth, area, batch.camera)
        if kind == "affine_relief":
            along_axis = batch.depth * axis_factor(batch.camera, *batch.depth.shape[-2:])
            true_picture = to_picture(along_axis, batch.mask)
            picture, _ = _align_picture(values, kind, true_picture, area, align)
            scores["picture_l1"] = picture_l1(picture, true_picture, area)
    if scale is not None:
        scores["flat"] = torch.where(area.any(dim=(-3, -2, -1)), (scale == 0).flatten().float(), torch.nan)
    return aligned, scores


def score_head(output: Tensor, batch: Sample) -> dict[str, Tensor]:
    """``head_iou`` (B,) of a network's output (B, 1 or 2, H, W): nothing if it gives no head, NaN for pictures that are
    all head, as where the data do not know it."""
    if output.shape[1] == 1:
        return {}
    unknown = batch.head.flatten(1).all(dim=1)
    return {"head_iou": torch.where(unknown, torch.nan, mask_iou(output[:, 1:] > 0, batch.head))}


def align_depth(values: Tensor, kind: str, batch: Sample, area: Tensor, align: str) -> tuple[Tensor, Tensor | None]:
    """z-depth (B, 1, H, W) of what a network said, brought to the truth's scale and shift in the space predicted; and
    the scale (B, 1, 1, 1), never negative, or None where nothing was fitted.

    A picture that is not square was seen in the smallest square that holds it, as ``predict(..., crop="none")`` does.
    Inverse depth goes no farther than ``FARTHEST``.

    Raises:
        InputError: an affine kind without alignment, which has no scale to compare.
    """
    height, width = values.shape[-2:]
    crop = whole_crop(height, width)
    factor = axis_factor(batch.camera, height, width, crop)
    true_axis = torch.where(batch.mask, batch.depth * factor, 0.0)
    if align == "none":
        if kind != "relief":
            raise InputError(f"align: a model of kind {kind!r} knows no scale; evaluate it with align='scale_shift'")
        return relief_to_depth(values, masked_median(true_axis, batch.head & batch.mask), batch.camera, crop), None
    along_axis, scale = fit_axis_depth(values, kind, true_axis, area)
    return along_axis / factor, scale


def fit_axis_depth(values: Tensor, kind: str, true_axis: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Axis depth (..., 1, H, W) of values of a kind, once scale and shift are fitted to the truth in ``area``, in the
    space predicted; and the scale (..., 1, 1, 1), never negative. Inverse depth goes no farther than ``FARTHEST``.

    Args:
        true_axis: (..., 1, H, W) axis depth, 0 where there is none.
    """
    # The target, too, is larger where nearer: a network that has near and far swapped must not be put right here.
    scale, shift = fit_scale_shift(values, nearness(true_axis, kind), area, least_scale=0)
    fitted = scale * values + shift
    if kind == "affine_inverse":
        farthest = true_axis.amax(dim=(-3, -2, -1), keepdim=True)
        return invert_depth(torch.maximum(fitted, invert_depth(FARTHEST * farthest))), scale
    return -fitted, scale


def _align_picture(
    values: Tensor, kind: str, true_picture: Tensor, area: Tensor, align: str
) -> tuple[Tensor, Tensor | None]:
    """Like ``align_depth``, for data without a scale: values (B, 1, H, W) fitted to ``true_picture`` in [-1, 1].

    Raises:
        InputError: another kind than affine_relief without alignment.
    """
    if align == "none":
        if kind != "affine_relief":
            raise InputError(f"align: a model of kind {kind!r} makes no picture in [-1, 1]; use align='scale_shift'")
        return values, None
    scale, shift = fit_scale_shift(values, true_picture, area, least_scale=0)
    return scale * values + shift, scale

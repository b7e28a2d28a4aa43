"""Training losses. All are masked and return one loss an image, (B,): the caller takes the mean.

Values and masks are (B, 1, H, W). Pixels outside the mask may hold any finite junk and get no gradient; an image
whose mask is empty has loss 0 and gradient 0, so that it may stand in a batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .camera import Camera
from .checks import check_shapes
from .depth import masked_median
from .geometry import normals_from_depth, normals_valid


def masked_l1(pred: Tensor, target: Tensor, mask: Tensor, weight: Tensor | None = None) -> Tensor:
    """(B,) mean absolute difference over ``mask``; with ``weight`` (B, 1, H, W) >= 0, the weighted mean."""
    check_shapes(pred=(pred, "B 1 H W"), target=(target, "B 1 H W"), mask=(mask, "B 1 H W"))
    error = torch.where(mask, pred - target, 0.0).abs()
    if weight is None:
        return _ratio(error, mask)
    check_shapes(pred=(pred, "B 1 H W"), weight=(weight, "B 1 H W"))
    weight = torch.where(mask, weight, 0.0)
    return _ratio(error * weight, weight)


def normalise_scale_shift(values: Tensor, mask: Tensor) -> Tensor:
    """Values (B, 1, H, W) less their median, over their mean absolute deviation from it; 0 outside ``mask``.

    Two maps that differ by a positive scale and a shift become the same. A map that does not vary becomes 0.
    Source: Ranftl et al., Towards Robust Monocular Depth Estimation (2020), equations 5 and 6.
    """
    check_shapes(values=(values, "B 1 H W"), mask=(mask, "B 1 H W"))
    filled = mask.flatten(1).any(dim=1)[:, None, None, None]
    median = masked_median(torch.where(filled, values, 0.0), mask | ~filled)  # an empty image stands for one of zeros
    centred = torch.where(mask, values - median, 0.0)
    scale = _ratio(centred.abs(), mask)[:, None, None, None]
    varies = scale > torch.finfo(values.dtype).eps * median.abs()
    return centred / torch.where(varies, scale, 1.0)


def scale_shift_invariant_l1(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """(B,) L1 between both maps after ``normalise_scale_shift``: the scale-and-shift-invariant loss of Ranftl et al.

    It is the plain mean, without the factor 1/2 of the paper.
    """
    return masked_l1(normalise_scale_shift(pred, mask), normalise_scale_shift(target, mask), mask)


def gradient_matching(pred: Tensor, target: Tensor, mask: Tensor, scales: int = 4) -> Tensor:
    """(B,) multi-scale gradient matching: how much the residual ``pred - target`` changes from pixel to pixel.

    At every scale the residual is taken on a grid of stride 1, 2, 4, ... and the absolute differences of neighbours,
    along x and y, are averaged where both are in ``mask``; the averages of the scales are added. Maps of unknown scale
    and shift go through ``normalise_scale_shift`` first.
    Source: the gradient matching term of Ranftl et al. (2020), here over the number of differences, not of pixels.
    """
    check_shapes(pred=(pred, "B 1 H W"), target=(target, "B 1 H W"), mask=(mask, "B 1 H W"))
    residual = torch.where(mask, pred - target, 0.0)
    loss = residual.new_zeros(len(residual))
    for stride in (2**scale for scale in range(scales)):
        r, m = residual[..., ::stride, ::stride], mask[..., ::stride, ::stride]
        valid_x, valid_y = m[..., 1:] & m[..., :-1], m[..., 1:, :] & m[..., :-1, :]
        change_x = torch.where(valid_x, r.diff(dim=-1), 0.0).abs().flatten(1)
        change_y = torch.where(valid_y, r.diff(dim=-2), 0.0).abs().flatten(1)
        valid = torch.cat([valid_x.flatten(1), valid_y.flatten(1)], dim=1)
        loss = loss + _ratio(torch.cat([change_x, change_y], dim=1), valid)
    return loss


def normal_loss(pred_depth: Tensor, target_depth: Tensor, camera: Camera, mask: Tensor) -> Tensor:
    """(B,) mean of 1 - cosine between the normals of two z-depth maps, where a pixel and its neighbours are in mask.

    It depends on the scale of neither map, but on the shift and on the camera: both depths must belong to ``camera``.
    """
    check_shapes(pred_depth=(pred_depth, "B 1 H W"), target_depth=(target_depth, "B 1 H W"), mask=(mask, "B 1 H W"))
    pred, target = (
        normals_from_depth(torch.where(mask, depth, 1.0), camera) for depth in (pred_depth, target_depth)
    )
    valid = normals_valid(mask)
    cosine = (pred * target).sum(dim=1, keepdim=True)
    return _ratio(torch.where(valid, 1 - cosine, 0.0), valid)


def mask_bce(logits: Tensor, head: Tensor) -> Tensor:
    """(B,) binary cross entropy between ``logits`` and the bool mask ``head``, both (B, 1, H, W), over all pixels."""
    check_shapes(logits=(logits, "B 1 H W"), head=(head, "B 1 H W"))
    return F.binary_cross_entropy_with_logits(logits, head.to(logits), reduction="none").flatten(1).mean(dim=1)


def _ratio(values: Tensor, weights: Tensor) -> Tensor:
    """(B,) sum of ``values`` over the sum of ``weights``, 0 where the weights sum to 0."""
    total = weights.flatten(1).sum(dim=1)
    return values.flatten(1).sum(dim=1) / torch.where(total > 0, total, 1)

"""Training losses. Each returns one loss per image, (B,); the caller takes the mean. All but ``mask_bce`` are masked.

Values and masks are (B, 1, H, W). Pixels outside the mask may hold any finite junk and get no gradient; an image
with an empty mask has loss 0 and gradient 0, so it may be part of a batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .camera import Camera
from .checks import at_least_32_bits, check_shapes
from .depth import exceeds_rounding, masked_median
from .geometry import normals_from_depth, normals_valid


def masked_l1(pred: Tensor, target: Tensor, mask: Tensor, weight: Tensor | None = None) -> Tensor:
    """(B,) mean absolute difference over ``mask``, weighted by ``weight`` (B, 1, H, W) >= 0 if given."""
    check_shapes(pred=(pred, "B 1 H W"), target=(target, "B 1 H W"), mask=(mask, "B 1 H W"))
    weight = _weight(weight, pred)
    return _mean(torch.where(mask, pred - target, 0.0).abs(), torch.where(mask, weight, 0.0))


def normalise_scale_shift(values: Tensor, mask: Tensor) -> Tensor:
    """Values (B, 1, H, W) minus their median, divided by their mean absolute deviation from it; 0 outside ``mask``.

    Two maps that differ by a positive scale and a shift become the same. A constant map becomes 0.
    Source: Ranftl et al., Towards Robust Monocular Depth Estimation (2020), equations 5 and 6.
    """
    check_shapes(values=(values, "B 1 H W"), mask=(mask, "B 1 H W"))
    filled = mask.flatten(1).any(dim=1)[:, None, None, None]
    median = masked_median(torch.where(filled, values, 0.0), mask | ~filled)  # an empty image is treated as all zeros
    centred = torch.where(mask, values - median, 0.0)
    scale = _mean(centred.abs(), mask)[:, None, None, None]
    varies = exceeds_rounding(scale, median)
    return centred / torch.where(varies, scale, 1.0)  # what does not vary is 0 but for rounding, and has a gradient


def scale_shift_invariant_l1(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """(B,) L1 between both maps after ``normalise_scale_shift``: the scale-and-shift-invariant loss of Ranftl et al.

    It is the plain mean, without the paper's factor 1/2.
    """
    return masked_l1(normalise_scale_shift(pred, mask), normalise_scale_shift(target, mask), mask)


def gradient_matching(
    pred: Tensor, target: Tensor, mask: Tensor, scales: int = 4, *, weight: Tensor | None = None
) -> Tensor:
    """(B,) multi-scale gradient matching: how much the residual ``pred - target`` changes from pixel to pixel.

    At each scale the residual is sampled on a grid of stride 1, 2, 4, ... and the absolute differences of neighbours,
    along x and y, are averaged where both are in ``mask``; the averages of all scales are added. With ``weight``
    (B, 1, H, W) >= 0 the averages are weighted, each difference by the smaller weight of its two pixels. Normalise maps
    of unknown scale and shift with ``normalise_scale_shift`` first.
    Source: the gradient matching term of Ranftl et al. (2020). Theirs adds the means along x and along y; here there is
    one mean over all differences, about half of that.
    """
    check_shapes(pred=(pred, "B 1 H W"), target=(target, "B 1 H W"), mask=(mask, "B 1 H W"))
    residual = torch.where(mask, pred - target, 0.0)
    weight = torch.where(mask, _weight(weight, pred), 0.0)
    loss = residual.new_zeros(len(residual))
    for stride in (2**scale for scale in range(scales)):
        r, w = residual[..., ::stride, ::stride], weight[..., ::stride, ::stride]
        weight_x, weight_y = torch.minimum(w[..., 1:], w[..., :-1]), torch.minimum(w[..., 1:, :], w[..., :-1, :])
        change = torch.cat([r.diff(dim=-1).abs().flatten(1), r.diff(dim=-2).abs().flatten(1)], dim=1)
        loss = loss + _mean(change, torch.cat([weight_x.flatten(1), weight_y.flatten(1)], dim=1))
    return loss


def normal_loss(
    pred_depth: Tensor, target_depth: Tensor, camera: Camera, mask: Tensor, *, weight: Tensor | None = None
) -> Tensor:
    """(B,) mean of 1 - cosine between the normals of two z-depth maps, where a pixel and its neighbours are in mask,
    weighted by ``weight`` (B, 1, H, W) >= 0 if given.

    It does not depend on the scale of either map, but on shift and camera: both depths must belong to ``camera``.
    """
    check_shapes(pred_depth=(pred_depth, "B 1 H W"), target_depth=(target_depth, "B 1 H W"), mask=(mask, "B 1 H W"))
    pred, target = (
        normals_from_depth(torch.where(mask, depth, 1.0), camera) for depth in (pred_depth, target_depth)
    )
    cosine = (pred * target).sum(dim=1, keepdim=True)
    return _mean(1 - cosine, torch.where(normals_valid(mask), _weight(weight, pred_depth), 0.0))


def mask_bce(logits: Tensor, head: Tensor) -> Tensor:
    """(B,) binary cross entropy between ``logits`` and the bool mask ``head``, both (B, 1, H, W), over all pixels."""
    check_shapes(logits=(logits, "B 1 H W"), head=(head, "B 1 H W"))
    return F.binary_cross_entropy_with_logits(logits, head.to(logits), reduction="none").flatten(1).mean(dim=1)


def _weight(weight: Tensor | None, pred: Tensor) -> Tensor:
    """The given weights, or 1 everywhere."""
    if weight is None:
        return torch.ones_like(pred)
    check_shapes(pred=(pred, "B 1 H W"), weight=(weight, "B 1 H W"))
    return weight


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """(B,) weighted mean of finite ``values``; 0 if the weights sum to 0."""
    values, weights = at_least_32_bits(values), at_least_32_bits(weights)
    total = weights.flatten(1).sum(dim=1)
    return (values * weights).flatten(1).sum(dim=1) / torch.where(total > 0, total, 1)

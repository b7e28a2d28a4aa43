"""What a network is trained to output, and the loss for it: the table of data kinds and target kinds.

| the data's ``depth_kind`` | may train | targets and their loss by default |
|---|---|---|
| "metric" (z and camera known) | any kind | relief: L1 + multi-scale gradients + normals on the head; |
|   |   | affine kinds: scale-and-shift-invariant L1 (in 1/z for affine_inverse) + gradients on the head |
| "affine" (EG3D's 8-bit pictures) | affine_relief | plain L1 in [-1, 1] on all valid pixels; or, with loss="ssi", |
|   |   | scale-and-shift-invariant L1 + gradients on the head |
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..checks import InputError, check_number
from ..depth import KINDS, affine_to_picture, axis_factor, depth_to_relief, nearness, relief_to_depth
from ..losses import gradient_matching, mask_bce, masked_l1, normal_loss, normalise_scale_shift
from ..sample import Sample

TARGETS = {"metric": KINDS, "affine": ("affine_relief",)}
LOSSES = ("default", "ssi", "by_kind")


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss. For a relief target, ``face`` is how many times as much a pixel of the face
    counts as one outside, in L1, gradients and normals. For targets of an affine kind only ``mask``, the weight of the
    head's outline, is used: the other weights are fixed.

    Raises:
        InputError: a weight that is not a number of at least 0.
    """

    l1: float = 10.0
    gradient: float = 5.0
    normal: float = 0.5
    mask: float = 0.2
    face: float = 10.0

    def __post_init__(self) -> None:
        for part in fields(self):
            weight = check_number(f"LossWeights.{part.name}", getattr(self, part.name), least=0)
            object.__setattr__(self, part.name, weight)


def check_target(depth_kind: str, target_kind: str) -> None:
    """Refuse a pair of kinds that is not in the table.

    Raises:
        InputError: it says what this data may train.
    """
    if depth_kind not in TARGETS:
        raise InputError(f"depth_kind: expected one of {', '.join(TARGETS)}, got {depth_kind!r}")
    if target_kind not in TARGETS[depth_kind]:
        allowed = " or ".join(TARGETS[depth_kind])
        raise InputError(
            f"data of depth_kind {depth_kind!r} may train {allowed}, not {target_kind!r}: set "
            f"TrainConfig(target_kind={TARGETS[depth_kind][0]!r}), or use data with z-depth and camera "
            "(facedepth rerender makes it from EG3D's shapes)"
        )


class Objective:
    """The loss of a batch, for one data kind and one target kind.

    Args:
        loss: "default"; "ssi" for the scale-and-shift-invariant loss on affine data too; "by_kind" for "ssi" if the
            target is of an affine kind, else "default".

    Raises:
        InputError: a pair of kinds that is not in the table; an unknown loss; "ssi" for a relief, which would lose its
            scale.
    """

    def __init__(self, depth_kind: str, target_kind: str, weights: LossWeights, *, loss: str = "default") -> None:
        check_target(depth_kind, target_kind)
        if loss not in LOSSES:
            raise InputError(f"loss: expected one of {', '.join(LOSSES)}, got {loss!r}")
        if loss == "by_kind":
            loss = "default" if target_kind == "relief" else "ssi"
        if loss == "ssi" and target_kind == "relief":
            raise InputError("loss: a relief knows its scale, which the scale-and-shift-invariant loss would lose")
        self.depth_kind, self.target_kind, self.weights = depth_kind, target_kind, weights
        self.plain = depth_kind == "affine" and loss == "default"

    def __call__(self, output: Tensor, batch: Sample) -> dict[str, Tensor]:
        """Parts of the loss as scalars, means over the batch; "loss" is their weighted sum.

        Args:
            output: (B, 1, H, W) values, or (B, 2, H, W) with the logits of the head second.
        """
        values = output[:, :1]
        if self.plain:
            parts = {"l1": masked_l1(values, affine_to_picture(batch.depth), batch.mask)}
            weights = {"l1": 1.0}
        elif self.target_kind == "relief":
            parts = self._relief_parts(values, batch)
            weights = {"l1": self.weights.l1, "gradient": self.weights.gradient, "normal": self.weights.normal}
        else:
            parts = self._invariant_parts(values, batch)
            weights = {"ssi": 1.0, "gradient": 0.5}  # with the means taken here, a quarter of Ranftl et al.'s share
        if output.shape[1] == 2:
            parts["mask"] = mask_bce(output[:, 1:], batch.head)
            weights["mask"] = self.weights.mask
        means = {name: part.mean() for name, part in parts.items()}
        return {"loss": sum(weights[name] * mean for name, mean in means.items()), **means}

    def _relief_parts(self, values: Tensor, batch: Sample) -> dict[str, Tensor]:
        valid = batch.head & batch.mask
        target, z0 = depth_to_relief(batch.depth, valid, batch.camera)
        importance = torch.where(batch.face, self.weights.face, 1.0)
        predicted_depth = relief_to_depth(values, z0, batch.camera)
        return {
            "l1": masked_l1(values, target, valid, importance),
            "gradient": gradient_matching(values, target, valid, weight=importance),
            "normal": normal_loss(predicted_depth, batch.depth, batch.camera, valid, weight=importance),
        }

    def _invariant_parts(self, values: Tensor, batch: Sample) -> dict[str, Tensor]:
        valid = batch.head & batch.mask
        target = self._affine_target(batch)
        # Once for both parts: the medians in it take longer than the rest.
        values, target = normalise_scale_shift(values, valid), normalise_scale_shift(target, valid)
        return {"ssi": masked_l1(values, target, valid), "gradient": gradient_matching(values, target, valid)}

    def _affine_target(self, batch: Sample) -> Tensor:
        if self.depth_kind == "affine":
            return affine_to_picture(batch.depth)
        return nearness(batch.depth * axis_factor(batch.camera, *batch.depth.shape[-2:]), self.target_kind)

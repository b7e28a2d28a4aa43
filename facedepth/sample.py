"""The record that every data set yields and every transform takes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .camera import Camera
from .checks import InputError, check_shapes

_ROUNDED = 1e-3  # an image that was resampled or went through 16 bits may leave its range by so much
_NEAREST_SHARE = 0.02  # no head's nearest point is fifty times as near as its farthest


class Sample(NamedTuple):
    """One picture with its depth. A NamedTuple of tensors, so torch's default collate makes a batch of the same type.

    Attributes:
        image: (3, H, W) RGB in [0, 1].
        depth: (1, H, W) z-depth, 0 where invalid; for data of ``depth_kind`` "affine": 0 nearest ... 1 farthest.
        mask: (1, H, W) bool, depth is valid.
        head: (1, H, W) bool, what a mesh keeps; equals mask where the data set does not say.
        face: (1, H, W) bool, where scores are taken; equals head where the data set does not say.
        camera: the camera of this very picture.
        name: the file's stem, or whatever names the sample in its data set.
    """

    image: Tensor
    depth: Tensor
    mask: Tensor
    head: Tensor
    face: Tensor
    camera: Camera
    name: str

    def check(self) -> Sample:
        """This sample, once its shapes, types and range agree and it holds valid depth, on the head too.

        Raises:
            InputError: naming the sample and what is wrong.
        """
        try:
            check_shapes(
                image=(self.image, "3 H W"), depth=(self.depth, "1 H W"), mask=(self.mask, "1 H W"),
                head=(self.head, "1 H W"), face=(self.face, "1 H W"),
            )
            self._check_types()
        except InputError as error:
            raise InputError(f"sample {self.name!r}: {error}") from None
        if not self.mask.any():
            raise InputError(f"sample {self.name!r}: no valid depth pixel (all are 0, NaN or inf)")
        if not (self.head & self.mask).any():
            raise InputError(
                f"sample {self.name!r}: no pixel of the head is left in the crop, or none has valid depth; check its "
                "head mask, or leave the sample out"
            )
        least, greatest = (float(bound) for bound in self.image.aminmax())
        if not (least >= -_ROUNDED and greatest <= 1 + _ROUNDED):  # nor NaN
            raise InputError(
                f"sample {self.name!r}: image: expected RGB in [0, 1], got values from {least:.4g} to {greatest:.4g}"
                "; divide pictures of 8 bits by 255, and do not normalise them: networks do that themselves"
            )
        return self

    def _check_types(self) -> None:
        for name in ("image", "depth"):
            if not getattr(self, name).is_floating_point():
                raise InputError(f"{name}: expected floating point numbers, got {getattr(self, name).dtype}")
        for name in ("mask", "head", "face"):
            if getattr(self, name).dtype != torch.bool:
                raise InputError(f"{name}: expected bool, got {getattr(self, name).dtype}")


def checked(sample: object) -> Sample:
    """What a data set yields, once it is a sample that can be used.

    Raises:
        InputError: it is something else, or see ``Sample.check``.
    """
    if not isinstance(sample, Sample):
        raise InputError(f"dataset: expected it to yield facedepth.Sample, got {type(sample).__name__}")
    return sample.check()


def looks_affine(depth: Tensor) -> bool:
    """Whether depth, any number of valid values, reaches from about 0 to 1 as data of ``depth_kind`` "affine" do, and
    so cannot be a head's in metres."""
    return bool(depth.numel() and depth.max() <= 1 and depth.min() < _NEAREST_SHARE * depth.max())

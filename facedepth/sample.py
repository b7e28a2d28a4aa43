"""The record that every data set yields and every transform takes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .camera import Camera
from .checks import InputError, check_shapes

_OVERSHOOT = 0.35  # bicubic resizing leaves an image's range by less; bytes and normalised images by more
_NEAREST_SHARE = 0.02  # no head's nearest point is fifty times as near as its farthest
_LEAST_FOCAL = 0.2  # in picture widths; no lens that is not a fisheye takes in more
_ROUNDING = 1e-3
_STRAY_PX = 4  # so few pixels as near as that may be a sensor's noise
_FEW_PX = 16  # so few may have one depth by chance


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

    def __repr__(self) -> str:
        return f"Sample({self.name!r}, {' x '.join(map(str, reversed(self.image.shape[-2:])))} pixels)"

    def check(self) -> Sample:
        """This sample, once its shapes, types and range agree and it holds valid depth, on the head too.

        Raises:
            InputError: naming the sample and what is wrong.
        """
        try:
            self._check_types()
            check_shapes(
                image=(self.image, "3 H W"), depth=(self.depth, "1 H W"), mask=(self.mask, "1 H W"),
                head=(self.head, "1 H W"), face=(self.face, "1 H W"), K=(self.camera.K, "3 3"),
                cam2world=(self.camera.cam2world, "4 4"),
            )
            self._check_camera()
            self._check_values()
        except InputError as error:
            raise InputError(f"sample {self.name!r}: {error}") from None
        return self

    def _check_types(self) -> None:
        if not isinstance(self.camera, Camera):
            raise InputError(f"camera: expected a Camera, got {type(self.camera).__name__}")
        for name, matrix in zip(self.camera._fields, self.camera, strict=True):
            if not isinstance(matrix, Tensor) or matrix.dtype != torch.float32:
                came = getattr(matrix, "dtype", type(matrix).__name__)
                raise InputError(f"camera: expected {name} as a tensor of torch.float32, got {came}")
        for name in ("image", "depth", "mask", "head", "face"):
            tensor, wanted = getattr(self, name), torch.bool if name in ("mask", "head", "face") else torch.float32
            if not isinstance(tensor, Tensor):
                raise InputError(f"{name}: expected a tensor, got {type(tensor).__name__}; torch.from_numpy makes one")
            if tensor.dtype != wanted:
                raise InputError(f"{name}: expected {wanted}, got {tensor.dtype}; {name}.to({wanted}) makes it so")
        if not isinstance(self.name, str):
            raise InputError(f"name: expected text, got {type(self.name).__name__}")

    def _check_camera(self) -> None:
        """A wrong camera makes normals and losses wrong, and nobody sees it in the pictures."""
        if not all(matrix.isfinite().all() for matrix in self.camera):
            raise InputError("camera: expected finite numbers, got NaN or infinity in K or cam2world")
        last = self.camera.K[2].tolist()
        if last != [0, 0, 1]:
            raise InputError(f"camera: expected 0, 0, 1 in the last row of K, got {', '.join(f'{n:g}' for n in last)}")
        height, width = self.image.shape[-2:]
        for focal, side in ((self.camera.K[0, 0], width), (self.camera.K[1, 1], min(height, width))):
            if focal < 0:
                raise InputError(f"camera: expected focal lengths above 0, with x right and y down, got {focal:.4g}")
            if not focal > _LEAST_FOCAL * side:
                raise InputError(
                    f"camera: expected K in pixels, got a focal length of {focal:.4g} for a picture of {width} x "
                    f"{height}, as if in picture widths; multiply its first two rows by the width and the height"
                )

    def _check_values(self) -> None:
        if not self.mask.any():
            raise InputError("no valid depth pixel (all are 0, NaN or inf, or lay outside of the square that is seen)")
        if not (self.head & self.mask).any():
            raise InputError(
                "no pixel of the head is left in the crop, or none has valid depth; check its head mask, or leave the "
                "sample out"
            )
        nearest, farthest = (float(bound) for bound in torch.where(self.mask, self.depth, 0.0).aminmax())
        if not 0 <= nearest <= farthest < torch.inf:
            raise InputError(
                f"depth: expected finite values, not negative, in the mask, got {nearest:.4g} to {farthest:.4g}; leave "
                "pixels of unknown depth out of the mask"
            )
        least, greatest = (float(bound) for bound in self.image.aminmax())
        if not -_OVERSHOOT <= least <= greatest <= 1 + _OVERSHOOT:
            raise InputError(
                f"image: expected RGB in [0, 1], got values from {least:.4g} to {greatest:.4g}; divide pictures of 8 "
                "bits by 255, and do not normalise them: networks do that themselves"
            )


def checked(sample: object, depth_kind: str) -> Sample:
    """What a data set of this ``depth_kind`` yields, once it is a sample that can be used.

    Raises:
        InputError: it is something else; constant depth, metric depth of 0 in the mask, or affine depth beyond 1; or
            see ``Sample.check``.
    """
    if not isinstance(sample, Sample):
        raise InputError(f"dataset: expected it to yield facedepth.Sample, got {type(sample).__name__}")
    sample.check()
    nearest, farthest = sample.depth[sample.mask].aminmax()
    if depth_kind == "metric" and nearest == 0:
        raise InputError(
            f"sample {sample.name!r}: depth: expected metres above 0 in the mask, got 0 in places; leave pixels of "
            "unknown depth out of the mask"
        )
    if nearest == farthest and sample.mask.sum() > _FEW_PX:
        raise InputError(
            f"sample {sample.name!r}: depth: constant, {float(nearest):.4g} everywhere in the mask, as no face's is; "
            "is it the right file?"
        )
    if depth_kind == "affine" and farthest > 1 + _ROUNDING:
        raise InputError(
            f"sample {sample.name!r}: depth: expected 0 nearest to 1 farthest, as data of depth_kind 'affine' have it, "
            f"got up to {farthest:.4g}"
        )
    return sample


def looks_affine(depth: Tensor) -> bool:
    """Whether depth, any number of valid values, reaches from about 0 to 1 as data of ``depth_kind`` "affine" do, and
    so cannot be a head's in metres."""
    if not depth.numel() or depth.max() > 1:
        return False
    return int((depth < _NEAREST_SHARE * depth.max()).sum()) > _STRAY_PX

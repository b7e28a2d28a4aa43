"""The record that every data set yields and every transform takes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .camera import Camera
from .checks import InputError, check_shapes


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
        """This sample, once its shapes agree and it holds valid depth, on the head too.

        Raises:
            InputError: naming the sample and what is wrong.
        """
        try:
            check_shapes(
                image=(self.image, "3 H W"), depth=(self.depth, "1 H W"), mask=(self.mask, "1 H W"),
                head=(self.head, "1 H W"), face=(self.face, "1 H W"),
            )
        except InputError as error:
            raise InputError(f"sample {self.name!r}: {error}") from None
        if not self.mask.any():
            raise InputError(f"sample {self.name!r}: no valid depth pixel (all are 0, NaN or inf)")
        if not (self.head & self.mask).any():
            raise InputError(
                f"sample {self.name!r}: no pixel of the head is left in the crop, or none has valid depth; check its "
                "head mask, or leave the sample out"
            )
        return self

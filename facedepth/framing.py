"""The one rule for framing a face in a network's square picture: cut it out of a photo, paste the result back.

The rule: the square is about 0.30 m wide at the face, 4.8 times the distance between the eyes, with the face in its
middle, as in FFHQ's and EG3D's crops. Without a detected face, it is the smallest square that contains the photo.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .camera import Crop
from .checks import InputError, check_shapes
from .detection import FaceBox

CROP_WIDTH_M = 0.30
"""Width of a framed crop at the face: it turns a relief into metres when nothing better is known."""

# The square around a detected box: its side in units of the box's mean side, as measured on 400 synthetic faces (7 %
# standard deviation), and how far its centre lies above the box's, as a share of the side: 0.03 would centre the face
# (2 %); the rest keeps high hair in the picture, at the cost of the neck.
_CROP_PER_BOX = 1.82
_RAISED = 0.06


def whole_crop(height: int, width: int) -> Crop:
    """The smallest square that contains a whole photo, centred on it."""
    size = max(height, width)
    return Crop((width - size) // 2, (height - size) // 2, size)


def face_crop(box: FaceBox) -> Crop:
    """The square that frames a face found by ``detection.find_faces``."""
    size = max(1, round(_CROP_PER_BOX * math.sqrt(box.width * box.height)))
    return Crop(round(box.centre_x - size / 2), round(box.centre_y - (0.5 + _RAISED) * size), size)


def cut(image: Tensor, crop: Crop, size: int) -> Tensor:
    """The crop of an image (3, H, W), resized to (3, size, size) with antialiasing; outside the photo, its edge pixels
    are repeated.

    Raises:
        InputError: the crop lies wholly outside the photo.
    """
    height, width = check_shapes(image=(image, "3 H W")).values()
    left, top, right, bottom = _inside(crop, height, width)
    margins = (left - crop.left, crop.left + crop.size - right, top - crop.top, crop.top + crop.size - bottom)
    # One channel at a time: a 12,000-pixel photo padded to a square takes 0.6 GB per channel.
    channels = [
        resample(F.pad(channel[None, None, top:bottom, left:right], margins, mode="replicate")[0], size, size)
        for channel in image
    ]
    return torch.cat(channels).clamp_(0, 1)


def paste(values: Tensor, crop: Crop, height: int, width: int, *, mode: str = "bicubic") -> Tensor:
    """The inverse of ``cut``: (C, h, w) values of a crop, resampled onto the photo's pixels (C, H, W), 0 outside the
    crop.

    Raises:
        InputError: the crop lies wholly outside the photo.
    """
    left, top, right, bottom = _inside(crop, height, width)
    enlarged = resample(values, crop.size, crop.size, mode=mode)
    photo = values.new_zeros(len(values), height, width)
    photo[:, top:bottom, left:right] = enlarged[
        :, top - crop.top : bottom - crop.top, left - crop.left : right - crop.left
    ]
    return photo


def _inside(crop: Crop, height: int, width: int) -> tuple[int, int, int, int]:
    """The part of the crop inside the photo: left, top, right, bottom.

    Raises:
        InputError: there is none.
    """
    left, top = max(crop.left, 0), max(crop.top, 0)
    right, bottom = min(crop.left + crop.size, width), min(crop.top + crop.size, height)
    if right <= left or bottom <= top:
        raise InputError(f"crop: expected a square that overlaps the {width} x {height} picture, got {tuple(crop)}")
    return left, top, right, bottom


def resample(values: Tensor, height: int, width: int, *, mode: str = "bilinear") -> Tensor:
    """(C, h, w) to (C, height, width), antialiased when shrinking."""
    if values.shape[-2:] == (height, width):
        return values
    return F.interpolate(values[None], (height, width), mode=mode, align_corners=False, antialias=True)[0]

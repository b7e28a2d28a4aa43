"""The one rule for framing a face in a network's square picture: cut it out of a photo, paste the result back.

The rule: the square is about 0.28 m wide at the face, 4.5 times the distance between the eyes, with the face in its
middle, as in FFHQ's and EG3D's crops. A picture that is such a crop already is taken whole (``whole_crop``).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .camera import Crop, pixel_grid
from .checks import InputError, check_shapes

CROP_WIDTH_M = 0.28
"""Width of a framed crop at the face: it turns a relief into metres when nothing better is known."""

# The square around a detected box: its side in units of the box's mean side, as measured on 400 synthetic faces (7 %
# standard deviation), and how far its centre lies above the box's, as a share of the side: 0.03 would centre the face
# (2 %); the rest keeps high hair in the picture, at the cost of the neck.
_CROP_PER_BOX = 1.82
_RAISED = 0.06

_LARGER = 1.15  # times as wide is the square for the next look at a head that this one cuts off

_UPRIGHT_DEG = 15.0
"""Faces tilted no farther are left as they are: networks have seen such (to 12 degrees), and a detector's tilt is exact
to six degrees at best."""


class FaceBox(NamedTuple):
    """A face in a photo, from chin to forehead, in pixels; ``score`` in [0, 1].

    ``tilt_deg``, in [-180, 180], is roughly how far it is turned clockwise from upright, judged by its eyes and mouth.
    ``eyes_apart`` is the distance between the eyes, across the face as the photo shows it, over that from eyes to
    mouth: about 1 from the front, less the farther the head is turned to a side.
    """

    centre_x: float
    centre_y: float
    width: float
    height: float
    score: float
    tilt_deg: float
    eyes_apart: float


def whole_crop(height: int, width: int) -> Crop:
    """The smallest square that contains a whole photo, centred on it."""
    size = max(height, width)
    return Crop((width - size) // 2, (height - size) // 2, size)


def face_crop(box: FaceBox) -> Crop:
    """The square that frames a face found by ``prediction.detection.find_faces``."""
    size = max(1, round(_CROP_PER_BOX * math.sqrt(box.width * box.height)))
    tilt_deg = box.tilt_deg if abs(box.tilt_deg) > _UPRIGHT_DEG else 0.0
    return _square(box.centre_x, box.centre_y, size, tilt_deg, raised=_RAISED * size)


def enlarged(crop: Crop) -> Crop:
    """A larger square with the same lower edge, as the face in it stands: for what lies above the face."""
    size = round(_LARGER * crop.size)
    middle_x, middle_y = (start + crop.size / 2 for start in crop[:2])
    return _square(middle_x, middle_y, size, crop.tilt_deg, raised=(size - crop.size) / 2)


def _square(middle_x: float, middle_y: float, size: int, tilt_deg: float, *, raised: float) -> Crop:
    """A square about a place that is raised by so many pixels, as the face in it stands."""
    right, up = raised * math.sin(math.radians(tilt_deg)), raised * math.cos(math.radians(tilt_deg))
    return Crop(round(middle_x + right - size / 2), round(middle_y - up - size / 2), size, tilt_deg)


def cut(image: Tensor, crop: Crop, size: int) -> Tensor:
    """The crop of an image (3, H, W), turned upright and resized to (3, size, size), antialiased; outside the photo,
    its edge pixels are repeated.

    Raises:
        InputError: the crop lies wholly outside the photo.
    """
    if crop.tilt_deg:
        around = _around(crop)
        return _turned(cut(image, around, math.ceil(size * around.size / crop.size)), crop, around, size).clamp_(0, 1)
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
    crop and, where it is tilted, outside what the network saw.

    Raises:
        InputError: the crop lies wholly outside the photo.
    """
    photo = values.new_zeros(len(values), height, width)
    enlarged = resample(values, crop.size, crop.size, mode=mode)
    if crop.tilt_deg:
        left, top, right, bottom = _inside(_around(crop), height, width)
        y, x = (
            (torch.arange(first, last) + 0.5 - start) / crop.size - 0.5
            for first, last, start in ((top, bottom, crop.top), (left, right, crop.left))
        )
        # Not the small values by bicubic sampling: its kernel bends slopes, and a face comes out ribbed.
        places = rotated_into_crop(x[None], y[:, None], crop)
        photo[:, top:bottom, left:right] = _sampled(enlarged, *places, mode="bilinear")
        return photo
    left, top, right, bottom = _inside(crop, height, width)
    photo[:, top:bottom, left:right] = enlarged[
        :, top - crop.top : bottom - crop.top, left - crop.left : right - crop.left
    ]
    return photo


def rotated_into_crop(x: Tensor | float, y: Tensor | float, crop: Crop) -> tuple[Tensor | float, Tensor | float]:
    """Offsets from the crop's middle, rotated from the photo's axes to the crop's, in which the face is upright."""
    cosine, sine = math.cos(math.radians(crop.tilt_deg)), math.sin(math.radians(crop.tilt_deg))
    return cosine * x + sine * y, cosine * y - sine * x


def crop_coordinates(height: int, width: int, crop: Crop) -> Tensor:
    """(2, H, W) each photo pixel's x and y in the crop, from its middle and in its widths: -0.5 to 0.5 inside it."""
    corner = torch.tensor(crop[:2])[:, None, None]
    return torch.stack(rotated_into_crop(*((pixel_grid(height, width) - corner) / crop.size - 0.5), crop))


def crop_of_crop(outer: Crop, inner: Crop, size: int) -> Crop:
    """A square of the picture ``cut(photo, outer, size)``, as one of the photo itself."""
    scale = outer.size / size
    x, y = (scale * (start + inner.size / 2) - outer.size / 2 for start in inner[:2])
    x, y = rotated_into_crop(x, y, outer._replace(tilt_deg=-outer.tilt_deg))
    new_size, half = round(scale * inner.size), outer.size / 2
    left, top = (round(start + half + place - new_size / 2) for start, place in ((outer.left, x), (outer.top, y)))
    return Crop(left, top, new_size, (outer.tilt_deg + inner.tilt_deg + 180) % 360 - 180)


def _around(crop: Crop) -> Crop:
    """The upright square about the same middle that holds the tilted one."""
    margin = math.ceil((math.sqrt(2) - 1) / 2 * crop.size)
    return Crop(crop.left - margin, crop.top - margin, crop.size + 2 * margin)


def _turned(picture: Tensor, crop: Crop, around: Crop, size: int) -> Tensor:
    """(C, size, size) of the tilted crop, out of a picture of the square around it."""
    place = (torch.arange(size) + 0.5) / size - 0.5
    back = crop._replace(tilt_deg=-crop.tilt_deg)
    x, y = rotated_into_crop(place[None], place[:, None], back)
    share = crop.size / around.size
    return _sampled(picture, share * x, share * y, mode="bicubic")


def _sampled(values: Tensor, x: Tensor, y: Tensor, *, mode: str) -> Tensor:
    """Values (C, h, w) at places (H, W) about their middle, in their own widths; 0 outside."""
    inside = (x.abs() <= 0.5) & (y.abs() <= 0.5)
    grid = 2 * torch.stack([x, y], dim=-1)[None].to(values)
    sampled = F.grid_sample(values[None], grid, mode=mode, padding_mode="border", align_corners=False)[0]
    return torch.where(inside, sampled, 0.0)


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

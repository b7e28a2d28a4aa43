"""Read a photo in any form, choose its square and find its focal length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..camera import Crop
from ..checks import InputError, check_number, check_shapes, shown, warn
from ..framing import CROP_WIDTH_M, FaceBox, crop_of_crop, cut, face_crop, whole_crop
from ..io import (
    LEAST_SIDE,
    focal_from_exif,
    image_from_pil,
    image_to_uint8,
    read_image,
    refuse_tiny,
)
from .detection import find_faces

DEFAULT_FOV_DEG = 20.0
"""Horizontal field of view assumed for a face crop when neither the caller nor the photo's EXIF gives one."""

LEAST_FOCAL = 1.0
"""The shortest focal length assumed for a photo that gives none, in its longer sides: 36 mm on 36 mm film."""

NEAREST_M = 0.25
"""The nearest a face is photographed from. EXIF that puts a crop's face nearer belongs to a larger photo."""

_NO_BYSTANDER = 0.5  # a face wider than this, over the largest one's width, may be the one that was meant

_UPRIGHT_LOOKS, _LOOK_PX = 3, 320
_LYING_DEG, _HEAD_DOWN_DEG = 50.0, 135.0  # a face tilted farther lies, or stands on its head
_GREATEST_CROP = 4  # longer sides of the photo: a square is enlarged whole to its pixels, in memory
_FEW_PX = 64  # in a square this wide, eyes are five pixels long
_LEAST_MARGIN = 0.1  # widths of the box from its side to the photo's: of 400 whole heads the least was 0.13
_EYES_NEAR = 0.5  # FaceBox.eyes_apart: none of 45 heads turned up to 35 degrees was below, most beyond 50, all from 75

Photo = str | Path | np.ndarray | Image.Image | Tensor


def read_photo(photo: Photo, name: str = "photo") -> Tensor:
    """The photo as (3, H, W) RGB in [0, 1]; errors call it by its path, or by ``name`` if it has none.

    Raises:
        InputError: unreadable, of another shape or range, or below 16 pixels a side.
    """
    if isinstance(photo, (str, Path)):
        image = read_image(photo)
    elif isinstance(photo, Image.Image):
        try:
            image = image_from_pil(photo)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        except OSError as error:  # Pillow reads the file only now
            raise InputError(f"{name}: a damaged picture ({error})") from None
    else:
        image = _from_array(photo, name)
    return refuse_tiny(image, photo if isinstance(photo, (str, Path)) else name)


def _from_array(photo: np.ndarray | Tensor, name: str) -> Tensor:
    if not isinstance(photo, (np.ndarray, Tensor)):
        raise InputError(f"{name}: expected a path, a PIL picture, an array or a tensor, got {type(photo).__name__}")
    if isinstance(photo, Tensor):
        check_shapes(**{name: (photo, "3 H W")})
        image = photo.detach().float().cpu() / (255 if photo.dtype == torch.uint8 else 1)
        known = photo.is_floating_point() or photo.dtype == torch.uint8
    elif photo.dtype == np.uint8 and (photo.ndim == 2 or photo.shape[2:] in ((3,), (4,))):
        return image_from_pil(Image.fromarray(photo))
    else:
        known = photo.dtype == np.uint16 or np.issubdtype(photo.dtype, np.floating)
        image = torch.from_numpy(photo.astype(np.float32) / (65535 if photo.dtype == np.uint16 else 1))
        if image.ndim == 2:
            image = image[..., None].expand(-1, -1, 3)
        check_shapes(**{name: (image, "H W 3")})
        image = image.permute(2, 0, 1).contiguous()
    if not known or not ((image >= 0) & (image <= 1)).all():
        raise InputError(
            f"{name}: expected uint8, uint16 or float from 0 to 1, got {photo.dtype} from {float(image.min()):g} to "
            f"{float(image.max()):g}"
        )
    return image


def choose_crop(image: Tensor, crop: str | Sequence[float], name: str = "photo") -> Crop:
    """The square for a network to see: around the "face", the whole picture ("none"), or (left, top, size) in pixels,
    and if it is tilted, its tilt in degrees. Errors and warnings call the photo by ``name``.

    Raises:
        InputError: no face is found, or no such way to crop.
    """
    if isinstance(crop, str) and crop == "none":
        return whole_crop(*image.shape[-2:])
    if isinstance(crop, str) and crop == "face":
        return _face_square(image, name)
    try:
        numbers = [float(number) for number in crop]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    most = _GREATEST_CROP * max(image.shape[-2:])
    if not (len(numbers) in (3, 4) and all(map(math.isfinite, numbers)) and LEAST_SIDE <= round(numbers[2]) <= most):
        raise InputError(
            f"{name}: crop: expected 'face', 'none' or (left, top, size) in pixels, with a size from {LEAST_SIDE} to "
            f"{most}, got {crop!r}"
        )
    return Crop(*map(round, numbers[:3]), *numbers[3:])  # detectors give floats


def _face_square(image: Tensor, name: str) -> Crop:
    """The square of the largest face, with warnings about what the user may not have meant."""
    boxes = find_faces(image_to_uint8(image))
    if not boxes:
        raise InputError(
            f"{name}: no face found in the picture ({image.shape[-1]} x {image.shape[-2]}); give its square "
            "yourself, crop=(left, top, size) or --crop=LEFT,TOP,SIZE, or use the whole picture: crop='none' "
            "(--crop none)"
        )
    box, square = boxes[0], face_crop(boxes[0])
    if square.tilt_deg:
        box, square = _looked_at_upright(image, box, square)
    if _leaves_photo(boxes[0], *image.shape[-2:]):
        warn(
            f"{name}: the face is cut off by the photo's edge, or nearly: how large it is, and what is missing, are "
            "guesses; a photo of the whole head gives a better one"
        )
    others = [face_crop(box) for box in boxes[1:] if box.width > _NO_BYSTANDER * boxes[0].width]
    for remark in (*_remarks_on_others(others), *_remarks_on_view(box, square)):
        warn(f"{name}: {remark}")
    return square


def _remarks_on_others(squares: list[Crop]) -> Iterator[str]:
    """What to say of further faces in a photo."""
    if squares:
        told = [_as_crop_option(square) for square in squares]
        yield (
            f"{1 + len(told)} faces seen, the largest is taken; for the others: "
            f"{shown('--crop=' + square for square in told)} (in Python, crop=({told[0]}))"
        )


def _remarks_on_view(box: FaceBox, square: Crop) -> Iterator[str]:
    """What to say of a face that networks do not see well."""
    if box.eyes_apart < _EYES_NEAR:
        yield (
            "the face is turned far to a side, where networks have seen few: expect a wrong shape, the nearer it is to "
            "a profile the more; a photo from the front gives a better one"
        )
    if abs(square.tilt_deg) > _LYING_DEG:
        lies = "lies on its side" if abs(square.tilt_deg) < _HEAD_DOWN_DEG else "stands on its head"
        yield (
            f"the face {lies}; it was turned upright for the network, and the result lies as in the photo: rotate the "
            "photo to have it stand"
        )
    if square.size < _FEW_PX:
        yield (
            f"the face's square is {square.size} pixels wide, too few to see much in: expect a smooth, average face; a "
            "closer photo shows more"
        )


def _leaves_photo(box: FaceBox, height: int, width: int) -> bool:
    """Whether a face is cut off by the photo, as its box tells (and of three in 400 whole heads, too): it reaches
    beyond, or beside the photo's left or right edge it fits itself to what is left of the face."""
    across, down = min(box.centre_x, width - box.centre_x), min(box.centre_y, height - box.centre_y)
    return across < (0.5 + _LEAST_MARGIN) * box.width or down < box.height / 2


def _as_crop_option(crop: Crop) -> str:
    """As ``--crop`` takes it."""
    return ",".join(f"{number:.0f}" for number in (crop if crop.tilt_deg else crop[:3]))


def _looked_at_upright(image: Tensor, box: FaceBox, square: Crop) -> tuple[FaceBox, Crop]:
    """A tilted face and its square, from more looks at it turned upright: so the detector is most exact. One will do,
    unless that finds it tilted still."""
    for _ in range(_UPRIGHT_LOOKS):
        around = Crop(square.left - square.size // 2, square.top - square.size // 2, 2 * square.size, square.tilt_deg)
        boxes = find_faces(image_to_uint8(cut(image, around, _LOOK_PX)))
        if not boxes:
            break
        middle = _LOOK_PX / 2
        box = min(boxes, key=lambda box: math.hypot(box.centre_x - middle, box.centre_y - middle))
        seen = face_crop(box)
        square = crop_of_crop(around, seen, _LOOK_PX)
        if not seen.tilt_deg:
            break
    return box, square


def focal_px(
    photo: Photo, crop: Crop, horizontal_fov_deg: float | None, longer_side_px: int, *, framed: bool,
    name: str = "photo",
) -> float:
    """Focal length in pixels: from the crop's field of view if it is given, else from EXIF, else from the default.

    A picture cut out of a photo may keep the photo's EXIF. Where that shows, EXIF is ignored: the picture has other
    proportions or, in a crop ``framed`` around a face, the face would be nearer than ``NEAREST_M``; the latter warns.

    By default a small face in a large photo is taken to be farther away, not seen through a lens wider than cameras
    have: off the middle, such a lens would stretch it to many times its width.

    Raises:
        InputError: a field of view that is not between 0 and 180 degrees.
    """
    if horizontal_fov_deg is None and isinstance(photo, (str, Path, Image.Image)):
        from_exif = focal_from_exif(photo)
        if from_exif is not None and not (framed and CROP_WIDTH_M * from_exif / crop.size < NEAREST_M):
            return from_exif
        if from_exif is not None:
            warn(
                f"{name}: its EXIF would put the face nearer than {NEAREST_M} m, so it is taken for a crop of a larger "
                "photo and its EXIF is ignored; if you know the face's field of view, give it (horizontal_fov_deg=, "
                "--fov)"
            )
    fov_deg = DEFAULT_FOV_DEG if horizontal_fov_deg is None else horizontal_fov_deg
    check_number("horizontal_fov_deg", fov_deg, above=0, below=180)
    focal = crop.size / 2 / math.tan(math.radians(fov_deg) / 2)
    return focal if horizontal_fov_deg is not None else max(focal, LEAST_FOCAL * longer_side_px)

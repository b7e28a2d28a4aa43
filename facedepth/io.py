"""Images, depth maps and masks in and out of files; files appear whole or not at all.

Files hold z-depth with NaN where there is none; in memory those pixels are 0.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from .checks import InputError, check_number
from .exr import read_exr_depth
from .paths import atomic_path, existing_file, looks_heic, user_path, why_unreadable

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif")
DEPTH_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff", ".exr")
LEAST_SIDE = 16
DAMAGED_EXIF = (SyntaxError, ValueError, TypeError, KeyError, struct.error)  # what Pillow raises on it
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def open_picture(path: str | Path) -> Image.Image:
    """``PIL.Image.open`` that knows HEIC, the format of iPhones, too, where the extra ``faces`` is installed.

    Raises:
        OSError: as ``PIL.Image.open`` does.
    """
    path = user_path(path)
    if looks_heic(path):
        with contextlib.suppress(ImportError):
            import pi_heif

            pi_heif.register_heif_opener()
    return Image.open(path)


def read_image(path: str | Path) -> Tensor:
    """Read a picture as (3, H, W) RGB in [0, 1], turned upright by its EXIF orientation.

    Grey, palette, RGBA (laid over white), CMYK and 16-bit pictures are understood, and grey floats from 0 to 1.

    Raises:
        InputError: the file is missing, not a picture, cut short, or holds values out of range.
    """
    return read_image_and_turn(path)[0]


def read_image_and_turn(path: str | Path) -> tuple[Tensor, bool]:
    """Like ``read_image``, and whether EXIF made it turn or mirror the picture."""
    picture, turned, orientation_tag = _loaded_picture(path), False, 0x0112
    with contextlib.suppress(*DAMAGED_EXIF):
        orientation = picture.getexif().get(orientation_tag)
        turned = picture.info.get("original_orientation", orientation) in range(2, 9)  # pi_heif has turned it already
    return _decoded(path, picture), turned


def refuse_tiny(image: Tensor, name: str | Path) -> Tensor:
    """The same picture (C, H, W), if it is large enough to show anything.

    Raises:
        InputError: naming it, where a side is below 16 pixels.
    """
    height, width = image.shape[-2:]
    if min(height, width) < LEAST_SIDE:
        raise InputError(f"{name}: expected at least {LEAST_SIDE} x {LEAST_SIDE} pixels, got {width} x {height}")
    return image


def image_from_pil(picture: Image.Image) -> Tensor:
    """A PIL picture of any mode as (3, H, W) RGB in [0, 1].

    Raises:
        InputError: 32-bit grey values not from 0 to 65535, or floats not from 0 to 1.
    """
    picture = _in_srgb(_upright(picture))
    if picture.mode == "F" or picture.mode.startswith("I"):  # grey: floats, or 16 bits that may come in 32
        numbers, most = np.array(picture, dtype=np.float32), 1 if picture.mode == "F" else 65535
        if not ((numbers >= 0) & (numbers <= most)).all():
            raise InputError(
                f"expected grey values from 0 to {most} in a picture of mode {picture.mode!r}, got {numbers.min():g} "
                f"to {numbers.max():g}; scale it, or is it a depth map?"
            )
        return torch.from_numpy(numbers / most).expand(3, -1, -1)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float().div_(255)


def _in_srgb(picture: Image.Image) -> Image.Image:
    """The picture in sRGB's colours, where it brings a profile of others, as iPhones' Display P3."""
    if not picture.info.get("icc_profile"):
        return picture
    if picture.mode == "P" or (picture.mode in ("RGB", "L") and picture.has_transparency_data):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if picture.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return picture
    with contextlib.suppress(OSError, ImageCms.PyCMSError):  # a damaged profile, or one of other colours
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
    return picture


def image_to_uint8(image: Tensor) -> np.ndarray:
    """(3, H, W) in [0, 1] to (H, W, 3) uint8."""
    return image.detach().cpu().clamp(0, 1).mul(255).round_().to(torch.uint8).permute(1, 2, 0).numpy()


def focal_from_exif(photo: str | Path | Image.Image) -> float | None:
    """Focal length in pixels from a picture's EXIF 35-mm equivalent, or None where it gives none.

    The equivalent is that of the diagonal, as the camera makers' association CIPA has it. Where EXIF describes a
    picture of other proportions, this one was cropped from it later, and its focal length is unknown.
    """
    exif_ifd, focal_35mm_tag, size_tags = 0x8769, 0xA405, (0xA002, 0xA003)
    opened = contextlib.nullcontext(photo) if isinstance(photo, Image.Image) else open_picture(photo)
    with opened as picture:
        shortest, longest = sorted(picture.size)
        try:
            exif = picture.getexif().get_ifd(exif_ifd)
            focal_35mm = float(exif.get(focal_35mm_tag))
            short, long = sorted(float(exif.get(tag, 0)) for tag in size_tags)
        except (*DAMAGED_EXIF, ZeroDivisionError):  # or missing, or text, several numbers, 1/0
            return None
    same_shape = short <= 0 or abs(short / long - shortest / longest) < 0.02
    in_diagonals = focal_35mm / math.hypot(24, 36)
    return in_diagonals * math.hypot(shortest, longest) if 0 < focal_35mm < math.inf and same_shape else None


def read_array(path: str | Path) -> np.ndarray:
    """Read the one array of a .npy file, or the only one (or the one called ``depth``) of a .npz file.

    Raises:
        InputError: missing, empty, damaged, of another format, or holding Python objects.
    """
    path = existing_file(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if len(names) != 1 and "depth" not in names:
                raise InputError(f"{path}: expected one array or one called 'depth', got {', '.join(names) or 'none'}")
            return loaded["depth" if "depth" in names else names[0]]
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{path}: may not be read ({error.strerror})") from None
    except Exception as error:  # np.load passes on the errors of its parsers: zlib's, tokenize's and more
        why = "it holds Python objects or text" if "pickle" in str(error) else error  # NumPy's advice is to run them
        reason = why_unreadable(path) or f"not a readable NumPy file ({why}); write it again with np.save"
        raise InputError(f"{path}: {reason}") from None


def read_values(path: str | Path) -> np.ndarray:
    """Read a single-channel map as it is stored, (H, W) float32: .npy, .npz, 8- or 16-bit .png, .tif, .exr.

    A picture of three equal channels counts as one; of an .exr with more, the one called Z is read, Blender's depth.

    Raises:
        InputError: unreadable, of an unknown suffix, or not one channel.
    """
    path = existing_file(path)
    suffix = path.suffix.lower()
    if suffix not in DEPTH_SUFFIXES:
        raise InputError(f"{path}: expected one of {', '.join(DEPTH_SUFFIXES)}, got {suffix or 'no suffix'}")
    read = {".npy": read_array, ".npz": read_array, ".exr": read_exr_depth}.get(suffix, _stored_numbers)
    values = read(path)
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise InputError(f"{path}: expected numbers, got an array of {values.dtype}")
    if values.ndim == 3 and values.size:
        axis = 0 if values.shape[0] == 1 else 2
        first = values.take(0, axis)
        same = np.broadcast_to(np.expand_dims(first, axis), values.shape)
        if values.shape[axis] > 3 or not np.array_equal(values, same, equal_nan=True):
            raise InputError(f"{path}: expected one channel, got an array of shape {values.shape}")
        values = first
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"{path}: expected a map of shape (H, W), got {values.shape}")
    return values.astype(np.float32)


def read_depth(path: str | Path, unit: str | float = "m") -> Tensor:
    """Read z-depth as (1, H, W) float32 metres, 0 where invalid (NaN, inf or 0 in the file).

    Args:
        path: .npy, .npz, 8- or 16-bit .png, .tif, .exr.
        unit: of the stored numbers: "m", "cm", "mm", or the metres per stored unit.

    Raises:
        InputError: no such unit; unreadable, negative, or without one valid pixel.
    """
    if isinstance(unit, str) and unit not in METRES:
        raise InputError(f"unit: expected one of {', '.join(METRES)} or a number of metres, got {unit!r}")
    metres = METRES[unit] if isinstance(unit, str) else check_number("unit", unit, above=0)
    values = read_values(path)
    values = np.where(np.isfinite(values), values, 0) * np.float32(metres)
    if (values < 0).any():
        raise InputError(f"{path}: depth must not be negative; {int((values < 0).sum())} pixels are. Is it inverted?")
    if not values.any():
        raise InputError(f"{path}: no valid depth: every pixel is 0, NaN or inf")
    return torch.from_numpy(values)[None]


def read_mask(path: str | Path) -> Tensor:
    """Read a mask picture as (1, H, W) bool: True where ``read_brightness`` is above a half.

    Raises:
        InputError: unreadable, or no pixel is that bright, though some are not black, as in a mask of 0 and 1.
    """
    brightness = read_brightness(path)
    brightest = float(brightness.max())
    if 0 < brightest <= 0.5:
        raise InputError(
            f"{path}: its brightest pixel has {brightest:.3g} of white, so nothing is inside; write 255 (in 16 bits "
            "65535) where the mask holds, for example instead of 1"
        )
    return brightness > 0.5


def read_brightness(path: str | Path) -> Tensor:
    """Read a mask picture of any number of levels as (1, H, W) in [0, 1].

    Of a picture that is transparent in places, such as a person cut out of a photo, the opacity is the mask.
    """
    picture = _upright(_loaded_picture(path))
    picture.info.pop("icc_profile", None)  # a mask's levels are no colours
    if picture.mode.startswith("I"):  # 16 bits, whose one transparent level says nothing
        picture.info.pop("transparency", None)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        opacity = np.array(picture.getchannel("A"), dtype=np.float32) / 255
        if opacity.min() < opacity.max():
            return torch.from_numpy(opacity)[None]
        picture = picture.convert("RGB")
    return _decoded(path, picture).mean(dim=0, keepdim=True)


def write_depth(path: str | Path, depth: Tensor, mask: Tensor) -> None:
    """Write depth (1, H, W) as a float32 .npy of shape (H, W), NaN outside ``mask``.

    Raises:
        InputError: another suffix.
    """
    if Path(path).suffix.lower() != ".npy":
        raise InputError(f"{path}: depth is written as .npy, which keeps it as it is; choose that suffix")
    values = torch.where(mask, depth, torch.nan)[0].float().cpu().numpy()
    buffer = io.BytesIO()  # NumPy's own writing does not say that a disk is full
    np.save(buffer, values)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())  # with getbuffer, Python 3.12.1 crashes later if this write fails


def write_image(path: str | Path, pixels: np.ndarray) -> None:
    """Write (H, W, 3) or (H, W) uint8 as a picture; the suffix determines the format."""
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary)


def _upright(picture: Image.Image) -> Image.Image:
    with contextlib.suppress(*DAMAGED_EXIF):
        return ImageOps.exif_transpose(picture)
    return picture


def _decoded(path: str | Path, picture: Image.Image) -> Tensor:
    try:
        return image_from_pil(picture)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _stored_numbers(path: Path) -> np.ndarray:
    picture = _loaded_picture(path)
    if picture.mode == "P":  # it stores palette indices; what was meant are their colours
        return np.array(picture.convert("RGB"))
    if picture.mode == "RGB":  # Pillow cuts three channels of 16 bits down to 8
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if stored is not None:
            return stored
    return np.array(picture)


def _loaded_picture(path: str | Path) -> Image.Image:
    path = existing_file(path)
    try:
        picture = open_picture(path)
        picture.load()
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            start = file.read(4)
        if start in (b"II*\0", b"MM\0*"):
            raise InputError(
                f"{path}: a damaged TIFF, or in an unsupported number format (64 bits, or floats in three channels); "
                "save one channel of 8, 16 or 32 bits"
            ) from None
        raise InputError(f"{path}: {why_unreadable(path) or 'not a picture, whatever its name says'}") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller") from None
    except PermissionError as error:
        raise InputError(f"{path}: may not be read ({error.strerror})") from None
    except (OSError, SyntaxError, ValueError, RuntimeError) as error:  # RuntimeError: AVIF's, of a HEIC in its box
        raise InputError(f"{path}: {why_unreadable(path) or f'a damaged picture ({error})'}") from None
    return picture

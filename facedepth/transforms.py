"""Sample -> Sample: geometric changes that move the camera with the pixels, and changes of light and picture quality.

Depth moves with the pixels but is never scaled: a point of the scene has the same z before and after. All random
choices are drawn from torch's global CPU generator, so ``torch.manual_seed`` fixes them, in workers and for samples on
a GPU too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import InputError, check_number, check_shapes, check_whole
from .framing import resample
from .io import image_to_uint8
from .sample import Sample

_JUMP_RELATIVE = 0.02  # of the nearer pixel's depth: 1 cm at half a metre ...
_JUMP_ABRUPT = 4  # ... and this many times the smallest change in the neighbouring cells

_LEAST_HEAD = 0.1  # share of the head's pixels that a random crop must keep


def resize_image(image: Tensor, height: int, width: int) -> Tensor:
    """An image (3, h, w) in [0, 1] as (3, height, width), bilinear, antialiased when shrinking."""
    check_shapes(image=(image, "3 h w"))
    return resample(image, height, width).clamp(0, 1)  # rounding may take white above 1


def resize_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask (1, h, w) as (1, height, width): each new pixel takes the old one that contains its centre; where the
    centre lies between two, alternately the one before and the one after."""
    check_shapes(mask=(mask, "1 h w"))
    rows, columns = (
        _nearest(old, new, mask.device) for old, new in zip(mask.shape[-2:], (height, width), strict=True)
    )
    return mask[:, rows][:, :, columns]


def resize_depth(depth: Tensor, mask: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Resample depth (1, h, w) without inventing surfaces between the head and what is behind it.

    Bilinear where the four pixels around the new centre lie on one surface; if one of them is invalid or the depth
    jumps between them, the value of the pixel that contains the centre. Exact for planes parallel to the picture,
    within second order of the pixel size for slanted ones, except for the outermost half pixel when enlarging.

    Args:
        depth: (1, h, w), in any unit.
        mask: (1, h, w) bool, where depth is valid.

    Returns:
        depth (1, height, width), 0 where invalid, and its mask, as from ``resize_mask``.
    """
    sizes = check_shapes(depth=(depth, "1 h w"), mask=(mask, "1 h w"))
    if (sizes["h"], sizes["w"]) == (height, width):
        return depth, mask
    nearest, valid = resize_mask(depth, height, width), resize_mask(mask, height, width)
    if 1 in depth.shape[-2:]:  # a single row or column is doubled, because cells are 2 x 2
        repeats = [2 if size == 1 else 1 for size in depth.shape[-2:]]
        depth, mask = depth.repeat(1, *repeats), mask.repeat(1, *repeats)
    top, weight_y = _cells(sizes["h"], height, depth.device)
    left, weight_x = _cells(sizes["w"], width, depth.device)
    upper, lower = depth[:, top], depth[:, top + 1]  # (1, height, w)
    upper = torch.lerp(upper[..., left], upper[..., left + 1], weight_x.to(depth))
    lower = torch.lerp(lower[..., left], lower[..., left + 1], weight_x.to(depth))
    blended = torch.lerp(upper, lower, weight_y[:, None].to(depth))
    smooth = _one_surface(depth, mask)[:, top][:, :, left]
    return torch.where(valid, torch.where(smooth, blended, nearest), 0.0), valid


def _nearest(old: int, new: int, device: torch.device) -> Tensor:
    """For every new pixel, the old one that contains its centre. If the centre lies between two, as at half the size,
    alternately the one before and the one after: always the same side would shift masks against the image."""
    place = torch.arange(new, device=device)
    centre = (place + 0.5) * old / new
    nearest = centre.long().clamp(max=old - 1)
    before = (centre == nearest) & (place % 2 == 0) & (nearest > 0)
    return nearest - before.long()


def _cells(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For every new pixel, the first of the two old pixels around its centre, and the weight of the second."""
    centre = ((torch.arange(new, device=device) + 0.5) * old / new - 0.5).clamp(0, old - 1)
    first = centre.floor().clamp(max=max(old - 2, 0))
    return first.long(), centre - first


def _one_surface(depth: Tensor, mask: Tensor) -> Tensor:
    """(1, h - 1, w - 1) bool: the four pixels of a 2 x 2 cell are valid and the depth does not jump between them.

    A jump is large relative to the depth, and abrupt, that is, large relative to the change in a neighbouring cell: the
    first criterion alone would take a steep cheek for a jump, the second alone the noise of a flat wall.
    """
    values = torch.where(mask, depth, torch.nan)
    cells = torch.stack([values[:, :-1, :-1], values[:, 1:, :-1], values[:, :-1, 1:], values[:, 1:, 1:]])
    nearer, change = cells.amin(dim=0), cells.amax(dim=0) - cells.amin(dim=0)  # NaN where a pixel is invalid
    calmest = -F.max_pool2d(-change.nan_to_num(torch.inf), 3, stride=1, padding=1)
    jump = (change > _JUMP_RELATIVE * nearer) & (change > _JUMP_ABRUPT * calmest)
    return change.isfinite() & ~jump


@dataclass(frozen=True)
class Resize:
    """Resample a sample to ``height`` x ``width`` pixels (a square if only one number is given).

    Raises:
        InputError: no whole number of pixels; the result fails ``Sample.check``, as when no valid pixel of the head is
            left.
    """

    height: int
    width: int | None = None

    def __post_init__(self) -> None:
        for name, pixels in (("height", self.height), ("width", self.width)):
            if pixels is not None or name == "height":
                check_whole(name, pixels, 1)

    def __call__(self, sample: Sample) -> Sample:
        height, width = self.height, self.height if self.width is None else self.width
        old_height, old_width = sample.image.shape[-2:]
        depth, mask = resize_depth(sample.depth, sample.mask, height, width)
        return sample._replace(
            image=resize_image(sample.image, height, width), depth=depth, mask=mask,
            head=resize_mask(sample.head, height, width), face=resize_mask(sample.face, height, width),
            camera=sample.camera.resize(width / old_width, height / old_height),
        ).check()


@dataclass(frozen=True)
class CentreCrop:
    """The largest central square, or the central one of ``size`` pixels.

    Raises:
        InputError: no whole number of pixels; the picture is smaller than ``size``, or the square fails
            ``Sample.check``, as when it holds no valid pixel of the head.
    """

    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            check_whole("size", self.size, 1)

    def __call__(self, sample: Sample) -> Sample:
        height, width = sample.image.shape[-2:]
        size = min(height, width) if self.size is None else self.size
        if size > min(height, width):
            raise InputError(f"sample {sample.name!r}: cannot cut {size} x {size} pixels out of {width} x {height}")
        return _crop(sample, (width - size) // 2, (height - size) // 2, size).check()


def to_square(size: int) -> Compose:
    """The largest central square, at ``size`` x ``size`` pixels: how a network sees a picture of any shape."""
    return Compose((CentreCrop(), Resize(size)))


@dataclass(frozen=True)
class RandomCrop:
    """Crop a square of random size at a random place; apply ``Resize`` afterwards.

    The side is ``scale`` (least, greatest) times the picture's shorter side. A square larger than the picture extends
    beyond it; there the picture's edge pixels are repeated, as in ``framing.cut``, and depth is invalid. The square
    keeps at least a tenth of the head's pixels with valid depth, so that some remain in a smaller copy; after ten
    squares that do not, the picture's largest square is taken that has the head in its middle, as far as possible.
    """

    scale: tuple[float, float] = (0.8, 1.0)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(f"scale: expected 0 < least <= greatest, got {self.scale}")

    def __call__(self, sample: Sample) -> Sample:
        height, width = sample.image.shape[-2:]
        least = _LEAST_HEAD * int((sample.head & sample.mask).sum())
        for _ in range(10):
            side = max(1, round(_uniform(*self.scale) * min(height, width)))
            left, top = _place(width - side), _place(height - side)
            cropped = _crop(_with_margins(sample, left, top, side), max(left, 0), max(top, 0), side)
            if (cropped.head & cropped.mask).sum() >= max(1, least):
                return cropped
        return _largest_square(sample)


def _largest_square(sample: Sample) -> Sample:
    """The largest square of a picture, with the head's middle pixel in its middle, or as near as the edges allow."""
    height, width = sample.image.shape[-2:]
    side = min(height, width)
    valid = (sample.head & sample.mask)[0]
    middles = [int(pixels.median()) if len(pixels) else 0 for pixels in valid.nonzero().T]
    top, left = (
        min(max(middle - side // 2, 0), room - side) for middle, room in zip(middles, (height, width), strict=True)
    )
    return _crop(sample, left, top, side)


def _place(room: int) -> int:
    """A random integer between 0 and ``room``, both included; ``room`` may be negative."""
    return int(torch.randint(abs(room) + 1, ())) * (1 if room > 0 else -1)


def _with_margins(sample: Sample, left: int, top: int, side: int) -> Sample:
    """The sample padded just enough to contain the square."""
    height, width = sample.image.shape[-2:]
    margins = (max(-left, 0), max(left + side - width, 0), max(-top, 0), max(top + side - height, 0))
    if not any(margins):
        return sample
    image = F.pad(sample.image[None], margins, mode="replicate")[0]
    depth, mask, head, face = (F.pad(values, margins) for values in sample[1:5])
    return Sample(image, depth, mask, head, face, sample.camera.crop(-margins[0], -margins[2]), sample.name)


@dataclass(frozen=True)
class RandomFlip:
    """Mirror left to right with probability ``p``, from 0 to 1; the camera then sees the mirrored world."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check_number("p", self.p, least=0, most=1)

    def __call__(self, sample: Sample) -> Sample:
        if torch.rand(()) >= self.p:
            return sample
        image, depth, mask, head, face = (values.flip(-1) for values in sample[:5])
        return Sample(image, depth, mask, head, face, sample.camera.flip(image.shape[-1]), sample.name)


class Photometric:
    """Change light and picture quality as cameras, apps and messengers do; depth and camera stay.

    Always brightness, contrast, saturation, hue and gamma; sometimes patches of another colour or brightness (shadows,
    paint, make-up, things that the training pictures never show), grey, blur, noise and JPEG.

    Args:
        strength: from 0, which leaves the image as it is, to 1, the strongest that still looks like a photo.
    """

    def __init__(self, strength: float = 0.5):
        if not 0 <= strength <= 1:
            raise InputError(f"strength: expected 0 to 1, got {strength}")
        from torchvision.transforms import v2  # seconds to import, and only training needs it

        self.strength = strength
        self._steps = v2.Compose(
            [
                v2.ColorJitter(0.4 * strength, 0.4 * strength, 0.4 * strength, 0.06 * strength),
                v2.Lambda(self._gamma),
                v2.RandomApply([v2.Lambda(self._patches)], p=0.6 * strength),
                v2.RandomGrayscale(p=0.1 * strength),
                v2.RandomApply([v2.GaussianBlur(5, (0.1, 0.1 + 1.5 * strength))], p=0.3 * strength),
                v2.RandomApply([v2.Lambda(self._noise)], p=0.5 * strength),
                v2.RandomApply([v2.Lambda(self._jpeg)], p=0.4 * strength),
            ]
        )

    def __call__(self, sample: Sample) -> Sample:
        if not self.strength:
            return sample
        return sample._replace(image=self._steps(sample.image).clamp(0, 1))  # rounding in a blur may leave the range

    def _gamma(self, image: Tensor) -> Tensor:
        return image ** 2 ** _uniform(-0.6 * self.strength, 0.6 * self.strength)

    def _patches(self, image: Tensor) -> Tensor:
        """Where a random field is high, mix in the picture's brightness with another tint; edges from soft to hard."""
        cells = int(torch.randint(2, 13, ()))
        field = F.interpolate(torch.randn(1, 1, cells, cells), image.shape[-2:], mode="bicubic")[0]
        share = torch.sigmoid(20 ** _uniform(0.0, 1.0) * field) * _uniform(0.2, 0.2 + 0.7 * self.strength)
        tint = _uniform(0.3, 1.5) + _uniform(0.0, 0.6) * torch.randn(3, 1, 1)
        painted = image.mean(dim=0, keepdim=True) * tint.clamp(0, 2).to(image)
        return torch.lerp(image, painted, share.to(image)).clamp(0, 1)

    def _jpeg(self, image: Tensor) -> Tensor:
        quality = round(_uniform(95 - 60 * self.strength, 95))
        _, packed = cv2.imencode(".jpg", image_to_uint8(image)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1].copy()
        return torch.from_numpy(pixels).to(image.device).permute(2, 0, 1).float().div_(255)

    def _noise(self, image: Tensor) -> Tensor:
        sigma = _uniform(0.0, 0.06 * self.strength)
        return (image + sigma * torch.randn(image.shape).to(image)).clamp(0, 1)


@dataclass(frozen=True)
class Compose:
    """Several transforms, one after the other."""

    transforms: tuple[Callable[[Sample], Sample], ...]

    def __call__(self, sample: Sample) -> Sample:
        for transform in self.transforms:
            sample = transform(sample)
        return sample


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))


def _crop(sample: Sample, left: int, top: int, side: int) -> Sample:
    image, depth, mask, head, face = (
        values[:, top : top + side, left : left + side] for values in sample[:5]
    )
    return Sample(image, depth, mask, head, face, sample.camera.crop(left, top), sample.name)

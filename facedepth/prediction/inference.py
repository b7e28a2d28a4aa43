"""Networks run on squares of photos, and their answers laid back onto the photos' pixels.

1. The network sees the square around the face.
2. While the head reaches the square's upper edge, and the photo goes on there, it looks again at a larger square, with
   the same lower edge.
3. The last answer is converted into the relief of the first square (``depth.relief_in_crop``), at the same height.
4. In the face the mean of both is taken; beyond the first square, across a seam, the last alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..camera import Camera, Crop
from ..depth import relief_in_crop
from ..framing import crop_coordinates, cut, enlarged, paste, rotated_into_crop
from ..models import DepthNetwork, evaluation_mode

_CUT_OFF = 0.03
"""A head that is wider than this at the square's upper edge, in the square's widths, goes on beyond it."""

_ENLARGEMENTS = 3
"""So many larger squares are tried until one holds the whole head; in the last, the face is two thirds as large."""

_SEAM = 0.2
"""How far inside the square, in its widths, the mean of both looks begins; towards the edge the other takes over."""


def run_on_crops(
    model: DepthNetwork, images: Sequence[Tensor], crops: Sequence[Crop], cameras: Sequence[Camera], *, mirror: bool
) -> list[tuple[Tensor, Tensor]]:
    """Values and head (positive inside), both (1, H, W), of each photo (3, H, W) in its square; 0 outside.

    A network that knows scale and heads looks again, at ever larger squares, where the first cut a hat or high hair
    off. The values mean what those of the first square do even so; in the face they are the mean of the first look and
    of the last.

    Args:
        mirror: take the mean with what it says of the mirrored picture.
    """
    answers = _run_network(model, images, crops, mirror)
    seen = []
    for image, crop, camera, answer in zip(images, crops, cameras, answers, strict=True):
        values, inside = _paste_back(answer, crop, image)
        larger, last_answer = _enlarge_until_whole(model, image, crop, answer, mirror)
        if larger != crop:
            again, beyond = _paste_back(last_answer, larger, image)
            again = torch.where(again == 0, 0.0, relief_in_crop(again, camera, larger, crop))
            values = _blend_looks(values, again, inside > 0, crop)
            inside = torch.where(inside == 0, beyond, inside)  # the first look is the surer one of what is head
        seen.append((values, inside))
    return seen


def _run_network(model: DepthNetwork, images: Sequence[Tensor], crops: Sequence[Crop], mirror: bool) -> Tensor:
    """(B, 1 or 2, S, S): what the network says of the squares, at its own size, on the CPU."""
    pictures = torch.stack([cut(image, crop, model.input_size) for image, crop in zip(images, crops, strict=True)])
    pictures = pictures.to(model.mean.device)
    with evaluation_mode(model):
        answers = model(pictures).float().cpu()
        return (answers + model(pictures.flip(-1)).float().cpu().flip(-1)) / 2 if mirror else answers


def _enlarge_until_whole(
    model: DepthNetwork, image: Tensor, crop: Crop, answer: Tensor, mirror: bool
) -> tuple[Crop, Tensor]:
    """The first of ever larger squares that holds the whole head, or the last, and what the network says of it."""
    for _ in range(_ENLARGEMENTS if model.kind == "relief" else 0):
        if not _leaves_square(answer, crop, *image.shape[-2:]):
            break
        crop = enlarged(crop)
        answer = _run_network(model, [image], [crop], mirror)[0]
    return crop, answer


def _leaves_square(answer: Tensor, crop: Crop, height: int, width: int) -> bool:
    """Whether the head in an answer (1 or 2, S, S) touches the square's upper edge, and the photo goes on there."""
    if len(answer) == 1:
        return False
    touching = (answer[1, 0] > 0).float()
    if float(touching.mean()) <= _CUT_OFF:
        return False
    at = float((touching * torch.linspace(-0.5, 0.5, len(touching))).sum() / touching.sum())
    # The middle of what touches, in the photo.
    x, y = rotated_into_crop(at, -0.5, crop._replace(tilt_deg=-crop.tilt_deg))
    x, y = (start + crop.size * (place + 0.5) for start, place in ((crop.left, x), (crop.top, y)))
    return 0 < x < width and 0 < y < height


def _paste_back(answer: Tensor, crop: Crop, image: Tensor) -> tuple[Tensor, Tensor]:
    height, width = image.shape[-2:]
    inside = torch.ones_like(answer[:1]) if len(answer) == 1 else answer[1:]  # logits of the head
    return paste(answer[:1], crop, height, width), paste(inside, crop, height, width, mode="bilinear")


def _blend_looks(first: Tensor, again: Tensor, inside: Tensor, crop: Crop) -> Tensor:
    """The mean of two looks at one relief (1, H, W), and beyond the first's square what the last says, at the same
    height: a seam along its edges, but for the lower one, which both squares share, leads from one to the other."""
    x, y = crop_coordinates(*first.shape[-2:], crop)
    to_edge = torch.stack([y + 0.5, 0.5 - x, 0.5 + x]).amin(dim=0, keepdim=True) / _SEAM
    both = (first != 0) & (again != 0)
    higher = (first - again)[both & inside & (to_edge < 1)]
    if len(higher):
        again = torch.where(again == 0, 0.0, again + higher.median())
    share = torch.where(both, to_edge.clamp(0, 1) / 2, (first != 0).float())
    return share * first + (1 - share) * again

"""The mask of a head as a network gives it, made whole."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor

GREATEST_HOLE = 0.015
"""Of the head's area: what is torn between an ear and the hair is closed, and a frame of glasses."""


def cleaned(mask: Tensor) -> Tensor:
    """The mask's pieces of at least a twentieth of the largest, without small holes.

    A head may be parted by a hand, but has no crumbs; and where the frame of glasses is seen as none of it, what the
    network says there still goes with the face around.
    """
    areas, pieces = _pieces(mask, connectivity=4)
    kept = mask & torch.from_numpy((areas >= 0.05 * areas.max())[pieces])[None]
    areas, holes = _pieces(~kept, connectivity=8)  # what leads out at a corner is no hole
    border = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    small = areas <= GREATEST_HOLE * float(kept.sum())
    small[border] = False
    return kept | (~kept & torch.from_numpy(small[holes])[None])


def colours_from_inside(image: Tensor, mask: Tensor, seen: Tensor, width_px: float) -> Tensor:
    """The image (3, H, W) with the mask's pixels less than ``width_px`` from the background in the colour of the
    nearest pixel farther inside: at the outline itself, photos show what lies behind, which a mesh would carry.

    Background is what was ``seen`` (1, H, W) outside of the mask: neither the photo's edge nor that of the square that
    a network saw is an outline. A mask that is nowhere as thick stays as it is.
    """
    if not mask.any():
        return image
    rows, columns = (mask[0].any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    margin = math.ceil(width_px) + 1
    box = (..., slice(max(0, rows[0] - margin), rows[-1] + 1 + margin),
           slice(max(0, columns[0] - margin), columns[-1] + 1 + margin))
    head, background = mask[box][0].numpy(), (seen & ~mask)[box][0].numpy()
    to_background = cv2.distanceTransform((~background).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside = head & (to_background > width_px)
    if not inside.any():
        return image
    _, labels = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    place = np.zeros(labels.max() + 1, np.int64)
    place[labels[inside]] = np.flatnonzero(inside)
    coloured, window = image.clone(), image[box]
    coloured[box] = torch.where(mask[box], window.flatten(1)[:, torch.from_numpy(place[labels])], window)
    return coloured


def _pieces(mask: Tensor, *, connectivity: int) -> tuple[np.ndarray, np.ndarray]:
    """Areas of the connected pieces of (1, H, W), 0 for what lies outside them, and the number of every pixel's."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask[0].byte().numpy(), connectivity=connectivity)
    return stats[:, cv2.CC_STAT_AREA] * (np.arange(count) > 0), pieces

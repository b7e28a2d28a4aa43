"""Where to shade: once in the middle of quiet pixels, four times in pixels that an edge runs through."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..camera import Camera
from .noise import box_max
from .render import Hits, Scene, blend_corners

EDGE_M, EDGE_SLOPE = 0.004, 5.0  # a jump in depth that makes an edge, in metres and in pixels


class ShadingPoints(NamedTuple):
    """N points on surfaces that make up the picture.

    Attributes:
        pixel: (N,) the pixel each belongs to, share: (N,) how much of the pixel it makes up.
        triangle: (N,), weights: (N, 3) of its corners.
        quiet: (N,) bool, the only point of its pixel.
    """

    pixel: Tensor
    share: Tensor
    triangle: Tensor
    weights: Tensor
    quiet: Tensor

    def interpolate(self, values: Tensor, triangles: Tensor) -> Tensor:
        """Values (V, C) on vertices to (N, C)."""
        return blend_corners(values, triangles[self.triangle], self.weights)

    def gather(self, values: Tensor, pixels: int) -> Tensor:
        """Values (N, C) to pixels (P, C), each point by its share."""
        return torch.zeros(pixels, values.shape[1]).index_add_(0, self.pixel, values * self.share[:, None])


def pick_samples(scene: Scene, material: Tensor, camera: Camera, size: int) -> tuple[Hits, ShadingPoints]:
    """Look once through every pixel's centre, then four times where neighbours differ in material or depth.

    Returns the hits at the pixels' centres, which depth and masks are made of, and the points to shade.
    """
    centre = scene.look(camera, size, size)
    kind = torch.where(centre.triangle >= 0, material[centre.triangle.clamp(min=0)], -1).float()
    features = torch.stack([kind, torch.where(centre.depth > 0, centre.depth, 10.0)]).view(1, 2, size, size)
    spread = box_max(features, 3) + box_max(-features, 3)  # greatest minus least of the neighbours
    seen = centre.depth[centre.depth > 0]
    pixel_m = float(seen.median() / camera.K[0, 0]) if len(seen) else 0.0
    busy = ((spread[0, 0] > 0) | (spread[0, 1] > max(EDGE_M, EDGE_SLOPE * pixel_m))).flatten()
    quiet = (~busy & (centre.triangle >= 0)).nonzero()[:, 0]

    pixel = busy.nonzero()[:, 0]
    row, column = pixel // size, pixel % size
    offsets = torch.tensor([[0.3, 0.1], [0.9, 0.3], [0.1, 0.7], [0.7, 0.9]])  # a rotated grid
    u = (column[:, None] + offsets[:, 0]).flatten()
    v = (row[:, None] + offsets[:, 1]).flatten()
    fine = scene.look_through(camera, torch.stack([u, v], dim=1))
    hit = (fine.triangle >= 0).nonzero()[:, 0]
    pixel = pixel.repeat_interleave(4)
    points = ShadingPoints(
        pixel=torch.cat([quiet, pixel[hit]]),
        share=torch.cat([torch.ones(len(quiet)), torch.full((len(hit),), 0.25)]),
        triangle=torch.cat([centre.triangle[quiet], fine.triangle[hit]]),
        weights=torch.cat([centre.weights[quiet], fine.weights[hit]]),
        quiet=torch.cat([torch.ones(len(quiet), dtype=torch.bool), torch.zeros(len(hit), dtype=torch.bool)]),
    )
    return centre, points

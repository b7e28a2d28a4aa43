"""Strands of hair: lit like fibres, shading each other and the skin, and drawn with soft alpha.

Blending needs no sorting: in every pixel the strands within a few millimetres of the foremost one share the colour
and the depth, and their opacities multiply. The depth of hair is therefore that of its front layer, a few strands
deep; where strands cover less than half of a pixel, depth follows what lies behind.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, max_pool2d

from ..camera import Camera
from .vectors import dot, norm, perpendicular, unit

LAYER_M = 0.004  # how deep the front layer is
CELL_M = 0.003  # of the light's opacity map
DENSEST = 2.2  # hair so thick that next to no light comes through
BEYOND_M = 10.0  # the opacity map's depth where there is no hair


class Strands(NamedTuple):
    """N strands of K points each, in the world frame.

    Attributes:
        points: (N, K, 3) metres.
        normals: (N, K, 3) unit, away from the head: the side from which light comes freely.
        albedo: (N, K, 3) linear RGB.
        width_m: (N, K) thickness of a strand, which stands for a lock of a few hairs.
        openness: (N, K) share of the sky that reaches this depth within the hair.
        gloss: (N, K) strength of the highlights, 1 for healthy straight hair.
    """

    points: Tensor
    normals: Tensor
    albedo: Tensor
    width_m: Tensor
    openness: Tensor
    gloss: Tensor

    def tangents(self) -> Tensor:
        """(N, K, 3) unit directions from root to tip."""
        steps = self.points[:, 1:] - self.points[:, :-1]
        return unit(torch.cat([steps, steps[:, -1:]], dim=1))


class OpacityMap:
    """How much hair lies between a point and a directional light: depth and amount of hair in cells of its plane."""

    def __init__(self, strands: list[Strands], towards: Tensor):
        self._axes = torch.stack([*perpendicular(towards), -towards], dim=1)
        seen = torch.cat([s.points.flatten(0, 1) for s in strands]) @ self._axes
        spacing = torch.cat([norm(s.points[:, 1:] - s.points[:, :-1]).mean(1).repeat_interleave(
            s.points.shape[1]) for s in strands])
        widths = torch.cat([s.width_m.flatten() for s in strands])
        self._low = seen[:, :2].amin(dim=0) - 4 * CELL_M
        self._size = ((seen[:, :2].amax(dim=0) + 4 * CELL_M - self._low) / CELL_M).long() + 1
        place = ((seen[:, :2] - self._low) / CELL_M).long()
        cell = place[:, 0] * self._size[1] + place[:, 1]
        shape = self._size.tolist()
        count = shape[0] * shape[1]
        front = torch.full((count,), BEYOND_M).scatter_reduce_(0, cell, seen[:, 2], "amin").view(1, 1, *shape)
        amount = torch.zeros(count).scatter_add_(0, cell, widths * spacing).view(1, 1, *shape) / CELL_M**2
        amount = amount.clamp(max=DENSEST)
        front = -max_pool2d(-front, 5, 1, 2)
        there = (front < BEYOND_M).float()
        weight = avg_pool2d(there, 5, 1, 2)
        front = torch.where(weight > 1e-6, avg_pool2d(front * there, 5, 1, 2) / weight, BEYOND_M)
        self._maps = torch.cat([front, avg_pool2d(avg_pool2d(amount, 3, 1, 1), 3, 1, 1)], dim=1)

    def transmittance(self, points: Tensor, *, depth_m: float) -> Tensor:
        """(N,) share of the light that reaches points (N, 3); within hair it fades over ``depth_m``."""
        seen = points @ self._axes
        place = (seen[:, :2] - self._low) / (self._size * CELL_M) * 2 - 1
        front, amount = grid_sample(
            self._maps, place.flip(1).view(1, 1, -1, 2), padding_mode="border", align_corners=False
        )[0, :, 0]
        behind = (seen[:, 2] - front - 0.002).clamp(min=0)
        return torch.exp(-torch.minimum(behind / depth_m, 1.2 * amount))


def shade_fibres(
    strands: Strands, eye: Tensor, towards: Tensor, light: Tensor, arriving: Tensor, sky: Tensor
) -> Tensor:
    """Light leaving every point towards the eye: a diffuse part, a white and a coloured highlight (Kajiya and Kay 1989,
    Marschner et al. 2003 in the simple form of Scheuermann 2004).

    Args:
        eye: (3,) position.
        towards: (L, 3) unit directions to the lights, light: (L, 3) their RGB.
        arriving: (L, N, K) share of each light that is not shadowed.
        sky: (N, K, 3) RGB irradiance over pi from everywhere else.

    Returns:
        (N, K, 3) linear RGB.
    """
    tangent, albedo = strands.tangents(), strands.albedo
    view = unit(eye - strands.points)
    gloss = (strands.gloss * strands.openness)[..., None]
    colour = albedo * sky * strands.openness[..., None]
    shifted_out = unit(tangent + 0.12 * strands.normals)
    shifted_in = unit(tangent - 0.18 * strands.normals)
    for direction, rgb, share in zip(towards, light, arriving, strict=True):
        half = unit(view + direction)
        facing = (0.35 + 0.65 * dot(strands.normals, direction)).clamp(min=0)
        across = (1 - dot(tangent, direction).square()).clamp(min=0).sqrt()
        white = (1 - dot(shifted_out, half).square()).clamp(min=0) ** 32
        tinted = (1 - dot(shifted_in, half).square()).clamp(min=0) ** 7
        fibre = 0.9 * albedo * (across * facing)[..., None]
        fibre = fibre + gloss * (0.03 * (white * facing)[..., None] + 0.55 * albedo * (tinted * facing)[..., None])
        colour = colour + fibre * rgb * share[..., None]
    return colour


def splat(
    strands: Strands, colour: Tensor, camera: Camera, height: int, width: int, behind: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw strands into a picture, one step a pixel, each step shared by the two pixels beside it.

    Args:
        colour: (N, K, 3) from ``shade_fibres``.
        behind: (H * W,) z-depth of the opaque surface, inf where there is none; strands beyond it are hidden.

    Returns:
        colour (H * W, 3), opacity (H * W,) and z-depth (H * W,) of the hair; depth is 0 where opacity is 0.
    """
    points = (strands.points - camera.cam2world[:3, 3]) @ camera.cam2world[:3, :3]
    projected = points @ camera.K.T
    x, y, z = projected[..., 0] / points[..., 2], projected[..., 1] / points[..., 2], points[..., 2]
    inside = (x > 0) & (x < width) & (y > 0) & (y < height) & (z > 0.05)
    pixel = y.long().clamp(0, height - 1) * width + x.long().clamp(0, width - 1)
    visible = inside & (z < behind[pixel] + 0.004)
    strand, step = (visible[:, 1:] | visible[:, :-1]).nonzero(as_tuple=True)
    first = strand * x.shape[1] + step

    def ends(values: Tensor) -> tuple[Tensor, Tensor]:
        """Values (N, K) where the S visible steps begin, and by how much they change on the way, (S,) each."""
        start = values.flatten().index_select(0, first)  # faster than indexing, here and below
        return start, values.flatten().index_select(0, first + 1) - start

    across, down = (ends(values)[1].abs() for values in (x, y))
    pieces = torch.maximum(across, down).ceil().clamp(1, 2 * max(height, width)).long()
    owner = torch.repeat_interleave(torch.arange(len(pieces)), pieces)
    nth = torch.arange(len(owner)) - (pieces.cumsum(0) - pieces).index_select(0, owner)
    fraction = (nth + 0.5) / pieces.index_select(0, owner)

    def along(values: Tensor) -> Tensor:
        """Values (N, K) in the middle of all the steps' pieces."""
        start, change = ends(values)
        return change.index_select(0, owner).mul_(fraction).add_(start.index_select(0, owner))

    alpha = along((strands.width_m * camera.K[0, 0] / z).clamp(max=1.0))
    x, y, depth = along(x), along(y), along(z)
    steep = (down > across).index_select(0, owner)
    major, minor = torch.where(steep, y, x), torch.where(steep, x, y)
    major, low = major.floor().long(), (minor - 0.5).floor()
    share = minor - 0.5 - low
    low = low.long()

    places, alphas, rows = [], [], []
    for offset, weight in ((0, 1 - share), (1, share)):
        column = torch.where(steep, low + offset, major)
        row = torch.where(steep, major, low + offset)
        kept = ((column >= 0) & (column < width) & (row >= 0) & (row < height)).nonzero()[:, 0]
        place = row.index_select(0, kept) * width + column.index_select(0, kept)
        shown = (depth.index_select(0, kept) < behind.index_select(0, place) + 5e-4).nonzero()[:, 0]
        kept = kept.index_select(0, shown)
        places.append(place.index_select(0, shown))
        alphas.append((alpha * weight).index_select(0, kept))
        rows.append(kept)
    place, alpha, row = torch.cat(places), torch.cat(alphas).clamp(0, 0.98), torch.cat(rows)

    depth = depth.index_select(0, row)
    empty = torch.zeros(height * width)
    front = torch.full_like(empty, torch.inf).scatter_reduce_(0, place, depth, "amin")
    blocked = empty.index_add(0, place, torch.log1p(-alpha))
    weight = alpha * torch.exp((front.index_select(0, place) - depth) / LAYER_M)
    total = empty.index_add(0, place, weight).clamp(min=1e-9)

    def mixed(values: Tensor) -> Tensor:
        """Values of the pieces drawn to their means over the front layer of every pixel, (H * W,)."""
        return empty.index_add(0, place, values * weight) / total

    rgb = [mixed(along(channel).index_select(0, row)) for channel in colour.unbind(-1)]
    return torch.stack(rgb, dim=1), 1 - torch.exp(blocked), mixed(depth)

"""Plain solids to build accessories from: tubes, boxes, cylinders, ellipsoids. Each returns vertices and triangles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .head import to_triangles
from .vectors import unit

SIDES, COLUMNS = 6, 32  # of a tube, of a cylinder


def grid_quads(rows: int, columns: int, *, closed: bool = False) -> Tensor:
    """(N, 4) quads of a grid of rows x columns vertices; ``closed`` joins the last column to the first."""
    index = torch.arange(rows * columns).view(rows, columns)
    if closed:
        index = torch.cat([index, index[:, :1]], dim=1)
    return torch.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], dim=-1).view(-1, 4)


def tube(path: Tensor, radius: Tensor | float, *, closed: bool = False) -> tuple[Tensor, Tensor]:
    """A tube along (N, 3) points; ``radius`` may vary along it, (N,). A closed path must not repeat its first point."""
    if closed:
        ahead, behind = path.roll(-1, dims=0), path.roll(1, dims=0)
    else:
        ahead, behind = torch.cat([path[1:], path[-1:]]), torch.cat([path[:1], path[:-1]])
    tangent = unit(ahead - behind)
    first = unit(torch.linalg.cross(tangent, torch.tensor([0.11, 0.97, 0.21]).expand_as(tangent)))
    second = torch.linalg.cross(tangent, first)
    angle = torch.arange(SIDES) * (2 * math.pi / SIDES)
    ring = first[:, None] * angle.cos()[:, None] + second[:, None] * angle.sin()[:, None]
    radius = torch.as_tensor(radius, dtype=torch.float32).expand(len(path))
    vertices = path[:, None] + ring * radius[:, None, None]
    if closed:
        vertices = torch.cat([vertices, vertices[:1]])
    return vertices.flatten(0, 1), to_triangles(grid_quads(len(vertices), SIDES, closed=True))


def ellipsoid(radii: tuple[float, float, float], *, rows: int = 20, columns: int = 28) -> tuple[Tensor, Tensor]:
    """About the origin, poles along z."""
    polar = torch.linspace(0, math.pi, rows)[:, None].expand(rows, columns)
    around = (torch.arange(columns) * (2 * math.pi / columns))[None].expand(rows, columns)
    sphere = torch.stack([polar.sin() * around.cos(), polar.sin() * around.sin(), polar.cos()], dim=-1)
    return (sphere * torch.tensor(radii)).flatten(0, 1), to_triangles(grid_quads(rows, columns, closed=True))


def cylinder(radius: float, height: float) -> tuple[Tensor, Tensor]:
    """About the z axis, closed at both ends, its edges kept sharp by doubled rings."""
    profile = torch.tensor([[1e-4, -1.0], [radius, -1], [radius, -1], [radius, 1], [radius, 1], [1e-4, 1]])
    around = torch.arange(COLUMNS) * (2 * math.pi / COLUMNS)
    ring = torch.stack([around.cos(), around.sin()], dim=1)
    sides = profile[:, None, :1] * ring
    tops = (profile[:, 1:] * height / 2)[:, None].expand(-1, COLUMNS, 1)
    return torch.cat([sides, tops], dim=-1).flatten(0, 1), to_triangles(grid_quads(len(profile), COLUMNS, closed=True))


def box(width: float, depth: float, height: float) -> tuple[Tensor, Tensor]:
    """About the origin; every face has its own corners, so that edges stay sharp."""
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            face = torch.full((4, 3), sign)
            face[:, [i for i in range(3) if i != axis]] = square
            sides.append(face)
    vertices = torch.cat(sides) * torch.tensor([width, depth, height]) / 2
    return vertices, to_triangles(torch.arange(24).view(6, 4))

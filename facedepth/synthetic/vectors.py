"""Dot products, unit vectors and the like, by component: faster by far than torch's norm over an axis of three."""

from __future__ import annotations

import torch
from torch import Tensor


def dot(a: Tensor, b: Tensor) -> Tensor:
    """(..., 3) and (..., 3), broadcast, to (...)."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def norm(vectors: Tensor) -> Tensor:
    """(..., 3) to (...)."""
    return dot(vectors, vectors).sqrt()


def unit(vectors: Tensor) -> Tensor:
    """(..., 3) of length 1; what is shorter than 1e-12 stays as it is, near zero."""
    return vectors / dot(vectors, vectors).clamp(min=1e-24).sqrt()[..., None]


def along_surface(vectors: Tensor, normals: Tensor) -> Tensor:
    """The part of vectors (..., 3) that is perpendicular to unit normals (..., 3)."""
    return vectors - dot(vectors, normals)[..., None] * normals


def perpendicular(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors (3,) perpendicular to a unit direction (3,) and to each other."""
    helper = torch.tensor([1.0, 0, 0] if direction[0].abs() < 0.9 else [0, 1.0, 0], device=direction.device)
    first = unit(torch.linalg.cross(direction, helper))
    return first, torch.linalg.cross(direction, first)

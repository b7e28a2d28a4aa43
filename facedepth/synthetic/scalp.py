"""Where hair grows and what it must not enter: the hairline, roots on the head, distance to the template body."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .devices import cached_per_device, on_host
from .head import head_subdivision, to_triangles, vertex_normals
from .kit import DISTANCE_GRID, PARTS, HeadKit, load_kit
from .vectors import unit

# the hairline around the head: angle from the front in degrees, height on the template in metres
HAIRLINE_DEG = (0, 30, 50, 62, 70, 76, 84, 92, 105, 118, 140, 180)
HAIRLINE_M = (0.806, 0.803, 0.785, 0.772, 0.748, 0.725, 0.722, 0.742, 0.742, 0.705, 0.675, 0.665)


class Roots(NamedTuple):
    """Points on the template's skin from which hairs may grow.

    Attributes:
        rest: (R, 3) on the template, normal: (R, 3) there.
        corners: (R, 4) vertices of the fine quad they lie in, weights: (R, 4) of those vertices.
    """

    rest: Tensor
    normal: Tensor
    corners: Tensor
    weights: Tensor

    def pick(self, chosen: Tensor) -> Roots:
        """Some of the roots, by index or by mask."""
        return Roots(*(values[chosen] for values in self))

    def carry(self, values: Tensor) -> Tensor:
        """Values (V2, C) on the fine vertices to (R, C) at the roots."""
        return (values[self.corners] * self.weights[..., None]).sum(dim=1)


def angle_from_front(rest: Tensor) -> Tensor:
    """(N,) radians about the head's axis, 0 in the middle of the face, pi at the back, the same on both sides."""
    return torch.atan2(rest[:, 0].abs(), -(rest[:, 1] + 0.055))


@on_host
def above_hairline(rest: Tensor) -> Tensor:
    """(N,) height in metres of template points above the common hairline."""
    heights = np.interp(angle_from_front(rest).numpy(), np.deg2rad(HAIRLINE_DEG), HAIRLINE_M)
    return rest[:, 2] - torch.from_numpy(heights.astype(np.float32))


@cached_per_device
def fine_template() -> tuple[Tensor, Tensor]:
    """(V2, 3) vertices and normals of the template after subdivision."""
    subdivision = head_subdivision()
    vertices = subdivision.refine(load_kit().template)
    return vertices, vertex_normals(vertices, to_triangles(subdivision.quads))


def scatter_roots(kit: HeadKit, allowed: Tensor, count: int, seed: int) -> Roots:
    """``count`` roots spread evenly by area over the skin's fine quads whose corners are all ``allowed`` (V2,)."""
    rest, normals = fine_template()
    quads = head_subdivision().quads
    on_skin = (kit.quad_part == PARTS.index("skin")).repeat_interleave(4)
    quads = quads[on_skin & allowed[quads].all(dim=1)]
    a, b, c, d = rest[quads].unbind(dim=1)
    area = torch.linalg.cross(c - a, d - b).norm(dim=1).double()
    generator = torch.Generator().manual_seed(seed)
    jitter = torch.rand(count, generator=generator, dtype=torch.float64)
    along = (torch.arange(count) + jitter) / count
    chosen = torch.searchsorted(area.cumsum(0) / area.sum(), along).clamp(max=len(quads) - 1)
    chosen = chosen[torch.randperm(count, generator=generator)]
    u, v = torch.rand(2, count, generator=generator)
    weights = torch.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], dim=1)
    roots = Roots(torch.zeros(0), torch.zeros(0), quads[chosen], weights)
    return roots._replace(rest=roots.carry(rest), normal=unit(roots.carry(normals)))


@cached_per_device
def scalp_roots() -> Roots:
    """Twelve thousand roots on the scalp, generously past the hairline, off the ears."""
    kit = load_kit()
    fine_masks = head_subdivision().refine(torch.stack([kit.masks["head"], kit.masks["ears"]], dim=1))
    rest, _ = fine_template()
    allowed = (fine_masks[:, 0] > 0.5) & (fine_masks[:, 1] < 0.4)
    allowed &= (above_hairline(rest) > -0.035) & (rest[:, 2] > 0.64)
    return scatter_roots(kit, allowed, 12000, seed=1)


def distance_field(points: Tensor) -> tuple[Tensor, Tensor]:
    """Signed distance (N,) in metres to the template body, negative inside, and its unit gradient (N, 3)."""
    samples = torch.nn.functional.grid_sample(
        _distance_and_gradient()[None], _grid_place(points).view(1, 1, 1, -1, 3), align_corners=True,
        padding_mode="border",
    )[0, :, 0, 0].T
    return samples[:, 0], unit(samples[:, 1:])


def _grid_place(points: Tensor) -> Tensor:
    low, high = torch.tensor(DISTANCE_GRID[0]), torch.tensor(DISTANCE_GRID[1])
    return (points - low) / (high - low) * 2 - 1


@cached_per_device
def _distance_and_gradient() -> Tensor:
    distance = load_kit().distance  # (Z, Y, X)
    spacing = [(b - a) / (n - 1) for a, b, n in zip(*DISTANCE_GRID, strict=True)]
    dz, dy, dx = torch.gradient(distance, spacing=spacing[::-1])
    return torch.stack([distance, dx, dy, dz])

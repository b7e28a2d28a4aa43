"""What a camera sees of a triangle mesh: for every pixel the z-depth, the triangle and the place on it.

Two renderers behind one class. The z-buffer is plain torch and runs on the CPU and on CUDA with no compile step;
Open3D's ray casting (Embree) is several times as fast on a CPU. They agree to 1e-5 m.
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..camera import Camera
from ..checks import check_shapes, warn
from .vectors import perpendicular, unit

NEAREST_M = 1e-3
LAMP_M = 20.0  # how far away shadow maps are seen from
SHADOW_MAP_PX, SHADOW_BIAS_M = 512, 2e-3


def blend_corners(values: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """Values (V, C) to (N, C): those of three corners (N, 3) by their weights (N, 3)."""
    a, b, c = (values.index_select(0, corner) for corner in corners.unbind(dim=1))  # half of indexing's time
    return a.mul_(weights[:, :1]).add_(b.mul_(weights[:, 1:2])).add_(c.mul_(weights[:, 2:]))


class Hits(NamedTuple):
    """What lies under the centre of every pixel, in rows, (H * W, ...).

    Attributes:
        depth: (P,) z-depth, 0 where nothing was hit.
        triangle: (P,) index, -1 where nothing was hit.
        weights: (P, 3) of the triangle's corners, on the surface (perspective-correct), summing to 1.
    """

    depth: Tensor
    triangle: Tensor
    weights: Tensor

    def interpolate(self, values: Tensor, triangles: Tensor, pixels: Tensor) -> Tensor:
        """Values (V, C) on vertices to (N, C) at the given pixels, which must have been hit."""
        return blend_corners(values, triangles[self.triangle[pixels]], self.weights[pixels])


class Scene:
    """A triangle mesh to look at, in the world frame, with what speeds the looking up."""

    def __init__(self, vertices: Tensor, triangles: Tensor, *, ray_casting: bool = True):
        """``ray_casting`` False keeps to the z-buffer, as does a GPU and a machine where Open3D does not load."""
        check_shapes(vertices=(vertices, "V 3"), triangles=(triangles, "T 3"))
        self.vertices, self.triangles = vertices, triangles
        self._rays = _open3d_scene(vertices, triangles) if ray_casting and vertices.device.type == "cpu" else None

    def look(self, camera: Camera, height: int, width: int) -> Hits:
        """The first surface under every pixel's centre."""
        if self._rays is None:
            return rasterize(self.vertices, self.triangles, camera, height, width)
        return self._cast(camera, camera.rays(height, width).flatten(1).T)

    def look_through(self, camera: Camera, pixels: Tensor) -> Hits:
        """The first surface under the points (N, 2) of the picture, in pixels."""
        if self._rays is not None:
            ones = torch.ones(len(pixels), 1)
            return self._cast(camera, torch.cat([pixels, ones], dim=1) @ torch.linalg.inv(camera.K).T)
        finer = 5  # the z-buffer has no single rays: look at a finer grid of pixels and pick
        size = (torch.ceil(pixels.amax(dim=0)) * finer).long()
        place = (pixels * finer).long()
        hits = rasterize(self.vertices, self.triangles, camera.resize(finer), int(size[1]), int(size[0]))
        return Hits(*(values[place[:, 1] * size[0] + place[:, 0]] for values in hits))

    def lit(self, points: Tensor, towards: Tensor) -> Tensor:
        """(N,) bool: whether light from the unit directions ``towards`` (N, 3) reaches the points (N, 3) unhindered.

        The directions are those to places on one lamp; without ray casting the means of its quarters stand for all.
        """
        if self._rays is None:
            return self._lit_by_quarters(points, towards)
        blocked = self._rays.test_occlusions(torch.cat([points, towards], dim=1).numpy(), nthreads=1)
        return ~torch.from_numpy(blocked.numpy())

    def _lit_by_quarters(self, points: Tensor, towards: Tensor) -> Tensor:
        middle = unit(towards.mean(dim=0))
        right, up = perpendicular(middle)
        quarter = (towards @ right > middle @ right).long() + 2 * (towards @ up > middle @ up).long()
        lit = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        for part in range(4):
            chosen = (quarter == part).nonzero()[:, 0]
            if len(chosen):
                aim = towards[chosen].mean(dim=0)
                lit[chosen] = _lit_by_shadow_map(self.vertices, self.triangles, points[chosen], aim)
        return lit

    def _cast(self, camera: Camera, directions: Tensor) -> Hits:
        directions = directions @ camera.cam2world[:3, :3].T
        rays = torch.cat([camera.cam2world[:3, 3].expand_as(directions), directions], dim=1)
        found = self._rays.cast_rays(rays.numpy(), nthreads=1)
        # the directions have z = 1 in the camera frame, so the ray's parameter is the z-depth
        depth = torch.from_numpy(found["t_hit"].numpy())
        u, v = torch.from_numpy(found["primitive_uvs"].numpy()).unbind(dim=1)
        hit = depth.isfinite()
        triangle = torch.where(hit, torch.from_numpy(found["primitive_ids"].numpy().astype(np.int64)), -1)
        return Hits(torch.where(hit, depth, 0.0), triangle, torch.stack([1 - u - v, u, v], dim=1))


@lru_cache(maxsize=1)
def load_open3d() -> ModuleType | None:
    """Open3D, which takes two seconds to import; None, with a warning, where it does not load."""
    try:
        import open3d
    except (ImportError, OSError) as error:  # it needs system libraries that bare containers lack
        warn(
            f"Open3D does not load ({error}): faces are made without it, more slowly and with coarser shadows. On "
            "Debian or Ubuntu it needs: apt-get install libusb-1.0-0 libgl1 libgomp1"
        )
        return None
    return open3d


def _open3d_scene(vertices: Tensor, triangles: Tensor):
    """What casts rays at the mesh, or None."""
    open3d = load_open3d()
    if open3d is None:
        return None
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(vertices.contiguous().numpy(), triangles.numpy().astype(np.uint32))
    return scene


def rasterize(vertices: Tensor, triangles: Tensor, camera: Camera, height: int, width: int) -> Hits:
    """The z-buffer: every triangle's bounding box is spread into fragments, the nearest fragment of a pixel wins.

    Triangles that reach behind the camera are left out.
    """
    world2cam = torch.linalg.inv(camera.cam2world.double())
    points = (vertices.double() @ world2cam[:3, :3].T + world2cam[:3, 3]).to(vertices.dtype)
    projected = points @ camera.K.T
    x, y, z = (column[triangles] for column in (*(projected[:, :2] / points[:, 2:]).T, points[:, 2]))
    left, right = (x.amin(1) - 0.5).ceil().clamp(min=0).long(), (x.amax(1) - 0.5).floor().clamp(max=width - 1).long()
    top, bottom = (y.amin(1) - 0.5).ceil().clamp(min=0).long(), (y.amax(1) - 0.5).floor().clamp(max=height - 1).long()
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    columns = (right - left + 1).clamp(min=0)
    fragments = columns * (bottom - top + 1).clamp(min=0)
    fragments = torch.where((area.abs() > 1e-12) & (z.amin(1) > NEAREST_M), fragments, 0)

    face = torch.repeat_interleave(torch.arange(len(triangles), device=z.device), fragments)
    place = torch.arange(len(face), device=z.device) - (fragments.cumsum(0) - fragments)[face]
    px, py = left[face] + place % columns[face], top[face] + place // columns[face]
    x, y, z, u, v = x[face], y[face], z[face], px + 0.5, py + 0.5
    w0 = ((x[:, 1] - u) * (y[:, 2] - v) - (x[:, 2] - u) * (y[:, 1] - v)) / area[face]
    w1 = ((x[:, 2] - u) * (y[:, 0] - v) - (x[:, 0] - u) * (y[:, 2] - v)) / area[face]
    inside = ((w0 >= 0) & (w1 >= 0) & (w0 + w1 <= 1)).nonzero()[:, 0]
    weights = torch.stack([w0, w1, 1 - w0 - w1], dim=1)[inside] / z[inside]
    depth = 1 / weights.sum(dim=1)
    weights = weights * depth[:, None]
    # positive floats order like the integers of the same bits: depth above, the fragment's number below
    key = depth.view(torch.int32).long() << 32 | torch.arange(len(inside), device=z.device)
    pixel = py[inside] * width + px[inside]
    empty = torch.iinfo(torch.int64).max
    nearest = torch.full((height * width,), empty, device=z.device).scatter_reduce_(0, pixel, key, "amin")
    hit = nearest != empty
    winner = nearest[hit] & 0xFFFFFFFF
    hits = Hits(
        torch.zeros(height * width, device=z.device), torch.full((height * width,), -1, device=z.device),
        torch.zeros(height * width, 3, device=z.device),
    )
    hits.depth[hit], hits.triangle[hit], hits.weights[hit] = depth[winner], face[inside][winner], weights[winner]
    return hits


def _lit_by_shadow_map(vertices: Tensor, triangles: Tensor, points: Tensor, towards: Tensor) -> Tensor:
    """``Scene.lit`` without ray casting, for one direction (3,): a depth map seen from a lamp far away."""
    size = SHADOW_MAP_PX
    centre = (points.amin(dim=0) + points.amax(dim=0)) / 2
    radius = (vertices - centre).norm(dim=1).amax()
    forward = -unit(towards)
    cam2world = torch.eye(4, device=points.device)
    cam2world[:3, :3] = torch.stack([*perpendicular(forward), forward], dim=1)
    cam2world[:3, 3] = centre - LAMP_M * forward
    camera = Camera.from_focal(float(size / 2 * LAMP_M / radius), size, size)
    camera = Camera(camera.K.to(points.device), cam2world)
    nearest = rasterize(vertices, triangles, camera, size, size).depth
    seen = (points - cam2world[:3, 3]) @ cam2world[:3, :3]
    pixel = (seen @ camera.K.T)[:, :2] / seen[:, 2:]
    column, row = pixel.long().clamp(0, size - 1).unbind(dim=1)
    front = nearest[row * size + column]
    return (front == 0) | (seen[:, 2] <= front + SHADOW_BIAS_M)

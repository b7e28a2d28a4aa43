"""Still pictures: coloured depth, panels, error maps, curves, and a mesh seen from several sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .camera import Camera
from .geometry import normals_from_depth
from .io import image_to_uint8
from .mesh import Mesh
from .sample import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NO_DATA = 245  # a light grey that is in no colour map used here


def colour_depth(depth: Tensor, mask: Tensor, *, near: float | None = None, far: float | None = None) -> np.ndarray:
    """(H, W, 3) uint8 picture of (1, H, W) depth in Spectral: near is warm, far is cold, no data light grey.

    ``near`` and ``far`` are the ends of the scale; by default the 1st and the 99th percentile in the mask.
    """
    if not mask.any():
        return np.full((*depth.shape[-2:], 3), _NO_DATA, np.uint8)
    values = depth[mask].detach().float().cpu().numpy()
    near = float(np.percentile(values, 1)) if near is None else near
    far = float(np.percentile(values, 99)) if far is None else far
    return _colour(depth, mask, near, max(far, near + 1e-9), "Spectral")


def colour_error(error: Tensor, mask: Tensor, *, greatest: float) -> np.ndarray:
    """(H, W, 3) uint8 picture of a (1, H, W) error from 0 (dark) to ``greatest`` (bright)."""
    return _colour(error, mask, 0.0, max(greatest, 1e-9), "inferno")


def colour_normals(depth: Tensor, camera: Camera, mask: Tensor) -> np.ndarray:
    """(H, W, 3) uint8 picture of the normals: red to the right, green up, blue to the viewer."""
    normals = normals_from_depth(depth, camera, mask) * depth.new_tensor([1, -1, -1])[:, None, None]
    picture = image_to_uint8((normals + 1) / 2)
    picture[(normals == 0).all(dim=0).cpu().numpy()] = _NO_DATA
    return picture


def _colour(values: Tensor, mask: Tensor, low: float, high: float, colour_map: str) -> np.ndarray:
    from matplotlib import colormaps

    fraction = np.nan_to_num((values[0].detach().float().cpu().numpy() - low) / (high - low)).clip(0, 1)
    table = (colormaps[colour_map](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    picture = table[(fraction * 255).round().astype(np.uint8)]
    picture[~mask[0].cpu().numpy()] = _NO_DATA
    return picture


def panel(rows: Sequence[Mapping[str, np.ndarray]], *, row_titles: Sequence[str] = (), note: str = "") -> Figure:
    """A grid of pictures: a row for each mapping from title to (H, W, 3) uint8."""
    columns = max(len(row) for row in rows)
    figure = _new_figure(2.4 * columns, 2.5 * len(rows) + 0.3)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for index, (row_axes, row) in enumerate(zip(axes, rows, strict=True)):
        for axis, (title, picture) in zip(row_axes, row.items(), strict=False):
            axis.imshow(picture)
            axis.set_title(title, fontsize=9)
        if index < len(row_titles):
            row_axes[0].text(
                -0.04, 0.5, row_titles[index], rotation=90, va="center", ha="right", fontsize=9,
                transform=row_axes[0].transAxes,
            )
    if note:
        figure.supxlabel(note, fontsize=8, color="0.35")
    return figure


def sample_row(sample: Sample, depth_kind: str) -> dict[str, np.ndarray]:
    """Image and depth of a sample, for ``panel``; and the normals where the depth is metric."""
    row = {sample.name: image_to_uint8(sample.image), "depth": colour_depth(sample.depth, sample.mask)}
    if depth_kind == "metric":
        row["normals"] = colour_normals(sample.depth, sample.camera, sample.mask)
    return row


def curves(history: Sequence[Mapping[str, float]], names: Sequence[str]) -> Figure:
    """Columns of a history (one mapping an epoch, each with "epoch") as curves; the axis is logarithmic."""
    figure = _new_figure(6, 3.2)
    axis = figure.subplots()
    for name in names:
        points = [(row["epoch"], row[name]) for row in history if name in row]
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axis.set(xlabel="epoch", yscale="log")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3, which="both")
    axis.legend(frameon=False)
    return figure


def mesh_views(mesh: Mesh, *, size: int = 320, textured: bool = True) -> dict[str, np.ndarray]:
    """Five views of a mesh, by name: from the front, both sides, above and below."""
    angles = {"left": (-40, 0), "above": (0, 25), "front": (0, 0), "below": (0, -25), "right": (40, 0)}
    return {
        name: render_mesh(mesh, yaw_deg=yaw, pitch_deg=pitch, size=size, textured=textured)
        for name, (yaw, pitch) in angles.items()
    }


def render_mesh(
    mesh: Mesh, *, yaw_deg: float = 0.0, pitch_deg: float = 0.0, size: int = 320, textured: bool = True,
    framed_on: Mesh | None = None,
) -> np.ndarray:
    """(size, size, 3) uint8 picture of a mesh, by ray casting on the CPU: needs no display and no graphics card.

    The camera orbits the middle of the mesh, or of the one it is ``framed_on``, so that pictures of its parts compare:
    positive yaw sees it from its right (image right), positive pitch from above. Without texture it is clay.
    """
    import open3d

    supersampling = 2
    side = size * supersampling
    K, world2cam = _orbit(framed_on or mesh, math.radians(yaw_deg), math.radians(pitch_deg), side)
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(mesh.vertices, mesh.faces.astype(np.uint32))
    hits = scene.cast_rays(scene.create_rays_pinhole(K, world2cam, side, side))
    hit = np.isfinite(hits["t_hit"].numpy())
    triangles = mesh.faces[hits["primitive_ids"].numpy()[hit]]  # (N, 3)
    u, v = hits["primitive_uvs"].numpy()[hit].T
    weights = np.stack([1 - u - v, u, v], axis=1)[..., None]  # (N, 3, 1)

    light = -world2cam[2, :3] + np.array([-0.35, 0.5, 0.2])  # from behind the viewer's left shoulder
    normals = (_vertex_normals(mesh)[triangles] * weights).sum(axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    lambert = np.abs(normals @ (light / np.linalg.norm(light)))
    albedo = np.full((len(triangles), 3), 200.0)
    if textured and mesh.texture is not None:
        albedo = (mesh.vertex_colours()[triangles].astype(np.float32) * weights).sum(axis=1)
        lambert = 0.55 + 0.45 * lambert  # a photo brings its own light
    picture = np.full((side, side, 3), 255.0, np.float32)
    picture[hit] = albedo * (0.15 + 0.85 * lambert[:, None])
    picture = picture.reshape(size, supersampling, size, supersampling, 3).mean(axis=(1, 3))
    return picture.clip(0, 255).astype(np.uint8)


def _orbit(mesh: Mesh, yaw: float, pitch: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """K (3, 3) and world2cam (4, 4), OpenCV axes, of a camera that holds the whole mesh; angles in radians."""
    low, high = np.percentile(mesh.vertices, [0.5, 99.5], axis=0)
    centre, radius = (low + high) / 2, np.linalg.norm(high - low) / 2
    towards_eye = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    half_fov = math.radians(10)
    eye = centre + towards_eye * 0.9 * radius / math.sin(half_fov)
    world2cam = np.eye(4)
    world2cam[:3, :3] = [right, np.cross(right, towards_eye), -towards_eye]  # image right, image down, forward
    world2cam[:3, 3] = -world2cam[:3, :3] @ eye
    focal_px = side / 2 / math.tan(half_fov)
    return np.array([[focal_px, 0, side / 2], [0, focal_px, side / 2], [0, 0, 1]]), world2cam


def _vertex_normals(mesh: Mesh) -> np.ndarray:
    """(V, 3) normals, each the area-weighted mean of its triangles'."""
    corners = mesh.vertices[mesh.faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.zeros(mesh.vertices.shape)
    for corner in range(3):
        normals.index_add_(0, torch.from_numpy(mesh.faces[:, corner]), torch.from_numpy(face_normals))
    normals = normals.numpy()
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)


def _new_figure(width: float, height: float) -> Figure:
    """A figure of its own, outside pyplot: nothing to close, nothing shown twice in a notebook."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")

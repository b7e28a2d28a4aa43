"""The outline of a mesh: smooth, and nothing folds or moves that should not."""

import math

import numpy as np
import torch

from facedepth.camera import Camera, pixel_grid
from facedepth.geometry import depth_to_mesh
from facedepth.mesh import Mesh
from facedepth.outline import smooth_outline


def border_of(mesh: Mesh) -> np.ndarray:
    """The vertices on edges that have a triangle on one side alone."""
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    found, uses = np.unique(edges, axis=0, return_counts=True)
    return np.unique(found[uses == 1])


def disc(size: int) -> torch.Tensor:
    x, y = pixel_grid(size, size) - size / 2
    return (x**2 + y**2 < (0.4 * size) ** 2)[None]


def test_a_smooth_outline_has_no_steps_and_leaves_what_is_far_from_it_alone():
    """A disc of pixels: its border comes to lie on a circle."""
    camera = Camera.from_fov(20, 40, 40)
    stepped, smooth = (
        depth_to_mesh(torch.ones(1, 40, 40), camera, disc(40), outline_px=width) for width in (0, 2)
    )
    border = border_of(stepped)
    to_border = np.linalg.norm(stepped.uv[:, None] - stepped.uv[border], axis=2).min(axis=1) * 40
    assert (to_border > 13).sum() > 10
    assert (smooth.faces == stepped.faces).all()
    assert (smooth.vertices[to_border > 13] == stepped.vertices[to_border > 13]).all()
    spread = [np.linalg.norm(mesh.vertices[border, :2], axis=1).std() for mesh in (stepped, smooth)]
    assert spread[1] < 0.4 * spread[0]


def test_the_texture_moves_with_the_outline():
    camera = Camera.from_fov(20, 40, 40)
    mesh = depth_to_mesh(torch.ones(1, 40, 40), camera, disc(40), outline_px=2)
    across = 2 * math.tan(math.radians(10))  # of the picture, at depth 1
    np.testing.assert_allclose((mesh.uv - 0.5) * across, mesh.vertices[:, :2], atol=1e-6)


def test_teeth_of_a_border_that_falls_away_are_gone():
    """Border vertices a pixel apart differ in depth by turns, as on a steep border: the teeth shrink to a tenth."""
    rows, columns = torch.arange(30)[:, None], torch.arange(30)
    depth = torch.ones(1, 30, 30) + 0.02 * ((rows % 2) * (columns == 29))
    mesh, smooth = (
        depth_to_mesh(depth, Camera.from_fov(20, 30, 30), depth > 0, outline_px=width) for width in (0, 2)
    )
    edge = np.isclose(mesh.uv[:, 0], 29.5 / 30) & (np.abs(mesh.uv[:, 1] - 0.5) < 0.3)
    assert np.abs(np.diff(smooth.vertices[edge, 2])).max() < 0.1 * np.abs(np.diff(mesh.vertices[edge, 2])).max()


def test_where_two_borders_touch_nothing_moves():
    row, column = np.array([0, 0, 2, 4, 4]), np.array([0, 4, 2, 0, 4])
    uv = np.stack([column / 4, 1 - row / 4], axis=1).astype(np.float32)
    bow_tie = Mesh(np.c_[uv, np.zeros(5)].astype(np.float32), np.array([[0, 2, 1], [2, 3, 4]], np.int32), uv)
    smooth = smooth_outline(bow_tie, row, column, sigma=1, faces=bow_tie.faces)
    assert (smooth.vertices[2] == bow_tie.vertices[2]).all()
    assert not (smooth.vertices[[0, 1, 3, 4]] == bow_tie.vertices[[0, 1, 3, 4]]).all(axis=1).any()


def test_a_mesh_that_keeps_its_steep_triangles_has_the_outline_it_has_without_them():
    """So that a page, which leaves them out itself, shows what the files hold."""
    rows, columns = torch.arange(40.0)[:, None], torch.arange(40.0)
    depth = (1 + 0.05 * ((columns > 20 + rows / 4) & (rows > 12)) + 0.001 * rows)[None]
    depth[0, 4:7, 5:8] += 0.05  # steep, small and enclosed: closed
    options = {"max_angle_deg": 70, "greatest_hole": 0.05, "outline_px": 2}
    cut, whole = (
        depth_to_mesh(depth, Camera.from_fov(20, 40, 40), disc(40) | (rows < 9), keep_steep=keep, **options)
        for keep in (False, True)
    )
    shown = whole.faces[whole.angles_deg <= 70]
    assert len(cut.faces) == len(shown) < len(whole.faces) - 50
    np.testing.assert_allclose(whole.vertices[shown], cut.vertices[cut.faces], rtol=1e-6)
    np.testing.assert_allclose(whole.uv[shown], cut.uv[cut.faces], rtol=1e-6)
    assert cut.angles_deg is None


def areas_on_the_texture(mesh) -> np.ndarray:
    a, b, c = (mesh.uv[mesh.faces[:, corner]].astype(float) for corner in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    return ux * vy - uy * vx


def test_a_border_that_moves_by_many_pixels_folds_nothing():
    """A disc with teeth of 4 pixels, on a grid of single pixels, as the outline in a large photo is."""
    depth, camera = torch.ones(1, 120, 120), Camera.from_fov(20, 120, 120)
    y, x = (pixel_grid(120, 120) - 60).split(1)
    mask = torch.hypot(x, y) < 44 + 2 * torch.sign(torch.sin(16 * torch.atan2(y, x)))
    stepped, smooth = (depth_to_mesh(depth, camera, mask, outline_px=width) for width in (0, 6))
    assert areas_on_the_texture(smooth).min() > 0.09 * areas_on_the_texture(stepped).max()
    border = border_of(stepped)
    spread = [np.linalg.norm(mesh.uv[border] - 0.5, axis=1).std() for mesh in (stepped, smooth)]
    assert spread[1] < 0.6 * spread[0]
    behind = np.setdiff1d(stepped.faces[np.isin(stepped.faces, border).any(axis=1)], border)
    assert (smooth.uv[behind] != stepped.uv[behind]).any(axis=1).mean() > 0.9  # they go with the border


def test_an_island_of_one_triangle_does_not_shrink_to_nothing():
    mask = disc(40)
    mask[0, 1:3, 1], mask[0, 2, 2] = True, True
    mesh = depth_to_mesh(torch.ones(1, 40, 40), Camera.from_fov(20, 40, 40), mask, outline_px=8)
    lengths = np.linalg.norm(mesh.to_trimesh().vertex_normals, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-4)

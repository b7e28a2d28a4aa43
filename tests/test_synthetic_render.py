"""What is rendered, held against closed forms, and one renderer against the other."""

import math
import sys
import warnings

import pytest
import torch
from torch.testing import assert_close

from facedepth.camera import Camera
from facedepth.synthetic.head import rotation
from facedepth.synthetic.render import Scene, load_open3d, rasterize
from facedepth.synthetic.shapes import box, ellipsoid


def tilted_camera(size: int) -> Camera:
    """Off the axis, turned and rolled, with an off-centre principal point and oblong pixels."""
    K = torch.tensor([[3.1 * size, 0, 0.43 * size], [0, 2.9 * size, 0.56 * size], [0, 0, 1]])
    cam2world = torch.eye(4)
    cam2world[:3, :3] = rotation("y", 9.0) @ rotation("x", -6.0) @ rotation("z", 21.0)
    cam2world[:3, 3] = torch.tensor([-0.16, -0.08, -0.9])
    return Camera(K, cam2world)


def rotated_box() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    vertices, triangles = box(0.16, 0.10, 0.21)
    turn, centre = rotation("z", 31.0) @ rotation("x", 47.0), torch.tensor([0.02, 0.03, 0.1])
    return vertices @ turn.T + centre, triangles, turn, centre


def box_depth(camera: Camera, size: int, turn: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Slab test in double precision: (P,) z-depth of the box, inf where the ray passes it by."""
    rays = camera.rays(size, size).flatten(1).T.double() @ camera.cam2world[:3, :3].T.double() @ turn.double()
    start = (camera.cam2world[:3, 3] - centre).double() @ turn.double()
    half = torch.tensor([0.16, 0.10, 0.21]).double() / 2
    crossings = torch.stack([(-half - start) / rays, (half - start) / rays])
    near, far = crossings.amin(dim=0).amax(dim=1), crossings.amax(dim=0).amin(dim=1)
    return torch.where(near <= far, near, torch.inf)


def test_box_has_the_depth_of_the_closed_form():
    size, camera = 96, tilted_camera(96)
    vertices, triangles, turn, centre = rotated_box()
    expected = box_depth(camera, size, turn, centre)
    for depth in (
        rasterize(vertices, triangles, camera, size, size).depth,
        Scene(vertices, triangles).look(camera, size, size).depth,
    ):
        both = (depth > 0) & expected.isfinite()
        assert both.sum() > 1500
        assert ((depth > 0) != expected.isfinite()).sum() <= 4  # rays that graze an edge
        assert (depth[both] - expected[both]).abs().max() < 1e-5


def test_sphere_has_the_depth_of_the_closed_form():
    size, radius = 64, 0.11
    camera = Camera.from_fov(20.0, size, size)
    vertices, triangles = ellipsoid((radius, radius, radius), rows=700, columns=900)
    vertices = vertices + torch.tensor([0.012, -0.02, 1.0])
    hits = Scene(vertices, triangles).look(camera, size, size)
    rays = camera.rays(size, size).flatten(1).T.double()
    centre = torch.tensor([0.012, -0.02, 1.0]).double()
    a, b, c = rays.square().sum(1), rays @ centre, centre @ centre - radius**2
    inside = b**2 - a * c > 0.02 * a * radius**2  # facets leave the sphere where it is seen edge-on
    expected = (b - (b**2 - a * c).clamp(min=0).sqrt()) / a
    assert inside.sum() > 1000
    assert (hits.depth[inside] - expected[inside]).abs().max() < 1e-5


def test_the_two_renderers_agree():
    size, camera = 128, tilted_camera(128)
    pieces = [rotated_box()[:2], ellipsoid((0.09, 0.05, 0.07))]
    vertices = torch.cat([pieces[0][0], pieces[1][0] + torch.tensor([-0.06, 0.0, 0.02])])
    triangles = torch.cat([pieces[0][1], pieces[1][1] + len(pieces[0][0])])
    one, other = rasterize(vertices, triangles, camera, size, size), Scene(vertices, triangles).look(camera, size, size)
    agree = (one.depth - other.depth).abs() < 1e-5
    assert agree.float().mean() >= 0.999
    hit = agree & (one.depth > 0)
    pixels = hit.nonzero()[:, 0]
    assert_close(
        one.interpolate(vertices, triangles, pixels), other.interpolate(vertices, triangles, pixels), atol=2e-5, rtol=0
    )


def test_without_open3d_the_z_buffer_serves_and_that_is_said_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    load_open3d.cache_clear()
    size, camera = 48, tilted_camera(48)
    vertices, triangles, _, _ = rotated_box()
    try:
        with pytest.warns(UserWarning, match=r"Open3D does not load .*: .* apt-get install .*libgl1"):
            scene = Scene(vertices, triangles)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Scene(vertices, triangles)
    finally:
        load_open3d.cache_clear()
    assert torch.equal(scene.look(camera, size, size).depth, rasterize(vertices, triangles, camera, size, size).depth)


def test_interpolated_position_is_the_unprojected_depth():
    """Weights are those on the surface: position found by them is the point that depth and camera speak of."""
    size, camera = 80, tilted_camera(80)
    vertices, triangles, _, _ = rotated_box()
    hits = rasterize(vertices, triangles, camera, size, size)
    pixels = (hits.depth > 0).nonzero()[:, 0]
    points = camera.to_world(camera.unproject(hits.depth.view(1, size, size))).flatten(1).T[pixels]
    assert_close(hits.interpolate(vertices, triangles, pixels), points, atol=1e-5, rtol=0)


def test_a_point_under_a_roof_is_dark_and_one_beside_it_is_lit():
    roof, triangles = box(0.2, 0.2, 0.02)
    points = torch.tensor([[0.0, 0, 0], [0.15, 0, 0]])
    above = torch.tensor([0.0, 0, 1.0]).expand(2, 3)
    slanted = torch.nn.functional.normalize(torch.tensor([-0.15, 0.0, 1.0]), dim=0).expand(2, 3)
    for ray_casting in (True, False):
        scene = Scene(roof + torch.tensor([0, 0, 1.0]), triangles, ray_casting=ray_casting)
        assert scene.lit(points, above).tolist() == [False, True]
        assert scene.lit(points, slanted).tolist() == [True, False]


def test_a_point_under_an_edge_sees_half_of_a_wide_lamp():
    roof, triangles = box(0.4, 0.4, 0.02)
    angle = torch.arange(64) * 2.4  # a sunflower's pattern over the lamp
    radius = 0.15 * (torch.arange(64) / 64).sqrt()
    towards = torch.stack([radius * angle.cos(), radius * angle.sin(), torch.ones(64)], dim=1)
    towards = torch.nn.functional.normalize(towards, dim=1)
    for ray_casting in (True, False):
        scene = Scene(roof + torch.tensor([-0.2, 0, 1.0]), triangles, ray_casting=ray_casting)
        assert 0.4 < scene.lit(torch.zeros(64, 3), towards).float().mean() < 0.6


def test_looking_through_single_points_gives_the_pixel_they_are_the_centre_of():
    size, camera = 40, tilted_camera(40)
    vertices, triangles, _, _ = rotated_box()
    for ray_casting in (True, False):
        scene = Scene(vertices, triangles, ray_casting=ray_casting)
        whole = scene.look(camera, size, size)
        single = scene.look_through(camera, torch.tensor([[17.5, 20.5], [21.5, 20.5]]))
        assert_close(single.depth, whole.depth[[20 * size + 17, 20 * size + 21]], atol=2e-6, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_cuda_agree():
    size, camera = 128, tilted_camera(128)
    vertices, triangles, _, _ = rotated_box()
    there = rasterize(vertices.cuda(), triangles.cuda(), Camera(camera.K.cuda(), camera.cam2world.cuda()), size, size)
    here = rasterize(vertices, triangles, camera, size, size)
    assert ((there.depth.cpu() - here.depth).abs() < 1e-4).float().mean() >= 0.999


def test_depth_is_z_and_not_distance():
    """A wall square to the axis has one depth all over."""
    camera = Camera.from_fov(60.0, 32, 32)
    wall = torch.tensor([[-9.0, -9, 2], [9, -9, 2], [9, 9, 2], [-9, 9, 2]])
    depth = rasterize(wall, torch.tensor([[0, 1, 2], [0, 2, 3]]), camera, 32, 32).depth
    assert_close(depth, torch.full((32 * 32,), 2.0))
    assert math.isclose(float(camera.rays(32, 32)[:, 0, 0].norm()), 1.2747, abs_tol=1e-3)  # distance would be 2.55

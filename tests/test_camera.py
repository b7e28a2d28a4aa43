"""The camera's conventions with exact numbers, on one without symmetry: fx != fy, skew, principal point off."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d
from torch.testing import assert_close

from facedepth.camera import Camera, pixel_grid
from facedepth.checks import InputError

HEIGHT, WIDTH = 12, 16


@pytest.fixture
def camera() -> Camera:
    K = torch.tensor([[50.0, 3.0, 4.0], [0.0, 60.0, 9.0], [0.0, 0.0, 1.0]])
    cos, sin = math.cos(0.4), math.sin(0.4)
    cam2world = torch.tensor([[cos, 0, sin, 0.1], [0, 1, 0, -0.2], [-sin, 0, cos, 0.3], [0, 0, 0, 1]])
    return Camera(K, cam2world)


@pytest.fixture
def depth() -> torch.Tensor:
    return torch.rand(1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) + 0.5


def test_the_top_left_pixel_has_its_centre_at_one_half():
    grid = pixel_grid(2, 3)
    assert_close(grid[0], torch.tensor([[0.5, 1.5, 2.5], [0.5, 1.5, 2.5]]))
    assert_close(grid[1], torch.tensor([[0.5, 0.5, 0.5], [1.5, 1.5, 1.5]]))


def test_unproject_hand_computed():
    # Pixel (row 0, column 1) is at (1.5, 0.5): y = (0.5 - 4.5) / 2 = -2, x = (1.5 - 3.5 - 1 * y) / 4 = 0; times z = 3.
    K = torch.tensor([[4.0, 1.0, 3.5], [0.0, 2.0, 4.5], [0.0, 0.0, 1.0]])
    points = Camera(K, torch.eye(4)).unproject(torch.full((1, 1, 2), 3.0))
    assert_close(points[:, 0, 1], torch.tensor([0.0, -6.0, 3.0]))


def test_x_is_right_and_y_is_down():
    points = Camera.from_fov(40, HEIGHT, WIDTH).unproject(torch.ones(1, HEIGHT, WIDTH))
    assert (points[0].diff(dim=1) > 0).all()
    assert (points[1].diff(dim=0) > 0).all()
    assert_close(points[:2].mean(dim=(1, 2)), torch.zeros(2))  # the axis goes through the middle of the image


def test_project_is_the_inverse_of_unproject(camera, depth):
    pixels, depth_back = camera.project(camera.unproject(depth))
    assert_close(depth_back, depth)
    assert_close(pixels, pixel_grid(HEIGHT, WIDTH))
    assert_close(pixels[:, 0, 0], torch.tensor([0.5, 0.5]))


def test_cropping_moves_the_camera_with_the_pixels(camera, depth):
    left, top = 5, 2
    points = camera.unproject(depth)
    cropped = camera.crop(left, top).unproject(depth[:, top:, left:])
    assert_close(cropped, points[:, top:, left:])
    assert_close(camera.K[0, 2], torch.tensor(4.0))  # the camera itself is left as it was


@pytest.mark.parametrize(("step_x", "step_y"), [(2, 2), (4, 3)])
def test_resizing_moves_the_camera_with_the_pixels(camera, step_x, step_y):
    # Rays are linear in the pixel, so the mean of a block of rays is the ray through the middle of the large pixel.
    blocks = avg_pool2d(camera.rays(HEIGHT, WIDTH), (step_y, step_x))
    resized = camera.resize(1 / step_x, 1 / step_y)
    assert_close(resized.rays(HEIGHT // step_y, WIDTH // step_x), blocks)


def test_resizing_with_one_factor_keeps_the_proportions(camera):
    assert_close(camera.resize(0.5).K, camera.resize(0.5, 0.5).K)


def test_flipping_moves_the_camera_with_the_pixels(camera, depth):
    mirror = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    points = camera.unproject(depth)
    flipped = camera.flip(WIDTH)
    flipped_points = flipped.unproject(depth.flip(-1))
    assert_close(flipped_points, points.flip(-1) * mirror)
    assert_close(flipped.to_world(flipped_points), camera.to_world(points).flip(-1) * mirror)


def test_flipping_twice_is_nothing(camera):
    twice = camera.flip(WIDTH).flip(WIDTH)
    assert_close(twice.K, camera.K)
    assert_close(twice.cam2world, camera.cam2world)


def test_to_world_turns_before_it_moves():
    # A quarter turn about y that takes the camera's z to the world's x, and a camera that stands at (10, 20, 30).
    cam2world = torch.tensor([[0.0, 0, 1, 10], [0, 1, 0, 20], [-1, 0, 0, 30], [0, 0, 0, 1]])
    point = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    world = Camera(torch.eye(3), cam2world).to_world(point)
    assert_close(world.flatten(), torch.tensor([13.0, 22.0, 29.0]))


def test_field_of_view_and_focal_length():
    camera = Camera.from_fov(90, 40, 100)
    assert_close(camera.K, torch.tensor([[50.0, 0, 50], [0, 50, 20], [0, 0, 1]]))
    assert_close(camera.K, Camera.from_focal(50, 40, 100).K)
    assert camera.horizontal_fov_deg(100) == pytest.approx(90)
    assert camera.crop(50, 0).horizontal_fov_deg(50) == pytest.approx(45)  # the right half of the picture
    assert camera.resize(0.5).horizontal_fov_deg(50) == pytest.approx(90)


@pytest.mark.parametrize("fov", [0, -20, 180])
def test_impossible_fields_of_view_are_refused(fov):
    with pytest.raises(InputError, match=f"horizontal_fov_deg: expected above 0 and below 180, got {fov}"):
        Camera.from_fov(fov, 4, 4)


def test_a_batch_gives_what_a_loop_gives(camera, depth):
    cameras = [camera, camera.crop(3, 1), camera.resize(0.7, 0.9).flip(WIDTH)]
    depths = torch.stack([depth, depth * 2, depth.flip(-1)])
    batch = Camera(torch.stack([c.K for c in cameras]), torch.stack([c.cam2world for c in cameras]))
    points = batch.unproject(depths)
    assert_close(points, torch.stack([c.unproject(d) for c, d in zip(cameras, depths, strict=True)]))
    assert_close(batch.to_world(points), torch.stack([c.to_world(p) for c, p in zip(cameras, points, strict=True)]))
    pixels, depths_back = batch.project(points)
    assert_close(pixels, pixel_grid(HEIGHT, WIDTH).expand(3, 2, HEIGHT, WIDTH))
    assert_close(depths_back, depths)
    for change in (lambda c: c.crop(3, 1), lambda c: c.resize(0.5, 0.25), lambda c: c.flip(WIDTH)):
        assert_close(change(batch).K, torch.stack([change(c).K for c in cameras]))
        assert_close(change(batch).cam2world, torch.stack([change(c).cam2world for c in cameras]))


def test_wrong_shapes_are_named(camera):
    with pytest.raises(InputError, match=r"depth: expected shape \(\.\.\., 1, H, W\), got \(3, 4, 6\)"):
        camera.unproject(torch.zeros(3, 4, 6))
    with pytest.raises(InputError, match=r"points: expected shape \(\.\.\., 3, H, W\), got \(1, 4, 6\)"):
        camera.project(torch.zeros(1, 4, 6))
    with pytest.raises(InputError, match=r"K: expected shape \(\.\.\., 3, 3\), got \(4, 4\)"):
        Camera(torch.eye(4), torch.eye(4)).rays(4, 6)


def test_a_camera_of_whole_numbers_is_resized_as_any_other():
    whole = Camera(torch.tensor([[35, 0, 16], [0, 35, 12], [0, 0, 1]]), torch.eye(4))
    assert_close(whole.resize(0.5).K, torch.tensor([[17.5, 0, 8], [0, 17.5, 6], [0, 0, 1]]))


def test_a_camera_of_whole_numbers_is_cropped_and_mirrored_as_any_other():
    whole = Camera(torch.tensor([[100, 0, 32], [0, 100, 30], [0, 0, 1]]), torch.eye(4))
    same = Camera(whole.K.float(), whole.cam2world)
    assert_close(whole.crop(0.5, 2.25).K, same.crop(0.5, 2.25).K)
    assert_close(whole.flip(63).K, same.flip(63).K)
    assert_close(whole.crop(0.5, 0).flip(63).K, same.crop(0.5, 0).flip(63).K)

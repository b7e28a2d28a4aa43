"""Forms of depth: hand-computed cases, round trips on and off the axis, and alignment against torch's own solver."""

import math

import pytest
import torch
from torch.testing import assert_close

from facedepth.camera import Camera, Crop
from facedepth.checks import InputError
from facedepth.depth import (
    axis_factor,
    depth_to_relief,
    distance_to_z,
    fit_range,
    fit_scale_shift,
    invert_depth,
    masked_median,
    relief_to_depth,
    z_to_distance,
)

FULL = torch.ones(1, 2, 2, dtype=torch.bool)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def off_axis_camera(size: int, focal_px: float, angle_deg: float) -> Camera:
    """A crop whose centre is seen ``angle_deg`` to the right of the photo's axis."""
    camera = Camera.from_focal(focal_px, size, size)
    return camera.crop(focal_px * math.tan(math.radians(angle_deg)), 0)


def plane_across_the_ray(size: int, focal_px: float, angle_deg: float, distance: float) -> torch.Tensor:
    """z of the plane that stands square to the ray at ``angle_deg``, from x sin + z cos = distance, x = z ray_x."""
    angle = math.radians(angle_deg)
    ray_x = math.tan(angle) + (torch.arange(size) + 0.5 - size / 2) / focal_px
    z = distance / (ray_x * math.sin(angle) + math.cos(angle))
    return z.expand(1, size, size).clone()


def test_distance_hand_computed():
    # The only pixel's ray is (2, 2, 1), of length 3.
    camera = Camera(torch.tensor([[1.0, 0, -1.5], [0, 1, -1.5], [0, 0, 1]]), torch.eye(4))
    assert_close(z_to_distance(torch.full((1, 1, 1), 2.0), camera), torch.full((1, 1, 1), 6.0))


def test_distance_exceeds_z_in_an_eg3d_picture_by_what_its_focal_length_says():
    # At z = 2.7 with a focal length of 4.2647 widths, half a pixel inside: q = (255.5 / 512 / 4.2647)^2 = 0.013692;
    # edge 2.7 (sqrt(1 + q) - 1) = 0.01842, corner 2.7 (sqrt(1 + 2 q) - 1) = 0.03672.
    size = 512
    camera = Camera.from_focal(4.2647 * size, size, size)
    excess = z_to_distance(torch.full((1, size, size), 2.7), camera) - 2.7
    assert_close(excess[0, size // 2, 0], torch.tensor(0.01842), atol=1e-5, rtol=0)
    assert_close(excess[0, 0, 0], torch.tensor(0.03672), atol=1e-5, rtol=0)


def test_distance_and_back():
    camera = off_axis_camera(8, focal_px=10, angle_deg=30)
    z = randn(1, 8, 8).abs() + 1
    assert_close(distance_to_z(z_to_distance(z, camera), camera), z)


def test_axis_factor_is_one_for_a_centred_camera():
    assert_close(axis_factor(Camera.from_fov(50, 6, 8), 6, 8), torch.ones(1, 6, 8))


def test_axis_factor_in_the_middle_is_the_length_of_the_ray_there():
    # The middle pixel of an odd image lies on the axis itself: d . a = |d|. True only if the axis knows of the skew.
    camera = Camera(torch.tensor([[9.0, 4.0, -2.0], [0.0, 7.0, 11.0], [0.0, 0.0, 1.0]]), torch.eye(4))
    length = camera.rays(5, 5)[:, 2, 2].norm()
    assert_close(axis_factor(camera, 5, 5)[0, 2, 2], length)


@pytest.mark.parametrize("crop", [Crop(9, 2, 8), Crop(-3, 4, 10)])
def test_axis_of_a_window_in_the_photo_is_the_axis_of_its_crop(crop):
    camera = Camera(torch.tensor([[30.0, 2.0, 7.0], [0.0, 20.0, 11.0], [0.0, 0.0, 1.0]]), torch.eye(4))
    of_photo = axis_factor(camera, 16, 20, crop)
    of_crop = axis_factor(camera.crop(crop.left, crop.top), crop.size, crop.size)
    outside = max(0, -crop.left)  # columns of the crop beyond the photo's left edge
    rows, columns = slice(crop.top, crop.top + crop.size), slice(crop.left + outside, crop.left + crop.size)
    assert of_photo.shape == (1, 16, 20)
    assert_close(of_photo[:, rows, columns], of_crop[:, : 16 - crop.top, outside:])


def test_relief_hand_computed():
    # f = 4, width 2; the median of 1, 2, 4 is z0 = 2; r = (2 - z) 4 / (2 * 2) = 2 - z; the invalid pixel stays 0.
    depth = torch.tensor([[[1.0, 2.0], [4.0, 0.0]]])
    relief, z0 = depth_to_relief(depth, FULL, Camera.from_focal(4, 2, 2))
    assert_close(z0, torch.full((1, 1, 1), 2.0))
    assert_close(relief, torch.tensor([[[1.0, 0.0], [-2.0, 0.0]]]))


def test_relief_takes_its_median_from_the_head_alone():
    depth = torch.tensor([[[1.0, 2.0], [4.0, 4.0]]])
    head = torch.tensor([[[True, False], [False, False]]])
    relief, z0 = depth_to_relief(depth, head, Camera.from_focal(4, 2, 2))
    assert_close(z0, torch.ones(1, 1, 1))
    assert_close(relief, torch.tensor([[[0.0, -2.0], [-6.0, -6.0]]]))  # (1 - z) 4 / (1 * 2)


@pytest.mark.parametrize("angle_deg", [-40, 25, 40])
def test_a_plane_square_to_the_crops_own_axis_has_no_relief(angle_deg):
    size, focal_px = 16, 40
    z = plane_across_the_ray(size, focal_px, angle_deg, distance=1.5)
    assert z.max() / z.min() > 1.15  # along the photo's axis it is anything but flat
    relief, z0 = depth_to_relief(z, torch.ones_like(z, dtype=torch.bool), off_axis_camera(size, focal_px, angle_deg))
    assert_close(z0, torch.full((1, 1, 1), 1.5))
    assert_close(relief, torch.zeros_like(relief), atol=1e-6, rtol=0)


def test_relief_off_the_axis_is_the_height_over_the_plane_in_crop_widths():
    # A pixel seen on the plane 10 % nearer: r = 0.1 f / width, f that of a camera turned there, which shows the plane's
    # pixels as large: z_a is proportional to z, whatever the angle.
    size, focal_px = 16, 40
    z = plane_across_the_ray(size, focal_px, 40, distance=1.5)
    z[0, 3, 5] *= 0.9
    relief, _ = depth_to_relief(z, torch.ones_like(z, dtype=torch.bool), off_axis_camera(size, focal_px, 40))
    assert_close(relief[0, 3, 5], torch.tensor(0.1 * focal_px / math.cos(math.radians(40)) ** 1.5 / size))


@pytest.mark.parametrize("angle_deg", [0, 35])
def test_relief_and_back(angle_deg):
    depth = randn(1, 8, 8).abs() * 0.1 + 1
    camera = off_axis_camera(8, focal_px=20, angle_deg=angle_deg)
    relief, z0 = depth_to_relief(depth, depth > 1.02, camera)
    assert_close(relief_to_depth(relief, z0, camera), depth)
    assert_close(relief_to_depth(relief, 2 * z0.item(), camera), 2 * depth)  # z0 alone sets the scale


def test_relief_of_a_crop_pasted_into_its_photo_gives_the_photos_depth():
    photo, crop = Camera.from_focal(25, 16, 20), Crop(11, 3, 8)
    depth = randn(1, 16, 20).abs() * 0.1 + 1
    window = (..., slice(crop.top, crop.top + crop.size), slice(crop.left, crop.left + crop.size))
    relief, z0 = depth_to_relief(depth[window], depth[window] > 0, photo.crop(crop.left, crop.top))
    pasted = torch.zeros_like(depth)
    pasted[window] = relief
    assert_close(relief_to_depth(pasted, z0, photo, crop)[window], depth[window])


def test_relief_does_not_depend_on_the_size_of_the_picture():
    # The same inclined plane seen off the axis by 8 and by 40 pixels: every fifth pixel has the same ray.
    def relief_of(size: int) -> torch.Tensor:
        camera = off_axis_camera(size, focal_px=2.5 * size, angle_deg=30)
        x, y = camera.rays(size, size)[:2, None]
        depth = 1 / (1 + 0.3 * x - 0.2 * y)
        middle = torch.zeros(1, size, size, dtype=torch.bool)
        middle[:, size // 2, size // 2] = True
        return depth_to_relief(depth, middle, camera)[0]

    small, large = relief_of(9), relief_of(45)
    assert small.abs().max() > 0.05
    assert_close(large[:, 2::5, 2::5], small)


def test_a_batch_of_reliefs_is_a_loop_of_reliefs():
    depth = randn(3, 1, 8, 8).abs() + 1
    cameras = [off_axis_camera(8, focal_px, angle) for focal_px, angle in ((20, 0), (30, 30), (15, -20))]
    batch = Camera(torch.stack([c.K for c in cameras]), torch.stack([c.cam2world for c in cameras]))
    relief, z0 = depth_to_relief(depth, depth > 1.2, batch)
    for index, camera in enumerate(cameras):
        one_relief, one_z0 = depth_to_relief(depth[index], depth[index] > 1.2, camera)
        assert_close(relief[index], one_relief)
        assert_close(z0[index], one_z0)
    assert_close(relief_to_depth(relief, z0, batch), depth)


def test_a_head_without_depth_is_refused():
    with pytest.raises(InputError, match="mask: expected at least one valid pixel in every image, got none"):
        depth_to_relief(torch.zeros(1, 2, 2), FULL, Camera.from_focal(4, 2, 2))


def test_invert_depth():
    assert_close(invert_depth(torch.tensor([2.0, 0.0, -1.0, torch.nan])), torch.tensor([0.5, 0.0, 0.0, 0.0]))


def test_masked_median_is_the_lower_of_two_and_ignores_the_rest():
    values = torch.tensor([[[[5.0, 1.0, 3.0, 100.0]]], [[[7.0, -9.0, torch.nan, 8.0]]]])
    mask = torch.tensor([[[[True, True, True, False]]], [[[True, False, False, True]]]])
    assert_close(masked_median(values, mask), torch.tensor([3.0, 7.0])[:, None, None, None])


def test_one_empty_mask_in_a_batch_is_refused():
    mask = torch.tensor([[[[True]]], [[[False]]]])
    with pytest.raises(InputError, match="expected at least one valid pixel in every image"):
        masked_median(torch.ones(2, 1, 1, 1), mask)


def test_scale_and_shift_are_those_of_the_least_squares_solver():
    values, target = randn(4, 1, 9, 7, seed=1), randn(4, 1, 9, 7, seed=2)
    mask = randn(4, 1, 9, 7, seed=3) > 0
    scale, shift = fit_scale_shift(values, target, mask)
    for index in range(4):
        inside = mask[index]
        ones = torch.ones(int(inside.sum()))
        matrix = torch.stack([values[index][inside], ones], dim=1).double()
        solution = torch.linalg.lstsq(matrix, target[index][inside].double()[:, None]).solution.float()
        assert_close(torch.stack([scale[index].flatten(), shift[index].flatten()]), solution)


def test_alignment_ignores_what_is_outside_the_mask():
    values, mask = randn(1, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool)
    mask[0, 0] = False
    target = 3 * values - 2
    target[0, 0], values[0, 0] = 1e6, torch.nan
    scale, shift = fit_scale_shift(values, target, mask)
    assert_close((scale.item(), shift.item()), (3.0, -2.0))


def test_values_that_vary_by_a_ten_thousandth_are_still_aligned():
    values = 1000 + 0.1 * randn(1, 32, 32)
    scale, _ = fit_scale_shift(values, 0.5 * (values - 1000), torch.ones(1, 32, 32, dtype=torch.bool))
    assert_close(scale.item(), 0.5, rtol=1e-3, atol=0)


@pytest.mark.parametrize("constant", [0.0, 0.1, 2.7, -1234.567])
def test_constant_values_get_the_targets_mean(constant):
    target = randn(1, 64, 64) + 5
    mask = randn(1, 64, 64, seed=1) > -1
    scale, shift = fit_scale_shift(torch.full_like(target, constant), target, mask)
    assert scale.item() == 0
    assert_close(shift.item(), target[mask].mean().item())


def test_an_empty_mask_is_aligned_to_nothing():
    scale, shift = fit_scale_shift(randn(1, 4, 4), randn(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool))
    assert (scale.item(), shift.item()) == (0, 0)


def test_fit_range_takes_its_ends_from_the_mask_and_draws_the_line_on():
    values = torch.tensor([[[2.0, 4.0], [3.0, 5.0]]])
    mask = torch.tensor([[[True, True], [True, False]]])
    assert_close(fit_range(values, mask, -1.0, 1.0), torch.tensor([[[-1.0, 1.0], [0.0, 2.0]]]))
    assert_close(fit_range(values, mask, 255.0, 0.0), torch.tensor([[[255.0, 0.0], [127.5, -127.5]]]))


def test_fit_range_puts_what_does_not_vary_in_the_middle():
    assert_close(fit_range(torch.full((1, 2, 2), 3.0), FULL, 0.0, 1.0), torch.full((1, 2, 2), 0.5))
    assert_close(fit_range(torch.rand(1, 2, 2), ~FULL, 0.0, 1.0), torch.full((1, 2, 2), 0.5))


def test_rounding_is_no_range():
    noise = 0.3 + 1e-7 * randn(1, 8, 8)
    assert_close(fit_range(noise, torch.ones(1, 8, 8, dtype=torch.bool), -1.0, 1.0), torch.zeros(1, 8, 8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scale_and_shift_of_16_bits(dtype):
    values = (1 + torch.rand(1, 512, 512, generator=torch.Generator().manual_seed(0))).to(dtype)
    scale, shift = fit_scale_shift(values, 2 * values.float() + 1, torch.ones(1, 512, 512, dtype=torch.bool))
    assert_close((scale.item(), shift.item()), (2.0, 1.0), rtol=1e-3, atol=1e-3)

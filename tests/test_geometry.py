"""Normals, smoothing and points of depth maps: planes with known normals, odd cameras."""

import time

import numpy as np
import pytest
import torch
from maps import full, odd_camera, plane_depth, rand
from torch.testing import assert_close

from facedepth.camera import Camera
from facedepth.geometry import depth_to_points, normals_from_depth, normals_valid, smooth_depth
from facedepth.io import image_to_uint8

# --- normals


def test_normals_of_a_tilted_plane_are_exact_up_to_the_border():
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, -0.8]), dim=0)
    camera = odd_camera()
    depth = plane_depth(camera, normal, -2.0, 12, 16)
    assert depth.min() > 0
    normals = normals_from_depth(depth, camera)
    assert_close(normals, normal[:, None, None].expand(3, 12, 16), atol=2e-5, rtol=0)


def test_normals_point_to_the_camera():
    normals = normals_from_depth(1 + 0.01 * rand(1, 9, 7), odd_camera())
    assert (normals[2] < 0).all()
    assert_close(normals.norm(dim=0), torch.ones(9, 7))


def test_a_surface_that_falls_away_to_the_right_looks_to_the_right():
    # z grows with x: seen from the camera its normal leans towards +x.
    depth = torch.linspace(1, 1.5, 8).expand(1, 6, 8).contiguous()
    assert (normals_from_depth(depth, Camera.from_fov(30, 6, 8))[0] > 0).all()


def test_normals_are_zero_where_they_rest_on_an_invalid_pixel():
    depth = 1 + 0.01 * rand(1, 6, 7)
    mask = full(depth)
    mask[0, 2, 3] = False
    lost = torch.zeros(6, 7, dtype=torch.bool)
    for row, column in ((2, 3), (1, 3), (3, 3), (2, 2), (2, 4)):
        lost[row, column] = True
    assert (normals_valid(mask)[0] == ~lost).all()
    normals = normals_from_depth(depth, odd_camera(), mask)
    assert ((normals == 0).all(dim=0) == lost).all()


def test_normals_of_a_batch_are_those_of_a_loop():
    depth = 1 + 0.1 * rand(3, 1, 6, 7)
    one_by_one = torch.stack([normals_from_depth(one, odd_camera()) for one in depth])
    assert_close(normals_from_depth(depth, odd_camera()), one_by_one)


# --- smoothing


def noisy_step() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A wall at 1 m beside one at 2 m, the same with 2 mm of noise, and the mask with a hole."""
    clean = torch.ones(1, 40, 50)
    clean[..., 20:] = 2
    noise = torch.randn(1, 40, 50, generator=torch.Generator().manual_seed(0)) * 0.002
    mask = full(clean)
    mask[0, 5:9, 10:14] = False
    return clean, clean + noise, mask


@pytest.mark.parametrize("sigma_px", [1.5, 6.0])
def test_smoothing_takes_noise_and_leaves_edges(sigma_px):
    clean, noisy, mask = noisy_step()
    smooth = smooth_depth(noisy, mask, sigma_px=sigma_px)
    before, after = (noisy - clean)[mask].std(), (smooth - clean)[mask].std()
    assert after < before / 2.5
    assert (smooth - clean)[mask].abs().max() < 0.01  # nothing of the metre between the walls has leaked
    assert (smooth - clean)[mask].mean().abs() < 2e-4


def test_smoothing_neither_touches_nor_uses_invalid_pixels():
    _, noisy, mask = noisy_step()
    smooth = smooth_depth(noisy, mask)
    assert_close(smooth[~mask], noisy[~mask], atol=0, rtol=0)
    junk = torch.where(mask, noisy, 1.003)  # within reach of the neighbours' depth: only the mask keeps it out
    assert_close(smooth_depth(junk, mask)[mask], smooth[mask], atol=0, rtol=0)
    nothing = torch.where(mask, noisy, 0.0)
    assert_close(smooth_depth(nothing, mask)[mask], smooth[mask], atol=0, rtol=0)


def test_smoothing_of_a_plateau_or_of_width_0_is_nothing():
    _, noisy, mask = noisy_step()
    assert_close(smooth_depth(noisy, mask, sigma_px=0), noisy, atol=0, rtol=0)
    flat = torch.full((1, 9, 9), 3.0)
    assert_close(smooth_depth(flat, full(flat)), flat)


def test_smoothing_does_not_know_units():
    _, noisy, mask = noisy_step()
    assert_close(smooth_depth(1000 * noisy, mask), 1000 * smooth_depth(noisy, mask))


def test_smoothing_of_a_part_is_that_of_the_whole():
    # The same patch in a corner of a large map, and by itself.
    patch = 1 + 0.001 * rand(1, 20, 30)
    large, mask = torch.zeros(1, 90, 80), torch.zeros(1, 90, 80, dtype=torch.bool)
    large[:, 60:80, 45:75], mask[:, 60:80, 45:75] = patch, True
    smooth = smooth_depth(large, mask)
    assert_close(smooth[:, 60:80, 45:75], smooth_depth(patch, full(patch)))
    assert (smooth[~mask] == 0).all()
    nothing = torch.zeros_like(mask)
    assert_close(smooth_depth(large, nothing), large, atol=0, rtol=0)


def test_a_wide_neighbourhood_costs_no_more_than_a_narrow_one():
    # Taken pixel by pixel, sigma 60 would visit 241 x 241 neighbours and take minutes.
    depth = 1 + 0.001 * rand(1, 200, 200)
    start = time.perf_counter()
    smooth = smooth_depth(depth, full(depth), sigma_px=60)
    assert time.perf_counter() - start < 5
    assert smooth.std() < depth.std() / 3


# --- points


def test_points_have_the_axes_of_the_viewer_and_the_colour_of_their_pixel():
    camera, depth, image = odd_camera(), 1 + rand(1, 12, 16), rand(3, 12, 16, seed=1)
    mask = rand(1, 12, 16, seed=2) > 0.3
    cloud = depth_to_points(depth, camera, mask, image)
    rows, columns = np.nonzero(mask[0].numpy())
    expected = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1) @ np.linalg.inv(camera.K.numpy()).T
    expected *= depth[mask].numpy()[:, None]
    np.testing.assert_allclose(cloud.points, expected * [1, -1, -1], atol=1e-6)
    assert (cloud.colours == image_to_uint8(image)[rows, columns]).all()

"""Windows that slide over pictures, and blurs that move nothing."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from facedepth.synthetic.camera_effects import _motion_blur
from facedepth.synthetic.labels import hair_layer
from facedepth.synthetic.noise import box_blur, box_max

PICTURES = torch.randn(1, 2, 9, 7, generator=torch.Generator().manual_seed(0)) - 3  # below zero, as is nothing beyond


@pytest.mark.parametrize("width", [3, 4, 5])
def test_a_window_gives_its_mean(width):
    before, after = width // 2, (width - 1) // 2
    expected = avg_pool2d(pad(PICTURES, (before, after, before, after)), width, 1)
    torch.testing.assert_close(box_blur(PICTURES, width), expected)


@pytest.mark.parametrize("width", [3, 5])
def test_a_window_gives_its_greatest(width):
    assert torch.equal(box_max(PICTURES, width), max_pool2d(PICTURES, width, 1, width // 2))


@pytest.mark.parametrize("size", [128, 256])
def test_hair_reaches_to_the_border(size):
    """Where it covers 60 % everywhere, it does so at the border and in the corners."""
    opacity, depth = torch.full((size * size,), 0.6), torch.full((size * size,), 0.9)
    cover, behind = hair_layer(opacity, depth, size)
    torch.testing.assert_close(cover, opacity)
    torch.testing.assert_close(behind, depth)


@pytest.mark.parametrize("size", [128, 256, 512])
def test_a_blur_by_motion_leaves_the_picture_where_it_is(size):
    picture = np.zeros((size, size, 1), np.float32)
    picture[size // 2, size // 2] = 1
    places = np.mgrid[:size, :size] - size // 2
    for seed in range(40):
        blurred = _motion_blur(np.random.default_rng(seed), picture).reshape(size, size)
        assert blurred.max() < 0.9
        assert np.abs((places * blurred).sum(axis=(1, 2))).max() < 1e-3

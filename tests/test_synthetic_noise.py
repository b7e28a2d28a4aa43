"""Windows that slide over pictures."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, max_pool2d, pad

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

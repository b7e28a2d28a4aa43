"""The mask of a head: what is cleaned of it, and what stays."""

import torch

from facedepth.prediction.head_mask import cleaned, colours_from_inside


def test_crumbs_of_a_mask_go_and_large_parts_stay():
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[:, 2:22, 5:35] = True  # 600 pixels
    mask[:, 25:35, 5:15] = True  # 100, parted from the rest by a hand
    clean = mask.clone()
    mask[:, 36:39, 30:35] = mask[:, 22, 35] = True  # crumbs, one touching a corner
    assert torch.equal(cleaned(mask), clean)
    assert not cleaned(torch.zeros(1, 4, 4, dtype=torch.bool)).any()


def test_small_holes_of_a_mask_are_filled_and_large_and_open_ones_stay():
    mask = torch.zeros(1, 60, 60, dtype=torch.bool)
    mask[:, 5:55, 5:60] = True  # 2750 pixels, up to the right edge
    mask[:, 30:45, 10:25] = False  # a hand: 225
    mask[:, 10:12, 58:60] = mask[:, 20, 5:15] = False  # 4 at the picture's edge, a slit from outside
    mask[:, 50, 5] = mask[:, 51, 6] = False  # the second leads out by the corner of the first
    clean = mask.clone()
    mask[:, 15, 20:50] = False  # 30, the frame of glasses
    assert torch.equal(cleaned(mask), clean)


def test_the_rim_takes_the_colours_of_the_inside_and_nothing_else_changes():
    x = torch.arange(40).expand(40, 40)
    mask, seen = ((x >= 10) & (x.mT < 30))[None], torch.ones(1, 40, 40, dtype=torch.bool)  # to two of the photo's edges
    image = torch.stack([x, x.mT, x + x.mT]).float()
    coloured = colours_from_inside(image, mask, seen, 3)
    assert torch.equal(coloured.where(~mask, 0), image.where(~mask, 0))
    expected = torch.stack([x.clamp(min=13), x.mT.clamp(max=26), x.clamp(min=13) + x.mT.clamp(max=26)]).float()
    assert torch.equal(coloured.where(mask, 0), expected.where(mask, 0))
    assert torch.equal(image, torch.stack([x, x.mT, x + x.mT]).float())
    to_neck = colours_from_inside(image, mask, seen & (x.mT < 30), 3)  # the network saw no farther down
    expected = torch.stack([x.clamp(min=13), x.mT, x.clamp(min=13) + x.mT]).float()
    assert torch.equal(to_neck.where(mask, 0), expected.where(mask, 0))
    for thin, width in ((mask, 40), (mask & (x < 12), 3), (torch.zeros_like(mask), 3), (seen, 3)):
        assert torch.equal(colours_from_inside(image, thin, seen, width), image)

"""The camera moves with the pixels: whatever is done to the picture, the scene's points stay where they are."""


import pytest
import torch
from planes import HEIGHT, WIDTH, assert_pixels_agree, interior, plane_error, plane_sample
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.transforms import (
    CentreCrop,
    Compose,
    Resize,
    resize_depth,
    resize_image,
    resize_mask,
)


def test_the_scene_is_a_plane_to_begin_with():
    assert plane_error(plane_sample()).max() < 1e-5
    assert_pixels_agree(plane_sample(), 1e-3)


@pytest.mark.parametrize(
    "transform",
    [
        Resize(24, 32), Resize(96, 128), Resize(36, 48), Resize(30), CentreCrop(), CentreCrop(31),
        Compose((CentreCrop(40), Resize(20))),
    ],
    ids=str,
)
def test_points_stay_on_the_plane_and_pixels_where_they_came_from(transform):
    moved = transform(plane_sample())
    inner = interior(moved)
    inner.mask[:, [0, -1]] = False  # enlarging repeats the outermost half pixel
    inner.mask[:, :, [0, -1]] = False
    assert inner.mask.sum() > 100
    assert plane_error(inner).max() < 2e-4  # a pixel shifted by a half gives 4e-3
    assert_pixels_agree(moved, 0.1)


def test_halving_a_slanted_plane_is_right_everywhere_but_beside_holes():
    halved = Resize(24, 32)(plane_sample())
    assert plane_error(interior(halved)).max() < 1e-4
    assert plane_error(halved).max() < 0.02


def test_planes_parallel_to_the_picture_are_exact():
    depth = torch.full((1, 12, 16), 0.7)
    mask = torch.ones(1, 12, 16, dtype=torch.bool)
    mask[0, 3, 4] = False
    depth[0, 3, 4] = 0
    for height, width in ((6, 8), (5, 9), (24, 32), (13, 16)):
        resized, valid = resize_depth(depth, mask, height, width)
        assert_close(resized[valid], torch.full_like(resized[valid], 0.7), rtol=0, atol=1e-7)
        assert (resized[~valid] == 0).all()


@pytest.mark.parametrize("size", [(8, 12), (16, 24), (40, 60), (64, 96)])
def test_no_point_flies_between_the_head_and_the_wall(size):
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    radius = ((x - 20.3) ** 2 + (y - 15.1) ** 2).sqrt() / 11
    head = 0.5 - 0.05 * (1 - radius.square()).clamp(min=0).sqrt()
    depth = torch.where(radius < 1, head, 1.5 + 0.01 * x)[None]
    resized, mask = resize_depth(depth, torch.ones_like(depth, dtype=torch.bool), *size)
    assert mask.all()
    assert ((resized <= 0.5) | (resized >= 1.5)).all()
    assert (resized <= 0.5).any()
    assert (resized >= 1.5).any()


def test_a_hair_one_pixel_wide_does_not_fly_either():
    depth = torch.full((1, 9, 9), 2.0)
    depth[:, :, 4] = 1.0
    resized, _ = resize_depth(depth, torch.ones_like(depth, dtype=torch.bool), 18, 18)
    assert set(resized.unique().tolist()) == {1.0, 2.0}


def test_a_steep_cheek_is_blended_not_stepped():
    depth = (1 + 0.04 * torch.arange(8.0)).expand(1, 8, 8)  # 4 % a pixel, more than the relative bound
    halved, _ = resize_depth(depth, torch.ones_like(depth, dtype=torch.bool), 4, 4)
    assert_close(halved[0, 0], 1 + 0.04 * torch.tensor([0.5, 2.5, 4.5, 6.5]))


def test_blends_by_hand():
    depth = torch.tensor([[[1.0, 1.01], [1.02, 1.05]]])
    whole = torch.ones(1, 2, 2, dtype=torch.bool)
    assert_close(resize_depth(depth, whole, 1, 1)[0], torch.tensor([[[1.02]]]))
    holed = whole.clone()
    holed[0, 0, 0] = False
    value, mask = resize_depth(torch.where(holed, depth, 0.0), holed, 1, 1)
    assert not mask.any()  # the centre lies between all four: of the first new pixel it is the first that counts
    holed = whole.clone()
    holed[0, 1, 1] = False
    value, mask = resize_depth(torch.where(holed, depth, 0.0), holed, 1, 1)
    assert_close(value, torch.tensor([[[1.0]]]))
    assert mask.all()


@pytest.mark.parametrize(("old", "new"), [(256, 128), (512, 128), (384, 128), (500, 128), (128, 256)])
def test_resized_masks_do_not_move_and_do_not_grow(old, new):
    def disc(size: int) -> torch.Tensor:
        y, x = (grid * old / size for grid in torch.meshgrid(*[torch.arange(size) + 0.5] * 2, indexing="ij"))
        return ((x - 0.47 * old).square() + (y - 0.52 * old).square() < (0.31 * old) ** 2)[None]

    resized = resize_mask(disc(old), new, new)
    assert_close(resized.flip(-1), resize_mask(disc(old).flip(-1), new, new))
    assert_close(resized.flip(-2), resize_mask(disc(old).flip(-2), new, new))
    shift = resized.nonzero().double().mean(dim=0) - disc(new).nonzero().double().mean(dim=0)
    assert float(shift.abs().max()) < 0.06
    assert float(resized.sum() / disc(new).sum()) == pytest.approx(1, abs=0.005)


def test_depth_of_one_row_can_be_resized():
    depth, mask = resize_depth(torch.full((1, 1, 5), 0.4), torch.ones(1, 1, 5, dtype=torch.bool), 3, 7)
    assert_close(depth, torch.full((1, 3, 7), 0.4))
    assert mask.all()


def test_resized_masks_keep_their_places_and_nest():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, 1, 3] = True
    assert_close(resize_mask(mask, 8, 8).nonzero()[:, 1:], torch.tensor([[2, 6], [2, 7], [3, 6], [3, 7]]))
    moved = Resize(31, 17)(plane_sample())
    assert (moved.face <= moved.head).all()
    assert (moved.head <= moved.mask).all()
    assert moved.face.any()


def test_resize_antialiases_the_image():
    stripes = (torch.arange(64) % 2).float().expand(3, 48, 64)
    small = Resize(12, 16)(plane_sample()._replace(image=stripes))
    assert (small.image - 0.5).abs().max() < 0.13
    assert small.image.min() >= 0


@pytest.mark.parametrize(("old", "new"), [(512, 128), (300, 128), (1000, 256)])
def test_white_stays_within_range(old, new):
    assert resize_image(torch.ones(3, old, old), new, new).max() == 1


def test_resize_refuses_to_lose_all_depth():
    mask = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    mask[0, 0, 0] = True
    with pytest.raises(InputError, match=r"plane.*no valid depth"):
        Resize(4)(plane_sample()._replace(mask=mask))


def test_crop_larger_than_the_picture_is_refused():
    with pytest.raises(InputError, match="49 x 49 pixels out of 64 x 48"):
        CentreCrop(49)(plane_sample())


def test_a_picture_squeezed_to_another_shape_keeps_a_camera_that_is_one():
    assert_pixels_agree(Resize(16, 128)(plane_sample()), 0.2)

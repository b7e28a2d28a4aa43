"""The camera moves with the pixels: whatever is done to the picture, the scene's points stay where they are."""

import random

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import default_collate

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.sample import Sample
from facedepth.transforms import (
    CentreCrop,
    Compose,
    Photometric,
    RandomCrop,
    RandomFlip,
    Resize,
    resize_depth,
    resize_image,
    resize_mask,
)

HEIGHT, WIDTH = 48, 64
NORMAL = torch.tensor([0.3, -0.2, 1.0])  # of the plane n . x = 2, in the camera's frame


def plane_camera() -> Camera:
    K = torch.tensor([[90.0, 0.0, 27.0], [0.0, 80.0, 29.0], [0.0, 0.0, 1.0]])
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([0.1, -0.2, 0.3])
    return Camera(K, pose)


def plane_sample() -> Sample:
    """A slanted plane; the image holds each pixel's own x and y, so that pixels can be traced; a corner is invalid."""
    camera = plane_camera()
    depth = 2 / (camera.rays(HEIGHT, WIDTH) * NORMAL[:, None, None]).sum(dim=0, keepdim=True)
    mask = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    mask[:, :10, :20] = False
    head = mask.clone()
    head[:, 40:] = False
    face = head.clone()
    face[:, :, :30] = False
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    image = torch.stack([x / WIDTH, y / HEIGHT, torch.zeros_like(x)])
    return Sample(image, torch.where(mask, depth, 0.0), mask, head, face, camera, "plane")


def plane_error(sample: Sample, normal: torch.Tensor = NORMAL) -> torch.Tensor:
    """(N,) how far the valid points lie off the plane."""
    points = sample.camera.unproject(sample.depth)
    return ((points * normal[:, None, None]).sum(dim=0, keepdim=True) - 2)[sample.mask].abs()


def interior(sample: Sample) -> Sample:
    """Without the pixels that touch an invalid one, where the nearest value stands in for the blend."""
    holes = torch.nn.functional.max_pool2d((~sample.mask).float(), 3, stride=1, padding=1) > 0
    return sample._replace(mask=sample.mask & ~holes)


def traced_pixels(sample: Sample) -> torch.Tensor:
    """(2, H, W) where the sample's points fall in the picture of the untouched sample, from depth and camera alone."""
    pixels, _ = plane_camera().project(sample.camera.unproject(torch.where(sample.mask, sample.depth, 1.0)))
    return pixels


def assert_pixels_agree(sample: Sample, tolerance: float) -> None:
    """The image says which pixel each one came from, depth and camera say so too."""
    said = sample.image[:2] * torch.tensor([WIDTH, HEIGHT])[:, None, None]
    inside = sample.mask[0].clone()
    inside[[0, -1]] = False  # the antialiased image leans inwards at its edges
    inside[:, [0, -1]] = False
    assert inside.sum() > 50
    assert (said - traced_pixels(sample))[:, inside].abs().max() < tolerance


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


def test_flip_shows_the_mirrored_scene():
    flipped = RandomFlip(1.0)(plane_sample())
    assert plane_error(flipped, NORMAL * torch.tensor([-1, 1, 1])).max() < 1e-5
    assert plane_error(flipped).max() > 0.1
    world, before = (s.camera.to_world(s.camera.unproject(s.depth)) for s in (flipped, plane_sample()))
    assert_close(world, before.flip(-1) * torch.tensor([-1.0, 1, 1])[:, None, None])
    assert not flipped.mask[0, 0, -1]
    assert flipped.mask[0, 0, 0]
    for again, original in zip(RandomFlip(1.0)(flipped)[:5], plane_sample()[:5], strict=True):
        assert_close(again, original)


def test_flip_happens_with_its_probability():
    torch.manual_seed(0)
    corners = [bool(RandomFlip(0.3)(plane_sample()).mask[0, 0, 0]) for _ in range(200)]
    assert 40 <= sum(corners) <= 80
    assert not RandomFlip(0.0)(plane_sample()).mask[0, 0, 0]


def test_random_crop_keeps_scene_and_size_in_range():
    torch.manual_seed(1)
    sides, places = set(), set()
    for _ in range(30):
        cropped = RandomCrop((0.5, 0.9))(plane_sample())
        side = cropped.image.shape[-1]
        assert cropped.image.shape == (3, side, side)
        assert 24 <= side <= 43
        assert plane_error(cropped).max() < 1e-5
        assert_pixels_agree(cropped, 1e-3)
        sides.add(side)
        places.add(cropped.camera.K[0, 2].item())
    assert len(sides) > 8
    assert len(places) > 8


def test_a_crop_larger_than_the_picture_repeats_its_edges_and_knows_no_depth_there():
    torch.manual_seed(2)
    original = plane_sample()
    shifts = set()
    for _ in range(20):
        cropped = RandomCrop((1.5, 1.8))(original)
        side = cropped.image.shape[-1]
        assert cropped.image.shape == (3, side, side)
        assert 72 <= side <= 86
        assert cropped.mask.sum() == original.mask.sum()  # the whole picture is in it, and nothing more is valid
        assert plane_error(cropped).max() < 1e-5
        assert_pixels_agree(cropped, 1e-3)
        left, top = (round((cropped.camera.K[i, 2] - original.camera.K[i, 2]).item()) for i in (0, 1))
        assert left >= 0
        assert top >= 0
        assert_close(cropped.image[:, top : top + HEIGHT, left : left + WIDTH], original.image)
        assert_close(cropped.image[:, 0, 0], original.image[:, 0, 0])
        assert_close(cropped.image[:, -1, -1], original.image[:, -1, -1])
        shifts.add((left, top))
    assert len(shifts) > 10


def test_random_crop_keeps_head_or_returns_the_whole():
    head = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    head[0, 30, 60] = True
    sample = plane_sample()._replace(head=head)
    torch.manual_seed(0)
    sizes = []
    for _ in range(50):
        cropped = RandomCrop((0.1, 0.3))(sample)
        assert cropped.head.any()
        sizes.append(tuple(cropped.image.shape[-2:]))
    assert (HEIGHT, WIDTH) in sizes
    assert min(sizes)[0] <= 14


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.9, 0.8), (-0.5, 1.2)])
def test_random_crop_refuses_scales_that_make_no_sense(scale):
    with pytest.raises(InputError, match="scale"):
        RandomCrop(scale)


AUGMENT = Compose((RandomCrop((0.5, 1.0)), Resize(24), RandomFlip(0.5), Photometric(1.0)))


def test_torchs_seed_fixes_every_random_choice():
    def run(seed: int) -> list[Sample]:
        random.seed(random.random())
        np.random.seed(None)
        torch.manual_seed(seed)
        return [AUGMENT(plane_sample()) for _ in range(12)]

    first, second, other = run(3), run(3), run(4)
    for a, b in zip(first, second, strict=True):
        assert_close(a.image, b.image, rtol=0, atol=0)
        assert_close(a.camera.K, b.camera.K, rtol=0, atol=0)
        assert_close(a.depth, b.depth, rtol=0, atol=0)
    assert all(not torch.equal(a.image, b.image) for a, b in zip(first, other, strict=True))


def test_random_choices_leave_other_generators_alone():
    """Were anything drawn from them, seeding torch would not be enough."""
    random.seed(0)
    np.random.seed(0)
    python_state, numpy_state = random.getstate(), np.random.get_state()[1].tolist()
    torch.manual_seed(0)
    for _ in range(40):
        AUGMENT(plane_sample())
    assert random.getstate() == python_state
    assert np.random.get_state()[1].tolist() == numpy_state


def test_photometric_changes_the_image_alone_and_within_range():
    torch.manual_seed(0)
    sample = plane_sample()
    grey = 0
    for _ in range(60):
        changed = Photometric(1.0)(sample)
        assert not torch.equal(changed.image, sample.image)
        assert changed.image.dtype == torch.float32
        assert changed.image.min() >= 0
        assert changed.image.max() <= 1
        assert changed[1:5] == sample[1:5]
        assert changed.camera is sample.camera
        grey += bool((changed.image.std(dim=0) < 0.02).all())
    assert 0 < grey < 30


def test_photometric_strength():
    sample = plane_sample()
    assert Photometric(0.0)(sample) is sample

    def change(strength: float) -> float:
        torch.manual_seed(0)
        changed = [Photometric(strength)(sample).image for _ in range(30)]
        return float((torch.stack(changed) - sample.image).abs().mean())

    assert 0 < change(0.1) < 0.5 * change(1.0)
    with pytest.raises(InputError, match="strength"):
        Photometric(1.5)


def test_samples_make_a_batch_of_the_same_type():
    samples = [Resize(24)(plane_sample()), RandomFlip(1.0)(Resize(24)(plane_sample()))]
    batch = default_collate(samples)
    assert isinstance(batch, Sample)
    assert isinstance(batch.camera, Camera)
    assert batch.image.shape == (2, 3, 24, 24)
    assert batch.mask.dtype == torch.bool
    assert batch.camera.K.shape == (2, 3, 3)
    assert list(batch.name) == ["plane", "plane"]
    assert_close(batch.depth[1], samples[1].depth)

"""Flips, random crops and changes of light: the scene stays where it is, and chance can be repeated."""

import random

import numpy as np
import pytest
import torch
from planes import HEIGHT, NORMAL, WIDTH, assert_pixels_agree, plane_error, plane_sample
from torch.testing import assert_close
from torch.utils.data import default_collate

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.sample import Sample
from facedepth.transforms import CentreCrop, Compose, Photometric, RandomCrop, RandomFlip, Resize


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


def test_random_crop_keeps_head_or_is_the_largest_square_around_it():
    head = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    head[0, 30, 60] = True
    sample = plane_sample()._replace(head=head)
    torch.manual_seed(0)
    sizes = []
    for _ in range(50):
        cropped = RandomCrop((0.1, 0.3))(sample)
        assert cropped.head.any()
        sizes.append(tuple(cropped.image.shape[-2:]))
    assert (HEIGHT, HEIGHT) in sizes
    assert min(sizes)[0] <= 14


@pytest.mark.parametrize("column", [2, 20, 61])
def test_a_small_head_at_the_side_of_a_wide_picture_is_not_lost(column):
    """Squares of its height that do not show it are likely, and its middle square does not."""
    head = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    head[0, 20:24, column - 2 : column + 2] = True
    sample = plane_sample()._replace(head=head)
    transform = Compose((RandomCrop((0.1, 0.3)), CentreCrop(), Resize(24)))
    torch.manual_seed(0)
    for _ in range(100):
        assert transform(sample).head.any()


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


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Resize(0), "height"), (lambda: Resize(8, 2.5), "width"), (lambda: CentreCrop(0), "size"),
        (lambda: RandomFlip(2), "p"), (lambda: RandomFlip(-0.1), "p"),
    ],
)
def test_numbers_that_make_no_transform_are_refused(make, named):
    with pytest.raises(InputError, match=f"^{named}: expected "):
        make()

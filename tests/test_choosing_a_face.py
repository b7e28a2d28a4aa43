"""Which face of a photo is taken, and what is said of it."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from maps import rand
from PIL import Image

from facedepth.camera import Crop
from facedepth.checks import InputError
from facedepth.framing import cut
from facedepth.io import image_from_pil, read_image
from facedepth.prediction.photos import choose_crop
from facedepth.synthetic import SyntheticFaces
from facedepth.synthetic.portrait import make_portrait, picture_entropy

ASTRONAUT = Path(__file__).parents[1] / "assets" / "astronaut.png"


def two_portraits(*, width: int) -> torch.Tensor:
    """A large portrait, and beside it the same one so wide."""
    photo = torch.full((3, 384, 800), 0.5)
    portrait = cut(read_image(ASTRONAUT), Crop(64, 0, 320), 384)
    photo[:, :, :384] = portrait
    photo[:, :width, 400 : 400 + width] = torch.nn.functional.interpolate(portrait[None], size=width, mode="area")[0]
    return photo


def test_of_two_faces_the_largest_is_taken_with_a_word_on_the_other(recwarn):
    photo = two_portraits(width=320)
    told = r"2 faces seen, the largest is taken; for the others: --crop=(.+) \(in Python, crop=\((.+)\)\)$"
    with pytest.warns(UserWarning, match=told) as caught:
        crop = choose_crop(photo, "face")
    command, python = re.search(told, str(caught[0].message)).groups()
    assert command == python
    other = choose_crop(photo, [int(number) for number in command.split(",")])
    assert other.left + other.size / 2 > 384 > crop.left + crop.size / 2
    recwarn.clear()
    choose_crop(two_portraits(width=128), "face")  # somebody behind
    assert not recwarn


def test_of_many_faces_the_message_names_a_few():
    photo = two_portraits(width=384)[:, :, :384]
    photo = torch.nn.functional.interpolate(photo[None], size=(200, 200), mode="area")[0].repeat(1, 3, 3)
    told = r"^photo: 9 faces seen.*: (--crop=\S+, ){4}--crop=\S+ and 3 more \(in Python"
    with pytest.warns(UserWarning, match=told) as caught:
        choose_crop(photo, "face")
    assert len(caught) == 1


def test_the_square_of_another_tilted_face_is_told_with_its_tilt(recwarn):
    photo = Image.open(ASTRONAUT).convert("RGB").crop((80, 0, 400, 320))
    beside = photo.rotate(-30, resample=Image.Resampling.BICUBIC, fillcolor=(150, 140, 140)).resize((280, 280))
    both = Image.new("RGB", (640, 320), (150, 140, 140))
    both.paste(photo, (0, 0))
    both.paste(beside, (340, 20))
    image = image_from_pil(both)
    with pytest.warns(UserWarning, match=r"2 faces seen.*--crop=\d+,-?\d+,\d+,(2|3)\d ") as caught:
        choose_crop(image, "face")
    told = [float(number) for number in re.search(r"--crop=([-0-9,]+)", str(caught[0].message))[1].split(",")]
    crop = choose_crop(image, told)
    assert crop == Crop(*map(int, told[:3]), told[3])


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_that_is_not_upright_is_told_of_and_of_nothing_else(quarters, recwarn):
    photo = read_image(ASTRONAUT)
    choose_crop(photo, "face")
    assert not recwarn
    lies = "stands on its head" if quarters == 2 else "lies on its side"
    with pytest.warns(UserWarning, match=f"^photo: the face {lies}; .* rotate the photo to have it stand$") as caught:
        choose_crop(photo.rot90(quarters, (1, 2)), "face")
    assert len(caught) == 1  # from the front: what its eyes look like lying down does not count


@pytest.mark.filterwarnings("error", "ignore:Open3D was built with CUDA:ImportWarning")
def test_a_head_turned_far_to_a_side_is_told_of():
    front, side = (synthetic_at(yaw_deg) for yaw_deg in (30.0, 80.0))
    choose_crop(front, "face")
    with pytest.warns(UserWarning, match="^photo: the face is turned far to a side"):
        choose_crop(side, "face")


def synthetic_at(yaw_deg: float) -> torch.Tensor:
    """A synthetic face seen from an angle of our own choice."""
    person, scenery = SyntheticFaces(1, size=192, seed=77).describe(0)
    shot = dataclasses.replace(scenery.shot, yaw_deg=yaw_deg)
    picture, _, _ = make_portrait(person, dataclasses.replace(scenery, shot=shot), 192, picture_entropy(77, 0))
    return torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255


@pytest.mark.parametrize(
    "part", [np.s_[:, :, 225:], np.s_[:, :400, 215:], np.s_[:, 110:, 210:], np.s_[:, 110:], np.s_[:, :150]]
)
def test_a_face_cut_off_by_the_photos_edge_is_told_of(part):
    """Half of it, a little more of a smaller photo, a corner, from the brows down, to the lips."""
    cut_off = read_image(ASTRONAUT)[part]
    with pytest.warns(UserWarning, match="^photo: the face is cut off by the photo's edge, or nearly"):
        choose_crop(cut_off, "face")


def test_a_face_of_few_pixels_is_told_of():
    photo = read_image(ASTRONAUT)
    small = cut(photo, Crop(0, 0, 512), 128)
    with pytest.warns(UserWarning, match="^photo: the face's square is [45][0-9] pixels wide, too few to see much in"):
        choose_crop(small, "face")


@pytest.mark.parametrize("crop", [(1, 2), (1, 2, 30, 4, 5), (1, 2, 30, float("nan"))])
def test_no_square(crop):
    with pytest.raises(InputError, match="crop: expected 'face', 'none' or"):
        choose_crop(rand(3, 60, 60), crop)

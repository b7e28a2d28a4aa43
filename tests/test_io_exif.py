"""What a photo's EXIF says: which way is up, and its focal length."""

import numpy as np
import pytest
import torch
from pictures import RGB, as_tensor, saved
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from torch.testing import assert_close

from facedepth.io import focal_from_exif, read_image, read_mask

ORIENTATION, EXIF_IFD, FOCAL_35MM = 0x0112, 0x8769, 0xA405


# --- which way is up

UPRIGHT = {  # EXIF orientation -> what must be done to the stored array to see it upright
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),  # the top of the scene is at the right of the stored picture
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_are_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    assert_close(read_image(tmp_path / "turned.png"), as_tensor(UPRIGHT[orientation](RGB).copy()))


def test_a_mask_by_opacity_is_turned_upright_as_the_photo_is(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pixels = np.full((2, 3, 4), 255, np.uint8)
    pixels[0, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert read_mask(tmp_path / "turned.png").tolist() == [[[True, False]] * 3]


@pytest.mark.parametrize("exif", [b"Exif\x00\x00not a TIFF", b"Exif\x00\x00II*\x00\x08\x00"])
@pytest.mark.parametrize("ending", ["png", "webp"])
def test_damaged_exif_turns_nothing(tmp_path, ending, exif):
    path = tmp_path / f"photo.{ending}"
    Image.fromarray(RGB).save(path, exif=exif, lossless=True)
    assert_close(read_image(path), as_tensor(RGB))
    assert focal_from_exif(path) is None


def test_a_mask_by_opacity_with_damaged_exif_is_read(tmp_path):
    pixels = np.zeros((6, 8, 4), np.uint8)
    pixels[:3, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=b"Exif\0\0garbage!")
    assert_close(read_mask(tmp_path / "a.png")[0], torch.from_numpy(pixels[..., 3] > 0))


# --- focal length


def test_focal_length_from_exif_is_that_of_the_same_diagonal_on_film(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 54
    for size, focal in (((600, 400), 900), ((400, 600), 900), ((400, 300), 54 * 500 / 43.2666)):  # 54 / 36 * 600
        Image.new("RGB", size).save(tmp_path / "photo.jpg", exif=exif)
        assert focal_from_exif(tmp_path / "photo.jpg") == pytest.approx(focal)


@pytest.mark.parametrize(
    ("told", "known"), [((3000, 2000), True), ((2000, 3000), True), ((0, 0), True), ((4000, 3000), False)]
)
def test_what_was_cut_out_of_a_photo_of_other_proportions_does_not_know_its_focal_length(tmp_path, told, known):
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update({FOCAL_35MM: 54, 0xA002: told[0], 0xA003: told[1]})
    Image.new("RGB", (600, 400)).save(tmp_path / "photo.jpg", exif=exif)
    assert focal_from_exif(tmp_path / "photo.jpg") == (pytest.approx(900) if known else None)


def test_an_opened_picture_says_its_focal_length_too(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 54
    Image.new("RGB", (600, 400)).save(tmp_path / "photo.jpg", exif=exif)
    with Image.open(tmp_path / "photo.jpg") as picture:
        assert focal_from_exif(picture) == pytest.approx(900)
        assert picture.getpixel((0, 0)) == (0, 0, 0)  # still open


@pytest.mark.parametrize("damaged", ["abc", (24, 24), IFDRational(0, 0), IFDRational(1, 0), -3])
def test_a_damaged_focal_length_is_none(tmp_path, damaged):
    picture = Image.new("RGB", (8, 8))
    picture.getexif().get_ifd(EXIF_IFD)[FOCAL_35MM] = damaged
    assert focal_from_exif(picture) is None


def test_where_exif_says_no_focal_length_there_is_none(tmp_path):
    assert focal_from_exif(saved(tmp_path, Image.fromarray(RGB))) is None
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 0  # "unknown", says the EXIF standard
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg", exif=exif)
    assert focal_from_exif(tmp_path / "photo.jpg") is None

"""Pictures and depth in every form users have them, damaged ones too; what is written appears whole or not at all."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.io import (
    focal_from_exif,
    image_from_pil,
    image_to_uint8,
    read_array,
    read_depth,
    read_image,
    read_mask,
    read_values,
    write_depth,
    write_image,
)
from facedepth.models import load_model
from facedepth.paths import atomic_path, check_writable, refuse_existing

# Two rows, three columns, no two pixels alike.
RGB = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [200, 150, 100], [0, 128, 255]]], dtype=np.uint8
)
ORIENTATION, EXIF_IFD, FOCAL_35MM = 0x0112, 0x8769, 0xA405


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


def saved(folder: Path, picture: Image.Image, name: str = "picture.png") -> Path:
    picture.save(folder / name)
    return folder / name


# --- pictures


def as_grey(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).float().expand(3, -1, -1)


def test_rgb_is_channels_first_in_0_to_1(tmp_path):
    image = read_image(saved(tmp_path, Image.fromarray(RGB)))
    assert image.dtype == torch.float32
    assert_close(image, as_tensor(RGB))
    assert_close(image[:, 0, 2], torch.tensor([0.0, 0.0, 1.0]))  # row 0, column 2 is blue


def test_grey(tmp_path):
    grey = np.array([[0, 51, 255], [102, 1, 2]], np.uint8)
    image = read_image(saved(tmp_path, Image.fromarray(grey)))
    assert_close(image, torch.from_numpy(grey / np.float32(255)).expand(3, -1, -1))


def test_16_bit_grey_keeps_its_16_bits(tmp_path):
    grey = np.array([[0, 257, 65535], [1, 32768, 40000]], np.uint16)
    image = read_image(saved(tmp_path, Image.fromarray(grey)))
    assert_close(image, torch.from_numpy(grey / np.float32(65535)).expand(3, -1, -1))
    assert image[0, 1, 0] > 0  # 1 of 65535 is lost where the picture becomes 8-bit on the way


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.dstack([RGB, np.array([[255, 0, 51], [255, 255, 255]], np.uint8)])
    image = read_image(saved(tmp_path, Image.fromarray(rgba)))
    assert_close(image[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    assert_close(image[:, 0, 1], torch.ones(3))  # wholly transparent green
    assert_close(image[:, 0, 2], torch.tensor([0.8, 0.8, 1.0]))  # a fifth of blue over four fifths of white


def test_transparency_of_grey_and_of_a_palette_entry(tmp_path):
    grey = Image.fromarray(np.array([[[0, 0], [0, 255]]], np.uint8), "LA")
    assert_close(read_image(saved(tmp_path, grey))[0, 0], torch.tensor([1.0, 0.0]))

    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([200, 0, 0, 0, 100, 0])
    path = tmp_path / "palette.png"
    palette.save(path, transparency=0)
    assert_close(read_image(path)[:, 0], torch.tensor([[1.0, 0], [1, 100 / 255], [1, 0]]))


def test_palette(tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    image = read_image(saved(tmp_path, palette))
    assert_close(image[:, 0, 2], torch.tensor([10.0, 20, 30]) / 255)
    assert_close(image[:, 1, 2], torch.tensor([1.0, 0, 0]))


def test_black_and_white(tmp_path):
    bits = Image.fromarray(np.array([[True, False, True]]))
    assert_close(read_image(saved(tmp_path, bits))[0], torch.tensor([[1.0, 0, 1]]))


def test_cmyk(tmp_path):
    # Naive separation: R = (255 - C) (255 - K) / 255.
    cmyk = Image.fromarray(np.array([[[0, 255, 255, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), "CMYK")
    image = read_image(saved(tmp_path, cmyk, "picture.tif"))
    assert_close(image[:, 0].T, torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]]))


def test_grey_floats_and_32_bits_keep_their_values(tmp_path):
    values = np.array([[0, 0.25, 1]], np.float32)
    assert_close(read_image(saved(tmp_path, Image.fromarray(values), "f.tif")), as_grey(values))
    wide = (values * 65535).astype(np.int32)
    assert_close(read_image(saved(tmp_path, Image.fromarray(wide), "i.tif")), as_grey(wide / 65535), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("values", "most"),
    [([[0, 1.5]], 1), ([[-0.1, 1]], 1), ([[0, np.nan]], 1), ([[0, 65536]], 65535), ([[-1, 5]], 65535)],
)
def test_grey_values_out_of_range_are_refused(tmp_path, values, most):
    stored = np.array(values, np.float32 if most == 1 else np.int32)
    path = saved(tmp_path, Image.fromarray(stored), "wide.tif")
    with pytest.raises(InputError, match=rf"wide\.tif: expected grey values from 0 to {most} in a picture of mode"):
        read_image(path)


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
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    assert_close(read_image(tmp_path / "turned.png"), as_tensor(UPRIGHT[orientation](RGB).copy()))


@pytest.mark.parametrize("exif", [b"Exif\x00\x00not a TIFF", b"Exif\x00\x00II*\x00\x08\x00"])
@pytest.mark.parametrize("ending", ["png", "webp"])
def test_damaged_exif_turns_nothing(tmp_path, ending, exif):
    path = tmp_path / f"photo.{ending}"
    Image.fromarray(RGB).save(path, exif=exif, lossless=True)
    assert_close(read_image(path), as_tensor(RGB))
    assert focal_from_exif(path) is None


def test_pil_pictures_of_every_mode_that_files_have():
    for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"):
        assert image_from_pil(Image.new(mode, (5, 4))).shape == (3, 4, 5), mode


def test_image_to_uint8_rounds_and_clamps():
    values = torch.tensor([-0.5, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 3.0])
    pixels = image_to_uint8(values.expand(3, 1, -1))
    assert pixels.dtype == np.uint8
    assert pixels[0, :, 1].tolist() == [0, 0, 0, 1, 255, 255]


def test_a_picture_written_is_the_picture_read(tmp_path):
    write_image(tmp_path / "new" / "folder" / "picture.png", RGB)
    assert (image_to_uint8(read_image(tmp_path / "new" / "folder" / "picture.png")) == RGB).all()


def test_a_mask_is_what_is_brighter_than_half(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)))
    assert read_mask(path).tolist() == [[[False, False, True, True]]]


@pytest.mark.parametrize("brightness", [0, 255])
def test_a_cut_out_on_transparent_ground_is_a_mask_by_its_opacity(tmp_path, brightness):
    pixels = np.full((1, 3, 4), brightness, np.uint8)
    pixels[0, :, 3] = 0, 200, 255
    assert read_mask(saved(tmp_path, Image.fromarray(pixels))).tolist() == [[[False, True, True]]]
    pixels[0, :, 3] = 255  # transparency that says nothing
    pixels[0, 0, :3] = 255 - brightness
    assert read_mask(saved(tmp_path, Image.fromarray(pixels)))[0, 0].tolist() == [not brightness, *[brightness > 0] * 2]


def test_a_mask_by_opacity_with_damaged_exif_is_read(tmp_path):
    pixels = np.zeros((6, 8, 4), np.uint8)
    pixels[:3, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=b"Exif\0\0garbage!")
    assert_close(read_mask(tmp_path / "a.png")[0], torch.from_numpy(pixels[..., 3] > 0))


def test_a_mask_by_opacity_is_turned_upright_as_the_photo_is(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pixels = np.full((2, 3, 4), 255, np.uint8)
    pixels[0, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert read_mask(tmp_path / "turned.png").tolist() == [[[True, False]] * 3]


# --- damaged pictures


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'none.png'}: no such file")):
        read_image(tmp_path / "none.png")


def test_a_folder_for_a_file(tmp_path):
    with pytest.raises(InputError, match="a folder, expected a file"):
        read_image(tmp_path)


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match=r"empty.png: the file is empty \(0 bytes\); was its download"):
        read_image(tmp_path / "empty.png")


def test_a_text_named_png(tmp_path):
    (tmp_path / "text.png").write_text("no picture at all")
    with pytest.raises(InputError, match=r"text.png: not a picture, whatever its name says"):
        read_image(tmp_path / "text.png")


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.fromarray(RGB))

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refused)
    with pytest.raises(InputError, match=rf"{path.name}: may not be read \(Permission denied\)"):
        read_image(path)


def test_a_tiff_of_64_bits_is_told_from_no_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "depth.tif"), np.ones((20, 20)))
    with pytest.raises(InputError, match=r"depth\.tif: a damaged TIFF, or in an unsupported number format"):
        read_values(tmp_path / "depth.tif")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's word on the cut .tif
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_a_picture_cut_short_anywhere_is_refused_by_name(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
    whole = saved(tmp_path, Image.fromarray(noise), f"whole{suffix}").read_bytes()
    cut = tmp_path / f"cut{suffix}"
    # From inside the header to inside the pixels: the last bytes may hold nothing that is needed.
    for kept in {2, 20, 40, len(whole) // 3, len(whole) // 2, len(whole) * 3 // 4}:
        cut.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=rf"cut{suffix}: (a damaged (picture|TIFF)|not a picture)"):
            read_image(cut)


def test_a_truncated_png_is_called_damaged(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"picture.png: a damaged picture \("):
        read_image(path)


def test_a_picture_that_would_fill_the_memory(tmp_path):
    # A header that promises 100,000 x 100,000 pixels.
    path = saved(tmp_path, Image.new("1", (8, 8)), "bomb.bmp")
    header = bytearray(path.read_bytes())
    header[18:22] = header[22:26] = (100_000).to_bytes(4, "little")
    path.write_bytes(header)
    with pytest.raises(InputError, match=r"bomb.bmp: more than [\d,]+ pixels; make it smaller"):
        read_image(path)


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


def test_no_focal_length_in_exif(tmp_path):
    assert focal_from_exif(saved(tmp_path, Image.fromarray(RGB))) is None
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 0  # "unknown", says the EXIF standard
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg", exif=exif)
    assert focal_from_exif(tmp_path / "photo.jpg") is None


# --- depth


METRES = np.array([[1.5, 0.25, 2.0], [np.nan, 3.0, 0.5]], np.float32)
EXPECTED = torch.tensor([[[1.5, 0.25, 2.0], [0.0, 3.0, 0.5]]])


def test_depth_from_npy_and_npz(tmp_path):
    np.save(tmp_path / "a.npy", METRES)
    np.save(tmp_path / "b.npy", METRES[None].astype(np.float64))
    np.save(tmp_path / "c.npy", METRES[..., None])
    np.savez(tmp_path / "d.npz", METRES)
    np.savez_compressed(tmp_path / "e.npz", other=np.zeros(3), depth=METRES)
    for name in ("a.npy", "b.npy", "c.npy", "d.npz", "e.npz"):
        depth = read_depth(tmp_path / name)
        assert depth.dtype == torch.float32
        assert_close(depth, EXPECTED)


def test_depth_from_16_bit_png_in_millimetres(tmp_path):
    stored = np.array([[1500, 250, 2000], [0, 3000, 65535]], np.uint16)
    depth = read_depth(saved(tmp_path, Image.fromarray(stored)), unit="mm")
    assert_close(depth, torch.tensor([[[1.5, 0.25, 2.0], [0.0, 3.0, 65.535]]]))


def test_depth_from_tiff_float_and_16_bit(tmp_path):
    assert_close(read_depth(saved(tmp_path, Image.fromarray(METRES), "float.tiff")), EXPECTED)
    stored = np.array([[150, 25]], np.uint16)
    assert_close(
        read_depth(saved(tmp_path, Image.fromarray(stored), "cm.tif"), unit="cm"), torch.tensor([[[1.5, 0.25]]])
    )


def test_three_equal_channels_count_as_one(tmp_path):
    grey = np.array([[0, 7, 255], [1, 2, 3]], np.uint8)
    path = saved(tmp_path, Image.fromarray(np.repeat(grey[..., None], 3, axis=2)))
    assert read_values(path).tolist() == grey.tolist()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_three_channels_of_16_bits_keep_their_16_bits(tmp_path, suffix):
    stored = np.arange(600, 600 + 35, dtype=np.uint16).reshape(5, 7)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), np.dstack([stored] * 3))
    np.testing.assert_array_equal(read_values(tmp_path / f"a{suffix}"), stored)


def test_a_palette_is_read_by_its_colours_not_its_numbers(tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2], [2, 0, 0]], np.uint8), "P")
    palette.putpalette([90, 90, 90, 7, 7, 7, 255, 255, 255])
    assert read_values(saved(tmp_path, palette)).tolist() == [[90, 7, 255], [255, 90, 90]]


def test_a_colour_picture_is_no_depth(tmp_path):
    with pytest.raises(InputError, match=r"picture.png: expected one channel, got an array of shape \(2, 3, 3\)"):
        read_values(saved(tmp_path, Image.fromarray(RGB)))


def test_units(tmp_path):
    np.save(tmp_path / "two.npy", np.full((1, 1), 2))
    expected = {"m": 2.0, "cm": 0.02, "mm": 0.002, 0.5: 1.0}
    assert {unit: read_depth(tmp_path / "two.npy", unit).item() for unit in expected} == pytest.approx(expected)
    with pytest.raises(InputError, match=r"unit: expected one of m, cm, mm or a number of metres, got 'inch'"):
        read_depth("any.npy", unit="inch")


def test_infinite_depth_is_invalid(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[np.inf, -np.inf, 1.0]]))
    assert read_depth(tmp_path / "a.npy").tolist() == [[[0, 0, 1]]]


@pytest.mark.parametrize("nothing", [np.nan, np.inf, 0.0])
def test_depth_without_a_valid_pixel(tmp_path, nothing):
    np.save(tmp_path / "a.npy", np.full((4, 4), nothing))
    with pytest.raises(InputError, match=r"a.npy: no valid depth: every pixel is 0, NaN or inf"):
        read_depth(tmp_path / "a.npy")


def test_negative_depth(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1.0, -1.0, -2.0]]))
    with pytest.raises(InputError, match=r"a.npy: depth must not be negative; 2 pixels are. Is it inverted\?"):
        read_depth(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"expected a map of shape \(H, W\), got \(5,\)"),
        (np.zeros((0, 5)), r"expected a map of shape \(H, W\), got \(0, 5\)"),
        (np.zeros((2, 2), bool), "expected numbers, got an array of bool"),
        (np.zeros((2, 2), complex), "expected numbers, got an array of complex128"),
        (np.array([["a"]]), "expected numbers, got an array of <U1"),
    ],
)
def test_arrays_that_are_no_depth_map(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=message):
        read_values(tmp_path / "a.npy")


def test_an_unknown_suffix(tmp_path):
    (tmp_path / "depth.pfm").write_bytes(b"x")
    with pytest.raises(InputError, match=r"expected one of .npy, .npz, .png, .tif, .tiff, .exr, got .pfm"):
        read_values(tmp_path / "depth.pfm")


def test_an_npz_of_several_arrays_must_say_which(tmp_path):
    np.savez(tmp_path / "a.npz", left=np.ones(1), right=np.ones(1))
    with pytest.raises(InputError, match=r"a.npz: expected one array or one called 'depth', got left, right"):
        read_array(tmp_path / "a.npz")


def test_an_empty_npy(tmp_path):
    (tmp_path / "a.npy").touch()
    with pytest.raises(InputError, match=r"a.npy: the file is empty \(0 bytes\)"):
        read_depth(tmp_path / "a.npy")


def test_python_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"code": "runs"}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"a.npy: not a readable NumPy file \(Object arrays cannot be loaded"):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_damaged_array_gives_an_input_error_and_nothing_else(tmp_path, suffix):
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, rng.random((6, 7)))
    else:
        np.savez_compressed(path, depth=rng.random((6, 7)))
    whole = path.read_bytes()
    damaged = [whole[:kept] for kept in range(1, len(whole) - 1, 7)]
    for _ in range(400):
        flipped = bytearray(whole)
        for place in rng.integers(0, len(whole), 2):
            flipped[place] = rng.integers(256)
        damaged.append(bytes(flipped))
    messages = []
    for content in damaged:
        path.write_bytes(content)
        try:
            read_array(path)  # some damage only changes a number
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(message.startswith(f"{path}: ") for message in messages)


def test_depth_written_is_the_depth_read_with_nan_outside_the_mask(tmp_path):
    depth = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    mask = torch.tensor([[[True, False, True], [True, True, False]]])
    write_depth(tmp_path / "out" / "a.npy", depth, mask)
    stored = np.load(tmp_path / "out" / "a.npy")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, [[1, np.nan, 3], [4, 5, np.nan]])
    assert_close(read_depth(tmp_path / "out" / "a.npy"), torch.where(mask, depth, 0.0))


# --- atomic writes


def write_half(target: Path) -> None:
    before = target.read_text() if target.exists() else None
    with atomic_path(target) as temporary:
        temporary.write_text("half of the new")
        assert (target.read_text() if target.exists() else None) == before
        _ = 1 / 0


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failing_first_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="unknown file extension"):
        write_image(tmp_path / "a.unknown", RGB)
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "b.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_good_write_replaces_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "a.txt"
    for text in ("first", "second"):
        with atomic_path(target) as temporary:
            assert temporary.parent == target.parent  # the same file system, so that the replacement is atomic
            assert temporary.suffix == ".txt"  # libraries choose the format by it
            temporary.write_text(text)
        assert target.read_text() == text
        assert list(target.parent.iterdir()) == [target]


def test_who_reads_while_it_is_replaced_reads_the_old_file_to_its_end(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("the old one")
    with open(target) as reader:
        with atomic_path(target) as temporary:
            temporary.write_text("new")
        assert reader.read() == "the old one"
    assert target.read_text() == "new"


def test_existing_files_are_refused_by_name_unless_told(tmp_path):
    paths = [tmp_path / f"{index}.txt" for index in range(5)]
    refuse_existing(paths, overwrite=False)
    for path in paths[1:]:
        path.touch()
    with pytest.raises(InputError, match=r"1\.txt, .*2\.txt, .*3\.txt and 1 more: already there; choose another place"):
        refuse_existing(paths, overwrite=False)
    refuse_existing(paths, overwrite=True)


def test_threads_that_write_the_same_file_leave_a_whole_one(tmp_path):
    depth = torch.ones(1, 64, 64)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: write_depth(tmp_path / "depth.npy", depth, depth > 0), range(64)))
    assert [path.name for path in tmp_path.iterdir()] == ["depth.npy"]
    assert_close(read_depth(tmp_path / "depth.npy"), depth)


@pytest.mark.parametrize("name", ["photo.jpg", "depth.npy"])
def test_a_pointer_in_the_place_of_a_file_is_called_one(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3\n")
    read = read_image if name.endswith("jpg") else read_values
    with pytest.raises(InputError, match=rf"{name}: a Git LFS pointer, not the file itself; run `git lfs pull`"):
        read(tmp_path / name)


def test_files_in_the_users_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_image("~/new/grey.png", np.full((20, 20, 3), 51, np.uint8))
    assert_close(read_image("~/new/grey.png"), torch.full((3, 20, 20), 0.2))
    assert focal_from_exif("~/new/grey.png") is None
    check_writable("~/new/newer")
    with pytest.raises(InputError, match=r"grey\.png: already there"):
        refuse_existing([Path("~/new/grey.png")], overwrite=False)
    assert not Path("~").exists()


@pytest.mark.parametrize("name", ["array.npy", "weights.safetensors", "weights.pt"])
def test_a_file_that_may_not_be_read_is_refused_in_words(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"something")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    for opener in ("builtins.open", "numpy.load", "facedepth.models.states.safe_open", "torch.load"):
        monkeypatch.setattr(opener, refused)
    with pytest.raises(InputError, match=rf"{name}: .*Permission denied"):
        (read_array if name.endswith(".npy") else load_model)(tmp_path / name)

"""Pictures and masks in every form users have them, read and written."""

import struct

import numpy as np
import pytest
import torch
from pictures import RGB, as_tensor, saved
from PIL import Image, ImageCms
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.io import image_from_pil, image_to_uint8, read_image, read_mask, write_depth, write_image


def as_grey(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).float().expand(3, -1, -1)


# --- pictures


def test_rgb_is_channels_first_in_0_to_1(tmp_path):
    image = read_image(saved(tmp_path, Image.fromarray(RGB)))
    assert image.dtype == torch.float32
    assert_close(image, as_tensor(RGB))
    assert_close(image[:, 0, 2], torch.tensor([0.0, 0.0, 1.0]))  # row 0, column 2 is blue


def test_grey_is_the_same_in_all_channels(tmp_path):
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


def test_a_palette_gives_its_colours(tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    image = read_image(saved(tmp_path, palette))
    assert_close(image[:, 0, 2], torch.tensor([10.0, 20, 30]) / 255)
    assert_close(image[:, 1, 2], torch.tensor([1.0, 0, 0]))


def test_black_and_white_is_0_and_1(tmp_path):
    bits = Image.fromarray(np.array([[True, False, True]]))
    assert_close(read_image(saved(tmp_path, bits))[0], torch.tensor([[1.0, 0, 1]]))


def test_cmyk_becomes_rgb(tmp_path):
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


# --- masks


def test_depth_is_written_as_npy_alone(tmp_path):
    depth = torch.ones(1, 4, 6)
    for suffix in (".png", ".exr", ""):
        with pytest.raises(InputError, match=r"depth is written as \.npy"):
            write_depth(tmp_path / f"depth{suffix}", depth, depth > 0)
    assert not list(tmp_path.iterdir())


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


# --- colour profiles


def swapped_profile() -> bytes:
    """The profile of a picture whose first channel is sRGB's blue and whose third is its red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")


def linear_grey_profile() -> bytes:
    """The profile of a grey picture whose values are proportional to light."""
    white = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * value) for value in (0.9642, 1, 0.8249)))
    line = b"curv" + bytes(8)
    table = struct.pack(">I", 2) + b"wtpt" + struct.pack(">2I", 156, len(white))
    table += b"kTRC" + struct.pack(">2I", 156 + len(white), len(line))
    length = 128 + len(table) + len(white) + len(line)
    header = struct.pack(">I4x", length) + bytes.fromhex("02100000") + b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    return header + white[8:] + bytes(48) + table + white + line


@pytest.mark.parametrize(
    ("name", "mode"), [("p.png", "RGB"), ("p.png", "RGBA"), ("p.tif", "RGB"), ("p.png", "P"), ("p.png", "PA")]
)
def test_colours_are_those_that_the_picture_s_profile_means(tmp_path, name, mode):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 24, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:9, :, 3] = 100
    picture = Image.fromarray(pixels[..., : 3 if mode in ("RGB", "P") else 4])
    if mode.startswith("P"):
        picture = picture.quantize()  # colours of a palette, and their transparency
        assert picture.has_transparency_data == (mode == "PA")
    plain = image_from_pil(picture)
    picture.save(tmp_path / name, icc_profile=swapped_profile())
    assert_close(read_image(tmp_path / name), plain.flip(0), atol=1.5 / 255, rtol=0)


def test_one_colour_may_be_transparent_and_there_be_a_profile(tmp_path):
    pixels = np.full((20, 24, 3), (10, 20, 200), np.uint8)
    pixels[:9] = 90, 60, 30
    Image.fromarray(pixels).save(tmp_path / "p.png", icc_profile=swapped_profile(), transparency=(90, 60, 30))
    image = image_to_uint8(read_image(tmp_path / "p.png"))
    assert image[0, 0].tolist() == [255, 255, 255]
    assert_close(image[9, 0].astype(float), np.array([200.0, 20, 10]), atol=1.5, rtol=0)


def test_grey_is_that_which_the_picture_s_profile_means(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(pixels).save(tmp_path / "p.png", icc_profile=linear_grey_profile())
    light = pixels / 255
    srgb = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    image = read_image(tmp_path / "p.png")
    assert (image == image[:1]).all()
    assert_close(image[0, 1:], torch.from_numpy(srgb).float()[1:], atol=2 / 255, rtol=0)  # above black


def test_a_profile_takes_no_transparency_off_a_grey_picture(tmp_path):
    picture = Image.fromarray(np.full((20, 24), 90, np.uint8))
    picture.save(tmp_path / "p.png", icc_profile=linear_grey_profile(), transparency=90)
    assert (read_image(tmp_path / "p.png") == 1).all()


def test_a_mask_s_levels_are_no_colours(tmp_path):
    picture = Image.fromarray(np.array([[0, 100, 200, 255]], np.uint8))
    picture.save(tmp_path / "p.png", icc_profile=linear_grey_profile())
    assert read_mask(tmp_path / "p.png").tolist() == [[[False, False, True, True]]]


def test_a_damaged_profile_is_passed_over(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8))
    picture.save(tmp_path / "p.png", icc_profile=swapped_profile()[:200])
    assert_close(read_image(tmp_path / "p.png"), image_from_pil(picture))


def test_a_mask_whose_opacity_says_nothing_is_read_by_its_colours(tmp_path):
    """As programs write it that fill in a fourth channel and leave it 0."""
    levels = np.zeros((20, 30, 4), np.uint8)
    levels[:10, :, :3] = 255
    Image.fromarray(levels).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask[:, :10].all()
    assert not mask[:, 10:].any()


def test_a_mask_of_16_bits_keeps_them_whatever_level_is_transparent(tmp_path):
    ramp = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    Image.fromarray(ramp).save(tmp_path / "mask.png", transparency=7)
    assert int(read_mask(tmp_path / "mask.png").sum()) == 300

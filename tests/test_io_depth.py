"""Depth in every form users have it, in metres; and what is no depth."""

import cv2
import numpy as np
import pytest
import torch
from pictures import RGB, saved
from PIL import Image
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.io import read_array, read_depth, read_values, write_depth

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


def test_units_are_words_or_metres(tmp_path):
    np.save(tmp_path / "two.npy", np.full((1, 1), 2))
    expected = {"m": 2.0, "cm": 0.02, "mm": 0.002, 0.5: 1.0}
    assert {unit: read_depth(tmp_path / "two.npy", unit).item() for unit in expected} == pytest.approx(expected)
    with pytest.raises(InputError, match=r"unit: expected one of m, cm, mm or a number of metres, got 'inch'"):
        read_depth("any.npy", unit="inch")


@pytest.mark.parametrize("unit", [-1, 0, float("nan"), True, "inch"])
def test_what_is_no_unit_is_refused(tmp_path, unit):
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    with pytest.raises(InputError, match=r"^unit: expected "):
        read_depth(tmp_path / "a.npy", unit)


def test_infinite_depth_is_invalid(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[np.inf, -np.inf, 1.0]]))
    assert read_depth(tmp_path / "a.npy").tolist() == [[[0, 0, 1]]]


def test_depth_written_is_the_depth_read_with_nan_outside_the_mask(tmp_path):
    depth = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    mask = torch.tensor([[[True, False, True], [True, True, False]]])
    write_depth(tmp_path / "out" / "a.npy", depth, mask)
    stored = np.load(tmp_path / "out" / "a.npy")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, [[1, np.nan, 3], [4, 5, np.nan]])
    assert_close(read_depth(tmp_path / "out" / "a.npy"), torch.where(mask, depth, 0.0))


# --- what is no depth


def test_a_colour_picture_is_no_depth(tmp_path):
    with pytest.raises(InputError, match=r"picture.png: expected one channel, got an array of shape \(2, 3, 3\)"):
        read_values(saved(tmp_path, Image.fromarray(RGB)))


@pytest.mark.parametrize("nothing", [np.nan, np.inf, 0.0])
def test_depth_without_a_valid_pixel_is_refused(tmp_path, nothing):
    np.save(tmp_path / "a.npy", np.full((4, 4), nothing))
    with pytest.raises(InputError, match=r"a.npy: no valid depth: every pixel is 0, NaN or inf"):
        read_depth(tmp_path / "a.npy")


def test_negative_depth_is_refused(tmp_path):
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


def test_an_unknown_suffix_is_refused(tmp_path):
    (tmp_path / "depth.pfm").write_bytes(b"x")
    with pytest.raises(InputError, match=r"expected one of .npy, .npz, .png, .tif, .tiff, .exr, got .pfm"):
        read_values(tmp_path / "depth.pfm")


def test_an_npz_of_several_arrays_must_say_which(tmp_path):
    np.savez(tmp_path / "a.npz", left=np.ones(1), right=np.ones(1))
    with pytest.raises(InputError, match=r"a.npz: expected one array or one called 'depth', got left, right"):
        read_array(tmp_path / "a.npz")

"""Pictures and arrays that are missing, damaged or not what their name says: each is refused by name."""

import re

import cv2
import numpy as np
import pytest
from pictures import saved
from PIL import Image

from facedepth.checks import InputError
from facedepth.io import read_array, read_depth, read_image, read_values

# --- pictures


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


def test_a_tiff_of_64_bits_is_told_from_no_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "depth.tif"), np.ones((20, 20)))
    with pytest.raises(InputError, match=r"depth\.tif: a damaged TIFF, or in an unsupported number format"):
        read_values(tmp_path / "depth.tif")


# --- arrays


def test_an_empty_npy(tmp_path):
    (tmp_path / "a.npy").touch()
    with pytest.raises(InputError, match=r"a.npy: the file is empty \(0 bytes\)"):
        read_depth(tmp_path / "a.npy")


def test_python_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"code": "runs"}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"a.npy: not a readable NumPy file \(it holds Python objects or text\)"):
        read_array(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_text("1 2 3")
    with pytest.raises(InputError, match=r"a.npy: not a readable NumPy file \(it holds Python objects or text\)"):
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


# --- both


@pytest.mark.parametrize("name", ["photo.jpg", "depth.npy"])
def test_a_pointer_in_the_place_of_a_file_is_called_one(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3\n")
    read = read_image if name.endswith("jpg") else read_values
    with pytest.raises(InputError, match=rf"{name}: a Git LFS pointer, not the file itself; run `git lfs pull`"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("opener", "read"), [("PIL.Image.open", read_image), ("numpy.load", read_array)]
)
def test_a_file_that_may_not_be_read_is_refused_in_words(tmp_path, monkeypatch, opener, read):
    (tmp_path / "file").write_bytes(b"something")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    monkeypatch.setattr(opener, refused)
    with pytest.raises(InputError, match=r"file: may not be read \(Permission denied\)"):
        read(tmp_path / "file")

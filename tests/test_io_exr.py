"""OpenEXR, the format in which renderers write depth; it needs the extra ``exr``."""

import shutil
import sys
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from torch.testing import assert_close

from facedepth import InputError, PairedFolder
from facedepth.io import read_depth, read_values, write_image

DEPTH = np.linspace(0.5, 2, 20 * 30, dtype=np.float32).reshape(20, 30)


def write(path: Path, *parts: dict[str, np.ndarray]) -> Path:
    headers = [{"type": OpenEXR.scanlineimage, "name": f"part {number}"} for number in range(len(parts))]
    files = [OpenEXR.Part(header, channels) for header, channels in zip(headers, parts, strict=True)]
    with OpenEXR.File(files) as file:
        file.write(str(path))
    return path


GREY = np.stack([DEPTH] * 3, axis=-1)
TINTED = GREY * np.float32([1, 0, 0.5])
PICTURES = {
    "one channel": [{"V": DEPTH}],
    "opacity": [{"Y": DEPTH, "A": np.ones_like(DEPTH)}],
    "three equal": [{"RGB": GREY}],
    "layers": [{"View Layer.Depth.Z": DEPTH, "View Layer.Combined.R": 0 * DEPTH, "View Layer.Combined.G": 1 + DEPTH}],
    "parts": [{"RGB": TINTED}, {"z": DEPTH}],
}


@pytest.mark.parametrize("name", PICTURES)
def test_depth_is_found_among_the_channels(tmp_path, name):
    path = write(tmp_path / "depth.exr", *PICTURES[name])
    assert_close(read_values(path), DEPTH)
    assert_close(read_depth(path, "cm")[0].numpy(), DEPTH / 100)


def test_halves_and_whole_numbers(tmp_path):
    assert_close(read_values(write(tmp_path / "half.exr", {"Z": DEPTH.astype(np.float16)})), DEPTH, rtol=1e-3, atol=0)
    numbers = np.arange(600, dtype=np.uint32).reshape(20, 30)
    assert_close(read_values(write(tmp_path / "whole.exr", {"Z": numbers})), numbers.astype(np.float32))


@pytest.mark.parametrize(
    ("parts", "named"),
    [([{"RGB": TINTED}], "B, G, R"), ([{"Z": DEPTH}, {"Z": 2 * DEPTH}], "Z, Z"), ([{"A": DEPTH}], "A")],
)
def test_without_one_depth_the_channels_are_told(tmp_path, parts, named):
    with pytest.raises(InputError, match=rf"depth\.exr: expected one channel of depth, or one called Z, got {named}$"):
        read_values(write(tmp_path / "depth.exr", *parts))


def test_damaged_files_are_refused(tmp_path):
    path = write(tmp_path / "depth.exr", {"Z": np.random.default_rng(0).random((200, 200), np.float32)})
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(InputError, match=r"depth\.exr: a damaged OpenEXR picture"):
        read_values(path)
    path.write_text("<!doctype html>")
    with pytest.raises(InputError, match=r"depth\.exr: a web page"):
        read_values(path)


def test_blenders_renders_are_a_data_set(tmp_path):
    for name in ("images", "depths"):
        (tmp_path / name).mkdir()
    for stem in ("anna", "bert"):
        write_image(tmp_path / f"images/{stem}.png", np.full((20, 30, 3), 128, np.uint8))
    nothing_behind = np.where(DEPTH > 1.5, np.float32(1e10), DEPTH)
    write(tmp_path / "depths/anna.exr", {"Z": nothing_behind})
    shutil.copy(tmp_path / "images/bert.png", tmp_path / "depths/bert.exr")
    with pytest.warns(UserWarning, match=r"depths/bert\.exr"):
        faces = PairedFolder(tmp_path / "images", tmp_path / "depths", camera=40, skip_bad=True)
    assert faces.names == ["anna"]
    assert_close(faces[0].depth[0].numpy(), np.where(DEPTH > 1.5, 0, DEPTH))


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(InputError, match=r'depth\.exr: reading \.exr needs .*pip install "\.\[exr\]"'):
        read_values(write(tmp_path / "depth.exr", {"Z": DEPTH}))

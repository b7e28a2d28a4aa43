"""HEIC, the format of iPhones: read with the extra ``faces``, told of without it."""

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facedepth import InputError, PairedFolder
from facedepth.io import focal_from_exif, image_from_pil, read_image, read_image_and_turn
from facedepth.prediction.picture_lists import list_images

PHONE = Path(__file__).parent / "data/phone.heic"
"""The astronaut's portrait at half its size, 192 x 256, stored lying and turned by its orientation, 26 mm in EXIF."""


@pytest.fixture
def without_pi_heif(monkeypatch):
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])  # another test may have added it
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pi_heif" else find_spec(name))


def test_a_photo_is_read_upright_with_its_focal_length():
    image, turned = read_image_and_turn(PHONE)
    portrait = Image.open("assets/astronaut.png").convert("RGB").resize((256, 256), Image.Resampling.LANCZOS)
    assert image.shape == (3, 256, 192)
    assert (image - image_from_pil(portrait)[..., :192]).abs().mean() < 0.02
    assert turned
    assert focal_from_exif(PHONE) == pytest.approx(26 / np.hypot(24, 36) * np.hypot(192, 256))


def test_it_may_be_called_a_jpeg_and_lie_in_a_folder(tmp_path):
    shutil.copy(PHONE, tmp_path / "me.jpg")
    shutil.copy(PHONE, tmp_path / "you.HEIC")
    assert [path.name for path in list_images(tmp_path)] == ["me.jpg", "you.HEIC"]
    assert torch.equal(read_image(tmp_path / "me.jpg"), read_image(tmp_path / "you.HEIC"))


def test_it_may_have_depth_beside_it(tmp_path):
    for name in ("images", "depths"):
        (tmp_path / name).mkdir()
    shutil.copy(PHONE, tmp_path / "images/me.heic")
    np.save(tmp_path / "depths/me.npy", np.full((256, 192), 0.5, np.float32))
    faces = PairedFolder(tmp_path / "images", tmp_path / "depths", camera=60, skip_bad=True)
    with pytest.warns(UserWarning, match=r"me\.heic: pictures are turned as their EXIF says"):
        assert faces[0].image.shape == (3, 256, 192)


def test_one_cut_short_is_refused(tmp_path):
    path = tmp_path / "me.heic"
    path.write_bytes(PHONE.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"me\.heic: a damaged HEIC picture"):
        read_image(path)


@pytest.mark.usefixtures("without_pi_heif")
@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1", b"msf1"])
@pytest.mark.parametrize("name", ["photo.heic", "photo.jpg"])
def test_without_the_extra_it_is_told_from_a_damaged_picture_whatever_its_name_and_brand(tmp_path, brand, name):
    (tmp_path / name).write_bytes(PHONE.read_bytes().replace(b"ftypheic", b"ftyp" + brand))
    with pytest.raises(InputError, match=rf"{name}: reading HEIC needs the package pi-heif: pip install .* or save it"):
        read_image(tmp_path / name)

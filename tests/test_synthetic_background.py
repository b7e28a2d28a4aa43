"""What the generator paints behind heads."""

import numpy as np
import pytest
from PIL import Image

from facedepth.checks import InputError
from facedepth.io import image_to_uint8, read_image
from facedepth.synthetic import SyntheticFaces, background
from facedepth.synthetic.background import PAINTERS, draw_background, list_photographs
from facedepth.synthetic.hair_styles import COLOURS
from facedepth.synthetic.skin import TONES


@pytest.mark.parametrize("painter", PAINTERS, ids=lambda painter: painter.__name__)
def test_every_painter_fills_the_picture(painter):
    for seed in range(8):
        picture = painter(np.random.default_rng(seed), 48)
        assert picture.shape == (48, 48, 3)
        assert np.isfinite(picture).all()
        assert picture.min() >= 0
        assert np.median(picture) < 4  # lamps and windows may be brighter than paper, not all there is


def test_pictures_differ_and_come_again_by_their_seed():
    drawn = [draw_background(np.random.default_rng(seed), 32) for seed in (0, 1, 0)]
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    assert drawn[0].dtype == np.float32


def test_some_of_what_stands_behind_has_the_colours_of_heads():
    tones = np.array([*TONES, *COLOURS.values()])
    tones /= np.linalg.norm(tones, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    colours = np.stack([background._colour(rng) for _ in range(600)])
    hues = colours / np.linalg.norm(colours, axis=1, keepdims=True)
    alike = (hues @ tones.T).max(axis=1) > 1 - 1e-6
    assert 0.10 < alike.mean() < 0.20


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jfif", "a.webp", "a.bmp", "a.tiff"])
def test_photographs_are_of_any_kind_that_the_library_reads(tmp_path, name):
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    assert list_photographs(tmp_path) == (tmp_path / name,)
    assert np.array_equal(background._read_pixels(tmp_path / name), image_to_uint8(read_image(tmp_path / name)))
    assert background._photograph(rng, 16, tmp_path / name).shape == (16, 16, 3)


def test_photographs_are_listed_anew_for_every_data_set(tmp_path):
    for count in (1, 2):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{count}.png")
        assert len(SyntheticFaces(1, photographs=tmp_path).photographs) == count


def test_most_backgrounds_are_photographs_where_there_are_some(tmp_path):
    Image.new("RGB", (20, 20), (255, 0, 0)).save(tmp_path / "red.png")
    drawn = [draw_background(np.random.default_rng(seed), 8, (tmp_path / "red.png",)) for seed in range(200)]
    assert 0.6 < np.mean([not picture[..., 1:].any() for picture in drawn]) < 0.8


def test_a_photograph_that_opencv_cannot_read_is_read_otherwise_or_named(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("I am a text")
    with pytest.raises(InputError, match=r"a\.jpg: not a picture, whatever its name says"):
        background._photograph(np.random.default_rng(0), 16, tmp_path / "a.jpg")
    Image.new("RGB", (20, 20), (10, 20, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(background.cv2, "imread", lambda *_: None)
    assert background._read_pixels(tmp_path / "a.png")[0, 0].tolist() == [10, 20, 30]


def test_hidden_files_and_folders_are_no_photographs_and_tiny_ones_do(tmp_path):
    (tmp_path / "album.jpg").mkdir()
    for name, size in (("._a.jpg", (9, 9)), ("a.png", (1, 1)), ("b.png", (40, 2))):
        Image.new("RGB", size, (9, 99, 199)).save(tmp_path / name)
    assert [path.name for path in list_photographs(tmp_path)] == ["a.png", "b.png"]
    for name in ("a.png", "b.png"):
        assert background._photograph(np.random.default_rng(0), 16, tmp_path / name).shape == (16, 16, 3)

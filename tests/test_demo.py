"""The demo: its files, and what it says where the repository's pictures are missing."""

import numpy as np
import pytest
import torch

from facedepth import demo
from facedepth.camera import Camera, Crop
from facedepth.checks import InputError
from facedepth.figures import colour_normals
from facedepth.prediction import Prediction


def test_the_demo_writes_a_face_in_3d_and_again_when_told(tmp_path, capsys):
    picture = demo.run_demo(tmp_path)
    (tmp_path / "mine.txt").write_text("kept")
    names = {path.suffix for path in tmp_path.iterdir()}
    assert {".glb", ".obj", ".ply", ".npy", ".png", ".html"} <= names
    assert picture.stat().st_size > 50_000
    assert (tmp_path / "scores" / "metrics.csv").is_file()
    assert str(picture) in capsys.readouterr().out
    picture.write_bytes(b"old")
    with pytest.raises(InputError, match=r"astronaut_sheet.png, .*astronaut.glb.* more: already there"):
        demo.run_demo(tmp_path)
    assert picture.read_bytes() == b"old"
    demo.run_demo(tmp_path, overwrite=True)
    assert picture.stat().st_size > 50_000
    assert (tmp_path / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("crop", [Crop(10, 20, 40), Crop(-8, 60, 40)])
def test_maps_of_a_square_beyond_the_photo_are_not_stretched(crop):
    """A slanted plane: its normals are one colour, wherever the square lies."""
    camera, mask = Camera.from_fov(30, 80, 80), torch.ones(1, 80, 80, dtype=torch.bool)
    slope = torch.linspace(0, 0.1, 80).expand(1, 80, 80).clone()
    face = Prediction(torch.rand(3, 80, 80), slope, mask, camera, "relief", crop, 40, "plane")
    photo, depth, normals = demo.face_maps(face, size=160)
    assert photo.shape == depth.shape == normals.shape == (160, 160, 3)
    seen = normals[(normals != 245).any(axis=2)].astype(int)
    whole = colour_normals(face.depth(), camera, mask)[30:50, 30:50].reshape(-1, 3).astype(int)
    assert np.abs(np.median(seen, axis=0) - np.median(whole, axis=0)).max() <= 3


def test_a_users_file_of_the_same_name_is_kept(tmp_path):
    (tmp_path / "astronaut.glb").write_text("mine")
    with pytest.raises(InputError, match=r"astronaut.glb: already there"):
        demo.run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["astronaut.glb"]


def test_without_samples_the_demo_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SAMPLE_SET", tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere: not there; in a clone of the repository"):
        demo.run_demo(tmp_path)

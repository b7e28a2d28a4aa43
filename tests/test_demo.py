"""The demo: its files, and what it says where the repository's pictures are missing."""

import pytest

from facedepth import demo
from facedepth.checks import InputError


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


def test_a_users_file_of_the_same_name_is_kept(tmp_path):
    (tmp_path / "astronaut.glb").write_text("mine")
    with pytest.raises(InputError, match=r"astronaut.glb: already there"):
        demo.run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["astronaut.glb"]


def test_without_samples_the_demo_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SAMPLE_SET", tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere: not there; in a clone of the repository"):
        demo.run_demo(tmp_path)

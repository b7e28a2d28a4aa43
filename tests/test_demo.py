"""The demo: its files, and what it says where the repository's pictures are missing."""

import pytest

from facedepth import demo
from facedepth.checks import InputError


def test_the_demo_writes_a_face_in_3d_again_and_again(tmp_path, capsys):
    for _ in range(2):  # its own files are replaced, others stay
        picture = demo.run_demo(tmp_path)
        (tmp_path / "mine.txt").write_text("kept")
    names = {path.suffix for path in tmp_path.iterdir()}
    assert {".glb", ".obj", ".ply", ".npy", ".png", ".html"} <= names
    assert picture.stat().st_size > 50_000
    assert (tmp_path / "scores" / "metrics.csv").is_file()
    assert (tmp_path / "mine.txt").read_text() == "kept"
    assert str(picture) in capsys.readouterr().out


def test_without_samples_the_demo_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SAMPLE_SET", tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere: not there; clone the repository"):
        demo.run_demo(tmp_path)

"""Films: they turn to both sides and back, play, keep what was there, and leave no half of a film."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import facedepth
from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.cli import main
from facedepth.figures import MeshScene
from facedepth.films import _orbit, turntable
from facedepth.geometry import depth_to_mesh
from facedepth.mesh import Mesh


@pytest.fixture(scope="module")
def head() -> Mesh:
    """A blue dome with a red nose that stands out of its middle."""
    side = 48
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    squared = x**2 + y**2
    depth = 1 - 0.06 * (1 - squared).clamp(min=0) - 0.06 * (1 - squared / 0.04).clamp(min=0)
    nose = squared < 0.04
    image = torch.stack([nose, torch.zeros_like(nose), ~nose]).float() * 0.8
    return depth_to_mesh(depth[None], Camera.from_fov(20, side, side), (squared < 0.9)[None], image, max_angle_deg=89)


def nose_place(frame: np.ndarray) -> float:
    """How far right the red nose is, as a fraction of the picture."""
    red = (frame[..., 0].astype(int) - frame[..., 2]) > 40
    assert red.sum() > 10
    return np.argwhere(red)[:, 1].mean() / frame.shape[1]


def gif_frames(path) -> list[np.ndarray]:
    with Image.open(path) as film:
        frames = []
        for index in range(film.n_frames):
            film.seek(index)
            frames.append(np.array(film.convert("RGB")))
        return frames


def test_a_turn_is_slow_at_its_ends_and_closes_to_a_loop():
    yaw, pitch = np.array(list(_orbit(100, 40, 8))).T
    assert (yaw.max(), yaw.min(), pitch.max()) == pytest.approx((40, -40, 8), abs=0.1)
    steps = np.abs(np.diff(yaw, append=yaw[0]))
    assert steps[[24, 25, 74, 75]].max() < 0.1 < 2.4 < steps[[0, 49, 50, 99]].min()
    assert steps.max() < 2.6  # the step from the last frame to the first is none of a jump


def test_a_gif_turns_to_both_sides(head, tmp_path):
    path = turntable(head, tmp_path / "new" / "face.gif", size=64, seconds=1.6, frames_per_s=10)
    with Image.open(path) as film:
        assert (film.n_frames, film.info["duration"], film.info["loop"]) == (16, 100, 0)
    places = np.array([nose_place(frame) for frame in gif_frames(path)])
    assert places[0] == pytest.approx(0.5, abs=0.02)
    assert places.argmin() in (3, 4, 5)  # the eye goes right first: the nose that stands out goes left
    assert places.argmax() in (11, 12, 13)
    assert [entry.name for entry in path.parent.iterdir()] == ["face.gif"]


def test_what_stands_still_in_a_gif_has_one_colour_in_all_frames(head, tmp_path):
    frames = gif_frames(turntable(head, tmp_path / "face.gif", size=64, seconds=0.4, frames_per_s=10))
    corners = np.stack([frame[:6, :6] for frame in frames])
    assert (corners == corners[0, 0, 0]).all()


@pytest.mark.parametrize("h264", [True, False])
def test_an_mp4_plays(head, tmp_path, monkeypatch, h264):
    if h264:
        pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setattr("facedepth.films.has_h264", lambda: h264)
    path = turntable(head, tmp_path / "face.mp4", size=63, seconds=0.8, frames_per_s=10)
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert int(film.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") == (b"h264" if h264 else b"FMP4")
    frames = []
    while (read := film.read())[0]:
        frames.append(read[1][..., ::-1])
    assert [frame.shape for frame in frames] == [(64, 64, 3)] * 8
    assert nose_place(frames[2]) < nose_place(frames[0]) - 0.01  # red is red, and right is right


def test_without_texture_it_is_clay(head, tmp_path):
    path = turntable(head, tmp_path / "clay.gif", size=48, seconds=0.2, frames_per_s=10, textured=False)
    frame = gif_frames(path)[0].astype(int)
    assert np.ptp(frame, axis=2).max() <= 8


def test_a_film_is_not_overwritten_unasked(head, tmp_path):
    path = tmp_path / "face.gif"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"face.gif: already there"):
        turntable(head, path)
    assert path.read_text() == "mine"
    turntable(head, path, size=32, seconds=0.2, frames_per_s=10, overwrite=True)
    assert len(gif_frames(path)) == 2


@pytest.mark.parametrize("name", ["face.gif", "face.mp4"])
def test_an_interrupted_film_leaves_nothing(head, tmp_path, monkeypatch, name):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(MeshScene, "render", interrupt)
    with pytest.raises(KeyboardInterrupt):
        turntable(head, tmp_path / name, size=32)
    assert list(tmp_path.iterdir()) == []


def test_what_makes_no_film_is_refused_in_words(head, tmp_path):
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 2), np.float32))
    nowhere = Mesh(np.full_like(head.vertices, np.nan), head.faces, head.uv)
    for mesh in (empty, nowhere):
        with pytest.raises(InputError, match="the mesh has no triangle"):
            turntable(mesh, tmp_path / "face.gif")
    with pytest.raises(InputError, match=r"expected one of .mp4, .gif, got .avi"):
        turntable(head, tmp_path / "face.avi")
    with pytest.raises(InputError, match="yaw_deg: expected 0 to 80"):
        turntable(head, tmp_path / "face.gif", yaw_deg=180)
    with pytest.raises(InputError, match="at least 2 frames"):
        turntable(head, tmp_path / "face.gif", seconds=0)
    assert list(tmp_path.iterdir()) == []


def test_the_command_refuses_before_the_work(tmp_path, capsys):
    (tmp_path / "me.mp4").touch()
    assert main(["turntable", "me.jpg", "-o", str(tmp_path / "me.mp4")]) == 2
    assert "me.mp4: already there" in capsys.readouterr().err
    assert facedepth.turntable is turntable


def test_the_command_films_the_whole_picture_when_told(tmp_path):
    photo = Path(__file__).parents[1] / "assets" / "astronaut.png"
    film = tmp_path / "whole.gif"
    assert main(["turntable", str(photo), "-o", str(film), "--crop", "none", "--size", "32", "--fov", "30"]) == 0
    assert len(gif_frames(film)) > 10

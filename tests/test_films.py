"""Films: they turn to both sides and back, play, keep what was there, and leave no half of a film."""

import resource
import signal
import subprocess
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


@pytest.mark.parametrize("h264", [True, False])
def test_a_name_with_a_colon_is_no_address(head, tmp_path, monkeypatch, h264):
    if h264:
        pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setattr("facedepth.films.has_h264", lambda: h264)
    monkeypatch.chdir(tmp_path)
    assert turntable(head, "12:30:05.mp4", size=64, seconds=0.2, frames_per_s=10).stat().st_size > 500


def test_browsers_show_its_colours_as_they_are(tmp_path):
    """An orange plane: the film says that it is BT.709, and read as that it is orange still."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    colour = torch.tensor([200.0, 60.0, 40.0]) / 255
    plane = depth_to_mesh(
        torch.ones(1, 8, 8), Camera.from_fov(20, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool),
        colour[:, None, None].expand(3, 8, 8),
    )
    path = turntable(plane, tmp_path / "12:30.mp4", size=64, seconds=0.2, frames_per_s=10, yaw_deg=0, pitch_deg=0)
    said = subprocess.run([ffmpeg.get_ffmpeg_exe(), "-i", path.absolute()], capture_output=True, text=True).stderr
    assert "yuv420p(tv, bt709" in said
    as_bt709 = ["-vf", "scale=in_color_matrix=bt709:in_range=tv"]
    frames = ffmpeg.read_frames(str(path.absolute()), output_params=as_bt709)
    next(frames)
    middle = np.frombuffer(next(frames), np.uint8).reshape(64, 64, 3)[32, 32]
    frame = MeshScene(plane).render(yaw_deg=0, pitch_deg=0, size=64)
    assert np.abs(middle.astype(int) - frame[32, 32]).max() <= 4


@pytest.mark.parametrize("h264", [True, False])
def test_a_film_that_the_disk_has_no_room_for_keeps_the_one_before(head, tmp_path, monkeypatch, h264):
    if h264:
        pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setattr("facedepth.films.has_h264", lambda: h264)
    path = turntable(head, tmp_path / "face.mp4", size=64, seconds=0.8, frames_per_s=10)
    good = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, limits[1]))
    try:
        with pytest.raises((InputError, OSError)):
            turntable(head, path, size=64, seconds=0.8, frames_per_s=10, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == good


def test_a_gif_lasts_as_long_as_told(head, tmp_path):
    path = turntable(head, tmp_path / "face.gif", size=32, seconds=0.4, frames_per_s=30)
    with Image.open(path) as film:
        lasts = 0
        for index in range(film.n_frames):
            film.seek(index)
            lasts += film.info["duration"]
    assert lasts == 400
    with pytest.raises(InputError, match="frames_per_s: a GIF has at most 50, got 60"):
        turntable(head, tmp_path / "fast.gif", frames_per_s=60)


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
    with pytest.raises(InputError, match="yaw_deg: expected at least 0 and at most 80, got 180"):
        turntable(head, tmp_path / "face.gif", yaw_deg=180)
    with pytest.raises(InputError, match=r"seconds: expected two frames or more, got 0.05 s of 25"):
        turntable(head, tmp_path / "face.gif", seconds=0.05)
    for option in ({"seconds": 0}, {"seconds": float("nan")}, {"size": 8}, {"size": "480"}, {"frames_per_s": 0}):
        with pytest.raises(InputError, match=f"{next(iter(option))}: expected "):
            turntable(head, tmp_path / "face.gif", **option)
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

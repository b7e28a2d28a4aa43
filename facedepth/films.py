"""A film of a face that turns: there and back, rendered without a display or a graphics card."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from .checks import InputError, check_number, check_whole
from .figures import STUDIO, MeshScene
from .mesh import Mesh
from .paths import atomic_path, check_writable, refuse_existing, user_path
from .prediction import Prediction

FILM_SUFFIXES = (".mp4", ".gif")
_GREATEST_YAW_DEG = 80.0
_GIF_TIMES = 100  # a GIF counts time in hundredths of a second ...
_GIF_LEAST = 2  # ... and browsers show a frame that lasts one for ten
_BT709 = (  # the colour space that browsers assume for larger films; tagged, so that they use it for smaller ones too
    "-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_primaries", "bt709",
    "-color_trc", "bt709",
)


def turntable(
    subject: Prediction | Mesh, path: str | Path, *, size: int = 480, seconds: float = 4.0, frames_per_s: int = 25,
    yaw_deg: float = 40.0, pitch_deg: float = 8.0, textured: bool = True, overwrite: bool = False,
) -> Path:
    """Write a looping film of a face that turns to both sides and back, slowing down where it reverses.

    Args:
        subject: a prediction, or a mesh.
        path: ``.mp4`` (H.264 with imageio-ffmpeg, which browsers play, else OpenCV's MPEG-4) or ``.gif``.
        size: pixels a side; an odd size is made even for an .mp4.
        seconds, frames_per_s: of one turn there and back; a GIF has at most 50 frames per second.
        yaw_deg: how far to each side, at most 80: a photo does not show the back of a head. The camera also rises and
            sinks by ``pitch_deg``, which shows the shape of brow and chin.
        textured: with the photo on it, or as clay.

    Raises:
        InputError: an unknown suffix, a mesh without a triangle, numbers that make no film, a file in the way, or a
            film that could not be written whole.
    """
    path = user_path(path)
    suffix = path.suffix.lower()
    refuse_film(path, overwrite)
    check_number("yaw_deg", yaw_deg, least=0, most=_GREATEST_YAW_DEG)  # a photo shows no back
    check_number("pitch_deg", pitch_deg, above=-90, below=90)
    check_whole("size", size, 16)
    check_whole("frames_per_s", frames_per_s, 1)
    count = round(check_number("seconds", seconds, above=0) * frames_per_s)
    if count < 2:
        raise InputError(f"seconds: expected two frames or more, got {seconds:g} s of {frames_per_s} frames per second")
    if suffix == ".gif" and frames_per_s * _GIF_LEAST > _GIF_TIMES:
        raise InputError(f"frames_per_s: a GIF has at most {_GIF_TIMES // _GIF_LEAST}, got {frames_per_s}")
    mesh = subject.mesh() if isinstance(subject, Prediction) else subject
    scene = MeshScene(mesh)
    if not len(scene.faces):
        raise InputError(f"{path}: the mesh has no triangle; is the mask empty, or the depth not finite?")
    if suffix == ".mp4":
        size += size % 2  # yuv420p halves the colours' sides
    background = (STUDIO[0], STUDIO[0]) if suffix == ".gif" else STUDIO  # 256 colours make rings of a gradient
    frames = (
        scene.render(yaw_deg=yaw, pitch_deg=pitch, size=size, textured=textured, background=background)
        for yaw, pitch in _orbit(count, yaw_deg, pitch_deg)
    )
    shown = tqdm(frames, total=count, desc=path.name, unit="frame", leave=False)
    write = {".gif": _write_gif, ".mp4": _write_h264 if has_h264() else _write_mpeg4}[suffix]
    with atomic_path(path) as temporary:
        write(temporary, shown, size, frames_per_s)
        if suffix == ".mp4":
            _refuse_cut_short(temporary, path, count)
    return path


def refuse_film(path: str | Path, overwrite: bool) -> None:
    """Refuse to overwrite a film, or to write one where it cannot be.

    Raises:
        InputError: not a film's suffix, a folder that cannot be written to, or a file in the way, unless ``overwrite``.
    """
    path = user_path(path)
    if path.suffix.lower() not in FILM_SUFFIXES:
        raise InputError(f"{path}: expected one of {', '.join(FILM_SUFFIXES)}, got {path.suffix or 'no suffix'}")
    refuse_existing([path], overwrite)
    check_writable(path.parent)


def _refuse_cut_short(written: Path, path: Path, count: int) -> None:
    """Count the frames: neither encoder reports a full disk.

    Raises:
        InputError: frames are missing.
    """
    film = cv2.VideoCapture(str(written.absolute()))  # "12:30.mp4" alone would be taken for an address
    found = int(film.get(cv2.CAP_PROP_FRAME_COUNT)) if film.isOpened() else 0
    film.release()
    if found != count:
        raise InputError(f"{path}: only {found} of {count} frames could be written; is the disk full?")


def has_h264() -> bool:
    """Whether imageio-ffmpeg is installed: it brings H.264, which browsers play."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def _orbit(count: int, yaw_deg: float, pitch_deg: float) -> Iterator[tuple[float, float]]:
    """Yaw and pitch of each frame, in degrees. The last is a step before the first: no frame of the loop repeats."""
    for frame in range(count):
        turn = 2 * math.pi * frame / count
        # A sine eases in and out at both ends; a pitch a quarter turn out of phase makes the path a slim ellipse.
        yield yaw_deg * math.sin(turn), pitch_deg * math.cos(turn)


def _write_h264(path: Path, frames: Iterator[np.ndarray], size: int, frames_per_s: int) -> None:
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(
        str(path.absolute()), (size, size), fps=frames_per_s, codec="libx264", pix_fmt_out="yuv420p",
        macro_block_size=2, quality=None,
        output_params=["-crf", "18", "-movflags", "+faststart", *_BT709], ffmpeg_log_level="error",
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()


def _write_mpeg4(path: Path, frames: Iterator[np.ndarray], size: int, frames_per_s: int) -> None:
    tqdm.write(f"{path.suffix}: MPEG-4, which browsers do not play; for H.264: pip install imageio-ffmpeg")
    writer = cv2.VideoWriter(str(path.absolute()), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_s, (size, size))
    try:
        if not writer.isOpened():
            raise InputError("this OpenCV writes no .mp4; pip install imageio-ffmpeg, or write a .gif")
        for frame in frames:
            writer.write(frame[..., ::-1])
    finally:
        writer.release()


def _write_gif(path: Path, frames: Iterator[np.ndarray], size: int, frames_per_s: int) -> None:
    """One palette for all frames, without dithering: a still background stays still, and the file small."""
    pictures = [Image.fromarray(frame) for frame in frames]
    sides = Image.new("RGB", (3 * size, size))
    for place, quarter in enumerate((0, 1, 3)):  # from the front and from both sides: every colour there is
        sides.paste(pictures[quarter * len(pictures) // 4], (place * size, 0))
    palette = sides.quantize(256, method=Image.Quantize.MEDIANCUT)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    ends = [round(_GIF_TIMES * place / frames_per_s) for place in range(len(pictures) + 1)]
    milliseconds = [10 * (end - start) for start, end in itertools.pairwise(ends)]
    indexed[0].save(
        path, save_all=True, append_images=indexed[1:], duration=milliseconds, loop=0, optimize=False
    )

"""What is behind the head: walls, gradients, rooms, foliage, lights, clutter, or the user's photographs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ..checks import InputError
from .clothes import random_colour

KINDS = ("wall", "gradient", "room", "foliage", "lights", "clutter", "clouds")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def draw_background(rng: np.random.Generator, size: int, photographs: Path | None = None) -> np.ndarray:
    """(size, size, 3) linear RGB float32, out of focus to a random degree; a photograph in 7 of 10 cases if given."""
    if photographs is not None and rng.random() < 0.7:
        picture = _photograph(rng, size, photographs)
    else:
        kind = str(rng.choice(KINDS, p=[0.2, 0.15, 0.25, 0.14, 0.08, 0.07, 0.11]))
        painter = {
            "wall": _wall, "gradient": _gradient, "room": _room, "foliage": _foliage, "lights": _lights,
            "clutter": _clutter, "clouds": _clouds,
        }[kind]
        picture = painter(rng, size)
    blur = size / 256 * float(rng.choice([0.0, rng.uniform(0.4, 2), rng.uniform(2, 7)], p=[0.2, 0.4, 0.4]))
    if blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    return np.clip(picture, 0, 8).astype(np.float32)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    return x, y


def _colour(rng: np.random.Generator) -> np.ndarray:
    colour = np.array(random_colour(rng), dtype=np.float32)
    return (colour + (colour.mean() - colour) * rng.beta(1.5, 1)) * rng.uniform(0.5, 1.2)


def smooth_field(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """(size, size) smooth random values of standard deviation near 0.7."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def _wall(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    light = np.exp(-((x - rng.uniform(0, 1)) ** 2 + (y - rng.uniform(-0.2, 1)) ** 2) / rng.uniform(0.2, 2))
    plaster = 0.03 * rng.random() * rng.standard_normal((size, size), dtype=np.float32)
    grain = 1 + plaster + 0.08 * rng.random() * smooth_field(rng, size, 12)
    return (_colour(rng) * (0.5 + 0.7 * light * grain)[..., None]).astype(np.float32)


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    t = 0.5 + ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)) * rng.uniform(0.4, 1.6)
    t = np.clip(t, 0, 1)[..., None]
    return _colour(rng) * (1 - t) + _colour(rng) * t


def _room(rng: np.random.Generator, size: int) -> np.ndarray:
    """Walls meeting in a corner, with windows, pictures, shelves and a door as rectangles in perspective."""
    picture = np.empty((size, size, 3), dtype=np.float32)
    corner = rng.uniform(-0.3, 1.3)
    x, y = _grid(size)
    left, right = _colour(rng), _colour(rng)
    right = left * rng.uniform(0.5, 1.1) if rng.random() < 0.7 else right
    picture[:] = np.where((x < corner)[..., None], left, right) * (1.1 - 0.4 * y)[..., None]
    for _ in range(rng.integers(2, 9)):
        kind, slant = rng.choice(["window", "picture", "shelf", "door"]), rng.uniform(-0.15, 0.15)
        cx, cy, w, h = rng.uniform(0, 1), rng.uniform(0, 0.8), rng.uniform(0.06, 0.4), rng.uniform(0.06, 0.5)
        if kind == "shelf":
            h = 0.03
        colour = np.full(3, rng.uniform(1.2, 3.0)) if kind == "window" else _colour(rng)
        corners = np.array([[cx, cy], [cx + w, cy + slant * w], [cx + w, cy + h + slant * w * 0.5], [cx, cy + h]])
        cv2.fillConvexPoly(picture, (corners * size * 16).astype(np.int32), colour.tolist(), cv2.LINE_AA, 4)
        if kind in ("window", "picture"):
            cv2.polylines(picture, [(corners * size * 16).astype(np.int32)], True, _colour(rng).tolist(),
                          max(1, size // 64), cv2.LINE_AA, 4)
        if kind == "shelf":
            for _ in range(rng.integers(2, 10)):
                bx, bw, bh = cx + rng.uniform(0, w), rng.uniform(0.01, 0.03), rng.uniform(0.05, 0.12)
                cv2.rectangle(picture, (int(bx * size), int((cy - bh) * size)), (int((bx + bw) * size), int(cy * size)),
                              _colour(rng).tolist(), -1)
    return picture


def _foliage(rng: np.random.Generator, size: int) -> np.ndarray:
    green = np.array([0.07, 0.11, 0.035]) * np.exp(rng.normal(0, 0.35, 3))
    scales = ((5, 0.5), (14, 0.5), (40, 0.45), (90, 0.3))
    detail = sum(smooth_field(rng, size, cells) * weight for cells, weight in scales)
    sky = np.clip(smooth_field(rng, size, 9) + 1.2 - 2.4 * _grid(size)[1], 0, 1)[..., None] * rng.uniform(0, 1)
    return (green * np.exp(0.9 * detail)[..., None] * (1 - sky) + sky * np.array([0.75, 0.85, 1.0])).astype(np.float32)


def _lights(rng: np.random.Generator, size: int) -> np.ndarray:
    """A dark scene with discs of light, as a wide aperture draws them."""
    picture = _gradient(rng, size) * 0.15
    for _ in range(rng.integers(8, 45)):
        disc = np.zeros((size, size), dtype=np.float32)
        x, y = (int(rng.uniform(0, size)), int(rng.uniform(0, size)))
        radius = int(rng.uniform(0.008, 0.05) * size) + 1
        cv2.circle(disc, (x, y), radius, 1.0, -1, cv2.LINE_AA)
        around = tuple(slice(max(middle - radius - 2, 0), middle + radius + 3) for middle in (y, x))
        picture[around] += disc[around][..., None] * _colour(rng) * rng.uniform(0.3, 2.5)
    return picture


def _clutter(rng: np.random.Generator, size: int) -> np.ndarray:
    picture = np.ascontiguousarray(_clouds(rng, size) if rng.random() < 0.5 else _gradient(rng, size), dtype=np.float32)
    for _ in range(rng.integers(4, 24)):
        centre = (int(rng.uniform(0, size)), int(rng.uniform(0, size)))
        axes = (int(rng.uniform(0.02, 0.22) * size), int(rng.uniform(0.02, 0.3) * size))
        colour, angle = _colour(rng).tolist(), float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            cv2.ellipse(picture, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((centre, (2 * axes[0], 2 * axes[1]), angle))
            cv2.fillConvexPoly(picture, box.astype(np.int32), colour, cv2.LINE_AA)
    return picture


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    fields = np.stack([sum(smooth_field(rng, size, cells) * weight for cells, weight in ((3, 1.2), (8, 0.8), (24, 0.5)))
                       for _ in range(3)], axis=-1)
    shares = np.exp(1.5 * fields)
    return (shares / shares.sum(axis=-1, keepdims=True)) @ np.stack([_colour(rng) for _ in range(3)])


@lru_cache(maxsize=4)
def list_photographs(folder: Path) -> tuple[Path, ...]:
    """The pictures directly in a folder.

    Raises:
        InputError: where there is none.
    """
    found = tuple(sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in PICTURE_SUFFIXES))
    if not found:
        raise InputError(f"{folder}: expected photographs ({', '.join(PICTURE_SUFFIXES)}) for backgrounds, found none")
    return found


def _photograph(rng: np.random.Generator, size: int, folder: Path) -> np.ndarray:
    paths = list_photographs(folder)
    path = paths[rng.integers(len(paths))]
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path}: expected a picture that OpenCV can read; remove it from the folder of backgrounds")
    side = int(min(picture.shape[:2]) * rng.uniform(0.4, 1))
    top, left = (int(rng.integers(0, n - side + 1)) for n in picture.shape[:2])
    picture = cv2.resize(picture[top: top + side, left: left + side, ::-1], (size, size), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    return (picture.astype(np.float32) / 255) ** 2.2 * rng.uniform(0.5, 1.3)

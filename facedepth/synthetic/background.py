"""What is behind the head: walls, gradients, rooms, foliage, lights, clutter, cloth, books, people, or the user's
photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..checks import InputError
from ..io import IMAGE_SUFFIXES, image_to_uint8, read_image
from .clothes import random_colour
from .hair_styles import COLOURS as HAIR
from .skin import TONES as SKIN

LIKE_A_HEAD = 0.15  # share of colours that are skin's or hair's: colour alone must not tell what is a head


def draw_background(rng: np.random.Generator, size: int, photographs: Sequence[Path] = ()) -> np.ndarray:
    """(size, size, 3) linear RGB float32, out of focus to a random degree; one of the photographs in 7 of 10 cases, if
    there are any."""
    if photographs and rng.random() < 0.7:
        picture = _photograph(rng, size, photographs[rng.integers(len(photographs))])
    else:
        painter = list(PAINTERS)[rng.choice(len(PAINTERS), p=list(PAINTERS.values()))]
        picture = painter(rng, size)
    blur = size / 256 * float(rng.choice([0.0, rng.uniform(0.4, 2), rng.uniform(2, 7)], p=[0.2, 0.4, 0.4]))
    if blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    return np.clip(picture, 0, 8).astype(np.float32)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    return x, y


def _colour(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < LIKE_A_HEAD:
        return _tone(rng, SKIN if rng.random() < 0.5 else tuple(HAIR.values()))
    colour = np.array(random_colour(rng), dtype=np.float32)
    return (colour + (colour.mean() - colour) * rng.beta(1.5, 1)) * rng.uniform(0.5, 1.2)


def _tone(rng: np.random.Generator, tones: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    return np.array(tones[rng.integers(len(tones))], dtype=np.float32) * rng.uniform(0.6, 1.3)


def smooth_field(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """(size, size) smooth random values of standard deviation near 0.9."""
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


def _cloth(rng: np.random.Generator, size: int) -> np.ndarray:
    """A curtain or a flag that hangs in folds, of one colour or in stripes, sometimes only on one side."""
    x, y = _grid(size)
    angle = rng.normal(0, 0.2)
    across = x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 0.05) * smooth_field(rng, size, 4)
    knots = int(rng.integers(12, 70))
    folds = np.interp(across, np.linspace(-0.7, 1.7, knots), rng.uniform(0.15, 1.1, knots))
    stripes = np.stack([_colour(rng) for _ in range(rng.integers(2, 5))])
    run = across if rng.random() < 0.5 else y - 0.5 * x + 0.08 * folds
    striped = stripes[np.floor(run * rng.uniform(3, 14)).astype(int) % len(stripes)]
    cloth = (_colour(rng) if rng.random() < 0.5 else striped) * folds[..., None]
    if rng.random() < 0.4:
        return cloth
    edge = rng.uniform(0.15, 0.85)
    return np.where(((across < edge) == (rng.random() < 0.5))[..., None], cloth, _room(rng, size))


def _rows(rng: np.random.Generator, size: int) -> np.ndarray:
    """Bricks, books on shelves, panes of a window, panels: rows of boxes, more or less alike, with gaps between."""
    picture = np.empty((size, size, 3), dtype=np.float32)
    picture[:] = _colour(rng) * rng.uniform(0.1, 1)
    tall, wide = rng.uniform(0.03, 0.3), rng.uniform(0.015, 0.3)
    uneven, variety, gap = rng.choice([0.0, 0.5]), rng.choice([0.05, 1.0]), rng.uniform(0, 0.012)
    common, top = _colour(rng), -rng.uniform(0, tall)
    while top < 1:
        left = -rng.uniform(0, wide)
        while left < 1:
            width = wide * (1 + uneven * rng.uniform(-1, 1))
            colour = common + variety * rng.uniform(0.3, 1) * (_colour(rng) - common)
            high = top + tall * uneven * rng.uniform(0, 0.5)  # books end at different heights
            box = np.array([[left, high], [left + width - gap, top + tall - gap]]) * size
            (x0, y0), (x1, y1) = box.round().astype(int).tolist()
            cv2.rectangle(picture, (x0, y0), (x1, y1), colour.tolist(), -1)
            left += width
        top += tall
    return picture * (1 + 0.25 * smooth_field(rng, size, 3))[..., None].clip(0.3)


def _crowd(rng: np.random.Generator, size: int) -> np.ndarray:
    """Other people behind the one in front: heads with hair, necks and shoulders, lit from one side."""
    picture = np.ascontiguousarray(_room(rng, size))
    x, y = _grid(size)
    sun = rng.uniform(-1.5, 1.5)
    for _ in range(rng.integers(1, 7)):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.2)
        skin, hair, clothes = _tone(rng, SKIN), _tone(rng, tuple(HAIR.values())), _colour(rng)
        u, v = (x - cx) / r, (y - cy) / r
        shoulders = (v > 1.5) & (np.abs(u) < 2.2 - 1.2 * np.exp(-(v - 1.5).clip(0)))
        neck = (v > 0) & (v < 1.9) & (np.abs(u) < 0.45)
        head = u**2 + (0.8 * (v + rng.uniform(0.05, 0.3))) ** 2 < 1.15
        face = 1.5 * u**2 + (0.8 * (v - 0.15)) ** 2 < 0.8
        parts = (shoulders, clothes), (neck, 0.7 * skin), (head, hair), (face, skin)
        for inside, colour in parts:
            picture[inside] = colour * np.exp(sun * 0.4 * u[inside])[..., None]
    return picture


PAINTERS = {  # and how often each is used
    _wall: 0.16, _gradient: 0.10, _room: 0.20, _foliage: 0.12, _lights: 0.06, _clutter: 0.08, _clouds: 0.08,
    _cloth: 0.08, _rows: 0.07, _crowd: 0.05,
}


def list_photographs(folder: Path) -> tuple[Path, ...]:
    """The pictures directly in a folder, by name; hidden ones excepted.

    Raises:
        InputError: where there is none.
    """
    found = tuple(
        sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    )
    if not found:
        raise InputError(f"{folder}: expected photographs ({', '.join(IMAGE_SUFFIXES)}) for backgrounds, found none")
    return found


def _photograph(rng: np.random.Generator, size: int, path: Path) -> np.ndarray:
    picture = _read_pixels(path)
    side = max(1, int(min(picture.shape[:2]) * rng.uniform(0.4, 1)))
    top, left = (int(rng.integers(0, n - side + 1)) for n in picture.shape[:2])
    picture = cv2.resize(picture[top: top + side, left: left + side], (size, size), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    return (picture.astype(np.float32) / 255) ** 2.2 * rng.uniform(0.5, 1.3)


def _read_pixels(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, by OpenCV, which needs a quarter of ``read_image``'s time; what it cannot read is left to
    the other, which says why when it cannot either."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return image_to_uint8(read_image(path)) if picture is None else picture[..., ::-1]

"""Surroundings that light a head from everywhere: photographed ones, and studios and skies made here.

An environment is an equirectangular picture (H, W, 3) of linear radiance whose top row is straight up.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

KINDS = ("photographed", "studio", "window", "sky")
HEIGHT, WIDTH = 128, 256


def draw_environment(rng: np.random.Generator, photographed: list[Path], read) -> tuple[str, np.ndarray]:
    """A kind and its picture; ``read`` turns a file into linear radiance (H, W, 3)."""
    kind = str(rng.choice(KINDS, p=[0.6, 0.18, 0.1, 0.12]))
    if kind == "photographed":
        path = photographed[rng.integers(len(photographed))]
        return path.stem, np.maximum(read(path), 0)
    return kind, {"studio": _studio, "window": _window, "sky": _sky}[kind](rng)


def _angles() -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation of every pixel, radians."""
    azimuth = (np.arange(WIDTH) + 0.5) / WIDTH * 2 * np.pi - np.pi
    elevation = np.pi / 2 - (np.arange(HEIGHT) + 0.5) / HEIGHT * np.pi
    return np.meshgrid(azimuth, elevation)


def _panel(picture: np.ndarray, azimuth: float, elevation: float, size: tuple[float, float], rgb: np.ndarray) -> None:
    a, e = _angles()
    apart = np.abs((a - azimuth + np.pi) % (2 * np.pi) - np.pi)
    inside = (apart < size[0]) & (np.abs(e - elevation) < size[1])
    picture[inside] = rgb


def _white(rng: np.random.Generator) -> np.ndarray:
    """A lamp's colour, from warm to cool."""
    warmth = rng.normal(0, 0.25)
    return np.array([1 + warmth, 1.0, 1 - warmth]).clip(0.3)


def _studio(rng: np.random.Generator) -> np.ndarray:
    """Two to four soft boxes in a dim room."""
    picture = np.full((HEIGHT, WIDTH, 3), rng.uniform(0.02, 0.4)) * _white(rng)
    for _ in range(rng.integers(2, 5)):
        size = rng.uniform(0.1, 0.5, 2)
        strength = rng.uniform(1, 5) / size.prod() * 0.1
        _panel(picture, rng.uniform(-np.pi, np.pi), rng.uniform(-0.2, 1.2), tuple(size), strength * _white(rng))
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def _window(rng: np.random.Generator) -> np.ndarray:
    """One large window at a side of a room whose walls and floor give some light back."""
    _, elevation = _angles()
    walls = np.where(elevation < -0.5, 0.25, 0.5)[..., None] * rng.uniform(0.1, 0.5) * _white(rng)
    picture = walls * np.exp(cv2.GaussianBlur(rng.normal(0, 3, (HEIGHT, WIDTH, 1)), (0, 0), 9))[..., None]
    middle = rng.uniform(0.4, 1.8) * rng.choice([-1, 1])
    for offset in (-0.28, 0.28):
        _panel(picture, middle + offset, 0.25, (0.24, 0.45), rng.uniform(4, 9) * np.array([0.85, 0.95, 1.1]))
    return picture


def _sky(rng: np.random.Generator) -> np.ndarray:
    """Sky with clouds over ground, and the sun if it is not overcast."""
    azimuth, elevation = _angles()
    up = np.clip(elevation / (np.pi / 2), 0, 1)[..., None]
    clouds = cv2.GaussianBlur(rng.normal(0, 4, (HEIGHT, WIDTH)), (0, 0), 7)[..., None]
    sky = np.array([0.75, 0.85, 1.0]) * (1 - up) + np.array([0.25, 0.45, 0.9]) * up
    sky = sky + (1 - sky) * np.clip(clouds, 0, 1)
    ground = rng.uniform(0.05, 0.4) * rng.uniform(0.85, 1.0, 3)
    picture = np.where(elevation[..., None] > 0, sky, ground)
    if rng.random() < 0.6:
        sun, height = rng.uniform(-np.pi, np.pi), rng.uniform(0.15, 1.1)
        cosine = np.sin(elevation) * np.sin(height) + np.cos(elevation) * np.cos(height) * np.cos(azimuth - sun)
        apart = np.arccos(np.clip(cosine, -1, 1))
        picture = picture + (rng.uniform(60, 260) * np.exp(-((apart / 0.07) ** 2)))[..., None] * [1, 0.9, 0.75]
    return picture

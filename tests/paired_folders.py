"""Folders of pictures and depth, as users have them."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32


def depth_mm() -> np.ndarray:
    """A slanted wall with a hole, in whole millimetres."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    depth = 600 + 4 * x + 2 * y
    depth[:5, :7] = 0
    return depth.astype(np.uint16)


def write_images(folder: Path, stems: list[str], size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    folder.mkdir(exist_ok=True)
    for number, stem in enumerate(stems):
        pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{stem}.png")
    return folder


def write_depths(folder: Path, stems: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for stem in stems:
        np.save(folder / f"{stem}.npy", depth_mm() / np.float32(1000))
    return folder

"""A small picture to write and to read."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

# Two rows, three columns, no two pixels alike.
RGB = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [200, 150, 100], [0, 128, 255]]], dtype=np.uint8
)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


def saved(folder: Path, picture: Image.Image, name: str = "picture.png") -> Path:
    picture.save(folder / name)
    return folder / name

"""What the tests of losses and of metrics make their small maps with."""

import torch
from torch import Tensor

from facedepth.camera import Camera

SIZE = 12
CAMERA = Camera.from_fov(40, SIZE, SIZE).crop(2.5, -1.0)


def image(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows)[None, None]


def full(values: Tensor) -> Tensor:
    return torch.ones_like(values, dtype=torch.bool)

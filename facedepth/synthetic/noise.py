"""Solid noise: a smooth random field in space, for mottled skin, cloth and strands of hair."""

from __future__ import annotations

from functools import reduce

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from .devices import CPU

LATTICE = 32


class SolidNoise:
    """Four independent, periodic fields of interpolated normal values (mean 0, standard deviation 0.54)."""

    def __init__(self, rng: np.random.Generator):
        field = torch.from_numpy(rng.standard_normal((4, LATTICE, LATTICE, LATTICE), dtype=np.float32))
        for axis in (1, 2, 3):  # the first slice again behind the last: the field repeats without a seam
            field = torch.cat([field, field.narrow(axis, 0, 1)], dim=axis)
        self._fields = {CPU: field[None]}

    def __call__(self, points: Tensor, per_metre: float, channel: int | slice = 0) -> Tensor:
        """(N,) values at the points (N, 3), ``per_metre`` lattice cells a metre; (N, C) where channel is a slice."""
        if points.device not in self._fields:
            self._fields[points.device] = self._fields[CPU].to(points.device)
        field = self._fields[points.device]
        place = points * (per_metre / LATTICE)
        grid = ((place - place.floor()) * 2 - 1).view(1, 1, 1, -1, 3)
        wanted = channel if isinstance(channel, slice) else slice(channel, channel + 1)
        values = torch.nn.functional.grid_sample(field[:, wanted], grid, align_corners=True)[0, :, 0, 0].T
        return values if isinstance(channel, slice) else values[:, 0]

    def slope(self, points: Tensor, per_metre: float, channel: int = 0) -> Tensor:
        """(N, 3) gradient of the field per metre, by differences over a third of a cell."""
        step = 0.33 / per_metre
        here = self(points, per_metre, channel)
        return torch.stack(
            [(self(points + step * axis, per_metre, channel) - here) / step for axis in torch.eye(3)], dim=1
        )


def smooth_step(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """0 where x is at ``low``, 1 where at ``high``, smoothly between; ``low`` may be the greater one."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def bump(x: Tensor, centre: float, width: float) -> Tensor:
    """A bell of height 1 at ``centre``."""
    return torch.exp(-(((x - centre) / width) ** 2))


def box_blur(pictures: Tensor, width: int) -> Tensor:
    """(..., H, W) averaged over squares of ``width`` pixels, zero beyond the border: down, then across."""
    down = sum(_neighbours(pictures, -2, width, beyond=0.0)) / width
    return sum(_neighbours(down, -1, width, beyond=0.0)) / width


def box_max(pictures: Tensor, width: int) -> Tensor:
    """(..., H, W) the greatest value in squares of ``width`` pixels."""
    down = reduce(torch.maximum, _neighbours(pictures, -2, width, beyond=-torch.inf))
    return reduce(torch.maximum, _neighbours(down, -1, width, beyond=-torch.inf))


def _neighbours(pictures: Tensor, axis: int, width: int, *, beyond: float) -> list[Tensor]:
    """The pictures moved along an axis, once for every pixel of a window: several times as fast as torch's pooling."""
    margins = (width // 2, (width - 1) // 2)
    wider = pad(pictures, margins if axis == -1 else (0, 0, *margins), value=beyond)
    return [wider.narrow(axis, first, pictures.shape[axis]) for first in range(width)]

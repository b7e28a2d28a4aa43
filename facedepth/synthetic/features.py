"""How far eyes, nose, brows and lips stand out of a face.

The kit's faces are flat. Beside a scanned man, a sculptor's bust and an average of scans, the middle of its nose lies
7 to 11 mm too far behind, its eyes 2 to 8 mm too far in front (``python -m benchmarks.standin.relief``). A network that
has seen nothing else makes every face as flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .noise import smooth_step


class Feature(NamedTuple):
    """A part of the face that comes forward or goes back as a whole; metres, on the template.

    Attributes:
        side, height: its middle, to both sides of the face's; width, tall: how far it reaches.
        mean, spread: of the displacement towards the back; negative is forward.
        plateau: whether its middle moves as one, as an eyeball must.
    """

    side: float
    height: float
    width: float
    tall: float
    mean: float
    spread: float
    plateau: bool = False


FEATURES = {
    "eyes": Feature(0.031, 0.729, 0.024, 0.017, 0.0045, 0.0026, plateau=True),
    "bridge": Feature(0.0, 0.737, 0.011, 0.016, -0.0025, 0.0020),
    "dorsum": Feature(0.0, 0.716, 0.008, 0.018, -0.0050, 0.0026),
    "brows": Feature(0.022, 0.753, 0.022, 0.010, -0.0030, 0.0018),
    "outer brows": Feature(0.038, 0.752, 0.014, 0.010, -0.0030, 0.0015),
    "forehead": Feature(0.0, 0.785, 0.045, 0.026, -0.0035, 0.0022),
    "nose": Feature(0.0, 0.697, 0.015, 0.022, -0.0025, 0.0026),
    "mouth": Feature(0.0, 0.660, 0.030, 0.015, 0.0035, 0.0026),
    "corners of the mouth": Feature(0.024, 0.656, 0.015, 0.017, 0.0040, 0.0022),
    "chin": Feature(0.0, 0.630, 0.024, 0.016, 0.0, 0.0026),
    "cheeks": Feature(0.046, 0.705, 0.022, 0.020, 0.0025, 0.0022),
}
LIMIT = 2.2  # standard deviations


@dataclass(frozen=True)
class Prominence:
    """What is added to the template's points: displacements of ``FEATURES``, in metres, in their order."""

    amounts: tuple[float, ...]

    def __call__(self, points: Tensor) -> Tensor:
        """(N, 3) metres to add to the template's points (N, 3)."""
        back = torch.zeros_like(points[:, 0])
        for feature, amount in zip(FEATURES.values(), self.amounts, strict=True):
            for side in dict.fromkeys((feature.side, -feature.side)):
                across, up = (points[:, 0] - side) / feature.width, (points[:, 2] - feature.height) / feature.tall
                apart = across.square() + up.square()
                back = back + amount * torch.exp(-(apart.square() if feature.plateau else apart))
        back = back * smooth_step(-0.02, -0.07, points[:, 1])  # the back of the head stays
        return torch.stack([torch.zeros_like(back), back, torch.zeros_like(back)], dim=1)


AS_THE_KIT = Prominence((0.0,) * len(FEATURES))


def draw_prominence(rng: np.random.Generator, oddness: float = 1.0) -> Prominence:
    """Everybody's eyes lie deeper than the kit's, as a rule. ``oddness`` is the share of the spreads that is used."""
    deviations = oddness * np.clip(rng.standard_normal(len(FEATURES)), -LIMIT, LIMIT)
    return Prominence(tuple(f.mean + f.spread * float(d) for f, d in zip(FEATURES.values(), deviations, strict=True)))

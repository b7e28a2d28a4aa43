"""Faces beyond the kit's sliders: a smooth displacement of the whole head, nearly the same left and right.

A network that has seen nothing but one kit's heads takes every head for one of them. Waves of many lengths, from the
width of a head to that of a nostril, give proportions that no slider makes. Sines, not ``SolidNoise``: borders of its
cells would show as creases in the normals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

OCTAVES = ((0.20, 2.1e-3), (0.10, 1.3e-3), (0.05, 0.9e-3), (0.025, 0.4e-3))
"""Length of the waves and standard deviation of the displacement along each axis, metres, at strength 1."""

WAVES = 12  # of every length
LOPSIDED = 0.15  # share of the displacement that differs between left and right


@dataclass(frozen=True)
class Warp:
    """A displacement of the template's space; ``strength`` 0 is none, above 1.2 the odd ones begin."""

    strength: float
    seed: int

    def __call__(self, points: Tensor) -> Tensor:
        """(N, 3) metres to add to the template's points (N, 3)."""
        waves = [torch.from_numpy(part).to(points) for part in self._waves()]
        mirror = points.new_tensor([-1.0, 1.0, 1.0])
        here, there = _sum_of_waves(points, *waves), _sum_of_waves(points * mirror, *waves) * mirror
        even, odd = (here + there) / 2, (here - there) / 2
        return self.strength * (math.sqrt(2 * (1 - LOPSIDED**2)) * even + math.sqrt(2) * LOPSIDED * odd)

    def _waves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wave vectors (W, 3) in radians a metre, phases (W,), displacements (W, 3) at the crest."""
        rng = np.random.default_rng(self.seed)
        count = WAVES * len(OCTAVES)
        length, spread = np.repeat(np.array(OCTAVES), WAVES, axis=0).T
        along, across = (rng.standard_normal((count, 3)) for _ in range(2))
        length = length * np.exp(rng.uniform(-0.3, 0.3, count))
        vectors = along / np.linalg.norm(along, axis=1, keepdims=True) * (2 * np.pi / length)[:, None]
        crests = across * (spread * math.sqrt(2 / WAVES))[:, None]
        return tuple(part.astype(np.float32) for part in (vectors, rng.uniform(0, 2 * np.pi, count), crests))


NO_WARP = Warp(strength=0.0, seed=0)


def draw_warp(rng: np.random.Generator) -> Warp:
    """Everybody differs from the kit, some a little, some a lot."""
    return Warp(strength=float(rng.uniform(0.3, 1.1)), seed=int(rng.integers(2**31)))


def _sum_of_waves(points: Tensor, vectors: Tensor, phases: Tensor, crests: Tensor) -> Tensor:
    return torch.sin(points @ vectors.T + phases) @ crests

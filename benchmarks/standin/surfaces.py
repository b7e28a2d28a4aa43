"""Fine geometry and colour, painted and carved by the place on the template; not the training generator's skin.

Displacement is real: the depth that scores are taken against holds every wrinkle, pore and scar.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facedepth.synthetic.noise import SolidNoise, bump, smooth_step

FINISHES = ("skin", "painted", "clay")
CREASES = (  # points (x, z) on the template in metres, mirrored; how deep at most
    (((0.006, 0.772), (0.030, 0.776), (0.048, 0.770)), 0.5), (((0.004, 0.781), (0.026, 0.786), (0.044, 0.780)), 0.5),
    (((0.006, 0.790), (0.024, 0.795)), 0.4), (((0.006, 0.744), (0.008, 0.757)), 0.7),
    (((0.016, 0.692), (0.024, 0.680), (0.031, 0.664), (0.033, 0.652)), 1.1), (((0.028, 0.652), (0.031, 0.638)), 0.8),
    (((0.049, 0.731), (0.062, 0.737)), 0.5), (((0.050, 0.727), (0.064, 0.727)), 0.5),
    (((0.049, 0.723), (0.061, 0.716)), 0.5), (((0.016, 0.716), (0.030, 0.710), (0.044, 0.715)), 0.6),
)


def carve(rest: Tensor, oldness: float, noise: SolidNoise, rng: np.random.Generator) -> Tensor:
    """(N,) metres along the normal for skin at template places (N, 3): creases, scars, pores, unevenness."""
    front = smooth_step(-0.05, -0.09, rest[:, 1])
    wobble = 0.0012 * noise(rest, 60, slice(0, 2))
    flat = rest[:, [0, 2]] + wobble
    height = 0.00035 * noise(rest, 160, 2) * rng.uniform(0.3, 1.2) + 0.00012 * noise(rest, 520, 3) * rng.uniform(0.3, 1)
    for points, deepest in CREASES:
        for side in (-1, 1):
            depth = 0.001 * deepest * float(np.clip(oldness * rng.uniform(0.3, 1.2), 0, 1.1))
            shifted = np.array(points) * [side, 1] + rng.normal(0, 0.0015, (1, 2))
            apart, along = _to_line(flat, torch.from_numpy(shifted).float())
            ends = bump(along, 0.5, 0.42)
            height = height - depth * ends * front * (bump(apart, 0, 0.0011) - 0.35 * bump(apart, 0.0028, 0.0016))
    for _ in range(rng.poisson(0.5)):  # scars: raised or sunk
        start = rng.uniform([-0.06, 0.63], [0.06, 0.79])
        line = torch.from_numpy(np.stack([start, start + rng.normal(0, 0.012, 2)])).float()
        apart, along = _to_line(flat, line)
        height = height + float(rng.choice([-1, 1]) * rng.uniform(0.0003, 0.0008)) * front * bump(apart, 0, 0.0013)
    for _ in range(rng.poisson(3)):  # moles and pimples
        x, z = rng.uniform([-0.065, 0.61], [0.065, 0.80])
        apart = torch.hypot(rest[:, 0] - float(x), rest[:, 2] - float(z))
        height = height + float(rng.uniform(0.0003, 0.001)) * front * bump(apart, 0, float(rng.uniform(0.0012, 0.003)))
    return height


def bend(rest: Tensor, noise: SolidNoise, amount_m: float) -> Tensor:
    """(N, 3) a broad, lopsided displacement that no slider of the kit makes."""
    return amount_m * noise(rest + 0.37, 17, slice(0, 3))


def _to_line(points: Tensor, line: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (N,) of points (N, 2) to a polyline (K, 2), and how far along it the nearest place is, 0 ... 1."""
    best, along = torch.full((len(points),), torch.inf), torch.zeros(len(points))
    for i in range(len(line) - 1):
        step = line[i + 1] - line[i]
        t = (((points - line[i]) @ step) / step.dot(step)).clamp(0, 1)
        apart = (points - line[i] - t[:, None] * step).norm(dim=1)
        along = torch.where(apart < best, (i + t) / (len(line) - 1), along)
        best = torch.minimum(best, apart)
    return best, along


def skin_colour(rest: Tensor, lips: Tensor, tone: float, noise: SolidNoise, rng: np.random.Generator) -> Tensor:
    """(N, 3) linear RGB from amounts of melanin and blood that vary over the face (Beer and Lambert's law)."""
    side, z = rest[:, 0].abs(), rest[:, 2]
    front = smooth_step(-0.05, -0.09, rest[:, 1])
    melanin = 0.08 + 2.1 * tone**1.5 + (0.10 + 0.15 * tone) * noise(rest, 26, 0) * rng.uniform(0.2, 1)
    melanin = melanin + rng.uniform(0, 0.5) * smooth_step(0.35, 0.9, noise(rest, 520, 1)) * (rng.random() < 0.4)
    melanin = melanin + rng.uniform(0, 0.3) * bump(side, 0.031, 0.018) * bump(z, 0.727, 0.013) * front
    blood = 0.30 + 0.12 * noise(rest, 60, 1) * rng.uniform(0.2, 1) + 0.07 * noise(rest, 260, 2)
    blood = blood + rng.uniform(0, 0.5) * bump(side, 0.045, 0.022) * bump(z, 0.690, 0.022) * front
    blood = blood + rng.uniform(0, 0.5) * bump(side, 0, 0.014) * bump(z, 0.695, 0.014) * front
    blood = blood + rng.uniform(0.6, 1.5) * smooth_step(0.25, 0.7, lips)
    absorb = melanin[:, None] * torch.tensor([0.85, 1.30, 1.75]) + blood[:, None].clamp(min=0) * torch.tensor(
        [0.10, 0.75, 0.65]
    )
    return (0.80 * torch.exp(-absorb)).clamp(0.01, 0.9)


def brows(rest: Tensor, noise: SolidNoise) -> Tensor:
    """(N,) share of painted eyebrow."""
    side = rest[:, 0].abs()
    arch = 0.7465 + 0.006 * torch.sin(((side - 0.012) / 0.045).clamp(0, 1) * 2.3)
    band = bump(rest[:, 2] - arch, 0, 0.0038)
    reach = smooth_step(0.008, 0.016, side) * smooth_step(0.056, 0.044, side)
    return (band * reach * (0.9 + 0.5 * noise(rest, 900, 3))).clamp(0, 1) * smooth_step(-0.06, -0.09, rest[:, 1])


def paint(colour: Tensor, rest: Tensor, noise: SolidNoise, rng: np.random.Generator) -> Tensor:
    """Skin (N, 3) under strong patches: face paint, tattoos, vitiligo, dirt."""
    for channel in range(int(rng.integers(1, 4))):
        pigment = torch.from_numpy(rng.uniform(0.02, 0.85, 3)).float()
        scale = float(rng.choice([22, 45, 110, 260]))
        where = smooth_step(0.30, 0.36, noise(rest + float(rng.uniform(0, 9)), scale, channel))
        share = (where * rng.uniform(0.5, 0.95))[:, None]
        colour = colour * (1 - share) + pigment * share
    return colour


def eye_colour(offset: Tensor, iris: tuple[float, float, float]) -> Tensor:
    """(N, 3) linear RGB of an eyeball at places relative to its middle, -y forward."""
    apart = torch.where(offset[:, 1] < 0, torch.hypot(offset[:, 0], offset[:, 2]), 1.0)[:, None]
    white = torch.tensor([0.62, 0.57, 0.53])
    colour = white + (torch.tensor(iris) - white) * smooth_step(0.0064, 0.0058, apart)
    return colour * (1 - smooth_step(0.0022, 0.0018, apart)) + 0.008


def clay_colour(rng: np.random.Generator) -> Tensor:
    """(3,) plaster, clay, bronze: one colour for everything."""
    choices = ((0.55, 0.53, 0.50), (0.75, 0.72, 0.66), (0.42, 0.24, 0.15), (0.30, 0.30, 0.31), (0.22, 0.15, 0.09))
    return torch.tensor(choices[rng.integers(len(choices))])

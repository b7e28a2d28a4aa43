"""Clothes: copies of the body's skin a little outside of it, cut at a neckline, with a pattern and folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from .light import Surface
from .noise import SolidNoise, smooth_step

CUTS = ("crew", "vneck", "turtleneck", "shirt", "hoodie", "tank")


@dataclass(frozen=True)
class Clothing:
    """Cut and cloth; heights in metres on the template, colours linear RGB."""

    cut: str
    neckline: float
    pattern: str
    colour: tuple[float, float, float]
    second_colour: tuple[float, float, float]
    scale: float
    folds: float


def random_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """A cloth or paint colour, linear RGB: mostly muted, sometimes strong, often near black or white."""
    if rng.random() < 0.35:
        return tuple((np.full(3, rng.choice([0.02, 0.05, 0.15, 0.45, 0.75])) * rng.uniform(0.7, 1.15, 3) ** 0.4).tolist())
    hue, saturation, value = rng.random(), rng.beta(2, 2.5), rng.uniform(0.15, 0.9)
    rgb = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return tuple(((value * (1 - saturation * (1 - rgb))) ** 2.2).tolist())


def draw_clothing(rng: np.random.Generator) -> Clothing:
    return Clothing(
        cut=str(rng.choice(CUTS, p=[0.36, 0.17, 0.12, 0.17, 0.12, 0.06])), neckline=float(rng.uniform(-0.012, 0.012)),
        pattern=str(rng.choice(["plain", "stripes", "checks", "blotches", "knit"], p=[0.55, 0.13, 0.1, 0.08, 0.14])),
        colour=random_colour(rng), second_colour=random_colour(rng), scale=float(rng.uniform(0.6, 1.8)),
        folds=float(rng.uniform(0.3, 1.2)),
    )


def neck_margin(clothing: Clothing, rest: Tensor) -> Tensor:
    """(N,) metres below the neckline on the template; negative where skin shows."""
    side, height = rest[:, 0].abs(), rest[:, 2]
    front = smooth_step(0.02, -0.10, rest[:, 1])
    line = {
        "crew": 0.600 - 0.030 * front, "turtleneck": 0.628 - 0.012 * front, "hoodie": 0.606 - 0.035 * front,
        "vneck": 0.600 - 0.110 * front * smooth_step(0.07, 0.0, side),
        "shirt": 0.612 - 0.055 * front * smooth_step(0.045, 0.0, side),
        "tank": 0.585 - 0.075 * front * smooth_step(0.10, 0.06, side) - 0.02,
    }[clothing.cut]
    return line + clothing.neckline - height


def cloth_vertices(clothing: Clothing, vertices: Tensor, normals: Tensor, rest: Tensor, noise: SolidNoise) -> Tensor:
    """(V, 3) the body's vertices moved outwards to the cloth, and just below the skin beyond its rim."""
    margin = neck_margin(clothing, rest)
    edge = smooth_step(0.0, 0.004, margin)
    collar = {"shirt": 0.008, "hoodie": 0.016, "turtleneck": 0.004}.get(clothing.cut, 0.0015)
    thickness = 0.004 * edge + collar * edge * smooth_step(0.045, 0.0, margin)
    folds = clothing.folds * (0.0035 * noise(rest, 28, 2) + 0.0015 * noise(rest, 80, 3)) + 0.002
    thickness = thickness + folds.clamp(min=0) * smooth_step(0.01, 0.06, margin) - 0.002 - 0.004 * smooth_step(0, -0.01, margin)
    return vertices + normals * thickness[:, None]


def cloth_surface(clothing: Clothing, rest: Tensor, normals: Tensor, noise: SolidNoise) -> Surface:
    """Cloth at N points given by their places on the template."""
    first, second = torch.tensor(clothing.colour), torch.tensor(clothing.second_colour)
    x, height, size = rest[:, 0], rest[:, 2], clothing.scale
    share = {
        "plain": torch.zeros_like(x), "stripes": smooth_step(-0.2, 0.2, torch.sin(height * 2 * torch.pi / (0.024 * size))),
        "checks": ((torch.remainder(x, 0.04 * size) < 0.02 * size).float()
                   + (torch.remainder(height, 0.04 * size) < 0.02 * size).float()) / 2,
        "blotches": smooth_step(0.1, 0.3, noise(rest, 60 / size, 3)),
        "knit": 0.25 * (1 + torch.sin(x * 2 * torch.pi / 0.004)),
    }[clothing.pattern][:, None]
    albedo = (first * (1 - share) + second * share) * torch.exp(0.10 * noise(rest, 1100, 1) + 0.08 * noise(rest, 260, 2))[:, None]
    rim = neck_margin(clothing, rest)
    albedo = albedo * (1 - 0.35 * torch.exp(-((rim - 0.012) / 0.001) ** 2))[:, None]  # the seam
    slope = clothing.folds * (0.0022 * noise.slope(rest, 60, 0) + 0.0007 * noise.slope(rest, 160, 1))
    if clothing.pattern == "knit":
        slope = slope + 0.5 * torch.stack([torch.cos(x * 2 * torch.pi / 0.004), 0 * x, 0 * x], dim=1)
    slope = slope - (slope * normals).sum(dim=1, keepdim=True) * normals
    ones = torch.ones_like(x)
    return Surface(albedo.clamp(0, 0.9), normalize(normals - slope, dim=1), normals, 0.75 * ones, 0.35 * ones, 0 * ones)

"""Clothes: copies of the body's skin a little outside of it, cut at a neckline, with a pattern and folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .light import Surface
from .model import Piece, PosedBody, shell_piece, template_masks
from .noise import SolidNoise, smooth_step
from .scalp import fine_template
from .vectors import along_surface, unit

CUTS = ("crew", "vneck", "turtleneck", "shirt", "hoodie", "tank")
TUCKED_M = 0.004  # so far past the neckline cloth goes on, below the skin by then, so that its edge is not seen


@dataclass(frozen=True)
class Fabric:
    """A cloth or other material; colours linear RGB, ``scale`` of the pattern, ``folds`` how deep they look."""

    pattern: str
    colour: tuple[float, float, float]
    second_colour: tuple[float, float, float]
    scale: float
    folds: float


@dataclass(frozen=True)
class Clothing:
    """Cut and fabric; the neckline's shift in metres on the template."""

    cut: str
    neckline: float
    fabric: Fabric


def random_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """A cloth or paint colour, linear RGB: mostly muted, sometimes strong, often near black or white."""
    if rng.random() < 0.35:
        grey = rng.choice([0.02, 0.05, 0.15, 0.45, 0.75])
        return tuple((grey * rng.uniform(0.7, 1.15, 3) ** 0.4).tolist())
    hue, saturation, value = rng.random(), rng.beta(2, 2.5), rng.uniform(0.15, 0.9)
    rgb = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return tuple(((value * (1 - saturation * (1 - rgb))) ** 2.2).tolist())


def draw_fabric(rng: np.random.Generator) -> Fabric:
    """Half of the fabrics plain, the rest striped, chequered, blotched or knit."""
    pattern = str(rng.choice(["plain", "stripes", "checks", "blotches", "knit"], p=[0.55, 0.13, 0.1, 0.08, 0.14]))
    return Fabric(
        pattern, random_colour(rng), random_colour(rng), float(rng.uniform(0.6, 1.8)), float(rng.uniform(0.3, 1.2))
    )


def draw_clothing(rng: np.random.Generator) -> Clothing:
    """Something with a neckline: shirts, jumpers, hoodies."""
    cut = str(rng.choice(CUTS, p=[0.36, 0.17, 0.12, 0.17, 0.12, 0.06]))
    return Clothing(cut, float(rng.uniform(-0.012, 0.012)), draw_fabric(rng))


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


def clothes_piece(clothing: Clothing, posed: PosedBody, noise: SolidNoise) -> Piece:
    """Clothes on a body: the cloth below the neckline and its edge, tucked under the skin above."""
    rest, _ = fine_template()
    quads = template_masks().skin_quads
    margin = neck_margin(clothing, rest)
    worn = _moved_to_cloth(clothing, margin, posed.vertices, posed.normals, rest, noise)
    return shell_piece(worn, quads[margin[quads].amax(dim=1) > -TUCKED_M], "cloth")


def _moved_to_cloth(
    clothing: Clothing, margin: Tensor, vertices: Tensor, normals: Tensor, rest: Tensor, noise: SolidNoise
) -> Tensor:
    """(V, 3) the body's vertices moved outwards to the cloth, and just below the skin beyond its rim."""
    edge = smooth_step(-0.003, 0.009, margin)
    collar = {"shirt": 0.008, "hoodie": 0.016, "turtleneck": 0.004}.get(clothing.cut, 0.0015)
    thickness = 0.004 * edge + collar * edge * smooth_step(0.045, 0.0, margin)
    folds = clothing.fabric.folds * (0.0035 * noise(rest, 28, 2) + 0.0015 * noise(rest, 80, 3)) + 0.002
    thickness = thickness + folds.clamp(min=0) * smooth_step(0.01, 0.06, margin)
    thickness = thickness - 0.002 - 0.004 * smooth_step(0, -0.01, margin)
    return vertices + normals * thickness[:, None]


def fabric_surface(
    fabric: Fabric, rest: Tensor, normals: Tensor, noise: SolidNoise, *, rim: Tensor | None = None,
    roughness: float = 0.75,
) -> Surface:
    """Fabric at N points given by their places on the template; ``rim`` (N,) is the distance to a hem sewn at 12 mm."""
    first, second = torch.tensor(fabric.colour), torch.tensor(fabric.second_colour)
    x, height, size = rest[:, 0], rest[:, 2], fabric.scale
    thread = 2 * torch.pi / 0.009
    if fabric.pattern == "stripes":
        share = smooth_step(-0.2, 0.2, torch.sin(height * 2 * torch.pi / (0.024 * size)))
    elif fabric.pattern == "checks":
        share = 0.5 * sum((torch.remainder(place, 0.04 * size) < 0.02 * size).float() for place in (x, height))
    elif fabric.pattern == "blotches":
        share = smooth_step(0.1, 0.3, noise(rest, 60 / size, 3))
    elif fabric.pattern == "knit":
        share = 0.25 * (1 + torch.sin(x * thread))
    else:
        share = torch.zeros_like(x)
    grain = torch.exp(0.10 * noise(rest, 1100, 1) + 0.08 * noise(rest, 260, 2))
    if rim is not None:
        grain = grain * (1 - 0.35 * torch.exp(-(((rim - 0.012) / 0.001) ** 2)))
    albedo = (first * (1 - share[:, None]) + second * share[:, None]) * grain[:, None]
    slope = fabric.folds * (0.0022 * noise.slope(rest, 60, 0) + 0.0007 * noise.slope(rest, 160, 1))
    if fabric.pattern == "knit":
        slope = slope + 0.5 * torch.stack([torch.cos(x * thread), 0 * x, 0 * x], dim=1)
    ones = torch.ones_like(x)
    return Surface(
        albedo.clamp(0, 0.9), unit(normals - along_surface(slope, normals)), normals, roughness * ones, 0.35 * ones,
        0 * ones,
    )

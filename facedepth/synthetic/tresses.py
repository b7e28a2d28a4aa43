"""All strands of one person in the world: hair, brows, lashes and beard, with their colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import facial_hair, hair
from .facial_hair import FacialHairLook
from .hair_styles import COLOURS, HairLook
from .model import PosedBody
from .noise import SolidNoise
from .scalp import Roots
from .strands import Strands
from .vectors import unit

ROOT_COUNT = {"long": 3800, "bob": 4200, "locs": 4400, "buzz": 9000, "afro": 4500, "curls": 4200, "crop": 7000}
DEFAULT_ROOT_COUNT = 5200
BRIGHTEST = 0.7
LASH_RGB = (0.012, 0.009, 0.008)


@dataclass(frozen=True)
class Grown:
    """What grows on a person; ``small`` are brows and lashes, which cast no shadow."""

    hair: Strands | None
    beard: Strands | None
    small: Strands

    @property
    def casting(self) -> list[Strands]:
        """What casts shadows and has depth."""
        return [strands for strands in (self.hair, self.beard) if strands is not None]


def grow_everything(
    hair_look: HairLook | None, colour: tuple[float, float, float], look: FacialHairLook, posed: PosedBody,
    noise: SolidNoise, rng: np.random.Generator, covered: Tensor | None, thinning: float,
) -> Grown:
    """Strands in the world.

    Args:
        hair_look: or None for a bald head; ``colour`` is that of brows and beard, linear RGB.
        covered: bool over ``scalp_roots()``, hidden by a hat, or None.
        thinning: share of the strands of the head to grow, each the thicker; small pictures need fewer.
    """
    down = unit(posed.turn.T @ torch.tensor([0.0, 0.0, -1.0]))
    streams = [np.random.default_rng(seed) for seed in rng.integers(1 << 62, size=4)]
    head_hair = None
    if hair_look is not None:
        count = round(thinning * ROOT_COUNT.get(hair_look.style, DEFAULT_ROOT_COUNT))
        roots, points, outness, outward = hair.grow(hair_look, streams[0], noise, down, count=count, covered=covered)
        if len(points):
            head_hair = _dress(hair_look, roots, points, outness, outward, posed, streams[0])
            head_hair = head_hair._replace(width_m=head_hair.width_m / thinning**0.7)
    beard = None
    if look.beard != "none":
        roots, points = facial_hair.grow_beard(look, streams[1], noise, down)
        if len(points):
            beard = _plain(roots, points, posed, colour, streams[1], width_m=0.0004, spread=0.3, darkest=0.35)
    roots, points = facial_hair.grow_brows(look, streams[2])
    brow_colour = tuple(min(0.8 * c, 0.25) for c in colour)
    small = _plain(roots, points, posed, brow_colour, streams[2], width_m=0.00034, spread=0.25, darkest=0.9)
    lashes = facial_hair.lash_strands(look, posed.coarse, streams[3])
    ones = torch.ones(lashes.shape[:2])
    lashes = Strands(
        lashes, torch.tensor([0.0, -1.0, 0.0]).expand_as(lashes), torch.tensor(LASH_RGB).expand_as(lashes),
        0.00028 * torch.linspace(1.1, 0.35, 5).expand_as(ones), ones, 0.2 * ones,
    )
    small = Strands(*(torch.cat(both) for both in zip(small, lashes, strict=True)))
    return Grown(head_hair, beard, small)


def _dress(
    look: HairLook, roots: Roots, points: Tensor, outness: Tensor, outward: Tensor, posed: PosedBody,
    rng: np.random.Generator,
) -> Strands:
    count, steps = points.shape[:2]
    draw = torch.as_tensor(rng.random((count, 3), dtype=np.float32))
    t = torch.linspace(0, 1, steps)[None, :, None]
    base = torch.tensor(look.colour) * (1 - t) + torch.tensor(look.tip_colour) * t
    grey = (look.grey + (draw[:, :1, None] - 0.5) * 2 * min(look.grey, 0.3)).clamp(0, 1)
    base = base * (1 - grey) + torch.tensor(COLOURS["grey"]) * grey
    albedo = (base * torch.exp(0.5 * (draw[:, 1] - 0.5))[:, None, None]).clamp(max=BRIGHTEST)
    normals = unit(outward @ posed.linear.T)
    taper = (1.15 - torch.linspace(0, 1, steps) ** 3 * 0.75)[None] * (0.7 + 0.6 * draw[:, 2:])
    thickness = {"buzz": 0.62, "crop": 0.62, "long": 1.4, "bob": 1.2}.get(look.style, 1.0)
    dense = 0.25 if look.style == "buzz" else 0.12
    world = posed.carry_strands(roots, points)
    return Strands(
        world, normals, albedo, look.lock_width * thickness * taper, dense + (1 - dense) * outness**0.8,
        torch.full((count, steps), look.gloss * (0.4 if look.style == "afro" else 1.0)),
    )


def _plain(
    roots: Roots, points: Tensor, posed: PosedBody, colour: tuple[float, float, float], rng: np.random.Generator,
    *, width_m: float, spread: float, darkest: float,
) -> Strands:
    """Short hairs of one colour, thinner and lighter towards the tips."""
    count, steps = points.shape[:2]
    draw = torch.as_tensor(rng.standard_normal((count, 1), dtype=np.float32))
    albedo = torch.tensor(colour) * torch.exp(spread * draw)[..., None].expand(count, steps, 1)
    normals = unit(roots.normal @ posed.linear.T)[:, None].expand(count, steps, 3)
    t = torch.linspace(0, 1, steps).expand(count, steps)
    return Strands(
        posed.carry_strands(roots, points), normals, albedo.clamp(max=BRIGHTEST),
        width_m * (1.1 - 0.7 * t), darkest + (1 - darkest) * t, torch.full((count, steps), 0.3),
    )

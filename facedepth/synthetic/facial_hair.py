"""Eyebrows, eyelashes and beards, strand by strand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .devices import cached_per_device, on_host
from .head import head_subdivision
from .kit import load_kit
from .noise import SolidNoise, bump, smooth_step
from .people import Body
from .scalp import Roots, distance_field, fine_template, scatter_roots
from .vectors import along_surface, unit

BEARDS = ("none", "stubble", "full", "long", "goatee", "moustache")


@dataclass(frozen=True)
class FacialHairLook:
    """How one person's brows, lashes and beard look.

    Attributes:
        brow_height: how far the brows are moved up, in metres.
        brow_thickness: about half the brow's height near the nose, in metres; it thins outwards.
        brow_arch: height of the arch in metres, which ``brow_band`` scales.
        brow_density: share of the brow's roots that grow hair, in [0, 1].
        brow_length: length of its hairs, in metres.
        lash_length, lash_density: shares of the kit's length and of the strands, in [0, 1].
        beard: one of BEARDS.
        beard_length: in metres, 0 for none.
        beard_density: share of full growth, in [0, 1].
        beard_curl: 0 nearly straight ... 1 curly.
    """

    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_density: float
    brow_length: float
    lash_length: float
    lash_density: float
    beard: str
    beard_length: float
    beard_density: float
    beard_curl: float


def draw_facial_hair(rng: np.random.Generator, body: Body) -> FacialHairLook:
    """Brows, lashes and, for grown men, a beard in half of the cases."""
    grown_man = body.is_masculine and body.phenotype.age > 0.6
    beard = str(rng.choice(BEARDS, p=[0.46, 0.22, 0.14, 0.05, 0.07, 0.06])) if grown_man else "none"
    length = {
        "none": 0.0, "stubble": rng.uniform(0.001, 0.004), "full": rng.uniform(0.006, 0.020),
        "long": rng.uniform(0.03, 0.09), "goatee": rng.uniform(0.004, 0.02), "moustache": rng.uniform(0.006, 0.014),
    }[beard]
    return FacialHairLook(
        brow_height=float(rng.normal(0, 0.0012)), brow_arch=float(rng.uniform(0.0018, 0.0046)),
        brow_thickness=float(rng.uniform(0.0022, 0.0044) + 0.0012 * body.is_masculine),
        brow_density=float(rng.uniform(0.25, 0.8)), brow_length=float(rng.uniform(0.005, 0.0085)),
        lash_length=float(rng.uniform(0.35, 0.65) if body.is_masculine else rng.uniform(0.5, 1.0)),
        lash_density=float(rng.uniform(0.4, 0.8) if body.is_masculine else rng.uniform(0.5, 1.0)),
        beard=beard, beard_length=float(length), beard_density=float(rng.uniform(0.4, 1.0)),
        beard_curl=float(rng.uniform(0, 0.5) + 0.5 * (body.phenotype.african > 0.5)),
    )


def beard_region(beard: str, rest: Tensor) -> Tensor:
    """(N,) share of full growth at template points for one of BEARDS."""
    side, depth, height = rest[:, 0].abs(), rest[:, 1], rest[:, 2]
    line = height - 0.30 * (side - 0.03).clamp(0, 0.05)
    jaw = smooth_step(0.687, 0.668, line) * smooth_step(0.592, 0.622, height) * smooth_step(-0.050, -0.075, depth)
    cheek = smooth_step(0.047, 0.060, side) * smooth_step(0.728, 0.70, height) * smooth_step(-0.055, -0.07, depth)
    cheek = cheek * smooth_step(-0.112, -0.095, depth) * smooth_step(0.60, 0.64, height)
    moustache = bump(height, 0.6725, 0.0055) * smooth_step(0.033, 0.024, side) * smooth_step(-0.12, -0.132, depth)
    chin = smooth_step(0.026, 0.018, side) * smooth_step(0.662, 0.652, height) * smooth_step(0.600, 0.622, height)
    chin = chin * smooth_step(-0.10, -0.115, depth)
    beside = bump(side, 0.027, 0.006) * smooth_step(0.68, 0.672, height) * smooth_step(0.635, 0.65, height)
    grown = {
        "none": torch.zeros_like(side), "moustache": moustache,
        "goatee": torch.stack([moustache, chin, beside]).amax(0),
    }.get(beard, torch.stack([jaw, cheek, moustache]).amax(0))
    return grown.clamp(0, 1)


@cached_per_device
def template_beard(beard: str) -> Tensor:
    """(V2,) ``beard_region`` on the fine template."""
    return beard_region(beard, fine_template()[0])


def brow_band(look: FacialHairLook, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Place within the brow: share along it from the nose (N,), height over its middle (N,), half its width (N,)."""
    along = (rest[:, 0].abs() - 0.0125) / 0.043
    t = along.clamp(0, 1)
    arch = 0.0008 * (1 - t) ** 2 + 0.65 * look.brow_arch * torch.sin(2.2 * t) - 0.0032 * t**3
    middle = 0.7460 + look.brow_height + arch
    half = look.brow_thickness * (1.1 - 0.75 * t**1.4) * smooth_step(-0.10, 0.06, along) * smooth_step(1.08, 0.9, along)
    return along, rest[:, 2] - middle, half


@cached_per_device
def _face_roots() -> tuple[Roots, Roots]:
    """Roots for brows and for beards, off the lips."""
    rest, _ = fine_template()
    kit = load_kit()
    lips = head_subdivision().refine(kit.masks["lips"][:, None])[:, 0]
    side, depth, height = rest[:, 0].abs(), rest[:, 1], rest[:, 2]
    brows = (height > 0.733) & (height < 0.768) & (side < 0.064) & (side > 0.006) & (depth < -0.085)
    beard = (height > 0.585) & (height < 0.735) & (depth < -0.035) & (side < 0.085) & (lips < 0.35)
    return scatter_roots(kit, brows, 5000, seed=2), scatter_roots(kit, beard, 16000, seed=3)


def grow_brows(look: FacialHairLook, rng: np.random.Generator) -> tuple[Roots, Tensor]:
    """Roots and template points (N, 5, 3) of both eyebrows: upright by the nose, lying outwards beyond."""
    roots, along, above, draw = _brow_roots(look, rng)
    outwards = torch.sign(roots.rest[:, :1]) * torch.tensor([[1.0, 0, 0]])
    upright = (0.9 - 1.4 * along.clamp(0, 1) - 120 * above)[:, None] * torch.tensor([[0, 0, 1.0]])
    jitter = 0.25 * torch.as_tensor(rng.standard_normal((len(along), 3), dtype=np.float32))
    direction = outwards * (0.35 + 0.8 * along.clamp(0, 1))[:, None] + upright + jitter
    return roots, _lie_down(roots, direction, look.brow_length * (0.6 + 0.5 * draw[:, 1]), steps=5, rise=0.16)


@on_host
def _brow_roots(look: FacialHairLook, rng: np.random.Generator) -> tuple[Roots, Tensor, Tensor, Tensor]:
    """Roots of the brows, their place along and above the brow (N,), and (N, 3) uniform numbers for each."""
    roots, _ = _face_roots()
    along, above, half = brow_band(look, roots.rest)
    draw = torch.as_tensor(rng.random((len(along), 3), dtype=np.float32))
    inside = smooth_step(1.15, 0.6, above.abs() / half.clamp(min=1e-5)) * (half > 2e-4)
    kept = draw[:, 0] < inside * look.brow_density * (0.55 + 0.45 * smooth_step(0.0, 0.3, along))
    kept = kept.nonzero()[:, 0]
    return roots.pick(kept), along[kept], above[kept], draw[kept]


def _lie_down(roots: Roots, direction: Tensor, length: Tensor, *, steps: int, rise: float) -> Tensor:
    """(N, steps, 3) strands that leave the skin and bend along ``direction``."""
    normal = roots.normal
    flat = unit(along_surface(direction, normal))
    t = torch.linspace(0, 1, steps)[None, :, None]
    lifted = rise * t * (1.6 - t) * normal[:, None]
    return roots.rest[:, None] + length[:, None, None] * (t * flat[:, None] + lifted) + 2e-4 * normal[:, None]


def grow_beard(
    look: FacialHairLook, rng: np.random.Generator, noise: SolidNoise, down: Tensor
) -> tuple[Roots, Tensor]:
    """Roots and template points (N, K, 3) of a beard, which must not be "none"."""
    roots, draw = _beard_roots(look, rng, noise)
    count = len(draw)
    length = look.beard_length * (0.6 + 0.6 * draw[:, 1]) * (1 - 0.45 * smooth_step(0.66, 0.70, roots.rest[:, 2]))
    if look.beard == "stubble":
        direction = down + 0.4 * torch.as_tensor(rng.standard_normal((count, 3), dtype=np.float32))
        return roots, _lie_down(roots, direction, length, steps=3, rise=0.5)
    sideways = torch.sign(roots.rest[:, :1]) * torch.tensor([[1.0, 0, 0]])
    under_nose = bump(roots.rest[:, 2], 0.672, 0.007)[:, None] * (roots.rest[:, 0].abs() < 0.035)[:, None]
    steps = 9
    place, heading, points = roots.rest, roots.normal, [roots.rest]
    for step in range(1, steps):
        wish = (1 - 0.7 * under_nose) * down + 0.9 * under_nose * sideways + 0.35 * (1 - step / steps) * roots.normal
        stray = torch.as_tensor(rng.standard_normal((count, 3), dtype=np.float32))
        wish = wish + (0.15 + 0.7 * look.beard_curl) * stray
        heading = unit(0.5 * heading + 0.5 * unit(wish))
        place = place + heading * (length / (steps - 1))[:, None]
        distance, outward = distance_field(place)
        place = place + (0.001 + 0.004 * draw[:, 2:] - distance[:, None]).clamp(min=0) * outward
        points.append(place)
    return roots, torch.stack(points, dim=1)


@on_host
def _beard_roots(look: FacialHairLook, rng: np.random.Generator, noise: SolidNoise) -> tuple[Roots, Tensor]:
    """Roots of the beard, and (N, 3) uniform numbers for each."""
    _, roots = _face_roots()
    draw = torch.as_tensor(rng.random((len(roots.rest), 3), dtype=np.float32))
    patchy = 1 + 0.5 * (1 - look.beard_density) * noise(roots.rest, 110, 2)
    share = {"stubble": 0.8, "full": 0.65, "goatee": 0.8, "moustache": 0.9, "long": 0.5}[look.beard]
    wanted = share * look.beard_density * patchy * beard_region(look.beard, roots.rest)
    kept = (draw[:, 0] < wanted).nonzero()[:, 0]
    return roots.pick(kept), draw[kept]


def lash_strands(look: FacialHairLook, vertices: Tensor, rng: np.random.Generator) -> Tensor:
    """(N, 5, 3) eyelashes of the posed head's coarse vertices (V, 3): columns of the kit and strands between them."""
    columns = vertices[load_kit().lashes]  # (C, 5, 3): lower lids left, right, then upper lids
    lower, upper = 12, 13
    strips = columns.split([lower, lower, upper, upper])
    strands = []
    for strip, between in zip(strips, (3, 3, 6, 6), strict=True):
        place = torch.as_tensor(rng.uniform(0, len(strip) - 1.001, between * len(strip)).astype(np.float32))
        first, share = place.long(), (place % 1)[:, None, None]
        strand = strip[first] * (1 - share) + strip[first + 1] * share
        reach = look.lash_length * torch.as_tensor(rng.uniform(0.7, 1.1, (len(strand), 1, 1)).astype(np.float32))
        strands.append(strand[:, :1] + reach * (strand - strand[:, :1]))
    strands = torch.cat(strands)
    return strands[torch.as_tensor(rng.random(len(strands))) < look.lash_density]

"""Skin: tone, zones of blood and melanin, freckles, stubble shadow, make-up, pores, wrinkles; and lips.

Everything is painted by the place on the template, so it needs no texture maps and holds at any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .light import Surface
from .noise import SolidNoise, bump, smooth_step
from .people import Body
from .vectors import along_surface, unit

TONES = (  # linear RGB albedo of facial skin from very fair to very dark
    (0.76, 0.55, 0.44), (0.69, 0.455, 0.335), (0.59, 0.355, 0.235), (0.465, 0.26, 0.158), (0.33, 0.172, 0.10),
    (0.205, 0.102, 0.058), (0.12, 0.060, 0.037), (0.072, 0.038, 0.026),
)
PORE_M = 0.0011
BLOOD = (0.05, 0.42, 0.36)  # what a unit of blood takes from red, green and blue


@dataclass(frozen=True)
class SkinLook:
    """How one person's skin looks.

    Attributes:
        tone: 0 very fair ... 1 very dark, along TONES.
        warmth: standard normal; above 0 a warmer tone, below 0 a cooler one.
        blush: redness of cheeks, nose and chin, 0 none ... 1.
        mottling: unevenness of blood and melanin, 0 none ... 1.
        freckles: strength, 0 none ... 1.
        moles, mole_seed: how many there are, and the seed of their places.
        stubble: shadow of a shaved beard, 0 none ... 1.
        lip_blood: redness of the lips, 0.35 ... 1.1.
        lipstick, lipstick_rgb: opacity, 0 none ... 1, and linear RGB albedo.
        eye_shadow, eye_shadow_rgb: likewise.
        under_eyes: strength of dark rings, 0 none ... 1.
        wrinkles: strength, 0 none ... 1.
        pores: depth of the pores, 0.3 ... 1.2.
        oil: strength of the highlights, 0.3 ... 1.3.
        roughness: of the highlights, 0 mirror ... 1 dull; 0.42 ... 0.62.
    """

    tone: float
    warmth: float
    blush: float
    mottling: float
    freckles: float
    moles: int
    mole_seed: int
    stubble: float
    lip_blood: float
    lipstick: float
    lipstick_rgb: tuple[float, float, float]
    eye_shadow: float
    eye_shadow_rgb: tuple[float, float, float]
    under_eyes: float
    wrinkles: float
    pores: float
    oil: float
    roughness: float


def draw_skin(rng: np.random.Generator, body: Body) -> SkinLook:
    """Skin that fits the person's ancestry, age and gender."""
    ancestry = body.phenotype
    tone = (
        ancestry.african * rng.uniform(0.5, 1.0) + ancestry.asian * rng.uniform(0.12, 0.62)
        + ancestry.caucasian * rng.uniform(0.0, 0.42)
    )
    made_up = not body.is_masculine and rng.random() < 0.5
    red = np.array([0.40, 0.045, 0.06]) * rng.uniform(0.4, 1.2)
    lipstick = red * [1, rng.uniform(0.6, 3), rng.uniform(0.6, 2.5)]
    shadow = np.array([0.10, 0.06, 0.055]) * rng.uniform(0.3, 2.2) * np.exp(rng.normal(0, 0.35, 3))
    return SkinLook(
        tone=float(np.clip(tone, 0, 1)), warmth=float(rng.normal(0, 1)), blush=float(rng.uniform(0.1, 0.9)),
        mottling=float(rng.uniform(0.3, 1.0)), moles=int(rng.poisson(2)), mole_seed=int(rng.integers(1 << 30)),
        freckles=float(rng.uniform(0.1, 0.8) * (tone < 0.35) * (rng.random() < 0.16)),
        stubble=float(rng.uniform(0.1, 1.0) * body.is_masculine * (body.phenotype.age > 0.58) * (rng.random() < 0.75)),
        lip_blood=float(rng.uniform(0.35, 1.1)), lipstick=float(rng.uniform(0.2, 0.9) * made_up),
        lipstick_rgb=tuple(np.clip(lipstick, 0, 0.6).tolist()),
        eye_shadow=float(rng.uniform(0.1, 0.7) * made_up * (rng.random() < 0.7)),
        eye_shadow_rgb=tuple(shadow.tolist()),
        under_eyes=float(rng.uniform(0, 1) * (0.5 + 0.5 * body.oldness)),
        wrinkles=float(np.clip(body.oldness * rng.uniform(0.6, 1.3) + rng.uniform(0, 0.25), 0, 1)),
        pores=float(rng.uniform(0.3, 1.2)), oil=float(rng.uniform(0.3, 1.3)), roughness=float(rng.uniform(0.42, 0.62)),
    )


def base_tone(look: SkinLook) -> np.ndarray:
    """(3,) albedo before any zone: between the TONES, a little warmer or cooler."""
    place = look.tone * (len(TONES) - 1)
    tone = np.exp([np.interp(place, range(len(TONES)), np.log([t[c] for t in TONES])) for c in range(3)])
    return tone * np.exp(look.warmth * np.array([0.02, 0.0, -0.06]))


def skin_surface(
    look: SkinLook, rest: Tensor, normals: Tensor, lips: Tensor, lids: Tensor, ears: Tensor, noise: SolidNoise,
    *, stubble: Tensor, stubble_rgb: Tensor, expression: dict[str, float], pixel_m: float,
) -> Surface:
    """Skin at N points.

    Args:
        rest: (N, 3) places on the template, normals: (N, 3) in the world.
        lips, lids, ears: (N,) masks; stubble: (N,) share of beard growth, stubble_rgb: (3,) its colour.
        expression: facial actions, for the wrinkles they fold.
        pixel_m: size of a pixel at the face; pores are left out where they are smaller.
    """
    side, height = rest[:, 0].abs(), rest[:, 2]
    front = smooth_step(-0.085, -0.108, rest[:, 1])

    def zone(x: float, z: float, width_x: float, width_z: float) -> Tensor:
        return bump(side, x, width_x) * bump(height, z, width_z) * front

    broad, middle, fine, finest = (noise(rest, cells, channel) for cells, channel in
                                   ((45, 0), (170, 1), (700, 2), (1900, 3)))
    cheeks, nose, chin = zone(0.042, 0.696, 0.02, 0.018), zone(0, 0.70, 0.014, 0.014), zone(0, 0.632, 0.018, 0.012)
    forehead = smooth_step(0.752, 0.775, height) * front
    eye_bag = zone(0.030, 0.711, 0.015, 0.006)
    jaw = smooth_step(0.69, 0.66, height)

    blood = look.mottling * (0.10 * broad + 0.07 * middle + 0.04 * fine)
    blood = blood + look.blush * (0.55 * cheeks + 0.5 * nose + 0.2 * chin) + 0.35 * ears + 0.25 * lids - 0.1 * forehead
    lip = smooth_step(0.30, 0.62, lips + 0.06 * fine)
    blood = blood + lip * (0.7 + look.lip_blood) + look.under_eyes * 0.45 * eye_bag
    dark = look.mottling * (0.05 * broad + 0.035 * middle) + 0.10 * look.under_eyes * eye_bag + 0.05 * lids + 0.05 * jaw
    dark = dark + lip * (0.05 + 0.10 * look.tone)
    if look.freckles:
        where = (1.5 * cheeks + 1.3 * nose + 0.4 * forehead + 0.1).clamp(max=1)
        dark = dark + 0.8 * look.freckles * where * smooth_step(0.55, 0.95, noise(rest, 850, 1) + 0.5 * middle)
    dark = dark + _moles(look, rest) * front
    albedo = torch.tensor(base_tone(look).tolist()) * torch.exp(
        -dark[:, None] * torch.tensor([0.9, 1.15, 1.3]) - blood[:, None].clamp(-0.4, 2.5) * torch.tensor(BLOOD)
        * (1 - 0.45 * look.tone)
    )
    albedo = albedo * torch.exp(0.025 * fine + 0.02 * finest)[:, None]
    shadow = (stubble * (0.55 + 0.5 * finest + 0.4 * fine)).clamp(0, 0.75)[:, None]
    albedo = albedo * (1 - shadow) + shadow * (0.6 * stubble_rgb + 0.25 * albedo * torch.tensor([0.85, 1.0, 1.1]))
    if look.lipstick:
        amount = (look.lipstick * lip)[:, None]
        albedo = albedo * (1 - amount) + amount * torch.tensor(look.lipstick_rgb)
    if look.eye_shadow:
        amount = (look.eye_shadow * 0.6 * bump(side, 0.031, 0.017) * bump(height, 0.7375, 0.0055) * front)[:, None]
        albedo = albedo * (1 - amount) + amount * torch.tensor(look.eye_shadow_rgb)

    oily = 1 + 0.7 * nose + 0.45 * forehead + 0.3 * chin - 0.25 * cheeks
    gloss = (0.2 + 0.5 * look.oil) * oily * (1 + 0.8 * lip * (0.5 + look.lipstick)) * (1 + 0.25 * fine)
    roughness = look.roughness + 0.05 * middle - 0.05 * nose - 0.10 * lip
    return Surface(
        albedo, _bumped(look, rest, normals, noise, forehead, lip, broad, expression, pixel_m), normals,
        roughness.clamp(0.2, 0.8), gloss.clamp(min=0) * (1 - 0.5 * shadow[:, 0]), torch.ones_like(side),
    )


def _moles(look: SkinLook, rest: Tensor) -> Tensor:
    spots = np.random.default_rng(look.mole_seed)
    total = torch.zeros(len(rest))
    for _ in range(look.moles):
        x, z, radius = spots.uniform(-0.06, 0.06), spots.uniform(0.61, 0.79), spots.uniform(0.0006, 0.0017)
        apart = torch.hypot(rest[:, 0] - x, rest[:, 2] - z)
        total = total + float(spots.uniform(0.4, 1.0)) * smooth_step(radius * 1.3, radius * 0.7, apart)
    return total


def _bumped(
    look: SkinLook, rest: Tensor, normals: Tensor, noise: SolidNoise, forehead: Tensor, lip: Tensor, broad: Tensor,
    expression: dict[str, float], pixel_m: float,
) -> Tensor:
    slope = 0.00007 * look.pores * noise.slope(rest, 380, 0)
    if pixel_m < PORE_M:
        slope = slope + 0.00004 * look.pores * noise.slope(rest, 1400, 2)
    side, height = rest[:, 0].abs(), rest[:, 2]
    raised = expression.get("browInnerUp", 0.0) + 0.5 * expression.get("browOuterUpLeft", 0.0)
    smile = max(expression.get("mouthSmileLeft", 0.0), expression.get("cheekSquintLeft", 0.0))
    # lines across the forehead, then crow's feet, then the frown between the brows, then fine lines of the lips
    lines = forehead * smooth_step(0.06, 0.035, side) * min(1.0, 0.55 * look.wrinkles + 0.6 * raised)
    up = 0.30 * lines * torch.cos((height + 0.002 * broad + 0.10 * side * side) * (2 * torch.pi / 0.0105))
    feet = bump(side, 0.057, 0.007) * bump(height, 0.728, 0.012) * min(1.0, (0.5 + 0.7 * smile) * look.wrinkles)
    fan = height - 0.5 * (side - 0.05) * torch.sign(height - 0.728)
    up = up + 0.28 * feet * torch.cos(fan * (2 * torch.pi / 0.0045))
    lowered = min(1.0, 0.4 * look.wrinkles + expression.get("browDownLeft", 0.0))
    frown = bump(side, 0.006, 0.006) * bump(height, 0.752, 0.008) * lowered
    across = 0.25 * frown * torch.cos(rest[:, 0] * (2 * torch.pi / 0.009))
    across = across + 0.10 * lip * torch.cos((rest[:, 0] + 0.0006 * broad) * (2 * torch.pi / 0.0022))
    slope = slope + torch.stack([across, torch.zeros_like(up), up], dim=1)
    slope = along_surface(slope, normals)
    return unit(normals - slope)

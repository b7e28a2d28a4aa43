"""Light: a sky of second-order spherical harmonics, up to three lamps, and how surfaces answer to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .devices import on_host
from .vectors import dot, unit

SKIN_WRAP = (0.22, 0.10, 0.06)  # how far light seeps around a terminator, for red, green and blue
Y00 = 0.282095  # the first harmonic, the same in all directions
COSINE_BANDS = (1.0, 2 / 3, 1 / 4)  # the clamped cosine's harmonics over pi (Ramamoorthi and Hanrahan 2001)


class Surface(NamedTuple):
    """What N visible points are made of.

    Attributes:
        albedo: (N, 3) linear RGB.
        normal: (N, 3) unit, with bumps; smooth: (N, 3) without.
        roughness: (N,) of the highlights, 0 mirror ... 1 dull; gloss: (N,) their strength, 1 for dry skin.
        seep: (N,) 1 where light seeps below the surface like in skin, 0 where it does not.
    """

    albedo: Tensor
    normal: Tensor
    smooth: Tensor
    roughness: Tensor
    gloss: Tensor
    seep: Tensor


@dataclass(frozen=True)
class Lighting:
    """Light around a head.

    Attributes:
        sky: (9, 3) RGB coefficients of radiance in real spherical harmonics, band by band, about the world's axes.
        towards: (L, 3) unit directions to the lamps; all of them cast shadows.
        rgb: (L, 3) their irradiance over pi at normal incidence.
        radius: (L,) half-width of each lamp seen from the head, in radians.
    """

    sky: Tensor
    towards: Tensor
    rgb: Tensor
    radius: Tensor

    def white(self) -> Tensor:
        """(3,) tint of all light together, of mean 1: what a camera's white balance takes for white."""
        total = self.sky[0] * Y00 + 0.5 * self.rgb.sum(dim=0)
        return total / total.mean()


def harmonics(directions: Tensor) -> Tensor:
    """(N, 9) real spherical harmonics of unit directions (N, 3)."""
    x, y, z = directions.unbind(dim=1)
    return torch.stack([
        torch.full_like(x, Y00), 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
        0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y),
    ], dim=1)


def irradiance(sky: Tensor, normals: Tensor) -> Tensor:
    """(N, 3) the sky's irradiance over pi on surfaces with these normals: white of radiance 1 gives 1."""
    bands = torch.tensor([COSINE_BANDS[0]] + [COSINE_BANDS[1]] * 3 + [COSINE_BANDS[2]] * 5)
    return (harmonics(normals) @ (sky * bands[:, None])).clamp(min=0.01)


def warmth(shift: float) -> np.ndarray:
    """(3,) RGB tint of mean 1; ``shift`` has no unit: -1 is as blue as open shade, +1 as warm as a candle."""
    tint = np.exp(np.array([0.28, 0.0, -0.42]) * shift)
    return tint / tint.mean()


def draw_light_kind(rng: np.random.Generator) -> str:
    """One of the kinds of light that ``draw_lighting`` takes."""
    return str(rng.choice(
        ["soft", "window", "sun", "overhead", "flash", "split", "back", "studio"],
        p=[0.22, 0.2, 0.13, 0.12, 0.08, 0.07, 0.06, 0.12],
    ))


@on_host
def draw_lighting(
    rng: np.random.Generator, kind: str, ambient_rgb: np.ndarray, to_camera: np.ndarray
) -> Lighting:
    """Light from soft and frontal to hard, low, backlit and dim.

    Args:
        kind: one that ``draw_light_kind`` draws.
        ambient_rgb: (3,) mean colour of the surroundings, which tints the sky a little.
        to_camera: (3,) horizontal unit direction from the head to the camera, in the world (z up).
    """
    right = np.array([-to_camera[1], to_camera[0], 0.0])

    def direction(azimuth_deg: float, height_deg: float) -> np.ndarray:
        a, h = np.deg2rad(azimuth_deg), np.deg2rad(height_deg)
        return np.cos(h) * (np.cos(a) * to_camera + np.sin(a) * right) + np.sin(h) * np.array([0, 0, 1.0])

    # (azimuth from the camera, height, strength, radius) of the main lamp, and the sky's level
    azimuth, height, strength, radius, level = {
        "soft": (rng.normal(0, 45), rng.uniform(15, 60), rng.uniform(0.4, 1.1), rng.uniform(0.25, 0.45), 0.6),
        "window": (rng.choice([-1, 1]) * rng.uniform(35, 85), rng.uniform(0, 35), rng.uniform(0.8, 2.0),
                   rng.uniform(0.2, 0.4), 0.3),
        "sun": (rng.normal(0, 60), rng.uniform(20, 70), rng.uniform(1.2, 2.6), rng.uniform(0.01, 0.04), 0.35),
        "overhead": (rng.normal(0, 40), rng.uniform(55, 85), rng.uniform(0.5, 1.4), rng.uniform(0.1, 0.4), 0.42),
        "flash": (rng.normal(0, 4), rng.uniform(0, 10), rng.uniform(0.8, 2.0), rng.uniform(0.01, 0.06), 0.3),
        "split": (rng.choice([-1, 1]) * rng.uniform(75, 115), rng.uniform(-10, 30), rng.uniform(1.0, 2.4),
                  rng.uniform(0.05, 0.3), 0.3),
        "back": (180 + rng.normal(0, 40), rng.uniform(10, 50), rng.uniform(1.5, 3.0), rng.uniform(0.02, 0.3), 0.55),
        "studio": (rng.choice([-1, 1]) * rng.uniform(20, 55), rng.uniform(15, 45), rng.uniform(0.9, 1.8),
                   rng.uniform(0.15, 0.35), 0.28),
    }[kind]
    lamps = [(direction(azimuth, height), strength * warmth(rng.normal(0.08, 0.2)), radius)]
    if kind == "studio" or rng.random() < 0.35:  # a fill or rim lamp
        lamps.append((
            direction(-np.sign(azimuth) * rng.uniform(30, 170), rng.uniform(-10, 50)),
            strength * rng.uniform(0.1, 0.55) * warmth(rng.normal(0, 0.3)), rng.uniform(0.05, 0.4),
        ))
    if rng.random() < 0.04:  # coloured, as on a stage
        lamps.append((direction(rng.uniform(-120, 120), rng.uniform(-10, 40)), rng.uniform(0, 1, 3) * strength, 0.2))
    sky = _draw_sky(rng, level, ambient_rgb)
    towards, rgb, radii = (torch.from_numpy(np.array(x, dtype=np.float32)) for x in zip(*lamps, strict=True))
    return Lighting(sky, unit(towards), rgb, radii)


def _draw_sky(rng: np.random.Generator, level: float, ambient_rgb: np.ndarray) -> Tensor:
    tint = (ambient_rgb / max(ambient_rgb.mean(), 1e-3)) ** rng.uniform(0.0, 0.25) * warmth(rng.normal(0, 0.15))
    sky = np.zeros((9, 3))
    sky[0] = level * tint / Y00
    for _ in range(4):  # broad patches: walls, ceiling, ground, a bright screen
        towards = rng.normal(0, 1, (1, 3)) + np.array([0, 0, 0.4])
        towards /= np.linalg.norm(towards)
        lobe = harmonics(torch.from_numpy(towards.astype(np.float32))).numpy()[0]
        fade = np.array([1.0] + [0.8] * 3 + [0.4] * 5)
        sky += (lobe * fade)[:, None] * (level * rng.uniform(0.1, 1.2) * np.exp(rng.normal(0, 0.10, 3)))
    sky /= np.maximum(sky[0].mean() * Y00 / level, 1e-6)
    return torch.from_numpy(sky.astype(np.float32))


def shade(
    surface: Surface, view: Tensor, lighting: Lighting, arriving: Tensor, openness: Tensor
) -> Tensor:
    """(N, 3) linear RGB leaving the points towards the viewer.

    Args:
        view: (N, 3) unit directions to the viewer.
        arriving: (L, N, 3) share of each lamp's light that is not shadowed, by colour (red seeps into shadows).
        openness: (N,) share of the sky that is seen (ambient occlusion).
    """
    seep, normal = surface.seep[:, None], surface.normal
    # light of long wavelength travels farther in skin and forgets the bumps
    soft = unit(normal + seep * 1.2 * surface.smooth)
    wrap = seep * torch.tensor(SKIN_WRAP)
    # occluders of skin are skin: what they bounce back is reddish (Jimenez et al. 2016)
    open3 = openness[:, None] ** (1 - seep * torch.tensor([0.35, 0.10, 0.0]))
    colour = surface.albedo * irradiance(lighting.sky, soft) * open3
    facing_view = dot(normal, view).clamp(0.05, 1)
    reflected = 2 * facing_view[:, None] * normal - view
    mirror = (0.028 + 0.22 * (1 - facing_view) ** 5) * (1 - 0.65 * surface.roughness) * surface.gloss * openness**2
    colour = colour + mirror[:, None] * (harmonics(reflected) @ lighting.sky).clamp(min=0)
    for towards, rgb, radius, share in zip(
        lighting.towards, lighting.rgb, lighting.radius, arriving, strict=True
    ):
        cosine = torch.stack([normal @ towards, soft @ towards], dim=1)
        cosine = torch.stack([cosine.mean(dim=1), 0.7 * cosine[:, 0] + 0.3 * cosine[:, 1], cosine[:, 0]], dim=1)
        diffuse = ((cosine + wrap) / (1 + wrap) ** 2).clamp(min=0)
        colour = colour + surface.albedo * diffuse * rgb * share
        highlight = _highlight(surface, view, towards, float(radius), facing_view)
        colour = colour + (highlight * share[:, 2])[:, None] * rgb
    return colour


def _highlight(surface: Surface, view: Tensor, towards: Tensor, radius: float, facing_view: Tensor) -> Tensor:
    """(N,) two GGX lobes, widened by the lamp's size, with Fresnel's and Smith's terms."""
    half = unit(view + towards)
    to_half = dot(surface.normal, half).clamp(0, 1)
    to_light = (surface.normal @ towards).clamp(0, 1)
    fresnel = 0.028 + 0.972 * (1 - dot(view, half).clamp(0, 1)) ** 5
    total = torch.zeros_like(to_half)
    for factor, weight in ((1.0, 0.7), (0.6, 0.3)):
        alpha = ((surface.roughness * factor) ** 2 + 0.35 * radius).clamp(0.006, 1)
        lobe = alpha**2 / (torch.pi * (to_half**2 * (alpha**2 - 1) + 1) ** 2)
        k = alpha / 2
        smith = 0.25 / ((to_light * (1 - k) + k) * (facing_view * (1 - k) + k))
        total = total + weight * (lobe * smith)
    return (surface.gloss * fresnel * total * to_light * torch.pi).clamp(max=8.0)

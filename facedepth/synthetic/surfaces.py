"""From points on surfaces to light: every material is given its look, then lamps, shadows and sky are added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .clothes import Clothing, Fabric, fabric_surface, neck_margin
from .eyes import EyeLook, eye_surface, mouth_surface, teeth_surface
from .glasses import Glasses, frame_surface
from .hair import density
from .hair_styles import HairLook
from .labels import one_of
from .light import Lighting, Surface
from .model import template_eye_centres
from .noise import SolidNoise, box_blur
from .render import Scene
from .skin import SkinLook, skin_surface
from .strands import OpacityMap
from .vectors import unit


@dataclass(frozen=True)
class Looks:
    """How everything but strands looks; ``stubble_rgb`` colours the skin below a beard, shaved or not, linear RGB."""

    skin: SkinLook
    eyes: EyeLook
    hair: HairLook | None
    clothing: Clothing
    hat: Fabric | None
    thing: Fabric | None
    glasses: Glasses | None
    stubble_rgb: tuple[float, float, float]
    expression: dict[str, float]


def surface_of(
    looks: Looks, material: Tensor, rest: Tensor, normals: Tensor, masks: Tensor, noise: SolidNoise, pixel_m: float
) -> Surface:
    """N points of mixed material.

    Args:
        pixel_m: size of a pixel at the face; finer detail is left out.
        material: (N,); rest, normals: (N, 3); masks: (N, 4) lips, eyelids, ears and beard growth, 0 off the body.
    """
    count = len(material)
    result = Surface(*(torch.zeros(count, 3) for _ in range(3)), *(torch.zeros(count) for _ in range(3)))

    def fill(names: tuple[str, ...], make) -> None:
        chosen = one_of(material, names).nonzero()[:, 0]
        if len(chosen):
            for target, values in zip(result, make(chosen), strict=True):
                target[chosen] = values

    fill(("skin",), lambda i: _skin(looks, rest[i], normals[i], masks[i], noise, pixel_m))
    off_face = torch.tensor([0.0, 0.3, 0.0])
    fill(("hand",), lambda i: _skin(looks, rest[i] + off_face, normals[i], 0 * masks[i], noise, pixel_m))
    for name, centre in zip(("left_eye", "right_eye"), template_eye_centres(), strict=True):
        fill((name,), lambda i, centre=centre: eye_surface(looks.eyes, rest[i] - centre, normals[i], noise))
    fill(("upper_teeth", "lower_teeth"), lambda i: teeth_surface(looks.eyes, rest[i], normals[i]))
    fill(("cavity", "tongue"), lambda i: mouth_surface(rest[i], normals[i]))
    cloth = looks.clothing.fabric
    fill(("cloth",), lambda i: fabric_surface(
        cloth, rest[i], normals[i], noise, rim=neck_margin(looks.clothing, rest[i])
    ))
    fill(("hat",), lambda i: fabric_surface(looks.hat, rest[i], normals[i], noise))
    fill(("object",), lambda i: fabric_surface(looks.thing, rest[i], normals[i], noise, roughness=0.4))
    fill(("frame",), lambda i: frame_surface(looks.glasses, normals[i]))
    return result


def _skin(
    looks: Looks, rest: Tensor, normals: Tensor, masks: Tensor, noise: SolidNoise, pixel_m: float
) -> Surface:
    lips, lids, ears, beard = masks.unbind(dim=1)
    surface = skin_surface(
        looks.skin, rest, normals, lips, lids, ears, noise, stubble=beard,
        stubble_rgb=torch.tensor(looks.stubble_rgb), expression=looks.expression,
        pixel_m=pixel_m,
    )
    if looks.hair is None:
        return surface
    # the scalp under hair is dark: roots stand close and keep light out
    on_head = ((rest[:, 2] > 0.64) & (ears < 0.4)).float()
    grown = density(looks.hair, rest, noise, softness_m=0.022) * on_head
    dark = 0.45 if looks.hair.style == "buzz" else 0.85
    scalp = torch.tensor(looks.hair.colour) * (0.7 if looks.hair.style == "buzz" else 0.45)
    share = (dark * grown**1.6)[:, None]
    albedo = surface.albedo * (1 - share) + scalp * share
    return surface._replace(albedo=albedo, gloss=surface.gloss * (1 - share[:, 0]))


def arriving_light(
    scene: Scene, hair: list[OpacityMap], lighting: Lighting, points: Tensor, normals: Tensor, pixel: Tensor,
    share: Tensor, quiet: Tensor, seep: Tensor, size: int, pixel_m: float,
) -> Tensor:
    """(L, N, 3) share of each lamp's light that reaches N points, by colour.

    One ray a point, aimed at one of sixteen places on the lamp in a 4 x 4 pattern of pixels; averaging over the
    pattern makes the half-shadow. In skin the edge of a shadow is red and wide.
    """
    result = []
    smoother = _Smoother(pixel, share, quiet, size, reaches=(1, max(int(0.0022 / pixel_m), 1)))
    row, column = pixel // size, pixel % size
    place = (row % 4) * 4 + column % 4
    place = torch.where(quiet, place, (place + 5 * torch.arange(len(pixel))) % 16)  # points that share a pixel differ
    turn = place.float() * (0.25 * np.pi * 1.618)
    radius = ((7 * place) % 16 + 0.5).div(16).sqrt()
    for lamp, towards in enumerate(lighting.towards):
        right = unit(torch.linalg.cross(towards, torch.tensor([0.31, 0.52, 0.79])))
        over = torch.linalg.cross(towards, right)
        aim = radius[:, None] * (turn.cos()[:, None] * right + turn.sin()[:, None] * over) * lighting.radius[lamp].tan()
        lit = torch.zeros(len(points))
        facing = ((normals @ towards) > -0.25).nonzero()[:, 0]
        start = points[facing] + 8e-4 * normals[facing] + 4e-4 * towards
        lit[facing] = scene.lit(start, unit(towards + aim[facing])).float()
        if hair:
            lit = lit * hair[lamp].transmittance(points, depth_m=0.007)
        narrow, wide = smoother(lit)
        result.append(torch.stack([narrow + 0.6 * (wide - narrow) * seep, narrow, narrow], dim=1))
    return torch.stack(result)


class _Smoother:
    """Averages values over a 4 x 4 block, then over each of the ``reaches``, for points alone in their pixel."""

    def __init__(self, pixel: Tensor, share: Tensor, quiet: Tensor, size: int, reaches: tuple[int, ...]) -> None:
        self._pixel, self._share, self._quiet, self._size, self._reaches = pixel, share, quiet, size, reaches
        self._weights = {reach: blurred.clamp(min=1e-6) for reach, blurred in self._blurred(share).items()}

    def __call__(self, values: Tensor) -> list[Tensor]:
        """Values (N,), once for every reach."""
        means = {
            reach: (blurred / self._weights[reach]).flatten()[self._pixel]
            for reach, blurred in self._blurred(values * self._share).items()
        }
        return [torch.where(self._quiet, means[reach], values) for reach in self._reaches]

    def _blurred(self, values: Tensor) -> dict[int, Tensor]:
        total = torch.zeros(self._size**2).index_add_(0, self._pixel, values).view(1, 1, self._size, self._size)
        blocks = box_blur(total, 4)
        return {reach: box_blur(blocks, 2 * reach + 1) for reach in set(self._reaches)}

"""Eyes and the inside of the mouth: iris with its dark rim, veined sclera, teeth, tongue, gums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .light import Surface
from .noise import SolidNoise, smooth_step
from .skin import SkinLook

IRISES = (  # linear RGB: brown, dark brown, hazel, green, blue, grey
    (0.085, 0.038, 0.015), (0.040, 0.020, 0.010), (0.14, 0.085, 0.035), (0.105, 0.12, 0.065), (0.10, 0.145, 0.20),
    (0.16, 0.18, 0.195),
)
IRIS_M = 0.0061


@dataclass(frozen=True)
class EyeLook:
    """Colour of the iris (linear RGB), radius of the pupil in metres, how red the white is, how white the teeth are."""

    iris: tuple[float, float, float]
    pupil: float
    redness: float
    teeth: float


def draw_eyes(rng: np.random.Generator, skin: SkinLook) -> EyeLook:
    """Eyes that fit the skin: light ones with fair skin only."""
    odds = [0.30, 0.20, 0.13, 0.10, 0.17, 0.10] if skin.tone < 0.32 else [0.35, 0.65, 0, 0, 0, 0]
    iris = np.array(IRISES[rng.choice(6, p=odds)]) * np.exp(rng.normal(0, 0.12, 3)) * rng.uniform(0.75, 1.25)
    return EyeLook(
        iris=tuple(iris.tolist()), pupil=float(rng.uniform(0.0014, 0.0032)), redness=float(rng.uniform(0, 1)),
        teeth=float(rng.uniform(0.4, 1)),
    )


def eye_surface(look: EyeLook, offset: Tensor, normals: Tensor, noise: SolidNoise) -> Surface:
    """An eyeball at N points.

    Args:
        offset: (N, 3) from the eye's middle, on the template (looking towards -y); normals: (N, 3) in the world.
    """
    radius = torch.hypot(offset[:, 0], offset[:, 2])
    front = (offset[:, 1] < 0).float()
    angle = torch.atan2(offset[:, 2], offset[:, 0])
    fibres = noise(torch.stack([angle.cos() * 0.6 + 2, angle.sin() * 0.6, radius * 12], dim=1), 22, 1)
    iris = torch.tensor(look.iris) * torch.exp(0.45 * fibres)[:, None]
    iris = iris * (0.7 + 0.6 * smooth_step(0.0056, 0.0022, radius))[:, None]
    iris = iris * (1 - 0.75 * smooth_step(0.0046, IRIS_M, radius))[:, None]
    veins = smooth_step(0.25, 0.6, noise(offset, 500, 2) + 0.3 * noise(offset, 1500, 3))
    corner = smooth_step(0.007, 0.0125, offset[:, 0].abs())
    redness = (0.10 + 0.5 * look.redness * veins + 0.7 * corner)[:, None]
    white = torch.tensor([0.76, 0.72, 0.68]) * torch.exp(-redness * torch.tensor([0.15, 0.65, 0.6]))
    inside = (smooth_step(IRIS_M + 0.0006, IRIS_M - 0.0003, radius) * front)[:, None]
    albedo = white * (1 - inside) + iris * inside
    pupil = (smooth_step(look.pupil + 0.0003, look.pupil - 0.0002, radius) * front)[:, None]
    albedo = albedo * (1 - pupil) + 0.004 * pupil
    roughness = torch.where(radius < IRIS_M + 0.001, 0.07, 0.16)
    return Surface(albedo, normals, normals, roughness, torch.full_like(radius, 1.1), 0.3 * torch.ones_like(radius))


def teeth_surface(look: EyeLook, rest: Tensor, normals: Tensor) -> Surface:
    """Teeth, darker towards the back of the mouth, with gaps between them."""
    deep = smooth_step(-0.10, -0.138, rest[:, 1]) * 0.85 + 0.12
    gaps = 1 - 0.35 * torch.exp(-((torch.remainder(rest[:, 0] + 0.0042, 0.0084) - 0.0042) / 0.0006) ** 2)
    colour = torch.tensor([0.70, 0.64, 0.52]) * (1 - look.teeth) + torch.tensor([0.76, 0.73, 0.67]) * look.teeth
    albedo = colour * (deep * gaps)[:, None]
    ones = torch.ones(len(rest))
    return Surface(albedo, normals, normals, 0.22 * ones, 1.0 * deep, 0.5 * ones)


def mouth_surface(rest: Tensor, normals: Tensor) -> Surface:
    """Tongue, gums and cheeks from inside, dark in the depth; also the pocket behind the eyelids."""
    deep = smooth_step(-0.088, -0.130, rest[:, 1])
    albedo = torch.tensor([0.30, 0.085, 0.075]) * (0.03 + 0.97 * deep)[:, None]
    ones = torch.ones(len(rest))
    return Surface(albedo, normals, normals, 0.35 * ones, 0.8 * deep, ones)

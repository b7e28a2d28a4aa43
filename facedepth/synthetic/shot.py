"""Where the camera stands and how it frames the face, like the square crops of FFHQ and EG3D with some jitter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..camera import Camera
from .devices import on_host
from .head import rotation
from .people import clipped_normal

UPRIGHT = ((1.0, 0, 0), (0, 0, 1), (0, -1, 0))  # camera axes in a z-up world, looking along +y
TO_EXPORT = ((1.0, 0, 0), (0, 0, 1), (0, -1, 0))  # z-up world to x right, y up, z out of the face


@dataclass(frozen=True)
class Shot:
    """Angles about the head in degrees, the picture's width at the face and the shift of the aim in metres."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    horizontal_fov_deg: float
    width_m: float
    shift_m: tuple[float, float]


def draw_shot(rng: np.random.Generator) -> Shot:
    """Mostly from the front, up to 55 degrees to a side, with lenses from 12 to 30 degrees."""
    return Shot(
        yaw_deg=clipped_normal(rng, 18, 55), pitch_deg=clipped_normal(rng, 7, 20), roll_deg=clipped_normal(rng, 4, 12),
        horizontal_fov_deg=float(rng.uniform(12, 30)), width_m=float(rng.uniform(0.25, 0.37)),
        shift_m=(clipped_normal(rng, 0.008, 0.03), clipped_normal(rng, 0.010, 0.03)),
    )


@on_host
def place_camera(shot: Shot, between_eyes: Tensor, size: int) -> Camera:
    """The camera in the z-up world, aiming a little behind and below the point between the eyes (3,)."""
    turn = rotation("z", shot.yaw_deg) @ torch.tensor(UPRIGHT) @ rotation("x", shot.pitch_deg)
    turn = turn @ rotation("z", shot.roll_deg)
    distance = shot.width_m / 2 / math.tan(math.radians(shot.horizontal_fov_deg) / 2)
    aim = between_eyes + torch.tensor([0.0, 0.02, -0.014])
    back = torch.tensor([shot.shift_m[0], shot.shift_m[1], distance])
    cam2world = torch.eye(4)
    cam2world[:3, :3] = turn
    cam2world[:3, 3] = aim - turn @ back
    return Camera.from_fov(shot.horizontal_fov_deg, size, size)._replace(cam2world=cam2world)


@on_host
def exported(camera: Camera, origin: Tensor) -> Camera:
    """The same camera in the world that samples state: x right, y up, z out of the face, from ``origin`` (3,)."""
    cam2world = torch.eye(4)
    turn = torch.tensor(TO_EXPORT)
    cam2world[:3, :3] = turn @ camera.cam2world[:3, :3]
    cam2world[:3, 3] = turn @ (camera.cam2world[:3, 3] - origin)
    return camera._replace(cam2world=cam2world)

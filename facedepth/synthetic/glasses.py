"""Glasses: frames as tubes before the eyes, lenses that tint what is behind them and mirror lamps and sky.

A lens is see-through and has no depth of its own; depth there follows the skin behind. The frame has depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..camera import Camera
from .light import Lighting, Surface, harmonics
from .model import Piece, PosedBody
from .noise import smooth_step
from .shapes import tube
from .vectors import dot, unit

EAR = (0.0755, -0.050, 0.733)  # where a temple rests, on the template, left side
TOUCH_M = 0.003  # skin so near a point of the frame, seen from the front, is before or behind it
PRESSED = 0.9  # share of the frame that is to be before the skin: the rest is pressed into brow and nose
MOST_PUSH_M = 0.014


@dataclass(frozen=True)
class Glasses:
    """A pair of glasses in the frame of the eyes (x to the subject's left, z up, -y forward, metres).

    Attributes:
        half_width, half_height: of one lens, in metres.
        roundness: exponent of the lens outline: 2 an ellipse, 5 nearly a rectangle.
        bridge: gap between the lenses, in metres.
        forward: how far the front is in front of the eyes' middle, in metres.
        drop: how far the middles of the lenses are below the eyes, in metres.
        wrap: how far the front has curved back 0.06 m from the middle, in metres.
        rim: radius of the rim's tube, in metres.
        colour: linear RGB albedo of the frame.
        shine: strength of the frame's highlights, 1 for dry skin.
        tint: share of light that the lenses let through, RGB in [0, 1].
        mirror: share of light that the lenses reflect head on, in [0, 1].
    """

    half_width: float
    half_height: float
    roundness: float
    bridge: float
    forward: float
    drop: float
    wrap: float
    rim: float
    colour: tuple[float, float, float]
    shine: float
    tint: tuple[float, float, float]
    mirror: float

    @property
    def lens_side(self) -> float:
        """Distance in metres from the middle of the face to that of a lens."""
        return self.half_width + self.bridge / 2

    def front(self, x: Tensor) -> Tensor:
        """Place of the curved front along y, at x."""
        return -self.forward + self.wrap * (x / 0.06).square()


def draw_glasses(rng: np.random.Generator) -> Glasses | None:
    """Glasses in a quarter of the pictures, every fourth of them dark."""
    if rng.random() > 0.25:
        return None
    dark = rng.random() < 0.25
    colours = ((0.01, 0.01, 0.01), (0.05, 0.02, 0.01), (0.25, 0.22, 0.18), (0.45, 0.36, 0.2), (0.10, 0.02, 0.03),
               (0.02, 0.03, 0.08), (0.5, 0.45, 0.4))
    thick = rng.random() < 0.5
    tint = rng.uniform(0.02, 0.25) * np.exp(rng.normal(0, 0.25, 3)) if dark else rng.uniform(0.9, 0.98, 3)
    return Glasses(
        half_width=float(rng.uniform(0.0235, 0.0285) + 0.002 * dark), roundness=float(rng.uniform(2.0, 4.5)),
        half_height=float(rng.uniform(0.0150, 0.0235) + 0.002 * dark), bridge=float(rng.uniform(0.015, 0.020)),
        forward=float(rng.uniform(0.0245, 0.029)), drop=float(rng.uniform(0.001, 0.006)),
        wrap=float(rng.uniform(0.002, 0.010)),
        rim=float(rng.uniform(0.0013, 0.0026) if thick else rng.uniform(0.0005, 0.0010)),
        colour=tuple((np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.6, 1.4)).tolist()),
        shine=float(rng.uniform(0.5, 2.0)), tint=tuple(np.clip(tint, 0, 1).tolist()),
        mirror=float(rng.uniform(0.04, 0.12) if dark else rng.uniform(0.01, 0.06)),
    )


def put_on(glasses: Glasses, posed: PosedBody) -> Glasses:
    """The glasses as far before this face as brow and nose let them sit."""
    origin, axes = posed.eye_frame()
    face = (posed.vertices - origin) @ axes
    face = face[(face[:, 0].abs() < 0.07) & (face[:, 2].abs() < 0.045) & (face[:, 1] < 0.02)]
    touching = torch.cat([_rim(glasses, 1), _rim(glasses, -1), _arch(glasses)])
    near = torch.cdist(touching[:, [0, 2]], face[:, [0, 2]]) < TOUCH_M
    skin = torch.where(near, face[:, 1], torch.inf).amin(dim=1)
    sunk = (touching[:, 1] - skin)[skin.isfinite()]
    if not len(sunk):
        return glasses
    push = float(torch.quantile(sunk, PRESSED).clamp(0, MOST_PUSH_M))
    return replace(glasses, forward=glasses.forward + push)


def _on_lens(glasses: Glasses, x: Tensor, z: Tensor) -> Tensor:
    """Points of the curved front at x and z, (N, 3) in the frame of the eyes."""
    return torch.stack([x, glasses.front(x), z - glasses.drop], dim=-1)


def _around() -> Tensor:
    """Angles (N,) of the points of a rim."""
    return torch.arange(44) * (2 * math.pi / 44)


def _rim(glasses: Glasses, side: int) -> Tensor:
    """Middle of one lens's rim, (N, 3) in the frame of the eyes."""
    power, across, up = 2 / glasses.roundness, _around().cos(), _around().sin()
    x = glasses.half_width * across.sign() * across.abs() ** power
    z = glasses.half_height * up.sign() * up.abs() ** power
    return _on_lens(glasses, side * (glasses.lens_side + x), z)


def _arch(glasses: Glasses) -> Tensor:
    """Middle of the bridge, (N, 3) in the frame of the eyes."""
    across = torch.linspace(-1, 1, 9)
    half = glasses.bridge / 2 + 0.002
    arch = _on_lens(glasses, across * half, glasses.half_height * 0.25 + 0.004 * (1 - across.square()))
    arch[:, 1] -= 0.003 * (1 - across.square())
    return arch


def frame_pieces(glasses: Glasses, posed: PosedBody) -> list[Piece]:
    """Rims, bridge and temples in the world."""
    origin, axes = posed.eye_frame()
    radius = (1 + 0.5 * _around().sin().clamp(min=0)) * glasses.rim  # thicker above the eye
    tubes = [tube(_rim(glasses, side), radius, closed=True) for side in (1, -1)]
    tubes.append(tube(_arch(glasses), 1.1 * glasses.rim))
    ear = torch.tensor(EAR)
    for side in (1, -1):
        corner = torch.tensor([[side * (glasses.lens_side + glasses.half_width)], [0.4 * glasses.half_height]])
        hinge = _on_lens(glasses, *corner)[0]
        rest = (posed.carry(ear * torch.tensor([side, 1.0, 1.0])) - origin) @ axes
        t = torch.linspace(0, 1, 12)[:, None]
        path = hinge + t * (rest - hinge)
        path[:, 0] += side * 0.006 * torch.sin(math.pi * t[:, 0])  # keep clear of the temples of the head
        tail = rest + torch.tensor([[0.0, 0.012, -0.006], [0.0, 0.022, -0.022]])
        tubes.append(tube(torch.cat([path, tail]), 0.9 * glasses.rim + 0.0004))
    return [Piece.of(vertices @ axes.T + origin, triangles, vertices, "frame") for vertices, triangles in tubes]


def frame_surface(glasses: Glasses, normals: Tensor) -> Surface:
    """Plastic or metal of the frame."""
    ones = torch.ones(len(normals))
    return Surface(
        torch.tensor(glasses.colour).expand_as(normals), normals, normals, 0.28 * ones, glasses.shine * ones, 0 * ones
    )


def look_through_lenses(
    glasses: Glasses, posed: PosedBody, camera: Camera, lighting: Lighting, linear: Tensor, behind: Tensor, size: int
) -> Tensor:
    """The picture (P, 3) seen through the lenses, with lamps and sky mirrored in them.

    Args:
        behind: (P,) z-depth of the opaque surfaces, inf where there is none.
    """
    origin, axes = posed.eye_frame()
    rays = camera.rays(size, size).flatten(1).T @ camera.cam2world[:3, :3].T @ axes
    eye = (camera.cam2world[:3, 3] - origin) @ axes
    depth = (-glasses.forward - eye[1]) / rays[:, 1]
    for _ in range(3):  # the front is gently curved: a few fixed-point steps find it
        depth = (glasses.front(eye[0] + depth * rays[:, 0]) - eye[1]) / rays[:, 1]
    point = eye + depth[:, None] * rays
    off = ((point[:, 0].abs() - glasses.lens_side) / glasses.half_width).abs() ** glasses.roundness
    off = off + ((point[:, 2] + glasses.drop) / glasses.half_height).abs() ** glasses.roundness
    on_lens = ((off < 1) & (depth > 0) & (depth < behind)).nonzero()[:, 0]
    if not len(on_lens):
        return linear
    x = point[on_lens, 0]
    curve = 2 * glasses.wrap * x / 0.06**2 + 1.5 * (x - x.sign() * glasses.lens_side)  # of the front and of the lens
    outward = torch.stack([curve, -torch.ones_like(x), 2.5 * (point[on_lens, 2] + glasses.drop)], dim=1)
    normal = unit(outward) @ axes.T
    view = -unit(rays[on_lens]) @ axes.T
    mirrored = 2 * dot(normal, view)[:, None] * normal - view
    facing = dot(normal, view).abs().clamp(0, 1)
    fresnel = glasses.mirror + (1 - glasses.mirror) * (1 - facing) ** 5
    seen = (harmonics(mirrored) @ lighting.sky).clamp(min=0)
    for towards, rgb, radius in zip(lighting.towards, lighting.rgb, lighting.radius, strict=True):
        reach = float(radius)
        seen = seen + (smooth_step(math.cos(reach * 1.1), math.cos(reach * 0.9), mirrored @ towards)
                       / max(reach, 0.05) ** 2 * 0.25)[:, None] * rgb
    through = linear[on_lens] * torch.tensor(glasses.tint)
    result = linear.clone()
    result[on_lens] = through * (1 - fresnel[:, None]) + seen.clamp(max=6) * fresnel[:, None]
    return result

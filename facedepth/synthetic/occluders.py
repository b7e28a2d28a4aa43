"""What comes between the camera and the face: a hand, a telephone, a cup, a microphone, a ball, a card."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .clothes import Fabric, draw_fabric
from .devices import cached_per_device
from .glasses import eye_frame
from .head import Subdivision, rotation, to_triangles
from .kit import load_kit
from .model import Piece, PosedBody
from .shapes import box, cylinder, ellipsoid

KINDS = ("hand", "telephone", "cup", "microphone", "ball", "card")


@dataclass(frozen=True)
class Occluder:
    """One thing near the face; its place in metres in the frame of the eyes (x to the subject's left, -y forward)."""

    kind: str
    place: tuple[float, float, float]
    turn_deg: tuple[float, float, float]
    hand_pose: int
    mirrored: bool
    scale: float
    fabric: Fabric


def draw_occluder(rng: np.random.Generator) -> Occluder | None:
    """Something in one picture of nine, mostly a hand."""
    if rng.random() > 0.11:
        return None
    kind = str(rng.choice(KINDS, p=[0.55, 0.12, 0.1, 0.08, 0.07, 0.08]))
    side = float(rng.choice([-1, 1]))
    place = (side * rng.uniform(0.025, 0.095), -rng.uniform(0.075, 0.12), -rng.uniform(0.03, 0.13))
    turn = (rng.normal(0, 25), rng.normal(0, 30), rng.normal(0, 40))
    if kind == "hand":  # the wrist, below and beside what it touches
        place = (side * rng.uniform(0.03, 0.12), -rng.uniform(0.05, 0.12), -rng.uniform(0.14, 0.25))
        turn = (rng.normal(0, 18), -side * rng.uniform(-5, 40), rng.choice([0.0, 180.0]) + rng.normal(0, 40))
    return Occluder(
        kind, place, turn, hand_pose=int(rng.integers(4)), mirrored=bool(rng.random() < 0.5),
        scale=float(rng.uniform(0.85, 1.1)), fabric=replace(draw_fabric(rng), folds=0.0),
    )


def occluder_pieces(occluder: Occluder, posed: PosedBody) -> list[Piece]:
    """The thing in the world."""
    vertices, triangles, rest = _solid(occluder)
    x, y, z = occluder.turn_deg
    turn = rotation("z", z) @ rotation("x", x) @ rotation("y", y)
    if occluder.kind == "hand":
        turn = rotation("y", y) @ rotation("x", x) @ rotation("z", z)
    origin, axes = eye_frame(posed)
    placed = occluder.scale * vertices @ turn.T + torch.tensor(occluder.place)
    return [Piece.of(placed @ axes.T + origin, triangles, rest, "hand" if occluder.kind == "hand" else "object")]


@cached_per_device
def _hand_subdivision() -> Subdivision:
    kit = load_kit()
    return Subdivision.of(kit.hand_quads, kit.hand_poses.shape[1])


def _solid(occluder: Occluder) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices, triangles, and the places that textures are painted by."""
    if occluder.kind == "hand":
        kit = load_kit()
        subdivision = _hand_subdivision()
        vertices = subdivision.refine(kit.hand_poses[occluder.hand_pose])
        triangles = to_triangles(subdivision.quads)
        if occluder.mirrored:
            vertices, triangles = vertices * torch.tensor([-1.0, 1, 1]), triangles.flip(1)
        return vertices, triangles, vertices
    vertices, triangles = {
        "telephone": lambda: box(0.074, 0.009, 0.152), "cup": lambda: cylinder(0.041, 0.10),
        "microphone": lambda: ellipsoid((0.026, 0.026, 0.03)), "ball": lambda: ellipsoid((0.05, 0.05, 0.05)),
        "card": lambda: box(0.13, 0.002, 0.09),
    }[occluder.kind]()
    if occluder.kind == "microphone":
        handle, more = cylinder(0.014, 0.16)
        triangles = torch.cat([triangles, more + len(vertices)])
        vertices = torch.cat([vertices, handle - torch.tensor([0.0, 0, 0.10])])
    return vertices, triangles, vertices

"""What comes between the camera and the face: a hand, a telephone, a cup, a microphone, a ball, a card."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .clothes import Fabric, draw_fabric
from .devices import cached_per_device
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


def occluder_piece(occluder: Occluder, posed: PosedBody) -> Piece:
    """The thing in the world."""
    x, y, z = (rotation(axis, angle) for axis, angle in zip("xyz", occluder.turn_deg, strict=True))
    if occluder.kind == "hand":
        (vertices, triangles), turn, material = _hand(occluder), y @ x @ z, "hand"
    else:
        (vertices, triangles), turn, material = _object(occluder.kind), z @ x @ y, "object"
    origin, axes = posed.eye_frame()
    placed = occluder.scale * vertices @ turn.T + torch.tensor(occluder.place)
    return Piece.of(placed @ axes.T + origin, triangles, vertices, material)


@cached_per_device
def _hand_subdivision() -> Subdivision:
    kit = load_kit()
    return Subdivision.of(kit.hand_quads, kit.hand_poses.shape[1])


def _hand(occluder: Occluder) -> tuple[Tensor, Tensor]:
    """Vertices and triangles of a hand about its wrist."""
    subdivision = _hand_subdivision()
    vertices, triangles = subdivision.refine(load_kit().hand_poses[occluder.hand_pose]), to_triangles(subdivision.quads)
    if occluder.mirrored:
        return vertices * torch.tensor([-1.0, 1, 1]), triangles.flip(1)
    return vertices, triangles


def _object(kind: str) -> tuple[Tensor, Tensor]:
    """Vertices and triangles of any other thing about its middle."""
    vertices, triangles = {
        "telephone": lambda: box(0.074, 0.009, 0.152), "cup": lambda: cylinder(0.041, 0.10),
        "microphone": lambda: ellipsoid((0.026, 0.026, 0.03)), "ball": lambda: ellipsoid((0.05, 0.05, 0.05)),
        "card": lambda: box(0.13, 0.002, 0.09),
    }[kind]()
    if kind == "microphone":
        handle, more = cylinder(0.014, 0.16)
        triangles = torch.cat([triangles, more + len(vertices)])
        vertices = torch.cat([vertices, handle - torch.tensor([0.0, 0, 0.10])])
    return vertices, triangles

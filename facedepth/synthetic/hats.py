"""Hats, caps, turbans and headscarves: smooth shells over the scalp, some with a brim or a visor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .clothes import Fabric, draw_fabric
from .devices import on_host
from .hair_styles import HairLook
from .head import to_triangles
from .model import Piece, PosedBody, shell_piece, template_masks
from .noise import SolidNoise, smooth_step
from .scalp import fine_template, scalp_roots
from .shapes import grid_quads
from .vectors import dot

KINDS = ("beanie", "cap", "brim", "headscarf", "turban")
SLOPE = {"beanie": -0.40, "cap": -0.35, "brim": -0.22, "turban": -0.5}  # of the rim, from the front to the back
TUCKED = 0.1  # of its reach, the brim goes under the crown
NEARBY_M = 0.015


@dataclass(frozen=True)
class Hat:
    """A hat on the template.

    Attributes:
        kind: one of KINDS.
        line: how far the rim is moved up, or a headscarf's rim outwards, in metres.
        thickness: how far the shell stands off the skin, in metres.
        crown: how much farther the top of a beanie or a brimmed hat stands off, in metres.
        reach: length of brim or visor, in metres.
        droop: how far brim or visor sinks per metre outwards.
        fabric: what it is made of.
    """

    kind: str
    line: float
    thickness: float
    crown: float
    reach: float
    droop: float
    fabric: Fabric


def draw_hat(rng: np.random.Generator) -> Hat | None:
    """A hat in one picture of seven."""
    if rng.random() > 0.15:
        return None
    kind = str(rng.choice(KINDS, p=[0.3, 0.24, 0.16, 0.22, 0.08]))
    return Hat(
        kind=kind, line=float(rng.normal(0, 0.006)), thickness=float(rng.uniform(0.005, 0.011)),
        crown=float(rng.uniform(0.0, 0.05)), reach=float(rng.uniform(0.055, 0.08)), droop=float(rng.uniform(0.0, 0.35)),
        fabric=draw_fabric(rng),
    )


def rim_margin(hat: Hat, rest: Tensor) -> Tensor:
    """(N,) metres above the hat's rim on the template, negative where it does not cover."""
    side, depth, height = rest[:, 0].abs(), rest[:, 1], rest[:, 2]
    if hat.kind == "headscarf":
        oval = ((side / 0.064).square() + ((height - 0.716) / 0.082).square()).sqrt() - 1
        face = torch.where(depth < -0.06, 0.064 * oval, 0.05 + 0 * oval)
        return torch.minimum(face - hat.line, height - 0.59)
    front = 0.798 if hat.kind == "turban" else 0.785
    return height - (front + hat.line + SLOPE[hat.kind] * (depth + 0.125))


@on_host
def covered_roots(hat: Hat) -> Tensor:
    """(12000,) bool over ``scalp_roots()``: hair that the hat hides."""
    return rim_margin(hat, scalp_roots().rest) > -0.004


def hidden_skin(hat: Hat) -> Tensor:
    """(V2,) bool: vertices of the fine template that are never seen under the hat, ears under a scarf among them."""
    rest, _ = fine_template()
    return (rim_margin(hat, rest) > 0.012) & (rest[:, 2] > 0.60)


def pressed(hair: HairLook) -> HairLook:
    """Hair as it lies under and beside a hat: flat, hanging, and not bushy."""
    comb = hair.comb if hair.comb in ("part", "side", "back", "tie") else "part"
    return replace(
        hair, comb=comb, lift=min(hair.lift, 0.008), side=min(hair.side, 0.05) if hair.comb == "out" else hair.side,
        fringe=0.0,
    )


def hat_pieces(hat: Hat, posed: PosedBody, noise: SolidNoise, hair_lift_m: float) -> list[Piece]:
    """The hat in the world; ``hair_lift_m`` of hair below it makes it stand off a little."""
    rest, _ = fine_template()
    masks = template_masks()
    margin = rim_margin(hat, rest)
    on_head = masks.head > 0.5
    if hat.kind == "headscarf":
        on_head = torch.ones_like(on_head)
    else:
        on_head &= (masks.ears < 0.3) & (rest[:, 2] > 0.66)
    quads = masks.skin_quads
    quads = quads[(margin[quads].amax(dim=1) > -0.003) & on_head[quads].all(dim=1)]
    edge = smooth_step(-0.001, 0.004, margin)
    stand_off = hat.thickness + min(hair_lift_m, 0.012) * smooth_step(0.0, 0.03, margin)
    height = smooth_step(0.79, 0.85, rest[:, 2])
    if hat.kind in ("beanie", "brim"):
        stand_off = stand_off + hat.crown * height + 0.003 * smooth_step(0.036, 0.032, margin) * (hat.kind == "beanie")
    elif hat.kind == "turban":
        wraps = 0.5 + 0.5 * torch.sin((rest[:, 2] + 0.5 * rest[:, 0].abs() + 0.3 * rest[:, 1]) * 2 * math.pi / 0.022)
        stand_off = stand_off + 0.022 * smooth_step(0, 0.02, margin) + 0.004 * wraps
    elif hat.kind == "headscarf":
        near_ears = smooth_step(0.05, 0.075, rest[:, 0].abs()) * smooth_step(-0.11, -0.08, rest[:, 1])
        folds = 0.004 * noise(rest, 35, 2) + 0.002 * noise(rest, 90, 3)
        stand_off = stand_off + 0.012 * near_ears + folds.clamp(min=-0.004)
        stand_off = stand_off + 0.010 * smooth_step(0.67, 0.62, rest[:, 2])
    stand_off = stand_off * edge - 0.002 * (1 - edge)
    shell = shell_piece(posed.vertices + posed.normals * stand_off[:, None], quads, "hat")
    shell = _smoothed(shell, 60 if hat.kind == "headscarf" else 12)
    used = quads.unique()  # smoothing shrinks: push out again what sank towards the skin, but for the ears
    height = dot(shell.vertices - posed.vertices[used], posed.normals[used])
    sunk = (0.7 * stand_off[used] - height).clamp(min=0) * (masks.ears[used] < 0.05)
    pieces = [shell._replace(vertices=shell.vertices + sunk[:, None] * posed.normals[used])]
    if hat.kind in ("cap", "brim"):
        pieces.append(_brim(hat, posed, pieces[0]))
    return pieces


def _smoothed(piece: Piece, rounds: int) -> Piece:
    """The piece with its inner vertices drawn to their neighbours' middle, so that ears do not print through cloth."""
    edges = torch.cat([piece.triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    pairs, uses = edges.sort(dim=1).values.unique(dim=0, return_counts=True)
    inner = torch.ones(len(piece.vertices), 1)
    inner[pairs[uses == 1].flatten()] = 0
    both = torch.cat([pairs, pairs.flip(1)])
    degree = torch.bincount(both[:, 0], minlength=len(inner)).clamp(min=1)[:, None]
    vertices = piece.vertices
    for _ in range(rounds):
        total = torch.zeros_like(vertices).index_add_(0, both[:, 0], vertices[both[:, 1]])
        vertices = vertices + 0.6 * inner * (total / degree - vertices)
    return piece._replace(vertices=vertices)


def _brim(hat: Hat, posed: PosedBody, crown: Piece) -> Piece:
    """The visor of a cap, or the brim all around, as a curved sheet that goes with the crown it is sewn to."""
    half = math.radians(62) if hat.kind == "cap" else math.pi
    angle = torch.linspace(-half, half, 48)[None, :]
    out = torch.linspace(-TUCKED, 1, 8)[:, None]
    full = torch.cos(angle * (90 / 66)).clamp(min=0) ** 0.5 if hat.kind == "cap" else torch.ones_like(angle)
    reach = hat.reach * full
    across, along = (0.074 + hat.thickness), (0.092 + hat.thickness)
    centre_y = -0.046
    x = (across + out * reach) * torch.sin(angle)
    y = centre_y - (along + out * reach) * torch.cos(angle)
    rim_y = centre_y - along * torch.cos(angle) + 0 * out
    z = 0.787 + hat.line + SLOPE[hat.kind] * (rim_y + 0.125)
    z = z - hat.droop * out * reach - 0.25 * (x / 0.08).square() * 0.05 * out
    rest = torch.stack([x, y, z], dim=-1)
    # No two heads have the template's shape: what the crown does nearby, the brim does too.
    nearby = torch.exp(-(torch.cdist(rest[0], crown.rest) / NEARBY_M).square()) + 1e-12
    moved = nearby @ (crown.vertices - posed.carry(crown.rest)) / nearby.sum(dim=1, keepdim=True)
    world = posed.carry(rest) + moved
    return Piece.of(world.flatten(0, 1), to_triangles(grid_quads(8, 48)), rest.flatten(0, 1), "hat")

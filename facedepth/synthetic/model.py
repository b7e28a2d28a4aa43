"""The posed person, and the one mesh that body, clothes and accessories make up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from .devices import cached_per_device, on_host
from .head import deform, head_subdivision, pose_rotations, shape_coefficients, to_triangles, vertex_normals
from .kit import BONES, PARTS, load_kit
from .people import Bearing, Body
from .scalp import Roots, above_hairline, fine_template
from .vectors import unit

MATERIALS = (*PARTS, "cloth", "hat", "frame", "hand", "object")
MATERIAL = {name: i for i, name in enumerate(MATERIALS)}


class Piece(NamedTuple):
    """A part of the scene.

    Attributes:
        vertices: (V, 3) world, metres; triangles: (T, 3).
        rest: (V, 3) places that textures are painted by.
        openness: (V,) baked ambient occlusion.
        material: (T,) index into MATERIALS.
    """

    vertices: Tensor
    triangles: Tensor
    rest: Tensor
    openness: Tensor
    material: Tensor

    @classmethod
    def of(cls, vertices: Tensor, triangles: Tensor, rest: Tensor, material: str) -> Piece:
        """A piece of one material, fully open to the sky."""
        kind = torch.full((len(triangles),), MATERIAL[material])
        return cls(vertices, triangles, rest, torch.ones(len(vertices)), kind)


def join(pieces: list[Piece]) -> Piece:
    """All pieces as one."""
    starts = accumulate((len(piece.vertices) for piece in pieces[:-1]), initial=0)
    moved = [piece._replace(triangles=piece.triangles + start) for piece, start in zip(pieces, starts, strict=True)]
    return Piece(*map(torch.cat, zip(*moved, strict=True)))


@dataclass(frozen=True)
class PosedBody:
    """A person in a pose: the fine mesh in the world, and how the template's head got there.

    Attributes:
        coarse: (V, 3) vertices of the kit's mesh; vertices, normals: (V2, 3) of the fine one; in the world, metres.
        linear, offset: the affine map from the template's scalp to the world, (3, 3) and (3,).
        turn: (3, 3) rotation of the head bone.
        left_eye, right_eye, nose_tip: (3,) points in the world.
    """

    coarse: Tensor
    vertices: Tensor
    normals: Tensor
    linear: Tensor
    offset: Tensor
    turn: Tensor
    left_eye: Tensor
    right_eye: Tensor
    nose_tip: Tensor

    def carry(self, rest: Tensor) -> Tensor:
        """Template points (..., 3) near the head to the world."""
        return rest @ self.linear.T + self.offset

    def carry_strands(self, roots: Roots, strands: Tensor) -> Tensor:
        """Template strands (N, K, 3) to the world, each to where its root lies on the posed skin."""
        return roots.carry(self.vertices)[:, None] + (strands - roots.rest[:, None]) @ self.linear.T

    @property
    def between_eyes(self) -> Tensor:
        """(3,) in the world."""
        return (self.left_eye + self.right_eye) / 2

    def eye_frame(self) -> tuple[Tensor, Tensor]:
        """Origin (3,) between the eyes and axes (3, 3) in columns: to the subject's left, backward, up."""
        left = unit(self.left_eye - self.right_eye)
        up = self.turn[:, 2]
        up = unit(up - (up @ left) * left)
        return self.between_eyes, torch.stack([left, torch.linalg.cross(up, left), up], dim=1)


class TemplateMasks(NamedTuple):
    """What belongs to the vertices and faces of the fine template.

    Attributes:
        lips, eyelids, ears, head: (V2,) masks in [0, 1].
        openness: (V2,) baked ambient occlusion, 0 closed ... 1 open to the sky.
        triangles: (T, 3) vertex indices of the body; material: (T,) index into MATERIALS.
        skin_quads: (Q, 4) vertex indices of the quads that are skin.
    """

    lips: Tensor
    eyelids: Tensor
    ears: Tensor
    head: Tensor
    openness: Tensor
    triangles: Tensor
    material: Tensor
    skin_quads: Tensor


@cached_per_device
def template_masks() -> TemplateMasks:
    """The kit's masks and faces on the fine template."""
    kit, subdivision = load_kit(), head_subdivision()
    masks = subdivision.refine(torch.stack([kit.masks[n] for n in ("lips", "eyelids", "ears", "head", "open")], dim=1))
    part = kit.quad_part.repeat_interleave(4)
    lips, eyelids, ears, head, openness = masks.clamp(0, 1).unbind(dim=1)
    rest, _ = fine_template()
    # the mouth was shut when the openness was baked; once it opens, light comes in
    for name, least in (("upper_teeth", 0.55), ("lower_teeth", 0.4), ("tongue", 0.4), ("cavity", 0.2)):
        inside = subdivision.quads[part == PARTS.index(name)].unique()
        inside = inside[rest[inside, 2] < 0.70]  # not the pockets behind the eyelids
        openness[inside] = openness[inside].clamp(min=least)
    return TemplateMasks(
        lips, eyelids, ears, head, openness, to_triangles(subdivision.quads), part.repeat(2),
        subdivision.quads[part == PARTS.index("skin")],
    )


@cached_per_device
def _landmarks() -> tuple[Tensor, Tensor, Tensor, int]:
    """Scalp vertices (coarse), vertices of the left and the right eye, and the tip of the nose."""
    kit = load_kit()
    scalp = (above_hairline(kit.template) > 0.0) & (kit.masks["head"] > 0.5) & (kit.template[:, 2] > 0.7)
    eyes = [kit.quads[kit.quad_part == PARTS.index(name)].unique() for name in ("left_eye", "right_eye")]
    x, y, z = kit.template.unbind(dim=1)
    nose = torch.where((x.abs() < 0.01) & (z > 0.68) & (z < 0.72), y, 1.0).argmin()
    return scalp.nonzero()[:, 0], eyes[0], eyes[1], int(nose)


def template_eye_centres() -> tuple[Tensor, Tensor]:
    """(3,) middles of the left and right eyeball on the template."""
    template = load_kit().template
    _, left, right, _ = _landmarks()
    return tuple((template[e].amax(dim=0) + template[e].amin(dim=0)) / 2 for e in (left, right))


@on_host  # CUDA has no solver for points that may lie in a plane
def _affine_map(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Linear part (3, 3) and offset (3,) that carry points (N, 3) nearest to others, in the sense of least squares."""
    homogeneous = torch.cat([start, torch.ones(len(start), 1)], dim=1).double()
    affine = torch.linalg.lstsq(homogeneous, end.double(), driver="gelsd").solution.float()  # (4, 3)
    return affine[:3].T.contiguous(), affine[3]


def pose_body(body: Body, bearing: Bearing) -> PosedBody:
    """Shape, expression and pose applied to the kit."""
    kit = load_kit()
    coefficients = shape_coefficients(kit, body.phenotype, body.local, bearing.actions)
    rotations = pose_rotations(
        turn_deg=bearing.turn_deg, nod_deg=bearing.nod_deg, tilt_deg=bearing.tilt_deg, gaze_deg=bearing.gaze_deg,
        arms_deg=bearing.arms_deg,
    )
    coarse, turns = deform(kit, coefficients[None], rotations[None], body.beyond_the_kit)
    coarse = coarse[0]
    fine = head_subdivision().refine(coarse)
    scalp, left_eye, right_eye, nose = _landmarks()
    linear, offset = _affine_map(kit.template[scalp], coarse[scalp])
    return PosedBody(
        coarse=coarse, vertices=fine, normals=vertex_normals(fine, template_masks().triangles),
        linear=linear, offset=offset, turn=turns[0, 1 + BONES.index("head")],
        left_eye=coarse[left_eye].mean(dim=0), right_eye=coarse[right_eye].mean(dim=0), nose_tip=coarse[nose],
    )


def body_piece(posed: PosedBody, hidden: Tensor) -> Piece:
    """Skin, eyes, teeth and tongue, but for triangles whose corners are all ``hidden`` (V2,), under clothes or a hat.

    Its first V2 vertices are those of the fine template, in order.
    """
    rest, _ = fine_template()
    masks = template_masks()
    shown = ~hidden[masks.triangles].all(dim=1)
    return Piece(posed.vertices, masks.triangles[shown], rest, masks.openness, masks.material[shown])


def shell_piece(vertices: Tensor, quads: Tensor, material: str) -> Piece:
    """A piece from some quads of the fine template at new positions (V2, 3), unused vertices dropped."""
    rest, _ = fine_template()
    used, local = quads.unique(return_inverse=True)
    piece = Piece.of(vertices[used], to_triangles(local), rest[used], material)
    return piece._replace(openness=0.35 + 0.65 * template_masks().openness[used])

"""The parametric head: phenotype, local shapes and facial actions in; posed, smooth vertices out.

Torch throughout, on any device. Metres, z up, the face towards -y, +x the subject's left.
Shapes add linearly; the macro shapes are weighted like MakeHuman's (gender, age, muscle, weight and race multiply).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..checks import InputError
from .devices import cached_per_device, on_host
from .kit import BONES, MACRO_AGES, MUSCLES, PARENT_OF_BONE, WEIGHTS, HeadKit, load_kit


@dataclass(frozen=True)
class Phenotype:
    """What MakeHuman's sliders say.

    Attributes:
        gender: 0 male ... 1 female.
        age: 1/3 a child of ten, 2/3 a young adult of twenty-five, 1 old.
        muscle, weight: 0 least ... 1 most, 0.5 average.
        african, asian, caucasian: parts of the face's ancestry, summing to 1.
    """

    gender: float
    age: float
    muscle: float
    weight: float
    african: float
    asian: float
    caucasian: float


def blend_between(value: float, names: tuple[str, ...], low: float, high: float) -> dict[str, float]:
    """Weights of two neighbouring names, evenly spaced from ``low`` to ``high``, that mix to ``value``."""
    place = (min(max(value, low), high) - low) / (high - low) * (len(names) - 1)
    first = min(int(place), len(names) - 2)
    return {names[first]: first + 1 - place, names[first + 1]: place - first}


def shape_coefficients(
    kit: HeadKit, phenotype: Phenotype, local: dict[str, float], actions: dict[str, float]
) -> Tensor:
    """(S,) factors for ``kit.shapes``.

    Args:
        phenotype: the macro sliders.
        local: local changes by name, for instance ``{"nose-scale-horiz-incr": 0.3}``.
        actions: facial actions by name, for instance ``{"jawOpen": 0.2}``.

    Raises:
        InputError: for a name the kit does not hold.
    """
    gender = {"male": 1 - phenotype.gender, "female": phenotype.gender}
    age = blend_between(phenotype.age, MACRO_AGES, 1 / 3, 1.0)
    muscle = blend_between(phenotype.muscle, MUSCLES, 0.0, 1.0)
    weight = blend_between(phenotype.weight, WEIGHTS, 0.0, 1.0)
    race = {"african": phenotype.african, "asian": phenotype.asian, "caucasian": phenotype.caucasian}
    wanted = {f"local:{name}": value for name, value in local.items()}
    wanted.update({f"action:{name}": value for name, value in actions.items()})
    for g, by_gender in gender.items():
        for a, by_age in age.items():
            wanted.update({f"race:{r}-{g}-{a}": share * by_gender * by_age for r, share in race.items()})
            for m, by_muscle in muscle.items():
                wanted.update({
                    f"macro:{g}-{a}-{m}-{w}": by_gender * by_age * by_muscle * by_weight
                    for w, by_weight in weight.items()
                })
    row = _shape_rows(kit.shape_names)
    unknown = [name for name in wanted if name not in row]
    if unknown:
        raise InputError(f"shapes: the head kit holds no {', '.join(unknown)}; see load_kit().shape_names")
    coefficients = [0.0] * len(row)
    for name, value in wanted.items():
        coefficients[row[name]] = value
    return torch.tensor(coefficients)


@lru_cache(maxsize=2)
def _shape_rows(names: tuple[str, ...]) -> dict[str, int]:
    """The row of every shape's name in ``kit.shapes``."""
    return {name: i for i, name in enumerate(names)}


def rotation(axis: str, degrees: float) -> Tensor:
    """(3, 3) right-handed rotation about the axis "x", "y" or "z"."""
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    entries = {
        "x": [one, zero, zero, zero, cos, -sin, zero, sin, cos],
        "y": [cos, zero, sin, zero, one, zero, -sin, zero, cos],
        "z": [cos, -sin, zero, sin, cos, zero, zero, zero, one],
    }[axis]
    return torch.stack(entries).view(3, 3)


@on_host
def pose_rotations(
    *, turn_deg: float = 0.0, nod_deg: float = 0.0, tilt_deg: float = 0.0,
    gaze_deg: tuple[float, float] = (0.0, 0.0), arms_deg: float = 32.0,
) -> Tensor:
    """(1 + bones, 3, 3) local rotations; the first is what stays still.

    Args:
        turn_deg, nod_deg, tilt_deg: of the head, shared evenly by the three bones of the neck and the head; positive
            turns the face to the subject's left, nods it down, tilts the crown to the subject's left.
        gaze_deg: of both eyes, to the subject's left and down.
        arms_deg: how far the arms are lowered from the template's pose.
    """
    rotations = torch.eye(3).repeat(len(BONES) + 1, 1, 1)
    quarter = rotation("z", turn_deg / 4) @ rotation("x", nod_deg / 4) @ rotation("y", tilt_deg / 4)
    for bone in ("neck01", "neck02", "neck03", "head"):
        rotations[1 + BONES.index(bone)] = quarter
    for bone in ("eye.L", "eye.R"):
        rotations[1 + BONES.index(bone)] = rotation("z", gaze_deg[0]) @ rotation("x", gaze_deg[1])
    for bone, sign in (("upperarm01.L", 1), ("upperarm01.R", -1)):
        rotations[1 + BONES.index(bone)] = rotation("y", sign * arms_deg)
    return rotations


def deform(
    kit: HeadKit, coefficients: Tensor, rotations: Tensor, warp: Callable[[Tensor], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Shapes added, then linear blend skinning.

    Args:
        coefficients: (B, S) from ``shape_coefficients``.
        rotations: (B, 1 + bones, 3, 3) from ``pose_rotations``.
        warp: template points (N, 3) to what is added to them besides, in metres.

    Returns:
        vertices (B, V, 3); world rotations of the bones, (B, 1 + bones, 3, 3).
    """
    rest = kit.template + (coefficients @ kit.shapes).unflatten(1, (-1, 3))
    joints = kit.joint_template + torch.einsum("bs,sjd->bjd", coefficients, kit.joint_shapes)
    if warp is not None:
        rest, joints = rest + warp(kit.template), joints + warp(kit.joint_template)
    turned, moved = [rotations[:, 0]], [torch.zeros_like(joints[:, 0])]
    for bone, parent in enumerate(PARENT_OF_BONE):
        local, joint = rotations[:, bone + 1], joints[:, bone, :, None]
        parent_turn, parent_move = (turned[0], moved[0]) if parent is None else (turned[parent + 1], moved[parent + 1])
        turned.append(parent_turn @ local)
        moved.append((parent_turn @ (joint - local @ joint))[..., 0] + parent_move)
    turn, move = torch.stack(turned, dim=1), torch.stack(moved, dim=1)
    blended = torch.einsum("vj,bjkl->bvkl", kit.bone_weights, turn)
    vertices = (blended @ rest[..., None])[..., 0] + torch.einsum("vj,bjk->bvk", kit.bone_weights, move)
    return vertices, turn


@dataclass(frozen=True)
class Subdivision:
    """One Catmull-Clark step for fixed quads: (V, C) values on vertices to (V2, C) on a mesh four times as fine.

    Attributes:
        coarse: (F, 4) the quads given, quads: (4 F, 4) of the fine mesh.
        edge_vertices, edge_faces: (E, 2) ends and faces of every edge (a border edge names its face twice).
        stays: (V,) bool, vertices on a border or without quads, which are not moved.
        valence: (V,) number of quads around a vertex.
    """

    coarse: Tensor
    quads: Tensor
    edge_vertices: Tensor
    edge_faces: Tensor
    stays: Tensor
    valence: Tensor

    @classmethod
    def of(cls, quads: Tensor, vertex_count: int) -> Subdivision:
        """The subdivision of quads (F, 4) over so many vertices."""
        face_count = len(quads)
        ends = torch.stack([quads, quads.roll(-1, dims=1)], dim=-1).flatten(0, 1).sort(dim=-1).values
        edges, edge_of_corner, uses = ends.unique(dim=0, return_inverse=True, return_counts=True)
        edge_of_corner = edge_of_corner.view(face_count, 4)
        face_of_corner = torch.arange(face_count).repeat_interleave(4)
        order = edge_of_corner.flatten().argsort(stable=True)
        first = uses.cumsum(0) - uses
        last = first + uses - 1
        edge_faces = torch.stack([face_of_corner[order[first]], face_of_corner[order[last]]], dim=1)
        face_point = vertex_count + len(edges) + torch.arange(face_count)
        corner_edges = vertex_count + edge_of_corner
        fine = [
            torch.stack([quads[:, i], corner_edges[:, i], face_point, corner_edges[:, i - 1]], dim=1) for i in range(4)
        ]
        on_border = torch.zeros(vertex_count, dtype=torch.bool)
        on_border[edges[uses != 2].flatten()] = True
        valence = torch.bincount(quads.flatten(), minlength=vertex_count)
        return cls(
            coarse=quads, quads=torch.stack(fine, dim=1).flatten(0, 1), edge_vertices=edges, edge_faces=edge_faces,
            stays=on_border | (valence == 0), valence=valence.clamp(min=1),
        )

    def refine(self, values: Tensor) -> Tensor:
        """(V, C) to (V2, C): the vertices, then one point on every edge, then one in every face."""
        face_points = values[self.coarse].mean(dim=1)
        edge_middle = values[self.edge_vertices].mean(dim=1)
        border_edge = (self.edge_faces[:, 0] == self.edge_faces[:, 1])[:, None]
        edge_points = torch.where(
            border_edge, edge_middle, 0.5 * edge_middle + 0.25 * face_points[self.edge_faces].sum(dim=1)
        )
        around_faces = torch.zeros_like(values).index_add_(
            0, self.coarse.flatten(), face_points.repeat_interleave(4, dim=0)
        )
        around_edges = torch.zeros_like(values).index_add_(
            0, self.edge_vertices.flatten(), edge_middle.repeat_interleave(2, dim=0)
        )
        n = self.valence[:, None]
        inner = (around_faces / n + 2 * around_edges / n + (n - 3) * values) / n
        return torch.cat([torch.where(self.stays[:, None], values, inner), edge_points, face_points])


def to_triangles(quads: Tensor) -> Tensor:
    """(F, 4) quads to (2 F, 3) triangles: first all (0, 1, 2), then all (0, 2, 3)."""
    return torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """(V, 3) unit normals, the faces' weighted by area; zero where no triangle touches."""
    a, b, c = vertices[triangles].unbind(dim=1)
    face_normals = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(0, triangles[:, corner], face_normals)
    return torch.nn.functional.normalize(total, dim=1)


@cached_per_device
def head_subdivision() -> Subdivision:
    """The subdivision of the shipped kit's quads."""
    kit = load_kit()
    return Subdivision.of(kit.quads, len(kit.template))

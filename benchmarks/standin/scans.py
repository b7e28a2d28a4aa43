"""Other people's heads, read from the sources and laid over the kit's template."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

from facedepth.synthetic.model import template_masks
from facedepth.synthetic.scalp import above_hairline, fine_template

NEIGHBOURS, REACH_M = 24, 0.012
EYE_RADIUS_M = 0.0135


class Scan(NamedTuple):
    """A head over the kit's template.

    Attributes:
        vertices: (V, 3), triangles: (T, 3); photo: (V, 3) linear RGB or None.
        is_hair: (V,) bool.
        nose, eyes: vertices nearest to the tip of the nose and to the middles of left and right eye.
        neighbours, weights: (V, NEIGHBOURS) skin vertices of the fine template and their weights.
    """

    name: str
    vertices: Tensor
    triangles: Tensor
    photo: Tensor | None
    is_hair: Tensor
    nose: int
    eyes: tuple[int, int]
    eye_parts: Tensor
    neighbours: Tensor
    weights: Tensor

    def carry(self, values: Tensor) -> Tensor:
        """Values (V2, C) on the fine template, smoothly, to (V, C)."""
        return (values[self.neighbours] * self.weights[..., None]).sum(dim=1)

    def in_eye(self, centre: Tensor) -> Tensor:
        """(V,) bool: vertices of the eyeball on the side of ``centre``, a point of the template."""
        return self.eye_parts & (self.vertices[:, 0] * centre[0] > 0)

    def eye_middle(self, centre: Tensor) -> Tensor:
        """(3,) middle of that eyeball."""
        ball = self.vertices[self.in_eye(centre)]
        return (ball.amax(dim=0) + ball.amin(dim=0)) / 2 if len(ball) else centre


@lru_cache(maxsize=3)
def read_scan(name: str, cache: Path) -> Scan:
    """One of "james", "template" and "soma" from the folder of sources."""
    mesh, landmarks = {"james": _james, "template": _template, "soma": _soma}[name](cache)
    vertices = _overlay(np.asarray(mesh.vertices), *landmarks)
    photo = mesh.metadata.get("photo")
    points = torch.from_numpy(vertices).float()
    rest, _ = fine_template()
    skin = template_masks().skin_quads.unique()
    apart, near = cKDTree(rest[skin].numpy()).query(vertices, NEIGHBOURS)
    weight = np.exp(-0.5 * ((apart - apart[:, :1]) / REACH_M) ** 2)
    tip = int(np.where((abs(vertices[:, 0]) < 0.02) & (abs(vertices[:, 2] - 0.69) < 0.03), vertices[:, 1], 9).argmin())
    eyes = tuple(int(np.linalg.norm(vertices - [x, -0.136, 0.7284], axis=1).argmin()) for x in (0.0308, -0.0308))
    hair = (above_hairline(points) > -0.004) if name == "james" else torch.zeros(len(points), dtype=torch.bool)
    return Scan(
        name, points, torch.from_numpy(np.asarray(mesh.faces).astype(np.int64)),
        None if photo is None else torch.from_numpy(photo).float(), hair, tip, eyes,
        torch.from_numpy(mesh.metadata.get("eyes", np.zeros(len(vertices), bool))), skin[torch.from_numpy(near)],
        torch.from_numpy(weight / weight.sum(axis=1, keepdims=True)).float(),
    )


TEMPLATE_LANDMARKS = np.array(  # outer corners of right and left eye, tip of the nose, corners of the mouth, chin
    [[-0.046, -0.118, 0.7275], [0.046, -0.118, 0.7275], [0, -0.168, 0.691], [-0.025, -0.138, 0.661],
     [0.025, -0.138, 0.661], [0, -0.142, 0.617]]
)


def _overlay(vertices: np.ndarray, landmarks: np.ndarray, eye_width_m: float) -> np.ndarray:
    """Rotated and shifted onto the template by landmarks, scaled so that the eyes' outer corners are this far apart."""
    scale = eye_width_m / np.linalg.norm(landmarks[0] - landmarks[1])
    source, target = landmarks * scale, TEMPLATE_LANDMARKS
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return (vertices * scale - source.mean(axis=0)) @ turn + target.mean(axis=0)


def _james(cache: Path) -> tuple[trimesh.Trimesh, tuple]:
    """A scanned man with a photographed skin; the mesh of 13,000 triangles is smoothed by Loop's subdivision."""
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
    points = _landmark_file(cache / "james.ljson")
    return smooth, (points, 0.090)


def _smooth_off_face(mesh: trimesh.Trimesh) -> None:
    """Draw vertices that are not on the face to their neighbours' middle: hair and collar were scanned as spikes."""
    x, y, _ = np.asarray(mesh.vertices).T
    off_face = np.clip((np.hypot((x + 22) / 78, (y + 20) / 105) - 0.95) / 0.15, 0, 1)[:, None]
    matrix = trimesh.smoothing.laplacian_calculation(mesh, equal_weight=True)
    vertices = np.asarray(mesh.vertices)
    for _ in range(15):
        vertices = vertices + 0.6 * off_face * (matrix @ vertices - vertices)
    mesh.vertices = vertices


def _template(cache: Path) -> tuple[trimesh.Trimesh, tuple]:
    """The mean of 200 scanned faces."""
    mesh = trimesh.load(cache / "template.ply", process=False)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), (_landmark_file(cache / "template.ljson"), 0.092)


def _soma(cache: Path) -> tuple[trimesh.Trimesh, tuple]:
    """The head of a mean body of scanned people, smoothed."""
    mesh = trimesh.load(cache / "base_body.obj", process=False, force="mesh")
    height = mesh.vertices[:, 1]
    mesh.update_faces((height[mesh.faces] > height.max() - 0.30).all(axis=1))
    pieces = mesh.split(only_watertight=False)
    smooth = [piece.subdivide_loop(2) for piece in pieces]
    joined = trimesh.util.concatenate(smooth)
    are_eyes = [len(piece.vertices) < 100 for piece in pieces]
    joined.metadata["eyes"] = np.repeat(are_eyes, [len(piece.vertices) for piece in smooth])
    landmarks = np.array(
        [[-0.045, 0.664, 0.177], [0.045, 0.664, 0.177], [0, 0.6268, 0.2221], [-0.024, 0.593, 0.194],
         [0.024, 0.593, 0.194], [0, 0.552, 0.196]]
    )
    return joined, (landmarks, 0.091)


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


def _landmark_file(path: Path) -> np.ndarray:
    """(6, 3) landmarks in the order of TEMPLATE_LANDMARKS from 68 in iBUG's order, by the groups' names."""
    group = json.loads(path.read_text())["groups"]["LJSON"]
    points = np.array(group["landmarks"]["points"], np.float64)
    named = {label["label"]: points[label["mask"]] for label in group["labels"]}
    eyes = [named.get(name, named.get(short)) for name, short in (("left_eye", "leye"), ("right_eye", "reye"))]
    eye_points = np.concatenate(eyes)
    # x grows to the picture's right, that is to the subject's left
    mouth, chin, nose = named["mouth"], named.get("jaw", named.get("chin")), named["nose"]
    lowest = chin[chin[:, 1].argmin()]
    return np.array([
        eye_points[eye_points[:, 0].argmin()], eye_points[eye_points[:, 0].argmax()], nose[nose[:, 2].argmax()],
        mouth[mouth[:, 0].argmin()], mouth[mouth[:, 0].argmax()], lowest,
    ])

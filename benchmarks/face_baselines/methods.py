"""The baselines: an ellipsoid, the mean face, MediaPipe's face mesh; and the networks by way of ``predict``."""

from __future__ import annotations

import itertools
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facedepth.camera import Camera, Crop, pixel_grid
from facedepth.checks import InputError
from facedepth.framing import CROP_WIDTH_M, resample
from facedepth.models import DepthNetwork
from facedepth.prediction import predict
from facedepth.sample import Sample
from facedepth.synthetic.head import Phenotype
from facedepth.synthetic.model import pose_body, template_masks
from facedepth.synthetic.people import Bearing, Body
from facedepth.synthetic.render import Scene
from facedepth.synthetic.scalp import fine_template
from facedepth.synthetic.shot import UPRIGHT

from .scoring import Guess

LANDMARKS = (33, 263, 1, 61, 291, 152)
"""MediaPipe's outer corners of the right and left eye, tip of the nose, corners of the mouth, chin."""
ON_TEMPLATE = np.array(  # the same on the kit's template, metres, z up, the face towards -y
    [[-0.046, -0.118, 0.7275], [0.046, -0.118, 0.7275], [0, -0.168, 0.691], [-0.025, -0.138, 0.661],
     [0.025, -0.138, 0.661], [0, -0.142, 0.617]]
)
FAR = 1e4  # pixels: from so far away a mesh in pixels is seen without perspective


def ellipsoid(sample: Sample) -> Guess:
    """The front of an ellipsoid over the face's true outline: told where the face is, it knows nothing else."""
    rows, columns = sample.face[0].any(dim=1).nonzero(), sample.face[0].any(dim=0).nonzero()
    x, y = pixel_grid(*sample.depth.shape[-2:]).split(1)
    u = (x - (columns[0] + columns[-1] + 1) / 2) / (columns[-1] - columns[0] + 1) * 2
    v = (y - (rows[0] + rows[-1] + 1) / 2) / (rows[-1] - rows[0] + 1) * 2
    # a little larger than the outline, or the corners of the outline would lie beyond the ellipsoid's edge
    inside = 1 - (u / 1.15).square() - (v / 1.15).square()
    return Guess(-inside.clamp(min=0).sqrt(), inside > 0)


@lru_cache(maxsize=1)
def mean_person() -> tuple[Tensor, Tensor, np.ndarray]:
    """Vertices and triangles of the kit's mean grown-up, and where the six landmarks lie on it."""
    third = 1 / 3
    body = Body(Phenotype(0.5, 0.68, 0.5, 0.5, third, third, third), {})
    posed = pose_body(body, Bearing({}, 0.0, 0.0, 0.0, (0.0, 0.0), 32.0))
    rest, _ = fine_template()
    nearest = torch.cdist(torch.from_numpy(ON_TEMPLATE).float(), rest).argmin(dim=1)
    return posed.vertices, template_masks().triangles, posed.vertices[nearest].double().numpy()


def mean_face(sample: Sample, landmarks: np.ndarray | None) -> Guess | None:
    """The mean face turned and placed so that six of its points fall on MediaPipe's, seen by the true camera."""
    if landmarks is None:
        return None
    height, width = sample.depth.shape[-2:]
    seen = landmarks[list(LANDMARKS), :2] * [width, height]
    vertices, triangles, points = mean_person()
    intrinsics = sample.camera.K.double().numpy()
    found, turn, move = cv2.solvePnP(points, seen, intrinsics, None, flags=cv2.SOLVEPNP_SQPNP)
    return _seen(sample, vertices, triangles, cv2.Rodrigues(turn)[0], move[:, 0]) if found else None


def frontal_mean_face(sample: Sample, landmarks: np.ndarray | None) -> Guess | None:
    """The mean face upright and looking straight ahead, as large as MediaPipe's six points and in their middle."""
    if landmarks is None:
        return None
    seen = landmarks[list(LANDMARKS), :2] * np.array(sample.depth.shape[-1:-3:-1])
    vertices, triangles, points = mean_person()
    turn = np.array(UPRIGHT).T
    flat = points @ turn.T
    spread = [values - values.mean(axis=0) for values in (seen, flat[:, :2])]
    away = float(sample.camera.K[0, 0]) * np.sqrt((spread[1] ** 2).sum() / (spread[0] ** 2).sum())
    ray = np.linalg.inv(sample.camera.K.double().numpy()) @ [*seen.mean(axis=0), 1]
    return _seen(sample, vertices, triangles, turn, away * ray - flat.mean(axis=0))


def _seen(sample: Sample, vertices: Tensor, triangles: Tensor, turn: np.ndarray, move: np.ndarray) -> Guess:
    """A mesh turned (3, 3) and moved (3,) into the camera's frame, as the sample's camera sees it."""
    height, width = sample.depth.shape[-2:]
    placed = vertices @ torch.from_numpy(turn).float().T + torch.from_numpy(move).float()
    camera = sample.camera._replace(cam2world=torch.eye(4))
    depth = Scene(placed, triangles).look(camera, height, width).depth.view(1, height, width)
    return Guess(depth, depth > 0)


def face_mesh(sample: Sample, landmarks: np.ndarray | None, triangles: np.ndarray) -> Guess | None:
    """MediaPipe's 468 landmarks (N, 3), in shares of the picture's width and height, as a mesh seen from the front."""
    if landmarks is None:
        return None
    height, width = sample.depth.shape[-2:]
    points = torch.from_numpy(landmarks * [width, height, width]).float()  # z is as large as x
    points = points - torch.tensor([width / 2, height / 2, 0.0])
    away = FAR + points[:, 2:]
    placed = torch.cat([points[:, :2] * away / FAR, away], dim=1)
    camera = Camera.from_focal(FAR, height, width)
    depth = Scene(placed, torch.from_numpy(triangles)).look(camera, height, width).depth.view(1, height, width)
    return Guess(depth, depth > 0)


def mesh_triangles(edges: np.ndarray) -> np.ndarray:
    """(T, 3) the triangles of a mesh given by its edges (E, 2): every three vertices joined to each other."""
    near: dict[int, set[int]] = {}
    for a, b in edges.tolist():
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    found = {
        tuple(sorted((a, b, c))) for a, others in near.items() for b, c in itertools.combinations(sorted(others), 2)
        if c in near[b]
    }
    return np.array(sorted(found), dtype=np.int64)


def true_crop(sample: Sample) -> Crop:
    """The square that the rule of framing means, placed by the truth: 0.28 m wide around the middle of the face."""
    face = sample.face[0]
    rows, columns = face.any(dim=1).nonzero(), face.any(dim=0).nonzero()
    size = round(CROP_WIDTH_M * float(sample.camera.K[0, 0] / sample.depth[sample.face].median()))
    centre_x, centre_y = float(columns[0] + columns[-1] + 1) / 2, float(rows[0] + rows[-1] + 1) / 2
    return Crop(round(centre_x - size / 2), round(centre_y - size / 2), size)


def truth_at(sample: Sample, size: int) -> Guess:
    """The truth brought to a network's ``size`` pixels a crop and back: what is lost by size alone."""
    height, width = sample.depth.shape[-2:]
    shrink = size / true_crop(sample).size
    small = round(height * shrink), round(width * shrink)
    share = resample(sample.face.float(), *small)
    depth = resample(torch.where(sample.face, sample.depth, 0.0), *small) / share.clamp(min=1e-6)
    known = share > 0.5
    for _ in range(6):  # grown beyond the face's rim, or the enlargement would ring there
        near = F.avg_pool2d(known.float()[None], 3, 1, 1)[0]
        grown = F.avg_pool2d((depth * known)[None], 3, 1, 1)[0] / near.clamp(min=1e-6)
        depth, known = torch.where(known, depth, grown), near > 0
    return Guess(resample(depth, height, width, mode="bicubic"), torch.ones_like(sample.face))


def network(model: DepthNetwork, sample: Sample, crop: str | Crop, *, mirror: bool = True) -> Guess | None:
    """What a user gets of ``predict`` at the picture's own size, with the default field of view; None: no face found.

    The depth's scale is that of a crop whose width at the face is known, so that the factor fitted is the relief's.
    """
    try:
        prediction = predict(model, sample.image, crop=crop, mirror=mirror)
    except InputError:
        return None
    if not prediction.mask.any():
        return None
    width_m = prediction.crop.size * float(sample.depth[sample.face].median() / sample.camera.K[0, 0])
    has_scale = prediction.kind == "relief"
    depth = prediction.depth(**({"crop_width_m": width_m} if has_scale else {}))
    return Guess(depth, prediction.mask, has_scale)

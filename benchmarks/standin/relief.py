"""How far the parts of a face stand out: the generator's people beside the stand-in's heads.

``python -m benchmarks.standin.relief --sources data/standin_sources`` prints a table: the depth behind a plane through
the face, mm, of the three heads that are not the kit's, and of 60 people without and with what
``facedepth.synthetic.features`` adds: mean and standard deviation.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from facedepth.checks import InputError
from facedepth.synthetic.features import AS_THE_KIT
from facedepth.synthetic.head import head_subdivision, to_triangles
from facedepth.synthetic.kit import load_kit
from facedepth.synthetic.model import pose_body
from facedepth.synthetic.people import Bearing, Body, draw_body
from facedepth.synthetic.scalp import fine_template

from .scans import SUBJECTS, TEMPLATE_LANDMARKS, Scan, read_scan
from .sources import fetch

PLACES = {  # to both sides of the middle, and height, metres on the template
    "forehead": (0.0, 0.770), "brow": (0.020, 0.752), "outer brow": (0.038, 0.752), "bridge": (0.0, 0.735),
    "middle of the nose": (0.0, 0.716), "tip of the nose": (0.0, 0.691), "eye": (0.032, 0.729),
    "outer corner of the eye": (0.043, 0.727), "cheek": (0.040, 0.690), "lips": (0.0, 0.662),
    "corner of the mouth": (0.022, 0.660), "chin": (0.0, 0.632),
}
CORNERS = TEMPLATE_LANDMARKS[[0, 1, 3, 4]]
"""Outer corners of the eyes and corners of the mouth."""
MIDDLE, HALF = np.array([0.0, 0.695]), np.array([0.062, 0.082])  # of the ellipse that is called the face, (x, z)
STILL = Bearing(actions={}, turn_deg=0.0, nod_deg=0.0, tilt_deg=0.0, gaze_deg=(0.0, 0.0), arms_deg=32.0)
PEOPLE = 60
SIDE = 81  # of the grid that looks at the face


def relief(vertices: np.ndarray, triangles: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(P,) mm behind the plane of the face at ``PLACES``, of a head (V, 3); ``CORNERS`` are these vertices (4,)."""
    sides = np.array([[(side * x, z) for side in (-1, 1)] for x, z in PLACES.values()])  # (P, 2, 2)
    column, row = np.round(grid_places(sides)).astype(int).transpose(2, 0, 1)
    return 1000 * relief_map(upright(vertices, triangles, corners), triangles)[row, column].mean(axis=1)


def upright(vertices: np.ndarray, triangles: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(V, 3) a head as it would stand in the template's place: scaled so that eyes and mouth are as far apart in height
    as the template's, and nodding until the plane through its face is upright."""
    placed = _onto_corners(vertices, vertices[corners])
    for _ in range(8):
        slope = _plane(_front(placed, triangles))[2]
        cosine, sine = np.cos(np.arctan(slope)), np.sin(np.arctan(slope))
        centre = np.array([0, CORNERS[:, 1].mean(), MIDDLE[1]])
        placed = (placed - centre) @ np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]]) + centre
        heights = placed[corners, 2].reshape(2, 2).mean(axis=1)
        scale = (CORNERS[0, 2] - CORNERS[2, 2]) / (heights[0] - heights[1])
        placed = (placed - [0, 0, heights[0]]) * scale + [0, 0, CORNERS[0, 2]]
    return placed


def relief_map(placed: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) metres behind the plane of the face, of a head as ``upright`` places it; infinite beside it."""
    depth = _front(placed, triangles)
    at, across, up = _plane(depth)
    x, z = face_grid()
    return depth - (at + across * x + up * (z - MIDDLE[1]))


def grid_places(places: np.ndarray) -> np.ndarray:
    """Column and row on the grid (..., 2) of places (x, z) on the template, in metres."""
    return (places - MIDDLE + HALF) / HALF * (SIDE - 1) / 2


def face_grid() -> tuple[np.ndarray, np.ndarray]:
    """x and z of the grid, (SIDE, SIDE); z grows with the row."""
    steps = np.linspace(-1, 1, SIDE)
    return np.meshgrid(MIDDLE[0] + HALF[0] * steps, MIDDLE[1] + HALF[1] * steps)


def _front(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) y of the surface seen from the front, without perspective; infinite beside it."""
    import open3d as o3d

    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(o3d.core.Tensor(vertices.astype(np.float32)), o3d.core.Tensor(triangles.astype(np.uint32)))
    x, z = face_grid()
    one, nothing = np.ones_like(x), np.zeros_like(x)
    rays = np.stack([x, -one, z, nothing, one, nothing], axis=-1).astype(np.float32)
    return scene.cast_rays(o3d.core.Tensor(rays), nthreads=1)["t_hit"].numpy() - 1.0


def _plane(depth: np.ndarray) -> np.ndarray:
    """Depth in the middle of the face's ellipse, and how it grows with x and with z there, by least squares."""
    x, z = face_grid()
    inside = (x / HALF[0]) ** 2 + ((z - MIDDLE[1]) / HALF[1]) ** 2 < 1
    inside &= np.isfinite(depth)
    columns = np.stack([np.ones(inside.sum()), x[inside], z[inside] - MIDDLE[1]], axis=1)
    return np.linalg.lstsq(columns, depth[inside], rcond=None)[0]


def _onto_corners(vertices: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Turned, scaled and moved so that four points (4, 3) fall on ``CORNERS``."""
    matrix, _, _ = trimesh.registration.procrustes(corners, CORNERS, reflection=False)
    return trimesh.transform_points(vertices, matrix)


@lru_cache(maxsize=1)
def corners_of_kit() -> np.ndarray:
    """(4,) the vertices of the fine template that are its ``CORNERS``."""
    return cKDTree(fine_template()[0].numpy()).query(CORNERS)[1]


def still_face(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a person with a calm face."""
    return pose_body(body, STILL).vertices.double().numpy(), to_triangles(head_subdivision().quads).numpy()


def head_of(scan: Scan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and corners of a scan, as ``upright`` takes them."""
    return scan.vertices.double().numpy(), scan.triangles.numpy(), scan.corners.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.standin.relief", description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=Path, default=Path("data/standin_sources"), help="default: %(default)s")
    try:
        cache = fetch(parser.parse_args().sources)
    except InputError as error:
        sys.exit(str(error))
    heads = [relief(*head_of(read_scan(name, cache))) for name in SUBJECTS]
    corners = corners_of_kit()
    rng = np.random.default_rng(0)
    people = [draw_body(rng, load_kit()) for _ in range(PEOPLE)]
    flat = np.array([relief(*still_face(replace(body, prominence=AS_THE_KIT)), corners) for body in people])
    made = np.array([relief(*still_face(body), corners) for body in people])
    print(f"| place | {' | '.join(SUBJECTS)} | the kit's people | the generator's |\n|---|---|---|---|---|---|")
    for place, name in enumerate(PLACES):
        row = [f"{head[place]:.1f}" for head in heads]
        row += [f"{values[:, place].mean():.1f} +- {values[:, place].std():.1f}" for values in (flat, made)]
        print(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()

"""The border of a mesh over a pixel grid, drawn smooth, without folding what lies inside it."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from .mesh import Mesh

_REACH = 2.0  # times sigma: how deep the border's move is felt inside
_LEAST_AREA = 0.1  # of what a triangle had, on the texture: less, and its normal would rest on rounding
_HALVINGS = 6  # before a vertex that folds a triangle goes back to its place


def smooth_outline(mesh: Mesh, row: np.ndarray, column: np.ndarray, *, sigma: float, faces: np.ndarray) -> Mesh:
    """The mesh with the border of its ``faces`` smoothed along itself by a Gaussian of ``sigma`` steps of the grid.

    The vertices behind the border go with it, the less the farther they are from it: were they to stay, the border
    would pass them, and triangles would fold over. A vertex that folds one all the same moves less, or not at all.
    The place on the texture moves as the vertex does.

    Args:
        mesh: its triangles have positive area on the texture.
        row, column: (V,) the places of its vertices on the grid.
        sigma: 0 returns the mesh as it is.
        faces: (F, 3) its triangles, or those of them whose border is meant; the others may fold.
    """
    if sigma == 0 or len(faces) == 0:
        return mesh
    places = np.concatenate([mesh.vertices, mesh.uv], axis=1)  # (V, 5)
    border = _border_edges(faces, len(mesh.vertices))
    moves = _along_the_border(places, border, sigma) - places
    moves = _into_the_inside(moves, np.unique(border), row, column, sigma)
    places += _least_folding(mesh.uv, faces, moves)[:, None] * moves
    return replace(mesh, vertices=places[:, :3].copy(), uv=places[:, 3:].copy())


def _border_edges(faces: np.ndarray, count: int) -> np.ndarray:
    """(E, 2) vertices of the edges that have a triangle on one side alone."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    keys, uses = np.unique(edges[:, 0] * count + edges[:, 1], return_counts=True)
    return np.stack(np.divmod(keys[uses == 1], count), axis=1)


def _along_the_border(places: np.ndarray, border: np.ndarray, sigma: float) -> np.ndarray:
    """Places (V, N) with those of the border smoothed: half the way to the middle of both neighbours, many times."""
    ends = np.concatenate([border, border[:, ::-1]])  # (2 E, 2): a vertex, its neighbour
    ends = ends[np.bincount(border.ravel(), minlength=len(places))[ends[:, 0]] == 2]  # where borders touch, all stays
    ends = ends[ends[:, 0].argsort(kind="stable")]
    moved, first, second = ends[::2, 0], ends[::2, 1], ends[1::2, 1]
    smooth = places.copy()
    for _ in range(math.ceil(2 * sigma**2)):  # each time the variance grows by a half
        smooth[moved] = 0.5 * smooth[moved] + 0.25 * (smooth[first] + smooth[second])
    return smooth


def _into_the_inside(
    moves: np.ndarray, border: np.ndarray, row: np.ndarray, column: np.ndarray, sigma: float
) -> np.ndarray:
    """Moves (V, N) of the border, and inside of it the moves of the border nearby, less with the distance."""
    margin = math.ceil(3 * _REACH * sigma)
    shape = (int(np.ptp(row)) + 1 + 2 * margin, int(np.ptp(column)) + 1 + 2 * margin)
    row, column = row - row.min() + margin, column - column.min() + margin

    def nearby(values: np.ndarray) -> np.ndarray:
        grid = np.zeros(shape, np.float32)
        grid[row[border], column[border]] = values
        return cv2.GaussianBlur(grid, (0, 0), sigmaX=_REACH * sigma)[row, column]

    outside = np.ones(shape, np.uint8)
    outside[row[border], column[border]] = 0
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[row, column]
    felt = np.exp(-0.5 * (distance / (_REACH * sigma)) ** 2)
    felt[distance > 3 * _REACH * sigma] = 0
    weight = nearby(np.ones(len(border), np.float32)).clip(min=1e-12)
    spread = np.stack([felt * nearby(moves[border, axis]) / weight for axis in range(moves.shape[1])], axis=1)
    spread[border] = moves[border]
    return spread


def _least_folding(uv: np.ndarray, faces: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(V,) shares of the moves (V, 5), 1 but around triangles that would fold or shrink to nothing on the texture."""
    faces = faces[moves.any(axis=1)[faces].any(axis=1)]  # the others stay as they are

    def areas(places: np.ndarray) -> np.ndarray:
        a, b, c = (places[faces[:, corner]].astype(np.float64) for corner in range(3))
        (ux, uy), (vx, vy) = (b - a).T, (c - a).T
        return ux * vy - uy * vx

    before = areas(uv)
    least = np.minimum(_LEAST_AREA * before, before)  # what was folded before may stay so
    share = np.ones(len(moves), np.float32)
    halved = 0
    while (folded := areas(uv + share[:, None] * moves[:, 3:]) < least).any():
        share[faces[folded]] *= 0.5 if halved < _HALVINGS else 0.0
        halved += 1
    return share

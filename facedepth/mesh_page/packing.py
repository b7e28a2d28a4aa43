"""Meshes as a page carries them: integers, as differences with their bytes apart, which deflate makes small.

``decode.js`` reads it back. A 512 x 512 mesh takes 1 to 2 MB so, a quarter of the same mesh as GLB in base64.
"""

from __future__ import annotations

import base64
import io
import zlib

import numpy as np
from PIL import Image

from ..mesh import Mesh

_STEPS = 65535  # positions and uv are 16-bit integers
_FINE_STEPS = 2**24 - 1  # positions, where a face is small before what lies behind it; as fine as the page's floats
_COARSE = 0.03  # of a short edge's length, a step by which rounding would tilt triangles visibly
_MAX_TEXTURE_PX = 2048
_LEAST_DEG, _STEPS_PER_DEG = 45, 4  # triangles flatter than 45 degrees are always shown; decode.js holds both too


def pack_mesh(mesh: Mesh, title: str) -> dict:
    """What the page needs of a mesh, ready for JSON.

    Positions are rounded to a 65535th of the mesh's extent on each axis, or finer where its triangles are small beside
    that, uv to a 65535th of the texture that the mesh uses; the rest of the photo is left out. Angles are rounded up to
    steps of the page's slider.

    Raises:
        InputError: no triangle, or a vertex that is not finite.
    """
    mesh.check()
    low, high = mesh.vertices.min(axis=0).astype(np.float64), mesh.vertices.max(axis=0).astype(np.float64)
    extent = np.maximum(high - low, 1e-12)
    texture, uv = _used_texture(mesh)
    edges = np.linalg.norm(mesh.vertices[mesh.faces[:, 0]] - mesh.vertices[mesh.faces[:, 1]], axis=1)
    steps = _STEPS if extent.max() / _STEPS <= _COARSE * np.quantile(edges, 0.05) else _FINE_STEPS
    grid, uv_grid = np.rint((mesh.vertices - low) / extent * steps), np.rint(uv.clip(0, 1) * _STEPS)
    # Neighbours after each other: they share vertices that a graphics card, or a browser without one, still holds.
    order = np.argsort(mesh.faces.min(axis=1), kind="stable")
    faces = mesh.faces[order]
    corners = [faces[:, 0], faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0]]
    blob = b"".join(_differences(column, "<u2" if steps == _STEPS else "<u4") for column in grid.T)
    blob += b"".join(_differences(column, "<u2") for column in uv_grid.T)
    blob += b"".join(_differences(column, "<u4") for column in corners)
    if mesh.angles_deg is not None:
        steps_above = np.ceil((mesh.angles_deg[order] - _LEAST_DEG) * _STEPS_PER_DEG - 1e-3)  # float32's 85 is 85
        blob += _differences(steps_above.clip(0), "<u1")
    return {
        "title": title, "vertices": len(mesh.vertices), "triangles": len(mesh.faces), "low": low.tolist(),
        "extent": extent.tolist(), "steps": steps,
        "cuttable": mesh.angles_deg is not None,
        "texture": None if texture is None else _jpeg(texture),
        "data": base64.b64encode(zlib.compress(blob, 6)).decode(),
    }


def _differences(column: np.ndarray, dtype: str) -> bytes:
    values = column.astype(np.int64).astype(dtype)
    steps = np.diff(values, prepend=values.dtype.type(0))  # wraps around, and so does the sum
    return steps.view(np.uint8).reshape(len(values), -1).T.tobytes()


def _used_texture(mesh: Mesh) -> tuple[np.ndarray | None, np.ndarray]:
    """The part of the texture that the mesh uses, no side longer than 2048, and the uv in that part."""
    if mesh.texture is None:
        return None, np.zeros((len(mesh.vertices), 2))
    height, width = mesh.texture.shape[:2]
    u, v = mesh.uv[:, 0].clip(0, 1) * width, (1 - mesh.uv[:, 1].clip(0, 1)) * height
    left, top = int(u.min()), int(v.min())
    right, bottom = min(width, int(u.max()) + 1), min(height, int(v.max()) + 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    picture = Image.fromarray(mesh.texture[top:bottom, left:right])
    picture.thumbnail((_MAX_TEXTURE_PX, _MAX_TEXTURE_PX))
    uv = np.stack([(u - left) / (right - left), 1 - (v - top) / (bottom - top)], axis=1)
    return np.asarray(picture), uv


def _jpeg(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="jpeg", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"

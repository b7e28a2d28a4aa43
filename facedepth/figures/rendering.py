"""Pictures of a mesh from any side, by ray casting on the CPU: they need no display and no graphics card."""

from __future__ import annotations

import math
from functools import cached_property

import cv2
import numpy as np
import torch

from ..mesh import Mesh, check_mesh

WHITE = (255, 255)
STUDIO = (244, 212)
"""Backgrounds: the grey in the middle of the picture and in its corners."""

_SUPERSAMPLING = 2
_CLAY = 0.55  # reflectance, linear light
_INSIDE = 0.35  # how bright the hollow inside of a face is, against its outside
_AMBIENT = 0.07
_LIGHTS = (  # strength, and direction in the viewer's axes: right, up, towards the viewer
    (1.35, (-0.70, 0.60, 0.42)),  # key, over the viewer's left shoulder
    (0.20, (0.90, 0.10, 0.40)),  # fill, softens the shadow side
    (0.40, (0.30, 0.60, -0.75)),  # rim, from behind, parts the head from the background
)
_WRAP = 0.15  # lights are large: so far round the shape their light reaches
_PHOTO_SHADE = 0.5  # a photo brings its own light: so much of its brightness follows ours
_OCCLUSION_RAYS = 1_500_000  # for the whole mesh
_OCCLUSION_REACH = 0.3  # what lies farther away than this, in radii of the mesh, casts no soft shadow


def mesh_views(
    mesh: Mesh, *, size: int = 320, textured: bool = True, background: tuple[int, int] = WHITE
) -> dict[str, np.ndarray]:
    """Five views of a mesh, by name: from the front, both sides, above and below."""
    angles = {"left": (-40, 0), "above": (0, 25), "front": (0, 0), "below": (0, -25), "right": (40, 0)}
    scene = MeshScene(mesh)
    return {
        name: scene.render(yaw_deg=yaw, pitch_deg=pitch, size=size, textured=textured, background=background)
        for name, (yaw, pitch) in angles.items()
    }


def render_mesh(
    mesh: Mesh, *, yaw_deg: float = 0.0, pitch_deg: float = 0.0, size: int = 320, textured: bool = True,
    background: tuple[int, int] = WHITE,
) -> np.ndarray:
    """(size, size, 3) uint8 picture of a mesh; for more than one of the same mesh, keep a ``MeshScene``."""
    scene = MeshScene(mesh)
    return scene.render(yaw_deg=yaw_deg, pitch_deg=pitch_deg, size=size, textured=textured, background=background)


class MeshScene:
    """A mesh made ready to be seen from many sides.

    The camera orbits the middle of the mesh. Triangles with a corner that is not finite are left out; a mesh without
    any is a picture that says so.
    """

    def __init__(self, mesh: Mesh) -> None:
        finite = np.isfinite(check_mesh(mesh).vertices).all(axis=1)
        self.mesh = mesh
        self._textures: dict[int, np.ndarray] = {}  # by the size of the picture: a film's frames are of one
        self.faces = mesh.faces[finite[mesh.faces].all(axis=1)] if len(mesh.faces) else mesh.faces
        if len(self.faces):
            self.vertices = np.where(finite[:, None], mesh.vertices, 0).astype(np.float32)
            low, high = np.percentile(mesh.vertices[finite], [0.5, 99.5], axis=0)
            self.centre, self.radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2

    def render(
        self, *, yaw_deg: float = 0.0, pitch_deg: float = 0.0, size: int = 320, textured: bool = True,
        background: tuple[int, int] = WHITE,
    ) -> np.ndarray:
        """(size, size, 3) uint8: positive yaw sees the mesh from its right (image right), positive pitch from above.

        Without texture it is clay. Three lights and a soft shadow in its hollows; edges are smooth.
        """
        backdrop = _backdrop(size, background)
        if not len(self.faces):
            return _with_words(backdrop, "nothing to show")
        side = size * _SUPERSAMPLING
        K, world2cam = self._orbit(math.radians(yaw_deg), math.radians(pitch_deg), side)
        box = self._box(K, world2cam, side)
        rays = self._caster.create_rays_pinhole(K, world2cam, side, side)
        hits = self._caster.cast_rays(rays[box])
        hit = np.isfinite(hits["t_hit"].numpy())  # (h, w) of the box
        triangles = self.faces[hits["primitive_ids"].numpy()[hit]]  # (N, 3)
        u, v = hits["primitive_uvs"].numpy()[hit].T
        weights = np.stack([1 - u - v, u, v], axis=1)  # (N, 3)

        towards_eye = -world2cam[2, :3].astype(np.float32)
        outside = hits["primitive_normals"].numpy()[hit] @ towards_eye > 0
        light = self._light(triangles, weights, world2cam, outside)  # (N, 1)
        if textured and self.mesh.texture is not None:
            colours = self._texture_at(_between(self.mesh.uv, triangles, weights), hit, side)
            linear = colours * (1 - _PHOTO_SHADE + _PHOTO_SHADE * light)
        else:
            linear = np.repeat(_CLAY * light, 3, axis=1)
        linear[~outside] *= _INSIDE
        picture = np.zeros((side, side, 4), np.float32)  # colour, and whether the mesh is there
        picture[box][hit] = np.concatenate([255 * linear.clip(0, 1) ** (1 / 2.2), np.ones_like(light)], axis=1)
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        return (picture[..., :3] + backdrop * (1 - picture[..., 3:])).round().clip(0, 255).astype(np.uint8)

    def _box(self, K: np.ndarray, world2cam: np.ndarray, side: int) -> tuple[slice, slice]:
        """The rows and columns of the picture that the mesh may cover."""
        points = (self.vertices @ world2cam[:3, :3].T + world2cam[:3, 3]) @ K.T
        pixels = points[:, :2] / points[:, 2:]
        low, high = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0)) + 1
        (left, top), (right, bottom) = (edge.clip(0, side).astype(int) for edge in (low, high))
        return slice(top, bottom), slice(left, right)

    def _light(
        self, triangles: np.ndarray, weights: np.ndarray, world2cam: np.ndarray, outside: np.ndarray
    ) -> np.ndarray:
        """(N, 1) light that falls on points given by triangle corners (N, 3) and their weights (N, 3)."""
        normals = _between(self._normals, triangles, weights)
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
        normals[~outside] *= -1
        open_sky = _between(self._open_sky[:, None], triangles, weights)
        to_viewer = (world2cam[:3, :3] * [[1], [-1], [-1]]).astype(np.float32)  # OpenCV's rows to right, up, viewer
        in_view = normals @ to_viewer.T
        light = _AMBIENT * (0.75 + 0.25 * in_view[:, 1:2])
        for strength, direction in _LIGHTS:
            unit = np.array(direction, np.float32) / np.linalg.norm(direction)
            light = light + strength * ((in_view @ unit + _WRAP) / (1 + _WRAP)).clip(0)[:, None] ** 1.3
        return light * open_sky**1.5

    def _texture_at(self, uv: np.ndarray, hit: np.ndarray, side: int) -> np.ndarray:
        """(N, 3) linear colours at the texture places (N, 2) of the pixels that were hit."""
        texture = self._texture_for(side)
        height, width = texture.shape[:2]
        where = np.zeros((*hit.shape, 2), np.float32)
        where[hit] = uv * [width, -height] + [-0.5, height - 0.5]
        picture = cv2.remap(texture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return (picture[hit] / np.float32(255)) ** np.float32(2.2)

    def _texture_for(self, side: int) -> np.ndarray:
        """The texture, no finer than a picture of ``side`` pixels shows: else a large photo glitters as it turns."""
        if side not in self._textures:
            texture = self.mesh.texture
            used = self.mesh.uv[np.unique(self.faces)]
            texels = float((np.ptp(used, axis=0) * texture.shape[1::-1]).max())
            shrink = min(1.0, side / max(texels, 1))
            self._textures[side] = cv2.resize(texture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        return self._textures[side]

    @cached_property
    def _caster(self):
        import open3d

        scene = open3d.t.geometry.RaycastingScene()
        scene.add_triangles(self.vertices, self.faces.astype(np.uint32))
        return scene

    @cached_property
    def _normals(self) -> np.ndarray:
        """(V, 3) normals, each the area-weighted mean of its triangles'."""
        corners = self.vertices[self.faces]
        face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = _summed_at_corners(self.faces, face_normals, len(self.vertices))
        return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)

    @cached_property
    def _open_sky(self) -> np.ndarray:
        """(V,) the share of the light from everywhere that reaches each vertex past the rest of the mesh."""
        count = int(np.clip(_OCCLUSION_RAYS // len(self.vertices), 12, 64))
        # Directions spread evenly over the sphere (Fibonacci's lattice), the same for every vertex: no noise.
        height = 1 - (2 * np.arange(count) + 1) / count
        angle = np.arange(count) * math.pi * (3 - math.sqrt(5))
        around = np.sqrt(1 - height**2)
        directions = np.stack([around * np.cos(angle), around * np.sin(angle), height], axis=1).astype(np.float32)
        start = self.vertices + self._normals * (0.004 * self.radius)
        free, total = np.zeros(len(start), np.float32), np.full(len(start), 1e-6, np.float32)
        for direction in directions:
            cosine = self._normals @ direction
            up = cosine > 0.1  # rays that graze the surface only find its own noise
            rays = np.concatenate([start[up], np.broadcast_to(direction, (int(up.sum()), 3))], axis=1)
            blocked = self._caster.test_occlusions(rays, tfar=_OCCLUSION_REACH * self.radius).numpy()
            free[up] += cosine[up] * ~blocked
            total[up] += cosine[up]
        return self._spread((free / total).clip(0, 1))

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """(V,) values averaged over each vertex's triangles, twice: few directions make hard steps."""
        for _ in range(2):
            means = np.stack([values[self.faces].mean(axis=1), np.ones(len(self.faces), np.float32)], axis=1)
            total, count = _summed_at_corners(self.faces, means, len(values)).T
            values = total / count.clip(1)
        return values

    def _orbit(self, yaw: float, pitch: float, side: int) -> tuple[np.ndarray, np.ndarray]:
        """K (3, 3) and world2cam (4, 4), OpenCV axes, of a camera that holds the whole mesh; angles in radians."""
        towards_eye = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
        right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
        half_fov = math.radians(10)
        eye = self.centre + towards_eye * 0.9 * self.radius / math.sin(half_fov)
        world2cam = np.eye(4)
        world2cam[:3, :3] = [right, np.cross(right, towards_eye), -towards_eye]  # image right, image down, forward
        world2cam[:3, 3] = -world2cam[:3, :3] @ eye
        focal_px = side / 2 / math.tan(half_fov)
        return np.array([[focal_px, 0, side / 2], [0, focal_px, side / 2], [0, 0, 1]]), world2cam


def _summed_at_corners(faces: np.ndarray, values: np.ndarray, vertices: int) -> np.ndarray:
    """(V, C): at each vertex the sum of its triangles' values (F, C)."""
    sums = torch.zeros(vertices, values.shape[1], dtype=torch.float32)
    for corner in range(3):
        sums.index_add_(0, torch.from_numpy(faces[:, corner]), torch.from_numpy(values))
    return sums.numpy()


def _between(values: np.ndarray, triangles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, C): the vertices' values (V, C) inside triangles, given by their corners (N, 3) and weights (N, 3)."""
    return sum(weights[:, [corner]] * values[triangles[:, corner]] for corner in range(3))


def _backdrop(size: int, background: tuple[int, int]) -> np.ndarray:
    """(size, size, 1) float32 grey that runs from the middle to the corners."""
    across = np.linspace(-1, 1, size, dtype=np.float32)
    from_middle = (across[:, None] ** 2 + across**2) / 2
    middle, corner = background
    return (middle + (corner - middle) * from_middle)[..., None]


def _with_words(backdrop: np.ndarray, words: str) -> np.ndarray:
    picture = np.repeat(backdrop, 3, axis=2).astype(np.uint8)
    scale = picture.shape[0] / 400
    (width, height), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    origin = (picture.shape[1] - width) // 2, (picture.shape[0] + height) // 2
    return cv2.putText(picture, words, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (110, 110, 110), 1, cv2.LINE_AA)

"""Triangle meshes and point clouds, and the files they are saved to.

Both have x right, y up, z towards the viewer, the origin at the camera (OpenGL's and glTF's axes).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .checks import InputError
from .paths import atomic_path, refuse_existing, user_path

_CLAY = 160  # the grey of a mesh without a texture, in sRGB
MESH_SUFFIXES = (".glb", ".obj", ".ply")


@dataclass(frozen=True, eq=False)  # arrays have no truth to compare by
class Mesh:
    """A textured triangle mesh.

    Attributes:
        vertices: (V, 3) float32, metres where the scale is known.
        faces: (F, 3) int32, counter-clockwise seen from the front.
        uv: (V, 2) float32 in [0, 1], origin at the texture's lower left.
        texture: (H, W, 3) uint8, or None for a plain grey mesh.
        angles_deg: (F,) how steep each triangle is, see ``geometry.depth_to_mesh``; None where that is not known.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    texture: np.ndarray | None = None
    angles_deg: np.ndarray | None = None

    def check(self) -> Mesh:
        """This mesh, once it has a triangle and its vertices are finite.

        Raises:
            InputError: saying what is wrong.
        """
        if len(self.faces) == 0:
            raise InputError("the mesh has no triangle; is the mask empty, or max_angle_deg too small?")
        if not np.isfinite(self.vertices).all():
            raise InputError("the mesh has vertices that are not finite (NaN or infinite); mask those pixels out")
        return self

    def vertex_colours(self) -> np.ndarray:
        """(V, 3) uint8, the texture's pixel at each vertex; mid-grey without a texture."""
        if self.texture is None:
            return np.full((len(self.vertices), 3), _CLAY, np.uint8)
        height, width = self.texture.shape[:2]
        column = np.clip((self.uv[:, 0] * width).astype(int), 0, width - 1)
        row = np.clip(((1 - self.uv[:, 1]) * height).astype(int), 0, height - 1)
        return self.texture[row, column]

    def to_trimesh(self, *, textured: bool = True):
        """The same mesh as a ``trimesh.Trimesh``: with a material (textured, or clay), or with a colour a vertex."""
        import trimesh

        mesh = trimesh.Trimesh(self.vertices, self.faces, process=False)
        if textured:
            colour = {"baseColorFactor": [(_CLAY / 255) ** 2.2] * 3 + [1.0]}  # linear, as glTF wants it
            if self.texture is not None:
                colour = {"baseColorTexture": Image.fromarray(self.texture)}
            # Told all: glTF's own defaults are metal, which is black without surroundings, and no back.
            material = trimesh.visual.material.PBRMaterial(
                **colour, metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True
            )
            mesh.visual = trimesh.visual.TextureVisuals(uv=self.uv, material=material)
        else:
            mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=self.vertex_colours())
        return mesh

    def to_open3d(self):
        """The same mesh as an ``open3d.geometry.TriangleMesh`` with vertex colours and normals."""
        import open3d

        mesh = open3d.geometry.TriangleMesh(
            open3d.utility.Vector3dVector(self.vertices.astype(np.float64)), open3d.utility.Vector3iVector(self.faces)
        )
        mesh.vertex_colors = open3d.utility.Vector3dVector(self.vertex_colours() / 255.0)
        mesh.compute_vertex_normals()
        return mesh

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write .glb (textured), .obj (with .mtl and texture beside it) or .ply (a colour at each vertex).

        Returns:
            The files written; for an .obj the .mtl and the texture's .png too.

        Raises:
            InputError: unknown suffix, an empty mesh, vertices that are not finite, or a file in the way.
        """
        path = user_path(path)
        if path.suffix.lower() not in MESH_SUFFIXES:
            raise InputError(f"{path}: expected one of {', '.join(MESH_SUFFIXES)}, got {path.suffix or 'no suffix'}")
        try:
            self.check()
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        refuse_existing(self.files(path), overwrite)
        contents = self._encode(path)
        for target in self.files(path):
            with atomic_path(target) as temporary:
                temporary.write_bytes(contents[target])
        return self.files(path)

    def files(self, path: str | Path) -> list[Path]:
        """What ``save`` writes for this path; an .obj itself comes last, so that it never stands without its parts."""
        path = Path(path)
        if path.suffix.lower() != ".obj" or self.texture is None:
            return [path]
        # Not "<stem>.png": beside the mesh that may well be the user's photo. And no blanks: in .obj and .mtl they
        # end a name.
        name = "_".join(path.stem.split()).encode(errors="replace").decode()  # nor what is no text
        return [path.with_name(f"{name}_texture.png"), path.with_name(f"{name}.mtl"), path]

    def _encode(self, path: Path) -> dict[Path, bytes]:
        """The contents of ``files``."""
        import trimesh

        suffix = path.suffix.lower()
        mesh = self.to_trimesh(textured=suffix != ".ply")
        if suffix == ".glb":
            return {path: self._to_glb(mesh, path.stem)}
        if suffix == ".ply":
            return {path: mesh.export(file_type="ply")}
        if self.texture is None:
            return {path: trimesh.exchange.obj.export_obj(mesh, include_normals=True, include_texture=False).encode()}
        picture, material, _ = self.files(path)
        mesh.visual.material = trimesh.visual.material.SimpleMaterial(
            image=Image.fromarray(self.texture), diffuse=(255, 255, 255, 255), ambient=(255, 255, 255, 255),
            specular=(0, 0, 0, 255), glossiness=1.0, name=picture.stem,
        )
        text, parts = trimesh.exchange.obj.export_obj(
            mesh, include_normals=True, return_texture=True, mtl_name=material.name
        )
        return {path.with_name(name): content for name, content in parts.items()} | {path: text.encode()}

    def _to_glb(self, mesh, name: str) -> bytes:
        """An object of that name whose own origin is its middle, put where it belongs by its node: programs turn an
        object about its origin, and the camera lies a metre off."""
        import trimesh

        name = name.encode(errors="replace").decode()
        middle = (self.vertices.min(axis=0).astype(np.float64) + self.vertices.max(axis=0)) / 2
        mesh.vertices -= middle
        scene = trimesh.Scene()
        scene.add_geometry(
            mesh, node_name=name, geom_name=name, transform=trimesh.transformations.translation_matrix(middle)
        )
        return scene.export(file_type="glb", include_normals=True)


def check_mesh(mesh: object) -> Mesh:
    """The same mesh, if it is one: not the path of one, or a prediction.

    Raises:
        InputError: saying how to get one.
    """
    if not isinstance(mesh, Mesh):
        raise InputError(f"mesh: expected a Mesh, as fd.predict(...).mesh() gives, got {type(mesh).__name__}")
    return mesh


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Coloured points, one for each valid pixel.

    Attributes:
        points: (N, 3) float32.
        colours: (N, 3) uint8.
    """

    points: np.ndarray
    colours: np.ndarray

    def to_open3d(self):
        """The same points as an ``open3d.geometry.PointCloud``."""
        import open3d

        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(self.points.astype(np.float64)))
        cloud.colors = open3d.utility.Vector3dVector(self.colours / 255.0)
        return cloud

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write a binary .ply with colours.

        Raises:
            InputError: another suffix, or a file in the way.
        """
        import trimesh

        path = user_path(path)
        if path.suffix.lower() != ".ply":
            raise InputError(f"{path}: a point cloud is saved as .ply, got {path.suffix or 'no suffix'}")
        refuse_existing([path], overwrite)
        with atomic_path(path) as temporary:
            temporary.write_bytes(trimesh.PointCloud(self.points, colors=self.colours).export(file_type="ply"))
        return [path]

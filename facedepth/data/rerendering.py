"""Exact depth for EG3D's faces: rays cast at the published shapes through the published cameras."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..camera import Camera
from ..checks import InputError, check_whole, shown, warn
from ..io import read_array, write_depth
from ..layouts import EG3D_SUFFIXES, eg3d_path, eg3d_world_vertices, read_eg3d_camera
from ..paths import user_path
from .files import list_files, warn_about_drive


def rerender(
    root: str | Path, size: int = 256, grid: int = 512, *, overwrite: bool = False
) -> list[Path]:
    """Write ``depth/<stem>.npy`` for every ``shapes/<stem>.ply`` of a folder in EG3D's layout.

    The files hold float32 z-depth (size, size) in EG3D's unit, NaN where the ray misses. Files that are there already
    are kept, so an interrupted run goes on where it stopped; a warning says if they are of another size.

    Args:
        root: folder with shapes/ and cam_poses/.
        size: pixels a side of the depth maps.
        grid: points a side of the grid that the shapes were sampled on; the files do not say. The published set: 512.
        overwrite: write all of them anew.

    Returns:
        The paths written.

    Raises:
        InputError: a folder is missing or empty, shapes lack poses (before anything is written), a shape is
            unreadable or was not sampled on such a grid.
    """
    check_whole("size", size, 1)
    root = user_path(root)
    warn_about_drive(root)
    shapes, poses = (list_files(root / folder, (EG3D_SUFFIXES[folder],)) for folder in ("shapes", "cam_poses"))
    if not shapes:
        raise InputError(f"{root / 'shapes'}: expected .ply shapes, found none")
    lonely = [path.name for stem, path in shapes.items() if stem not in poses]
    if lonely:
        raise InputError(
            f"{len(lonely)} of {len(shapes)} shapes without pose ({shown(lonely)}); add their .npy to "
            f"{root / 'cam_poses'} or remove them"
        )
    targets = {stem: eg3d_path(root, "depth", stem) for stem in shapes}
    wanted = [stem for stem in shapes if overwrite or not targets[stem].exists()]
    _warn_about_size([targets[stem] for stem in targets.keys() - set(wanted)], size)
    for stem in tqdm(wanted, desc="rerender", unit="face"):
        vertices, faces = read_shape(shapes[stem])
        try:
            world = eg3d_world_vertices(vertices, grid)
        except InputError as error:
            raise InputError(f"{shapes[stem]}: {error}") from None
        depth = cast_depth(world, faces, read_eg3d_camera(poses[stem], size), size, size)
        if not (depth > 0).any():
            raise InputError(f"{shapes[stem]}: its camera {poses[stem].name} sees nothing; do they belong together?")
        write_depth(targets[stem], depth, depth > 0)
    return [targets[stem] for stem in wanted]


def _warn_about_size(kept: list[Path], size: int) -> None:
    """Warn where the first of the depth maps that are kept is not of the size asked for."""
    with contextlib.suppress(InputError):  # a damaged one is told of when it is used
        shape = read_array(min(kept)).shape if kept else (size, size)
        if shape != (size, size):
            warn(
                f"{min(kept)}: {len(kept)} depth maps are kept as they were, this one of {' x '.join(map(str, shape))} "
                f"pixels, not {size} x {size}; overwrite=True (--overwrite) makes them anew"
            )


def read_shape(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64 as stored and faces (F, 3) of a .ply file.

    Raises:
        InputError: unreadable, or no triangles in it.
    """
    import trimesh

    try:
        mesh = trimesh.load(path, process=False)  # processing would merge and reorder vertices
    except (ValueError, TypeError, IndexError, KeyError, EOFError) as error:
        raise InputError(f"{path}: not a readable .ply file ({error}); copy it again") from None
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise InputError(f"{path}: expected a mesh, found no triangles in it")
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def cast_depth(vertices: np.ndarray, faces: np.ndarray, camera: Camera, height: int, width: int) -> Tensor:
    """z-depth (1, H, W) of a triangle mesh through the pixels' centres, 0 where the ray misses.

    Args:
        vertices: (V, 3) in the world frame of ``camera.cam2world``.
        faces: (F, 3) vertex indices.
    """
    import open3d as o3d

    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(*(o3d.core.Tensor(x) for x in (vertices.astype(np.float32), faces.astype(np.uint32))))
    origin = camera.cam2world[:3, 3]
    directions = camera.to_world(camera.rays(height, width)) - origin[:, None, None]
    rays = torch.cat([origin[:, None, None].expand_as(directions), directions])  # (6, H, W)
    hits = scene.cast_rays(o3d.core.Tensor(rays.permute(1, 2, 0).contiguous().numpy()))["t_hit"].numpy()
    # A ray's step is 1 along the camera's z, and t_hit counts steps: it is z-depth as it stands.
    return torch.from_numpy(np.where(np.isfinite(hits), hits, 0))[None]

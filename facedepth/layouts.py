"""File names and encodings of data sets that are read as published.

EG3D's set of synthetic faces (https://github.com/NVlabs/eg3d, Chan et al., CVPR 2022), one stem per sample:

    images/<stem>.png         512 x 512 RGB
    depth128x128/<stem>.png   128 x 128, 8-bit: minus the distance along the ray, stretched to 0 ... 255; bright is near
    cam_poses/<stem>.npy      25 numbers: cam2world (4 x 4, row-major, OpenCV axes), then K divided by the image size
    shapes/<stem>.ply         the head's surface, in voxel indices
    depth/<stem>.npy          exact z-depth in EG3D's unit, any size, NaN where there is none; ``rerender`` writes it
    masks/<stem>.png          optional, 8-bit: 255 where the face is, 170 on the rest of the head, 0 elsewhere; a mask
                              of only black and white marks the head and says nothing about the face
    manifest.csv              optional: a row per sample, with the columns ``name`` and ``identity`` among others

EG3D's unit: the box that holds the head is 1 wide.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .camera import Camera
from .checks import InputError, shown, warn
from .io import read_array, read_brightness, read_values, write_image
from .paths import atomic_path

EG3D_SUFFIXES = {
    "images": ".png", "depth128x128": ".png", "cam_poses": ".npy", "shapes": ".ply", "depth": ".npy", "masks": ".png",
}
"""Folders of the EG3D layout, and the one suffix that each holds."""

_HEAD_ABOVE, _FACE_ABOVE = 0.5, 0.85  # brightness in a mask


def eg3d_path(root: str | Path, folder: str, stem: str) -> Path:
    """Where the EG3D layout keeps one file: ``eg3d_path(root, "images", "seed0001")``."""
    return Path(root) / folder / (stem + EG3D_SUFFIXES[folder])


def read_eg3d_camera(path: str | Path, size: int) -> Camera:
    """Read ``cam_poses/<stem>.npy`` as the camera of a square picture of ``size`` pixels.

    Raises:
        InputError: unreadable, not 25 finite numbers, or no camera.
    """
    label = read_array(path)
    if label.size != 25 or label.dtype.kind != "f" or not np.isfinite(label).all():
        raise InputError(
            f"{path}: expected 25 finite numbers (cam2world 4 x 4, then K 3 x 3), got {label.dtype} {label.shape}"
        )
    numbers = torch.from_numpy(label.astype(np.float32)).flatten()
    camera = Camera(numbers[16:].view(3, 3), numbers[:16].view(4, 4))
    rotation = camera.cam2world[:3, :3]
    if not torch.allclose(rotation @ rotation.T, torch.eye(3).to(rotation), atol=1e-3) or rotation.det() < 0:
        raise InputError(f"{path}: the first 16 numbers are no cam2world matrix: their 3 x 3 part is no rotation")
    if not 0.1 < camera.K[0, 0] < 100:
        raise InputError(f"{path}: expected K divided by the image size (4.26 for EG3D's), got {camera.K[0, 0]:.4g}")
    return camera.resize(size)


def write_eg3d_camera(path: str | Path, camera: Camera, size: int) -> None:
    """Write the camera of a square picture of ``size`` pixels as ``cam_poses/<stem>.npy``, (1, 25) float32."""
    label = torch.cat([camera.cam2world.flatten(), camera.resize(1 / size).K.flatten()])
    with atomic_path(path) as temporary:
        np.save(temporary, label[None].float().numpy())


def read_eg3d_picture(path: str | Path) -> Tensor:
    """Read ``depth128x128/<stem>.png`` as (1, h, w): 0 nearest ... 1 farthest, affine in the distance along the ray.

    Raises:
        InputError: unreadable, coloured, not 8 bits deep, or without any depth in it.
    """
    picture = torch.from_numpy(read_values(path))[None]
    if picture.max() > 255:
        raise InputError(f"{path}: expected an 8-bit picture, got values up to {int(picture.max())}")
    if picture.min() == picture.max():
        raise InputError(f"{path}: no depth in it, every pixel is {int(picture.min())}; delete the sample")
    return 1 - picture / 255


def read_eg3d_mask(path: str | Path) -> tuple[Tensor, Tensor]:
    """Read ``masks/<stem>.png`` as head and face, (1, h, w) bool each."""
    brightness = read_brightness(path)
    return brightness > _HEAD_ABOVE, brightness > _FACE_ABOVE


def write_eg3d_mask(path: str | Path, head: Tensor, face: Tensor) -> None:
    """Write head and face, (1, h, w) bool, as ``masks/<stem>.png``."""
    write_image(path, torch.where(face, 255, torch.where(head, 170, 0))[0].byte().numpy())


def read_eg3d_identities(root: str | Path, stems: Sequence[str]) -> list[str]:
    """The identity of each sample: from manifest.csv, else from the generator's parameters file, else unique to the
    sample. A name in the manifest may have its suffix; an empty identity there counts as none.

    Warns if there is a manifest that leaves out some samples whose identity nothing else gives.

    Raises:
        InputError: a manifest that cannot be read, or without the two columns.
    """
    path = Path(root) / "manifest.csv"
    listed = _read_manifest(path) if path.is_file() else {}
    identities, unknown = [], []
    for stem in stems:
        identity = listed.get(stem) or _identity_of_generated(Path(root), stem)
        if identity is None and stem not in listed:
            unknown.append(stem)
        identities.append(identity or stem)
    if unknown and path.is_file():
        warn(
            f"{path}: says nothing of {len(unknown)} of {len(stems)} samples ({shown(unknown)}); each counts as a "
            "different person, so one person may land in both training and validation"
        )
    return identities


def _read_manifest(path: Path) -> dict[str, str]:
    """Identities by the samples' stems, empty where a row names nobody."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets start it with a byte order mark
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a table in UTF-8, with commas ({error}); save it in that format") from None
    if rows and not {"name", "identity"} <= rows[0].keys():
        raise InputError(f"{path}: expected columns called name and identity, got {', '.join(filter(None, rows[0]))}")
    named = (((row["name"] or "").strip(), (row["identity"] or "").strip()) for row in rows)
    ending = EG3D_SUFFIXES["images"]
    return {unicodedata.normalize("NFC", name).removesuffix(ending): identity for name, identity in named}


def _identity_of_generated(root: Path, stem: str) -> str | None:
    """From ``parameters/<stem>.json``, which is written before the manifest, or None."""
    path = root / "parameters" / f"{stem}.json"
    return read_parameters(path).get("identity") if path.is_file() else None


def read_parameters(path: Path) -> dict:
    """What the generator drew a sample to look like, from its file in ``parameters/``.

    Raises:
        InputError: cut short, or something else.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise damaged_parameters(path, error) from None


def damaged_parameters(path: Path, error: Exception) -> InputError:
    """What to say of a file in ``parameters/`` that is not what the generator wrote."""
    return InputError(
        f"{path}: damaged ({type(error).__name__}: {error}); delete it, and `facedepth generate` makes its sample anew"
    )


def eg3d_world_vertices(vertices: np.ndarray, grid: int) -> np.ndarray:
    """Vertices (V, 3) of ``shapes/<stem>.ply``, in voxel indices, to points in the world of ``cam_poses``.

    EG3D samples its density at ``grid`` points a side and finds the indices by dividing a running number in floating
    point, so that the grid is sheared by up to one voxel (``create_samples`` of its gen_samples.py); the writer then
    reverses and swaps axes. Ignoring the shear would shift the surface by half a voxel on average.

    Raises:
        InputError: the vertices are not those of a grid of this size.
    """
    if not np.isfinite(vertices).all():
        raise InputError("vertices: expected finite numbers, some are NaN or infinite")
    greatest = float(vertices.max())
    fitting = max(32, 2 ** int(np.ceil(np.log2(max(greatest, 0) + 1))))
    if vertices.min() < 0 or greatest > grid - 1:
        raise InputError(
            f"vertices: expected voxel indices 0 ... {grid - 1}, got {vertices.min():.4g} ... {greatest:.4g}; "
            f"was the shape sampled on a larger grid? Then set grid={fitting} (--grid {fitting})"
        )
    extent = float(np.ptp(vertices, axis=0).max())
    if extent < 0.3 * grid:  # a head fills most of the box
        raise InputError(
            f"vertices: a head should span a grid of {grid} points, these span {extent:.0f}; "
            f"was the shape sampled on a smaller grid? Then set grid={fitting} (--grid {fitting})"
        )
    voxel = 1 / (grid - 1)
    ix, iy, iz = grid - 1 - vertices[:, 2], vertices[:, 1], vertices[:, 0]
    return np.stack([ix + iy / grid + iz / grid**2, iy + iz / grid, iz], axis=1) * voxel - 0.5

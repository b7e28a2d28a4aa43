"""Synthetic faces in files: EG3D's layout with exact depth, masks, and what each face was drawn to look like.

A sample counts as stored once its file in parameters/ is there, which is written last; every file appears whole or
not at all, so that several processes may share a folder.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..camera import Camera
from ..checks import InputError
from ..depth import z_to_distance
from ..io import read_depth, read_image, write_depth, write_image
from ..layouts import eg3d_path, read_eg3d_camera, read_eg3d_mask, write_eg3d_camera, write_eg3d_mask
from ..paths import atomic_path
from .devices import CPU, moved
from .labels import Labels
from .portrait import Portrait

PICTURE_SIZE = 128  # of EG3D's 8-bit depth
FOLDERS = ("images", "depth128x128", "cam_poses", "depth", "masks", "parameters")


def claim_folder(root: Path, settings: dict) -> None:
    """Make the folder, or check that it was made with the same settings, of which "generator" is the version.

    Raises:
        InputError: it was made with others, holds faces that were not made here, or cannot be written to.
    """
    path = root / "settings.json"
    try:
        if _holds_faces(root) and not path.exists():  # asked last: another process may just have begun
            raise InputError(f"{root}: holds faces that were not generated (no settings.json); choose another folder")
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_unless_there(path, json.dumps(settings))
    except OSError as error:
        raise InputError(complaint(root, error)) from None
    try:
        found = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: damaged ({error}); where its faces are wanted, write into it {json.dumps(settings)}, else choose "
            "another folder"
        ) from None
    if found != settings:
        cure = "choose another folder"
        if found | {"generator": settings.get("generator")} == settings:  # the first folders did not say
            cure += "; the faces that are there can be read all the same, as eg3d:FOLDER or by EG3DFaces(FOLDER)"
        raise InputError(f"{root}: was made with {found}, asked for {settings}; {cure}")


def _holds_faces(root: Path) -> bool:
    return (root / "manifest.csv").exists() or any(any((root / folder).glob("[!.]*")) for folder in FOLDERS)


def complaint(root: Path, error: OSError) -> str:
    """What to tell the user of a failed write."""
    if error.errno == errno.ENOSPC:
        return f"{root}: the disk is full; make room and call again, whole samples are kept"
    return f"{root}: cannot be written to ({error})"


def is_stored(root: Path, name: str) -> bool:
    """Whether the sample is there, as a whole."""
    return _parameters_path(root, name).exists()


def store(root: Path, name: str, portrait: Portrait, description: dict) -> None:
    """Write one sample.

    Raises:
        InputError: the disk is full or the folder cannot be written to.
    """
    picture, labels, camera = moved(portrait, CPU)
    try:
        write_image(eg3d_path(root, "images", name), picture)
        write_image(eg3d_path(root, "depth128x128", name), depth_picture(labels.depth, labels.mask, camera))
        write_eg3d_camera(eg3d_path(root, "cam_poses", name), camera, len(picture))
        write_depth(eg3d_path(root, "depth", name), labels.depth, labels.mask)
        write_eg3d_mask(eg3d_path(root, "masks", name), labels.head, labels.face)
        _write_text(_parameters_path(root, name), json.dumps({"name": name} | description))
    except OSError as error:
        raise InputError(complaint(root, error)) from None


def read_stored(root: Path, name: str, size: int, horizontal_fov_deg: float) -> tuple[Tensor, Labels, Camera]:
    """Image (3, H, W), labels and camera of a stored sample, bit for bit what was written.

    The field of view is asked for because the layout divides K by the size, which loses its last bits.

    Raises:
        InputError: a file is missing or damaged.
    """
    try:
        image = read_image(eg3d_path(root, "images", name))
        depth = read_depth(eg3d_path(root, "depth", name))
        head, face = read_eg3d_mask(eg3d_path(root, "masks", name))
        camera = read_eg3d_camera(eg3d_path(root, "cam_poses", name), size)
    except InputError as error:
        raise InputError(f"{error}. Delete {_parameters_path(root, name)}, and the sample is made anew") from None
    exact = Camera.from_fov(horizontal_fov_deg, size, size)
    return image, Labels(depth, depth > 0, head, face), camera._replace(K=exact.K)


def _parameters_path(root: Path, name: str) -> Path:
    return root / "parameters" / f"{name}.json"


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        Path(temporary).write_text(text)


def _write_unless_there(path: Path, text: str) -> None:
    """Of several processes that begin at once, only the first one's file stays."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as beside:
        whole = Path(beside, path.name)
        whole.write_text(text)
        try:
            os.link(whole, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            os.replace(whole, path)


def depth_picture(depth: Tensor, mask: Tensor, camera: Camera) -> np.ndarray:
    """(128, 128) uint8 as EG3D's: minus the distance along the ray, stretched to 1 ... 255, 0 where there is none."""
    distance = torch.where(mask, z_to_distance(depth, camera), torch.nan)[0].numpy()
    small = cv2.resize(distance, (PICTURE_SIZE, PICTURE_SIZE), interpolation=cv2.INTER_NEAREST_EXACT)
    near, far = np.nanmin(small), np.nanmax(small)
    bright = 1 + 254 * (far - small) / max(far - near, 1e-9)
    return np.where(np.isnan(small), 0, np.round(np.nan_to_num(bright))).astype(np.uint8)

"""Synthetic faces written to a folder in EG3D's layout, once, to be read many times."""

from __future__ import annotations

import csv
import errno
import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from ..camera import Camera
from ..checks import InputError
from ..depth import z_to_distance
from ..io import atomic_path, write_depth, write_image
from ..layouts import eg3d_path, write_eg3d_camera, write_eg3d_mask
from .faces import SyntheticFaces

PICTURE_SIZE = 128  # of EG3D's 8-bit depth
MANIFEST_COLUMNS = (
    "name", "identity", "gender", "age", "skin_tone", "hair", "beard", "glasses", "hat", "occluder", "yaw_deg",
    "horizontal_fov_deg",
)


def generate(
    root: str | Path, n: int, *, size: int = 512, seed: int = 0, views_per_identity: int = 1,
    shard: tuple[int, int] = (0, 1), photographs: str | Path | None = None, workers: int = 0,
) -> Path:
    """Write ``n`` synthetic faces in EG3D's layout, with a progress bar; go on where an earlier call stopped.

    Written are images/, depth128x128/ (8-bit, as EG3D's), cam_poses/, depth/ (exact z-depth in metres, float32, NaN
    where there is none), masks/ (head and face) and parameters/ (what each sample was drawn to look like), then
    manifest.csv of all samples that are there. A sample counts as done once its file in parameters/ is there, which
    is written last; every file appears whole or not at all.

    Args:
        root: the folder.
        shard: (i, count): only the samples with index % count == i, for several machines or processes on one folder.
        size, seed, views_per_identity, photographs: as ``SyntheticFaces`` takes them.
        workers: processes that make faces beside each other; 0 makes them in this one.

    Returns:
        The manifest.

    Raises:
        InputError: bad arguments, a folder made with other settings, or a full disk.
    """
    root = Path(root)
    part, parts = shard
    if not 0 <= part < parts:
        raise InputError(f"shard: expected i/count with 0 <= i < count, got {part}/{parts}")
    faces = SyntheticFaces(
        n, size=size, seed=seed, views_per_identity=views_per_identity, photographs=photographs
    )
    writer = _Writer(root, faces)
    try:
        _settle(root, {"size": size, "seed": seed, "views_per_identity": views_per_identity})
        missing = [i for i in range(part, n, parts) if not _parameters_path(root, faces.names[i]).exists()]
        made = DataLoader(writer, batch_size=None, sampler=missing, num_workers=workers)
        for complaint in tqdm(made, total=len(missing), desc=f"faces -> {root}", unit="face"):
            if complaint:
                raise InputError(complaint)
        return _write_manifest(root)
    except OSError as error:
        raise InputError(_complain(root, error)) from None


class _Writer(Dataset):
    """Writes a sample where others read one, so that a ``DataLoader``'s workers can do it; gives complaints."""

    def __init__(self, root: Path, faces: SyntheticFaces):
        self.root, self.faces = root, faces

    def __getitem__(self, index: int) -> str:
        try:
            _write(self.root, self.faces, index)
        except OSError as error:
            return _complain(self.root, error)
        return ""


def _complain(root: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"{root}: the disk is full; make room and call again, whole samples are kept"
    return f"{root}: cannot be written to ({error})"


def _parameters_path(root: Path, name: str) -> Path:
    return root / "parameters" / f"{name}.json"


def _settle(root: Path, settings: dict) -> None:
    """Make the folder, or check that it was made with the same settings."""
    path = root / "settings.json"
    for folder in ("images", "depth128x128", "cam_poses", "depth", "masks", "parameters"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    if path.exists():
        found = json.loads(path.read_text())
        if found != settings:
            raise InputError(f"{root}: was made with {found}, asked for {settings}; choose another folder")
        return
    _write_text(path, json.dumps(settings))


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        Path(temporary).write_text(text)


def _write(root: Path, faces: SyntheticFaces, index: int) -> None:
    name = faces.names[index]
    picture, labels, camera = faces.portrait(index)
    write_image(eg3d_path(root, "images", name), picture)
    write_image(eg3d_path(root, "depth128x128", name), depth_picture(labels.depth, labels.mask, camera))
    write_eg3d_camera(eg3d_path(root, "cam_poses", name), camera, faces.size)
    write_depth(eg3d_path(root, "depth", name), labels.depth, labels.mask)
    write_eg3d_mask(eg3d_path(root, "masks", name), labels.head, labels.face)
    person, scenery = faces.describe(index)
    description = {
        "name": name, "identity": faces.identities[index], "person": asdict(person), "scenery": asdict(scenery),
    }
    _write_text(_parameters_path(root, name), json.dumps(description))


def depth_picture(depth: Tensor, mask: Tensor, camera: Camera) -> np.ndarray:
    """(128, 128) uint8 as EG3D's: minus the distance along the ray, stretched to 1 ... 255, 0 where there is none."""
    distance = torch.where(mask, z_to_distance(depth, camera), torch.nan)[0].numpy()
    small = cv2.resize(distance, (PICTURE_SIZE, PICTURE_SIZE), interpolation=cv2.INTER_NEAREST)
    near, far = np.nanmin(small), np.nanmax(small)
    bright = 1 + 254 * (far - small) / max(far - near, 1e-9)
    return np.where(np.isnan(small), 0, np.round(np.nan_to_num(bright))).astype(np.uint8)


def _write_manifest(root: Path) -> Path:
    """manifest.csv from all files in parameters/."""
    path = root / "manifest.csv"
    with atomic_path(path) as temporary, Path(temporary).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(MANIFEST_COLUMNS)
        for source in sorted((root / "parameters").glob("*.json")):
            writer.writerow(_summary(json.loads(source.read_text())))
    return path


def _summary(description: dict) -> list:
    person, scenery = description["person"], description["scenery"]
    phenotype = person["body"]["phenotype"]
    return [
        description["name"], description["identity"], round(phenotype["gender"], 3), round(phenotype["age"], 3),
        round(person["skin"]["tone"], 3), (person["hair"] or {}).get("style", "bald"), person["facial_hair"]["beard"],
        int(scenery["glasses"] is not None), (scenery["hat"] or {}).get("kind", "none"),
        (scenery["occluder"] or {}).get("kind", "none"), round(scenery["shot"]["yaw_deg"], 2),
        round(scenery["shot"]["horizontal_fov_deg"], 2),
    ]

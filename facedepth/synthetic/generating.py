"""Synthetic faces written to a folder in EG3D's layout, once, to be read many times."""

from __future__ import annotations

import csv
from pathlib import Path

from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from ..checks import InputError, check_whole
from ..layouts import damaged_parameters, read_parameters
from ..paths import atomic_path, user_path
from .faces import SyntheticFaces
from .storing import claim_folder, complaint, is_stored

MANIFEST_COLUMNS = (
    "name", "identity", "gender", "age", "skin_tone", "hair", "beard", "glasses", "hat", "occluder", "light",
    "yaw_deg", "horizontal_fov_deg",
)


def generate(
    root: str | Path, n: int, *, size: int = 512, seed: int = 0, views_per_identity: int = 1,
    shard: tuple[int, int] = (0, 1), photographs: str | Path | None = None, workers: int = 0,
) -> Path:
    """Write ``n`` synthetic faces in EG3D's layout, with a progress bar; go on where an earlier call stopped.

    Written are images/, depth128x128/ (8-bit, as EG3D's), cam_poses/, depth/ (exact z-depth in metres, float32, NaN
    where there is none), masks/ (head and face) and parameters/ (what each sample was drawn to look like), then
    manifest.csv of all samples that are there. A sample counts as done once its file in parameters/ is there, which
    is written last; every file appears whole or not at all. Samples that ``SyntheticFaces(cache=root)`` has stored
    count too.

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
    root = user_path(root)
    for number in shard:
        check_whole("shard", number, 0)
    part, parts = shard
    if part >= parts:
        raise InputError(f"shard: expected i/count with 0 <= i < count, got {part}/{parts}")
    check_whole("workers", workers, 0)
    faces = SyntheticFaces(
        n, size=size, seed=seed, views_per_identity=views_per_identity, photographs=photographs
    )
    claim_folder(root, faces.settings)
    missing = [i for i in range(part, n, parts) if not is_stored(root, faces.names[i])]
    made = DataLoader(_Writer(root, faces), batch_size=None, sampler=missing, num_workers=workers)
    with tqdm(total=len(missing), desc=f"faces -> {root}", unit="face") as bar:
        for trouble in made:
            if trouble:
                raise InputError(trouble)
            bar.update()
    try:
        return _write_manifest(root)
    except OSError as error:
        raise InputError(complaint(root, error)) from None


class _Writer(Dataset):
    """Writes a sample where others read one, so that a ``DataLoader``'s workers can do it; gives complaints."""

    def __init__(self, root: Path, faces: SyntheticFaces):
        self.root, self.faces = root, faces

    def __getitem__(self, index: int) -> str:
        try:
            self.faces.write(self.root, index)
        except InputError as error:
            return str(error)
        return ""


def _write_manifest(root: Path) -> Path:
    """manifest.csv from all files in parameters/."""
    path = root / "manifest.csv"
    with atomic_path(path) as temporary, Path(temporary).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(MANIFEST_COLUMNS)
        for source in sorted((root / "parameters").glob("[!.]*.json")):
            try:
                writer.writerow(_summary(read_parameters(source)))
            except (KeyError, TypeError) as error:
                raise damaged_parameters(source, error) from None
    return path


def _summary(description: dict) -> list:
    person, scenery = description["person"], description["scenery"]
    phenotype = person["body"]["phenotype"]
    return [
        description["name"], description["identity"], round(phenotype["gender"], 3), round(phenotype["age"], 3),
        round(person["skin"]["tone"], 3), (person["hair"] or {}).get("style", "bald"), person["facial_hair"]["beard"],
        int(scenery["glasses"] is not None), (scenery["hat"] or {}).get("kind", "none"),
        (scenery["occluder"] or {}).get("kind", "none"), scenery.get("light", ""),  # older folders did not say
        round(scenery["shot"]["yaw_deg"], 2), round(scenery["shot"]["horizontal_fov_deg"], 2),
    ]

"""Synthetic faces as a data set: made on the spot, the same ones every time."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import torch
from torch.utils.data import Dataset, default_collate, get_worker_info

from ..checks import InputError, check_whole, choose_device
from ..paths import user_path
from ..sample import Sample
from .background import list_photographs
from .devices import making_on, moved
from .kit import load_kit
from .portrait import Person, Portrait, Scenery, draw_person, draw_scenery, make_portrait, picture_entropy
from .render import load_open3d
from .storing import claim_folder, is_stored, read_stored, store

SMALLEST, LARGEST = 32, 2048

VERSION = 3
"""Of the generator. To be raised whenever the same seed gives another face: a folder is of one version."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch and OpenCV on one thread: faster for small arrays, and sums come out the same everywhere."""
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # 1 is the same, but waits for ever in a process forked from one that had more
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads if cv2_threads > 1 else 0)


class SyntheticFaces(Dataset):
    """Portraits of people who do not exist, with exact depth.

    Depth is z-depth in metres; the world of ``camera`` has x right, y up, z out of the face, its origin between the
    eyes. The mask ``head`` holds skin, hair, hat, glasses and neck; ``face`` skin and eyes within 95 mm of the nose
    tip. Depth of see-through things (lenses, single hairs) follows what lies behind; clothes and things held have
    depth but are not ``head``.

    Sample i depends on ``seed``, ``size``, ``views_per_identity``, ``photographs`` and i alone: on the CPU bit for bit,
    whatever process, worker or order it is made in, and whatever torch's default type, autocast and
    ``float32_matmul_precision`` are set to. (Another make of processor rounds otherwise: up to a tenth of the pixels
    are off by a grey level or two, and of the depth two pixels in a thousand are another hair's.) On a GPU the same
    numbers are drawn, but sums come out in any order and lamps cast shadows from four places of theirs, as they do
    where Open3D does not load: pictures differ a little, depth by less than 0.1 mm but for single pixels.

    Args:
        n: how many samples.
        size: pixels a side.
        seed: another seed, other people.
        views_per_identity: how many successive samples show the same person, each with another expression, pose,
            light, clothing and background.
        photographs: folder of photographs to blur and use as backgrounds, seven times of ten.
        device: where samples are made and stay. A GPU serves the main process alone; give a ``DataLoader`` of CPU
            samples workers instead. "auto" is the GPU where there is one, else the CPU. A GPU needs memory by the
            square of the size: 0.6 GB at 256 pixels, by reckoning 2.3 GB at 512 and 9 GB at 1024.
        cache: folder to write samples to the first time they are made, and to read them from after that, bit for bit
            the same. It is laid out as ``generate`` does, and may be shared by processes. It remembers size, seed,
            views and the generator's version, but not ``photographs`` and ``device``.

    Attributes:
        depth_kind: "metric".
        names: "seed0000", "seed0001", ... as in EG3D's layout.
        identities: one string a sample, the same for the same person.
        device: where samples are.

    Raises:
        InputError: sizes or counts out of range, no photographs in the folder, the head kit missing or damaged, no
            such device, a cache made with other settings or by another version of the generator.
    """

    depth_kind = "metric"

    def __init__(
        self, n: int, size: int = 256, seed: int = 0, *, views_per_identity: int = 1,
        photographs: str | Path | None = None, device: str | torch.device = "cpu", cache: str | Path | None = None,
    ):
        check_whole("n", n, 1)
        check_whole("size", size, 1)
        check_whole("seed", seed, 0)
        check_whole("views_per_identity", views_per_identity, 1)
        if not SMALLEST <= size <= LARGEST:
            raise InputError(f"size: expected {SMALLEST} to {LARGEST} pixels, got {size}")
        # settings.json takes no NumPy numbers
        self.size, self.seed, self.views_per_identity = int(size), int(seed), int(views_per_identity)
        self.device = choose_device(device)
        if self.device.type == "mps":
            raise InputError("device 'mps': faces need numbers of 64 bits, which it lacks; make them on the CPU")
        self.photographs = list_photographs(user_path(photographs)) if photographs is not None else ()
        load_kit()
        if self.device.type == "cpu" and cache is None:
            load_open3d()  # worker processes then come with it, instead of each importing it
        self.names = [f"seed{index:04d}" for index in range(n)]
        self.identities = [f"person{index // views_per_identity:04d}" for index in range(n)]
        self.cache = user_path(cache) if cache is not None else None
        if self.cache is not None:
            claim_folder(self.cache, self.settings)

    @property
    def settings(self) -> dict[str, int]:
        """What a folder of samples is made with, and must be made with again."""
        return {
            "size": self.size, "seed": self.seed, "views_per_identity": self.views_per_identity, "generator": VERSION
        }

    def __repr__(self) -> str:
        return f"SyntheticFaces({len(self)}, size={self.size}, seed={self.seed})"

    def __len__(self) -> int:
        return len(self.names)

    def describe(self, index: int) -> tuple[Person, Scenery]:
        """Everything that sample ``index`` was drawn to look like."""
        index = self._place(index)
        with one_thread():
            return draw_person(self.seed, index // self.views_per_identity), draw_scenery(self.seed, index)

    def portrait(self, index: int) -> Portrait:
        """Sample ``index`` as an 8-bit picture with its labels and camera, made now.

        Raises:
            IndexError: beyond the end.
            InputError: called in a worker process, for a GPU.
        """
        index = self._place(index)
        if self.device.type != "cpu" and get_worker_info() is not None:
            raise InputError(
                f"samples on {self.device} are made in the main process alone: load them with num_workers=0, or make "
                "them with device='cpu'"
            )
        person, scenery = self.describe(index)
        with one_thread(), making_on(self.device):
            return make_portrait(person, scenery, self.size, picture_entropy(self.seed, index), self.photographs)

    def __getitem__(self, index: int) -> Sample:
        """A ``Sample`` of ``size`` x ``size`` pixels, made now or read from the cache.

        Raises:
            InputError: as ``portrait``; a cache that is damaged or cannot be written to.
        """
        index = self._place(index)
        name = self.names[index]
        with one_thread():
            if self.cache is None:
                picture, labels, camera = self.portrait(index)
                image = torch.from_numpy(picture.copy()).to(self.device).permute(2, 0, 1).float().div_(255)
            else:
                if not is_stored(self.cache, name):
                    self.write(self.cache, index)
                fov_deg = draw_scenery(self.seed, index).shot.horizontal_fov_deg
                image, labels, camera = moved(read_stored(self.cache, name, self.size, fov_deg), self.device)
            return Sample(image, *labels, camera, name).check()

    def batch(self, indices: Sequence[int]) -> Sample:
        """Several samples at once, their tensors stacked, (B, ...), and their names in a tuple.

        Every face is made by itself, so this takes as long as the samples one by one.
        """
        return default_collate([self[index] for index in indices])

    def write(self, root: Path, index: int) -> None:
        """Make sample ``index`` and write it to a folder that was claimed for ``settings`` (see ``storing``).

        Raises:
            InputError: as ``portrait``; the folder cannot be written to.
        """
        index = self._place(index)
        portrait, (person, scenery) = self.portrait(index), self.describe(index)
        description = {"identity": self.identities[index], "person": asdict(person), "scenery": asdict(scenery)}
        store(root, self.names[index], portrait, description)

    def _place(self, index: int) -> int:
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"index {place} of {len(self)} synthetic faces")
        return place % len(self)

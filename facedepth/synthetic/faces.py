"""Synthetic faces as a data set: made on the spot, the same ones every time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch
from torch.utils.data import Dataset

from ..checks import InputError
from ..sample import Sample
from .background import list_photographs
from .kit import load_kit
from .portrait import Person, Portrait, Scenery, draw_person, draw_scenery, make_portrait

SMALLEST, LARGEST = 32, 2048


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch and OpenCV on one thread: faster for small arrays, and sums come out the same everywhere."""
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)


class SyntheticFaces(Dataset):
    """Portraits of people who do not exist, with exact depth.

    Sample i depends on ``seed`` and i alone, bit for bit, whatever process, worker or order it is made in. Depth is
    z-depth in metres; the world of ``camera`` has x right, y up, z out of the face, its origin between the eyes. The
    mask ``head`` holds skin, hair, hat, glasses and neck; ``face`` skin and eyes within 95 mm of the nose tip. Depth
    of see-through things (lenses, single hairs) follows what lies behind; clothes and things held have depth but are
    not ``head``.

    Args:
        n: how many samples.
        size: pixels a side.
        seed: another seed, other people.
        views_per_identity: how many successive samples show the same person, each with another expression, pose,
            light, clothing and background.
        photographs: folder of photographs to blur and use as backgrounds, seven times of ten.

    Attributes:
        depth_kind: "metric".
        names: "seed0000", "seed0001", ... as in EG3D's layout.
        identities: one string a sample, the same for the same person.

    Raises:
        InputError: sizes or counts out of range, no photographs in the folder, the head kit missing or damaged.
    """

    depth_kind = "metric"

    def __init__(
        self, n: int, *, size: int = 256, seed: int = 0, views_per_identity: int = 1,
        photographs: str | Path | None = None,
    ):
        for name, value, least in (("n", n, 1), ("seed", seed, 0), ("views_per_identity", views_per_identity, 1)):
            if value < least:
                raise InputError(f"{name}: expected at least {least}, got {value}")
        if not SMALLEST <= size <= LARGEST:
            raise InputError(f"size: expected {SMALLEST} to {LARGEST} pixels, got {size}")
        self.size, self.seed, self.views_per_identity = size, seed, views_per_identity
        self.photographs = Path(photographs) if photographs is not None else None
        if self.photographs is not None:
            list_photographs(self.photographs)
        load_kit()
        self.names = [f"seed{index:04d}" for index in range(n)]
        self.identities = [f"person{index // views_per_identity:04d}" for index in range(n)]

    def __len__(self) -> int:
        return len(self.names)

    def describe(self, index: int) -> tuple[Person, Scenery]:
        """Everything that sample ``index`` was drawn to look like."""
        with one_thread():
            return draw_person(self.seed, index // self.views_per_identity), draw_scenery(self.seed, index)

    def portrait(self, index: int) -> Portrait:
        """Sample ``index`` as an 8-bit picture with its labels and camera.

        Raises:
            IndexError: beyond the end.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} synthetic faces")
        index %= len(self)
        person, scenery = self.describe(index)
        with one_thread():
            return make_portrait(person, scenery, self.size, (self.seed, 2, index), self.photographs)

    def __getitem__(self, index: int) -> Sample:
        """A ``Sample`` of ``size`` x ``size`` pixels, made now."""
        picture, labels, camera = self.portrait(index)
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1).float().div_(255)
        return Sample(image, *labels, camera, self.names[index]).check()

"""EG3D's synthetic faces, as depth pictures of 8 bits or with the exact depth that ``rerender`` writes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..checks import InputError, check_whole, shown, warn
from ..io import read_depth, read_image, refuse_tiny
from ..layouts import (
    EG3D_SUFFIXES,
    read_eg3d_camera,
    read_eg3d_identities,
    read_eg3d_mask,
    read_eg3d_picture,
)
from ..paths import user_path
from ..sample import Sample
from ..transforms import resize_depth, resize_image, resize_mask
from .files import check_head, complete_stems, list_files, warn_about_drive, with_sample_name

_DEPTH_FOLDERS = {"affine": "depth128x128", "metric": "depth"}


class EG3DFaces(Dataset):
    """A folder in EG3D's layout (see ``facedepth.layouts``), one sample a stem.

    With ``depth_kind`` "affine" a sample's depth is 1 - picture, affine in the distance along the ray: 0 nearest ...
    1 farthest, valid everywhere. With "metric" it is exact z-depth in EG3D's unit. Images, depth and masks of any
    size are brought to ``size`` x ``size`` pixels.

    Args:
        root: folder that holds images/, cam_poses/ and depth128x128/ or depth/, and maybe masks/, of all or of none.
        size: pixels a side of the samples.
        depth_kind: "affine", "metric", or None: metric where depth/ holds a file for every image (with ``skip_bad``
            for half of them), else affine.
        skip_bad: leave out, with a warning, files without partners and files that are damaged. For this every file
            is opened once: PNG and NumPy files must begin right and not be cut short, nothing is decoded. Without it
            files without partners are an error here, damaged ones when they are read.

    Attributes:
        depth_kind: "affine" or "metric".
        names: the stems, sorted.
        identities: one string a sample, from manifest.csv or the generator; without them every face is another person.

    Raises:
        InputError: a folder is missing or empty, files lack partners, the depth asked for is not there; on reading a
            sample: a file is damaged, not square or holds no depth. The message names the files.
    """

    def __init__(self, root: str | Path, *, size: int = 128, depth_kind: str | None = None, skip_bad: bool = False):
        self.root, self.size = user_path(root), check_whole("size", size, 1)
        if depth_kind not in (None, *_DEPTH_FOLDERS):
            raise InputError(f"depth_kind: expected 'affine', 'metric' or None, got {depth_kind!r}")
        warn_about_drive(self.root)
        images = self._list("images")
        if not images:
            raise InputError(f"{self.root / 'images'}: expected .png images, found none; is it the right folder?")
        self.depth_kind = depth_kind or self._best_depth_kind(images, skip_bad)
        folder = _DEPTH_FOLDERS[self.depth_kind]
        others = {f"{name}/": self._list(name) for name in (folder, "cam_poses")}
        self._images, self._depths, self._poses = images, *others.values()
        self._masks = self._list("masks") if (self.root / "masks").is_dir() else {}
        if self._masks:  # of all or of none: without one, the background would count as face
            others["masks/"] = self._masks
        self.names = complete_stems(images, others, skip_bad=skip_bad)
        self.identities = read_eg3d_identities(self.root, self.names)

    def __repr__(self) -> str:
        return f"EG3DFaces({str(self.root)!r}, size={self.size}, depth_kind={self.depth_kind!r})"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """A ``Sample`` of ``size`` x ``size`` pixels."""
        stem = self.names[index]
        try:
            return self._read(stem)
        except InputError as error:
            raise with_sample_name(error, stem) from None

    def _list(self, folder: str) -> dict[str, Path]:
        path = self.root / folder
        if not path.is_dir():
            cure = "run `facedepth rerender` on the folder to make it from shapes/" if folder == "depth" else (
                "EG3D's layout needs images/, cam_poses/ and depth128x128/ or depth/, see data/README.md"
            )
            raise InputError(f"{path}: no such folder; {cure}")
        return list_files(path, (EG3D_SUFFIXES[folder],))

    def _best_depth_kind(self, images: dict[str, Path], skip_bad: bool) -> str:
        exact = self._list("depth") if (self.root / "depth").is_dir() else {}
        missing = [path.name for stem, path in images.items() if stem not in exact]
        if len(missing) in (0, len(images)):
            return "affine" if missing else "metric"
        if skip_bad and 2 * len(missing) <= len(images):
            return "metric"
        what = f"{self.root / 'depth'}: no exact depth for {len(missing)} of {len(images)} images ({shown(missing)})"
        if not (self.root / "shapes").is_dir():
            raise InputError(
                f"{what}; skip_bad=True (--skip-bad) leaves those out where they are few, depth_kind='affine' "
                "(eg3d-8bit:FOLDER) takes the 8-bit pictures of all"
            )
        warn(f"{what}: using the 8-bit pictures; `facedepth rerender` makes the rest")
        return "affine"

    def _read(self, stem: str) -> Sample:
        size = self.size
        picture = self._images[stem]
        image = resize_image(refuse_tiny(_square(read_image, picture), picture), size, size)
        camera = read_eg3d_camera(self._poses[stem], size)
        read = read_depth if self.depth_kind == "metric" else read_eg3d_picture
        depth = _square(read, self._depths[stem])
        mask = depth > 0 if self.depth_kind == "metric" else torch.ones_like(depth, dtype=torch.bool)
        depth, mask = resize_depth(depth, mask, size, size)
        head, face = mask, mask
        if stem in self._masks:
            stored = _square(lambda path: torch.cat(read_eg3d_mask(path)), self._masks[stem])
            head, face = (resize_mask(one[None], size, size) for one in stored)
            check_head(self._masks[stem], head, mask)
        return Sample(image, depth, mask, head, face, camera, stem).check()


def _square(read, path: Path) -> Tensor:
    values = read(path)
    height, width = values.shape[-2:]
    if height != width:
        raise InputError(f"{path}: expected a square picture, as EG3D's are, got {width} x {height}")
    return values

"""One's own pictures with depth: two folders whose files have the same stems."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..camera import Camera
from ..checks import InputError, check_number, check_whole, warn
from ..io import (
    DEPTH_SUFFIXES,
    IMAGE_SUFFIXES,
    METRES,
    read_depth,
    read_image_and_turn,
    read_mask,
    read_values,
    refuse_tiny,
)
from ..paths import user_path
from ..sample import Sample
from ..transforms import CentreCrop, resize_depth, resize_image, resize_mask
from .files import check_head, complete_stems, list_files, warn_about_drive, with_sample_name

_OFF_CENTRE = 0.1  # of a side: farther from the middle, a camera's centre is hardly this picture's
_PLAUSIBLE_M = 0.02, 20.0  # how far faces are, and what is measured otherwise with the same unit
_NOTHING_M = 60.0  # what is as far is nothing: renderers and sensors write 65.535, 65504 or 1e10 where they see none
_RELATIVE_UNITS = ("near_bright", "far_bright")


class PairedFolder(Dataset):
    """Images and depth maps of the same stem: ``images/anna_01.jpg`` belongs to ``depths/anna_01.png``.

    Args:
        images: folder of .png, .jpg, .heic, .webp, .bmp or .tif pictures.
        depths: folder of .npy, .npz, .tif, .exr, 8- or 16-bit .png depth maps, of the images' size or aspect ratio.
        masks: folder of pictures, bright where the head is; None: everything with valid depth.
        face_masks: likewise where the face is, on which scores are taken and losses weigh most; None: the head.
        camera: a ``Camera`` in pixels of the images as they are read, upright, or their horizontal field of view in
            degrees.
        unit: what the depth files hold: z-depth in "m", "cm", "mm" or a number of metres a stored unit; or pictures
            without a scale, "near_bright" or "far_bright". These make ``depth_kind`` "affine": depth is stretched to
            0 nearest ... 1 farthest, and 0 in the file is a value, not a hole. What has a unit and is 60 m away or
            farther is no valid depth, as 0, NaN and infinity are none, unless all of it is.
        size: pixels a side of the samples, cut from the middle; None: as the images are (batches need equal sizes).
        identity: who is in a picture, so that ``split`` keeps one person's pictures together: a function of the stem,
            or what ends the person's name in it ("_": anna_01 and anna_02 are anna); None: each another person.
        skip_bad: leave out, with a warning, files without partners and files that are damaged. For this every file
            is opened once: PNG and NumPy files must begin right and not be cut short, nothing is decoded. Without it
            files without partners are an error here, damaged ones when they are read.

    Attributes:
        depth_kind: "metric" or "affine".
        names: the stems, sorted.
        identities: one string a sample.

    Raises:
        InputError: a folder is missing or empty, files lack partners, an argument makes no sense; on reading a
            sample: a file is damaged or holds no depth, or has another aspect ratio than its image. The message names
            the files.
    """

    def __init__(
        self,
        images: str | Path,
        depths: str | Path,
        masks: str | Path | None = None,
        *,
        camera: Camera | float,
        face_masks: str | Path | None = None,
        unit: str | float = "m",
        size: int | None = None,
        identity: Callable[[str], str] | str | None = None,
        skip_bad: bool = False,
    ):
        known = (*METRES, *_RELATIVE_UNITS)
        if isinstance(unit, str) and unit not in known:
            raise InputError(f"unit: expected one of {', '.join(known)} or a number of metres, got {unit!r}")
        self.unit = unit if unit in known else check_number(f"unit (or {', '.join(known)})", unit, above=0)
        self.size = size if size is None else check_whole("size", size, 1)
        if isinstance(camera, Camera):  # samples hold cameras of float32
            self.camera = Camera(*(part.float() for part in camera))
        else:
            self.camera = check_number("camera (a Camera, or a field of view in degrees)", camera, above=0, below=180)
        if not (identity is None or callable(identity) or (isinstance(identity, str) and identity)):
            raise InputError(f"identity: expected a function of a stem, or what ends a name in it, got {identity!r}")
        self.depth_kind = "affine" if unit in _RELATIVE_UNITS else "metric"
        images, depths = user_path(images, "images"), user_path(depths, "depths")
        warn_about_drive(images, depths)
        self._folders = images, depths
        self._told_turned = self._told_off_centre = False
        self._images = _list(images, IMAGE_SUFFIXES)
        others = {"depth": _list(depths, DEPTH_SUFFIXES)}
        for kind, folder in (("mask", masks), ("face mask", face_masks)):
            if folder is not None:
                others[kind] = _list(user_path(folder, f"{kind}s".replace(" ", "_")), IMAGE_SUFFIXES)
        self._depths, self._masks, self._face_masks = others["depth"], others.get("mask"), others.get("face mask")
        self.names = complete_stems(self._images, others, skip_bad=skip_bad)
        self.identities = [_person(stem, identity) if identity else stem for stem in self.names]
        if self.depth_kind == "metric":
            _warn_about_unit(self._depths[self.names[0]], unit)

    @classmethod
    def within(cls, root: str | Path, **options) -> PairedFolder:
        """The pictures of images/ and depths/ in one folder, with masks/ and face_masks/ if they are there too.

        Args:
            root: the folder.
            options: further arguments of ``PairedFolder``; ``masks=None`` leaves a folder out that is there.
        """
        root = user_path(root)
        masks, face_masks = (path if path.is_dir() else None for path in (root / "masks", root / "face_masks"))
        return cls(root / "images", root / "depths", **{"masks": masks, "face_masks": face_masks} | options)

    def __repr__(self) -> str:
        images, depths = (str(folder) for folder in self._folders)
        return f"PairedFolder({images!r}, {depths!r}, unit={self.unit!r}, size={self.size})"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """A ``Sample`` of ``size`` x ``size`` pixels, or of the image's own size."""
        stem = self.names[index]
        try:
            sample = self._read(stem)
        except InputError as error:
            raise with_sample_name(error, stem) from None
        return sample if self.size is None else CentreCrop(self.size)(sample)

    def _read(self, stem: str) -> Sample:
        """A sample whose shorter side has ``size`` pixels. Each map is resized once, from its own resolution: by way of
        the picture's, a phone's twelve megapixels would take seconds."""
        image, turned = read_image_and_turn(self._images[stem])
        stored = height, width = image.shape[-2:]
        camera = self._camera(stem, height, width)
        depth, mask = self._read_depth(self._depths[stem])
        _check_same_aspect(self._depths[stem], depth, height, width)
        if turned and not self._told_turned:
            self._told_turned = True
            warn(
                f"{self._images[stem]}: pictures are turned as their EXIF says, depth and camera are not: they must be "
                "those of the upright picture"
            )
        if self.size is not None:
            refuse_tiny(image, self._images[stem])
            scale = self.size / min(height, width)
            new_height, new_width = (round(scale * side) for side in (height, width))
            camera = camera.resize(new_width / width, new_height / height)
            height, width = new_height, new_width
            image = resize_image(image, height, width)
        depth, mask = resize_depth(depth, mask, height, width)
        head = mask
        if self._masks:  # depth may have holes there, a head has none
            head = _read_mask(self._masks[stem], stored, height, width)
            check_head(self._masks[stem], head, mask)
        face = head & _read_mask(self._face_masks[stem], stored, height, width) if self._face_masks else head
        return Sample(image, depth, mask, head, face, camera, stem).check()

    def _read_depth(self, path: Path) -> tuple[Tensor, Tensor]:
        if self.depth_kind == "metric":
            depth = read_depth(path, self.unit)
            near = (depth > 0) & (depth < _NOTHING_M)
            valid = near if near.any() else depth > 0  # of another unit, which was told when the folder was opened
            return torch.where(valid, depth, 0.0), valid
        values = torch.from_numpy(read_values(path))[None]
        mask = values.isfinite()
        least, greatest = (values[mask].aminmax() if mask.any() else (0, 0))
        if least == greatest:
            raise InputError(f"{path}: no depth in it, every valid pixel is {float(least):g}")
        farness = (values - least) / (greatest - least)
        return torch.where(mask, 1 - farness if self.unit == "near_bright" else farness, 0.0), mask

    def _camera(self, stem: str, height: int, width: int) -> Camera:
        if not isinstance(self.camera, Camera):
            return Camera.from_fov(self.camera, height, width)
        centre_x, centre_y = self.camera.K[0, 2], self.camera.K[1, 2]
        if not (1 < centre_x < width and 1 < centre_y < height):
            raise InputError(
                f"{self._images[stem]}: the camera's centre ({centre_x:.4g}, {centre_y:.4g}) lies outside of the "
                f"{width} x {height} picture; camera must be in pixels of the upright images"
            )
        off = max(abs(float(centre_x) / width - 0.5), abs(float(centre_y) / height - 0.5))
        if off > _OFF_CENTRE and not self._told_off_centre:
            self._told_off_centre = True
            warn(
                f"{self._images[stem]}: the camera's centre ({centre_x:.4g}, {centre_y:.4g}) is far from the middle of "
                f"the {width} x {height} picture; was the camera calibrated on pictures of another size? A field of "
                "view in degrees fits any"
            )
        return self.camera


def _person(stem: str, identity: Callable[[str], str] | str) -> str:
    """Who is in a picture, by the user's function, or up to what ends a name.

    Raises:
        InputError: it says None, as a pattern does that fits some stems only; all the others would be one person.
    """
    person = stem.partition(identity)[0] if isinstance(identity, str) else identity(stem)
    if person is None:
        raise InputError(f"identity: expected who {stem!r} is, got None; return the stem itself where nobody is known")
    return str(person)


def _warn_about_unit(path: Path, unit: str | float) -> None:
    """Warn where a depth map is farther than faces are."""
    with contextlib.suppress(InputError):  # told when it is read
        depth = read_depth(path, unit)
        middle = float(depth[depth > 0].median())
        if not _PLAUSIBLE_M[0] < middle < _PLAUSIBLE_M[1]:
            warn(f"{path}: its median depth is {middle:.4g} m; is unit={unit!r} (--unit) right?")


def _list(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    files = list_files(folder, suffixes)
    if not files:
        raise InputError(f"{folder}: expected files ending in {', '.join(suffixes)}, found none")
    return files


def _read_mask(path: Path, picture: tuple[int, int], height: int, width: int) -> Tensor:
    """(1, height, width) of a mask of a picture whose height and width are given."""
    mask = read_mask(path)
    _check_same_aspect(path, mask, *picture)
    return resize_mask(mask, height, width)


def _check_same_aspect(path: Path, values: Tensor, height: int, width: int) -> None:
    """Refuse a map whose aspect ratio is not its image's, to within a pixel.

    Raises:
        InputError: naming it and both sizes.
    """
    own_height, own_width = values.shape[-2:]

    def fits(width: int, height: int) -> bool:
        return max(abs(own_width - width * own_height / height), abs(own_height - height * own_width / width)) < 1

    if not fits(width, height):
        turned = "; pictures are turned as their EXIF says, depth is not: turn it by a right angle"
        raise InputError(
            f"{path}: size mismatch, {own_width} x {own_height} does not have the aspect ratio of the "
            f"{width} x {height} image" + turned * fits(height, width)
        )

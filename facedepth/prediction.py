"""From a photo of any size to depth, points and a mesh of the face in it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .camera import Camera, Crop
from .checks import InputError, check_shapes
from .depth import axis_factor, fit_range, invert_depth, relief_to_depth
from .figures import colour_depth
from .framing import CROP_WIDTH_M, cut, face_crop, paste, whole_crop
from .geometry import depth_to_mesh, depth_to_points, smooth_depth
from .io import (
    atomic_path,
    focal_from_exif,
    image_from_pil,
    read_image,
    refuse_existing,
    refuse_tiny,
    write_depth,
    write_image,
)
from .mesh import MESH_SUFFIXES, Mesh, PointCloud
from .models import DepthNetwork

DEFAULT_FOV_DEG = 20.0
"""Horizontal field of view taken for a face crop when neither the caller nor the photo's EXIF says it."""

HEAD_DEPTH_M = 0.16
"""How far the seen half of a head reaches from the nose back: the range given to values of unknown scale."""

FORMATS = ("npy", "png", *(suffix[1:] for suffix in MESH_SUFFIXES))

Photo = str | Path | np.ndarray | Image.Image | Tensor


@dataclass(frozen=True)
class Prediction:
    """What a network says of one photo, at the photo's own size.

    Attributes:
        image: (3, H, W) the photo.
        values: (1, H, W) of the given kind, larger is nearer; 0 outside the crop.
        mask: (1, H, W) bool, the head as the network sees it (the whole crop if it gives no mask).
        camera: of the photo.
        kind: one of ``facedepth.depth.KINDS``.
        crop: the square the network saw, in the photo's pixels.
        network_size: side of that square as the network saw it; the values hold no finer detail.
        name: stem of the files that ``save`` writes.
    """

    image: Tensor
    values: Tensor
    mask: Tensor
    camera: Camera
    kind: str
    crop: Crop
    network_size: int
    name: str

    def depth(
        self, *, crop_width_m: float = CROP_WIDTH_M, near_m: float | None = None, far_m: float | None = None
    ) -> Tensor:
        """(1, H, W) z-depth in metres under ``camera``, 0 outside the mask.

        Proportions of a ``relief`` are true whatever the scale; ``crop_width_m`` (how wide the crop is at the face)
        sets the scale. The affine kinds know neither scale nor shift: their nearest and farthest value in the mask
        are put at ``near_m`` and ``far_m``, by default ``HEAD_DEPTH_M`` apart around the distance that
        ``crop_width_m`` means.

        Raises:
            InputError: the mask is empty, near_m and far_m are given for a relief or in the wrong order, or a relief
                is so high that it reaches the camera.
        """
        if not self.mask.any():
            raise InputError(f"{self.name}: the network sees no head in this picture; is the face upright and in view?")
        z0 = crop_width_m * float(self.camera.K[0, 0]) / self.crop.size
        if self.kind == "relief":
            if near_m is not None or far_m is not None:
                raise InputError("near_m, far_m: a relief has its own proportions; scale it with crop_width_m")
            depth = relief_to_depth(self.values, z0, self.camera, self.crop)
            if not (depth[self.mask] > 0).all():
                raise InputError(f"{self.name}: the relief reaches the camera; give a smaller horizontal_fov_deg")
            return torch.where(self.mask, depth, 0.0)
        near_m = z0 - HEAD_DEPTH_M / 2 if near_m is None else near_m
        far_m = z0 + HEAD_DEPTH_M / 2 if far_m is None else far_m
        if not 0 < near_m < far_m:
            raise InputError(f"near_m, far_m: expected 0 < near_m < far_m, got {near_m:g} and {far_m:g}")
        if self.kind == "affine_inverse":
            along_axis = invert_depth(fit_range(self.values, self.mask, 1 / far_m, 1 / near_m))
        else:
            along_axis = fit_range(self.values, self.mask, far_m, near_m)
        return torch.where(self.mask, along_axis / axis_factor(self.camera, *self.mask.shape[-2:], self.crop), 0.0)

    def mesh(
        self, *, crop_width_m: float = CROP_WIDTH_M, near_m: float | None = None, far_m: float | None = None,
        cut_m: float | None = None, smooth_px: float = 0.0, max_angle_deg: float = 82.0, max_triangles: int = 1_000_000,
        smooth_outline: bool = True,
    ) -> Mesh:
        """A textured mesh of the head.

        Args:
            crop_width_m, near_m, far_m: scale, see ``depth``.
            cut_m: leave out what lies farther than this behind the nearest point.
            smooth_px: strength of the edge-preserving smoothing, in pixels of the network; 0 for none.
            max_angle_deg, max_triangles: see ``geometry.depth_to_mesh``.
            smooth_outline: False leaves the border's vertices where their pixels are, in steps.
        """
        outline_px = 1.5 * max(1.0, self.crop.size / self.network_size) if smooth_outline else 0.0
        depth = self.depth(crop_width_m=crop_width_m, near_m=near_m, far_m=far_m)
        mask = self.mask
        if smooth_px > 0:
            depth = smooth_depth(depth, mask, sigma_px=smooth_px * max(1.0, self.crop.size / self.network_size))
        if cut_m is not None:
            mask = mask & (depth <= depth[mask].min() + cut_m)
        return depth_to_mesh(
            depth, self.camera, mask, self.image, max_angle_deg=max_angle_deg, max_triangles=max_triangles,
            greatest_hole=0.005, outline_px=outline_px,
        )

    def points(
        self, *, crop_width_m: float = CROP_WIDTH_M, near_m: float | None = None, far_m: float | None = None
    ) -> PointCloud:
        """A coloured point for every pixel of the head; for the scale see ``depth``."""
        depth = self.depth(crop_width_m=crop_width_m, near_m=near_m, far_m=far_m)
        return depth_to_points(depth, self.camera, self.mask, self.image)

    def save(
        self, folder: str | Path, *, formats: Sequence[str] = ("npy", "png", "glb"), overwrite: bool = False
    ) -> list[Path]:
        """Write ``<name>_depth.npy`` (z-depth in metres, NaN outside the mask), ``<name>_depth.png`` (a coloured
        preview), ``<name>.glb`` / ``.obj`` / ``.ply``, and ``<name>_depth.json`` with the camera and the crop.

        Returns:
            The files written.

        Raises:
            InputError: unknown format, an empty mask, or a file in the way.
        """
        check_formats(formats)
        folder = Path(folder)
        depth = self.depth()
        meshes = [folder / f"{self.name}.{ending}" for ending in formats if f".{ending}" in MESH_SUFFIXES]
        array, picture, facts = (folder / f"{self.name}_depth.{ending}" for ending in ("npy", "png", "json"))
        written = [facts] + [path for path in (array, picture) if path.suffix[1:] in formats]
        refuse_existing(written + meshes, overwrite)

        with atomic_path(facts) as temporary:
            temporary.write_text(json.dumps(self._facts(), indent=2) + "\n")
        if array in written:
            write_depth(array, depth, self.mask)
        if picture in written:
            write_image(picture, colour_depth(depth, self.mask))
        mesh = self.mesh() if meshes else None
        for path in meshes:
            written += mesh.save(path, overwrite=overwrite)
        return written

    def _facts(self) -> dict:
        return {
            "K": self.camera.K.tolist(), "width": self.image.shape[-1], "height": self.image.shape[-2],
            "unit": "m", "kind": self.kind, "crop": self.crop._asdict(), "network_size": self.network_size,
            "crop_width_m": CROP_WIDTH_M,
        }


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that ``Prediction.save`` does not write.

    Raises:
        InputError: naming them, or saying that none was asked for.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise InputError(f"formats: expected some of {', '.join(FORMATS)}, got {', '.join(unknown) or 'none'}")


@torch.inference_mode()
def predict(
    model: DepthNetwork, photo: Photo | Sequence[Photo], *, crop: str | Crop | tuple[int, int, int] = "face",
    horizontal_fov_deg: float | None = None, batch_size: int = 8,
) -> Prediction | list[Prediction]:
    """Predict the face in a photo, or in each of a list of photos, at the photo's own size.

    Args:
        model: from ``load_model`` or ``fit``; runs on the device it is on.
        photo: a path, a PIL picture, an array (H, W, 3) or (H, W) of uint8, uint16 or float in [0, 1], a tensor
            (3, H, W) in [0, 1]; or a list of these.
        crop: "face" finds the largest face; "none" takes the whole picture; or a square (left, top, size) in pixels.
        horizontal_fov_deg: field of view of the *crop*. By default it follows from the photo's EXIF focal length
            where there is one, else it is taken to be 20 degrees.
        batch_size: how many photos of a list go through the network at once.

    Raises:
        InputError: an unreadable photo, one below 16 pixels a side, no face found.
    """
    if isinstance(photo, (list, tuple)):
        starts = range(0, len(photo), batch_size)
        batches = ((photo[start : start + batch_size], start) for start in starts)
        return [found for batch in batches for found in _predict_batch(model, *batch, crop, horizontal_fov_deg)]
    return _predict_batch(model, [photo], 0, crop, horizontal_fov_deg)[0]


def _predict_batch(
    model: DepthNetwork, photos: Sequence[Photo], start: int, crop: str | tuple[int, int, int],
    horizontal_fov_deg: float | None,
) -> list[Prediction]:
    """``start`` is the place of the first photo in the caller's list: photos without a file are named by theirs."""
    images = [_read(photo) for photo in photos]
    crops = [_choose_crop(image, crop, photo) for image, photo in zip(images, photos, strict=True)]
    size, device = model.input_size, model.mean.device
    batch = torch.stack([cut(image, square, size) for image, square in zip(images, crops, strict=True)])
    training = model.training
    answers = model.eval()(batch.to(device)).float().cpu()  # (B, 1 or 2, size, size)
    model.train(training)

    predictions = []
    for index, (photo, image, square, answer) in enumerate(zip(photos, images, crops, answers, strict=True)):
        height, width = image.shape[-2:]
        inside = torch.ones(1, size, size) if len(answer) == 1 else answer[1:]  # logits of the head
        predictions.append(
            Prediction(
                image=image,
                values=paste(answer[:1], square, height, width),
                mask=_without_specks(paste(inside, square, height, width, mode="bilinear") > 0),
                camera=Camera.from_focal(_focal_px(photo, square, horizontal_fov_deg), height, width),
                kind=model.kind, crop=square, network_size=size,
                name=Path(photo).stem if isinstance(photo, (str, Path)) else f"photo{start + index:03d}",
            )
        )
    return predictions


def _without_specks(mask: Tensor) -> Tensor:
    """The mask's pieces of at least a twentieth of the largest: a head may be parted by a hand, but has no crumbs."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask[0].byte().numpy(), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA] * (np.arange(count) > 0)  # piece 0 is what lies outside
    return mask & torch.from_numpy((areas >= 0.05 * areas.max())[pieces])[None]


def _read(photo: Photo) -> Tensor:
    if isinstance(photo, (str, Path)):
        image = read_image(photo)
    elif isinstance(photo, Image.Image):
        image = image_from_pil(photo)
    else:
        image = _from_array(photo)
    return refuse_tiny(image, photo if isinstance(photo, (str, Path)) else "photo")


def _from_array(photo: np.ndarray | Tensor) -> Tensor:
    if isinstance(photo, Tensor):
        check_shapes(photo=(photo, "3 H W"))
        image, known = photo.detach().float().cpu(), photo.is_floating_point()
    elif photo.dtype == np.uint8 and (photo.ndim == 2 or photo.shape[2:] in ((3,), (4,))):
        return image_from_pil(Image.fromarray(photo))
    else:
        known = photo.dtype == np.uint16 or np.issubdtype(photo.dtype, np.floating)
        image = torch.from_numpy(photo.astype(np.float32) / (65535 if photo.dtype == np.uint16 else 1))
        if image.ndim == 2:
            image = image[..., None].expand(-1, -1, 3)
        check_shapes(photo=(image, "H W 3"))
        image = image.permute(2, 0, 1).contiguous()
    if not known or not ((image >= 0) & (image <= 1)).all():
        raise InputError(
            f"photo: expected uint8, uint16 or float from 0 to 1, got {photo.dtype} from {float(image.min()):g} to "
            f"{float(image.max()):g}"
        )
    return image


def _choose_crop(image: Tensor, crop: str | tuple[int, int, int], photo: Photo) -> Crop:
    if crop == "none":
        return whole_crop(*image.shape[-2:])
    if crop == "face":
        try:
            return face_crop(image)
        except InputError as error:
            raise InputError(f"{photo}: {error}" if isinstance(photo, (str, Path)) else str(error)) from None
    if isinstance(crop, str) or len(crop) != 3 or crop[2] < 1:
        raise InputError(f"crop: expected 'face', 'none' or (left, top, size), got {crop!r}")
    return Crop(*crop)


def _focal_px(photo: Photo, crop: Crop, horizontal_fov_deg: float | None) -> float:
    if horizontal_fov_deg is None and isinstance(photo, (str, Path)):
        from_exif = focal_from_exif(photo)
        if from_exif is not None:
            return from_exif
    fov_deg = DEFAULT_FOV_DEG if horizontal_fov_deg is None else horizontal_fov_deg
    if not 0 < fov_deg < 180:
        raise InputError(f"horizontal_fov_deg: expected between 0 and 180 degrees, got {fov_deg}")
    return crop.size / 2 / math.tan(math.radians(fov_deg) / 2)

"""From photos to predictions: read each, find its face, run the network on the square around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..camera import Camera, Crop
from ..checks import check_whole
from ..models import DepthNetwork, check_network
from .head_mask import cleaned
from .inference import run_on_crops
from .photos import Photo, choose_crop, focal_px, read_photo
from .prediction import Prediction


@torch.no_grad()
def predict(
    model: DepthNetwork, photo: Photo | Sequence[Photo], *, crop: str | Crop | Sequence[float] = "face",
    horizontal_fov_deg: float | None = None, mirror: bool = True, batch_size: int = 8,
) -> Prediction | list[Prediction]:
    """Predict the face in a photo, or in each of a list of photos, at the photo's own size.

    Args:
        model: from ``load_model`` or ``fit``; runs on the device it is on.
        photo: a path, a PIL picture, an array (H, W, 3) or (H, W) of uint8, uint16 or float in [0, 1], a tensor
            (3, H, W) of uint8 or in [0, 1]; or a list of these.
        crop: "face" finds the largest face, which the network sees upright if it is tilted by more than 15 degrees;
            "none" takes the whole picture; or a square (left, top, size) in pixels, with a fourth number if it is
            tilted, as in ``Crop``. Where a square cuts off the top of the head, a network whose output is a relief with
            a head mask looks again at larger ones.
        horizontal_fov_deg: field of view of the *crop*, the square the network sees, were it in the photo's middle;
            with crop="none" that is across the photo's longer side. By default it follows from the
            photo's EXIF focal length where there is one, else it is taken to be 20 degrees, or less where the whole
            photo would come out wider than 53 degrees along its longer side. A photo that was cut out of another may
            keep the other's EXIF, which shows only where the picture's proportions differ from those told there, or
            where a face that was found would be nearer than 0.25 m: say it then.
        mirror: ask the network about the mirrored picture too and take the mean: 2 % less error for twice the time.
        batch_size: how many photos of a list go through the network at once.

    Raises:
        InputError: an unreadable photo, one below 16 pixels a side, nobody found.

    Warns of several faces, of one that is cut off, turned far to a side, lying or tiny, and of EXIF that is ignored.
    Each result holds its photo, 0.2 GB for one of 12 megapixels: give long lists in parts, and save each.
    """
    check_network(model)
    check_whole("batch_size", batch_size, 1)
    single = not isinstance(photo, (list, tuple))
    photos, found = [photo] if single else photo, []
    for start in range(0, len(photos), batch_size):
        batch = photos[start : start + batch_size]
        names = [_names(one, None if single else place) for place, one in enumerate(batch, start)]
        found += _predict_batch(model, batch, names, crop, horizontal_fov_deg, mirror)
    return found[0] if single else found


def _names(photo: Photo, place: int | None) -> tuple[str, str]:
    """The stem of a photo's results and what messages call it: by its place in a list, if any, where it has no file."""
    if isinstance(photo, (str, Path)):
        return Path(photo).stem, str(photo)
    stem = f"photo{place or 0:03d}"
    return stem, "photo" if place is None else stem


def _predict_batch(
    model: DepthNetwork, photos: Sequence[Photo], names: Sequence[tuple[str, str]],
    crop: str | Crop | Sequence[float], horizontal_fov_deg: float | None, mirror: bool,
) -> list[Prediction]:
    framed = isinstance(crop, str) and crop == "face"
    images, crops, cameras = [], [], []
    for photo, (_, name) in zip(photos, names, strict=True):
        image = read_photo(photo, name)
        square = choose_crop(image, crop, name)
        height, width = image.shape[-2:]
        focal = focal_px(photo, square, horizontal_fov_deg, max(height, width), framed=framed, name=name)
        images.append(image)
        crops.append(square)
        cameras.append(Camera.from_focal(focal, height, width))
    seen = run_on_crops(model, images, crops, cameras, mirror=mirror)
    return [
        Prediction(
            image=image, values=values, mask=cleaned(inside > 0), camera=camera, kind=model.kind, crop=square,
            network_size=model.input_size, name=stem,
        )
        for (stem, _), image, square, camera, (values, inside) in zip(
            names, images, crops, cameras, seen, strict=True
        )
    ]

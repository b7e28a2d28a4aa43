"""The demo: a photo and the sample faces, through the best shipped weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .checks import InputError
from .data import EG3DFaces
from .evaluation import REPORT_FILES, evaluate
from .figures import STUDIO, colour_depth, colour_normals, mesh_views, sheet
from .framing import resample
from .io import image_to_uint8, write_image
from .models import BEST, load_model
from .paths import check_writable, refuse_existing, user_path
from .prediction import Prediction, predict
from .prediction.result_files import FORMATS

REPOSITORY = Path(__file__).parent.parent
PHOTO = REPOSITORY / "assets" / "astronaut.png"
SAMPLE_SET = REPOSITORY / "data" / "sample"


def run_demo(out: str | Path, *, overwrite: bool = False) -> Path:
    """Predict a photo with the best shipped weights, score them on the sample faces, write depth, meshes, pictures.

    Args:
        out: folder for the results.

    Returns:
        The path of the picture to look at, ``astronaut_sheet.png``.

    Raises:
        InputError: photo or samples are missing, because facedepth was not installed from a clone; or results are
            already there.
    """
    for needed in (PHOTO, SAMPLE_SET):
        if not needed.exists():
            raise InputError(f"{needed}: not there; in a clone of the repository, `pip install -e .` and try again")
    out = user_path(out)
    picture = out / f"{PHOTO.stem}_sheet.png"
    results = [picture, *(out / f"{PHOTO.stem}.{ending}" for ending in FORMATS)]
    results += [out / f"{PHOTO.stem}_depth.{ending}" for ending in ("npy", "png", "json")]
    results += [out / "scores" / name for name in REPORT_FILES]
    refuse_existing(results, overwrite)  # before the work
    check_writable(out)
    model = load_model(BEST)
    face = predict(model, PHOTO)
    written = face.save(out, formats=FORMATS, overwrite=overwrite)
    report = evaluate(model, EG3DFaces(SAMPLE_SET))
    print(f"{report}\n")
    written += report.save(out / "scores", overwrite=overwrite)
    write_image(picture, portrait_sheet(face))
    print("written:", *(f"  {path}" for path in written), sep="\n")
    print(f"look at {picture}; open {out / face.name}.html in a browser, the .glb in any 3D viewer")
    return picture


def portrait_sheet(face: Prediction) -> np.ndarray:
    """Photo, depth and normals inside the crop, and the mesh from five sides, with the photo on it and as clay."""
    mesh = face.mesh()
    views = [mesh_views(mesh, size=360, textured=textured, background=STUDIO) for textured in (True, False)]
    trimmed = [[picture[14:-14, 14:-14] for picture in row.values()] for row in views]
    return sheet([face_maps(face), *trimmed])


def face_maps(face: Prediction, *, size: int = 512) -> list[np.ndarray]:
    """Photo, depth and normals of the part of a photo that the network saw, each (size, size, 3) uint8."""
    left, top, side = face.crop[:3]

    def enlarged(grid: Tensor) -> Tensor:
        square = grid.new_zeros(len(grid), side, side, dtype=torch.float32)  # it may reach beyond the photo
        inside = grid[:, max(top, 0) : top + side, max(left, 0) : left + side]
        height, width = inside.shape[-2:]
        square[:, max(-top, 0) :, max(-left, 0) :][:, :height, :width] = inside
        return resample(square, size, size, mode="bicubic")

    # Enlarged before they are coloured, or the outline would show the photo's pixels as steps.
    share = enlarged(face.mask)
    mask = share > 0.5
    depth = torch.where(mask, enlarged(face.depth()) / share, 0.0)  # outside the mask it is 0, and weighs nothing
    camera = face.camera.crop(left, top).resize(size / side)
    return [
        image_to_uint8(enlarged(face.image).clamp(0, 1)), colour_depth(depth, mask), colour_normals(depth, camera, mask)
    ]

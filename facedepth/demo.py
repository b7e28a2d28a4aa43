"""The demo: a photo and the sample faces, read by the shipped weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .checks import InputError
from .data import EG3DFaces
from .evaluation import evaluate
from .figures import colour_depth, colour_normals, mesh_views, panel
from .io import atomic_path, image_to_uint8
from .models import load_model
from .prediction import Prediction, predict

REPOSITORY = Path(__file__).parent.parent
PHOTO = REPOSITORY / "assets" / "astronaut.png"
SAMPLE_SET = REPOSITORY / "data" / "sample"


def run_demo(out: str | Path) -> Path:
    """Predict a photo with the shipped Attention-UNet, score it on the sample faces, write depth, meshes, pictures.

    Args:
        out: folder; the files of an earlier demo there are replaced, others are not touched.

    Returns:
        The picture to look at, ``face.png``.

    Raises:
        InputError: photo or samples are not there, because facedepth was not installed from a clone.
    """
    for needed in (PHOTO, SAMPLE_SET):
        if not needed.exists():
            raise InputError(f"{needed}: not there; clone the repository and run the demo from the clone")
    out = Path(out)
    model = load_model("attention_unet")
    report = evaluate(model, EG3DFaces(SAMPLE_SET))
    print(f"{report}\n")
    face = predict(model, PHOTO)
    written = face.save(out, formats=("npy", "png", "glb", "obj", "ply", "html"), overwrite=True)
    written += report.save(out / "scores", overwrite=True)
    picture = _picture(face, out / "face.png")
    print("written:", *(f"  {path}" for path in written), sep="\n")
    print(f"look at {picture}; open {out / face.name}.html in a browser, the .glb in any 3D viewer")
    return picture


def _picture(face: Prediction, path: Path) -> Path:
    """Photo, depth and normals inside the crop, and the mesh from five sides as clay and with the photo on it."""
    height, width = face.image.shape[-2:]
    left, top, size = face.crop
    shown = np.s_[max(top, 0) : min(top + size, height), max(left, 0) : min(left + size, width)]
    maps = {
        "photo": image_to_uint8(face.image), "depth, near is warm": colour_depth(face.depth(), face.mask),
        "normals": colour_normals(face.depth(), face.camera, face.mask),
    }
    mesh = face.mesh()
    rows = [{name: pixels[shown] for name, pixels in maps.items()}, mesh_views(mesh, textured=False), mesh_views(mesh)]
    with atomic_path(path) as temporary:
        panel(rows).savefig(temporary)
    return path

"""The demo: from the sample faces to a face in 3D, in about a minute on a CPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch.utils.data import Dataset

from .checks import InputError
from .data import EG3DFaces, split
from .evaluation import Report, evaluate
from .figures import colour_depth, colour_normals, mesh_views, panel
from .io import atomic_path, image_to_uint8
from .layouts import eg3d_path
from .models import DepthNetwork, create_model
from .prediction import Prediction, predict
from .training import TrainConfig, fit

SAMPLE_SET = Path(__file__).parent.parent / "data" / "sample"


def run_demo(out: str | Path, *, epochs: int = 8) -> Path:
    """Train a small Attention-UNet on the sample faces, predict one it has not seen, write depth, meshes and pictures.

    Args:
        out: folder; the files of an earlier demo there are replaced, others are not touched.
        epochs: length of the training, about 5 seconds each on two CPU cores.

    Returns:
        The picture to look at, ``face.png``.

    Raises:
        InputError: the sample set is not there, because facedepth was not installed from a clone.
    """
    if not SAMPLE_SET.is_dir():
        raise InputError(f"{SAMPLE_SET}: no sample set; clone the repository and run the demo from there")
    out = Path(out)
    train, val = split(EG3DFaces(SAMPLE_SET), val=0.25)
    print(
        f"No trained weights are shipped yet: training a small Attention-UNet for about a minute on {len(train)} "
        f"sample faces,\nthen predicting one it has not seen ({val.names[0]}). Expect a rough likeness."
    )
    model = _train(train, val, epochs)
    report = evaluate(model, val)
    print(report)
    photo = eg3d_path(SAMPLE_SET, "images", val.names[0])
    fov_deg = val[0].camera.horizontal_fov_deg(val[0].image.shape[-1])
    face = predict(model, photo, crop="none", horizontal_fov_deg=fov_deg)
    written = face.save(out, formats=("npy", "png", "glb", "obj", "ply"), overwrite=True)
    written += report.save(out / "scores", overwrite=True)
    picture = _picture(face, report, out / "face.png")
    print("written:", *(f"  {path}" for path in written), sep="\n")
    print(f"look at {picture}; open {out / face.name}.glb in any 3D viewer")
    return picture


def _train(train: Dataset, val: Dataset, epochs: int) -> DepthNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("attention_unet", channels=16)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            out=folder, epochs=epochs, batch_size=6, repeats=12, learning_rate=3e-3, ema_decay=0.95, augment=0.3,
            workers=0,
        )
        fit(model, train, val, config)
    return model


def _picture(face: Prediction, report: Report, path: Path) -> Path:
    depth, mesh = face.depth(), face.mesh()
    first = {
        "photo": image_to_uint8(face.image), "depth": colour_depth(depth, face.mask),
        "normals": colour_normals(depth, face.camera, face.mask), **dict(list(report.pictures[0].items())[1:3]),
    }
    with atomic_path(path) as temporary:
        panel([first, mesh_views(mesh, textured=False)], note="near is warm").savefig(temporary)
    return path

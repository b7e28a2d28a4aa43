"""Score networks and baselines on a folder in EG3D's layout with exact depth in metres, at the pictures' own size.

``python -m benchmarks.face_baselines --data data/standin --model weights.safetensors -o outputs/baselines`` writes
``table.md`` and ``scores.csv``. MediaPipe wants an older NumPy: give a Python that has it, see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from facedepth.checks import InputError
from facedepth.data import EG3DFaces
from facedepth.evaluation import evaluate
from facedepth.models import load_model
from facedepth.paths import atomic_path

from . import methods
from .scoring import SCORES, breakdown, score, table

TRUTH_SIZES = (128, 256)
Scores = dict[str, list[dict[str, float]]]


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.face_baselines", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/standin"), help="default: %(default)s")
    parser.add_argument("--model", action="append", default=[], help="weights or a shipped model; may be repeated")
    parser.add_argument("-o", "--out", type=Path, default=Path("outputs/baselines"), help="default: %(default)s")
    parser.add_argument("--mediapipe-python", help="a Python with mediapipe; without one its rows are left out")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        faces = _faces(options.data)
        landmarks = _landmarks(options.data, options.mediapipe_python) if options.mediapipe_python else None
        scores = _score_all(faces, landmarks, options.model)
        _write(options.out, scores, _read_manifest(options.data), faces.names)
    except (InputError, OSError) as error:
        print(f"benchmarks.face_baselines: {error}", file=sys.stderr)
        return 2
    print((options.out / "table.md").read_text())
    return 0


def _faces(root: Path) -> EG3DFaces:
    """The data at the pictures' own size."""
    first = next(iter(sorted((root / "images").glob("*.png"))), None)
    if first is None:
        raise InputError(f"{root}: expected images/*.png; `python -m benchmarks.standin` makes such a folder")
    with Image.open(first) as picture:
        return EG3DFaces(root, size=picture.width, depth_kind="metric", skip_bad=True)


def _landmarks(root: Path, python: str) -> dict[str, np.ndarray]:
    script = Path(__file__).with_name("mediapipe_landmarks.py")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "landmarks.npz"
        result = subprocess.run(
            [python, str(script), str(root / "images"), str(out)], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise InputError(f"{python}: {result.stderr.strip()[-600:]}")
        with np.load(out) as found:
            return dict(found)


def short_names(models: list[str]) -> list[str]:
    """Files by their stem, and by their path where two have the same, as ``best.safetensors`` of two runs."""
    stems = [Path(name).stem if name.endswith(".safetensors") else name for name in models]
    return [stem if stems.count(stem) == 1 else name for stem, name in zip(stems, models, strict=True)]


def _score_all(faces: EG3DFaces, landmarks: dict[str, np.ndarray] | None, models: list[str]) -> Scores:
    scores: Scores = {}
    loaded = dict(zip(short_names(models), map(load_model, models), strict=True))
    triangles = methods.mesh_triangles(landmarks["edges"]) if landmarks is not None else None
    for sample in tqdm((faces[i] for i in range(len(faces))), total=len(faces), unit="picture"):
        said = {"ellipsoid over the true outline": methods.ellipsoid(sample)}
        if landmarks is not None:
            points = landmarks.get(sample.name)
            said["mean face, posed by MediaPipe's landmarks"] = methods.mean_face(sample, points)
            said["mean face, frontal, placed by MediaPipe's landmarks"] = methods.frontal_mean_face(sample, points)
            said["MediaPipe face mesh"] = methods.face_mesh(sample, points, triangles)
        said |= {f"the truth at {size} pixels a crop": methods.truth_at(sample, size) for size in TRUTH_SIZES}
        for name, model in loaded.items():
            said[f"{name}, predict"] = methods.network(model, sample, "face")
            said[f"{name}, predict, not mirrored"] = methods.network(model, sample, "face", mirror=False)
            said[f"{name}, predict, true crop"] = methods.network(model, sample, methods.true_crop(sample))
        for method, guess in said.items():
            scores.setdefault(method, []).append(score(guess, sample))
    for name, model in loaded.items():
        small = EG3DFaces(faces.root, size=model.input_size, depth_kind="metric", skip_bad=True)
        rows = {row["name"]: row for row in evaluate(model, small).scores}
        scores[f"{name}, evaluate on whole pictures"] = [
            dict.fromkeys(SCORES, np.nan) | {
                "rmse_mm": 1000 * rows[picture]["rmse"], "mad_deg": rows[picture]["mad_deg"], "covered_pct": 100.0,
            } for picture in faces.names
        ]
    return scores


def _read_manifest(root: Path) -> dict[str, dict[str, str]]:
    path = root / "manifest.csv"
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def _write(out: Path, scores: Scores, manifest: dict[str, dict[str, str]], names: list[str]) -> None:
    with atomic_path(out / "table.md") as temporary:
        parts = (table(scores), "RMSE in mm / normals in degrees, by group:", breakdown(scores, manifest, names))
        temporary.write_text("\n\n".join(parts) + "\n")
    with atomic_path(out / "scores.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "method", *SCORES])
        for method, rows in scores.items():
            for name, row in zip(names, rows, strict=True):
                writer.writerow([name, method, *(row[column] for column in SCORES)])


if __name__ == "__main__":
    sys.exit(main())

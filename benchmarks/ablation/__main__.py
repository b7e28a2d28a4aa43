"""Train a small network for a few minutes, with one change at a time, and score it on the stand-in. Prints a table row.

    python -m benchmarks.ablation ROW... --data data/ablation --plain data/plain --standin data/standin --encoder FILE

``--data`` holds faces of the generator, ``--plain`` such as it made before commit ca52c29, when heads were the kit's.
Every row sees 3,008 faces once, the one at another size as many as the same time allows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

import facedepth as fd
from facedepth.data import Part

STEPS, BATCH = 188, 16
HARD_LIGHT = ("sun", "flash", "split", "back")


@dataclass(frozen=True)
class Setting:
    """A short training on the folder ``data``; ``options`` are the network's.

    Without ``worn``, faces with a hat, glasses or something before them are left out; without ``hard_light`` those lit
    by sun, flash, from the side or from behind.
    """

    data: str = "data"
    worn: bool = True
    hard_light: bool = True
    size: int = 128
    steps: int = STEPS
    augment: float = 0.8
    pretrained: bool = True
    encoder_factor: float = 0.5
    ema_decay: float = 0.98
    options: dict = field(default_factory=dict)
    weights: fd.LossWeights = field(default_factory=lambda: fd.LossWeights(normal=2.0))


BASE = Setting()
ROWS = {
    "base": BASE,
    "coarse_decoder": replace(BASE, options={"finest_stride": 4, "features": 48}),
    "plain_heads": replace(BASE, data="plain"),
    "augment_0.3": replace(BASE, augment=0.3),
    "random_encoder": replace(BASE, pretrained=False, encoder_factor=1.0),
    "normal_0.5": replace(BASE, weights=fd.LossWeights(normal=0.5)),
    "face_1": replace(BASE, weights=fd.LossWeights(normal=2.0, face=1.0)),
    "face_4": replace(BASE, weights=fd.LossWeights(normal=2.0, face=4.0)),
    "gradient_0": replace(BASE, weights=fd.LossWeights(normal=2.0, gradient=0.0)),
    "size_192": replace(BASE, size=192, steps=89),
    "features_12": replace(BASE, options={"features": 12}),
    "features_48": replace(BASE, options={"features": 48}),
    "no_average": replace(BASE, ema_decay=0.0),
    "nothing_worn": replace(BASE, worn=False),
    "no_hard_light": replace(BASE, hard_light=False),
}


def choose(faces: fd.EG3DFaces, setting: Setting) -> tuple[Part, Part]:
    """The first faces for training, the last for validation, by what the generator stored of them."""
    chosen = [index for index, name in enumerate(faces.names) if _wanted(faces.root, name, setting)]
    count = setting.steps * BATCH
    if len(chosen) < count + BATCH:
        raise SystemExit(f"{faces.root}: expected {count + BATCH} such faces, got {len(chosen)}; generate more")
    return Part(faces, chosen[:count]), Part(faces, chosen[-BATCH:])


def _wanted(root: Path, name: str, setting: Setting) -> bool:
    if setting.worn and setting.hard_light:
        return True
    scenery = json.loads((root / "parameters" / f"{name}.json").read_text())["scenery"]
    bare = scenery["hat"] is scenery["glasses"] is scenery["occluder"] is None
    return (setting.worn or bare) and (setting.hard_light or scenery["light"] not in HARD_LIGHT)


def run(setting: Setting, folders: dict[str, Path], encoder: Path) -> tuple[float, float]:
    """RMSE in mm and angle between normals in degrees on the stand-in's faces, aligned."""
    torch.manual_seed(0)
    model = fd.create_model("face_small", **setting.options)
    if setting.pretrained:
        fd.load_encoder(model, encoder)
    faces = fd.EG3DFaces(folders[setting.data], size=256, skip_bad=True)
    train, val = choose(faces, setting)
    with tempfile.TemporaryDirectory() as out:
        config = fd.TrainConfig(
            out=out, epochs=1, batch_size=BATCH, input_size=setting.size,
            learning_rate=2e-3, encoder_factor=setting.encoder_factor, ema_decay=setting.ema_decay,
            augment=setting.augment, weights=setting.weights, warmup_steps=20, workers=1,
        )
        fd.fit(model, train, val, config)
    report = fd.evaluate(model, fd.EG3DFaces(folders["standin"], size=512, skip_bad=True))
    return 1000 * report.means["rmse"], report.means["mad_deg"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    for name in ("data", "plain", "standin", "encoder"):
        parser.add_argument(f"--{name}", type=Path, required=name != "plain")
    options = parser.parse_args()
    if options.plain is None and any(ROWS[row].data == "plain" for row in options.rows):
        parser.error("plain_heads: expected --plain FOLDER, faces without the warp")
    folders = {name: getattr(options, name) for name in ("data", "plain", "standin")}
    for row in options.rows:
        rmse, degrees = run(ROWS[row], folders, options.encoder)
        print(f"| {row} | {rmse:.2f} | {degrees:.2f} |", flush=True)


if __name__ == "__main__":
    main()

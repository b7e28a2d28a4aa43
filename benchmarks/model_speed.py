"""What the models need: time and memory to predict a picture, to train, and to fine-tune, by what learns.

    python -m benchmarks.model_speed            # the models that suit a CPU, their training, dpt_tiny's fine-tuning
    python -m benchmarks.model_speed --large    # the large ones, and dpt_large's fine-tuning: takes up to 14 GB

Every measurement is made in a process of its own: on the CPU with one thread, and on the CUDA card where there is one.
The CPU's peak is that of the process, Python and PyTorch (about 0.5 GB) included; the card's is what PyTorch has
allocated there. Weights are random, which matters to neither time nor memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import torch
from tqdm import tqdm

from benchmarks import Need, milliseconds, needs_table
from facedepth import SyntheticFaces, TrainConfig, create_model, fit, list_models
from facedepth.models import DepthNetwork
from facedepth.training.callbacks import History, Pictures
from facedepth.training.config import LEARNS

LARGE = ("depth_anything_v2_base", "depth_anything_v2_large", "dpt_hybrid", "dpt_large")


class InMemory(list):
    """A few samples made beforehand, over and over: a training's speed is not to be that of its data."""

    def __init__(self, count: int, size: int) -> None:
        faces = SyntheticFaces(min(count, 8), size=size)
        made = [faces[index] for index in range(len(faces))]
        super().__init__(made[index % len(made)] for index in range(count))
        self.depth_kind, self.names = faces.depth_kind, [sample.name for sample in self]
        self.identities = self.names


class Enough(Exception):
    """Raised to leave ``fit`` after its last epoch, before the state that nobody will go on from is written."""


def predict(name: str, device: str) -> Need:
    """One picture at the model's own size."""
    model = create_model(name).to(device).eval()
    image = torch.rand(1, 3, model.input_size, model.input_size, device=device)

    def once() -> None:
        with torch.inference_mode():
            model(image).cpu()

    ms = milliseconds(once, repeats=1 if name in LARGE and device == "cpu" else 5)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return Need(f"predict, {name}, {model.input_size} px, {device}", millions, ms, _peak_gigabytes(device))


def fine_tune(name: str, learns: str, device: str, *, batch_size: int, steps: int, frugal: bool = False) -> Need:
    """An epoch of ``fit`` with the preset. ``frugal`` is gradient checkpointing."""
    settings = TrainConfig.finetune(
        learns=learns, epochs=2 if steps > 2 else 1, batch_size=batch_size, workers=0, device=device,
        gradient_checkpointing=frugal, save_every_s=1e9, **({"frozen_epochs": 0} if learns == "all" else {}),
    )
    work = f"fine-tune, {name}, {learns}{', checkpointed' if frugal else ''}, batch {batch_size}, {device}"
    return _learn(work, create_model(name, kind="affine_inverse"), settings, steps)


def train(name: str, amp: str, device: str, **options) -> Need:
    """An epoch of ``fit`` as the shipped weights were trained; ``options`` are the network's."""
    settings = TrainConfig(
        epochs=2, batch_size=16, workers=0, device=device, amp=amp, augment=0.8, save_every_s=1e9, out="named later",
        input_size=128,
    )
    precision = "32 bits" if amp == "never" else "mixed precision"
    return _learn(f"train, {name}, 128 px, {precision}, batch 16, {device}", create_model(name, **options), settings, 4)


def _learn(work: str, model: DepthNetwork, settings: TrainConfig, steps: int) -> Need:
    """The last epoch of ``fit``: loss, augmentation, moving average, validation and checkpoint included in the memory,
    the steps alone in the time."""
    found: dict[str, float] = {}

    def watch(history: History, pictures: Pictures) -> None:
        if len(history) == settings.epochs:
            found["millions"] = sum(p.numel() for p in model.parameters() if p.grad is not None) / 1e6
            found["ms"] = 1000 / history[-1]["images_per_s"]
            raise Enough

    size = settings.input_size or model.input_size
    faces, other = InMemory(settings.batch_size * steps, size), InMemory(1, size)
    with tempfile.TemporaryDirectory() as folder, suppress(Enough):
        fit(model, faces, other, replace(settings, out=folder), callbacks=[watch])
    return Need(work, found["millions"], found["ms"], _peak_gigabytes(settings.device))


def _peak_gigabytes(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def _apart(work: Callable[[], Need]) -> Need:
    """Do it in a fresh process with one thread."""
    with multiprocessing.get_context("spawn").Pool(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return pool.apply(work)


def main(*, large: bool = False) -> list[Need]:
    """Measure the small ones, or the large ones."""
    works = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        names = [name for name in list_models() if (name in LARGE) == large]
        works += [partial(predict, name, device) for name in names]
        size = {"batch_size": 1, "steps": 2} if large else {"batch_size": 8, "steps": 6}
        tune = partial(fine_tune, device=device, **size)
        name = "dpt_large" if large else "dpt_tiny"
        works += [partial(tune, name, learns) for learns in LEARNS]
        works += [partial(tune, name, "lora+decoder", frugal=True)]
        if not large:
            shipped = {"face_small": {}, "attention_unet": {"channels": 16}}
            works += [
                partial(train, name, amp, device, **options)
                for name, options in shipped.items() for amp in ("never", "always")
            ]
    return [_apart(work) for work in tqdm(works, desc="what models need", leave=False)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="measure the large models instead")
    print(needs_table(main(large=parser.parse_args().large)))

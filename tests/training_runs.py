"""What the tests of training make their runs with, and read of them."""

import csv
import json
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open
from safetensors.torch import load_file

from facedepth.data import Part
from facedepth.models import DepthNetwork
from facedepth.sample import Sample
from facedepth.training import TrainConfig

QUICK = {
    "epochs": 2, "batch_size": 2, "repeats": 2, "learning_rate": 1e-2, "warmup_steps": 2, "ema_decay": 0.9,
    "augment": 0.5, "workers": 0, "device": "cpu", "save_every_s": 0.0,
}


def config(out: Path, **changes) -> TrainConfig:
    return TrainConfig(out=str(out), **QUICK | changes)


def stop(*_) -> None:
    """A callback that is a Ctrl-C after the first epoch."""
    raise KeyboardInterrupt


class Changed(Part):
    """A part whose samples are not quite what they were."""

    def __init__(self, part: Part, change):
        super().__init__(part, range(len(part)))
        self.change = change

    def __getitem__(self, index: int) -> Sample:
        return self.change(super().__getitem__(index))

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        return [self[index] for index in indices]


class FinishedRun(NamedTuple):
    """A run that went to its end: its settings and folder, what ``fit`` gave, what a callback saw in every epoch."""

    config: TrainConfig
    folder: Path
    model: DepthNetwork
    history: list[dict[str, float]]
    seen: list[tuple[int, list[str]]]


def events_of(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # It reads files by name, which has the second and a counter without leading zeros: of a run that was stopped and
    # resumed within one second, 10 before 9. Last written is the order here.
    files = sorted((folder / "tensorboard").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    with tempfile.TemporaryDirectory() as ordered:
        for number, file in enumerate(files):
            shutil.copy(file, Path(ordered, f"events.out.tfevents.{number:010d}"))
        return EventAccumulator(ordered, size_guidance={"scalars": 0, "images": 0}).Reload()


def history_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def what_was_computed(folder: Path) -> dict:
    """All that a run leaves behind, apart from how fast it ran."""
    found = {}
    for name in ("last.safetensors", "best.safetensors"):
        with safe_open(folder / name, framework="pt") as file:
            metadata = file.metadata()
        metrics = json.loads(metadata.pop("metrics"))
        metrics.pop("images_per_s")
        tensors = {key: tensor.numpy().tobytes() for key, tensor in load_file(folder / name).items()}
        found[name] = (metadata, metrics, tensors)
    found["history"] = [{key: text for key, text in row.items() if key != "images_per_s"} for row in history_of(folder)]
    scalars = events_of(folder).scalars
    found["events"] = {
        tag: [(event.step, event.value) for event in scalars.Items(tag)]
        for tag in scalars.Keys() if not tag.endswith("images_per_s")
    }
    return found

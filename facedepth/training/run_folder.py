"""A training run's folder: its settings, its state to resume from, its history and its TensorBoard events.

    config.json          the settings the run was started with
    state.pt             everything needed to resume exactly where it stopped
    best.safetensors     the model of the best epoch, last.safetensors that of the latest
    history.csv          one row per epoch
    tensorboard/         events: tensorboard --logdir runs
    .lock                held by the process that trains
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.data import Dataset

from ..checks import InputError, shown, warn
from ..evaluation.scoring import SURELY_BACKGROUND
from ..models import DepthNetwork
from ..paths import atomic_path, check_writable, locked
from ..sample import checked

_COLAB = Path("/content")
_MAY_BE_UNKNOWN = ("target_kind", "input_size")
_RESULTS = ("best.safetensors", "last.safetensors", "history.csv")


def describe_data(train: Dataset, val: Dataset) -> dict[str, str | int | float]:
    """What distinguishes the samples of one run from those of another.

    Names are not enough: generated faces have the same names whatever their seed, and the same folder may be read with
    another field of view, size or masks. So a few numbers of each part's first sample are included.
    """
    facts = {"depth_kind": train.depth_kind}
    if val.depth_kind != train.depth_kind:
        facts["val_depth_kind"] = val.depth_kind
    for name, part in (("train", train), ("val", val)):
        people = "\n".join(map(str, getattr(part, "identities", ()))).encode(errors="surrogateescape")
        first = checked(part[0], part.depth_kind)
        facts |= {f"{name}_samples": len(part), f"{name}_people": hashlib.sha256(people).hexdigest()[:12]}
        facts |= {
            f"{name}_first_depth": float(first.depth[first.mask].sum()) / max(1, int(first.mask.sum())),
            f"{name}_first_size": first.image.shape[-1], f"{name}_first_focal": float(first.camera.K[0, 0]),
            f"{name}_first_head": float((first.head & first.mask).float().mean()),
            f"{name}_first_face": float(first.face.float().mean()),
        }
    return facts


def warn_about_data(model: DepthNetwork, train: Dataset, val: Dataset, head_share: float) -> None:
    """Warn of data that train and score worse than the user may think; ``head_share`` is the first picture's."""
    if model.options.get("head_mask") and head_share > SURELY_BACKGROUND:
        warn(
            "train: nearly all of its first picture counts as head; without masks of the head, the network cannot "
            "learn where it ends, and meshes will hold the background"
        )
    if getattr(train, "dataset", train) is getattr(val, "dataset", val):  # names of others' people may be equal
        both = set(getattr(train, "identities", ())).intersection(getattr(val, "identities", ()))
        if both:
            names = shown(sorted(map(str, both)), 3)
            warn(
                f"val: {len(both)} of its people are in train too ({names}), so its scores say "
                "little of people never seen; fd.split keeps people apart"
            )


def refuse_started(path: str | Path, *, resume: bool) -> None:
    """Refuse to overwrite a run that is there.

    Raises:
        InputError: there is one, and ``resume`` is False.
    """
    if Path(path, "state.pt").exists() and not resume:
        raise InputError(f"{path}: holds a run already; go on with it (resume=True, --resume) or choose another folder")


@contextmanager
def alone_in(path: str | Path) -> Iterator[None]:
    """Keep other processes from training into the folder, which is created if missing, while the block runs.

    Raises:
        InputError: another process trains there, the folder cannot be written to, or Colab would not keep it.
    """
    path = Path(path)
    _refuse_what_colab_would_lose(path)
    check_writable(path)
    path.mkdir(parents=True, exist_ok=True)
    busy = f"{path}: another training is running there; wait for its end or choose another folder"
    with locked(path / ".lock", busy, wait=False):
        yield


class RunFolder:
    """The files of one run.

    Args:
        path: the folder.
        settings: what must be the same when the run is resumed, but for ``epochs``, which may be more.
        data: likewise, from ``describe_data``; its depths may differ by rounding, as on another processor.
        resume: continue the run that is there, or start one if there is none.

    Raises:
        InputError: a run is there and ``resume`` is False, or it was started with other settings, or weights or a
            history are there without a state to go on from.
    """

    def __init__(self, path: str | Path, settings: Mapping, data: Mapping, *, resume: bool) -> None:
        self.path = Path(path)
        self.state_path = self.path / "state.pt"
        config_path = self.path / "config.json"
        # A run that stopped before its first save (out of memory, bad data) has nothing to protect.
        started = self.state_path.exists()
        if not started and config_path.exists() and not _is_of_a_run(config_path):
            raise InputError(
                f"{config_path}: does not belong to a training run and would be replaced; choose another folder"
            )
        results = [name for name in _RESULTS if (self.path / name).exists()]
        if results and not started:
            raise InputError(
                f"{self.path}: holds {', '.join(results)}, but no state.pt to go on from; put it back, or start from "
                f"these weights {_how_to_load(self.path / 'best.safetensors')} in another folder"
            )
        refuse_started(self.path, resume=resume)
        if not started:
            self._write_config({**settings, **data})
        elif self._wants_more(saved := _read_config(config_path), settings, data):
            rate = ": the learning rate goes on as the schedule of the longer run has it"
            warn(
                f"{self.path}: {settings['epochs']} epochs instead of {saved['epochs']}"
                f"{rate if settings['schedule'] == 'cosine' else ''}"
            )
            lasting = {name: settings[name] for name in ("epochs", "frozen_epochs")}
            self._write_config(json.loads(config_path.read_text()) | lasting)
        self._remove_leftovers()

    def _write_config(self, config: Mapping) -> None:
        with atomic_path(self.path / "config.json") as temporary:
            temporary.write_text(json.dumps(config, indent=2) + "\n")

    def _wants_more(self, saved: Mapping, settings: Mapping, data: Mapping) -> bool:
        """Whether the run that is there is to go on for more epochs than it was started for.

        Raises:
            InputError: anything else is different.
        """
        now = {**settings, **data}
        saved = {**now, **saved}  # an older version did not have the settings it did not write
        more = isinstance(saved["epochs"], int) and saved["epochs"] < settings["epochs"]
        free = {"epochs"} if more else set()
        if saved["epochs"] == 1 and settings.get("frozen_epochs") == 1:
            free.add("frozen_epochs")  # TrainConfig.finetune leaves it out of one epoch; in those after it, it is over
        differing = [name for name in settings if saved.get(name) != settings[name] and name not in free]
        differing += [name for name in data if not _agree(saved[name], data[name])]
        if not differing:
            return more
        advice = (
            "choose another folder; to continue from what was learnt here, start there from its weights "
            f"{_how_to_load(self.path / 'last.safetensors')}"
        )
        if set(differing) <= set(data):  # no setting
            advice = (
                "it can be resumed only with the same samples: replace files that were lost, or start from its weights "
                f"{_how_to_load(self.path / 'last.safetensors')} in another folder"
            )
        changes = "; ".join(f"{name}: {saved.get(name)!r} then, {now[name]!r} now" for name in differing)
        raise InputError(f"{self.path}: the run there was started with other settings ({changes}); {advice}")

    def load_state(self) -> dict | None:
        """The saved state, on the CPU; None if nothing was saved yet.

        Raises:
            InputError: the file is damaged, or the best weights are gone, which are what a run ends with.
        """
        if not self.state_path.exists():
            return None
        try:
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        except Exception as error:  # PyTorch's reader fails on a damaged file in many ways
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InputError(f"{self.state_path}: cannot be read ({reason}); start anew in another folder") from None
        best = self.path / "best.safetensors"
        if state.get("history") and not best.exists():
            raise InputError(f"{best}: the run's best weights are gone; put them back, or a copy of last.safetensors")
        return state

    def save_state(self, state: Mapping) -> None:
        """Replace the saved state, whole or not at all."""
        with atomic_path(self.state_path) as temporary:
            try:
                torch.save(dict(state), temporary)
            except RuntimeError as error:  # PyTorch's writer does not say what the system told it
                raise OSError(
                    f"{self.state_path}: cannot be written whole; is the disk full? ({str(error).splitlines()[0]}). "
                    "Make room, and go on with resume=True (--resume)"
                ) from None

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Rewrite history.csv."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        with atomic_path(self.path / "history.csv") as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def _remove_leftovers(self) -> None:
        """Remove partial files that ``atomic_path`` could not, because a run was killed while it wrote."""
        for name in map(Path, ("config.json", "state.pt", *_RESULTS)):
            for path in self.path.glob(f".{name.stem}.*.tmp{name.suffix}"):
                path.unlink(missing_ok=True)


def _refuse_what_colab_would_lose(path: Path) -> None:
    drive = _COLAB / "drive"
    on_drive = path.resolve().is_relative_to(drive)
    if on_drive and not (drive / "MyDrive").is_dir():
        raise InputError(f"{path}: the Drive is not mounted; what is written there would be lost")
    if "MyDrive" in path.parts and not on_drive and _COLAB.is_dir():
        raise InputError(
            f"{path}: is not on the mounted Drive and would be lost; paths on it start with {drive / 'MyDrive'}"
        )


def _how_to_load(weights: Path) -> str:
    """In Python and on the command line."""
    return f"(load_model('{weights}'), --model {weights})"


def _read_config(path: Path) -> dict:
    """The settings of a run, as this version would write them.

    Raises:
        InputError: they cannot be read.
    """
    try:
        saved = json.loads(path.read_text())
        options = dict(saved["options"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: the run's settings are lost or damaged ({type(error).__name__}); put the file back, or start "
            f"from its weights {_how_to_load(path.with_name('last.safetensors'))} in another folder"
        ) from None
    # Older versions wrote None where the network's own value was used, and the options it was created with even where
    # they were changed afterwards: nothing is known for sure about these.
    for name in ("kind", "input_size", "non_negative"):
        options.pop(name, None)
    known = {name: value for name, value in saved.items() if name not in _MAY_BE_UNKNOWN or value is not None}
    return known | {"options": options}


def _agree(then: str | int | float, now: str | int | float) -> bool:
    return math.isclose(then, now, rel_tol=1e-3) if isinstance(now, float) else then == now


def _is_of_a_run(config_path: Path) -> bool:
    try:
        saved = json.loads(config_path.read_text())
    except ValueError:
        return False
    return isinstance(saved, dict) and {"epochs", "batch_size", "learning_rate"} <= saved.keys()

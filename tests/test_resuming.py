"""Runs that are stopped, wherever that is, and go on as if nothing had happened."""

import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import QUICK, Changed, config, history_of, stop, what_was_computed

from facedepth.checks import InputError
from facedepth.data import Part
from facedepth.sample import Sample
from facedepth.training import fit
from facedepth.training.run_folder import RunFolder

SETTINGS = {"epochs": 3, "repeats": 4}

# A run in a process of its own, slow enough to be caught in the middle of an epoch.
CHILD = """
import json, sys, time
import torch
from facedepth.data import EG3DFaces, Part
from facedepth.models import create_model
from facedepth.training import TrainConfig, fit

class Slow(Part):
    def __getitem__(self, index):
        time.sleep(0.05)
        return super().__getitem__(index)

    def __getitems__(self, indices):
        return [self[index] for index in indices]

torch.set_num_threads(1)
torch.manual_seed(0)
model = create_model("attention_unet", channels=2, depth=2, head_mask=False, input_size=32, kind="affine_relief")
faces = EG3DFaces(sys.argv[1], size=32, depth_kind="affine")
fit(model, Slow(faces, [0, 1, 2]), Part(faces, [3]), TrainConfig(**json.loads(sys.argv[2])))
"""


def start_child(root: Path, out: Path, **changes) -> subprocess.Popen:
    settings = {"out": str(out)} | QUICK | SETTINGS | changes
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), json.dumps(settings)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )


def stop_in_the_second_epoch(child: subprocess.Popen, folder: Path, number: int) -> str:
    """Send a signal when the saved state is in the middle of the second epoch; returns what the child said."""
    try:
        deadline = time.monotonic() + 300  # other jobs may hold the machine
        while time.monotonic() < deadline:
            assert child.poll() is None, child.communicate()[1]
            if (folder / "state.pt").exists():
                os.kill(child.pid, signal.SIGSTOP)  # so that it cannot run on while we look
                state = torch.load(folder / "state.pt", weights_only=True)
                if state["epoch"] == 1 and 1 <= state["step_in_epoch"] <= 4:
                    os.killpg(child.pid, number) if number == signal.SIGINT else os.kill(child.pid, number)
                    os.kill(child.pid, signal.SIGCONT)
                    return child.communicate(timeout=300)[1]
                os.kill(child.pid, signal.SIGCONT)
            time.sleep(0.01)
        raise AssertionError("never seen in the middle of the second epoch")
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, affine_faces, tiny_model):
    """A function that says what the run computes, with this schedule, when nobody stops it."""

    @functools.cache
    def computed(schedule: str = "cosine") -> dict:
        folder = tmp_path_factory.mktemp("runs")
        settings = config(folder, **SETTINGS, schedule=schedule)
        fit(tiny_model(), Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3]), settings)
        return what_was_computed(folder)

    return computed


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGKILL, 0),
        pytest.param(signal.SIGKILL, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
    ],
)
def test_stopped_and_resumed_is_the_very_same_run(
    tmp_path, sample_root, tiny_model, train, val, uninterrupted, number, workers
):
    folder = tmp_path / "run"
    child = start_child(sample_root, folder, workers=workers)
    said = stop_in_the_second_epoch(child, folder, number)
    assert child.returncode == -number, said
    if number == signal.SIGINT:  # after SIGKILL, workers may complain that they were left alone
        assert said.count("Traceback") == 1  # the KeyboardInterrupt, nothing from the workers
    state = torch.load(folder / "state.pt", weights_only=True)
    assert state["epoch"] == 1
    assert 1 <= state["step_in_epoch"] <= 5
    history = fit(tiny_model(seed=9), train, val, config(folder, **SETTINGS, resume=True, workers=workers))
    assert len(history) == 3
    assert what_was_computed(folder) == uninterrupted()


def interrupt() -> None:
    """A Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("stopping", "error", "schedule"),
    [
        (interrupt, KeyboardInterrupt, "cosine"), (interrupt, KeyboardInterrupt, "plateau"),  # which has a memory
        (stop, KeyboardInterrupt, "cosine"), (fail, ZeroDivisionError, "cosine"),
    ],
)
def test_stopped_between_epochs_by_a_callback(
    tmp_path, tiny_model, train, val, uninterrupted, stopping, error, schedule
):
    settings = config(tmp_path, **SETTINGS, schedule=schedule, save_every_s=1e9)
    with pytest.raises(error):
        fit(stopped := tiny_model(), train, val, settings, callbacks=[lambda rows, _: len(rows) == 2 and stopping()])
    assert len(history_of(tmp_path)) == 2
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (state["epoch"], len(state["history"])) == (2, 2)
    assert stopped.source == f"{tmp_path}, not finished"
    fit(tiny_model(seed=9), train, val, replace(settings, resume=True))
    assert what_was_computed(tmp_path) == uninterrupted(schedule)


def test_stopped_during_validation(tmp_path, tiny_model, train, val, uninterrupted):
    reads = itertools.count()

    def interrupting(sample: Sample) -> Sample:
        if next(reads) > 0:  # the first says, before the first step, which data it is
            interrupt()
        return sample

    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), train, Changed(val, interrupting), config(tmp_path, **SETTINGS))
    assert not (tmp_path / "history.csv").exists()
    fit(tiny_model(seed=9), train, val, config(tmp_path, **SETTINGS, resume=True))
    assert what_was_computed(tmp_path) == uninterrupted()
    assert [row["images_per_s"] == "nan" for row in history_of(tmp_path)] == [True, False, False]  # nothing was timed


def test_killed_while_the_first_weights_are_written(tmp_path, tiny_model, train, val, uninterrupted, monkeypatch):
    """Before any state was due."""
    settings = config(tmp_path, **SETTINGS, save_every_s=1e9)
    with monkeypatch.context() as patch:
        patch.setattr("facedepth.training.run.save_model", lambda *_, **__: stop())
        with pytest.raises(KeyboardInterrupt):
            fit(tiny_model(), train, val, settings)
    fit(tiny_model(seed=9), train, val, replace(settings, resume=True))
    assert what_was_computed(tmp_path) == uninterrupted()


def test_what_a_killed_run_left_half_written_is_removed(finished_copy, tiny_model, train, val):
    folder = Path(finished_copy.out)
    left = [folder / f".{name}" for name in ("state.123.tmp.pt", "best.77.tmp.safetensors", "history.123.tmp.csv")]
    mine = [folder / ".notes.1.tmp.txt", folder / ".state.pt", folder / "state.old.pt"]
    for path in left + mine:
        path.write_bytes(b"half")
    with pytest.raises(InputError, match="holds a run already"):
        fit(tiny_model(), train, val, replace(finished_copy, resume=False))
    assert all(path.exists() for path in left)  # they may be those of a run that is still alive
    fit(tiny_model(), train, val, finished_copy)
    assert [path.exists() for path in left + mine] == [False] * 3 + [True] * 3


def test_a_state_that_takes_long_to_save_is_saved_more_rarely(tmp_path, tiny_model, train, val, monkeypatch):
    save, saves = RunFolder.save_state, []

    def slow(folder, state):
        saves.append((state["epoch"], state["step_in_epoch"]))
        time.sleep(1.0)
        save(folder, state)

    monkeypatch.setattr(RunFolder, "save_state", slow)
    fit(tiny_model(), train, val, config(tmp_path / "run", repeats=4, save_every_s=1e-9))
    assert saves == [(0, 1), (2, 0)]  # after the first step, and at the end


def test_the_place_and_the_pace_may_change(tmp_path, tiny_model, train, val):
    fit(tiny_model(), train, val, config(tmp_path / "run"))
    moved = tmp_path / "moved"
    (tmp_path / "run").rename(moved)
    assert len(fit(tiny_model(), train, val, config(moved, workers=1, save_every_s=5.0, resume=True))) == 2


def test_resuming_a_finished_run_writes_nothing_and_gives_its_best(
    finished_copy, finished_run, tiny_model, train, val, capsys
):
    def written() -> dict[str, int]:  # events and lock apart: they are opened for writing, events left without any
        return {path.name: path.stat().st_mtime_ns for path in Path(finished_copy.out).glob("[!.]*") if path.is_file()}

    before, model = written(), tiny_model(seed=9)
    assert fit(model, train, val, finished_copy) == finished_run.history
    assert "run: complete after step 24, with its own weights" in capsys.readouterr().out
    assert written() == before
    for key, tensor in finished_run.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[key]), key

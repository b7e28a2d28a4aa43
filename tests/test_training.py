"""Training: runs that stop and go on as if nothing had happened, and that end with the best weights."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel

from facedepth import runs, stepping
from facedepth.batches import Transformed
from facedepth.checks import InputError
from facedepth.data import EG3DFaces, Part
from facedepth.evaluation import evaluate
from facedepth.models import create_model, load_model
from facedepth.optimisation import deferred_interrupt, make_schedule, mixed_precision, warmed_average
from facedepth.runs import RunFolder
from facedepth.training import TrainConfig, TrainingStopped, fit

QUICK = {
    "epochs": 2, "batch_size": 2, "repeats": 2, "learning_rate": 1e-2, "warmup_steps": 2, "ema_decay": 0.9,
    "augment": 0.5, "workers": 0, "device": "cpu", "save_every_s": 0.0,
}

# A run in a process of its own, slow enough to be caught in the middle of an epoch.
CHILD = """
import json, sys, time
import torch
from facedepth.data import EG3DFaces, Part
from facedepth.models import create_model
from facedepth.runs import RunFolder
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


def config(out: Path, **changes) -> TrainConfig:
    return TrainConfig(out=str(out), **QUICK | changes)


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


# ---------------------------------------------------------------------------------------------- a run from end to end


@pytest.fixture(scope="module")
def finished(tmp_path_factory, affine_faces, tiny_model):
    """A run of four epochs: its folder, the model it returned, its history."""
    folder, model = tmp_path_factory.mktemp("runs") / "finished", tiny_model()
    seen = []
    history = fit(
        model, Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3]), config(folder, epochs=4, repeats=4),
        callbacks=[lambda rows, pictures: seen.append((len(rows), [next(iter(row)) for row in pictures]))],
    )
    assert seen == [(epoch, [affine_faces.names[3]]) for epoch in (1, 2, 3, 4)]
    return folder, model, history


def test_history(finished):
    folder, _, history = finished
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert [row["step"] for row in history] == [6, 12, 18, 24]
    assert history[-1]["loss"] < history[0]["loss"]
    rows = history_of(folder)
    assert [{key: float(text) for key, text in row.items()} for row in rows] == history
    assert {"loss", "l1", "val_loss", "val_picture_l1", "learning_rate", "images_per_s"} <= rows[0].keys()
    assert all(row["images_per_s"] > 0 for row in history)


def test_files_of_a_run(finished):
    folder, _, _ = finished
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json", "state.pt", "best.safetensors", "last.safetensors", "history.csv", "tensorboard", ".lock"
    }


def test_best_is_the_epoch_with_the_least_validation_loss(finished, affine_faces):
    folder, model, history = finished
    best = min(history, key=lambda row: row["val_loss"])
    loaded = load_model(folder / "best.safetensors", device="cpu")
    assert json.loads(loaded.info["metrics"]) == best
    assert json.loads(loaded.info["training_data"])["train_samples"] == 3
    assert json.loads(load_model(folder / "last.safetensors", device="cpu").info["metrics"]) == history[-1]
    score = evaluate(loaded, Part(affine_faces, [3]), align="none", region="mask").means["picture_l1"]
    assert score == pytest.approx(best["val_loss"], abs=1e-5)  # on affine data the loss is this score
    assert not model.training
    assert model.info == loaded.info
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[key]), key


def test_a_worse_epoch_leaves_best_alone(tmp_path, tiny_model, train, val):
    class Ruin:
        """From the second epoch on, near and far are swapped."""

        depth_kind, identities = train.depth_kind, train.identities
        reads = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            self.reads += 1
            sample = train[index]
            return sample if self.reads <= 181 else sample._replace(depth=1 - sample.depth)

    settings = config(tmp_path / "run", repeats=60, learning_rate=1e-2, augment=0.0, schedule="plateau")
    history = fit(tiny_model(), Ruin(), val, settings)
    assert history[1]["val_loss"] > history[0]["val_loss"]
    with safe_open(tmp_path / "run" / "best.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["metrics"])["epoch"] == 1
    with safe_open(tmp_path / "run" / "last.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["metrics"])["epoch"] == 2


def test_tensorboard_has_scalars_and_pictures(finished):
    folder, _, history = finished
    events = events_of(folder)
    assert [event.step for event in events.Scalars("epoch/val_loss")] == [6, 12, 18, 24]
    assert [event.value for event in events.Scalars("epoch/val_loss")] == pytest.approx(
        [row["val_loss"] for row in history]
    )
    assert [event.step for event in events.Scalars("train/loss")] == [20]
    pictures = events.Images("val")
    assert [event.step for event in pictures] == [6, 12, 18, 24]
    assert pictures[0].encoded_image_string.startswith(b"\x89PNG")


def test_cosine_schedule_reaches_zero(finished):
    assert finished[2][-1]["learning_rate"] == pytest.approx(0, abs=1e-12)


def test_target_kind_is_written_down(tmp_path, tiny_model, train, val):
    model = tiny_model(kind="relief")
    with pytest.raises(InputError, match="may train affine_relief, not 'relief'"):
        fit(model, train, val, config(tmp_path / "run", epochs=1))
    assert not (tmp_path / "run").exists()
    fit(model, train, val, config(tmp_path / "run", epochs=1, target_kind="affine_relief", input_size=24))
    assert (model.kind, model.input_size) == ("affine_relief", 24)
    loaded = load_model(tmp_path / "run" / "best.safetensors", device="cpu")
    assert (loaded.kind, loaded.input_size) == ("affine_relief", 24)


@pytest.mark.parametrize("kind", ["relief", "affine_relief", "affine_inverse"])
def test_exact_depth_trains_every_kind(tmp_path, tiny_model, exact_faces, kind):
    history = fit(
        tiny_model(kind=kind, head_mask=True), Part(exact_faces, [0, 1, 2]), Part(exact_faces, [3]),
        config(tmp_path / "run", repeats=6, epochs=2, optimiser="adam", schedule="plateau", augment=0.0),
    )
    assert history[1]["loss"] < history[0]["loss"]
    assert {"mask", "val_abs_rel", "val_mad_deg"} <= history[0].keys()


def test_training_leaves_the_random_state_alone(tmp_path, tiny_model, train, val):
    before = torch.get_rng_state()
    fit(tiny_model(), train, val, config(tmp_path / "run", epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_same_seed_same_run_whatever_the_workers(tmp_path, tiny_model, train, val):
    for name, changes in {"a": {}, "b": {"workers": 2}, "c": {"seed": 1}}.items():
        torch.rand(len(name))  # the caller's random state does not matter
        fit(tiny_model(), train, val, config(tmp_path / name, **changes))
    first = what_was_computed(tmp_path / "a")
    assert what_was_computed(tmp_path / "b") == first
    assert what_was_computed(tmp_path / "c") != first


# ------------------------------------------------------------------------------------------------- stopping, going on


def start_child(root: Path, out: Path, **changes) -> subprocess.Popen:
    settings = {"out": str(out)} | QUICK | {"epochs": 3, "repeats": 4} | changes
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
def uninterrupted(tmp_path_factory, affine_faces, tiny_model) -> dict:
    """What the child's run computes when nobody stops it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    fit(tiny_model(), Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3]), config(folder, epochs=3, repeats=4))
    return what_was_computed(folder)


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
    history = fit(tiny_model(seed=9), train, val, config(folder, epochs=3, repeats=4, resume=True, workers=workers))
    assert len(history) == 3
    assert what_was_computed(folder) == uninterrupted


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_stopped_between_epochs(tmp_path, tiny_model, train, val, schedule):
    """A Ctrl-C in a callback, between two epochs, with a schedule that has a memory; then resumed."""
    def interrupt(rows, _):
        if len(rows) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    settings = {"epochs": 3, "schedule": schedule, "save_every_s": 1e9}
    fit(tiny_model(), train, val, config(tmp_path / "whole", **settings))
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), train, val, config(tmp_path / "run", **settings), callbacks=[interrupt])
    assert len(history_of(tmp_path / "run")) == 2
    fit(tiny_model(seed=9), train, val, config(tmp_path / "run", **settings, resume=True))
    assert what_was_computed(tmp_path / "run") == what_was_computed(tmp_path / "whole")


@pytest.mark.parametrize("stop", [ZeroDivisionError, KeyboardInterrupt])
def test_a_callback_that_stops_the_run_loses_nothing(tmp_path, tiny_model, train, val, stop):
    def stopping(rows, pictures):
        if len(rows) == 2:
            raise stop

    settings = {"epochs": 3, "save_every_s": 1e9}
    fit(tiny_model(), train, val, config(tmp_path / "whole", **settings))
    with pytest.raises(stop):
        fit(stopped := tiny_model(), train, val, config(tmp_path / "run", **settings), callbacks=[stopping])
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert (state["epoch"], len(state["history"])) == (2, 2)
    assert stopped.source == f"{tmp_path / 'run'}, not finished"
    fit(tiny_model(seed=9), train, val, config(tmp_path / "run", **settings, resume=True))
    assert what_was_computed(tmp_path / "run") == what_was_computed(tmp_path / "whole")


@pytest.mark.parametrize("callbacks", [[3], print, 3, None])
def test_callbacks_that_cannot_be_called_are_refused_before_the_work(tmp_path, tiny_model, train, val, callbacks):
    with pytest.raises(InputError, match="callbacks: expected"):
        fit(tiny_model(), train, val, config(tmp_path / "run"), callbacks=callbacks)
    assert not (tmp_path / "run").exists()


def test_a_compiled_network_is_trained_like_a_plain_one(tmp_path, tiny_model, train, val):
    plain, compiled = tiny_model(), torch.compile(tiny_model(), backend="eager")
    settings = {"encoder_factor": 0.1, "save_every_s": 0.0}
    fit(plain, train, val, config(tmp_path / "plain", **settings))
    fit(compiled, train, val, config(tmp_path / "compiled", **settings))
    assert what_was_computed(tmp_path / "compiled") == what_was_computed(tmp_path / "plain")
    image = train[0].image[None]
    assert torch.equal(compiled(image), plain(image))
    assert torch.equal(load_model(tmp_path / "compiled" / "best.safetensors", device="cpu")(image), plain(image))


def test_nothing_to_learn_is_told_before_the_work(tmp_path, tiny_model, train, val):
    with pytest.raises(InputError, match="nothing can be learnt"), torch.no_grad():
        fit(tiny_model(), train, val, config(tmp_path / "run"))
    with pytest.raises(InputError, match="nothing can be learnt: all that TrainConfig lets learn is frozen"):
        fit(tiny_model().requires_grad_(False), train, val, config(tmp_path / "run"))
    only_encoder = tiny_model().requires_grad_(False)
    only_encoder.encoder.requires_grad_(True)
    with pytest.raises(InputError, match="nothing can be learnt"):
        fit(only_encoder, train, val, config(tmp_path / "run", learns="decoder"))
    with pytest.raises(InputError, match=r"expected weights of 32 bits to train, got torch.float16; model.float\(\)"):
        fit(tiny_model().half(), train, val, config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_script_that_its_workers_read_again_is_told_how_to_be_written(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from facedepth.data import EG3DFaces, Part\n"
        "from facedepth.models import create_model\n"
        "from facedepth.training import TrainConfig, fit\n"
        f"faces = EG3DFaces({str(Path(__file__).parent / 'data' / 'eg3d_sample')!r}, size=32)\n"
        "multiprocessing.set_start_method('spawn', force=True)\n"
        "train, val = Part(faces, [0, 1]), Part(faces, [2])\n"
        "model = create_model('attention_unet', kind='affine_relief', channels=2, depth=2)\n"
        f"fit(model, train, val, TrainConfig(out={str(tmp_path / 'run')!r}, workers=1, batch_size=2, device='cpu'))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    assert "put what the script does under if __name__ == '__main__':" in ended.stderr
    assert "another training is running there" not in ended.stderr


def test_the_name_of_a_model_is_no_network(tmp_path, train, val):
    with pytest.raises(InputError, match=r"model: expected a network, .* got 'face_small'"):
        fit("face_small", train, val, config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_loss_of_an_epoch_is_the_mean_over_its_pictures(tmp_path, tiny_model, affine_faces):
    """Three pictures in batches of two: the one alone in its batch counts as much as the others, as in val_loss."""
    model, faces = tiny_model(), Part(affine_faces, [0, 1, 2])
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval().train = lambda _, layer=layer: layer  # the same answer in training and validation
    settings = {"epochs": 3, "repeats": 1, "augment": 0.0, "learning_rate": 1e-12}
    history = fit(model, faces, faces, config(tmp_path / "run", **settings))
    assert [row["loss"] for row in history] == pytest.approx([row["val_loss"] for row in history], rel=1e-5)


def test_stopped_during_validation(tmp_path, tiny_model, train, val):
    class Interrupting(Transformed):
        depth_kind, identities = val.depth_kind, val.identities
        reads = 0

        def __getitem__(self, index):
            self.reads += 1
            if self.reads > 1:  # the first says, before the first step, which data it is
                os.kill(os.getpid(), signal.SIGINT)
            return super().__getitem__(index)

    fit(tiny_model(), train, val, config(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), train, Interrupting(val, lambda sample: sample), config(tmp_path / "run"))
    assert not (tmp_path / "run" / "history.csv").exists()
    fit(tiny_model(seed=9), train, val, config(tmp_path / "run", resume=True))
    assert what_was_computed(tmp_path / "run") == what_was_computed(tmp_path / "whole")


def test_resuming_a_finished_run_computes_nothing_and_gives_its_best(finished, tiny_model, affine_faces, capsys):
    folder, model, history = finished
    before = what_was_computed(folder)
    other = tiny_model(seed=9)
    again = fit(
        other, Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3]), config(folder, epochs=4, repeats=4, resume=True)
    )
    assert again == history
    assert "finished: complete after step 24, with its own weights" in capsys.readouterr().out
    assert what_was_computed(folder) == before
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key]), key


def test_an_existing_run_is_not_overwritten(finished, tiny_model, train, val):
    folder, _, _ = finished
    before = what_was_computed(folder)
    with pytest.raises(InputError, match=r"finished: holds a run already; go on with it \(resume=True, --resume\)"):
        fit(tiny_model(), train, val, config(folder, epochs=4, repeats=4))
    assert what_was_computed(folder) == before


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "kept", [("best.safetensors", "last.safetensors", "history.csv", "config.json"), ("best.safetensors",)]
)
def test_weights_without_a_state_are_not_trained_over(tmp_path, finished, tiny_model, train, val, resume, kept):
    for name in kept:
        shutil.copy(finished[0] / name, tmp_path / name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=r"holds best\.safetensors.*no state\.pt to go on from.*load_model\('.*best"):
        fit(tiny_model(), train, val, config(tmp_path, epochs=4, repeats=4, resume=resume))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != ".lock"} == before


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("content", ['{"architectures": ["mine"]}', "mine"])
def test_a_config_that_is_not_a_runs_is_not_replaced(tmp_path, tiny_model, train, val, resume, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json: does not belong to a training run"):
        fit(tiny_model(), train, val, config(tmp_path, resume=resume))
    assert (tmp_path / "config.json").read_text() == content


def test_killed_at_the_first_weights_a_run_goes_on(tmp_path, tiny_model, train, val, monkeypatch):
    """As if killed while the first checkpoint was written, before any state was due."""
    def killed(*_, **__):
        raise KeyboardInterrupt

    settings = {"save_every_s": 1e9}
    with monkeypatch.context() as patch:
        patch.setattr("facedepth.training.save_model", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny_model(), train, val, config(tmp_path / "run", **settings))
    fit(tiny_model(seed=9), train, val, config(tmp_path / "run", **settings, resume=True))
    fit(tiny_model(), train, val, config(tmp_path / "whole", **settings))
    assert what_was_computed(tmp_path / "run") == what_was_computed(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.5}, "learning_rate: 0.01 then, 0.5 now"),
        ({"epochs": 9}, "epochs: 4 then, 9 now"),
        ({"seed": 3, "augment": 0.1}, "augment: 0.5 then, 0.1 now; seed: 0 then, 3 now"),
    ],
)
def test_resuming_with_other_settings_names_them(finished, tiny_model, train, val, changes, message):
    with pytest.raises(InputError, match="was started with other settings") as caught:
        fit(tiny_model(), train, val, replace(config(finished[0], epochs=4, repeats=4, resume=True), **changes))
    assert message in str(caught.value)


def test_resuming_another_model_or_other_data_is_refused(finished, tiny_model, train, affine_faces):
    folder, _, _ = finished
    settings = config(folder, epochs=4, repeats=4, resume=True)
    with pytest.raises(InputError, match=r"options: .*'channels': 2.* then, .*'channels': 4.* now"):
        fit(tiny_model(channels=4), train, Part(affine_faces, [3]), settings)
    with pytest.raises(InputError, match=r"val_samples: 1 then, 2 now.*; choose another folder"):
        fit(tiny_model(), train, Part(affine_faces, [3, 3]), replace(settings, seed=3))
    with pytest.raises(InputError, match=r"val_samples: 1 then, 2 now.*replace files that were lost, .*last\."):
        fit(tiny_model(), train, Part(affine_faces, [3, 3]), settings)


def test_the_state_of_another_model_is_refused(tmp_path, finished, tiny_model, train, val):
    folder = tmp_path / "run"
    fit(tiny_model(channels=4), train, val, config(folder, epochs=1))
    (folder / "state.pt").write_bytes((finished[0] / "state.pt").read_bytes())
    with pytest.raises(InputError, match=r"state.pt: not the state of this run \(.*\); start anew in another folder"):
        fit(tiny_model(channels=4), train, val, config(folder, epochs=1, resume=True))


@pytest.mark.parametrize("content", [b"", b"text, no state\n", None])
def test_a_damaged_state_is_named(tmp_path, tiny_model, train, val, content):
    folder = tmp_path / "run"
    fit(tiny_model(), train, val, config(folder, epochs=1))
    whole = (folder / "state.pt").read_bytes()
    (folder / "state.pt").write_bytes(whole[:1000] if content is None else content)
    with pytest.raises(InputError, match=r"state.pt: cannot be read"):
        fit(tiny_model(), train, val, config(folder, epochs=1, resume=True))


def test_what_a_killed_run_left_half_written_is_removed(tmp_path, finished, tiny_model, train, val):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    left = [folder / f".{name}" for name in ("state.123.tmp.pt", "best.77.tmp.safetensors", "history.123.tmp.csv")]
    mine = [folder / ".notes.1.tmp.txt", folder / ".state.pt", folder / "state.old.pt"]
    for path in left + mine:
        path.write_bytes(b"half")
    with pytest.raises(InputError, match="holds a run already"):
        fit(tiny_model(), train, val, config(folder, epochs=4, repeats=4))
    assert all(path.exists() for path in left)  # they may be those of a run that is still alive
    fit(tiny_model(), train, val, config(folder, epochs=4, repeats=4, resume=True))
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


# ------------------------------------------------------------------------------------------------ when things go wrong


class Poisoned(Part):
    """From one read on, a sample is beyond what losses can hold."""

    def __init__(self, dataset, indices, *, good_reads: int):
        super().__init__(dataset, indices)
        self.good_reads = good_reads

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        self.good_reads -= 1
        return sample if self.good_reads >= 0 else sample._replace(depth=torch.full_like(sample.depth, 3e38))

    def __getitems__(self, indices):
        return [self[index] for index in indices]


def assert_finite(folder: Path) -> None:
    state = torch.load(folder / "state.pt", weights_only=True)
    for part in ("model", "average"):
        assert all(tensor.isfinite().all() for tensor in state[part].values())


def test_an_infinite_loss_stops_the_run_and_keeps_the_last_good_state(tmp_path, tiny_model, affine_faces, val):
    folder = tmp_path / "run"
    poisoned = Poisoned(affine_faces, [0, 1, 2], good_reads=9)
    with pytest.raises(TrainingStopped, match="loss became inf at step 4; the last good state is kept in") as caught:
        fit(tiny_model(), poisoned, val, config(folder, augment=0.0))
    assert str(folder) in str(caught.value)
    state = torch.load(folder / "state.pt", weights_only=True)
    assert (state["epoch"], state["step_in_epoch"]) == (1, 1)
    assert_finite(folder)
    load_model(folder / "best.safetensors")
    healthy = Part(affine_faces, [0, 1, 2])
    fit(tiny_model(), healthy, val, config(folder, augment=0.0, resume=True))
    fit(tiny_model(), healthy, val, config(tmp_path / "whole", augment=0.0))
    assert what_was_computed(folder) == what_was_computed(tmp_path / "whole")


def test_an_infinite_loss_at_the_first_step_says_that_nothing_was_saved(tmp_path, tiny_model, affine_faces, val):
    with pytest.raises(TrainingStopped, match=r"step 0; no state was saved yet in .*run"):
        fit(tiny_model(), Poisoned(affine_faces, [0, 1, 2], good_reads=0), val, config(tmp_path / "run"))
    assert not (tmp_path / "run" / "state.pt").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_validation_file_is_named_without_the_story_of_a_worker(
    tmp_path, tiny_model, train, sample_root, workers
):
    shutil.copytree(sample_root, tmp_path / "eg3d")
    (tmp_path / "eg3d" / "images" / "seed0003.png").write_bytes(b"damaged")
    damaged = Part(EG3DFaces(tmp_path / "eg3d", size=32, depth_kind="affine"), [3])
    with pytest.raises(InputError, match=r"needs them replaced: with fewer samples it cannot$") as caught:
        fit(tiny_model(), train, damaged, config(tmp_path / "run", epochs=1, repeats=1, workers=workers))
    assert str(caught.value).startswith(str(tmp_path / "eg3d" / "images" / "seed0003.png"))


def test_an_absurd_learning_rate_stops_the_run(tmp_path, tiny_model, train, val):
    folder = tmp_path / "run"
    settings = config(folder, learning_rate=1e30, warmup_steps=0, schedule="plateau")
    with pytest.raises(TrainingStopped, match="lower learning_rate") as caught:
        fit(tiny_model(), train, val, settings)
    assert str(folder) in str(caught.value)
    assert_finite(folder)
    assert not (folder / "best.safetensors").exists()  # no epoch came to a good end


def test_an_infinite_gradient_never_reaches_the_weights(tmp_path, tiny_model, train, val):
    """A finite loss whose gradient overflows."""
    model = tiny_model()
    before = {key: tensor.clone() for key, tensor in model.named_parameters()}
    model.head.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(TrainingStopped, match="the gradient became"):
        fit(model, train, val, config(tmp_path / "run"))
    for key, tensor in model.named_parameters():
        assert torch.equal(tensor, before[key]), key


def test_an_infinite_loss_in_validation_is_not_taken_for_the_best(tmp_path, tiny_model, train, affine_faces):
    poisoned = Poisoned(affine_faces, [3], good_reads=0)
    with pytest.raises(TrainingStopped, match="the validation loss became inf"):
        fit(tiny_model(), train, poisoned, config(tmp_path / "run"))
    assert not (tmp_path / "run" / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "sgd"}, "optimiser: expected one of adamw, adam, got 'sgd'"),
        ({"schedule": "step"}, "schedule: expected one of cosine, plateau"),
        ({"out": " "}, "out: expected the path of a file or a folder, got ' '"),
        ({"loss": "l2"}, "loss: expected one of default, ssi"),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"epochs": "ten"}, "epochs: expected a whole number of at least 1, got 'ten'"),
        ({"batch_size": 2.5}, "batch_size: expected a whole number"),
        ({"workers": -1}, "workers: expected a whole number of at least 0, got -1"),
        ({"seed": 10**20}, r"seed: expected less than 2\*\*63, got 100000000000000000000"),
        ({"weight_decay": -1}, "weight_decay: expected at least 0, got -1"),
        ({"learning_rate": "fast"}, "learning_rate: expected a number, got 'fast'"),
        ({"learning_rate": 0.0}, "learning_rate: expected above 0"),
        ({"ema_decay": 1.0}, "ema_decay: expected at least 0 and below 1"),
        ({"augment": 2.0}, "augment: expected at least 0 and at most 1"),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**{"out": "run"} | changes)


def test_unknown_settings_and_changes():
    with pytest.raises(TypeError, match="learning_rat"):
        TrainConfig(out="run", learning_rat=1e-3)
    with pytest.raises(AttributeError):
        TrainConfig(out="run").epochs = 3


def test_what_cannot_be_trained_leaves_no_folder(tmp_path, tiny_model, train, val, exact_faces):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match="expected samples to train and to validate on, got 3 and 0"):
        fit(tiny_model(), train, Part(val, []), config(folder))
    with pytest.raises(InputError, match="expected one depth_kind, got 'affine' and 'metric'"):
        fit(tiny_model(), train, exact_faces, config(folder))
    with pytest.raises(InputError, match="device 'warp' cannot be used here"):
        fit(tiny_model(), train, val, config(folder, device="warp"))
    assert not folder.exists()


# -------------------------------------------------------------------------------------------------------------- parts


def test_cosine_with_warm_up():
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make_schedule(optimiser, "cosine", steps=100, warmup=4)
    rates = []
    for _ in range(100):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert rates[52] == pytest.approx(1.0)  # half way down
    assert rates == sorted(rates[:4]) + sorted(rates[4:], reverse=True)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0)


def test_warm_up_is_at_most_a_tenth():
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimiser, "cosine", steps=20, warmup=1000)
    optimiser.step()
    schedule.step()
    assert optimiser.param_groups[0]["lr"] == pytest.approx(1.0)


def test_plateau_falls_after_more_than_three_idle_epochs():
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimiser, "plateau", steps=0, warmup=0)
    rates = []
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0):
        schedule.step(loss)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1])


def test_moving_average_by_hand():
    model = torch.nn.BatchNorm1d(1)
    average = AveragedModel(model, multi_avg_fn=warmed_average(0.5), use_buffers=True)
    by_hand = 0.0
    for count, value in enumerate((4.0, 8.0, 2.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 7.0)):
        with torch.no_grad():
            model.weight.fill_(value)
            model.num_batches_tracked.fill_(count)
        average.update_parameters(model)
        decay = min(0.5, (1 + count) / (10 + count))
        by_hand = value if count == 0 else decay * by_hand + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(by_hand)
    assert int(average.module.num_batches_tracked) == 9  # a counter is copied


def test_without_average_the_weights_are_those_of_the_last_step():
    model = torch.nn.Linear(1, 1)
    average = AveragedModel(model, multi_avg_fn=warmed_average(0.0), use_buffers=True)
    for value in (4.0, 8.0, 2.0):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update_parameters(model)
        assert average.module.weight.item() == value


def test_second_ctrl_c_is_obeyed_at_once():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as interrupted:  # noqa: PT012 (two signals)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert interrupted.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_overfits_four_samples(tmp_path, sample_root):
    """The original's loss and target: L1 in [-1, 1] over all pixels."""
    faces = EG3DFaces(sample_root, depth_kind="affine")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("attention_unet", channels=8, kind="affine_relief", head_mask=False)
    started = time.process_time()  # on one thread that is the time it takes, whatever else the machine does
    fit(model, faces, faces, TrainConfig(
        out=str(tmp_path / "run"), epochs=5, batch_size=4, repeats=70, learning_rate=1e-2, warmup_steps=10,
        ema_decay=0.9, augment=0.0, workers=0, device="cpu",
    ))
    seconds = time.process_time() - started
    score = evaluate(model, faces, region="mask", align="none").means["picture_l1"]
    print(f"L1 in [-1, 1]: {score:.4f} after {seconds:.0f} s")
    assert score < 0.02
    assert seconds < 180


@pytest.mark.parametrize("amp", ["always", "never"])
def test_mixed_precision_is_a_choice(tmp_path, affine_faces, tiny_model, amp):
    train, val = Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3])
    seen, answers = [], []
    model = tiny_model()
    inside = model.encoder[0][0]
    inside.register_forward_hook(lambda module, inputs, output: seen.append((module.training, output.dtype)))
    model.register_forward_hook(lambda module, inputs, output: answers.append(output.dtype))
    fit(model, train, val, config(tmp_path / "run", amp=amp, epochs=1))
    assert set(seen) == {(True, torch.bfloat16 if amp == "always" else torch.float32), (False, torch.float32)}
    assert set(answers) == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_gradients_that_stay_infinite_in_16_bits_end_the_run(tmp_path, monkeypatch, affine_faces, tiny_model):
    """A few such steps are skipped, each with a smaller scale of the loss after it."""
    monkeypatch.setattr(stepping, "mixed_precision", lambda amp, device: torch.float16)
    train, val = Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3])
    steps = []

    def overflows(gradient):
        steps.append(len(steps))
        return gradient * torch.nan if bad(steps[-1]) else gradient

    def run(folder):
        model = tiny_model()
        model.encoder[0][0].weight.register_hook(overflows)
        return fit(model, train, val, config(folder, epochs=1, repeats=20, batch_size=1))

    bad = {0, 1, 7}.__contains__
    assert run(tmp_path / "few")[0]["step"] == 60
    steps.clear()
    bad = range(1000).__contains__
    with pytest.raises(TrainingStopped, match="the gradient became nan"):
        run(tmp_path / "all")
    assert 20 < len(steps) < 40


def test_a_full_gpu_is_named_with_what_to_do_and_kept_by_nobody(tmp_path, train, val, tiny_model):
    kept = []

    def fill(module, inputs, output):
        class Memory:
            """Of activations."""

        held = Memory()
        kept.append(weakref.ref(held))
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee the documentation")

    model = tiny_model()
    model.register_forward_hook(fill)
    with pytest.raises(TrainingStopped, match=r"memory is full \(CUDA out of .* 2 GiB\.\); choose a smaller") as caught:
        fit(model, train, val, config(tmp_path / "run"))
    assert caught.value is not None  # what a notebook holds on to
    assert kept[0]() is None


@pytest.mark.parametrize("folder", ["drive/MyDrive/runs/a", '"/content/drive/MyDrive/a"'])
def test_a_folder_that_only_looks_like_the_drive_is_refused(tmp_path, monkeypatch, train, val, tiny_model, folder):
    monkeypatch.chdir(tmp_path)
    fit(tiny_model(), train, val, config(Path(folder), epochs=1))  # elsewhere it is a folder like any other
    (tmp_path / "content/drive/MyDrive").mkdir(parents=True)
    monkeypatch.setattr(runs, "_COLAB", tmp_path / "content")
    with pytest.raises(InputError, match=r"is not on the mounted Drive and would be lost; .*content/drive/MyDrive"):
        fit(tiny_model(), train, val, config(Path(folder), epochs=1, resume=True))
    assert len(fit(tiny_model(), train, val, config(tmp_path / "content/drive/MyDrive/a", epochs=1))) == 1


def test_a_card_whose_driver_does_not_work_is_left_alone(tmp_path, monkeypatch, affine_faces, tiny_model):
    train, val = Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3])
    model = tiny_model()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: pytest.fail("the card was asked"))
    assert len(fit(model, train, val, config(tmp_path / "run", epochs=1, device="cpu"))) == 1


def test_a_processor_whose_torch_has_no_onednn_is_named(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", None)
    with pytest.warns(UserWarning, match="no instructions for bfloat16"):
        mixed_precision("always", torch.device("cpu"))


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_that_is_slow_in_16_bits_is_named(monkeypatch, native):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert mixed_precision("always", torch.device("cpu")) is torch.bfloat16
        assert mixed_precision("cuda", torch.device("cpu")) is None
    assert ["no instructions for bfloat16" in str(warning.message) for warning in caught] == [True] * (not native)


def test_a_run_that_never_saved_does_not_block_its_folder(tmp_path, train, val, tiny_model):
    folder = tmp_path / "run"
    with pytest.raises(TrainingStopped):
        fit(tiny_model(), train, val, config(folder, learning_rate=1e30, augment=0.0, save_every_s=1000.0))
    assert not (folder / "state.pt").exists()
    history = fit(tiny_model(), train, val, config(folder, batch_size=1, resume=True))
    assert len(history) == 2
    assert json.loads((folder / "config.json").read_text())["batch_size"] == 1


def test_other_people_are_another_run(tmp_path, affine_faces, tiny_model):
    val = Part(affine_faces, [3])
    fit(tiny_model(), Part(affine_faces, [0, 1]), val, config(tmp_path / "run"))
    with pytest.raises(InputError, match=r"other settings .*train_people"):
        fit(tiny_model(), Part(affine_faces, [0, 2]), val, config(tmp_path / "run", resume=True))


def test_other_depth_under_the_same_names_is_another_run(tmp_path, train, val, tiny_model):
    class Scaled:
        depth_kind, identities = val.depth_kind, val.identities

        def __init__(self, factor):
            self.factor = factor

        def __len__(self):
            return len(val)

        def __getitem__(self, index):
            return val[index]._replace(depth=self.factor * val[index].depth)

    def go_on(factor):
        return fit(tiny_model(), train, Scaled(factor), config(tmp_path / "run", epochs=1, resume=True))

    go_on(1.0)
    assert len(go_on(1.00001)) == 1  # as another processor rounds
    with pytest.raises(InputError, match=r"other settings \(val_first_depth: .* the same samples"):
        go_on(1.1)


def test_a_run_of_an_older_version_that_wrote_down_less_goes_on(tmp_path, train, val, tiny_model):
    fit(tiny_model(), train, val, config(tmp_path / "run", epochs=1))
    path = tmp_path / "run/config.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({name: told[name] for name in told if name not in ("val_first_depth", "clip_norm")}))
    assert len(fit(tiny_model(), train, val, config(tmp_path / "run", epochs=1, resume=True))) == 1
    path.write_text(json.dumps(told | {"clip_norm": 3.0}))
    with pytest.raises(InputError, match=r"other settings \(clip_norm: 3\.0 then"):
        fit(tiny_model(), train, val, config(tmp_path / "run", epochs=1, resume=True))


def test_people_on_both_sides_are_told(tmp_path, tiny_model, affine_faces):
    with pytest.warns(UserWarning, match=r"val: 1 of its people are in train too \(seed0002\).*fd\.split"):
        fit(tiny_model(), Part(affine_faces, [0, 1, 2]), Part(affine_faces, [2, 3]), config(tmp_path / "run", epochs=1))


def test_a_kind_that_there_is_not_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match=r"target_kind: expected one of relief, .*, got 'depth'"):
        config(tmp_path, target_kind="depth")

"""Runs that cannot go on, for a loss or a gradient that is no number, data that are damaged, memory that is full."""

import gc
import itertools
import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from torch.optim.swa_utils import AveragedModel
from training_runs import Changed, config, stop, what_was_computed

from facedepth.checks import InputError
from facedepth.data import EG3DFaces, Part
from facedepth.models import load_model
from facedepth.sample import Sample
from facedepth.training import TrainingStopped, fit, stepping


def poisoned(part: Part, *, good_reads: int) -> Changed:
    """From one read on, a sample is beyond what losses can hold."""
    reads = itertools.count()
    return Changed(part, lambda one: one if next(reads) < good_reads else one._replace(depth=1e38 * one.depth))


@pytest.fixture
def exact_train(exact_faces) -> Part:
    """Three of the samples with exact depth, which knows no greatest value."""
    return Part(exact_faces, [0, 1, 2])


@pytest.fixture
def exact_val(exact_faces) -> Part:
    """The fourth."""
    return Part(exact_faces, [3])


def assert_finite(folder: Path) -> None:
    state = torch.load(folder / "state.pt", weights_only=True)
    for part in ("model", "average"):
        assert all(tensor.isfinite().all() for tensor in state[part].values())


def test_an_infinite_loss_stops_the_run_and_keeps_the_last_good_state(
    tmp_path, tiny_model, exact_train, exact_val
):
    folder = tmp_path / "run"
    with pytest.raises(TrainingStopped, match=r"became (inf|nan) at step 4; the last good state is kept") as caught:
        fit(tiny_model(kind="relief"), poisoned(exact_train, good_reads=9), exact_val, config(folder, augment=0.0))
    assert str(folder) in str(caught.value)
    state = torch.load(folder / "state.pt", weights_only=True)
    assert (state["epoch"], state["step_in_epoch"]) == (1, 1)
    assert_finite(folder)
    load_model(folder / "best.safetensors")
    fit(tiny_model(kind="relief"), exact_train, exact_val, config(folder, augment=0.0, resume=True))
    fit(tiny_model(kind="relief"), exact_train, exact_val, config(tmp_path / "whole", augment=0.0))
    assert what_was_computed(folder) == what_was_computed(tmp_path / "whole")


def test_an_infinite_loss_at_the_first_step_says_that_nothing_was_saved(
    tmp_path, tiny_model, exact_train, exact_val
):
    with pytest.raises(TrainingStopped, match=r"step 0; no state was saved yet in .*run"):
        fit(tiny_model(kind="relief"), poisoned(exact_train, good_reads=0), exact_val, config(tmp_path / "run"))
    assert not (tmp_path / "run" / "state.pt").exists()


def test_an_infinite_loss_of_one_validation_face_of_many_is_not_taken_for_the_best(
    tmp_path, tiny_model, exact_faces, exact_train
):
    def ruined(sample: Sample) -> Sample:
        return sample._replace(depth=1e38 * sample.depth) if sample.name == exact_faces.names[3] else sample

    val = Changed(Part(exact_faces, [0, 1, 2, 3]), ruined)
    with pytest.raises(TrainingStopped, match=r"the validation loss became (inf|nan)"):
        fit(tiny_model(kind="relief"), exact_train, val, config(tmp_path, batch_size=1))
    assert not (tmp_path / "best.safetensors").exists()


def test_an_absurd_learning_rate_stops_the_run(tmp_path, tiny_model, train, val):
    folder = tmp_path / "run"
    settings = config(folder, learning_rate=1e30, warmup_steps=0, schedule="plateau")
    with pytest.raises(TrainingStopped, match="lower learning_rate") as caught:
        fit(tiny_model(), train, val, settings)
    assert str(folder) in str(caught.value)
    assert_finite(folder)
    assert not (folder / "best.safetensors").exists()  # no epoch came to a good end


def test_a_run_that_never_saved_does_not_block_its_folder(tmp_path, train, val, tiny_model):
    folder = tmp_path / "run"
    with pytest.raises(TrainingStopped):
        fit(tiny_model(), train, val, config(folder, learning_rate=1e30, augment=0.0, save_every_s=1000.0))
    assert not (folder / "state.pt").exists()
    history = fit(tiny_model(), train, val, config(folder, batch_size=1, resume=True))
    assert len(history) == 2
    assert json.loads((folder / "config.json").read_text())["batch_size"] == 1


def test_an_infinite_gradient_never_reaches_the_weights(tmp_path, tiny_model, train, val):
    """A finite loss whose gradient overflows."""
    model = tiny_model()
    before = {key: tensor.clone() for key, tensor in model.named_parameters()}
    model.head.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(TrainingStopped, match="the gradient became"):
        fit(model, train, val, config(tmp_path / "run"))
    for key, tensor in model.named_parameters():
        assert torch.equal(tensor, before[key]), key


def test_gradients_that_stay_infinite_in_16_bits_end_the_run(tmp_path, monkeypatch, tiny_model, train, val):
    """A few such steps are skipped, each with a smaller scale of the loss after it."""
    monkeypatch.setattr(stepping, "mixed_precision", lambda amp, device: torch.float16)
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


def test_what_a_stopped_run_held_is_free_though_its_error_is_kept(tmp_path, tiny_model, train, val):
    held = []

    def look_and_stop(*_):
        held.extend(weakref.ref(one) for one in gc.get_objects() if type(one) in (AveragedModel, torch.optim.AdamW))
        stop()

    gc.collect()
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(tiny_model(), train, val, config(tmp_path), callbacks=[look_and_stop])
    gc.collect()
    assert caught.value is not None  # what a notebook holds on to
    assert [one() for one in held] == [None, None]

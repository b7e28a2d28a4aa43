"""Training: a run from end to end, its files, and the best weights at its end."""

import itertools
import json
import time

import pytest
import torch
from safetensors import safe_open
from training_runs import Changed, config, events_of, history_of, what_was_computed

from facedepth.checks import InputError
from facedepth.data import EG3DFaces, Part, split
from facedepth.evaluation import evaluate
from facedepth.models import create_model, load_model
from facedepth.sample import Sample
from facedepth.training import TrainConfig, fit


def test_the_history_is_returned_and_written_down(finished_run):
    history = finished_run.history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert [row["step"] for row in history] == [6, 12, 18, 24]
    assert history[-1]["loss"] < history[0]["loss"]
    rows = history_of(finished_run.folder)
    assert [{key: float(text) for key, text in row.items()} for row in rows] == history
    assert {"loss", "l1", "val_loss", "val_picture_l1", "learning_rate", "images_per_s"} <= rows[0].keys()
    assert all(row["images_per_s"] > 0 for row in history)


def test_callbacks_see_every_epoch_and_the_validation_pictures(finished_run, affine_faces):
    assert finished_run.seen == [(epoch, [affine_faces.names[3]]) for epoch in (1, 2, 3, 4)]


def test_files_of_a_run(finished_run):
    names = {path.name for path in finished_run.folder.iterdir()}
    assert names == {
        "config.json", "state.pt", "best.safetensors", "last.safetensors", "history.csv", "tensorboard", ".lock"
    }


def test_best_is_the_epoch_with_the_least_validation_loss(finished_run, affine_faces):
    _, folder, model, history, _ = finished_run
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
    """From the second epoch on, near and far are swapped."""
    reads = itertools.count(1)  # of the first, which says what data these are, and of 60 times three in each epoch
    ruined = Changed(train, lambda one: one if next(reads) <= 181 else one._replace(depth=1 - one.depth))
    settings = config(tmp_path / "run", repeats=60, learning_rate=1e-2, augment=0.0, schedule="plateau")
    history = fit(tiny_model(), ruined, val, settings)
    assert history[1]["val_loss"] > history[0]["val_loss"]
    for name, epoch in (("best", 1), ("last", 2)):
        with safe_open(tmp_path / "run" / f"{name}.safetensors", framework="pt") as file:
            assert json.loads(file.metadata()["metrics"])["epoch"] == epoch


def test_tensorboard_has_scalars_and_pictures(finished_run):
    events = events_of(finished_run.folder)
    assert [event.step for event in events.Scalars("epoch/val_loss")] == [6, 12, 18, 24]
    assert [event.value for event in events.Scalars("epoch/val_loss")] == pytest.approx(
        [row["val_loss"] for row in finished_run.history]
    )
    assert [event.step for event in events.Scalars("train/loss")] == [20]
    pictures = events.Images("val")
    assert [event.step for event in pictures] == [6, 12, 18, 24]
    assert pictures[0].encoded_image_string.startswith(b"\x89PNG")


def test_cosine_schedule_reaches_zero(finished_run):
    assert finished_run.history[-1]["learning_rate"] == pytest.approx(0, abs=1e-12)


def test_the_loss_of_an_epoch_is_the_mean_over_its_pictures(tmp_path, tiny_model, affine_faces):
    """Three pictures in batches of two: the one alone in its batch counts as much as the others, as in val_loss."""
    model, faces = tiny_model(), Part(affine_faces, [0, 1, 2])
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval().train = lambda _, layer=layer: layer  # the same answer in training and validation
    settings = {"epochs": 3, "repeats": 1, "augment": 0.0, "learning_rate": 1e-12}
    history = fit(model, faces, faces, config(tmp_path / "run", **settings))
    assert [row["loss"] for row in history] == pytest.approx([row["val_loss"] for row in history], rel=1e-5)


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


def test_pictures_of_depth_are_validated_on_exact_depth(tmp_path, tiny_model, train, exact_faces):
    """As EG3D's 8-bit faces on synthetic ones."""
    (row,) = fit(tiny_model(), train, exact_faces, config(tmp_path / "run", epochs=1))
    assert {"l1", "val_rmse", "val_mad_deg", "val_picture_l1"} <= row.keys()


def test_data_sets_of_ones_own_need_no_more_than_samples_and_their_kind(tmp_path, tiny_model, train, val):
    class Mine(torch.utils.data.Dataset):
        depth_kind = "affine"

        def __len__(self) -> int:
            return len(train)

        def __getitem__(self, index: int) -> Sample:
            return train[index]

    assert len(fit(tiny_model(), Mine(), val, config(tmp_path))) == 2
    plain = torch.utils.data.Subset(train, [0, 1])
    for use in (
        lambda: fit(tiny_model(), plain, val, config(tmp_path / "no")), lambda: evaluate(tiny_model(), plain),
        lambda: split(plain),
    ):
        with pytest.raises(InputError, match=r"expected a data set that says its depth_kind.*got Subset; .*fd.split"):
            use()
    with pytest.raises(InputError, match="says its identities, as EG3DFaces does, got Mine"):
        split(Mine())
    Mine.identities = [0, 1, 2]
    assert [len(part) for part in split(Mine(), 0.5)] in ([1, 2], [2, 1])


def test_a_trained_model_holds_no_gradients(tmp_path, tiny_model, train, val):
    model = tiny_model()
    fit(model, train, val, config(tmp_path))
    assert all(parameter.grad is None for parameter in model.parameters())


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


def test_a_compiled_network_is_trained_like_a_plain_one(tmp_path, tiny_model, train, val):
    plain, compiled = tiny_model(), torch.compile(tiny_model(), backend="eager")
    settings = {"encoder_factor": 0.1, "save_every_s": 0.0}
    fit(plain, train, val, config(tmp_path / "plain", **settings))
    fit(compiled, train, val, config(tmp_path / "compiled", **settings))
    assert what_was_computed(tmp_path / "compiled") == what_was_computed(tmp_path / "plain")
    image = train[0].image[None]
    assert torch.equal(compiled(image), plain(image))
    assert torch.equal(load_model(tmp_path / "compiled" / "best.safetensors", device="cpu")(image), plain(image))


@pytest.mark.parametrize("amp", ["always", "never"])
def test_mixed_precision_is_a_choice(tmp_path, tiny_model, train, val, amp):
    seen, answers = [], []
    model = tiny_model()
    inside = model.encoder[0][0]
    inside.register_forward_hook(lambda module, inputs, output: seen.append((module.training, output.dtype)))
    model.register_forward_hook(lambda module, inputs, output: answers.append(output.dtype))
    fit(model, train, val, config(tmp_path / "run", amp=amp, epochs=1))
    assert set(seen) == {(True, torch.bfloat16 if amp == "always" else torch.float32), (False, torch.float32)}
    assert set(answers) == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_a_card_whose_driver_does_not_work_is_left_alone(tmp_path, monkeypatch, tiny_model, train, val):
    model = tiny_model()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: pytest.fail("the card was asked"))
    assert len(fit(model, train, val, config(tmp_path / "run", epochs=1, device="cpu"))) == 1


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

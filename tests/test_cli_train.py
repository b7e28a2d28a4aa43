"""facedepth train: what a run starts from, and settings that make no sense."""

import json
import re
from pathlib import Path

import pytest
import torch
from commands import midas_command, train_command
from parity import rule

from facedepth.data import PairedFolder, split
from facedepth.models import MODELS, load_model, save_model


def test_a_seed_decides_what_a_new_model_starts_from(done, tmp_path, paired):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for out, seed in ((first, 3), (again, 3), (other, 4)):
        done(*train_command(paired, out, "--set", "augment=0.5", f"seed={seed}"))
    states = [load_model(out / "last.safetensors", device="cpu").state_dict() for out in (first, again, other)]
    assert all(torch.equal(states[1][key], value) for key, value in states[0].items())
    assert not all(torch.equal(states[2][key], value) for key, value in states[0].items())


def test_train_goes_on_from_a_checkpoint(done, tmp_path, paired, weights):
    done("train", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--model", weights,
         "-o", tmp_path / "run", "--set", "epochs=1", "--set", "workers=0", "--set", "learning_rate=1e-12", "--set",
         "ema_decay=0.0")
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    assert settings["options"]["channels"] == 2
    start, end = (load_model(path, device="cpu").state_dict() for path in (weights, tmp_path / "run/best.safetensors"))
    assert torch.allclose(end["encoder.0.0.weight"], start["encoder.0.0.weight"], atol=1e-6)


def published_midas_small(tmp_path, monkeypatch) -> Path:
    """A published file where the first fetch of it would have left it."""
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache" / Path(MODELS["midas_small"].url).name
    torch.save(rule.weights("midas_small"), path)
    return path


def test_finetune_starts_from_the_published_weights(done, tmp_path, paired, monkeypatch):
    published = load_model(published_midas_small(tmp_path, monkeypatch), device="cpu").state_dict()
    for out, more, same in ((tmp_path / "fine", ["--finetune", "--head-mask"], True), (tmp_path / "new", [], False)):
        done(*midas_command(paired, out, *more))
        model = load_model(out / "best.safetensors", device="cpu")
        key = "encoder.conv_stem.weight"
        assert torch.allclose(model.state_dict()[key], published[key], atol=1e-6) == same
        assert model.options["head_mask"] == same
        assert ("started_from" in model.info) == same
        assert "weights" not in model.info


def test_finetune_starts_anew_where_there_are_no_weights(done, tmp_path, paired):
    with pytest.warns(UserWarning, match="--finetune: dpt_tiny has no weights to start from; random ones are trained"):
        done("train", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--model", "dpt_tiny", "-o",
             tmp_path / "run", "--finetune", "--option", "input_size=32", "--set", "epochs=1", "--set",
             "workers=0", "--set", "device=cpu")


def test_evaluate_takes_the_people_that_its_training_kept_apart(done, tmp_path, paired):
    data = PairedFolder(paired / "images", paired / "depths", camera=30, unit="mm")
    first = split(data, val=0.34, seed=0)[1].names
    seed = next(seed for seed in range(1, 50) if split(data, val=0.34, seed=seed)[1].names != first)
    done(*train_command(paired, tmp_path / "run", "--val", 0.34, "--set", f"seed={seed}", "--set", "workers=0"))
    for more, kept in (([], split(data, val=0.34, seed=seed)[1].names), (["--seed", 0], first)):
        done("evaluate", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--val", 0.34, "--model",
             tmp_path / "run/best.safetensors", "-o", tmp_path / "scores", "--overwrite", *more)
        rows = (tmp_path / "scores/metrics.csv").read_text().splitlines()[1:]
        assert [row.split(",")[0] for row in rows] == kept


def test_a_model_s_seed_that_is_no_number_is_refused(refused, tmp_path, paired, tiny_model):
    save_model(tiny_model(), tmp_path / "odd.safetensors", info={"seed": "none"})
    message = refused("evaluate", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--val", 0.34, "--model",
                      tmp_path / "odd.safetensors", "-o", tmp_path / "scores")
    assert "--seed: the model tells 'none', no whole number; give that of its training" in message


def test_adapters_on_random_weights_are_doubted(done, tmp_path, paired):
    with pytest.warns(UserWarning, match="learns=decoder: attention_unet starts from random weights"):
        done(*train_command(paired, tmp_path / "run", "--set", "learns=decoder"))


def test_published_weights_that_cannot_be_fetched_are_named(refused, tmp_path, paired, monkeypatch):
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path / "cache"))
    url = "http://127.0.0.1:9/midas.pt"  # nobody listens there
    monkeypatch.setitem(MODELS, "midas_small", MODELS["midas_small"]._replace(url=url))
    message = refused(*midas_command(paired, tmp_path / "run", "--finetune"))
    assert url in message
    assert str(tmp_path / "cache" / "midas.pt") in message
    assert not (tmp_path / "run").exists()


def test_nothing_is_fetched_before_the_data_is_seen(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(MODELS, "midas_small", MODELS["midas_small"]._replace(url="http://127.0.0.1:9/midas.pt"))
    assert "nowhere" in refused(*midas_command(tmp_path / "nowhere", tmp_path / "run", "--finetune"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("option", [["--option", "features=8"], ["--kind", "relief"], ["--encoder", "lite0.pth"]])
def test_published_weights_bring_their_own_options(refused, tmp_path, paired, option):
    assert f"{option[0]}: only where" in refused(*midas_command(paired, tmp_path / "run", "--finetune", *option))


def test_a_run_of_another_model_is_not_resumed(refused, done, tmp_path, paired):
    done(*train_command(paired, tmp_path / "run", "--set", "workers=0"))
    message = refused(*train_command(paired, tmp_path / "run", "--resume", "--option", "channels=4"))
    assert "was started with other settings (options: " in message


def test_data_that_cannot_train_the_model_are_refused(refused, tmp_path, sample_root):
    data = f"eg3d-8bit:{sample_root}"
    message = refused("train", "--data", data, "--model", "attention_unet", "--option", "kind=relief", "-o",
                      tmp_path / "run")
    assert "data of depth_kind 'affine' may train affine_relief, not 'relief'" in message


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--set", "epoch=3"], r"got 'epoch=3'; known keys: .*epochs"),
        (["--set", "epochs"], r"expected KEY=VALUE, got 'epochs'"),
        (["--set", "epochs=many"], r"epochs: expected a whole number of at least 1, got 'many'"),
        (["--set", "learning_rate=nan"], r"learning_rate: expected a number, got 'nan'"),
        (["--set", "optimiser=sgd"], r"optimiser: expected one of adamw, adam, got 'sgd'"),
        (["--set", "out=elsewhere"], r"got 'out=elsewhere'; known keys"),
        (["--set", "target_kind=depth"], r"target_kind: expected one of relief, .*, got 'depth'"),
        (["--set", "input_size=big"], r"input_size: expected a whole number of at least 16, got 'big'"),
        (["--set", "device=warp"], r"device 'warp' cannot be used here"),
        (["--set", "epochs=True"], r"epochs: expected a whole number of at least 1, got True"),
        (["--set", "gradient_checkpointing=no"], r"gradient_checkpointing: expected True or False, got 'no'"),
        (["--option", "head_mask=no"], r"head_mask: expected True or False, got 'no'"),
        (["--option", "chanels=2"], r"--option: .*chanels"),
        (["--option", "channels=1"], r"depth >= 2 and channels >= 2"),
        (["--option", "channels=two"], r"channels: expected a whole number of at least 1, got 'two'"),
        (["--option", "channels=2.5"], r"channels: expected a whole number of at least 1, got 2.5"),
        (["--set", "channels=8"], r"got 'channels=8'; channels is an option of the model: --option channels=8; known"),
        (["--set", "learning_rate=1e999"], r"learning_rate: expected a finite number, above 0, got inf"),
        (["--option", "mean=3"], r"mean: expected three numbers"),
        (["--size", 0], r"size: expected a whole number of at least 1, got 0"),
        (["--unit", "[1]"], r"unit: expected one of m, cm, mm.*got '\[1\]'"),
        (["--option", "input_size=8"], r"input_size: expected a whole number of at least 16, got 8"),
        (["--val", "1.5"], r"val: expected above 0 and below 1, got 1.5"),
        (["--unit", "miles"], r"unit: expected one of m, cm, mm"),
        (["--fov", "180"], r"--fov: expected between 0 and 180 degrees, got 180"),
        (["--data", "photos:here"], r"--data: expected eg3d:FOLDER .*; got 'photos:here'"),
        (["--data", "here"], r"--data: expected eg3d:FOLDER .*; got 'here'"),
        (["--model", "resnet"], r"resnet: no such checkpoint file"),
    ],
)
def test_settings_that_make_no_sense_are_told_by_their_names(refused, tmp_path, paired, more, expected):
    assert re.search(expected, refused(*train_command(paired, tmp_path / "run", *more)))
    assert not (tmp_path / "run").exists()


def test_pictures_of_one_person_are_kept_on_one_side(refused, tmp_path, paired, weights):
    data = ("--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--identity")
    for path in (*(paired / "images").iterdir(), *(paired / "depths").iterdir()):
        path.rename(path.with_name(f"ann_{path.name}"))
    assert "at least two identities, the data set has 1 (ann)" in refused(
        "train", *data, "_", "--model", weights, "-o", tmp_path / "run"
    )
    assert "--identity: for paired data only" in refused(
        "evaluate", "--data", f"eg3d:{paired}", "--identity", "_", "--model", weights, "-o", tmp_path / "scores"
    )

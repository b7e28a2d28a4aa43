"""Checkpoint files: all that is needed travels, weights, options and where they come from."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import OPTIONS, metadata_of, rewrite
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.models import create_model, load_model, save_model


def test_the_metadata_say_what_the_network_is(checkpoint):
    metadata = metadata_of(checkpoint)
    assert metadata["format"] == "facedepth"
    assert metadata["model"] == "attention_unet"
    assert json.loads(metadata["options"])["channels"] == 3
    assert json.loads(metadata["options"]).keys() == OPTIONS.keys()
    assert metadata["kind"] == "affine_inverse"
    assert metadata["input_size"] == "96"
    assert np.allclose(json.loads(metadata["mean"]), OPTIONS["mean"])
    assert np.allclose(json.loads(metadata["std"]), OPTIONS["std"])
    assert metadata["version"] == version("facedepth")
    assert metadata["licence"] == "CC0"


def test_a_network_knows_where_its_weights_are_from(checkpoint, tmp_path):
    assert create_model("attention_unet", **OPTIONS).source == ""
    assert load_model(checkpoint).source == str(checkpoint)
    assert load_model("attention_unet").source == "attention_unet"


def test_a_compiled_network_is_saved_as_a_plain_one(checkpoint, tmp_path):
    model = load_model(checkpoint, device="cpu")
    saved = save_model(torch.compile(model, backend="eager"), tmp_path / "compiled.safetensors")
    assert load_file(saved).keys() == model.state_dict().keys()


def test_metadata_that_is_no_text_is_refused(checkpoint, tmp_path):
    with pytest.raises(InputError, match="info: expected texts, got 3 for 'epochs'"):
        save_model(load_model(checkpoint), tmp_path / "a.safetensors", info={"epochs": 3})


def test_a_network_saved_is_the_network_loaded(tmp_path, checkpoint):
    torch.manual_seed(1)
    model = create_model("attention_unet", **OPTIONS)
    for _ in range(3):  # running statistics move, and must travel
        model(torch.rand(2, 3, 32, 32))
    with pytest.raises(InputError, match="already there"):
        save_model(model, checkpoint)
    save_model(model, checkpoint, overwrite=True)
    loaded = load_model(checkpoint, device="cpu")
    assert not loaded.training
    assert (loaded.name, loaded.kind, loaded.input_size) == ("attention_unet", "affine_inverse", 96)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
        assert loaded.state_dict()[key].dtype == tensor.dtype, key
    image = torch.rand(1, 3, 20, 30)
    with torch.inference_mode():
        assert_close(loaded(image), model.eval()(image), rtol=0, atol=0)


def test_kind_and_size_given_in_training_win_over_the_options(checkpoint):
    model = create_model("attention_unet", **OPTIONS)
    model.kind, model.input_size = "relief", 64
    save_model(model, checkpoint, overwrite=True)
    loaded = load_model(checkpoint, device="cpu")
    assert (loaded.kind, loaded.input_size) == ("relief", 64)


def test_a_file_from_before_an_option_keeps_the_class_default(tmp_path):
    path = save_model(create_model("face_small", features=4, finest_stride=4), tmp_path / "old.safetensors")
    options = json.loads(metadata_of(path)["options"])
    del options["finest_stride"]  # the table of models presets 2 today
    rewrite(path, metadata={"options": json.dumps(options)})
    assert load_model(path, device="cpu").options["finest_stride"] == 4


def test_info_stays_with_the_model(tmp_path, checkpoint):
    loaded = load_model(checkpoint, device="cpu")
    assert loaded.info == {"licence": "CC0"}
    again = save_model(loaded, tmp_path / "again.safetensors", info={"training_data": "mine", "licence": "MIT"})
    assert load_model(again, device="cpu").info == {"training_data": "mine", "licence": "MIT"}


def test_info_cannot_lie_about_the_model(tmp_path):
    model = create_model("attention_unet", **OPTIONS)
    path = save_model(model, tmp_path / "face.safetensors", info={"kind": "relief", "format": "other"})
    assert load_model(path, device="cpu").kind == "affine_inverse"


def test_saved_again_nothing_changes_and_nothing_is_left_over(tmp_path, checkpoint):
    again = save_model(load_model(checkpoint, device="cpu"), tmp_path / "again.safetensors")
    assert metadata_of(again) == metadata_of(checkpoint)
    first, second = load_file(checkpoint), load_file(again)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.safetensors", "face.safetensors"]


def test_a_checkpoint_in_the_users_home(monkeypatch, tmp_path, checkpoint):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert save_model(load_model(checkpoint), "~/mine.safetensors") == tmp_path / "mine.safetensors"
    assert load_model("~/mine.safetensors").name == load_model(checkpoint).name
    assert not Path("~").exists()
    with pytest.raises(InputError, match="got ''"):
        load_model("")


def test_what_is_no_network_is_not_saved(tmp_path):
    with pytest.raises(InputError, match=r"model: expected a network, .* got 'attention_unet'"):
        save_model("attention_unet", tmp_path / "face.safetensors")


def test_shipped_weights_win_over_published_ones_and_lie_in_either_place(tmp_path, monkeypatch, tiny_model):
    folders = tmp_path / "installed", tmp_path / "clone"
    monkeypatch.setattr("facedepth.models.registry.SHIPPED", folders)
    for folder in reversed(folders):
        save_model(tiny_model(), folder / "midas_small.safetensors", info={"metrics": folder.name})
        assert load_model("midas_small", device="cpu").info["metrics"] == folder.name


def test_half_the_size_and_still_computed_in_32_bits(tmp_path, tiny_model):
    model = tiny_model()
    whole = save_model(model, tmp_path / "whole.safetensors")
    half = save_model(model, tmp_path / "half.safetensors", half=True)
    tensors = load_file(half)
    exact = {key for key, tensor in tensors.items() if tensor.dtype == torch.float32}
    assert exact == {"mean", "std"}  # 24 bytes, and every pixel's colour
    assert {tensor.dtype for key, tensor in tensors.items() if key not in exact} <= {torch.float16, torch.int64}
    assert half.stat().st_size < whole.stat().st_size
    for key, tensor in load_model(half).state_dict().items():
        expected = model.state_dict()[key]
        assert tensor.dtype == expected.dtype
        assert_close(tensor, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("half", [True, False])
def test_a_loaded_model_is_whole_and_its_own(tmp_path, tiny_model, half):
    path = save_model(tiny_model(), tmp_path / "face.safetensors", half=half)
    first, second = (load_model(path, device="cpu") for _ in range(2))
    before = [parameter.clone() for parameter in first.parameters()]
    for (key, ours), theirs in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert ours.device.type == "cpu", key
        assert ours.dtype in (torch.float32, torch.int64), key
        assert ours.data_ptr() != theirs.data_ptr(), key
    assert all(parameter.requires_grad for parameter in first.parameters())
    with open(path, "r+b") as file:  # as a copy over it, or a Drive that syncs
        file.seek(-1000, 2)
        file.write(bytes(1000))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(first.parameters(), before, strict=True))


def test_a_checkpoint_has_the_rights_of_every_other_file(tmp_path, tiny_model):
    (tmp_path / "other").touch()
    path = save_model(tiny_model(), tmp_path / "face.safetensors")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_checkpoint_that_cannot_be_written_is_named(tmp_path, tiny_model, monkeypatch):
    def full(*_, **__) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("facedepth.models.checkpoint.save_file", full)
    with pytest.raises(OSError, match=r"face\.safetensors: cannot be written \(No space left on device\)"):
        save_model(tiny_model(), tmp_path / "face.safetensors")
    assert not list(tmp_path.iterdir())


def test_no_random_weights_are_made_only_to_be_replaced(tmp_path, tiny_model):
    path = save_model(tiny_model(), tmp_path / "face.safetensors")
    before = torch.get_rng_state()
    load_model(path, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_does_not_fit_into_16_bits_stays_in_32(tmp_path, tiny_model):
    model = tiny_model()
    model.encoder[0][1].running_var.fill_(7e4)
    half = save_model(model, tmp_path / "half.safetensors", half=True)
    assert (load_model(half, device="cpu").encoder[0][1].running_var == 7e4).all()


def test_shipped_weights_are_found_by_name():
    model = load_model("attention_unet")
    assert model.kind == "relief"
    assert {"training_data", "metrics", "licence"} <= model.info.keys()

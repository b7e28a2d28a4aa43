"""Checkpoint files: all that is needed travels, and nothing but a checkpoint is taken."""

import json
import pickle
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.models import create_model, load_model, save_model

OPTIONS = {
    "channels": 3, "depth": 3, "attention": False, "head_mask": True, "kind": "affine_inverse", "input_size": 96,
    "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25),
}


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return save_model(create_model("attention_unet", **OPTIONS), tmp_path / "face.safetensors", info={"licence": "CC0"})


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def rewrite(path: Path, *, metadata: dict[str, str] | None = None, **tensors: torch.Tensor | None) -> None:
    """Write a checkpoint anew with other metadata, and with tensors changed, added or (None) left out."""
    state = {**load_file(path), **{key.replace("__", "."): tensor for key, tensor in tensors.items()}}
    metadata = {**metadata_of(path), **(metadata or {})}
    save_file(
        {key: tensor for key, tensor in state.items() if tensor is not None}, path,
        metadata={key: text for key, text in metadata.items() if text is not None},
    )


def test_metadata(checkpoint):
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


def test_round_trip(tmp_path, checkpoint):
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


def test_missing_misshapen_and_extra_tensors_are_all_listed(checkpoint):
    rewrite(checkpoint, head__bias=None, head__weight=torch.zeros(2, 4, 1, 1), neck__weight=torch.zeros(7))
    with pytest.raises(InputError) as caught:
        load_model(checkpoint, device="cpu")
    message = str(caught.value)
    assert str(checkpoint) in message
    assert "missing head.bias (2,)" in message
    assert "head.weight: expected (2, 3, 1, 1), got (2, 4, 1, 1)" in message
    assert "unknown neck.weight (7,)" in message


@pytest.mark.parametrize(
    "change",
    [{"head__bias": None}, {"head__bias": torch.zeros(3)}, {"head__bias2": torch.zeros(3)}, {"mean": None}],
    ids=["missing", "misshapen", "extra", "no-mean"],
)
def test_one_wrong_tensor_is_enough(checkpoint, change):
    rewrite(checkpoint, **change)
    with pytest.raises(InputError, match=r"face.safetensors: its tensors do not fit the model 'attention_unet'"):
        load_model(checkpoint, device="cpu")


def test_many_wrong_tensors_are_counted(checkpoint):
    state = {f"layer{index}": torch.zeros(1) for index in range(20)}
    save_file(state, checkpoint, metadata=metadata_of(checkpoint))
    with pytest.raises(InputError, match=r"and \d+ more"):
        load_model(checkpoint, device="cpu")


def test_checkpoint_of_other_options(checkpoint):
    options = json.loads(metadata_of(checkpoint)["options"]) | {"channels": 4}
    rewrite(checkpoint, metadata={"options": json.dumps(options)})
    with pytest.raises(InputError, match=r"decoder.0.convolve.0.bias: expected \(8,\), got \(6,\)"):
        load_model(checkpoint, device="cpu")


@pytest.mark.parametrize(
    "metadata",
    [
        {"model": "resnet"}, {"options": '{"colour": 1}'}, {"options": "{"}, {"options": None}, {"kind": "depth"},
        {"input_size": "big"},
    ],
    ids=["model", "option", "no-json", "no-options", "kind", "size"],
)
def test_metadata_that_describe_no_model_of_ours(checkpoint, metadata):
    rewrite(checkpoint, metadata={"version": "9.9"} | metadata)
    with pytest.raises(InputError, match=r"face.safetensors: written by facedepth 9.9, whose model is not known here"):
        load_model(checkpoint, device="cpu")


def test_safetensors_of_others(tmp_path):
    path = tmp_path / "theirs.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"theirs.safetensors: a safetensors file, but not a checkpoint of facedepth"):
        load_model(path)


@pytest.mark.parametrize("content", [b"hello, this is text\n", b"\x00" * 64])
def test_not_safetensors(tmp_path, content):
    path = tmp_path / "face.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"face.safetensors: not a readable safetensors file"):
        load_model(path)


def test_safetensors_cut_short(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"face.safetensors: not a readable safetensors file"):
        load_model(checkpoint)


@pytest.mark.parametrize(
    "content", [b"hello, this is text\n", b"not a model", b"{'a': 1}", b"\x80\x02", b"PK\x03\x04"]
)
def test_not_a_pytorch_file(tmp_path, content):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights.pt: (not a readable PyTorch file|refused)"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"\n<!DOCTYPE html>\n<html><body>Sign in", r"a web page \(HTML\), not the file itself; download it again"),
        (b"\xef\xbb\xbf<html>", r"a web page \(HTML\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a Git LFS pointer, .*; run `git lfs pull`"),
    ],
)
def test_what_came_in_the_place_of_weights_is_called_by_its_name(tmp_path, content, said, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"weights{suffix}: {said}"):
        load_model(path)


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


def test_pytorch_file_cut_short(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"weights.pt: not a readable PyTorch file"):
        load_model(path)


class MakesAFile:
    """Unpickled, it calls ``Path.touch``, as a hostile file would call something worse."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda payload, path: path.write_bytes(pickle.dumps(payload))])
def test_a_pickle_that_would_run_code_runs_nothing(tmp_path, write):
    trace, path = tmp_path / "trace", tmp_path / "hostile.pt"
    write({"down_convs.0.conv1.weight": MakesAFile(trace)}, path)
    with pytest.raises(InputError, match=r"hostile.pt: (refused|not a readable)"):
        load_model(path)
    assert not trace.exists()
    if write is torch.save:
        torch.load(path, weights_only=False)  # it is loaded gun indeed
        assert trace.exists()


def test_a_whole_model_pickled(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model.pt: refused: not a plain state dict"):
        load_model(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {"weight": "text"}])
def test_a_pytorch_file_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights.pt: expected a state dict \(tensors by name\)"):
        load_model(tmp_path / "weights.pt")


@pytest.mark.parametrize("state", [{"fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)}, {}])
def test_state_dict_of_an_unknown_network(tmp_path, state):
    torch.save(state, tmp_path / "resnet.pt")
    with pytest.raises(InputError, match=r"resnet.pt: its keys .* are those of no known network") as caught:
        load_model(tmp_path / "resnet.pt")
    assert all(key in str(caught.value) for key in state)


def test_no_such_file(tmp_path, monkeypatch):
    monkeypatch.setattr("facedepth.models.registry.SHIPPED", (tmp_path, tmp_path / "weights"))
    with pytest.raises(InputError, match=r"nothing.safetensors: no such checkpoint file, and no model's name"):
        load_model(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"attention_unet: no such checkpoint file: none is shipped; name a file"):
        load_model("attention_unet")
    with pytest.raises(InputError, match="no such checkpoint file"):
        load_model(tmp_path)


def test_shipped_weights_win_over_published_ones_and_lie_in_either_place(tmp_path, monkeypatch, tiny_model):
    folders = tmp_path / "installed", tmp_path / "clone"
    monkeypatch.setattr("facedepth.models.registry.SHIPPED", folders)
    for folder in reversed(folders):
        save_model(tiny_model(), folder / "midas_small.safetensors", info={"metrics": folder.name})
        assert load_model("midas_small", device="cpu").info["metrics"] == folder.name


def test_a_checkpoint_says_itself_what_it_means(checkpoint):
    with pytest.raises(InputError, match=r"face.safetensors: says itself what its output means"):
        load_model(checkpoint, kind="relief")


def test_other_suffixes(tmp_path):
    (tmp_path / "face.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"expected a .safetensors, .pt or .pth file, got .onnx"):
        load_model(tmp_path / "face.onnx")
    with pytest.raises(InputError, match=r"face.pt: expected a name that ends in .safetensors"):
        save_model(create_model("attention_unet", **OPTIONS), tmp_path / "face.pt")


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


def test_names_that_are_nearly_one(tmp_path, tiny_model):
    with pytest.raises(InputError, match=r"facesmall: no such checkpoint file, .*; did you mean face_small\?"):
        load_model("facesmall")
    save_model(tiny_model(), tmp_path / "run/best.safetensors")
    with pytest.raises(InputError, match=r"run: the folder of a training run; name its weights, .*best\.safetensors"):
        load_model(tmp_path / "run")


def test_what_cannot_be_used_is_told_before_anything_is_fetched(monkeypatch):
    monkeypatch.setattr("facedepth.models.checkpoint.fetch", lambda url: pytest.fail(f"fetches {url}"))
    with pytest.raises(InputError, match="device 'warp' cannot be used here"):
        load_model("dpt_large", device="warp")
    with pytest.raises(InputError, match="kind: expected one of"):
        load_model("dpt_large", kind="depth")


def test_shipped_weights_are_found_by_name():
    model = load_model("attention_unet")
    assert model.kind == "relief"
    assert {"training_data", "metrics", "licence"} <= model.info.keys()

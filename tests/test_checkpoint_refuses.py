"""What is no checkpoint, is damaged, or would run code, is not loaded; and the message says why."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from checkpoints import OPTIONS, metadata_of, rewrite
from safetensors.torch import save_file

from facedepth.checks import InputError
from facedepth.models import create_model, load_model, save_model


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


def test_tensors_of_other_options_do_not_fit(checkpoint):
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


def test_safetensors_of_others_are_no_checkpoint(tmp_path):
    path = tmp_path / "theirs.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"theirs.safetensors: a safetensors file, but not a checkpoint of facedepth"):
        load_model(path)


@pytest.mark.parametrize("content", [b"hello, this is text\n", b"\x00" * 64, None], ids=["text", "zeros", "cut short"])
def test_what_is_no_safetensors_is_refused(checkpoint, content):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100] if content is None else content)
    with pytest.raises(InputError, match=r"face.safetensors: not a readable safetensors file"):
        load_model(checkpoint)


@pytest.mark.parametrize(
    "content", [b"hello, this is text\n", b"not a model", b"{'a': 1}", b"\x80\x02", b"PK\x03\x04"]
)
def test_what_is_no_pytorch_file_is_refused(tmp_path, content):
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


def test_a_pytorch_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"weights.pt: not a readable PyTorch file"):
        load_model(path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_weights_that_may_not_be_read_are_refused_in_words(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"something")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    for opener in ("builtins.open", "facedepth.models.states.safe_open", "torch.load"):
        monkeypatch.setattr(opener, refused)
    with pytest.raises(InputError, match=rf"{name}: .*Permission denied"):
        load_model(tmp_path / name)


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


def test_a_whole_model_pickled_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model.pt: refused: not a plain state dict"):
        load_model(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {"weight": "text"}])
def test_a_pytorch_file_without_a_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights.pt: expected a state dict \(tensors by name\)"):
        load_model(tmp_path / "weights.pt")


@pytest.mark.parametrize("state", [{"fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)}, {}])
def test_the_state_dict_of_an_unknown_network_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "resnet.pt")
    with pytest.raises(InputError, match=r"resnet.pt: its keys .* are those of no known network") as caught:
        load_model(tmp_path / "resnet.pt")
    assert all(key in str(caught.value) for key in state)


def test_what_there_is_not_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("facedepth.models.registry.SHIPPED", (tmp_path, tmp_path / "weights"))
    with pytest.raises(InputError, match=r"nothing.safetensors: no such checkpoint file, and no model's name"):
        load_model(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"attention_unet: no such checkpoint file: none is shipped; name a file"):
        load_model("attention_unet")
    with pytest.raises(InputError, match="no such checkpoint file"):
        load_model(tmp_path)


def test_a_checkpoint_says_itself_what_it_means(checkpoint):
    with pytest.raises(InputError, match=r"face.safetensors: says itself what its output means"):
        load_model(checkpoint, kind="relief")


def test_files_of_other_suffixes_are_neither_read_nor_written(tmp_path):
    (tmp_path / "face.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"expected a .safetensors, .pt or .pth file, got .onnx"):
        load_model(tmp_path / "face.onnx")
    with pytest.raises(InputError, match=r"face.pt: expected a name that ends in .safetensors"):
        save_model(create_model("attention_unet", **OPTIONS), tmp_path / "face.pt")


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

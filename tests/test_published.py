"""Published networks: the same output to the last digits, from whole files only."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from parity import rule

from facedepth.checks import InputError
from facedepth.models import MODELS, DepthNetwork, create_model, load_model, save_model
from facedepth.models.converters import convert
from facedepth.models.states import load_strictly

PARITY = Path(__file__).parent / "parity"
SMALL = ("midas_small", "depth_anything_v2_small")
BIG = ("dpt_hybrid", "dpt_large")
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
FED = {  # input size; mean and std
    "midas_small": (256, IMAGENET), "depth_anything_v2_small": (518, IMAGENET),
    "dpt_hybrid": (384, HALF), "dpt_large": (384, HALF),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A function that gives the file of a state dict as it is published, by the model's name."""
    folder = tmp_path_factory.mktemp("published")

    def write(name: str) -> Path:
        path = folder / f"{name}.pt"
        if not path.exists():
            torch.save(rule.weights(name), path)
        return path

    return write


def worst_differences(model: DepthNetwork, name: str) -> dict[str, float]:
    """By size of the picture, the greatest difference from the published network, over its greatest output."""
    worst = {}
    for size, golden in np.load(PARITY / f"{name}.golden.npz").items():
        with torch.inference_mode():
            ours = model.predict_normalised(rule.image(*map(int, size.split("x"))))
        golden = torch.from_numpy(golden)[:, None]
        assert ours.shape == golden.shape
        worst[size] = float((ours - golden).abs().max() / golden.abs().max())
    print(name, worst)
    return worst


def check_whole(state: dict[str, torch.Tensor], model: DepthNetwork) -> None:
    """What ``load_model`` checks, without a file and without making the model anew."""
    name, _, converted = convert(state, Path("weights.pt"))
    assert name == model.name
    converted = {**converted, "mean": model.mean, "std": model.std}
    load_strictly(model, converted, Path("weights.pt"), f"the model {name!r}")


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in BIG)])
def test_published_weights_give_the_published_output(published, name):
    model = load_model(published(name), non_negative=False, device="cpu")
    size, (mean, std) = FED[name]
    assert (model.name, model.kind, model.input_size, model.training) == (name, "affine_inverse", size, False)
    assert torch.equal(model.mean.flatten(), torch.tensor(mean))
    assert torch.equal(model.std.flatten(), torch.tensor(std))
    differences = worst_differences(model, name)
    assert len(differences) == 2
    assert max(differences.values()) < 1e-4


@pytest.mark.parametrize("name", SMALL)
def test_published_weights_survive_our_format(published, tmp_path, name):
    path = save_model(load_model(published(name), device="cpu"), tmp_path / "converted.safetensors")
    model = load_model(path, device="cpu")
    assert (model.name, model.kind, model.non_negative) == (name, "affine_inverse", True)
    assert model.info == {"licence": MODELS[name].licence, "weights": MODELS[name].url}
    assert max(worst_differences(model, name).values()) < 1e-4


@pytest.mark.parametrize("name", SMALL)
def test_inverse_depth_is_cut_off_at_zero(published, name):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    cut, whole = (load_model(published(name), non_negative=told, device="cpu") for told in (None, False))
    with torch.inference_mode():
        values = whole(image)
        assert (values < 0).any()
        assert torch.equal(cut(image), values.clamp(min=0))


def test_told_what_the_output_means(published):
    model = load_model(published("midas_small"), kind="affine_relief", device="cpu")
    assert (model.kind, model.non_negative) == ("affine_relief", False)
    model = load_model(published("midas_small"), kind="affine_inverse", non_negative=False, device="cpu")
    assert (model.kind, model.non_negative) == ("affine_inverse", False)
    with pytest.raises(InputError, match="kind: expected one of relief, affine_relief, affine_inverse, got 'depth'"):
        load_model(published("midas_small"), kind="depth")


def test_the_attention_unet_is_never_cut_off(published):
    assert load_model(published("attention_unet"), kind="relief", non_negative=False, device="cpu").kind == "relief"
    with pytest.raises(InputError, match="attention_unet never clips its values"):
        load_model(published("attention_unet"), non_negative=True)


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in BIG)])
def test_a_tensor_missing_misshapen_or_unknown_is_an_error(name):
    model = create_model(name)
    keys = json.loads((PARITY / f"{name}.keys.json").read_text())
    state = {key: torch.zeros(spec["shape"]) for key, spec in keys.items()}
    check_whole(state, model)
    mark = "depth_head.projects.0.weight"  # without it nobody knows which network this is
    coarsest = [key for key in state if "refinenet4" in key]  # some of them are published, but never computed with
    for key in random.Random(0).sample(sorted(state.keys() - {mark}), 30) + coarsest:
        with pytest.raises(InputError, match="missing"):
            check_whole({other: tensor for other, tensor in state.items() if other != key}, model)
    for key in random.Random(1).sample(sorted(key for key in state if "refinenet3" in key), 5):
        with pytest.raises(InputError, match=r"expected \(.*\), got \(7,\)"):
            check_whole(state | {key: torch.zeros(7)}, model)
    with pytest.raises(InputError, match=r"unknown scratch.extra \(7,\)"):
        check_whole(state | {"scratch.extra": torch.zeros(7)}, model)


def test_the_message_lists_the_tensors(published, tmp_path):
    state = torch.load(published("midas_small"), weights_only=True)
    del state["scratch.layer2_rn.weight"]
    state["scratch.output_conv.4.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "broken.pt")
    with pytest.raises(InputError) as caught:
        load_model(tmp_path / "broken.pt")
    assert "broken.pt: its tensors do not fit the model 'midas_small'" in str(caught.value)
    assert "missing decoder.reduce.1.weight (128, 48, 3, 3)" in str(caught.value)
    assert "head.out.bias: expected (1,), got (3,)" in str(caught.value)


def test_depth_anything_of_a_size_nobody_published(tmp_path):
    state = rule.weights("depth_anything_v2_small")
    state["depth_head.projects.0.weight"] = torch.zeros(384, 1536, 1, 1)
    torch.save(state, tmp_path / "giant.pth")
    with pytest.raises(InputError, match=r"giant.pth: depth_head.projects.0.weight: expected 48, 96, 256 channels"):
        load_model(tmp_path / "giant.pth")


@pytest.mark.slow
@pytest.mark.parametrize(("size", "width", "channels", "features"), [("base", 768, 96, 128), ("large", 1024, 256, 256)])
def test_larger_depth_anything(tmp_path, size, width, channels, features):
    """No golden output for these; their state dicts have the same keys, more blocks where larger, and wider tensors."""
    model = create_model(f"depth_anything_v2_{size}")
    assert model.encoder.width == width
    assert model.reassemble[0].project.out_channels == channels
    assert model.decoder.fuse[0].project.out_channels == features
    assert model.encoder.outputs == {"base": (2, 5, 8, 11), "large": (4, 11, 17, 23)}[size]
    with torch.inference_mode():
        assert model.eval()(torch.rand(1, 3, 70, 56)).shape == (1, 1, 70, 56)

"""The Attention-UNet: the published network to the last digit, any size, every option."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from parity import rule
from torch.testing import assert_close

from facedepth.checks import InputError, choose_device
from facedepth.models import MODELS, DepthNetwork, create_model, list_models, load_model, save_model
from facedepth.prediction import predict

PARITY = Path(__file__).parent / "parity"
GOLDEN = dict(np.load(PARITY / "attention_unet.golden.npz"))
SIZES = {"128x128": (128, 128), "96x160": (96, 160)}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A state dict as the original project publishes it."""
    path = tmp_path_factory.mktemp("published") / "Attention_UNET_b5_e10ckp9_weights.pt"
    torch.save(rule.weights("attention_unet"), path)
    return path


def worst_difference(model: DepthNetwork, size: str) -> float:
    """The greatest difference from the published network, over its greatest output."""
    normalised = rule.image(*SIZES[size])
    with torch.inference_mode():
        ours = model(normalised * model.std + model.mean)
    golden = torch.from_numpy(GOLDEN[size])[:, None]
    assert ours.shape == golden.shape
    return float((ours - golden).abs().max() / golden.abs().max())


def random_image(height: int, width: int, *, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
def test_published_weights_give_the_published_output(published, size):
    model = load_model(published, device="cpu")
    assert (model.name, model.kind, model.input_size) == ("attention_unet", "affine_relief", 128)
    assert not model.training
    assert_close(model.mean, torch.full((1, 3, 1, 1), 0.5))
    assert_close(model.std, torch.full((1, 3, 1, 1), 0.5))
    assert worst_difference(model, size) < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_published_weights_survive_our_format(published, tmp_path, size):
    path = save_model(load_model(published, device="cpu"), tmp_path / "converted.safetensors")
    model = load_model(path, device="cpu")
    assert model.kind == "affine_relief"
    assert worst_difference(model, size) < 1e-4


def test_published_weights_wrapped_in_a_checkpoint(published, tmp_path):
    path = tmp_path / "wrapped.pth"
    torch.save({"state_dict": torch.load(published, weights_only=True), "epoch": 9}, path)
    assert worst_difference(load_model(path, device="cpu"), "96x160") < 1e-4


def test_same_tensors_as_the_published_network(published):
    keys = json.loads((PARITY / "attention_unet.keys.json").read_text())
    count = sum(int(np.prod(spec["shape"])) for spec in keys.values())
    ours = load_model(published, device="cpu").state_dict()
    added = ours["mean"].numel() + ours["std"].numel()
    assert sum(tensor.numel() for tensor in ours.values()) == count + added == 8_995_269


def test_published_weights_without_attention(tmp_path):
    state = {key: tensor for key, tensor in rule.weights("attention_unet").items() if ".attention." not in key}
    torch.save(state, tmp_path / "plain.pt")
    model = load_model(tmp_path / "plain.pt", device="cpu")
    assert model.options["attention"] is False
    assert worst_difference(model, "96x160") > 0.01  # the gate matters


@pytest.mark.parametrize(("height", "width"), [(37, 51), (1, 1), (16, 16), (129, 17)])
@pytest.mark.parametrize("outputs", [1, 2])
def test_any_size(height, width, outputs):
    model = create_model("attention_unet", channels=2, depth=5, head_mask=outputs == 2).eval()
    with torch.inference_mode():
        assert model(random_image(height, width, batch=2)).shape == (2, outputs, height, width)


def test_padding_repeats_the_edge():
    model = create_model("attention_unet", channels=2, depth=3, head_mask=False).eval()
    image = random_image(14, 11)
    padded = torch.nn.functional.pad(image, (0, 1, 0, 2), mode="replicate")
    with torch.inference_mode():
        assert_close(model(image), model(padded)[..., :14, :11])


def test_output_lies_where_the_input_does():
    """A change in one corner of the picture changes the output there: nothing is mirrored or turned."""
    torch.manual_seed(0)  # some random networks answer 0 everywhere
    model = create_model("attention_unet", channels=4, depth=2, head_mask=False).eval()
    image = random_image(32, 48)
    changed = image.clone()
    changed[..., :4, -6:] += 1
    with torch.inference_mode():
        difference = (model(changed) - model(image)).abs()[0, 0]
    assert difference[:8, -12:].max() > 10 * difference[16:, :24].max()


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 32, 32), (1, 4, 32, 32)])
def test_not_an_rgb_batch(shape):
    with pytest.raises(InputError, match=r"image: expected shape \(B, 3, H, W\)"):
        create_model("attention_unet", channels=2, depth=2)(torch.zeros(shape))


def test_mean_and_std_are_taken_off_inside():
    model = create_model("attention_unet", channels=2, depth=2, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)).eval()
    image = random_image(8, 8)
    normalised = torch.stack([(image[:, 0] - 0.1) / 0.4, (image[:, 1] - 0.2) / 0.5, (image[:, 2] - 0.3) / 0.6], dim=1)
    with torch.inference_mode():
        assert_close(model(image), model.predict_normalised(normalised))
    assert {"mean", "std"} <= dict(model.named_buffers()).keys()


def test_attention_can_be_left_out():
    gated, plain = (create_model("attention_unet", channels=4, depth=3, attention=on) for on in (True, False))
    assert any(".gate." in key for key in gated.state_dict())
    assert not any(".gate." in key for key in plain.state_dict())
    assert plain(random_image(16, 16, batch=2)).shape == (2, 2, 16, 16)


def test_widths_follow_channels_and_depth():
    model = create_model("attention_unet", channels=6, depth=4)
    assert [block[0].out_channels for block in model.encoder] == [6, 12, 24, 48]
    assert len(model.decoder) == 3


@pytest.mark.parametrize("options", [{"depth": 1}, {"channels": 1}])
def test_too_small_a_network(options):
    with pytest.raises(InputError, match="depth >= 2 and channels >= 2"):
        create_model("attention_unet", **options)


def test_unknown_names_and_options():
    with pytest.raises(InputError, match=r"unknown model 'unet'; choose one of attention_unet, depth_anything_v2_base"):
        create_model("unet")
    with pytest.raises(TypeError, match="chanels"):
        create_model("attention_unet", chanels=8)
    with pytest.raises(InputError, match=r"kind: expected one of relief, affine_relief, affine_inverse, got 'depth'"):
        create_model("attention_unet", kind="depth")
    with pytest.raises(InputError, match="input_size: expected a whole number of at least 16, got 'big'"):
        create_model("attention_unet", input_size="big")
    for mean in ("red", (0.5, 0.5), 0.5, None):
        with pytest.raises(InputError, match="mean: expected three numbers, of red, green and blue, got"):
            create_model("attention_unet", mean=mean)
    with pytest.raises(InputError, match="device 'warp' cannot be used here"):
        choose_device("warp")
    with pytest.raises(InputError, match="device 'meta' cannot be used here: it holds no numbers"):
        choose_device("meta")


def test_models_are_listed():
    assert list_models() == sorted(MODELS)


BIG = 90  # million parameters; such a network takes seconds to make, and a gigabyte


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (entry.millions > BIG)) for name, entry in MODELS.items()]
)
def test_every_listed_model_can_be_made(name):
    model = create_model(name)
    assert isinstance(model, DepthNetwork)
    assert model.name == name
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(MODELS[name].millions, abs=0.05)
    assert model.options == MODELS[name].defaults()
    if MODELS[name].millions < BIG:
        assert create_model(name, **model.options).options == model.options


def test_the_table_presets_options_and_a_call_wins_over_it():
    options = {**MODELS["face_small"].defaults(), "features": 8, "kind": "affine_relief"}
    model = create_model("face_small", features=8, kind="affine_relief")
    assert model.options == options
    assert (model.options["encoder"], model.options["head_mask"]) == ("tf_efficientnet_lite0", True)
    assert (model.kind, model.input_size, model.non_negative) == ("affine_relief", 256, False)
    assert model.decoder.reduce[0].out_channels == 8
    assert MODELS["face_small"].defaults()["features"] == 24  # the table stays as it is


def test_another_kind_is_not_cut_off_at_zero():
    model = create_model("dpt_tiny", kind="affine_inverse", non_negative=True)
    model.retarget("affine_inverse")
    assert model.non_negative
    model.retarget("relief")
    assert (model.kind, model.non_negative) == ("relief", False)
    with pytest.raises(InputError, match="kind: expected one of"):
        model.retarget("depth")


@pytest.mark.parametrize("name", ["attention_unet", "face_small"])
def test_shapes_can_be_asked_for_without_memory(name):
    assert create_model(name).to("meta")(torch.rand(1, 3, 64, 48, device="meta")).shape == (1, 2, 64, 48)


@pytest.mark.skipif(torch.__version__.startswith("2.4."), reason="torch 2.4 cannot export a stretch without autocast")
@pytest.mark.parametrize("name", ["attention_unet", "face_small"])
def test_shipped_networks_are_exported_with_batches_of_any_size(name):
    model, batch = load_model(name, device="cpu"), torch.export.Dim("batch", min=1, max=16)
    exported = torch.export.export(model, (torch.rand(2, 3, 64, 64),), dynamic_shapes=({0: batch},)).module()
    for count in (1, 5):
        pictures = torch.rand(count, 3, 64, 64)
        torch.testing.assert_close(exported(pictures), model(pictures))


def test_an_answer_of_another_size_is_refused():
    class Half(DepthNetwork):
        def predict_normalised(self, image):
            return image[:, :1, ::2, ::2]

    model = Half(kind="relief", input_size=32, mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(InputError, match=r"output: expected shape \(B, C, H, W\) with B = 1, H = 32, W = 32"):
        predict(model, torch.rand(3, 32, 32), crop="none")

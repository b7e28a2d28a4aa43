"""Fine-tuning: an encoder that learns slowly, later, not at all, or through adapters."""

import copy
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.data import Part
from facedepth.models import add_head_mask, create_model, load_model, save_model
from facedepth.training import TrainConfig, fit
from facedepth.training.adapters import add_adapters, merge_adapters, merged
from facedepth.training.objectives import LossWeights, Objective
from facedepth.training.optimisation import parameter_groups

QUICK = {
    "batch_size": 2, "repeats": 2, "learning_rate": 1e-2, "warmup_steps": 0, "ema_decay": 0.0, "augment": 0.0,
    "workers": 0, "device": "cpu",
}


def fitted(model, faces, out: Path, **settings):
    """The model after the run, with the weights of its last step."""
    config = TrainConfig(out=str(out), **QUICK | settings)
    states = []
    fit(model, Part(faces, [0, 1, 2]), Part(faces, [3]), config, callbacks=[lambda *_: states.append(
        {key: value.clone() for key, value in model.state_dict().items()}
    )])
    return states


def moved(before: dict, after: dict, part: str) -> bool:
    """Whether anything in that part of the network changed; fails where only some of it did."""
    changed = {not torch.equal(before[key], after[key]) for key in before if key.startswith(part)}
    weights = {
        not torch.equal(before[key], after[key]) for key in before if key.startswith(part) and key.endswith("weight")
    }
    assert len(weights) == 1
    return changed != {False}


def test_every_parameter_is_in_one_group_and_the_encoder_learns_at_its_share(tiny_model):
    model = tiny_model()
    encoder, rest = parameter_groups(model, 0.01, 0.1)
    assert encoder["lr"] == pytest.approx(0.001)
    assert "lr" not in rest  # the optimiser's own
    assert len(encoder["params"]) + len(rest["params"]) == len(list(model.parameters()))
    assert {id(p) for p in encoder["params"]} == {id(p) for p in model.encoder.parameters()}
    assert len(parameter_groups(model, 0.01, 1.0)) == 1


def test_the_encoder_moves_less_at_a_tenth_of_the_rate(tmp_path, tiny_model, affine_faces):
    start = tiny_model().state_dict()
    distance = {}
    for factor in (1.0, 0.1):
        after = fitted(tiny_model(), affine_faces, tmp_path / str(factor), epochs=1, encoder_factor=factor)[0]
        for part in ("encoder.", "decoder."):
            distance[part, factor] = sum(
                float((after[key] - start[key]).abs().sum()) for key in start if key.startswith(part)
                and key.endswith("0.weight")
            )
    assert distance["encoder.", 0.1] < 0.3 * distance["encoder.", 1.0]
    assert distance["decoder.", 0.1] > 0.5 * distance["decoder.", 1.0]


def test_a_frozen_encoder_keeps_weights_and_statistics_and_learns_afterwards(tmp_path, tiny_model, affine_faces):
    start = {key: value.clone() for key, value in tiny_model().state_dict().items()}
    first, second = fitted(tiny_model(), affine_faces, tmp_path, epochs=2, frozen_epochs=1)
    assert not moved(start, first, "encoder.")
    assert moved(start, first, "decoder.")
    assert moved(first, second, "encoder.")


def test_a_model_leaves_training_with_an_encoder_that_can_learn(tmp_path, tiny_model, affine_faces):
    model = tiny_model()
    fitted(model, affine_faces, tmp_path, epochs=2, frozen_epochs=1)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_training_that_makes_nothing_better_is_told_of(tmp_path, tiny_model, affine_faces):
    first = tiny_model()
    fitted(first, affine_faces, tmp_path / "first", epochs=3)
    start = load_model(save_model(first, tmp_path / "start.safetensors"), device="cpu")
    with pytest.warns(UserWarning, match=r"no epoch was better than the weights .*: val_loss 0\.\d+ at the start"):
        fitted(copy.deepcopy(start), affine_faces, tmp_path / "worse", epochs=1, learning_rate=3.0)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="no epoch was better")
        fitted(start, affine_faces, tmp_path / "better", epochs=4, learning_rate=1e-2, warmup_steps=0)
        fitted(tiny_model(), affine_faces, tmp_path / "random", epochs=1, learning_rate=3.0)


def test_what_the_user_froze_stays_frozen(tmp_path, tiny_model, affine_faces):
    model = tiny_model()
    kept = next(iter(model.encoder.parameters())).requires_grad_(False)
    start = kept.clone()
    fitted(model, affine_faces, tmp_path, epochs=2, frozen_epochs=1)
    assert torch.equal(kept, start)
    assert [parameter for parameter in model.parameters() if not parameter.requires_grad] == [kept]


def test_batch_norms_that_the_user_froze_keep_their_statistics(tmp_path, tiny_model, affine_faces):
    model = tiny_model()
    model.encoder.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fitted(model, affine_faces, tmp_path, epochs=2)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert any("running_mean" in name for name in changed)
    assert not any(name.startswith("encoder.") for name in changed)


# --- adapters


@pytest.fixture
def tiny_dpt():
    def make(seed: int = 0):
        torch.manual_seed(seed)
        return create_model("dpt_tiny", input_size=32, kind="affine_relief", non_negative=False)

    return make


def test_adapters_start_as_no_change_and_merging_keeps_the_output(tiny_dpt):
    model = tiny_dpt().eval()
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    keys, before = list(model.state_dict()), model(image)
    add_adapters(model, 4, decoder_learns=False)
    assert_close(model(image), before, atol=1e-6, rtol=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=3.0)
    changed = model(image)
    assert (changed - before).abs().max() > 0.01
    plain = merged(model)
    assert list(plain.state_dict()) == keys
    assert_close(plain(image), changed, atol=1e-5, rtol=0)
    merge_adapters(model)
    assert_close(model(image), changed, atol=1e-5, rtol=0)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_package_that_peft_refuses_is_named(monkeypatch, tiny_dpt):
    def refuse(*_):
        raise ImportError("Found an incompatible version of torchao. Found version 0.10.0")

    monkeypatch.setattr("peft.inject_adapter_in_model", refuse)
    with pytest.raises(InputError, match=r"LoRA: peft refuses .*torchao\. Found version 0\.10\.0\); uninstall that"):
        add_adapters(tiny_dpt(), 2, decoder_learns=False)


@pytest.mark.parametrize("learns", ["lora", "lora+decoder"])
def test_a_lora_run_changes_only_what_may_learn(tmp_path, tiny_dpt, affine_faces, learns):
    model, start = tiny_dpt(), tiny_dpt().state_dict()
    after = fitted(model, affine_faces, tmp_path, epochs=1, learns=learns, lora_rank=2)[0]
    base = {key.replace(".base_layer", ""): value for key, value in after.items() if ".lora_" not in key}
    assert base.keys() == start.keys()
    changed = {key for key in start if not torch.equal(base[key], start[key])}
    assert not any(key.startswith("encoder.") for key in changed)
    assert {"head.out.weight", "head.out.bias"} <= changed  # it says the head mask
    assert (len(changed) > 2) == (learns == "lora+decoder")
    # B starts at zero: what it holds now, it has learnt
    assert all(value.any() for key, value in after.items() if "lora_B" in key)


def test_a_lora_run_ends_in_a_plain_checkpoint_and_a_plain_model(tmp_path, tiny_dpt, affine_faces):
    model = tiny_dpt()
    fitted(model, affine_faces, tmp_path, epochs=1, learns="lora")
    saved = load_model(tmp_path / "best.safetensors", device="cpu")
    assert model.state_dict().keys() == saved.state_dict().keys() == tiny_dpt().state_dict().keys()
    for key, value in saved.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    assert not torch.equal(saved.encoder.blocks[0].attn.qkv.weight, tiny_dpt().encoder.blocks[0].attn.qkv.weight)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_adapters_learn_in_a_network_that_the_user_froze_and_it_stays_frozen(tmp_path, tiny_dpt, affine_faces):
    model, start = tiny_dpt().requires_grad_(False), tiny_dpt().state_dict()
    after = fitted(model, affine_faces, tmp_path, epochs=1, learns="lora+decoder", lora_rank=2)[0]
    assert all(value.any() for key, value in after.items() if "lora_B" in key)
    base = {key.replace(".base_layer", ""): value for key, value in after.items() if ".lora_" not in key}
    assert all(torch.equal(base[key], start[key]) for key in start if key.endswith("weight"))
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_stopped_lora_run_goes_on_to_the_bit(tmp_path, tiny_dpt, affine_faces):
    whole, halves = tiny_dpt(), tiny_dpt()
    fitted(whole, affine_faces, tmp_path / "whole", epochs=2, learns="lora")

    def stop(*_):
        raise KeyboardInterrupt

    config = TrainConfig(out=str(tmp_path / "halves"), **QUICK, epochs=2, learns="lora", save_every_s=0.0)
    sides = Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3])
    with pytest.raises(KeyboardInterrupt):
        fit(halves, *sides, config, callbacks=[stop])
    assert halves.state_dict().keys() == tiny_dpt().state_dict().keys()
    fit(halves, *sides, replace(config, resume=True))
    for key, value in whole.state_dict().items():
        assert torch.equal(halves.state_dict()[key], value), key


def test_adapters_need_a_transformer(tmp_path, tiny_model, affine_faces):
    model = tiny_model()
    with pytest.raises(InputError, match=r"expected a network with a transformer.*attention_unet"):
        fitted(model, affine_faces, tmp_path / "run", epochs=1, learns="lora")
    assert not (tmp_path / "run").exists()


def test_the_decoder_alone(tmp_path, tiny_model, affine_faces):
    start = {key: value.clone() for key, value in tiny_model().state_dict().items()}
    after = fitted(tiny_model(), affine_faces, tmp_path, epochs=2, learns="decoder")[1]
    assert not moved(start, after, "encoder.")
    assert moved(start, after, "decoder.")


# --- a head mask for a network that has none


@pytest.mark.parametrize("name", ["dpt_tiny", "midas_small"])
def test_an_added_head_mask_leaves_the_depth_and_takes_all_for_head(tmp_path, name):
    model = create_model(name, kind="affine_inverse", head_mask=False, input_size=32).eval()
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    before = model(image)
    add_head_mask(model)
    add_head_mask(model)  # once is enough
    after = model(image)
    assert_close(after[:, :1], before)
    assert after.shape == (2, 2, 32, 32)
    assert (after[:, 1] == 1).all()
    saved = load_model(save_model(model, tmp_path / "model.safetensors"), device="cpu")
    assert_close(saved(image), after)


def test_the_added_head_mask_learns(tmp_path, exact_faces):
    model = create_model("dpt_tiny", kind="affine_inverse", head_mask=False, input_size=32)
    add_head_mask(model)
    config = TrainConfig.finetune(
        out=str(tmp_path), learns="lora+decoder", epochs=2, batch_size=2, repeats=4, learning_rate=3e-3, workers=0,
        warmup_steps=0, device="cpu",
    )
    history = fit(model, Part(exact_faces, [0, 1, 2]), Part(exact_faces, [3]), config)
    assert history[1]["mask"] < history[0]["mask"]


def test_no_head_mask_for_a_network_of_another_make(tiny_model):
    with pytest.raises(InputError, match="attention_unet: no head mask can be added; create the model with head_mask"):
        add_head_mask(tiny_model())


# --- gradient checkpointing


def test_gradient_checkpointing_is_on_for_the_run_that_wants_it(tmp_path, tiny_dpt, affine_faces):
    model, plain = tiny_dpt(), tiny_dpt()
    frugal = fitted(model, affine_faces, tmp_path / "frugal", epochs=1, learns="lora", gradient_checkpointing=True)[0]
    assert model.encoder.gradient_checkpointing
    usual = fitted(plain, affine_faces, tmp_path / "usual", epochs=1, learns="lora")[0]
    assert not plain.encoder.gradient_checkpointing
    for key, value in usual.items():
        assert_close(frugal[key], value)


def test_gradient_checkpointing_needs_a_transformer(tmp_path, tiny_model, affine_faces):
    with pytest.raises(InputError, match="gradient_checkpointing: only for networks with a transformer"):
        fitted(tiny_model(), affine_faces, tmp_path / "run", epochs=1, gradient_checkpointing=True)
    assert not (tmp_path / "run").exists()


# --- the preset


def test_finetune_is_the_usual_way_and_open_to_changes():
    config = TrainConfig.finetune(target_kind="affine_relief", epochs=2)
    assert (config.learning_rate, config.encoder_factor, config.frozen_epochs) == (1e-4, 0.1, 1)
    assert (config.loss, config.epochs, config.target_kind) == ("by_kind", 2, "affine_relief")
    assert TrainConfig.finetune(learns="lora").frozen_epochs == 0
    with pytest.raises(InputError, match="learns"):
        TrainConfig.finetune(learns="everything")
    with pytest.raises(InputError, match=r"learns: expected one of all, .*, got \['lora'\]"):
        TrainConfig.finetune(learns=["lora"])
    with pytest.raises(InputError, match="frozen_epochs: only with learns='all'"):
        TrainConfig.finetune(learns="lora", frozen_epochs=1)
    with pytest.raises(TypeError):
        TrainConfig.finetune(lerning_rate=1e-3)


def test_by_kind_keeps_the_scale_of_a_relief_and_drops_it_elsewhere():
    assert not Objective("affine", "affine_relief", LossWeights(), loss="by_kind").plain
    assert Objective("affine", "affine_relief", LossWeights()).plain
    assert Objective("metric", "relief", LossWeights(), loss="by_kind").target_kind == "relief"


def test_from_inverse_depth_to_relief_the_checkpoint_says_so(tmp_path, exact_faces):
    model = create_model("dpt_tiny", input_size=32, kind="affine_inverse", non_negative=True)
    assert (model.kind, model.non_negative) == ("affine_inverse", True)
    config = TrainConfig.finetune(
        out=str(tmp_path), target_kind="relief", epochs=1, batch_size=2, workers=0, device="cpu"
    )
    fit(model, Part(exact_faces, [0, 1, 2]), Part(exact_faces, [3]), config)
    saved = load_model(tmp_path / "best.safetensors", device="cpu")
    assert (saved.kind, saved.non_negative) == ("relief", False)


def test_adapters_alone_teach_the_added_head_mask_too(tmp_path, exact_faces):
    model = create_model("dpt_tiny", kind="affine_inverse", head_mask=False, input_size=32)
    add_head_mask(model)
    logits = model.head.out.weight[1].clone()
    fitted(model, exact_faces, tmp_path / "with", epochs=1, learns="lora")
    assert (model.head.out.weight[1] != logits).any()
    plain = create_model("dpt_tiny", kind="affine_inverse", head_mask=False, input_size=32)
    before = plain.head.out.weight.clone()
    fitted(plain, exact_faces, tmp_path / "without", epochs=1, learns="lora")
    assert torch.equal(plain.head.out.weight, before)

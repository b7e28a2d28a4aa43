"""Fine-tuning: an encoder that learns slowly, later, or not at all."""

from pathlib import Path

import pytest
import torch

from facedepth.checks import InputError
from facedepth.data import Part
from facedepth.optimisation import parameter_groups
from facedepth.training import TrainConfig, fit

QUICK = {
    "batch_size": 2, "repeats": 2, "learning_rate": 1e-2, "warmup_steps": 0, "ema_decay": 0.0, "augment": 0.0,
    "workers": 0, "device": "cpu",
}


def fitted(model, faces, out: Path, **settings):
    """The model after the run, with the weights of its last step."""
    config = TrainConfig(out=str(out), **QUICK | settings)
    states = []
    fit(model, Part(faces, [0, 1, 2]), Part(faces, [3]), config, callbacks=[lambda _: states.append(
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
    fitted(model, affine_faces, tmp_path, epochs=1, frozen_epochs=1)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"encoder_factor": 0.0}, "encoder_factor"), ({"encoder_factor": 2.0}, "encoder_factor"),
     ({"frozen_epochs": -1}, "frozen_epochs"), ({"encoder_factor": "a tenth"}, "encoder_factor")],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(out="runs/x", **settings)

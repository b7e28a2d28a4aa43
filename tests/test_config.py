"""The settings of a training run: what each may be, and what is said of those that make no sense."""

import math

import numpy as np
import pytest

from facedepth.checks import InputError
from facedepth.training import TrainConfig
from facedepth.training.objectives import LossWeights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "sgd"}, "optimiser: expected one of adamw, adam, got 'sgd'"),
        ({"schedule": "step"}, "schedule: expected one of cosine, plateau"),
        ({"out": " "}, "out: expected the path of a file or a folder, got ' '"),
        ({"loss": "l2"}, "loss: expected one of default, ssi"),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"epochs": "ten"}, "epochs: expected a whole number of at least 1, got 'ten'"),
        ({"batch_size": 2.5}, "batch_size: expected a whole number"),
        ({"workers": -1}, "workers: expected a whole number of at least 0, got -1"),
        ({"seed": 10**20}, r"seed: expected less than 2\*\*63, got 100000000000000000000"),
        ({"weight_decay": -1}, "weight_decay: expected at least 0, got -1"),
        ({"learning_rate": "fast"}, "learning_rate: expected a number, got 'fast'"),
        ({"learning_rate": 0.0}, "learning_rate: expected above 0"),
        ({"ema_decay": 1.0}, "ema_decay: expected at least 0 and below 1"),
        ({"augment": 2.0}, "augment: expected at least 0 and at most 1"),
        ({"encoder_factor": 0.0}, "encoder_factor: expected above 0 and at most 1, got 0.0"),
        ({"encoder_factor": 2.0}, "encoder_factor: expected above 0 and at most 1, got 2.0"),
        ({"encoder_factor": "a tenth"}, "encoder_factor: expected a number, got 'a tenth'"),
        ({"frozen_epochs": -1}, "frozen_epochs: expected a whole number of at least 0, got -1"),
        ({"target_kind": "depth"}, "target_kind: expected one of relief, .*, got 'depth'"),
        ({"weights": {"l1": 1.0}}, r"weights: expected LossWeights\(l1=..., ...\), got {'l1': 1.0}"),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**{"out": "run"} | changes)


def test_unknown_settings_and_changes_are_errors():
    with pytest.raises(TypeError, match="learning_rat"):
        TrainConfig(out="run", learning_rat=1e-3)
    with pytest.raises(AttributeError):
        TrainConfig(out="run").epochs = 3


def test_an_encoder_that_is_never_to_learn_is_refused():
    with pytest.raises(InputError, match=r"frozen_epochs: expected less than epochs \(2\), got 2.*learns='decoder'"):
        TrainConfig(out="x", epochs=2, frozen_epochs=2)
    assert TrainConfig.finetune(epochs=1).frozen_epochs == 0
    assert TrainConfig.finetune(epochs=2).frozen_epochs == 1


def test_weights_of_the_loss_are_taken():
    assert TrainConfig(out="x", weights=LossWeights(l1=1.0)).weights.l1 == 1.0


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "clip_norm", "augment", "encoder_factor"])
def test_settings_may_be_numpys_and_become_pythons(name):
    config = TrainConfig(out="run", epochs=np.int64(3), **{name: np.float32(0.5)})
    assert (config.epochs, getattr(config, name)) == (3, 0.5)
    assert (type(config.epochs), type(getattr(config, name))) == (int, float)
    for wrong in (math.nan, math.inf, -1, "0.5", True):
        with pytest.raises(InputError, match=f"{name}: expected "):
            TrainConfig(out="run", **{name: wrong})


def test_the_folder_of_a_run_may_be_in_the_users_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    assert TrainConfig(out="~/run").out == "/home/anna/run"
    with pytest.raises(InputError, match="got None"):
        TrainConfig(out=None)

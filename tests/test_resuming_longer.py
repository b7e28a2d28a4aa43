"""A run goes on for more epochs than it was started for."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from facedepth.checks import InputError
from facedepth.training import TrainConfig, fit


@pytest.fixture
def short(tmp_path) -> TrainConfig:
    return TrainConfig(
        out=str(tmp_path / "run"), epochs=2, repeats=4, batch_size=2, warmup_steps=2, workers=0, save_every_s=0
    )


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_finished_run_goes_on_after_its_end(tiny_model, train, val, short, schedule):
    short = replace(short, schedule=schedule)
    begun = fit(tiny_model(), train, val, short)
    longer = replace(short, epochs=4, resume=True)
    told = r"run: 4 epochs instead of 2: the learning rate goes on" if schedule == "cosine" else r"epochs instead of 2$"
    with pytest.warns(UserWarning, match=told):
        history = fit(tiny_model(seed=1), train, val, longer)
    assert history[:2] == begun
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[3]["step"] == 2 * history[1]["step"]
    if schedule == "cosine":
        assert history[1]["learning_rate"] == pytest.approx(0, abs=1e-9)
        assert history[2]["learning_rate"] > 1e-5
        assert history[3]["learning_rate"] == pytest.approx(0, abs=1e-9)
    assert json.loads(Path(short.out, "config.json").read_text())["epochs"] == 4
    assert fit(tiny_model(), train, val, longer) == history  # complete: nothing more to do


def test_the_first_step_has_the_rate_of_the_longer_run(tiny_model, train, val, short):
    one_step = replace(short, epochs=1, repeats=1, batch_size=len(train), ema_decay=0)
    fit(tiny_model(), train, val, one_step)
    before = load_file(Path(short.out, "last.safetensors"))
    with pytest.warns(UserWarning, match="goes on"):
        fit(tiny_model(), train, val, replace(one_step, epochs=2, resume=True))
    after = load_file(Path(short.out, "last.safetensors"))
    weights = [name for name in after if name.endswith("weight")]  # statistics of pictures need no rate to change
    assert max(float((after[name] - before[name]).abs().max()) for name in weights) > 1e-5


def test_a_first_epoch_of_fine_tuning_goes_on_for_more(tiny_model, train, val, tmp_path):
    for epochs in (1, 3, 4):
        settings = TrainConfig.finetune(out=str(tmp_path / "run"), epochs=epochs, batch_size=2, workers=0, resume=True)
        with contextlib.nullcontext() if epochs == 1 else pytest.warns(UserWarning, match="the learning rate goes on"):
            assert len(fit(tiny_model(), train, val, settings)) == epochs
    with pytest.raises(InputError, match="frozen_epochs: 1 then, 2 now"):
        fit(tiny_model(), train, val, replace(settings, epochs=5, frozen_epochs=2))


def test_all_else_must_be_the_same_and_fewer_epochs_are_refused(tiny_model, train, val, short):
    fit(tiny_model(), train, val, short)
    with pytest.raises(InputError, match=r"other settings \(batch_size: 2 then, 1 now\)"):
        fit(tiny_model(), train, val, replace(short, epochs=4, batch_size=1, resume=True))
    with pytest.raises(InputError, match=r"other settings \(epochs: 2 then, 1 now\)"):
        fit(tiny_model(), train, val, replace(short, epochs=1, resume=True))

"""The parts of training around its loop: schedules, the moving average, precision, interruptions."""

import os
import signal
import time
import warnings

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from facedepth.training.interruptions import deferred_interrupt
from facedepth.training.optimisation import make_schedule, mixed_precision, warmed_average


def test_cosine_with_warm_up():
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make_schedule(optimiser, "cosine", steps=100, warmup=4)
    rates = []
    for _ in range(100):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert rates[52] == pytest.approx(1.0)  # half way down
    assert rates == sorted(rates[:4]) + sorted(rates[4:], reverse=True)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0)


def test_warm_up_is_at_most_a_tenth():
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimiser, "cosine", steps=20, warmup=1000)
    optimiser.step()
    schedule.step()
    assert optimiser.param_groups[0]["lr"] == pytest.approx(1.0)


def test_plateau_falls_after_more_than_three_idle_epochs():
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimiser, "plateau", steps=0, warmup=0)
    rates = []
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0):
        schedule.step(loss)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1])


def test_moving_average_by_hand():
    model = torch.nn.BatchNorm1d(1)
    average = AveragedModel(model, multi_avg_fn=warmed_average(0.5), use_buffers=True)
    by_hand = 0.0
    for count, value in enumerate((4.0, 8.0, 2.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 7.0)):
        with torch.no_grad():
            model.weight.fill_(value)
            model.num_batches_tracked.fill_(count)
        average.update_parameters(model)
        decay = min(0.5, (1 + count) / (10 + count))
        by_hand = value if count == 0 else decay * by_hand + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(by_hand)
    assert int(average.module.num_batches_tracked) == 9  # a counter is copied


def test_without_average_the_weights_are_those_of_the_last_step():
    model = torch.nn.Linear(1, 1)
    average = AveragedModel(model, multi_avg_fn=warmed_average(0.0), use_buffers=True)
    for value in (4.0, 8.0, 2.0):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update_parameters(model)
        assert average.module.weight.item() == value


def test_a_processor_whose_torch_has_no_onednn_is_named(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", None)
    with pytest.warns(UserWarning, match="no instructions for bfloat16"):
        mixed_precision("always", torch.device("cpu"))


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_that_is_slow_in_16_bits_is_named(monkeypatch, native):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert mixed_precision("always", torch.device("cpu")) is torch.bfloat16
        assert mixed_precision("cuda", torch.device("cpu")) is None
    assert ["no instructions for bfloat16" in str(warning.message) for warning in caught] == [True] * (not native)


def test_second_ctrl_c_is_obeyed_at_once():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as interrupted:  # noqa: PT012 (two signals)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert interrupted.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    assert signal.getsignal(signal.SIGINT) is before

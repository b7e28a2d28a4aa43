"""One step of training: what learns from a batch, how fast, in which precision; and the weights' moving average."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ..checks import InputError
from ..models import DepthNetwork, uncompiled
from ..sample import Sample
from .config import TrainConfig
from .objectives import Objective
from .optimisation import OPTIMISERS, make_schedule, mixed_precision, parameter_groups, training_output, warmed_average

_LEAST_LOSS_SCALE = 2.0**-10
"""Of mixed precision in 16 bits: gradients that are not finite at a scale so small are not for lack of range."""


def check_can_learn(model: DepthNetwork, config: TrainConfig) -> None:
    """Refuse a network none of whose weights could be trained this way.

    Raises:
        InputError: saying why.
    """
    kinds = {parameter.dtype for parameter in model.parameters()}
    if kinds != {torch.float32}:
        raise InputError(
            f"model: expected weights of 32 bits to train, got {', '.join(map(str, kinds))}; model.float() makes them"
        )
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise InputError("model: made under torch.inference_mode, where nothing can be learnt; load it outside of it")
    if not hasattr(model, "encoder") and (config.learns != "all" or config.frozen_epochs or config.encoder_factor != 1):
        raise InputError(
            f"model: {model.name} has no part called encoder; call it that, or set learns='all', frozen_epochs=0 and "
            "encoder_factor=1"
        )
    rests = config.learns == "decoder" or config.frozen_epochs > 0
    learning = [
        name for name, parameter in model.named_parameters()
        if parameter.requires_grad and not (rests and name.startswith("encoder."))
    ]
    if not torch.is_grad_enabled() or not (learning or config.learns.startswith("lora")):
        raise InputError(
            "nothing can be learnt: all that TrainConfig lets learn is frozen (requires_grad), or fit is called under "
            "torch.no_grad or inference_mode"
        )


class Stepper:
    """A network in training with its optimiser, schedule, loss scale and moving average.

    Attributes:
        average: the averaged weights, which are validated and saved.
    """

    def __init__(self, model: DepthNetwork, objective: Objective, config: TrainConfig, *, steps: int) -> None:
        """``steps`` is the number of steps of the whole run, on the device that the model is on. A wrapper from
        ``torch.compile`` is asked for answers; all else is done with the network in it."""
        self.called, self.objective, self.config = model, objective, config
        self.model = model = uncompiled(model)
        self.device = model.mean.device
        decay = {"weight_decay": config.weight_decay} if config.optimiser == "adamw" else {}
        groups = parameter_groups(model, config.learning_rate, config.encoder_factor)
        self.optimiser = OPTIMISERS[config.optimiser](groups, lr=config.learning_rate, **decay)
        self.schedule = make_schedule(self.optimiser, config.schedule, steps=steps, warmup=config.warmup_steps)
        self.average = AveragedModel(model, multi_avg_fn=warmed_average(config.ema_decay), use_buffers=True)
        self.amp_type = mixed_precision(config.amp, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp_type is torch.float16)

    @property
    def learning_rate(self) -> float:
        """Of all but the encoder, at the next step."""
        return self.optimiser.param_groups[-1]["lr"]

    def step(self, batch: Sample, require_finite: Callable[[str, float], None]) -> dict[str, float]:
        """Learn from a batch; returns the loss and its parts.

        ``require_finite`` is called with a name and a value before the weights change, and raises where the value
        would ruin them.
        """
        with torch.autocast(self.device.type, self.amp_type) if self.amp_type else nullcontext():
            output = training_output(self.called, batch.image)
        parts = self.objective(output.float(), batch)
        values = {name: part.item() for name, part in parts.items()}
        require_finite("the loss", values["loss"])
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(parts["loss"]).backward()
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        scale = self.scaler.get_scale()
        if not self.scaler.is_enabled() or scale < _LEAST_LOSS_SCALE:
            require_finite("the gradient", float(norm))
        self.scaler.step(self.optimiser)  # left out where 16 bits overflow; the scale is halved then
        self.scaler.update()
        if self.config.schedule == "cosine" and self.scaler.get_scale() >= scale:
            self.schedule.step()
        self.average.update_parameters(self.model)
        return values

    def end_epoch(self, val_loss: float) -> None:
        """Let a schedule that goes by the validation loss take note of it."""
        if self.config.schedule == "plateau":
            self.schedule.step(val_loss)

    def stateful(self) -> dict:
        """Everything with a state, by its name in a run's saved state."""
        return {
            "model": self.model, "average": self.average, "optimiser": self.optimiser, "schedule": self.schedule,
            "scaler": self.scaler,
        }

    def load(self, state: Mapping) -> None:
        """Go on from the states saved under the names of ``stateful``.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: they are others.
        """
        for name, part in self.stateful().items():
            if state[name]:  # empty: the scaler of a run that needed none; another card may need one
                part.load_state_dict(state[name])
        if self.config.schedule == "cosine":  # saved is the rate of the run's former length
            (factor, *_), step = self.schedule.lr_lambdas, self.schedule.last_epoch
            for group, whole in zip(self.optimiser.param_groups, self.schedule.base_lrs, strict=True):
                group["lr"] = whole * factor(step)

"""The parts of training around its loop: optimisers, schedules, precision, what is frozen, the moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from ..checks import InputError, warn

OPTIMISERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
SCHEDULES = ("cosine", "plateau")


def make_schedule(
    optimiser: torch.optim.Optimizer, name: str, *, steps: int, warmup: int
) -> LambdaLR | ReduceLROnPlateau:
    """A schedule by name.

    "cosine" is stepped with the optimiser: a linear warm-up of ``warmup`` steps (at most a tenth of all ``steps``),
    then half a cosine down to 0. "plateau" is stepped once an epoch with the validation loss: the learning rate drops
    to a tenth whenever the loss has not fallen for more than 3 epochs.
    """
    if name == "plateau":
        return ReduceLROnPlateau(optimiser, patience=3)
    warmup = min(warmup, steps // 10)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return LambdaLR(optimiser, factor)


def parameter_groups(model: nn.Module, learning_rate: float, encoder_factor: float) -> list[dict]:
    """The optimiser's groups; if ``encoder_factor`` is not 1, the encoder learns at that share of the rate."""
    if encoder_factor == 1:
        return [{"params": list(model.parameters())}]
    encoder = list(model.encoder.parameters())
    inside = set(map(id, encoder))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    return [{"params": encoder, "lr": encoder_factor * learning_rate}, {"params": rest}]


def mixed_precision(amp: str, device: torch.device) -> torch.dtype | None:
    """The 16-bit type that the network computes in, by ``TrainConfig.amp``; None for 32 bits everywhere.

    Warns about a processor that has no instructions for it.
    """
    if amp == "never" or (amp == "cuda" and device.type != "cuda"):
        return None
    if device.type == "cuda":
        # Cards before Ampere, such as Colab's T4, only emulate bfloat16.
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    # Without oneDNN, as on Macs, this operator does not exist.
    native = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if device.type == "cpu" and not native:
        warn(
            "amp='always': this processor has no instructions for bfloat16, and training takes several times as long "
            "as with 32 bits; choose amp='cuda' or 'never'"
        )
    return torch.bfloat16


def set_gradient_checkpointing(model: nn.Module, wanted: bool) -> None:
    """Set whether the transformer's blocks are recomputed in the backward pass, to save memory.

    Raises:
        InputError: it is wanted for a network without a transformer.
    """
    encoder = getattr(model, "encoder", None)
    if hasattr(encoder, "gradient_checkpointing"):
        encoder.gradient_checkpointing = wanted
    elif wanted:
        raise InputError("gradient_checkpointing: only for networks with a transformer, such as dpt_large")


def training_output(model: nn.Module, image: Tensor) -> Tensor:
    """The output of a network in training for a batch.

    Raises:
        InputError: the batch is one picture so small that batch norm has only one value per channel.
    """
    try:
        return model(image)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            f"a batch of one picture of {image.shape[-1]} x {image.shape[-2]} pixels is too little for this network's "
            "batch norm; choose a larger input_size, or a batch_size that leaves no batch with a single picture"
        ) from None


def set_training(model: nn.Module) -> None:
    """``model.train()``, but batch norms whose weights the user froze keep their statistics too."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            weights = list(module.parameters())
            if weights and not any(weight.requires_grad for weight in weights):
                module.eval()


@contextmanager
def frozen_encoder(model: nn.Module) -> Iterator[None]:
    """Within the block the encoder does not learn, and its batch norms' statistics stay."""
    learning = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]  # not all, perhaps
    model.encoder.requires_grad_(False)
    model.encoder.eval()
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        model.encoder.train()


def warmed_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Exponential moving average that follows faster at first, so that a short run does not keep its random start."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, weight)
        else:  # batch norm's counters
            torch._foreach_copy_(averaged, current)

    return update

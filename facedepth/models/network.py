"""What all networks of this package have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import InputError, check_shapes, check_whole
from ..depth import KINDS

LEAST_SIZE = 16
"""The smallest ``input_size``, in pixels."""


class DepthNetwork(nn.Module, ABC):
    """A network from unnormalised RGB (B, 3, H, W) to (B, 1, H, W) values of its ``kind``, larger is nearer.

    If there is a second output channel, it holds the logits of the head. Subclasses implement ``predict_normalised``.

    Attributes:
        kind: one of ``facedepth.depth.KINDS``.
        input_size: side in pixels of the square pictures it works best on.
        mean, std: buffers (1, 3, 1, 1).
        non_negative: values (not the logits) are clipped at 0, as suits inverse depth.
        name, options: set by ``create_model``: the name and all options, defaults included; saved in the checkpoint. A
            class of one's own has its class's name and no options; it can be asked and scored, but trained and saved
            only once it is in ``MODELS`` (see ``ModelEntry``) and made by ``create_model``.
        encoder: the part, if there is one, that ``TrainConfig`` calls so.
        info: further metadata of the checkpoint: training data, metrics, licence.
        source: where its weights are from: what ``load_model`` was given, or the best checkpoint of ``fit``; else "".
    """

    def __init__(
        self, *, kind: str, input_size: int, mean: tuple[float, float, float], std: tuple[float, float, float],
        non_negative: bool = False,
    ) -> None:
        super().__init__()
        check_kind(kind)
        self.kind = kind
        self.input_size = check_whole("input_size", input_size, LEAST_SIZE)
        self.name, self.options, self.info = type(self).__name__, {}, {}
        self.source = ""
        self.non_negative = non_negative
        self.register_buffer("mean", _per_channel("mean", mean))
        self.register_buffer("std", _per_channel("std", std))

    def retarget(self, kind: str) -> None:
        """Declare the values to be of this kind from now on; if that is a change, they are no longer clipped at 0."""
        check_kind(kind)
        self.non_negative = self.non_negative and kind == self.kind
        self.kind = kind

    def forward(self, image: Tensor) -> Tensor:
        check_shapes(image=(image, "B 3 H W"))
        output = self.predict_normalised((image.to(self.mean.dtype) - self.mean) / self.std)
        check_shapes(image=(image, "B 3 H W"), output=(output, "B C H W"))  # of a class of one's own, too
        if output.shape[1] not in (1, 2):
            raise InputError(f"{self.name}: expected an output of 1 or 2 channels, got {output.shape[1]}")
        if not self.non_negative:
            return output
        cut = _RevivableReLU.apply if self.training else F.relu
        return torch.cat([cut(output[:, :1]), output[:, 1:]], dim=1)

    @abstractmethod
    def predict_normalised(self, image: Tensor) -> Tensor:
        """(B, 1 or 2, H, W) outputs for a normalised image; not yet clipped at 0."""


def _per_channel(name: str, numbers: Sequence[float]) -> Tensor:
    """(1, 3, 1, 1) of a red, a green and a blue number."""
    try:
        return torch.tensor(numbers, dtype=torch.float32).view(1, 3, 1, 1)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name}: expected three numbers, of red, green and blue, got {numbers!r}") from None


class _RevivableReLU(torch.autograd.Function):
    """ReLU that passes gradients to clipped values where the loss wants them larger.

    A network whose values are all clipped, as happens to half of those that start from random weights, would get no
    gradient any more: the losses of inverse depth, which fit the shift, do not pull the values up.
    """

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return F.relu(values)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return torch.where((values > 0) | (gradient < 0), gradient, 0.0)


class OutputConv2d(nn.Conv2d):
    """A network's last layer, kept in 32 bits under mixed precision.

    Rounded to bfloat16's eight significant bits, a relief has steps of up to a millimetre, visible in the normals.
    """

    def forward(self, features: Tensor) -> Tensor:
        kind = features.device.type
        if not torch.amp.is_autocast_available(kind):  # such as "meta", which only has shapes
            return super().forward(features)
        with torch.autocast(kind, enabled=False):
            return super().forward(features.to(self.weight.dtype))


def check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")


def uncompiled(model: nn.Module) -> nn.Module:
    """The network itself, where it is wrapped by ``torch.compile``, under which its tensors have other names."""
    return getattr(model, "_orig_mod", model)


def check_network(model: object) -> None:
    """Refuse anything but a network, such as a model's name.

    Raises:
        InputError: it says how to get one.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model: expected a network, as fd.load_model('face_small') gives, got {model!r:.60}")
    if not isinstance(uncompiled(model), DepthNetwork):
        raise InputError(
            "model: expected a network, as fd.load_model('face_small') gives, or one of a subclass of "
            f"facedepth.models.DepthNetwork, got {type(model).__name__}"
        )


@contextmanager
def evaluation_mode(model: DepthNetwork) -> Iterator[None]:
    """Within the block the network is in evaluation mode; afterwards every part is back in its own previous mode."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training

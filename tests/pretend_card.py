"""A graphics card that is not there: tensors are labelled by where they would lie, and mixing them is an error."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils import _device

CARD = torch.device("xpu", 0)  # no kind of device that a test machine has
HOST = torch.device("cpu")
TO_NUMPY = (Tensor.numpy, Tensor.__array__)


class PretendCard(TorchFunctionMode):
    """While it is entered, ``CARD`` can be used like a card: everything is computed on the CPU, but tensors made on the
    card, or from such ones, say so of themselves.

    Raises:
        AssertionError: with the function's name, where a card would refuse: an operation on tensors of both sides
            (those without dimensions excepted), NumPy from the card, random numbers there from the CPU's generator.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = resolve_name(func) or str(func)
        if func == Tensor.device.__get__:  # a new object every time it is asked for
            return CARD if on_card(args[0]) else HOST
        if func in _device._device_constructors():
            return make(func, name, args, kwargs)
        if func in (Tensor.to, Tensor.cpu):
            return move(func, args, kwargs)
        given = list(tensors_in((args, kwargs)))
        there = any(on_card(tensor) for tensor in given)
        if there:
            assert func not in TO_NUMPY, f"{name} of a tensor on the card"
            assert all(on_card(tensor) or not tensor.dim() for tensor in given), f"{name} mixes card and host"
        result = func(*args, **kwargs)
        if there:
            for tensor in tensors_in(result):
                tensor.on_card = True
        return result


def on_card(tensor: Tensor) -> bool:
    return getattr(tensor, "on_card", False)


def make(func, name: str, args: tuple, kwargs: dict) -> Tensor:
    """A factory function, such as ``torch.zeros``, for the device named or torch's default."""
    device = torch.device(kwargs.pop("device", None) or _device.CURRENT_DEVICE or HOST)
    if device.type == "meta":  # of a network that is yet to get its weights
        return func(*args, **kwargs, device=device)
    assert device == HOST or kwargs.get("generator") is None, f"{name} on the card by a generator of the host"
    return labelled(func(*args, **kwargs, device=HOST), args, card=device != HOST)


def move(func, args: tuple, kwargs: dict) -> Tensor:
    """``Tensor.to`` and ``Tensor.cpu``."""
    card = on_card(args[0])

    def here(value):
        nonlocal card
        if isinstance(value, Tensor):
            card = on_card(value)
        elif isinstance(value, str | torch.device):
            card = torch.device(value).type == CARD.type
            return HOST
        return value

    result = func(args[0], *map(here, args[1:]), **{key: here(value) for key, value in kwargs.items()})
    return labelled(result, args, card=card and func is not Tensor.cpu)


def labelled(result: Tensor, args: tuple, *, card: bool) -> Tensor:
    """The result with its label; a copy where it is one of the arguments and would change sides."""
    if on_card(result) != card and any(result is value for value in args):
        result = result.clone()
    result.on_card = card
    return result


def tensors_in(value) -> Iterator[Tensor]:
    """All tensors in lists, tuples and dicts, however nested."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))

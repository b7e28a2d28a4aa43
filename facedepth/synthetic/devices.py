"""Where tensors are made: torch's default device, which everything between a seed and a portrait honours.

Factory calls (``torch.zeros``, ``torch.tensor``, ``torch.as_tensor`` of an array, ...) name neither device nor type,
so that ``with making_on(device)`` decides for all of them. What is drawn is drawn on the CPU, and so are decisions that
the number of later draws hangs on: every device is then dealt the same random numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

CPU = torch.device("cpu")


def default_device() -> torch.device:
    """Where factory calls put their tensors now."""
    return torch.empty(0).device  # in torch 2.4, torch.get_default_device does not see a ``with torch.device(...)``


@contextlib.contextmanager
def making_on(device: torch.device) -> Iterator[None]:
    """Factory calls of torch land on the device, in 32 bits, and products keep all of them, whatever was set before."""
    # the device's context costs a microsecond in every call of torch, so it is entered only where it changes anything
    placed = contextlib.nullcontext() if device == default_device() else device
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with contextlib.ExitStack() as plain:
            for kind in {"cpu", device.type}:
                plain.enter_context(torch.autocast(kind, enabled=False))
            plain.enter_context(_unrounded_products())
            plain.enter_context(placed)
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextlib.contextmanager
def _unrounded_products() -> Iterator[None]:
    """Matrices of 32 bits are multiplied as they are: faster modes round them to 10 or 7 bits, on some CPUs too."""
    if not hasattr(torch.backends.mkldnn, "matmul"):  # before torch 2.9
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
        return
    backends = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)
    precisions = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, precision in zip(backends, precisions, strict=True):
            backend.fp32_precision = precision


def moved(value: Any, device: torch.device) -> Any:
    """The same tuple, list, dict or dataclass, however nested, with its tensors on the device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        parts = (moved(part, device) for part in value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [moved(part, device) for part in value]
    if isinstance(value, dict):
        return {name: moved(part, device) for name, part in value.items()}
    if dataclasses.is_dataclass(value):
        parts = {field.name: moved(getattr(value, field.name), device) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    return value


def on_host(make: Callable) -> Callable:
    """Let a function run on the CPU: tensors in its arguments are brought there, those it gives to the default device.

    For what must come out the same on every device, and for dozens of operations on a few numbers, which a GPU is slow
    at.
    """

    @functools.wraps(make)
    def made(*arguments, **options):
        device = default_device()
        if device == CPU:
            return make(*arguments, **options)
        with CPU:
            result = make(*moved(arguments, CPU), **moved(options, CPU))
        return moved(result, device)

    return made


def cached_per_device(make: Callable) -> Callable:
    """Let a function run once for the same arguments, on the CPU; the result is kept there and where asked for."""

    @functools.lru_cache(maxsize=8)
    def on_cpu(*arguments):
        with making_on(CPU):
            return make(*arguments)

    @functools.lru_cache(maxsize=8)
    def on_device(device, *arguments):
        return moved(on_cpu(*arguments), device)

    @functools.wraps(make)
    def cached(*arguments):
        device = default_device()
        return on_cpu(*arguments) if device == CPU else on_device(device, *arguments)

    return cached

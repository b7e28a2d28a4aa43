"""Guards at the public doors: one error type for bad input, one message format for wrong shapes, and devices."""

from __future__ import annotations

import math
import multiprocessing
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral, Real

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

_LONGEST_NAME = 300
# Whose code may lie between a warning and the user's line.
_BETWEEN = ("facedepth", "torch", "tqdm", "contextlib", "multiprocessing", "threading", "concurrent")


class InputError(ValueError):
    """Something the user handed over cannot be used. The message says what was expected, what came and what to do."""


def warn(message: str) -> None:
    """Warn at the line of the user's code that led here, however deep in the library this is."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def shown(names: Iterable[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def installed_version() -> str:
    """This library's version, for the files it writes; "not installed" where it runs from a bare folder."""
    try:
        return version("facedepth")
    except PackageNotFoundError:
        return "not installed"


def check_shapes(**tensors: tuple[Tensor, str]) -> dict[str, int]:
    """Check tensors against shapes written like ``"B 1 H W"`` and return the sizes of the letters.

    Each keyword is the argument's name with a pair (tensor, pattern). Numbers must match exactly, a letter must have
    the same size everywhere, and a leading ``...`` stands for any number of batch dimensions.

    Raises:
        InputError: naming the argument, the expected and the received shape.

    >>> check_shapes(depth=(torch.zeros(1, 4, 6), "1 H W"), mask=(torch.zeros(1, 4, 6), "1 H W"))
    {'H': 4, 'W': 6}
    """
    sizes: dict[str, int] = {}
    for name, (tensor, pattern) in tensors.items():
        if not _fits(tuple(tensor.shape), pattern.split(), sizes):
            known = ", ".join(f"{letter} = {size}" for letter, size in sizes.items() if letter in pattern)
            expected = f"({', '.join(pattern.split())})" + (f" with {known}" if known else "")
            raise InputError(f"{name}: expected shape {expected}, got {tuple(tensor.shape)}")
    return sizes


def at_least_32_bits(values: Tensor) -> Tensor:
    """The same values, in 32 bits if they had 16: sums over a picture and products of slopes would overflow, or lose
    their precision."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def choose_device(name: str | torch.device) -> torch.device:
    """The device of that name; "auto" is the CUDA card where there is one, else the CPU.

    Raises:
        InputError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {str(name)!r} cannot be used here: {str(error).splitlines()[0]}") from None
    if device.type == "meta":
        raise InputError("device 'meta' cannot be used here: it holds no numbers")
    return device


def _fits(shape: tuple[int, ...], words: list[str], sizes: dict[str, int]) -> bool:
    if words[0] == "...":
        words = words[1:]
        shape = shape[-len(words) :]
    if len(shape) != len(words):
        return False
    found = dict(sizes)
    for size, word in zip(shape, words, strict=True):
        if found.setdefault(word, int(word) if word.isdigit() else size) != size:
            return False
    sizes.update({word: size for word, size in found.items() if not word.isdigit()})
    return True


def check_dataset(name: str, dataset: object, says: Sequence[str] = ("depth_kind",)) -> None:
    """Refuse a data set that does not say of itself what is needed.

    Raises:
        InputError: naming what it lacks.
    """
    if isinstance(dataset, IterableDataset) or not all(hasattr(dataset, part) for part in ("__len__", "__getitem__")):
        raise InputError(
            f"{name}: expected a data set with a length, whose samples have places, got {type(dataset).__name__}"
        )
    lacking = [attribute for attribute in says if not hasattr(dataset, attribute)]
    if lacking:
        raise InputError(
            f"{name}: expected a data set that says its {' and '.join(lacking)}, as EG3DFaces does, got "
            f"{type(dataset).__name__}; a data set of your own needs it too; parts are made by fd.split and "
            "fd.data.Part, and several joined by fd.Joined"
        )


def dataset_name(dataset: object) -> str:
    """What a data set calls itself, if that is short; else its class."""
    owner = next(kind for kind in type(dataset).__mro__ if "__repr__" in vars(kind))
    name = repr(dataset) if owner.__module__ != "builtins" else ""
    return name if 0 < len(name) <= _LONGEST_NAME else type(dataset).__name__


def check_whole(name: str, value: object, least: int) -> int:
    """The same number, as Python's own, if it is a whole one of at least ``least``; NumPy's are whole numbers too, True
    and 2.0 are not.

    Raises:
        InputError: naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)


def check_number(
    name: str, value: object, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf,
    below: float = math.inf,
) -> float:
    """The same number, as Python's own, if it is finite and within these bounds; one of NumPy's or in a tensor will
    do, True will not.

    Raises:
        InputError: naming the argument.
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name}: expected a number, got {value!r}")
    if not (above < value < below and least <= value <= most):
        bounds = {"above": above, "at least": least, "at most": most, "below": below}
        told = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
        finite = "" if math.isfinite(value) else "a finite number, "
        raise InputError(f"{name}: expected {(finite + told).rstrip(', ')}, got {value}")
    return float(value)


def refuse_rereading() -> None:
    """Refuse to train in a worker process that has only begun to read the user's script, as Windows and macOS do.

    Raises:
        InputError: saying how such a script must be written.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # so multiprocessing itself tells
        raise InputError(
            "a worker process read this script again and came to train as well: put what the script does under "
            "if __name__ == '__main__':, or set workers=0"
        )

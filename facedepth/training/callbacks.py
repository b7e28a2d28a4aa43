"""What ``fit`` calls after every epoch, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..checks import InputError

History = list[dict[str, float]]

Pictures = Sequence[Mapping[str, np.ndarray]]
"""Rows of (H, W, 3) uint8 by title, as ``figures.panel`` takes them."""

Callback = Callable[[History, Pictures], None]


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Before the first epoch, not after it.

    Raises:
        InputError: naming what cannot be called.
    """
    if not isinstance(callbacks, Sequence):
        raise InputError(f"callbacks: expected a list of them, got {callbacks!r:.60}; write [callback]")
    for callback in callbacks:
        if not callable(callback):
            raise InputError(f"callbacks: expected functions of history and pictures, got {callback!r:.60}")

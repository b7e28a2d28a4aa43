"""Ways in which training ends before its time: a Ctrl-C, which waits for the end of a step, and memory that is full."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class TrainingStopped(RuntimeError):
    """The loss became NaN or infinite, or the GPU's memory is full; the last good state is kept."""


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Within the block the first Ctrl-C only sets the event, so that no step is cut short; the second one raises."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # signals reach only the main thread
        return

    def remember(number, frame) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def explained_full_memory() -> Iterator[None]:
    """If the GPU's memory is full, end the block with advice, and free the memory.

    Raises:
        TrainingStopped: instead of PyTorch's error.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)  # a notebook keeps the last error, and so what its frames hold
        torch.cuda.empty_cache()
        raise TrainingStopped(
            f"the GPU's memory is full ({str(error).splitlines()[0]}); choose a smaller batch_size or input_size, "
            "train less of the network or recompute more (TrainConfig: learns, gradient_checkpointing), or restart the "
            "kernel if other networks fill it"
        ) from None

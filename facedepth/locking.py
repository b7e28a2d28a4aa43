"""One process at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def taking_turns(lock: str | Path, busy: str) -> Iterator[None]:
    """Hold a lock file while the block runs, after whoever holds it; the lock of a process that was killed is free.

    Args:
        lock: the file, made if it is missing; on some systems it stays.
        busy: printed if another holds it, before waiting.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"{busy}; waiting", file=sys.stderr)
        held.acquire()
    try:
        yield
    finally:
        held.release()

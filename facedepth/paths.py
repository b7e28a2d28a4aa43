"""Where users' paths lead, files that appear whole or not at all, and one process at a time."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .checks import InputError, shown, warn

_STEM = 50
"""So many letters of a file's stem begin the name of its temporary one, which is longer by a number and an ending."""


def user_path(path: str | Path, name: str = "") -> Path:
    """A path as a user gives it: a ~ in front is their home, as in a shell.

    Args:
        name: of the argument, where there are several.

    Raises:
        InputError: empty, which would be the current folder, or no path at all.
    """
    if not isinstance(path, str | os.PathLike) or not str(path).strip():
        raise InputError(f"{name}{': ' * bool(name)}expected the path of a file or a folder, got {path!r}")
    return Path(os.path.expanduser(path))


def existing_file(path: str | Path) -> Path:
    """The path, if something can be read there.

    Raises:
        InputError: no file there, or an empty one.
    """
    path = user_path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, expected a file' if path.is_dir() else 'no such file'}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); was its download or copy cut short?")
    return path


def why_unreadable(path: Path) -> str:
    """What often lies under the name of another file, and what to do then; "" where it is none of that."""
    try:
        with open(path, "rb") as file:
            start = file.read(256)
    except OSError:  # it may not be read at all
        return ""
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself; run `git lfs pull` in its repository, or download it from there"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (HTML), not the file itself; download it again, by the link that leads to the file"
    if not looks_heic(path):
        return ""
    if importlib.util.find_spec("pi_heif") is not None:
        return "a damaged HEIC picture; was its download or copy cut short?"
    return 'reading HEIC needs the package pi-heif: pip install ".[faces]" in the clone; or save it as JPEG or PNG'


def looks_heic(path: Path) -> bool:
    """Whether a file begins as HEIC pictures do, the iPhones' format; some are named .jpg."""
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start[4:10] == b"ftyphe" or start[4:12] in (b"ftypmif1", b"ftypmsf1")


def check_writable(folder: str | Path, advice: str = "choose another folder") -> None:
    """Check before the work, not after it, that files can be written to a folder, whether it exists yet or not.

    Raises:
        InputError: they cannot; with the advice.
    """
    folder = user_path(folder)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror or error}); {advice}") from None


def refuse_existing(paths: list[Path], overwrite: bool) -> None:
    """Refuse to overwrite files that are already there.

    Raises:
        InputError: naming them, unless ``overwrite``; and folders of these names in any case.
    """
    folders = [str(path) for path in map(user_path, paths) if path.is_dir()]
    if folders:
        raise InputError(f"{shown(folders, most=3)}: a folder, where a file is to be written; choose another place")
    there = [str(path) for path in map(user_path, paths) if path.exists()]
    if there and not overwrite:
        raise InputError(
            f"{shown(there, most=3)}: already there; choose another place, or overwrite (overwrite=True, --overwrite)"
        )


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well, and is removed when not.

    Raises:
        OSError: whatever could not be written; of a full disk it names the path.
    """
    path = user_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unique = f"{os.getpid()}-{threading.get_native_id()}"  # threads may write the same file, too
    temporary = path.with_name(f".{path.stem[:_STEM]}.{unique}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:  # Windows flushes no file that is open only for reading
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename is None:  # what writes to an open file does not know its name
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(lock: str | Path, busy: str, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file while the block runs, after whoever holds it; the lock of a process that was killed is free.

    Where a file system has no locks, or the file cannot be made, the block runs all the same, after a warning.

    Args:
        lock: the file, made if it is missing; on some systems it stays.
        busy: who else may hold it and what that means; printed before waiting.
        wait: if False, ``busy`` is an error.

    Raises:
        InputError: another holds it, and ``wait`` is False.
    """
    held = FileLock(lock)
    try:
        try:
            held.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise InputError(busy) from None
            print(f"{busy}; waiting", file=sys.stderr)
            held.acquire()
    except (OSError, RuntimeError) as error:  # file systems without locks report it in many ways
        warn(f"{lock}: cannot be locked ({error}); make sure that nothing else writes there")
    try:
        yield
    finally:
        held.release()

"""Bring a data set from slow storage to the local disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tqdm.auto import tqdm

from ..checks import InputError, shown, warn
from ..paths import locked, user_path

_THREADS = 16  # a network drive answers slowly, but many at once

# What reading a damaged archive fails with; RuntimeError is an encrypted .zip.
_UNREADABLE = (
    shutil.ReadError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
)


def copy_to_local_disk(source: str | Path, target: str | Path) -> Path:
    """Copy a folder, or unpack an archive (.zip, .tar, .tar.gz, ...), once.

    Thousands of small files read one by one from a mounted Google Drive slow training down a hundredfold; one archive
    copies fastest. Files already there with the same size and time are not copied again, so an interrupted copy of a
    folder resumes where it stopped. Nothing is deleted at the target, and no file is replaced that is newer than the
    source's: warnings name these, and what the source does not have. Several processes may call this at once: each
    waits for the one before.

    Args:
        source: a folder or an archive.
        target: the local folder. Every source, and every later state of an archive, gets a folder of its own in it.

    Returns:
        The folder with the data: the source's own in the target or, if an archive held a single folder, that one.

    Raises:
        InputError: nothing at the source, or an archive of an unknown kind, damaged, or with files that would land
            outside the target; the target is no folder, or lies in the source; the disk is full.
    """
    source, target = user_path(source, "source"), user_path(target, "target")
    if source.is_dir():
        if target.resolve().is_relative_to(source.resolve()):
            raise InputError(f"{target}: lies in {source}, which would be copied into itself; name another target")
        folder = target / f"{source.resolve().name}-{_letters(source.resolve())}"
        _copy_folder(source, folder)
        return folder
    if not source.is_file():
        raise InputError(f"{source}: no such folder or archive; is the Drive mounted?")
    folder = target / f"{source.name.split('.')[0]}-{_state(source)}"
    if not folder.exists():  # it may lie where only others write
        with _alone_in(folder):
            if not folder.exists():  # nor has it come while we waited
                _unpack(source, folder)
    inside = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others from writing to the folder, which need not be there, while the block runs."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder.parent}: cannot be a folder to copy to ({error.strerror}); choose another") from None
    with locked(folder.with_name(f".{folder.name}.lock"), f"{folder}: another process is writing there"):
        yield


def _state(archive: Path) -> str:
    """A few letters that change when the file is moved or rewritten."""
    facts = archive.stat()
    return _letters(f"{archive.resolve()} {facts.st_size} {facts.st_mtime_ns}")


def _letters(of: object) -> str:
    return hashlib.sha256(str(of).encode()).hexdigest()[:8]


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack all of it, or nothing."""
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted call
    try:
        # Python's .zip reader never leaves the folder; its .tar reader does, unless it is told not to.
        safely = {"filter": "data"} if tarfile.is_tarfile(archive) and hasattr(tarfile, "data_filter") else {}
        shutil.unpack_archive(archive, partial, format=_format(archive), **safely)
        if not partial.is_dir():  # shutil makes no folder for an empty archive
            raise EOFError("nothing is in it")
        _make_folders_of_backslashes(partial)
    except _UNREADABLE as error:
        shutil.rmtree(partial, ignore_errors=True)
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise InputError(f"{archive}: there is no room to unpack it in {folder.parent}; the disk is full") from None
        raise InputError(
            f"{archive}: cannot be unpacked ({error}); expected .zip, .tar or .tar.gz without a password. Was its "
            "copy cut short or damaged? Copy it again"
        ) from None
    os.replace(partial, folder)


def _make_folders_of_backslashes(folder: Path) -> None:
    """Put files where their archive's names mean: some programs on Windows write "images\\a.png" for images/a.png.
    Where something is in the way, a file keeps its name.

    Raises:
        OSError: a name leads out of the folder.
    """
    odd = [path for path in folder.rglob("*") if "\\" in path.name]
    for path in (path for path in odd if path.is_file()):
        *folders, name = path.name.split("\\")
        if ".." in folders:
            raise OSError(f"it holds {path.name}, which lies outside of it")
        place = path.parent.joinpath(*filter(None, folders))
        with contextlib.suppress(FileExistsError, NotADirectoryError):  # a file has the name of a folder
            place.mkdir(parents=True, exist_ok=True)
            if not name:  # a folder's own entry
                path.unlink()
            elif not (place / name).exists():
                os.replace(path, place / name)
    for path in (path for path in odd if path.is_dir()):
        with contextlib.suppress(OSError):  # not empty
            path.rmdir()


def _format(archive: Path) -> str | None:
    """The format as shutil names it, whatever the case of the suffix; None if it is not an archive's."""
    known = ((kind, ending) for kind, endings, _ in shutil.get_unpack_formats() for ending in endings)
    return next((kind for kind, ending in known if archive.name.lower().endswith(ending)), None)


def _copy_folder(source: Path, target: Path) -> None:
    try:
        known = sorted(_files(source))
        missing, newer = _differences(source, target, known)
        if missing:
            with _alone_in(target):
                missing, newer = _differences(source, target, known)  # another may have copied while we waited
                with ThreadPoolExecutor(_THREADS) as pool:
                    jobs = pool.map(lambda path: _copy(source / path, target / path), missing)
                    for _ in tqdm(jobs, total=len(missing), desc=f"copy to {target}", unit="file", leave=False):
                        pass
    except OSError as error:
        raise InputError(
            f"{target}: cannot copy {source} there ({error.strerror or error}); what is copied stays, and the next "
            "call resumes from there"
        ) from None
    if newer:
        warn(
            f"{target}: what is newer there than in {source} stays as it is ({shown(map(str, newer))}); delete it to "
            "have it copied anew"
        )
    there = {path.relative_to(target) for path in target.rglob("*") if path.is_file()}
    others = sorted(str(target / path) for path in there.difference(known))
    if others:
        warn(
            f"{target}: holds what {source} does not ({shown(others)}); if it was deleted there, delete it here too"
        )


def _differences(source: Path, target: Path, known: list[Path]) -> tuple[list[Path], list[Path]]:
    """What is to be copied; and what is newer at the target, so that it was written to there: copies get their source's
    time."""
    missing, newer = [], []
    for path in known:
        if not _same(source / path, target / path):
            copied = target / path
            ahead = copied.is_file() and copied.stat().st_mtime > (source / path).stat().st_mtime
            (newer if ahead else missing).append(path)
    return missing, newer


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder, relative to it, also those behind links; links that lead back up are not followed.

    Raises:
        OSError: a folder cannot be listed.
    """
    def stop(error: OSError) -> None:  # os.walk would leave the folder out
        raise error

    for place, folders, names in os.walk(folder, followlinks=True, onerror=stop):
        way = (path for path in (Path(place), *Path(place).parents) if path.is_relative_to(folder))
        above = {os.path.realpath(path) for path in way}
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) not in above]
        yield from (Path(place, name).relative_to(folder) for name in names if Path(place, name).is_file())


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f"{to.name}.part")
    try:
        shutil.copyfile(path, partial)
        facts = path.stat()
        os.utime(partial, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        os.replace(partial, to)
    finally:
        partial.unlink(missing_ok=True)


def _same(path: Path, copy: Path) -> bool:
    """Whether a file was copied already; one that replaced it since has another time."""
    if not copy.is_file():
        return False
    of_copy, of_source = copy.stat(), path.stat()
    return of_copy.st_size == of_source.st_size and abs(of_copy.st_mtime - of_source.st_mtime) < 0.01

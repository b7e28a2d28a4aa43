"""Bring a data set from slow storage to the local disk."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from ..checks import InputError

_THREADS = 16  # a network drive answers slowly, but many at once

# What reading a damaged archive fails with; RuntimeError is an encrypted .zip.
_UNREADABLE = (
    shutil.ReadError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
)


def copy_to_local_disk(source: str | Path, target: str | Path) -> Path:
    """Copy a folder, or unpack an archive (.zip, .tar, .tar.gz, ...), once.

    Thousands of small files read one by one from a mounted Google Drive slow training down a hundredfold; one archive
    copies fastest. What is whole at the target and not older is not copied again, so a cut copy goes on where it
    stopped.

    Args:
        source: a folder or an archive.
        target: the local folder.

    Returns:
        The target; where an archive held a single folder, that folder.

    Raises:
        InputError: nothing at the source, or an archive of an unknown kind, damaged, or with files for other folders
            than the target.
    """
    source, target = Path(source), Path(target)
    if source.is_dir():
        _copy_folder(source, target)
        return target
    if not source.is_file():
        raise InputError(f"{source}: no such folder or archive; is the Drive mounted?")
    done = target / f".unpacked-{source.name}-{source.stat().st_size}"
    if not done.exists():
        others = set(target.iterdir()) if any(target.glob(".unpacked-*")) else set()
        try:
            # Python's .zip reader never leaves the folder; its .tar reader does, unless it is told not to.
            safely = {"filter": "data"} if tarfile.is_tarfile(source) and hasattr(tarfile, "data_filter") else {}
            shutil.unpack_archive(source, target, **safely)
        except _UNREADABLE as error:
            raise InputError(
                f"{source}: cannot be unpacked ({error}); expected .zip, .tar or .tar.gz without a password. Was its "
                "copy cut short or damaged? Copy it again"
            ) from None
        new = [path for path in target.iterdir() if path not in others and not path.name.startswith((".", "__MACOSX"))]
        done.write_text(new[0].name if len(new) == 1 and new[0].is_dir() else ".")
    return target / done.read_text()


def _copy_folder(source: Path, target: Path) -> None:
    files = [path for path in source.rglob("*") if path.is_file()]
    missing = [path for path in files if not _same(path, target / path.relative_to(source))]
    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = pool.map(lambda path: _copy(path, target / path.relative_to(source)), missing)
        for _ in tqdm(jobs, total=len(missing), desc=f"copy to {target}", unit="file", leave=False):
            pass


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f"{to.name}.part")
    shutil.copyfile(path, partial)
    os.replace(partial, to)


def _same(path: Path, copy: Path) -> bool:
    """Whether a file was copied already; what was rewritten since is later than its copy."""
    if not copy.is_file():
        return False
    of_copy, of_source = copy.stat(), path.stat()
    return of_copy.st_size == of_source.st_size and of_copy.st_mtime >= of_source.st_mtime

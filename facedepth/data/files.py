"""Which files of a data set belong together, and what to tell the user about those that do not."""

from __future__ import annotations

import unicodedata
import zipfile
from pathlib import Path

import numpy as np
from torch import Tensor

from ..checks import InputError, shown, warn
from ..io import open_picture

_UNREAD = (".avif", ".gif", ".jp2", ".dng", ".cr2", ".nef", ".arw", ".raw")
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_EXR_START = b"v/1\x01"


def list_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files of a folder that have one of the suffixes, by stem, in the order of their names; hidden ones excepted.

    Raises:
        InputError: no such folder, or two files of the same stem.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, {'got a file' if folder.exists() else 'it does not exist'}")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            stem = unicodedata.normalize("NFC", path.stem)  # as Macs and others write the same letters differently
            if stem in files:
                raise InputError(f"{folder}: {files[stem].name} and {path.name} have the same stem; remove one")
            files[stem] = path
    return files


def complete_stems(images: dict[str, Path], others: dict[str, dict[str, Path]], *, skip_bad: bool) -> list[str]:
    """The stems that are among the images and in every one of the ``others`` (by what they are called), in order.

    With ``skip_bad`` only those whose files all look whole (see ``looks_whole``).

    Raises:
        InputError: naming and counting the files without partners or, with ``skip_bad``, those that are damaged, which
            then are a warning as long as a sample is left.
    """
    stems = _match(images, others, skip_bad)
    if not skip_bad:
        return stems
    return _drop_damaged({stem: [files[stem] for files in (images, *others.values())] for stem in stems})


def _match(images: dict[str, Path], others: dict[str, dict[str, Path]], skip_bad: bool) -> list[str]:
    lacks = {
        f"without {kind}": [path.name for stem, path in images.items() if stem not in files]
        for kind, files in others.items()
    }
    lacks |= {
        f"{kind} without image": [path.name for stem, path in files.items() if stem not in images]
        for kind, files in others.items()
    }
    report = "; ".join(f"{len(names)} {what} ({shown(names)})" for what, names in lacks.items() if names)
    report += _other_formats(images, {Path(name).stem for names in lacks.values() for name in names})
    matched = [stem for stem in images if all(stem in files for files in others.values())]
    if report and not (matched and skip_bad):
        advice = "files belong together by their stem; add or remove these, or skip them (skip_bad=True, --skip-bad)"
        raise InputError(f"of {len(images)} images, {len(matched)} are complete: {report}; {advice}")
    if report:
        warn(f"skipping files without partners: {report}")
    return matched


def _other_formats(images: dict[str, Path], stems: set[str]) -> str:
    """What to say of pictures beside the images that bear such a stem, in a format that is not read."""
    if not stems:
        return ""
    folders = {path.parent for path in images.values()}
    beside = (path for folder in folders for path in sorted(folder.iterdir()) if path.stem in stems)
    names = [path.name for path in beside if path.suffix.lower() in _UNREAD and path.stem not in images]
    return f"; save {shown(names)} as JPEG or PNG to have them read" if names else ""


def _drop_damaged(samples: dict[str, list[Path]]) -> list[str]:
    damaged = {stem: [path for path in paths if not looks_whole(path)] for stem, paths in samples.items()}
    names = [f"{path.parent.name}/{path.name}" for paths in damaged.values() for path in paths]
    whole = [stem for stem, paths in damaged.items() if not paths]
    if names and not whole:
        raise InputError(f"no sample is whole: {len(names)} damaged files ({shown(names)}); copy the data set again")
    if names:
        warn(f"skipping samples with damaged files: {len(names)} files ({shown(names)})")
    return whole


def check_head(path: Path, head: Tensor, mask: Tensor) -> None:
    """Refuse a mask picture whose head (1, H, W) holds no valid depth, of which ``mask`` (1, H, W) tells.

    Raises:
        InputError: naming the picture.
    """
    if not (head & mask).any():
        raise InputError(f"{path}: no pixel of the head with valid depth; on the head masks are bright (255)")


def with_sample_name(error: InputError, stem: str) -> InputError:
    """The error of a file, with the sample that it belongs to and what to do about it."""
    stop = "" if str(error).endswith("?") else "."
    return InputError(
        f"{error}{stop} Replace or delete the files of sample {stem!r} (skip_bad=True leaves out files cut short); a "
        "training run that is to go on needs them replaced: with fewer samples it cannot"
    )


def looks_whole(path: Path) -> bool:
    """Whether a file begins as its suffix promises and, for PNG and NumPy files, is not cut short; nothing is decoded.

    What lies between goes unseen: a damaged file may still fail when it is read.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            np.load(path, mmap_mode="r", allow_pickle=False)  # maps the file, which compares its length to the header
        elif suffix == ".npz":
            return zipfile.is_zipfile(path)
        elif suffix == ".png":
            with open(path, "rb") as file:
                start = file.read(len(_PNG_START))
                file.seek(-min(path.stat().st_size, 1024), 2)
                return start == _PNG_START and _PNG_END in file.read()
        elif suffix == ".exr":
            with open(path, "rb") as file:
                return file.read(len(_EXR_START)) == _EXR_START
        else:
            open_picture(path).close()
    except Exception:  # whatever their readers stumble over: np.load lets tokenize's errors through, Pillow its own
        return False
    return True


def warn_about_drive(*folders: Path) -> None:
    """Warn when a folder lies on a Google Drive mounted in Colab, which reads many small files at a crawl."""
    if any("/content/drive/" in f"{folder.resolve().as_posix()}/" for folder in folders):
        warn(
            f"{folders[0]} lies on Google Drive, which reads about one small file a second: copy one archive of it to "
            "the local disk and unpack it there (data/README.md shows how)"
        )

"""Find the pictures that paths name: files, folders, and lists of paths."""

from __future__ import annotations

from pathlib import Path

from ..checks import InputError, shown, warn
from ..io import IMAGE_SUFFIXES, open_picture
from ..paths import existing_file, user_path

_RARER_SUFFIXES = (".avif", ".gif", ".jp2", ".dng")  # read if Pillow can, and if they are no film


def list_images(*sources: str | Path) -> list[Path]:
    """The pictures that paths name: files, those in a folder sorted by name, or those a .txt lists, one path per line.

    Relative paths in a list start at the list's folder; empty lines and lines that begin with # are skipped. In a
    folder, hidden files are left out, and previews and textures that ``Prediction.save`` wrote; films and picture
    formats that cannot be read are left out with a warning. A path named twice counts once.

    Raises:
        InputError: nothing there, no picture in it, or two pictures whose results would collide because their stems
            are equal once blanks become _.
    """
    by_stem: dict[str, Path] = {}
    for path in (path for source in sources for path in _pictures_of(user_path(source))):
        stem = "_".join(path.stem.split())  # as an .obj's texture is named
        if by_stem.setdefault(stem, path).resolve() != path.resolve():
            raise InputError(f"{by_stem[stem]} and {path}: results of both would be called {stem}; rename one of them")
    return list(by_stem.values())


def _pictures_of(source: Path) -> list[Path]:
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if not path.name.startswith("."))
        other = {path.name for path in files if path.suffix.lower() in _RARER_SUFFIXES and not _is_readable(path)}
        read = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES + _RARER_SUFFIXES]
        results = _results_among(files)
        found = [path for path in read if path.name not in other and path not in results]
        if other:
            warn(
                f"{source}: left out (save them as JPEG or PNG to have them read): {', '.join(sorted(other))}"
            )
    elif source.suffix.lower() == ".txt":
        try:
            lines = [line.strip() for line in existing_file(source).read_text(encoding="utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise InputError(f"{source}: expected a list of paths in UTF-8 ({error}); save it as UTF-8") from None
        found = [source.parent / user_path(line) for line in lines if line and not line.startswith("#")]
    else:
        found = [existing_file(source)]
    if not found:
        raise InputError(f"{source}: no picture in it ({', '.join(IMAGE_SUFFIXES)})")
    return found


def _is_readable(path: Path) -> bool:
    """Whether Pillow knows its format (of a .dng it reads a thumbnail) and it is no film, as ``turntable`` writes."""
    try:
        with open_picture(path) as picture:
            return path.suffix.lower() != ".dng" and getattr(picture, "n_frames", 1) == 1
    except Exception:  # Pillow's readers fail in many ways
        return False


def _results_among(files: list[Path]) -> set[Path]:
    """The files of a folder that ``Prediction.save`` wrote: ``<stem>_depth.png`` and an .obj's ``<stem>_texture.png``.
    A depth picture without its .json, which is written last, is one if its photo is there too; a warning names it."""
    names = {path.name for path in files}
    photos = {path.stem for path in files if path.suffix.lower() in IMAGE_SUFFIXES + _RARER_SUFFIXES}
    # An .obj's texture has no blanks in its name, where the .obj may.
    meshes = {"_".join(path.stem.split()) for path in files if path.suffix.lower() in (".obj", ".mtl")}
    results, unsaid = set(), []
    for path in files:
        stem, _, ending = path.name.rpartition("_")
        if ending == "depth.png" and (f"{stem}_depth.json" in names or stem in photos):
            results.add(path)
            unsaid += [] if f"{stem}_depth.json" in names else [path.name]
        elif ending == "texture.png" and stem in meshes:
            results.add(path)
    if unsaid:
        warn(f"{files[0].parent}: left out, as depth of the photos beside them: {shown(unsaid)}")
    return results

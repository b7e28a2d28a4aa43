"""The files that ``Prediction.save`` writes: which formats there are, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..checks import InputError
from ..mesh import MESH_SUFFIXES
from ..paths import user_path

FORMATS = ("npy", "png", *(suffix[1:] for suffix in MESH_SUFFIXES), "html")


def result_paths(folder: str | Path, name: str, formats: Sequence[str]) -> dict[str, Path]:
    """Where ``Prediction.save`` writes each format; an .obj has files beside it."""
    return {
        ending: user_path(folder) / (f"{name}_depth.{ending}" if ending in ("npy", "png") else f"{name}.{ending}")
        for ending in formats
    }


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that ``Prediction.save`` does not write.

    Raises:
        InputError: naming them, or saying that none was asked for.
    """
    if isinstance(formats, str) or formats is None:
        raise InputError(f"formats: expected a list of some of {', '.join(FORMATS)}, got {formats!r}")
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise InputError(f"formats: expected some of {', '.join(FORMATS)}, got {', '.join(unknown) or 'none'}")

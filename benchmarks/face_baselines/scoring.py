"""From depth maps to a table: alignment, two scores a picture, confidence intervals, breakdowns by the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from facedepth.depth import fit_scale_shift
from facedepth.metrics import mad_deg, normal_angles_deg, rmse
from facedepth.sample import Sample

RESAMPLES = 2000
SCORES = ("rmse_mm", "mad_deg", "covered_pct", "scale", "unscaled_mm")


class Guess(NamedTuple):
    """What a method says of one picture.

    Attributes:
        depth: (1, H, W) z-depth up to scale and shift; metres where ``has_scale``.
        covered: (1, H, W) bool, where it says anything.
    """

    depth: Tensor
    covered: Tensor
    has_scale: bool = False


def score(guess: Guess | None, sample: Sample) -> dict[str, float]:
    """Scale and shift fitted on the covered part of the face, then ``rmse_mm`` and ``mad_deg`` there.

    ``covered_pct`` is that part's share of the face. A guess that has a scale has two scores more: ``scale``, the
    factor that was fitted, and ``unscaled_mm``, the RMSE with the shift alone fitted. A picture without a guess has no
    scores and covers nothing.
    """
    nothing = dict.fromkeys(SCORES, np.nan) | {"covered_pct": 0.0}
    if guess is None:
        return nothing
    face = sample.face & sample.mask
    region = face & guess.covered
    if int(region.sum()) < 50:
        return nothing
    scale, shift = fit_scale_shift(guess.depth, sample.depth, region, least_scale=0)
    aligned = torch.where(guess.covered, scale * guess.depth + shift, 0.0)[None]
    true, camera = sample.depth[None], sample.camera
    angles_deg = normal_angles_deg(aligned, true, camera)
    error = (guess.depth - sample.depth)[region]
    return {
        "rmse_mm": 1000 * float(rmse(aligned, true, region[None])), "mad_deg": float(mad_deg(angles_deg, region[None])),
        "covered_pct": 100 * float(region.sum() / face.sum()), "scale": float(scale) if guess.has_scale else np.nan,
        "unscaled_mm": 1000 * float(error.std(correction=0)) if guess.has_scale else np.nan,
    }


def interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float, float]:
    """Mean over the pictures that have a score, and the bootstrap's 95 % confidence interval of it."""
    known = np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return np.nan, np.nan, np.nan
    drawn = np.random.default_rng(seed).integers(len(known), size=(RESAMPLES, len(known)))
    low, high = np.quantile(known[drawn].mean(axis=1), [0.025, 0.975])
    return float(known.mean()), float(low), float(high)


def _bins(edges: Sequence[float], names: Sequence[str]) -> Callable[[str], str]:
    return lambda value: names[int(np.searchsorted(edges, abs(float(value)), side="right"))]


GROUPS: dict[str, Callable[[str], str]] = {
    "source": str, "finish": str, "framing": str, "hair": str, "hat": lambda kind: "no" if kind == "none" else "yes",
    "glasses": lambda value: "yes" if int(value) else "no", "expression": str,
    "light": lambda name: name if name in ("studio", "window", "sky") else "photographed",
    "skin_tone": _bins((0.33, 0.66), ("light", "medium", "dark")),
    "age": _bins((0.6, 0.8), ("young", "grown", "old")), "gender": _bins((0.5,), ("male", "female")),
    "yaw_deg": _bins((10, 22), ("below 10", "10 to 22", "above 22")),
}
"""How a column of the manifest parts the pictures."""


def groups(manifest: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> dict[tuple[str, str], list[int]]:
    """Places in ``names`` by column and group, for the columns that the manifest has."""
    found: dict[tuple[str, str], list[int]] = {}
    for column, group_of in GROUPS.items():
        for place, name in enumerate(names):
            if column in manifest.get(name, {}):
                found.setdefault((column, group_of(manifest[name][column])), []).append(place)
    return dict(sorted(found.items()))


def table(scores: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Markdown: a row a method, means with their confidence intervals."""
    titles = ("method", "pictures", "covered", "RMSE, mm", "normals, degrees", "scale", "RMSE unscaled, mm")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for method, rows in scores.items():
        known = [row for row in rows if np.isfinite(row["rmse_mm"])]
        lines.append(
            f"| {method} | {len(known)} of {len(rows)} | {_mean(known, 'covered_pct'):.0f} % "
            f"| {_with_interval(rows, 'rmse_mm')} | {_with_interval(rows, 'mad_deg')} "
            f"| {_median(known, 'scale')} | {_median(known, 'unscaled_mm')} |"
        )
    return "\n".join(lines)


def breakdown(
    scores: Mapping[str, Sequence[Mapping[str, float]]], manifest: Mapping[str, Mapping[str, str]], names: Sequence[str]
) -> str:
    """Markdown: a row a group, RMSE / MAD of every method."""
    lines = [f"| group | pictures | {' | '.join(scores)} |", "|---|---|" + "---|" * len(scores)]
    for (column, group), places in groups(manifest, names).items():
        cells = [
            f"{_mean([rows[i] for i in places], 'rmse_mm'):.1f} / {_mean([rows[i] for i in places], 'mad_deg'):.1f}"
            for rows in scores.values()
        ]
        lines.append(f"| {column}: {group} | {len(places)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(rows: Sequence[Mapping[str, float]], column: str) -> float:
    return interval([row[column] for row in rows])[0]


def _median(rows: Sequence[Mapping[str, float]], column: str) -> str:
    values = [row[column] for row in rows if np.isfinite(row[column])]
    return f"{np.median(values):.2f}" if values else ""


def _with_interval(rows: Sequence[Mapping[str, float]], column: str) -> str:
    return "{:.1f} ({:.1f} ... {:.1f})".format(*interval([row[column] for row in rows]))

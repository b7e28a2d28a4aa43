"""Figures: pictures in a grid, the curves of a training, and both together."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..io import image_to_uint8
from ..sample import Sample
from .maps import colour_depth, colour_normals

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase


_LETTERS_PER_INCH = 12  # of a title, whose letters are not the widest


def panel(rows: Sequence[Mapping[str, np.ndarray]], *, note: str = "") -> Figure:
    """A grid of pictures: a row for each mapping from title to (H, W, 3) uint8."""
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        return _nothing_to_show()
    figure = _new_figure(2.4 * columns, 2.36 * len(rows) + 0.16 * _lines_of_titles(rows, 2.4) + 0.3)
    _draw_panel(figure, rows, columns, 2.4)
    if note:
        figure.supxlabel(note, fontsize=8, color="0.35")
    return figure


def sample_row(sample: Sample, depth_kind: str) -> dict[str, np.ndarray]:
    """Image and depth of a sample, for ``panel``; and the normals where the depth is metric."""
    maps = {"depth": colour_depth(sample.depth, sample.mask)}
    if depth_kind == "metric":
        maps["normals"] = colour_normals(sample.depth, sample.camera, sample.mask)
    return with_photo(sample, maps)


def with_photo(sample: Sample, others: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A row that begins with the sample's image, called by its name; a photo may be called "depth", too."""
    title = f"photo {sample.name}" if sample.name in others else sample.name
    return {title: image_to_uint8(sample.image), **others}


def curves(history: Sequence[Mapping[str, float]], names: Sequence[str]) -> Figure:
    """Columns of a history (one mapping an epoch, each with "epoch") as curves; the axis is logarithmic."""
    if not history:
        return _nothing_to_show()
    figure = _new_figure(6, 3.2)
    _draw_curves(figure, history, names)
    return figure


def training_figure(
    history: Sequence[Mapping[str, float]], names: Sequence[str], pictures: Sequence[Mapping[str, np.ndarray]]
) -> Figure:
    """How a training stands: its ``curves`` on the left, its validation pictures as in ``panel`` on the right."""
    columns = max((len(row) for row in pictures), default=0)
    if not columns:
        return curves(history, names)
    height = 1.29 * len(pictures) + 0.16 * _lines_of_titles(pictures, 1.3) + 0.15
    figure = _new_figure(5 + 1.3 * columns, max(3.2, height))
    left, right = figure.subfigures(1, 2, width_ratios=(5, 1.3 * columns))
    _draw_curves(left, history, names)
    _draw_panel(right, pictures, columns, 1.3)
    return figure


def _draw_panel(
    figure: FigureBase, rows: Sequence[Mapping[str, np.ndarray]], columns: int, inches: float
) -> None:
    """Each picture is about so many inches wide."""
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
        axis.xaxis.set_visible(False)  # measured by the layout otherwise, drawn or not: most of its time
        axis.yaxis.set_visible(False)
    for row_axes, row in zip(axes, rows, strict=True):
        for axis, (title, picture) in zip(row_axes, row.items(), strict=False):
            axis.imshow(picture)
            axis.set_title(_broken(title, inches), fontsize=9, parse_math=False)  # names may have a $ in them


def _lines_of_titles(rows: Sequence[Mapping[str, np.ndarray]], inches: float) -> int:
    """How many lines the titles of all rows take, one row below the other."""
    return sum(max((1 + _broken(title, inches).count("\n") for title in row), default=0) for row in rows)


def _broken(title: str, inches: float) -> str:
    """A title in lines about as wide as its picture; names may be of any bytes."""
    lines = title.encode(errors="backslashreplace").decode().split("\n")
    return "\n".join("\n".join(textwrap.wrap(line, round(_LETTERS_PER_INCH * inches))) for line in lines)


def _draw_curves(figure: FigureBase, history: Sequence[Mapping[str, float]], names: Sequence[str]) -> None:
    axis = figure.subplots()
    for name in names:
        points = [(row["epoch"], row[name]) for row in history if name in row]
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axis.set(xlabel="epoch", yscale="log")
    last = max((row["epoch"] for row in history), default=1)
    axis.set_xlim(1 - 0.05 * last, max(last, 2) + 0.05 * last)
    axis.yaxis.set_major_formatter("{x:g}")  # else in powers of ten
    axis.yaxis.set_minor_formatter(lambda value, _: f"{value:.3g}" if _few_decades(axis.get_ylim()) else "")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3, which="both")
    if axis.lines:
        axis.legend(frameon=False)


def _few_decades(ends: tuple[float, float]) -> bool:
    """Whether there is room to label what lies between the powers of ten."""
    return ends[1] < 10 * ends[0]


def _nothing_to_show() -> Figure:
    figure = _new_figure(4, 1)
    figure.text(0.5, 0.5, "nothing to show", ha="center", va="center", color="0.35")
    return figure


def _new_figure(width: float, height: float) -> Figure:
    """A figure of its own, outside pyplot: nothing to close, nothing shown twice in a notebook."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")

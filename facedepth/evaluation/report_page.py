"""One HTML page that holds a whole evaluation: scores, histograms, pictures and settings; it fetches nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..metrics import HIGHER_IS_BETTER, score_meaning

MOST_ROWS = 2000
"""The table on the page lists at most this many pictures, the worst ones; metrics.csv has them all."""

_PICTURE_PX = 256
_BARS = 24
_FEW = 10  # fewer pictures than this make no bars: each is a line
_WIDE, _HIGH = 480, 100  # of a chart, in its own units
_HEADLINE = ("mad_deg", "normals_11.25_pct", "side_e2")  # large on the page, after the main score
_SORTED = ' aria-sort="descending"'  # by the worst, as the table comes

Scores = Sequence[Mapping[str, float | str]]


class Case(NamedTuple):
    """A sample whose pictures the page shows.

    Attributes:
        group: what it is an example of: "worst", "best".
        scores: its row of the table.
        pictures: (H, W, 3) uint8 by title.
    """

    group: str
    scores: Mapping[str, float | str]
    pictures: Mapping[str, np.ndarray]


def report_page(scores: Scores, settings: Mapping[str, str], cases: Sequence[Case], *, main_score: str) -> str:
    """The page's HTML.

    Args:
        scores: one row per picture: "name" and its scores, NaN where it has none.
        settings: what was evaluated, and how; shown as they are.
        cases: shown in their order, under a heading for each group.
        main_score: the score by which best and worst are chosen.
    """
    columns = {name: _Column(name, [row[name] for row in scores]) for name in scores[0] if name != "name"}
    main = columns[main_score]
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{settings['model']} on {len(scores)} picture{'s' * (len(scores) > 1)}"),
        about=escape(f"scored on the {settings['region']}, alignment: {settings['align'].replace('_', ' and ')}"),
        source=escape(", ".join(settings[key] for key in ("data", "date") if key in settings)),
        tiles="".join(_tile(columns[name]) for name in _headline(columns, main_score)),
        means="".join(_mean_row(column) for column in columns.values()),
        histogram_title=escape(f"{main_score} of the pictures"),
        histogram=_chart(main) + _chart_ends(main),
        cases=_cases(cases, main, alone=len(scores) == 1),
        head="".join(f'<th scope="col"{_SORTED * (name == main_score)}><button>{escape(name)}</button></th>'
                     for name in ["name", *columns]),
        rows=_table_rows(scores, columns.values(), main_score),
        left_out=_left_out(len(scores)),
        settings="".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in settings.items()),
    )


class _Column:
    """A score of all pictures, written with as many decimals as give its typical value, and its spread, three digits.
    """

    def __init__(self, name: str, values: Sequence[float]) -> None:
        self.name, self.values = name, np.array(values, dtype=float)
        self.known = self.values[np.isfinite(self.values)]
        sizes = np.abs(self.known[self.known != 0])
        steps = [np.median(sizes), np.ptp(self.known) or np.inf] if len(sizes) else [1.0]
        self.decimals = int(np.clip(2 - np.floor(np.log10(min(steps))), 0, 5)) if len(sizes) else 0

    def written(self, value: float) -> str:
        return "-" if value != value else f"{value:.{self.decimals}f}"

    def summary(self) -> list[float]:
        """Mean, median, 10th and 90th percentile of the pictures that have the score."""
        known = self.known
        return [float(known.mean()), *np.percentile(known, [50, 10, 90]).tolist()] if len(known) else [np.nan] * 4


def _headline(columns: Mapping[str, _Column], main_score: str) -> list[str]:
    """The few scores that are shown large; "flat" comes first, where there is such a picture."""
    flat = ["flat"] if "flat" in columns and (columns["flat"].known > 0).any() else []
    return flat + [name for name in (main_score, *_HEADLINE) if name in columns]


def _tile(column: _Column) -> str:
    return (
        f'<div class="tile"><span>{escape(column.name)}</span><strong>{column.written(column.summary()[0])}</strong>'
        f"<span>{escape(score_meaning(column.name))}</span></div>"
    )


def _mean_row(column: _Column) -> str:
    numbers = "".join(f"<td>{column.written(value)}</td>" for value in column.summary())
    better = "higher" if column.name in HIGHER_IS_BETTER else "lower"
    meaning = f"{score_meaning(column.name)}; {better} is better"
    return (
        f'<tr><th scope="row">{escape(column.name)}<small>{escape(meaning)}</small></th>{numbers}'
        f'<td class="chart">{_chart(column)}</td></tr>'
    )


def _chart(column: _Column) -> str:
    """A histogram as SVG, of few pictures a line for each; what it stands for is shown when pointed at."""
    if not len(column.known):
        return "<p>no picture has this score</p>"
    if not np.ptp(column.known):
        alike = len(column.known) == len(column.values) > 1
        return f"<p>{'all ' * alike}{column.written(column.known[0])}</p>"
    marks = _lines(column) if len(column.known) < _FEW else _bars(column)
    return (
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(column.name)} of the pictures">{marks}</svg>'
    )


def _lines(column: _Column) -> str:
    places = 4 + (_WIDE - 8) * (column.known - column.known.min()) / np.ptp(column.known)
    return "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{0.25 * _HIGH:.0f}" y2="{_HIGH}"><title>{column.written(value)}</title>'
        "</line>"
        for x, value in zip(places, column.known, strict=True)
    )


def _bars(column: _Column) -> str:
    counts, edges = _histogram(column)
    width = _WIDE / len(counts)
    return "".join(
        f'<rect x="{place * width:.1f}" y="{_HIGH - tall:.1f}" width="{width - 2:.1f}" height="{tall:.1f}">'
        f"<title>{column.written(edges[place])} to {column.written(edges[place + 1])}: {count}</title></rect>"
        for place, count in enumerate(counts) if (tall := _HIGH * count / counts.max())
    )


def _histogram(column: _Column) -> tuple[np.ndarray, np.ndarray]:
    return np.histogram(column.known, bins=min(_BARS, len(column.known) // 2))


def _chart_ends(column: _Column) -> str:
    """What a chart spans, and how much its height means."""
    if not len(column.known) or not np.ptp(column.known):
        return ""
    few = len(column.known) < _FEW
    tallest = "each line a picture" if few else f"tallest bar: {_histogram(column)[0].max()} pictures"
    low, high = (column.written(end) for end in (column.known.min(), column.known.max()))
    return f'<p class="ends"><span>{low}</span><span>{tallest}</span><span>{high}</span></p>'


def _cases(cases: Sequence[Case], main: _Column, *, alone: bool) -> str:
    parts = []
    for place, case in enumerate(cases):
        if place == 0 or case.group != cases[place - 1].group:
            parts.append(f"<h2>{'The picture' if alone else f'{case.group.capitalize()} by {escape(main.name)}'}</h2>")
        name = str(case.scores["name"])
        shown = "".join(
            f'<figure><img src="{_inline(picture)}" alt=""><figcaption>'
            f"{'photo' if title == name else escape(title)}</figcaption></figure>"
            for title, picture in case.pictures.items()
        )
        score = f"{escape(main.name)} {main.written(case.scores[main.name])}"
        parts.append(
            f'<article><h3>{escape(name)} <small>{score}</small></h3><div class="pictures">{shown}</div></article>'
        )
    return "".join(parts)


def _inline(picture: np.ndarray) -> str:
    """A picture as a data URL, no larger than it is shown."""
    image = Image.fromarray(picture)
    image.thumbnail((_PICTURE_PX, _PICTURE_PX))
    buffer = io.BytesIO()
    image.save(buffer, format="jpeg", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _table_rows(scores: Scores, columns: Collection[_Column], main_score: str) -> str:
    def badness(row: Mapping[str, float | str]) -> tuple[bool, float]:
        value = row[main_score]
        return (value == value, -value if value == value else 0.0)  # those without a score first: they are a fault

    def cells(row: Mapping[str, float | str]) -> str:
        numbers = ((row[column.name], column.written(row[column.name])) for column in columns)
        return "".join(f'<td data-value="{value:.6g}">{written}</td>' for value, written in numbers)

    worst_first = [(escape(str(row["name"])), row) for row in sorted(scores, key=badness)[:MOST_ROWS]]
    return "\n".join(
        f'<tr><th scope="row" title="{name}">{name}</th>{cells(row)}</tr>' for name, row in worst_first
    )


def _left_out(count: int) -> str:
    if count <= MOST_ROWS:
        return ""
    return f"<p>The {MOST_ROWS} worst of {count} pictures; metrics.csv has them all.</p>"

"""One HTML page that holds a whole evaluation: scores, histograms, pictures and settings; it fetches nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

import numpy as np
from PIL import Image

from .metrics import HIGHER_IS_BETTER, score_meaning

MOST_ROWS = 2000
"""The table on the page lists at most this many pictures, the worst ones; metrics.csv has them all."""

_PICTURE_PX = 256
_BARS = 24

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
    names = [name for name in scores[0] if name != "name"]
    columns = {name: np.array([row[name] for row in scores], dtype=float) for name in names}
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{settings['model']} on {len(scores)} picture{'s' * (len(scores) > 1)}"),
        about=escape(f"scored on the {settings['region']}, alignment: {settings['align'].replace('_', ' and ')}"),
        tiles="".join(_tile(name, columns[name]) for name in _headline(columns, main_score)),
        means="".join(_mean_row(name, column) for name, column in columns.items()),
        histogram_title=escape(f"{main_score} of the pictures"),
        histogram=_histogram(columns[main_score], height=90, labels=True),
        cases=_cases(cases, main_score),
        head="".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in ["name", *names]),
        rows=_table_rows(scores, names, main_score),
        left_out=_left_out(len(scores)),
        settings="".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in settings.items()),
    )


def _headline(columns: Mapping[str, np.ndarray], main_score: str) -> list[str]:
    """The few scores that are shown large; "flat" comes first, where there is such a picture."""
    wanted = (main_score, "mad_deg", "abs_rel", "delta_1.05", "normals_11.25_pct")
    flat = ["flat"] if "flat" in columns and (columns["flat"] > 0).any() else []
    return flat + [name for name in wanted if name in columns]


def _tile(name: str, column: np.ndarray) -> str:
    return (
        f'<div class="tile"><span>{escape(name)}</span><strong>{_number(_summary(column)[0])}</strong>'
        f"<span>{escape(score_meaning(name))}</span></div>"
    )


def _mean_row(name: str, column: np.ndarray) -> str:
    numbers = "".join(f"<td>{_number(value)}</td>" for value in _summary(column))
    better = "higher" if name in HIGHER_IS_BETTER else "lower"
    chart = _histogram(column, height=28, labels=False)
    meaning = f"{score_meaning(name)}; {better} is better"
    return (
        f'<tr><th scope="row">{escape(name)}<small>{escape(meaning)}</small></th>{numbers}'
        f'<td class="chart">{chart}</td></tr>'
    )


def _summary(column: np.ndarray) -> list[float]:
    """Mean, median, 10th and 90th percentile of the pictures that have the score."""
    known = column[np.isfinite(column)]
    return [float(known.mean()), *np.percentile(known, [50, 10, 90]).tolist()] if len(known) else [np.nan] * 4


def _histogram(column: np.ndarray, *, height: int, labels: bool) -> str:
    """Bars as SVG; each shows its range and its count when pointed at."""
    known = column[np.isfinite(column)]
    if not len(known):
        return "<p>no picture has this score</p>"
    bins = min(_BARS, max(4, len(known) // 2)) if np.ptp(known) else 1
    counts, edges = np.histogram(known, bins=bins)
    edges = edges if np.ptp(known) else known[[0, 0]]  # NumPy would spread one value over a whole unit
    width = 480 // len(counts)
    bars = "".join(
        f'<rect x="{place * width}" y="{height - tall:.1f}" width="{width - 2}" height="{tall:.1f}" rx="1">'
        f"<title>{_number(edges[place])} to {_number(edges[place + 1])}: {count}</title></rect>"
        for place, count in enumerate(counts) if (tall := height * count / counts.max())
    )
    ends = f'<p class="ends"><span>{_number(edges[0])}</span><span>{_number(edges[-1])}</span></p>' if labels else ""
    return (
        f'<svg viewBox="0 0 {width * len(counts)} {height}" role="img" aria-label="histogram">{bars}</svg>{ends}'
    )


def _cases(cases: Sequence[Case], main_score: str) -> str:
    parts = []
    for place, case in enumerate(cases):
        if place == 0 or case.group != cases[place - 1].group:
            parts.append(f"<h2>{escape(case.group.capitalize())} by {escape(main_score)}</h2>")
        shown = "".join(
            f'<figure><img src="{_inline(picture)}" alt="" loading="lazy"><figcaption>{escape(title)}</figcaption>'
            "</figure>"
            for title, picture in case.pictures.items()
        )
        name = escape(str(case.scores["name"]))
        parts.append(
            f"<article><h3>{name} <small>{escape(main_score)} {_number(case.scores[main_score])}</small></h3>"
            f'<div class="pictures">{shown}</div></article>'
        )
    return "".join(parts)


def _inline(picture: np.ndarray) -> str:
    """A picture as a data URL, no larger than it is shown."""
    image = Image.fromarray(picture)
    image.thumbnail((_PICTURE_PX, _PICTURE_PX))
    buffer = io.BytesIO()
    image.save(buffer, format="jpeg", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _table_rows(scores: Scores, names: Sequence[str], main_score: str) -> str:
    def badness(row: Mapping[str, float | str]) -> tuple[bool, float]:
        value = row[main_score]
        return (value == value, -value if value == value else 0.0)  # those without a score first: they are a fault

    def cells(row: Mapping[str, float | str]) -> str:
        return "".join(f'<td data-value="{row[name]:.6g}">{_number(row[name])}</td>' for name in names)

    worst_first = sorted(scores, key=badness)[:MOST_ROWS]
    return "\n".join(f'<tr><th scope="row">{escape(str(row["name"]))}</th>{cells(row)}</tr>' for row in worst_first)


def _left_out(count: int) -> str:
    if count <= MOST_ROWS:
        return ""
    return f"<p>The {MOST_ROWS} worst of {count} pictures; metrics.csv has them all.</p>"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3g}"

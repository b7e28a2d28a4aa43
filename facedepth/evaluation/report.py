"""What an evaluation found: the scores of every picture, their means, pictures to look at, the environment."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checks import InputError
from ..figures import panel
from ..metrics import HIGHER_IS_BETTER, score_meaning
from ..paths import atomic_path, check_writable, refuse_existing, user_path
from .report_page import Case, report_page
from .scoring import MAIN_SCORE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT_FILES = ("metrics.csv", "summary.json", "summary.txt", "report.html", "pictures.png")


@dataclass(frozen=True, eq=False)  # arrays are not equal or unequal as a whole
class Report:
    """Scores of one model on one data set.

    Attributes:
        scores: one row per picture: "name" and its scores (NaN where the region holds no pixel).
        settings: model, data, region, alignment, environment.
        pictures: rows of (H, W, 3) uint8 by title: input, truth, prediction, error, normals.
        best: the same for the pictures with the best main score, by their index in ``scores``, the best first.
        worst: likewise, the worst first.
    """

    scores: list[dict[str, float | str]]
    settings: dict[str, str]
    pictures: list[dict[str, np.ndarray]] = field(repr=False)
    best: dict[int, dict[str, np.ndarray]] = field(repr=False)
    worst: dict[int, dict[str, np.ndarray]] = field(repr=False)

    @property
    def means(self) -> dict[str, float]:
        """The mean of each score over the pictures that have it."""
        names = [name for name in self.scores[0] if name != "name"]
        columns = {name: np.array([row[name] for row in self.scores]) for name in names}
        return {
            name: float(np.nanmean(column)) if (column == column).any() else math.nan
            for name, column in columns.items()
        }

    @property
    def unscored(self) -> int:
        """How many pictures are in no mean: their region holds no pixel."""
        return sum(math.isnan(row[MAIN_SCORE[self.settings["depth_kind"]]]) for row in self.scores)

    def __str__(self) -> str:
        pictures = "1 picture" if len(self.scores) == 1 else f"{len(self.scores)} pictures"
        head = f"{self.settings['model']} on {pictures}, {self.settings['region']}"
        lines = [f"{head}, align={self.settings['align']}"]
        for name, mean in self.means.items():
            direction = "higher is better" if name in HIGHER_IS_BETTER else "lower is better"
            lines.append(f"  {name:<18} {mean:10.4g}   {direction}: {score_meaning(name)}")
        if unscored := self.unscored:
            lines.append(f"  {unscored} of them without scores: no pixel of the region, or too few")
        return "\n".join(lines)

    def figure(self) -> Figure:
        """Input, truth, prediction, error and normals of the pictures."""
        return panel(self.pictures, note="near is warm; error: dark is small")

    def page(self) -> str:
        """The report as one self-contained HTML page."""
        cases = [
            Case(title, self.scores[place], pictures)
            for title, rows in (("worst", self.worst), ("best", self.best)) for place, pictures in rows.items()
        ]
        main_score = MAIN_SCORE[self.settings["depth_kind"]]
        return report_page(self.scores, self.settings, cases, main_score=main_score)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write ``report.html``, ``metrics.csv`` (one row per picture), ``summary.json``, ``summary.txt`` and
        ``pictures.png``.

        Raises:
            InputError: one of them is already there, or nothing can be written there.
        """
        check_writable(folder)
        paths = [user_path(folder) / name for name in REPORT_FILES]
        refuse_existing(paths, overwrite)
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(self.scores[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.scores)
        means = {name: None if math.isnan(mean) else mean for name, mean in self.means.items()}  # JSON knows no NaN
        summary = {"settings": self.settings, "pictures": len(self.scores), "unscored": self.unscored, "means": means}
        texts = (table.getvalue(), json.dumps(summary, indent=2) + "\n", f"{self}\n", self.page())
        for path, text in zip(paths, texts, strict=False):
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # names may hold any bytes
        with atomic_path(paths[-1]) as temporary:
            self.figure().savefig(temporary)
        return paths


def score_table(reports: Mapping[str, Report]) -> str:
    """The means of several reports side by side, as a Markdown table: a column for each report, a row for each score
    that all of them have, with an arrow in the direction of better.

    Args:
        reports: by the name to show in the table; made on the same pictures, in the same way.

    Raises:
        InputError: no report, or reports that cannot be compared.
    """
    if not isinstance(reports, Mapping) or not reports:
        raise InputError("reports: expected reports by the names to show, {'mine': report, ...}")
    ways = {
        tuple(report.settings[key] for key in ("depth_kind", "region", "align"))
        + tuple(row["name"] for row in report.scores) for report in reports.values()
    }
    if len(ways) > 1:
        raise InputError("reports: expected the same pictures, region and alignment in each; evaluate them anew")
    means = [report.means for report in reports.values()]
    rows = [["", *reports]] + [
        [f"{name} {'↑' if name in HIGHER_IS_BETTER else '↓'}", *(f"{mean[name]:.4g}" for mean in means)]
        for name in means[0] if all(name in mean for mean in means)
    ]
    first, *widths = (max(len(row[column]) for row in rows) for column in range(len(rows[0])))
    rows.insert(1, ["-" * first, *("-" * (width - 1) + ":" for width in widths)])
    aligned = ([row[0].ljust(first), *map(str.rjust, row[1:], widths)] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in aligned)

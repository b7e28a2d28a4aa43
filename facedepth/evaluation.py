"""Evaluate a model on a data set: scores of every picture, their means, pictures to look at, the environment."""

from __future__ import annotations

import csv
import io
import json
import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from .batches import evaluation_batches, to_device, without_worker_traceback
from .checks import InputError, check_dataset, check_whole, dataset_name, installed_version, warn
from .comparison import Scored, picture_rows, scored
from .figures import panel
from .metrics import HIGHER_IS_BETTER, score_meaning
from .models import DepthNetwork, check_network, evaluation_mode
from .paths import atomic_path, check_writable, refuse_existing, user_path
from .report_page import Case, report_page
from .sample import Sample
from .scoring import MAIN_SCORE, SURELY_BACKGROUND, check_choices, check_depth_kind, score_batch, score_head

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


@torch.inference_mode()
def evaluate(
    model: DepthNetwork, dataset: Dataset, *, region: str = "face", align: str = "scale_shift", batch_size: int = 16,
    workers: int = 0, shown: int = 6, extremes: int = 4,
) -> Report:
    """Score a model on every sample of a data set, at the model's input size. Pictures that are not square are scored
    on the largest square in the middle, as in the validation of ``fit``.

    Args:
        model: used on the device it is on.
        dataset: yields ``Sample`` and has ``depth_kind``.
        region: "face", "head" or "mask": the pixels that count. Where the data do not know faces, as
            ``PairedFolder`` without ``face_masks``, "face" is the head, and the report says so.
        align: "scale_shift" fits scale and shift to the truth first, in the space predicted; "none" takes a relief as
            it is (z0 from the truth) and an affine picture as it is.
        shown: number of samples, evenly spread, to make pictures of.
        extremes: number of samples with the best scores, and with the worst, to keep pictures of.

    Raises:
        InputError: an argument of the wrong type, unknown region or alignment, an empty data set, a model and data that
            cannot be compared this way, or a model whose output is NaN or infinite.
    """
    check_network(model)
    check_choices(region, align)
    for name, number, least in (
        ("batch_size", batch_size, 1), ("workers", workers, 0), ("shown", shown, 0), ("extremes", extremes, 0)
    ):
        check_whole(name, number, least)
    check_dataset("dataset", dataset)
    check_depth_kind(dataset.depth_kind)
    if len(dataset) == 0:
        raise InputError("dataset: expected at least one sample, got none")
    tally = _Tally(dataset, region, shown=shown, extremes=extremes)
    loader = evaluation_batches(dataset, model.input_size, batch_size=batch_size, workers=workers)
    batches = tqdm(without_worker_traceback(loader), total=len(loader), desc="evaluate", unit="batch", leave=False)
    with evaluation_mode(model):
        for batch in batches:
            batch = to_device(batch, model.mean.device)
            output = model(batch.image).float()
            _refuse_nan(output, batch, model)
            aligned, columns = score_batch(
                output[:, :1], model.kind, batch, dataset.depth_kind, region=region, align=align
            )
            tally.add(batch, aligned, columns | score_head(output, batch))
    if dataset.depth_kind == "metric" and region != "mask":  # 8-bit depth is valid everywhere
        _warn_about_region(region, float(np.mean(tally.shares)))
    return Report(tally.known_scores(), _settings(model, dataset, tally.region_scored(), align), *tally.drawn())


def _settings(model: DepthNetwork, dataset: Dataset, region: str, align: str) -> dict[str, str]:
    return {
        "model": model.name, "weights": model.source or "not from a file",
        "data": dataset_name(dataset), "date": time.strftime("%Y-%m-%d"),
        "kind": model.kind, "depth_kind": dataset.depth_kind, "region": region, "align": align,
        "input_size": str(model.input_size), "facedepth": installed_version(), "torch": torch.__version__,
        "python": platform.python_version(), "device": str(model.mean.device),
    }


class _Tally:
    """What an evaluation gathers as it goes: the scores of every picture, and what a few of them are drawn from.

    Attributes:
        scores: a row per picture.
        shares: of each picture's pixels that count.
    """

    def __init__(self, dataset: Dataset, region: str, *, shown: int, extremes: int) -> None:
        count = len(dataset)
        self.scores: list[dict[str, float | str]] = []
        self.shares: list[float] = []
        self._depth_kind, self._region = dataset.depth_kind, region
        self._picked = {round(position) for position in np.linspace(0, count - 1, min(shown, count))}
        self._kept: dict[int, Scored] = {}
        self._best, self._worst = (_Ranked(min(extremes, math.ceil(count / 2))) for _ in range(2))
        self._with_face = self._faceless = 0

    def add(self, batch: Sample, aligned: Tensor, columns: Mapping[str, Tensor]) -> None:
        """Take in a batch, its aligned prediction, and its scores, each (B,)."""
        knows_face = (batch.face != batch.head).flatten(1).any(dim=1)
        self._with_face += int(knows_face.sum())
        self._faceless += int((~knows_face & batch.head.flatten(1).any(dim=1)).sum())
        self.shares += getattr(batch, self._region).flatten(1).float().mean(dim=1).tolist()
        for row, name in enumerate(batch.name):
            place = len(self.scores)
            keep = partial(scored, batch, aligned, self._depth_kind, self._region, row)
            score = float(columns[MAIN_SCORE[self._depth_kind]][row])
            self._best.offer(score, place, keep)
            self._worst.offer(-score, place, keep)
            if place in self._picked:
                self._kept[place] = keep()
            self.scores.append({"name": name} | {key: float(column[row]) for key, column in columns.items()})

    def known_scores(self) -> list[dict[str, float | str]]:
        """The rows, without the head's score where the data do not know heads."""
        if all(math.isnan(row.get("head_iou", math.nan)) for row in self.scores):
            return [{key: value for key, value in row.items() if key != "head_iou"} for row in self.scores]
        return self.scores

    def region_scored(self) -> str:
        """What the report calls the region, where some pictures know the face and others only the head."""
        if self._region != "face" or (self._with_face and not self._faceless):
            return self._region
        pictures = self._with_face + self._faceless
        return f"face (the head in {self._faceless} of {pictures} pictures)" if self._with_face else "head"

    def drawn(self) -> tuple[list[dict], dict[int, dict], dict[int, dict]]:
        """Pictures of samples evenly spread, of the best by their place, and of the worst that are not among them."""
        best, worst = self._best.kept, self._worst.kept
        every = self._kept | best | worst  # by place: of few samples, one may be several of these
        rows = dict(zip(every, picture_rows(list(every.values()), self._depth_kind), strict=True))
        return (
            [rows[place] for place in self._kept], {place: rows[place] for place in best},
            {place: rows[place] for place in worst if place not in best},
        )


def _warn_about_region(region: str, share: float) -> None:
    """Warn where a region that should be a part of the pictures is nearly all of them."""
    if share > SURELY_BACKGROUND:
        warn(
            f"region: {share:.0%} of the pictures' pixels count as {region}, so what is behind the head is scored too; "
            "does the data set lack masks of the head? PairedFolder takes masks="
        )


def _refuse_nan(output: Tensor, batch: Sample, model: DepthNetwork) -> None:
    """Name the first sample for which the network's output is no number: a mean would hide it or be ruined by it."""
    for name, finite in zip(batch.name, output.isfinite().flatten(1).all(dim=1).tolist(), strict=True):
        if not finite:
            raise InputError(
                f"{model.name}: its output for {name!r} is NaN or infinite, which cannot be scored; were its weights "
                "ruined in training? Take an earlier checkpoint, or look at the sample"
            )


class _Ranked:
    """The samples with the few lowest keys seen so far; others are not kept, or dropped."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._entries: list[tuple[float, int, Scored]] = []

    def offer(self, key: float, place: int, keep: Callable[[], Scored]) -> None:
        full = len(self._entries) == self.count
        if math.isnan(key) or self.count == 0 or (full and key >= self._entries[-1][0]):
            return
        self._entries = sorted([*self._entries, (key, place, keep())], key=lambda entry: entry[:2])[: self.count]

    @property
    def kept(self) -> dict[int, Scored]:
        """By their place in the data set, the lowest key first."""
        return {place: one for _, place, one in self._entries}

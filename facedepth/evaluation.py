"""Evaluate a model on a data set: scores of every picture, their means, pictures to look at, the environment."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from .batches import Transformed, bad_data_named, to_device, workers_for
from .checks import InputError
from .depth import axis_factor, fit_scale_shift, invert_depth, masked_median, relief_to_depth
from .figures import colour_depth, colour_error, panel
from .io import atomic_path, image_to_uint8, refuse_existing
from .metrics import HIGHER_IS_BETTER, depth_scores, picture_l1, to_picture
from .models import DepthNetwork
from .sample import Sample
from .transforms import Resize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALIGNMENTS = ("scale_shift", "none")
REGIONS = ("face", "head", "mask")
REPORT_FILES = ("metrics.csv", "summary.json", "summary.txt", "pictures.png")


@dataclass(frozen=True)
class Report:
    """Scores of one model on one data set.

    Attributes:
        scores: one row a picture: "name" and its scores (NaN where the region holds no pixel).
        settings: model, data, region, alignment, environment.
        pictures: rows of (H, W, 3) uint8 by title: input, truth, prediction, error.
    """

    scores: list[dict[str, float | str]]
    settings: dict[str, str]
    pictures: list[dict[str, np.ndarray]] = field(repr=False)

    @property
    def means(self) -> dict[str, float]:
        """The mean of each score over the pictures that have it."""
        names = [name for name in self.scores[0] if name != "name"]
        return {name: float(np.nanmean([row[name] for row in self.scores])) for name in names}

    def __str__(self) -> str:
        head = f"{self.settings['model']} on {len(self.scores)} pictures, {self.settings['region']}"
        lines = [f"{head}, align={self.settings['align']}"]
        for name, mean in self.means.items():
            direction = "higher is better" if name in HIGHER_IS_BETTER else "lower is better"
            lines.append(f"  {name:<18} {mean:10.4g}   {direction}")
        return "\n".join(lines)

    def figure(self) -> Figure:
        """Input, truth, prediction and error of the pictures."""
        return panel(self.pictures, note="near is warm; error: dark is small")

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write ``metrics.csv`` (one row a picture), ``summary.json``, ``summary.txt`` and ``pictures.png``.

        Raises:
            InputError: one of them is already there.
        """
        paths = [Path(folder) / name for name in REPORT_FILES]
        refuse_existing(paths, overwrite)
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(self.scores[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.scores)
        summary = {"settings": self.settings, "pictures": len(self.scores), "means": self.means}
        texts = (table.getvalue(), json.dumps(summary, indent=2) + "\n", f"{self}\n")
        for path, text in zip(paths, texts, strict=False):
            with atomic_path(path) as temporary:
                temporary.write_text(text)
        with atomic_path(paths[-1]) as temporary:
            self.figure().savefig(temporary)
        return paths


def score_table(reports: Mapping[str, Report]) -> str:
    """The means of several reports side by side, as a Markdown table: a column for each report, a row for each score
    that all of them have, with an arrow to where it gets better.

    Args:
        reports: by the name that is to stand in the table; made on the same pictures, the same way.

    Raises:
        InputError: no report, or reports that cannot be compared.
    """
    if not reports:
        raise InputError("reports: expected at least one, got none")
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
    workers: int = 0, shown: int = 6,
) -> Report:
    """Score a model on every sample of a data set, at the model's input size.

    Args:
        model: runs on the device it is on.
        dataset: yields ``Sample`` and has ``depth_kind``.
        region: "face", "head" or "mask": the pixels that count.
        align: "scale_shift" fits scale and shift to the truth first, in the space predicted; "none" takes a relief as
            it is (z0 from the truth) and an affine picture as it is.
        shown: how many samples, evenly spread, become pictures.

    Raises:
        InputError: unknown region or alignment, an empty data set, or a model and data that cannot be compared so.
    """
    if region not in REGIONS or align not in ALIGNMENTS:
        raise InputError(
            f"region: one of {', '.join(REGIONS)}, got {region!r}; align: one of {', '.join(ALIGNMENTS)}, got {align!r}"
        )
    if len(dataset) == 0:
        raise InputError("dataset: expected at least one sample, got none")
    picked = {round(position) for position in np.linspace(0, len(dataset) - 1, min(shown, len(dataset)))}
    scores, pictures = [], []
    loader = DataLoader(
        Transformed(dataset, Resize(model.input_size)), batch_size=batch_size, num_workers=workers_for(dataset, workers)
    )
    training = model.training
    model.eval()
    for batch in tqdm(bad_data_named(loader), total=len(loader), desc="evaluate", unit="batch", leave=False):
        batch = to_device(batch, model.mean.device)
        values = model(batch.image)[:, :1].float()
        aligned, columns = score_batch(values, model.kind, batch, dataset.depth_kind, region=region, align=align)
        for row, name in enumerate(batch.name):
            if len(scores) in picked:
                pictures.append(picture_row(batch, aligned, dataset.depth_kind, row))
            scores.append({"name": name} | {key: float(column[row]) for key, column in columns.items()})
    model.train(training)
    settings = {
        "model": model.name, "kind": model.kind, "depth_kind": dataset.depth_kind, "region": region, "align": align,
        "input_size": str(model.input_size), "facedepth": version("facedepth"), "torch": torch.__version__,
        "python": platform.python_version(), "device": str(model.mean.device),
    }
    return Report(scores, settings, pictures)


def score_batch(
    values: Tensor, kind: str, batch: Sample, depth_kind: str, *, region: str, align: str
) -> tuple[Tensor, dict[str, Tensor]]:
    """Align what a network said of a batch, and score it.

    Args:
        values: (B, 1, H, W) of the given kind.
        batch: a batch of samples of the given ``depth_kind``.

    Returns:
        What was scored, (B, 1, H, W): z-depth, or for affine data the picture in [-1, 1]; and (B,) scores by name.
    """
    area = getattr(batch, region) & batch.mask
    if depth_kind == "affine":
        aligned = _align_picture(values, kind, 1 - 2 * batch.depth, area, align)
        return aligned, {"picture_l1": picture_l1(aligned, 1 - 2 * batch.depth, area)}
    aligned = align_depth(values, kind, batch, area, align)
    scores = depth_scores(aligned, batch.depth, area, batch.camera)
    if kind == "affine_relief":
        along_axis = batch.depth * axis_factor(batch.camera, *batch.depth.shape[-2:])
        true_picture = to_picture(along_axis, batch.mask)
        scores["picture_l1"] = picture_l1(_align_picture(values, kind, true_picture, area, align), true_picture, area)
    return aligned, scores


def align_depth(values: Tensor, kind: str, batch: Sample, area: Tensor, align: str) -> Tensor:
    """z-depth (B, 1, H, W) of what a network said, brought to the truth's scale and shift in the space predicted.

    Raises:
        InputError: an affine kind without alignment, which has no scale to compare.
    """
    factor = axis_factor(batch.camera, *values.shape[-2:])
    true_axis = batch.depth * factor
    if align == "none":
        if kind != "relief":
            raise InputError(f"align: a model of kind {kind!r} knows no scale; evaluate it with align='scale_shift'")
        return relief_to_depth(values, masked_median(true_axis, batch.head & batch.mask), batch.camera)
    # The target, too, is larger where nearer: a network that has near and far swapped must not be put right here.
    nearness = invert_depth(true_axis) if kind == "affine_inverse" else -true_axis
    scale, shift = fit_scale_shift(values, nearness, area, least_scale=0)
    fitted = scale * values + shift
    return (invert_depth(fitted) if kind == "affine_inverse" else -fitted) / factor


def _align_picture(values: Tensor, kind: str, true_picture: Tensor, area: Tensor, align: str) -> Tensor:
    if align == "none":
        if kind != "affine_relief":
            raise InputError(f"align: a model of kind {kind!r} makes no picture in [-1, 1]; use align='scale_shift'")
        return values
    scale, shift = fit_scale_shift(values, true_picture, area, least_scale=0)
    return scale * values + shift


def picture_row(batch: Sample, aligned: Tensor, depth_kind: str, row: int) -> dict[str, np.ndarray]:
    """Input, truth, prediction and error of one sample, on the truth's colour scale."""
    mask, true = batch.mask[row].cpu(), batch.depth[row].cpu()
    pred = (1 - aligned[row].cpu()) / 2 if depth_kind == "affine" else aligned[row].cpu()
    seen = true[mask & batch.head[row].cpu()] if (mask & batch.head[row].cpu()).any() else true[mask]
    near, far = float(seen.quantile(0.01)), float(seen.quantile(0.99))
    error, greatest = (pred - true).abs(), 0.25 * (far - near)
    return {
        str(batch.name[row]): image_to_uint8(batch.image[row]),
        "truth": colour_depth(true, mask, near=near, far=far),
        "prediction": colour_depth(pred, mask, near=near, far=far),
        f"error, bright = {greatest:.2g}": colour_error(error, mask, greatest=greatest),
    }

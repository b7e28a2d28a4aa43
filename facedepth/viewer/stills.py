"""Figures shown in a notebook as pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from ..figures import curves, panel, sample_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show(figure: Figure) -> None:
    """Show a figure in the notebook, the same everywhere: as a PNG."""
    from IPython.display import Image as Picture
    from IPython.display import display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    display(Picture(data=buffer.getvalue()))


def show_samples(dataset: Dataset, count: int = 4) -> None:
    """Show samples, evenly spread over a data set: image, depth and normals."""
    picked = [dataset[int(index)] for index in torch.linspace(0, len(dataset) - 1, min(count, len(dataset)))]
    show(panel([sample_row(sample, dataset.depth_kind) for sample in picked], note="near is warm"))


def show_training(history: Sequence[Mapping[str, float]]) -> None:
    """Show the curves of a run, as ``fit`` returns it."""
    show(curves(history, ["loss", "val_loss"]))

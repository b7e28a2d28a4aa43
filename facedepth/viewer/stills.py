"""Figures shown as pictures in a notebook."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from ..checks import InputError, check_dataset, check_whole
from ..figures import curves, panel, sample_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show(figure: Figure) -> None:
    """Show a figure in the notebook as a PNG, which looks the same everywhere.

    Raises:
        InputError: not a figure.
    """
    if not hasattr(figure, "savefig"):
        raise InputError(
            f"figure: expected one, as fd.compare and report.figure() give, got {type(figure).__name__}; "
            "predictions and samples are shown by fd.show_mesh and fd.explore"
        )
    from IPython.display import Image as Picture
    from IPython.display import display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    display(Picture(data=buffer.getvalue()))


def show_samples(dataset: Dataset, count: int = 4) -> None:
    """Show samples evenly spread over a data set: image, depth and normals.

    Raises:
        InputError: not a data set, or ``count`` is not a whole number of at least 1.
    """
    check_dataset("dataset", dataset)
    check_whole("count", count, 1)
    picked = [dataset[int(index)] for index in torch.linspace(0, len(dataset) - 1, min(count, len(dataset)))]
    show(panel([sample_row(sample, dataset.depth_kind) for sample in picked], note="near is warm"))


def show_training(history: Sequence[Mapping[str, float]]) -> None:
    """Show the loss curves of a run, given the history that ``fit`` returns.

    Raises:
        InputError: not a history.
    """
    if not isinstance(history, Sequence) or not all(isinstance(row, Mapping) for row in history):
        raise InputError(f"history: expected what fit returns, a row per epoch, got {type(history).__name__}")
    show(curves(history, ["loss", "val_loss"]))

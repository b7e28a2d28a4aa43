"""Validation of a network in training: its loss and scores on held-out faces."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..batches import to_device, without_worker_traceback
from ..evaluation.comparison import Scored, picture_rows, scored
from ..evaluation.scoring import score_batch, score_head
from ..models import DepthNetwork
from .callbacks import Pictures
from .objectives import Objective

_SHOWN = 4


@torch.inference_mode()
def validate(
    model: DepthNetwork, loader: DataLoader, objective: Objective, device: torch.device, *,
    before_each: Callable[[], None],
) -> tuple[dict[str, float], Pictures]:
    """Mean loss and scores of a model, under names that begin with ``val_``, and pictures of the first four samples.

    Scores are NaN for an image with nothing to score, and the mean leaves those out; NaN losses are not left out.

    Args:
        loader: yields batches of ``Sample`` of the objective's ``depth_kind``.
        before_each: called before every batch; an exception from it ends the validation.
    """
    model.eval()
    columns: dict[str, list[Tensor]] = {}
    shown: list[Scored] = []
    for batch in tqdm(without_worker_traceback(loader), total=len(loader), desc="validate", unit="batch", leave=False):
        before_each()
        batch = to_device(batch, device)
        output = model(batch.image).float()
        aligned, scores = score_batch(
            output[:, :1], model.kind, batch, objective.depth_kind, region="face", align="scale_shift"
        )
        scores |= score_head(output, batch)
        scores["loss"] = objective(output, batch)["loss"].expand(len(batch.name))
        for name, score in scores.items():
            columns.setdefault(f"val_{name}", []).append(score.cpu())
        shown += [
            scored(batch, aligned, objective.depth_kind, "face", row)
            for row in range(min(_SHOWN - len(shown), len(batch.name)))
        ]
    means = {name: float(torch.cat(column).nanmean()) for name, column in columns.items()}
    if math.isnan(means.get("val_head_iou", 0.0)):  # the data do not know heads
        del means["val_head_iou"]
    means["val_loss"] = float(torch.cat(columns["val_loss"]).mean())
    return means, picture_rows(shown, objective.depth_kind)

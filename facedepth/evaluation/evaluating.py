"""Score a model on a data set; what cannot be scored is refused, what may mislead is warned of."""

from __future__ import annotations

import platform
import time

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..batches import evaluation_batches, to_device, without_worker_traceback
from ..checks import InputError, check_dataset, check_whole, dataset_name, installed_version, warn
from ..models import DepthNetwork, check_network, evaluation_mode
from ..sample import Sample
from .report import Report
from .scoring import SURELY_BACKGROUND, check_choices, check_depth_kind, score_batch, score_head
from .tally import Tally


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
    tally = Tally(dataset, region, shown=shown, extremes=extremes)
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

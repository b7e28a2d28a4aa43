"""Predictions beside the truth: one sample's pictures in a row, and several models side by side on one sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from ..batches import to_device
from ..checks import InputError
from ..figures import colour_depth, colour_error, colour_normals, panel, with_photo
from ..framing import whole_crop
from ..models import DepthNetwork
from ..prediction import Prediction, predict
from ..sample import Sample, checked, looks_affine
from .scoring import MAIN_SCORE, check_choices, check_depth_kind, score_batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Scored(NamedTuple):
    """A sample and what a network said of it, kept to be drawn.

    Attributes:
        sample: on the CPU.
        depth: (1, H, W) as it was scored, of the data's kind.
        area: (1, H, W) bool, the pixels that counted; all that have depth, if none did.
    """

    sample: Sample
    depth: Tensor
    area: Tensor

    @property
    def error(self) -> Tensor:
        """(1, H, W), never negative."""
        return (self.depth - self.sample.depth).abs()


def scored(batch: Sample, aligned: Tensor, depth_kind: str, region: str, row: int) -> Scored:
    """One sample of a batch that was scored; ``aligned`` is (B, 1, H, W) as ``score_batch`` gives it."""
    sample = _one_of(batch, row)
    return Scored(sample, _as_depth(aligned[row].cpu().clone(), depth_kind), _area(sample, region))


def picture_rows(samples: Sequence[Scored], depth_kind: str) -> list[dict[str, np.ndarray]]:
    """Input, truth, prediction and error of each sample, on its truth's colour scale; for metric depth normals too.
    The errors are on one scale for all, and shown where they counted."""
    greatest = _greatest([(one.error, one.area) for one in samples])
    return [_picture_row(one, depth_kind, greatest) for one in samples]


def _picture_row(one: Scored, depth_kind: str, greatest: float) -> dict[str, np.ndarray]:
    sample, pred = one.sample, one.depth
    near, far = _range(sample)
    seen = sample.mask & _has_depth(pred, depth_kind)
    pictures = {
        "truth": colour_depth(sample.depth, sample.mask, near=near, far=far),
        "prediction": colour_depth(pred, seen, near=near, far=far),
        f"error, bright = {greatest:.2g}": colour_error(one.error, one.area, greatest=greatest),
    }
    if depth_kind == "metric":
        pictures["true normals"] = colour_normals(sample.depth, sample.camera, sample.mask)
        pictures["normals"] = colour_normals(pred, sample.camera, seen)
    return with_photo(sample, pictures)


def _area(sample: Sample, region: str) -> Tensor:
    """The pixels of a region that have depth; all that have, if the region has none."""
    area = sample.mask & getattr(sample, region)
    return area if area.any() else sample.mask


def _greatest(errors: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The end of a colour scale for errors (1, H, W), each with its mask: few pixels are beyond it."""
    values = [error[area].nan_to_num().numpy() for error, area in errors]
    return float(np.quantile(np.concatenate(values), 0.98)) if values else 1.0


def compare(
    models: Sequence[DepthNetwork | Prediction] | Mapping[str, DepthNetwork | Prediction], sample: Sample, *,
    depth_kind: str = "metric", region: str = "face", align: str = "scale_shift",
) -> Figure:
    """Models side by side on one sample: depth, error and normals beside the truth, each on one scale for all.

    Args:
        models: networks, or predictions of this very picture (``predict(..., crop="none")``); a mapping gives them
            names of your own.
        sample: from a data set with this ``depth_kind``.
        region, align: where and how to score, see ``evaluate``.

    Raises:
        InputError: no model, or none in a list, something else than a sample, an unknown depth_kind or one that is not
            the sample's, a prediction of another picture, or a model and data that cannot be compared.
    """
    check_choices(region, align)
    check_depth_kind(depth_kind)
    if isinstance(models, (nn.Module, Prediction)):
        raise InputError("models: expected a list or a mapping of them, got a single one; write [model]")
    if not isinstance(sample, Sample):
        raise InputError(f"sample: expected one of a data set, as dataset[0] gives, got {type(sample).__name__}")
    named = models if isinstance(models, Mapping) else _named(models)
    if not named:
        raise InputError("models: expected at least one model or prediction, got none")
    sample = _of_that_kind(to_device(sample.check(), "cpu"), depth_kind)
    batch, found = default_collate([sample]), {}
    for name, model in named.items():
        prediction = _whole_prediction(name, model, sample)
        aligned, columns = score_batch(
            prediction.values[None], prediction.kind, batch, depth_kind, region=region, align=align
        )
        scores = {key: float(column[0]) for key, column in columns.items()}
        found[name] = scored(batch, aligned, depth_kind, region, 0), scores
    greatest = _greatest([(one.error, one.area) for one, _ in found.values()])
    unit = ", in the data's unit" if depth_kind == "metric" else ""
    scored_on = "head" if region == "face" and torch.equal(sample.face, sample.head) else region
    return panel(
        _side_by_side(sample, found, depth_kind, greatest),
        note=f"near is warm; error on the {scored_on}: dark is 0, bright {greatest:.2g} and more{unit}",
    )


def _of_that_kind(sample: Sample, depth_kind: str) -> Sample:
    """The same sample, if its depth is of the kind it is said to be.

    Raises:
        InputError: it is not.
    """
    if depth_kind == "metric" and looks_affine(sample.depth[sample.mask]):
        raise InputError(
            f"sample {sample.name!r}: its depth goes from 0 to 1, as that of pictures without a scale does; pass "
            "depth_kind=dataset.depth_kind, or take pixels as near as that out of the mask"
        )
    return checked(sample, depth_kind)


def _side_by_side(
    sample: Sample, found: Mapping[str, tuple[Scored, Mapping[str, float]]], depth_kind: str, greatest: float
) -> list[dict[str, np.ndarray]]:
    """Rows of pictures: truth and depths, photo and errors, and for metric depth normals; ``found`` holds what each
    model said, with its scores."""
    main, (near, far) = MAIN_SCORE[depth_kind], _range(sample)
    top = {"truth": colour_depth(sample.depth, sample.mask, near=near, far=far)}
    middle = {}
    bottom = {"true normals": colour_normals(sample.depth, sample.camera, sample.mask)}
    for name, (one, scores) in found.items():
        seen = sample.mask & _has_depth(one.depth, depth_kind)
        angle = f", normals {scores['mad_deg']:.3g}°" if depth_kind == "metric" else ""
        top[f"{name}\n{main} {scores[main]:.3g}{angle}"] = colour_depth(one.depth, seen, near=near, far=far)
        middle[f"error of {name}"] = colour_error(one.error, one.area, greatest=greatest)
        bottom[f"normals of {name}"] = colour_normals(one.depth, sample.camera, seen)
    return [top, with_photo(sample, middle)] + ([bottom] if depth_kind == "metric" else [])


def _named(models: Sequence[DepthNetwork | Prediction]) -> dict[str, DepthNetwork | Prediction]:
    """By model name; unnamed or repeated ones get their position appended."""
    names = ["prediction" if isinstance(model, Prediction) else getattr(model, "name", "model") for model in models]
    return {
        name if names.count(name) == 1 else f"{name} {place}": model
        for place, (name, model) in enumerate(zip(names, models, strict=True), start=1)
    }


def _whole_prediction(name: str, model: DepthNetwork | Prediction, sample: Sample) -> Prediction:
    """A model's prediction of the whole picture, at the sample's size."""
    height, width = sample.depth.shape[-2:]
    if not isinstance(model, Prediction):
        square = whole_crop(height, width)
        fov_deg = sample.camera.crop(square.left, square.top).horizontal_fov_deg(square.size)
        return predict(model, sample.image, crop="none", horizontal_fov_deg=fov_deg, mirror=False)  # as evaluate
    if model.values.shape != sample.depth.shape or model.crop != whole_crop(height, width):
        raise InputError(
            f"{name}: expected a prediction of the whole picture {sample.name!r} ({width} x {height} pixels), got "
            f"{tuple(model.values.shape)} of {tuple(model.crop)}; predict(model, sample.image, crop='none') makes one"
        )
    return model


def _one_of(batch: Sample, row: int) -> Sample:
    """One sample of a batch, on the CPU."""
    tensors = [values[row].cpu().clone() for values in batch[:5]]  # a view would keep the whole batch
    camera = type(batch.camera)(*(values[row].cpu().clone() for values in batch.camera))
    return Sample(*tensors, camera, str(batch.name[row]))


def _as_depth(aligned: Tensor, depth_kind: str) -> Tensor:
    """What ``score_batch`` aligned, as the data's depth: for affine data it aligns pictures in [-1, 1]."""
    return (1 - aligned) / 2 if depth_kind == "affine" else aligned


def _has_depth(depth: Tensor, depth_kind: str) -> Tensor:
    """Where a depth map of the data's kind can be drawn: not where a relief reaches behind the camera."""
    return depth > 0 if depth_kind == "metric" else torch.ones_like(depth, dtype=torch.bool)


def _range(sample: Sample) -> tuple[float, float]:
    """The nearest and the farthest depth of the head or, if none is seen, of everything with depth."""
    head = sample.mask & sample.head
    seen = sample.depth[head if head.any() else sample.mask]
    return tuple(np.quantile(seen.numpy(), (0.01, 0.99)).tolist())  # older torch's quantile refuses large pictures

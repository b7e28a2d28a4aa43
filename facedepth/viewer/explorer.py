"""Sliders over a depth map: standard ipywidgets (7 as on Colab, or 8) around one picture that is redrawn in place."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import cv2
import torch
from torch.nn import functional as F

from ..batches import to_device
from ..camera import Crop
from ..checks import InputError
from ..depth import axis_factor
from ..framing import whole_crop
from ..prediction import Prediction
from ..prediction.head_mask import GREATEST_HOLE
from ..sample import Sample, looks_affine
from .depth_picture import COLOUR_MAPS, DepthPicture, View

if TYPE_CHECKING:
    import ipywidgets

_MOST_PX = 384  # longer sides are reduced to this, because the panes are no larger
_MARGIN = 8  # of white around the picture: the page behind may be dark


def explore(subject: Prediction | Sample, *, truth: Sample | None = None) -> ipywidgets.Widget:
    """Sliders to inspect a depth map: its range and colours, contours, jumps, normals, light, profile and error.

    Depths are measured from the nearest point, in millimetres for a prediction, in the data's own unit for a sample and
    for errors. If there is nothing to show, the widget says why.

    Args:
        subject: a prediction, or a sample, to look at its true depth.
        truth: the sample that was predicted, at the prediction's size: adds the error, after a fit of scale and shift,
            and the true profile.

    Raises:
        InputError: a subject of another type, or ``truth`` of another size than the subject.
    """
    import ipywidgets

    if not isinstance(subject, Prediction | Sample):
        raise InputError(f"explore: expected a prediction or a sample, got {subject!r:.60}")
    if not isinstance(truth, Sample | None):
        raise InputError(f"truth: expected the sample that was predicted, got {type(truth).__name__}")
    if truth is not None and truth.depth.shape[-2:] != subject.image.shape[-2:]:
        sizes = [f"{width} x {height}" for height, width in (subject.image.shape[-2:], truth.depth.shape[-2:])]
        raise InputError(f"truth: expected the subject's size, {sizes[0]} pixels, got {sizes[1]}")
    subject, truth = (to_device(given, "cpu") if isinstance(given, Sample) else given for given in (subject, truth))
    try:
        picture = _depth_picture(subject, truth)
    except InputError as error:
        return ipywidgets.HTML(f"<p><b>Nothing to explore.</b> {html.escape(str(error))}</p>")
    return _with_sliders(picture)


def _depth_picture(subject: Prediction | Sample, truth: Sample | None) -> DepthPicture:
    """The subject, cropped and made small enough to be redrawn at every move of a slider."""
    height, width = subject.image.shape[-2:]
    if isinstance(subject, Prediction):
        depth, crop, kind, scale, unit = subject.depth(), subject.crop, subject.kind, 1000.0, " mm"
        relative, greatest_hole = False, GREATEST_HOLE
    else:
        depth, crop, kind, scale, unit = subject.check().depth, whole_crop(height, width), "relief", 1.0, ""
        relative, greatest_hole = looks_affine(depth[subject.mask]), 0.0
    left, top, right, bottom = _window(crop, subject.mask)
    seen = (..., slice(top, bottom), slice(left, right))
    sides = depth[seen].shape[-2:]
    fraction = min(1.0, _MOST_PX / max(sides))
    small = [max(min(2, side), round(fraction * side)) for side in sides]

    def shrunk(grid: torch.Tensor, mode: str = "nearest-exact") -> torch.Tensor:
        return grid[seen] if fraction == 1 else F.interpolate(grid[seen][None].float(), small, mode=mode)[0]

    small_valid = shrunk(subject.mask).bool()
    return DepthPicture(
        shrunk(subject.image, "area"), shrunk(torch.where(subject.mask, depth, 0.0)), small_valid,
        subject.camera.crop(left, top).resize(small[1] / sides[1], small[0] / sides[0]),
        truth=None if truth is None else shrunk(torch.where(truth.mask & truth.head, truth.depth, 0.0)),
        axis_factor=shrunk(axis_factor(subject.camera, height, width, crop), "bilinear"),
        kind=kind, relative=relative,
        truth_relative=truth is not None and looks_affine(truth.depth[truth.mask]),
        greatest_hole=greatest_hole, per_unit=scale, unit=unit,
    )


def _window(crop: Crop, mask: torch.Tensor) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is to be seen: the square in the picture, and what of the mask is beside it."""
    height, width = mask.shape[-2:]
    rows, columns = (mask[0].any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    left, top = (max(0, min([start, *places[:1]])) for start, places in ((crop.left, columns), (crop.top, rows)))
    right, bottom = (
        min(side, max([start + crop.size, *(place + 1 for place in places[-1:])]))
        for side, start, places in ((width, crop.left, columns), (height, crop.top, rows))
    )
    return left, top, right, bottom


def _with_sliders(drawn: DepthPicture) -> ipywidgets.Widget:
    import ipywidgets

    extent = (drawn.farthest - drawn.nearest) * drawn.per_unit or 1.0
    decimals = ".0f" if extent > 20 else ".3f"

    def slider(name: str, low: float, high: float, value: float, step: float, digits: str = ".0f"):
        return ipywidgets.FloatSlider(
            description=name, min=low, max=high, value=value, step=step, readout_format=digits
        )

    controls = {
        "range": ipywidgets.FloatRangeSlider(
            description="near, far" + drawn.unit, min=0, max=extent, value=(0, extent), step=extent / 200,
            readout_format=decimals,
        ),
        "colour_map": ipywidgets.Dropdown(description="colours", options=list(COLOUR_MAPS)),
        "photo": slider("photo overlay", 0, 1, 0, 0.05, ".2f"),
        "contours": ipywidgets.IntSlider(description="contours", min=0, max=40, value=0),
        "smooth_px": slider("smoothing px", 0, 6, 0, 0.5, ".1f"),
        "max_angle_deg": slider("jump angle °", 45, 89.5, 85, 0.5, ".1f"),
        "beside": ipywidgets.Dropdown(description="beside it", options=drawn.besides),
        "light_azimuth_deg": slider("light around °", -90, 90, -35, 5),
        "light_elevation_deg": slider("light height °", -90, 90, 35, 5),
        "profile": ipywidgets.Dropdown(description="profile", options=["row", "column", "off"]),
        "profile_at": slider("profile at %", 0, 100, 50, 1),
    }
    image = ipywidgets.Image(format="jpeg", layout=ipywidgets.Layout(max_width="100%", align_self="flex-start"))

    def redraw(_=None) -> None:
        values = {name: control.value for name, control in controls.items()}
        for name in ("light_azimuth_deg", "light_elevation_deg"):
            controls[name].disabled = not values["beside"].startswith("relit")
        controls["max_angle_deg"].disabled = drawn.relative
        controls["profile_at"].disabled = values["profile"] == "off"
        near, far = (drawn.nearest + value / drawn.per_unit for value in values.pop("range"))
        values["profile_at"] /= 100
        pixels = drawn.draw(View(near=near, far=far, **values))
        image.value = _jpeg(cv2.copyMakeBorder(pixels, *4 * [_MARGIN], cv2.BORDER_CONSTANT, value=(255, 255, 255)))

    for control in controls.values():
        control.style.description_width = "7em"
        control.layout.width = "24em"
        control.observe(redraw, names="value")
    redraw()
    columns = [list(controls.values())[start:stop] for start, stop in ((0, 4), (4, 8), (8, 11))]
    boxes = [ipywidgets.VBox(column) for column in columns]
    return ipywidgets.VBox([image, ipywidgets.HBox(boxes, layout=ipywidgets.Layout(flex_flow="row wrap"))])


def _jpeg(pixels) -> bytes:
    """As JPEG, a fifth of the size of PNG, because it is sent at every move; colours keep their full detail."""
    full_colour = [cv2.IMWRITE_JPEG_QUALITY, 93, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), full_colour)[1].tobytes()

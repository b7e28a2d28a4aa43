"""The picture that ``explore`` shows, drawn with NumPy and OpenCV in a few hundredths of a second."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..camera import Camera
from ..checks import InputError
from ..depth import fit_scale_shift, nearness
from ..evaluation.scoring import fit_axis_depth
from ..figures import colour_error, colour_normals
from ..geometry import grid_edges, normals_from_depth, smooth_depth, steepest_steps
from ..io import image_to_uint8

COLOUR_MAPS = {"spectral": "Spectral_r", "inferno": "inferno", "turbo": "turbo", "grey": "gray"}
"""Matplotlib's names by those shown; the upper end is near."""

PANE_PX = 340
_LEAST_WIDTH = 480  # of the sheet: the legend needs it
_GAP, _TITLE, _LEGEND, _PROFILE = 20, 26, 34, 150
_NO_DATA, _INK, _QUIET, _JUMP = (245, 245, 245), (35, 33, 31), (120, 115, 110), (226, 0, 122)
_PREDICTED, _TRUE = (180, 71, 44), (40, 90, 170)


@dataclass(frozen=True)
class View:
    """The sliders' values. ``near`` and ``far`` are z-depths; ``profile_at`` is a fraction of the picture's side."""

    near: float
    far: float
    colour_map: str = "spectral"
    smooth_px: float = 0.0
    max_angle_deg: float = 85.0
    photo: float = 0.0
    contours: int = 0
    beside: str = "photo"
    light_azimuth_deg: float = -35.0
    light_elevation_deg: float = 35.0
    profile: str = "row"
    profile_at: float = 0.5


class DepthPicture:
    """Drawings of a depth map. What a slider does not change is kept from the last drawing.

    Args:
        image, depth, mask, camera: (3, H, W), (1, H, W), (1, H, W), at the resolution to draw.
        truth: (1, H, W) true depth, 0 where unknown; before the comparison the depth is fitted to it in scale and
            shift, as for scores: along the crop's central ray, in 1/z for ``kind`` "affine_inverse", and to a picture
            of depth, from 0 nearest to 1, as it is.
        axis_factor: (1, H, W) from z-depth to depth along that ray, see ``depth.axis_factor``; 1 for a crop in the
            middle.
        kind: of the prediction.
        relative, truth_relative: the depth, or the truth, is such a picture, without a scale: the depth then has no
            normals, and nothing in it jumps.
        greatest_hole: jumps in smaller places that the surface encloses are none, as in ``geometry.depth_to_mesh``.
        per_unit, unit: factor and suffix for the subject's numbers when shown. What is fitted to the truth is shown in
            the truth's own unit.

    Raises:
        InputError: no depth, or no pixel where both subject and truth have depth.
    """

    def __init__(
        self, image: Tensor, depth: Tensor, mask: Tensor, camera: Camera, *, truth: Tensor | None = None,
        axis_factor: Tensor | float = 1.0, kind: str = "relief", relative: bool = False,
        truth_relative: bool = False, greatest_hole: float = 0.0, per_unit: float = 1.0, unit: str = "",
    ) -> None:
        self.depth, self.mask, self.camera, self.axis_factor = depth, mask, camera, axis_factor
        self.truth, self.kind, self.relative, self.truth_relative = truth, kind, relative, truth_relative
        self.greatest_hole, self.per_unit, self.unit = greatest_hole, per_unit, unit
        self.photo = image_to_uint8(image)
        height, width = self.photo.shape[:2]
        scale = PANE_PX / max(height, width)
        self.pane = (max(1, round(width * scale)), max(1, round(height * scale)))  # width, height
        if not mask.any():
            raise InputError("too little of the picture has depth to draw")
        if truth is not None and not self._compared().any():
            raise InputError("truth: it has no depth where the subject has any; does it belong to this picture?")
        self.nearest, self.farthest = float(depth[mask].min()), float(depth[mask].max())
        self._kept: dict[str, tuple[Any, Any]] = {}
        self._greatest_error = None if truth is None else self._quantile_of_error(0.98)

    @property
    def besides(self) -> list[str]:
        """What can be drawn beside the depth map."""
        lit = [] if self.relative or 1 in self.mask.shape[-2:] else ["normals", "relit clay", "relit photo"]
        return ["photo", *lit, *(["error"] if self.truth is not None else [])]

    def draw(self, view: View) -> np.ndarray:
        """(H, W, 3) uint8: the depth map, the pane beside it, the legend and the profile."""
        width, height = self.pane
        sheet = np.full((_TITLE + height + _LEGEND + _PROFILE, max(2 * width + _GAP, _LEAST_WIDTH), 3), 255, np.uint8)
        right = width + _GAP
        panes = (self._depth_pane(view), self._beside_pane(view))
        for left, pane in zip((0, right), panes, strict=True):
            sheet[_TITLE : _TITLE + height, left : left + width] = self._with_profile_line(pane, view)
        top = _TITLE + height + 8
        ramp = _table(view.colour_map)[np.linspace(255, 0, 120).astype(int)]
        sheet[top + 3 : top + 13, 36:156] = ramp
        words = [
            ((0, 5), "depth", _INK), ((right, 5), self._title(view), _INK), ((0, top), "near", _INK),
            ((162, top), "far", _INK), *self._draw_profile(sheet[-_PROFILE:], view),
        ]
        if (self._jumps(view) & self._shown(view)).any():
            sheet[top + 3 : top + 13, 200:210] = _JUMP
            words.append(((216, top), "jump, where meshes are cut", _INK))
        if not self._shown(view).any():
            words.append(((12, _TITLE + 12), "nothing in this range", _INK))
        return _write(sheet, words)

    def _title(self, view: View) -> str:
        if view.beside != "error":
            return view.beside
        mean = float(self._error(view.smooth_px)[self._compared()].mean())
        return f"error, truth's unit: mean {mean:.2g}, bright from {self._greatest_error:.2g}"

    def _keep(self, name: str, key: Any, make: Callable[[], Any]) -> Any:
        """The last value made under this name if it was for the same key, else a new one; one is kept per name."""
        if name not in self._kept or self._kept[name][0] != key:
            self._kept[name] = (key, make())
        return self._kept[name][1]

    def _smoothed(self, smooth_px: float) -> Tensor:
        return self._keep("smoothed", smooth_px, lambda: smooth_depth(self.depth, self.mask, sigma_px=smooth_px))

    def _normals(self, smooth_px: float) -> np.ndarray:
        """(H, W, 3), x right, y up, z towards the viewer; 0 where unknown."""

        def make() -> np.ndarray:
            normals = normals_from_depth(self._smoothed(smooth_px), self.camera, self.mask)
            return (normals * torch.tensor([1.0, -1.0, -1.0])[:, None, None]).permute(1, 2, 0).numpy()

        return self._keep("normals", smooth_px, make)

    def _shown(self, view: View) -> np.ndarray:
        """(H, W) bool: valid and between near and far."""
        depth = self._smoothed(view.smooth_px)[0].numpy()
        slack = 1e-6 * self.farthest  # the slider's ends are rounded
        return self.mask[0].numpy() & (depth >= view.near - slack) & (depth <= view.far + slack)

    def _jumps(self, view: View) -> np.ndarray:
        """(H, W) bool: pixels on a grid edge too steep for the mesh to keep."""

        def make() -> np.ndarray:
            z, valid = self._smoothed(view.smooth_px)[0].numpy(), self.mask[0].numpy()
            jump = np.zeros(z.shape, bool)
            if self.relative:
                return jump
            steps, hole = steepest_steps(self.camera, view.max_angle_deg), int(self.greatest_hole * valid.sum())
            across, down = (both & steep for both, steep in grid_edges(z, valid, steps, hole))
            jump[:, :-1] |= across
            jump[:, 1:] |= across
            jump[:-1] |= down
            jump[1:] |= down
            return jump

        return self._keep("jumps", (view.smooth_px, view.max_angle_deg), make)

    def _depth_pane(self, view: View) -> np.ndarray:
        depth, shown = self._smoothed(view.smooth_px)[0].numpy(), self._shown(view)
        extent = max(view.far - view.near, 1e-9)
        height = (view.far - depth) / extent
        picture = _table(view.colour_map)[(height.clip(0, 1) * 255).astype(np.uint8)]
        picture[~shown] = _NO_DATA
        if view.photo > 0:
            picture = cv2.addWeighted(picture, 1 - view.photo, self.photo, view.photo, 0)
        picture[self._jumps(view) & shown] = _JUMP
        pane = self._enlarge(picture)
        if view.contours:
            # At the pane's size, so that the lines are thin whatever the size of the map.
            level = np.floor(cv2.resize(np.where(shown, height, -1).astype(np.float32), self.pane) * view.contours)
            inside = cv2.resize(cv2.erode(shown.astype(np.uint8), np.ones((3, 3))), self.pane) > 0
            line = np.zeros(level.shape, bool)
            line[1:] |= level[1:] != level[:-1]
            line[:, 1:] |= level[:, 1:] != level[:, :-1]
            pane[line & inside] = _INK
        return pane

    def _beside_pane(self, view: View) -> np.ndarray:
        if view.beside == "photo":
            return self._keep("photo", None, lambda: self._enlarge(self.photo)).copy()
        if view.beside == "normals":
            depth = self._smoothed(view.smooth_px)
            coloured = self._keep("coloured", view.smooth_px, lambda: colour_normals(depth, self.camera, self.mask))
            return self._enlarge(coloured)
        if view.beside == "error":
            error = self._error(view.smooth_px)
            return self._enlarge(colour_error(error, self._compared(), greatest=self._greatest_error))
        normals = self._normals(view.smooth_px)
        azimuth, elevation = math.radians(view.light_azimuth_deg), math.radians(view.light_elevation_deg)
        light = np.array(
            [math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)],
            np.float32,
        )
        shade = 0.12 + 0.88 * (normals @ light).clip(0)
        albedo = np.float32(225) if view.beside == "relit clay" else 1.25 * self.photo.astype(np.float32)
        picture = (shade[..., None] * albedo * np.ones(3, np.float32)).clip(0, 255).astype(np.uint8)
        picture[~normals.any(axis=2)] = _NO_DATA
        return self._enlarge(picture)

    def _enlarge(self, picture: np.ndarray) -> np.ndarray:
        shrinks = picture.shape[1] > self.pane[0]
        return cv2.resize(picture, self.pane, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def _compared(self) -> Tensor:
        return self.mask & (self.truth > 0)

    def _aligned(self, smooth_px: float) -> Tensor:
        """The depth, fitted to the truth in scale and shift."""

        def make() -> Tensor:
            smoothed, true_axis = self._smoothed(smooth_px), self.truth * self.axis_factor
            values = -smoothed if self.relative else nearness(smoothed * self.axis_factor, self.kind)
            if self.truth_relative:
                scale, shift = fit_scale_shift(values, -self.truth, self._compared(), least_scale=0)
                return -(scale * values + shift)
            return fit_axis_depth(values, self.kind, true_axis, self._compared())[0] / self.axis_factor

        return self._keep("aligned", smooth_px, make)

    def _error(self, smooth_px: float) -> Tensor:
        return (self._aligned(smooth_px) - self.truth).abs()

    def _quantile_of_error(self, quantile: float) -> float:
        return float(self._error(0.0)[self._compared()].quantile(quantile))

    def _with_profile_line(self, pane: np.ndarray, view: View) -> np.ndarray:
        if view.profile == "off":
            return pane
        size = pane.shape[0 if view.profile == "row" else 1]
        place = round(view.profile_at * (size - 1))
        cut = np.s_[place, ::2] if view.profile == "row" else np.s_[::2, place]
        pane[cut] = _INK
        return pane

    def _draw_profile(self, strip: np.ndarray, view: View) -> list:
        """Draw the depth along the line into ``strip``, near upwards; returns its texts for ``_write``."""
        if view.profile == "off":
            return []
        above = _TITLE + self.pane[1] + _LEGEND
        maps = [(self._smoothed(view.smooth_px), self.mask, _PREDICTED, "depth")]
        if self.truth is not None:
            maps = [(self._aligned(view.smooth_px), self.mask, _PREDICTED, "depth, fitted to the truth"),
                    (self.truth, self.truth > 0, _TRUE, "truth")]
        values = torch.cat([depth[valid] for depth, valid, _, _ in maps])
        near, far = float(values.min()), float(values.max())
        bottom, right = _PROFILE - 12, strip.shape[1] - 4
        strip[bottom, :] = strip[24, :] = (225, 221, 214)
        words, left = [], 0
        for depth, valid, colour, name in maps:
            grids = [grid[0].numpy() if view.profile == "row" else grid[0].numpy().T for grid in (depth, valid)]
            line, known = (grid[round(view.profile_at * (len(grid) - 1))] for grid in grids)
            x = np.linspace(4, right, len(line))
            y = 24 + (line - near) / max(far - near, 1e-9) * (bottom - 24)
            points = np.stack([x, y], axis=1)
            starts = np.flatnonzero(np.diff(known.astype(int), prepend=0, append=0))
            for start, stop in zip(starts[::2], starts[1::2], strict=True):
                fixed_point = np.rint(points[start:stop] * 16).astype(np.int32)
                cv2.polylines(strip, [fixed_point[:, None]], False, colour, 1, cv2.LINE_AA, shift=4)
            words.append(((left, above + 2), name, colour))
            left += round(_font().getlength(name)) + 14
        extent = f"{(far - near) * self.per_unit:.3g}{self.unit}"
        if self.truth is not None:  # EG3D's is not the metre, that of 8-bit depth not even a length
            extent = f"{far - near:.3g} (truth's unit)"
        where = f"along the dotted {view.profile}, {extent} from line to line, near is up"
        return [*words, ((left, above + 2), where, _QUIET)]


@lru_cache
def _table(name: str) -> np.ndarray:
    """(256, 3) uint8 colours, far to near."""
    from matplotlib import colormaps

    return (colormaps[COLOUR_MAPS[name]](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


@lru_cache
def _font() -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)


def _write(sheet: np.ndarray, words: list) -> np.ndarray:
    """The sheet with texts, each given as (x, y), text and colour."""
    picture = Image.fromarray(sheet)
    pen = ImageDraw.Draw(picture)
    for place, text, colour in words:
        pen.text(place, text, fill=colour, font=_font())
    return np.asarray(picture)

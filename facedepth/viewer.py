"""Interactive views for notebooks: standard ipywidgets sliders over a picture that is redrawn in place."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from PIL import Image

from .checks import InputError
from .figures import colour_depth, render_mesh
from .prediction import Prediction

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

_HEIGHT = 320
_PREVIEW_TRIANGLES = 60_000  # redrawn at every move of a slider


def show(figure: Figure) -> None:
    """Show a figure in the notebook, the same everywhere: as a PNG."""
    from IPython.display import Image as Picture
    from IPython.display import display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    display(Picture(data=buffer.getvalue()))


def explore(prediction: Prediction) -> ipywidgets.Widget:
    """Sliders to inspect a prediction: the range of depth that is coloured, where the mesh is cut, and its view.

    Left the depth map, right the mesh; both are redrawn in place.

    Raises:
        InputError: the network saw no head in the picture.
    """
    import ipywidgets

    depth = prediction.depth()
    seen = depth[prediction.mask]
    near, far = float(seen.min()), float(seen.max())
    extent_mm = max(1.0, (far - near) * 1000)
    sliders = {
        "range_mm": ipywidgets.FloatRangeSlider(
            value=(0, extent_mm), min=0, max=extent_mm, step=extent_mm / 100, description="depth range",
            readout_format=".0f",
        ),
        "cut_mm": ipywidgets.FloatSlider(
            value=extent_mm, min=extent_mm / 20, max=extent_mm, step=extent_mm / 100, description="mesh cut",
            readout_format=".0f",
        ),
        "yaw_deg": ipywidgets.FloatSlider(value=25, min=-80, max=80, step=5, description="turn", readout_format=".0f"),
    }
    picture = ipywidgets.Image(format="png")

    def redraw(_=None) -> None:
        low_mm, high_mm = sliders["range_mm"].value
        picture.value = _side_by_side(
            prediction, depth, near=near + low_mm / 1000, far=near + high_mm / 1000,
            cut_m=sliders["cut_mm"].value / 1000, yaw_deg=sliders["yaw_deg"].value,
        )

    for slider in sliders.values():
        slider.continuous_update = False
        slider.style.description_width = "6em"
        slider.layout.width = "30em"
        slider.observe(redraw, names="value")
    redraw()
    unit = ipywidgets.Label("millimetres behind the nearest point; near is warm; turn in degrees")
    return ipywidgets.VBox([picture, *sliders.values(), unit])


def _side_by_side(
    prediction: Prediction, depth: torch.Tensor, *, near: float, far: float, cut_m: float, yaw_deg: float
) -> bytes:
    """A PNG of the photo, the depth map and the mesh."""
    photo = Image.fromarray((prediction.image * 255).byte().permute(1, 2, 0).numpy())
    map_picture = Image.fromarray(colour_depth(depth, prediction.mask, near=near, far=far))
    try:
        mesh = prediction.mesh(cut_m=cut_m, max_triangles=_PREVIEW_TRIANGLES)
        view = Image.fromarray(render_mesh(mesh, yaw_deg=yaw_deg, size=_HEIGHT))
    except InputError:
        view = Image.new("RGB", (_HEIGHT, _HEIGHT), "white")  # the cut left nothing
    parts = [part.resize((round(part.width * _HEIGHT / part.height), _HEIGHT)) for part in (photo, map_picture)]
    parts.append(view)
    sheet = Image.new("RGB", (sum(part.width for part in parts), _HEIGHT), "white")
    left = 0
    for part in parts:
        sheet.paste(part, (left, 0))
        left += part.width
    buffer = io.BytesIO()
    sheet.save(buffer, format="png")
    return buffer.getvalue()

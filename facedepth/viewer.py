"""Interactive views for notebooks: standard ipywidgets sliders over a picture that is redrawn in place."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch.utils.data import Dataset

from .figures import colour_depth, curves, mesh_views, panel, render_mesh, sample_row
from .io import atomic_path, image_to_uint8
from .mesh import Mesh
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


def show_samples(dataset: Dataset, count: int = 4) -> None:
    """Show samples, evenly spread over a data set: image, depth and normals."""
    picked = [dataset[int(index)] for index in torch.linspace(0, len(dataset) - 1, min(count, len(dataset)))]
    show(panel([sample_row(sample, dataset.depth_kind) for sample in picked], note="near is warm"))


def show_training(history: Sequence[Mapping[str, float]]) -> None:
    """Show the curves of a run, as ``fit`` returns it."""
    show(curves(history, ["loss", "val_loss"]))


def show_mesh(mesh: Mesh) -> None:
    """Show a mesh from five sides, as clay and with the photo on it."""
    show(panel([mesh_views(mesh, textured=False), mesh_views(mesh)]))


class PhotoUpload:
    """A button to upload one's own photo.

    Attributes:
        path: the uploaded photo, or the default as long as there is none.
        widget: the button, shown by ``display``.
    """

    def __init__(self, default: str | Path, *, folder: str | Path = "outputs/uploads") -> None:
        import ipywidgets

        self.path, self.folder = Path(default), Path(folder)
        self.widget = ipywidgets.FileUpload(accept="image/*", multiple=False, description="your photo")
        self.widget.observe(self._keep, names="value")

    def _keep(self, change: Mapping) -> None:
        value = change["new"]
        # ipywidgets 8 gives a tuple of uploads, 7 (Colab's) a dictionary by file name.
        uploads = list(value) if not isinstance(value, Mapping) else [
            {"name": name, "content": upload["content"]} for name, upload in value.items()
        ]
        if uploads:
            path = self.folder / Path(uploads[-1]["name"]).name
            with atomic_path(path) as temporary:
                temporary.write_bytes(bytes(uploads[-1]["content"]))
            self.path = path

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)


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
    whole = prediction.mesh(max_triangles=_PREVIEW_TRIANGLES)

    def redraw(_=None) -> None:
        low_mm, high_mm = sliders["range_mm"].value
        picture.value = _side_by_side(
            prediction, depth, whole, near=near + low_mm / 1000, far=near + high_mm / 1000,
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
    prediction: Prediction, depth: torch.Tensor, whole: Mesh, *, near: float, far: float, cut_m: float, yaw_deg: float
) -> bytes:
    """A PNG of the photo, the depth map and the mesh."""
    photo = Image.fromarray(image_to_uint8(prediction.image))
    map_picture = Image.fromarray(colour_depth(depth, prediction.mask, near=near, far=far))
    mesh = prediction.mesh(cut_m=cut_m, max_triangles=_PREVIEW_TRIANGLES)
    view = Image.new("RGB", (_HEIGHT, _HEIGHT), "white")
    if len(mesh.faces):  # the cut may leave nothing
        view = Image.fromarray(render_mesh(mesh, yaw_deg=yaw_deg, size=_HEIGHT, framed_on=whole))
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

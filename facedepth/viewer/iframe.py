"""A mesh in a notebook: its self-contained page, in a frame."""

from __future__ import annotations

import html
from collections.abc import Sequence

from torch import Tensor

from ..checks import InputError
from ..geometry import depth_to_mesh
from ..mesh import Mesh
from ..mesh_page import MAX_TRIANGLES, SHOWN_DEG, mesh_page
from ..prediction import Prediction
from ..prediction.head_mask import GREATEST_HOLE
from ..sample import Sample, looks_affine

Subject = Mesh | Prediction | Sample


def show_mesh(*subjects: Subject, titles: Sequence[str] = (), height_px: int = 640) -> None:
    """Show a mesh to turn, or two side by side that turn together, with the page's own sliders.

    Works without a network or a running kernel: in Colab, JupyterLab, VS Code, and in the notebook exported as HTML.
    If there is no mesh, the page says why.

    Args:
        subjects: one or two of: a prediction, a sample (its true depth), a mesh. The page can cut the first two at
            depth jumps; a mesh is shown as it is.
        titles: one for each; by default their names.
        height_px: of the frame.

    Raises:
        InputError: not one or two subjects, a subject of another type, or another number of titles.
    """
    from IPython.display import HTML, display

    for subject in subjects:
        if not isinstance(subject, Subject):
            raise InputError(f"show_mesh: expected a prediction, a sample or a mesh, got {subject!r:.60}")
    titles = titles or [getattr(subject, "name", "mesh") for subject in subjects]
    metres = all(isinstance(subject, Prediction) for subject in subjects)  # a sample's unit is its data's own
    meshes = [_mesh_or_reason(subject) for subject in subjects]
    page = mesh_page(*meshes, titles=titles, metres=metres)
    frame = (
        f'<iframe srcdoc="{html.escape(page)}" title="{html.escape(", ".join(map(str, titles)))}" allowfullscreen '
        f'style="width: 100%; height: {height_px}px; border: 1px solid #8884; border-radius: 8px"></iframe>'
    )
    display(HTML(f"<div>{frame}</div>"))


def _mesh_or_reason(subject: Subject) -> Mesh | str:
    """The uncut mesh, or the reason why there is none."""
    try:
        if isinstance(subject, Prediction):
            mesh = subject.mesh(keep_steep=True)
        elif isinstance(subject, Sample):
            mask = subject.check().mask & subject.head
            _refuse_pictures(subject.name, subject.depth[mask])
            mesh = depth_to_mesh(
                subject.depth, subject.camera, mask, subject.image, max_angle_deg=SHOWN_DEG,
                max_triangles=MAX_TRIANGLES, greatest_hole=GREATEST_HOLE, keep_steep=True,
            )
        else:
            mesh = subject
        return mesh.check()
    except InputError as error:
        return str(error)


def _refuse_pictures(name: str, depth: Tensor) -> None:
    """Refuse depth of ``depth_kind`` "affine", recognised by its range of about 0 to 1.

    Raises:
        InputError: the depth has no scale.
    """
    if looks_affine(depth):
        raise InputError(
            f"{name}: its depth goes from {float(depth.min()):.2g} to {float(depth.max()):.2g}, which looks like a "
            'picture (depth_kind "affine") that has no scale to make a mesh of; show a prediction, or exact depth'
        )

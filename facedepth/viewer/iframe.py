"""A mesh in a notebook: the self-contained page, in a frame of its own."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ..checks import InputError
from ..geometry import depth_to_mesh
from ..mesh import Mesh
from ..mesh_page import MAX_TRIANGLES, UNCUT_DEG, mesh_page
from ..prediction import Prediction
from ..sample import Sample

Subject = Mesh | Prediction | Sample


def show_mesh(*subjects: Subject, titles: Sequence[str] = (), height_px: int = 640) -> None:
    """Show a mesh to turn and look at, or two side by side that turn together, with the page's own sliders.

    Works without a network or a running kernel: in Colab, JupyterLab, VS Code, and in the notebook exported as HTML.
    Where there is no mesh, the page says why.

    Args:
        subjects: one or two of: a prediction, a sample (its true depth), a mesh. The first two can be cut anew at
            depth jumps; a mesh is shown as it was cut.
        titles: one for each; by default their names.
        height_px: of the frame.

    Raises:
        InputError: not one or two subjects, or not as many titles.
    """
    from IPython.display import HTML, display

    titles = list(titles) or [getattr(subject, "name", "mesh") for subject in subjects]
    page = mesh_page(*(_mesh_or_reason(subject) for subject in subjects), titles=titles)
    frame = (
        f'<iframe srcdoc="{html.escape(page)}" title="{html.escape(", ".join(titles))}" allowfullscreen '
        f'style="width: 100%; height: {height_px}px; border: 1px solid #8884; border-radius: 8px"></iframe>'
    )
    display(HTML(f"<div>{frame}</div>"))


def _mesh_or_reason(subject: Subject) -> Mesh | str:
    """The whole mesh, or in words why there is none."""
    try:
        if isinstance(subject, Prediction):
            mesh = subject.mesh(max_angle_deg=UNCUT_DEG, max_triangles=MAX_TRIANGLES)
        elif isinstance(subject, Sample):
            mesh = depth_to_mesh(
                subject.depth, subject.camera, subject.check().mask & subject.head, subject.image,
                max_angle_deg=UNCUT_DEG, max_triangles=MAX_TRIANGLES,
            )
        else:
            mesh = subject
        return mesh.check()
    except InputError as error:
        return str(error)

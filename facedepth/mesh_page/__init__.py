"""A mesh as one self-contained HTML page: no network, no server, no widget; it works as a file and inside a notebook.

It is drawn by three.js (MIT), of which ``three.bundle.min.js`` holds what is needed: 0.6 MB, where plotly.js with its
mesh trace takes over 1 MB, knows neither textures nor wireframes, and has no shaders to write. ``.ci/bundle-three``
makes that file. page.html holds the others: decode.js unpacks the mesh, frame.js measures it, pane.js gives it its
looks, scene.js draws it, picture.js makes the picture to save, page.js holds the controls.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from ..checks import InputError
from ..mesh import Mesh, check_mesh
from ..paths import atomic_path, refuse_existing, user_path
from .packing import pack_mesh

SHOWN_DEG = 85.0
"""Triangles no steeper than this are shown at first; page.js holds it too."""

MAX_TRIANGLES = 600_000

__all__ = ["MAX_TRIANGLES", "SHOWN_DEG", "mesh_page", "save_mesh_page"]


def mesh_page(*meshes: Mesh | str, titles: Sequence[str] = (), metres: bool = False) -> str:
    """One or two meshes, turning together, as HTML with everything in it.

    Args:
        meshes: made with ``keep_steep=True``, the page's own slider can cut them at depth jumps. In the place of a
            mesh, a text says why there is none.
        titles: one for each.
        metres: the meshes are in metres; else their unit is not known, and the page names none.

    Raises:
        InputError: not one or two meshes, not as many titles, an empty mesh, or vertices that are not finite.
    """
    if isinstance(titles, str):
        raise InputError(f"titles: expected a list of them, one for each mesh, got {titles!r}")
    titles = [str(title) for title in titles] or ["mesh"] * len(meshes)
    if len(meshes) not in (1, 2) or len(titles) != len(meshes):
        raise InputError(f"expected one or two meshes and a title for each, got {len(meshes)} and {len(titles)}")
    packed = [
        {"title": title, "message": mesh} if isinstance(mesh, str)
        else pack_mesh(check_mesh(mesh), title) | {"metres": metres}
        for mesh, title in zip(meshes, titles, strict=True)
    ]
    # "<" cannot end the element that carries it so; in JSON's texts it is the same character.
    parts = {"title": html.escape(" | ".join(titles)), "meshes": json.dumps(packed).replace("<", "\\u003c")}
    folder = files(__package__)
    for name, file in (
        ("css", "page.css"), ("three", "three.bundle.min.js"), ("decode", "decode.js"), ("frame", "frame.js"),
        ("pane", "pane.js"), ("scene", "scene.js"), ("picture", "picture.js"), ("page", "page.js"),
    ):
        parts[name] = (folder / file).read_text(encoding="utf-8")
    return Template((folder / "page.html").read_text(encoding="utf-8")).substitute(parts)


def save_mesh_page(
    path: str | Path, *meshes: Mesh, titles: Sequence[str] = (), metres: bool = False, overwrite: bool = False,
) -> Path:
    """Write ``mesh_page`` to a file.

    Raises:
        InputError: as ``mesh_page``, or a file in the way.
    """
    path = user_path(path)
    refuse_existing([path], overwrite)
    page = mesh_page(*meshes, titles=titles or [path.stem] * len(meshes), metres=metres)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")  # names may be of any bytes
    return path

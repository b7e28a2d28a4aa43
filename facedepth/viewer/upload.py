"""A button to upload a photo into a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ..paths import atomic_path, user_path


class PhotoUpload:
    """A button to upload a photo, with the name of the photo in use beside it.

    An upload stays in use when the same button is created again, as when its cell is rerun, until there is one with
    another default. Colab loses uploads of more than a megabyte (jupyter-widgets/ipywidgets issue 3452): put larger
    photos on its disk by its own means, and make them the default.

    Attributes:
        path: the uploaded photo, or the default until there is one.
        widget: the button.
        in_use: the line beside it.
    """

    _latest: ClassVar[tuple[tuple[Path, Path], Path] | None] = None  # button and upload, for a cell that is rerun

    def __init__(self, default: str | Path, *, folder: str | Path = "outputs/uploads") -> None:
        import ipywidgets

        self.folder = user_path(folder)
        self.path = user_path(default)
        self._button = self.folder, self.path
        latest, PhotoUpload._latest = PhotoUpload._latest, None  # another default is wanted in an upload's place
        if latest is not None and latest[0] == self._button and latest[1].is_file():
            self.path, PhotoUpload._latest = latest[1], latest
        self.widget = ipywidgets.FileUpload(accept="image/*,.heic,.heif", multiple=False, description="your photo")
        self.widget.observe(self._keep, names="value")
        self.in_use = ipywidgets.Label(f"in use: {self.path}")

    def _keep(self, change: Mapping) -> None:
        value = change["new"]
        # ipywidgets 8 gives a tuple of uploads, 7 (Colab's) a dictionary by file name.
        uploads = list(value) if not isinstance(value, Mapping) else [
            {"name": name, "content": upload["content"]} for name, upload in value.items()
        ]
        if uploads:
            self.path = self._stored(Path(uploads[-1]["name"]).name, bytes(uploads[-1]["content"]))
            PhotoUpload._latest = self._button, self.path
            self.in_use.value = f"in use: {self.path}"

    def _stored(self, name: str, content: bytes) -> Path:
        """The path of the stored photo: its name, with a number if another photo has that name."""
        path, number = self.folder / name, 1
        while path.exists() and path.read_bytes() != content:
            number += 1
            path = self.folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
        return path

    def _ipython_display_(self) -> None:
        import ipywidgets
        from IPython.display import display

        display(ipywidgets.HBox([self.widget, self.in_use]))

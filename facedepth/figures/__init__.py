"""Still pictures: coloured depth, panels, error maps, curves, and a mesh seen from any side."""

from .maps import colour_depth, colour_error, colour_normals
from .panels import curves, panel, sample_row, training_figure, with_photo
from .rendering import STUDIO, MeshScene, mesh_views, render_mesh
from .sheets import sheet

__all__ = [
    "STUDIO", "MeshScene", "colour_depth", "colour_error", "colour_normals", "curves", "mesh_views", "panel",
    "render_mesh", "sample_row", "sheet", "training_figure", "with_photo",
]

"""Displays for notebooks: still pictures, sliders for a depth map, a mesh to turn, a button to upload a photo."""

from .explorer import explore
from .iframe import show_mesh
from .stills import show, show_samples, show_training
from .upload import PhotoUpload

__all__ = ["PhotoUpload", "explore", "show", "show_mesh", "show_samples", "show_training"]

"""Synthetic faces: a seeded parametric generator of portraits with exact depth, masks and camera.

From head to picture: ``kit`` (data) -> ``head`` (shape and pose) -> ``model`` (the scene) -> ``render`` (what is seen)
-> ``surfaces`` and ``strands`` (light) -> ``portrait`` (one picture) -> ``storing`` (its files) -> ``faces`` (the data
set) and ``generating`` (folders of it). Where tensors are made, ``devices`` says.
"""

from .faces import SyntheticFaces
from .generating import generate

__all__ = ["SyntheticFaces", "generate"]

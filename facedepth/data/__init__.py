"""Data sets: each yields ``Sample`` records and says its ``depth_kind``, its ``names`` and its ``identities``."""

from .eg3d import EG3DFaces
from .paired import PairedFolder
from .rerendering import rerender
from .splitting import split

__all__ = ["EG3DFaces", "PairedFolder", "rerender", "split"]

"""Data sets: each yields ``Sample`` records and says its ``depth_kind``, its ``names`` and its ``identities``."""

from .eg3d import EG3DFaces
from .local import copy_to_local_disk
from .paired import PairedFolder
from .rerendering import rerender
from .splitting import Joined, Part, split

__all__ = ["EG3DFaces", "Joined", "PairedFolder", "Part", "copy_to_local_disk", "rerender", "split"]

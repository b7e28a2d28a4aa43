"""Training: its settings, what is learnt, the loop, and how a run is kept and resumed."""

from .config import TrainConfig
from .fitting import fit
from .interruptions import TrainingStopped
from .live import LiveTraining
from .objectives import LossWeights

__all__ = ["LiveTraining", "LossWeights", "TrainConfig", "TrainingStopped", "fit"]

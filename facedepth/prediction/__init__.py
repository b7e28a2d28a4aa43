"""From a photo of any size to depth, points and a mesh of the face in it."""

from .predicting import predict
from .prediction import Prediction

__all__ = ["Prediction", "predict"]

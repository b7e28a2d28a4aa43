"""Pictures without words, side by side: for a README or a slide."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_PAPER = 255


def sheet(rows: Sequence[Sequence[np.ndarray]], *, width: int = 1500, gap: int = 10) -> np.ndarray:
    """One (H, width, 3) uint8 picture of rows of (h, w, 3) uint8, each row brought to one height and the full width."""
    strips = []
    for row in rows:
        room = width - gap * (len(row) - 1)
        aspects = [picture.shape[1] / picture.shape[0] for picture in row]
        height = round(room / sum(aspects))
        edges = np.round(np.cumsum([0, *aspects]) / sum(aspects) * room).astype(int)
        strip = np.full((height, width, 3), _PAPER, np.uint8)
        for place, picture in enumerate(row):
            left, right = edges[place] + gap * place, edges[place + 1] + gap * place
            smaller = picture.shape[1] > right - left
            method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
            strip[:, left:right] = cv2.resize(picture, (int(right - left), height), interpolation=method)
        strips += [strip, np.full((gap, width, 3), _PAPER, np.uint8)]
    return np.concatenate(strips[:-1])

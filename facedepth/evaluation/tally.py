"""From batches that were scored to rows of scores, and to pictures of the few samples worth seeing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from ..sample import Sample
from .comparison import Scored, picture_rows, scored
from .scoring import MAIN_SCORE


class Tally:
    """What an evaluation gathers as it goes: the scores of every picture, and what a few of them are drawn from.

    Attributes:
        scores: a row per picture.
        shares: of each picture's pixels that count.
    """

    def __init__(self, dataset: Dataset, region: str, *, shown: int, extremes: int) -> None:
        count = len(dataset)
        self.scores: list[dict[str, float | str]] = []
        self.shares: list[float] = []
        self._depth_kind, self._region = dataset.depth_kind, region
        self._picked = {round(position) for position in np.linspace(0, count - 1, min(shown, count))}
        self._kept: dict[int, Scored] = {}
        self._best, self._worst = (_Ranked(min(extremes, math.ceil(count / 2))) for _ in range(2))
        self._with_face = self._faceless = 0

    def add(self, batch: Sample, aligned: Tensor, columns: Mapping[str, Tensor]) -> None:
        """Take in a batch, its aligned prediction, and its scores, each (B,)."""
        knows_face = (batch.face != batch.head).flatten(1).any(dim=1)
        self._with_face += int(knows_face.sum())
        self._faceless += int((~knows_face & batch.head.flatten(1).any(dim=1)).sum())
        self.shares += getattr(batch, self._region).flatten(1).float().mean(dim=1).tolist()
        for row, name in enumerate(batch.name):
            place = len(self.scores)
            keep = partial(scored, batch, aligned, self._depth_kind, self._region, row)
            score = float(columns[MAIN_SCORE[self._depth_kind]][row])
            self._best.offer(score, place, keep)
            self._worst.offer(-score, place, keep)
            if place in self._picked:
                self._kept[place] = keep()
            self.scores.append({"name": name} | {key: float(column[row]) for key, column in columns.items()})

    def known_scores(self) -> list[dict[str, float | str]]:
        """The rows, without the head's score where the data do not know heads."""
        if all(math.isnan(row.get("head_iou", math.nan)) for row in self.scores):
            return [{key: value for key, value in row.items() if key != "head_iou"} for row in self.scores]
        return self.scores

    def region_scored(self) -> str:
        """What the report calls the region, where some pictures know the face and others only the head."""
        if self._region != "face" or (self._with_face and not self._faceless):
            return self._region
        pictures = self._with_face + self._faceless
        return f"face (the head in {self._faceless} of {pictures} pictures)" if self._with_face else "head"

    def drawn(self) -> tuple[list[dict], dict[int, dict], dict[int, dict]]:
        """Pictures of samples evenly spread, of the best by their place, and of the worst that are not among them."""
        best, worst = self._best.kept, self._worst.kept
        every = self._kept | best | worst  # by place: of few samples, one may be several of these
        rows = dict(zip(every, picture_rows(list(every.values()), self._depth_kind), strict=True))
        return (
            [rows[place] for place in self._kept], {place: rows[place] for place in best},
            {place: rows[place] for place in worst if place not in best},
        )


class _Ranked:
    """The samples with the few lowest keys seen so far; others are not kept, or dropped."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._entries: list[tuple[float, int, Scored]] = []

    def offer(self, key: float, place: int, keep: Callable[[], Scored]) -> None:
        full = len(self._entries) == self.count
        if math.isnan(key) or self.count == 0 or (full and key >= self._entries[-1][0]):
            return
        self._entries = sorted([*self._entries, (key, place, keep())], key=lambda entry: entry[:2])[: self.count]

    @property
    def kept(self) -> dict[int, Scored]:
        """By their place in the data set, the lowest key first."""
        return {place: one for _, place, one in self._entries}

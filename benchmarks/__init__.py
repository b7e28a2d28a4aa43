"""Claims with numbers: each script measures one against a baseline, in the same run. ``python -m benchmarks``.

A script has a function ``main() -> list[Row]`` and may be run by itself: ``python -m benchmarks.depth_to_mesh``. One
that measures what some work needs, time and memory, against nothing else has ``main() -> list[Need]``. How near the
networks' depth is to the truth, and on what, README.md in this folder says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One measurement.

    Attributes:
        claim: what was measured.
        ours, baseline: milliseconds.
    """

    claim: str
    ours: float
    baseline: float


class Need(NamedTuple):
    """What a piece of work needs.

    Attributes:
        work: what was done, with which model, on which device.
        millions: of parameters that the model has, or that learn.
        ms: milliseconds for a picture.
        gigabytes: of memory, at the peak.
    """

    work: str
    millions: float
    ms: float
    gigabytes: float


def milliseconds(function: Callable[[], object], *, repeats: int) -> float:
    """The best of several runs, after one that does not count where there are several."""
    if repeats > 1:
        function()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, 1000 * (time.perf_counter() - start))
    return best


def table(rows: Sequence[Row]) -> str:
    """The rows as text, with the ratio of the two times."""
    width = max(len(row.claim) for row in rows)
    lines = [f"{'':{width}}  {'ours, ms':>10}  {'baseline, ms':>12}  {'ratio':>6}"]
    lines += [
        f"{row.claim:{width}}  {row.ours:10.2f}  {row.baseline:12.2f}  {row.baseline / row.ours:5.0f}x" for row in rows
    ]
    return "\n".join(lines)


def needs_table(needs: Sequence[Need]) -> str:
    """The needs as text, with the pictures a second that follow from the time for one."""
    width = max(len(need.work) for need in needs)
    lines = [f"{'':{width}}  {'M parameters':>12}  {'ms':>9}  {'pictures/s':>10}  {'peak, GB':>8}"]
    lines += [
        f"{need.work:{width}}  {need.millions:12.2f}  {need.ms:9.1f}  {1000 / need.ms:10.2f}  {need.gigabytes:8.2f}"
        for need in needs
    ]
    return "\n".join(lines)

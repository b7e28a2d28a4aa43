"""Claims with numbers: each script measures one against a baseline, in the same run. ``python -m benchmarks``.

A script has a function ``main() -> list[Row]`` and may be run by itself: ``python -m benchmarks.depth_to_mesh``.
How near the networks' depth is to the truth, and on what, README.md in this folder says.
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

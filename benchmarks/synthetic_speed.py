"""Making a synthetic face with exact depth, against the recipe of the published EG3D set: 36 s a sample on a P100.

The baseline is quoted (50,000 samples took 21 days there), not measured. Every process has one thread; with two
processes the time is what passes from one finished sample to the next. Where there is a CUDA card, batches are made
there too.
"""

from __future__ import annotations

import multiprocessing
import time

import torch

from benchmarks import Row, table
from facedepth.synthetic import SyntheticFaces

EG3D_MS = 36_000.0
SAMPLES = 40


def make(task: tuple[int, int, int]) -> float:
    """Seconds for samples start, start + 1, ... of a size, after one that does not count."""
    size, start, count = task
    torch.set_num_threads(1)
    faces = SyntheticFaces(start + count, size=size)
    faces[0]
    begin = time.perf_counter()
    for index in range(start, start + count):
        faces[index]
    return time.perf_counter() - begin


def make_on_card(size: int, batch: int) -> float:
    """Seconds for a batch of a size on the CUDA card, after one that does not count."""
    faces = SyntheticFaces(2 * batch, size=size, device="cuda")
    faces.batch(range(batch))
    torch.cuda.synchronize()
    begin = time.perf_counter()
    faces.batch(range(batch, 2 * batch))
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def main() -> list[Row]:
    """Measure at 128 and 256 pixels, with one process and with two; at 256 on the card, where there is one."""
    rows = []
    for size in (128, 256):
        for processes in (1, 2):
            share = SAMPLES // processes
            with multiprocessing.get_context("spawn").Pool(processes) as pool:
                seconds = pool.map(make, [(size, 1 + i * share, share) for i in range(processes)], chunksize=1)
            claim = f"a synthetic face, {size} x {size}, {processes} process{'es' * (processes > 1)}"
            rows.append(Row(claim, 1000 * max(seconds) / SAMPLES, EG3D_MS))
    if torch.cuda.is_available():
        seconds = make_on_card(256, SAMPLES)
        claim = f"a synthetic face, 256 x 256, in a batch of {SAMPLES} on {torch.cuda.get_device_name()}"
        rows.append(Row(claim, 1000 * seconds / SAMPLES, EG3D_MS))
    return rows


if __name__ == "__main__":
    print(table(main()))

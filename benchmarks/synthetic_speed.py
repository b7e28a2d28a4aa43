"""How fast synthetic faces are made, beside the published EG3D recipe (36 s a sample on a P100).

    python -m benchmarks.synthetic_speed [--samples 60]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import torch

from facedepth.synthetic import SyntheticFaces

EG3D_SECONDS = 36.0


def make(task: tuple[int, int, int]) -> tuple[float, float]:
    """Samples start, start + 1, ... of a size: seconds taken after one to warm up, and peak memory in MB."""
    size, start, count = task
    torch.set_num_threads(1)
    faces = SyntheticFaces(start + count, size=size, seed=0)
    faces[0]
    begin = time.perf_counter()
    for index in range(start, start + count):
        faces[index]
    return time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=60, help="for every line of the table")
    samples = parser.parse_args().samples
    print("| pixels | processes | samples/s | MB a process | EG3D samples/s |\n|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for size in (128, 256, 512):
        for processes in (1, 2):
            share = samples // processes
            with context.Pool(processes) as pool:
                results = pool.map(make, [(size, 1 + i * share, share) for i in range(processes)], chunksize=1)
            rate = processes * share / max(seconds for seconds, _ in results)
            memory = max(megabytes for _, megabytes in results)
            print(f"| {size} | {processes} | {rate:.1f} | {memory:.0f} | {1 / EG3D_SECONDS:.3f} |", flush=True)


if __name__ == "__main__":
    main()

"""Depth map to triangle mesh, vectorised, against the original notebook's way: a Python loop over the pixels.

The baseline follows that notebook (``depthImage2mesh`` of face-depth-3D-reconstruction): a vertex for every pixel; then
for every square the depth steps in the 3 x 3 patch around it and, where none is a jump, two triangles. Its text lines
and its file are left out. Both get the same depth and run on one thread.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks import Row, milliseconds, table
from facedepth.camera import Camera, pixel_grid
from facedepth.geometry import depth_to_mesh


def mesh_by_loops(depth: np.ndarray, greatest_step: float) -> tuple[list[list[float]], list[list[int]]]:
    """Vertices and faces of (H, W) depth, pixel by pixel; the outermost squares have no patch and get no triangle."""
    height, width = depth.shape
    vertices, faces = [], []
    for row in range(height):
        for column in range(width):
            vertices.append([2.0 * row / height, 2.0 * column / width, float(depth[row, column])])
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            patch = np.copy(depth[row - 1 : row + 2, column - 1 : column + 2])
            steps = (patch[0] - patch[1], patch[:, 0] - patch[:, 1], patch[0] - patch[2], patch[:, 0] - patch[:, 2])
            if max(np.max(np.abs(step)) for step in steps) < greatest_step:
                corner = row * width + column
                faces.append([corner, corner + width, corner + 1])
                faces.append([corner + width + 1, corner + 1, corner + width])
    return vertices, faces


def main() -> list[Row]:
    """Measure at the original's 128 x 128 and at 512 x 512."""
    torch.set_num_threads(1)
    rows = []
    for size, repeats in ((128, 3), (512, 1)):
        camera = Camera.from_fov(20, size, size)
        x, y = (pixel_grid(size, size) / size - 0.5).split(1)
        depth = 0.9 - 0.1 * torch.exp(-8 * (x - 0.1).square() - 5 * y.square())
        mask = torch.ones_like(depth, dtype=torch.bool)
        ours = milliseconds(partial(depth_to_mesh, depth, camera, mask), repeats=10)
        baseline = milliseconds(partial(mesh_by_loops, depth[0].numpy(), greatest_step=0.1), repeats=repeats)
        rows.append(Row(f"depth to mesh, {size} x {size}, vectorised against a loop", ours, baseline))
    return rows


if __name__ == "__main__":
    print(table(main()))

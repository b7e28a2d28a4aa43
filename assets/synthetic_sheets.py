"""Contact sheets of synthetic faces, written to assets/: 48 samples as RGB, depth and normals, and 6 at 512 pixels.

    python assets/synthetic_sheets.py [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from facedepth.figures import colour_depth, colour_normals
from facedepth.io import image_to_uint8
from facedepth.synthetic import SyntheticFaces

ASSETS = Path(__file__).parent


def grid(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    rows = [np.hstack(pictures[i: i + columns]) for i in range(0, len(pictures), columns)]
    return np.vstack(rows)


def write(name: str, pictures: list[np.ndarray], columns: int) -> None:
    path = ASSETS / name
    cv2.imwrite(str(path), grid(pictures, columns)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(path, f"{path.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    samples = list(SyntheticFaces(48, size=192, seed=seed))
    write("synthetic_rgb.jpg", [image_to_uint8(s.image) for s in samples], 8)
    depths = []
    for sample in samples:
        near, far = np.percentile(sample.depth[sample.head].numpy(), [0.5, 99])
        depths.append(colour_depth(sample.depth, sample.mask, near=float(near), far=float(far)))
    write("synthetic_depth.jpg", depths, 8)
    write("synthetic_normals.jpg", [colour_normals(s.depth, s.camera, s.mask) for s in samples], 8)
    large = SyntheticFaces(106, size=512, seed=seed)
    write("synthetic_512.jpg", [image_to_uint8(large[100 + i].image) for i in range(6)], 3)


if __name__ == "__main__":
    main()

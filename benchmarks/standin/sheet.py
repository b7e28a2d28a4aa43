"""A contact sheet of a folder in EG3D's layout: pictures, and under them depth and normals.

``python -m benchmarks.standin.sheet data/standin -o benchmarks/standin.jpg --without template`` leaves out the pictures
of a source that is not for passing on.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from facedepth.data import EG3DFaces
from facedepth.figures import colour_depth, colour_normals
from facedepth.io import image_to_uint8

ROWS, COLUMNS = 4, 12


def main() -> None:
    """Write the sheet of the first samples."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.standin.sheet", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("outputs/standin.jpg"), help="default: %(default)s")
    parser.add_argument("--size", type=int, default=160, help="pixels a side of each picture (default: %(default)s)")
    parser.add_argument("--without", help="a source, as manifest.csv names it")
    options = parser.parse_args()
    faces = EG3DFaces(options.data, size=options.size, depth_kind="metric", skip_bad=True)
    with (options.data / "manifest.csv").open(newline="") as file:
        left_out = {row["name"] for row in csv.DictReader(file) if row["source"] == options.without}
    places = [place for place, name in enumerate(faces.names) if name not in left_out]
    samples = [faces[place] for place in places[: ROWS * COLUMNS]]
    rows = []
    for start in range(0, len(samples) - COLUMNS + 1, COLUMNS):
        row = samples[start : start + COLUMNS]
        rows.append(np.hstack([image_to_uint8(sample.image) for sample in row]))
        ranges = [np.percentile(sample.depth[sample.head], [0.5, 99]) for sample in row]
        # depth for the first row, normals for the others: both say the same, and normals show more
        rows.append(np.hstack([
            colour_depth(sample.depth, sample.mask, near=float(near), far=float(far)) if start == 0
            else colour_normals(sample.depth, sample.camera, sample.mask)
            for sample, (near, far) in zip(row, ranges, strict=True)
        ]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()

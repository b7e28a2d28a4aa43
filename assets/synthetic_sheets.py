"""Contact sheets of synthetic faces, written to assets/: 48 samples as RGB, depth and normals, 6 at 512 pixels, and
of 500 people the 20 whose face is farthest from the mean, bald and neutral, to see that they are people still.

    python assets/synthetic_sheets.py [--seed 0]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from facedepth.figures import colour_depth, colour_normals
from facedepth.io import image_to_uint8
from facedepth.synthetic import SyntheticFaces
from facedepth.synthetic.faces import one_thread
from facedepth.synthetic.head import shape_coefficients
from facedepth.synthetic.kit import load_kit
from facedepth.synthetic.people import Bearing
from facedepth.synthetic.portrait import Person, draw_person, draw_scenery, make_portrait, picture_entropy

ASSETS = Path(__file__).parent


def grid(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    rows = [np.hstack(pictures[i: i + columns]) for i in range(0, len(pictures), columns)]
    return np.vstack(rows)


def write(name: str, pictures: list[np.ndarray], columns: int) -> None:
    path = ASSETS / name
    cv2.imwrite(str(path), grid(pictures, columns)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(path, f"{path.stat().st_size / 1e3:.0f} kB")


def farthest(seed: int, *, of: int, count: int) -> list[Person]:
    """The people whose neutral face, size and place taken off, differs most from the mean face."""
    kit = load_kit()
    people = [draw_person(seed, identity) for identity in range(of)]
    coefficients = torch.stack([shape_coefficients(kit, p.body.phenotype, p.body.local, {}) for p in people])
    heads = kit.template + (coefficients @ kit.shapes).unflatten(1, (-1, 3))
    heads = heads + torch.stack([p.body.beyond_the_kit(kit.template) for p in people])
    faces = heads[:, (kit.masks["head"] > 0.5) & (kit.template[:, 1] < -0.02)]
    faces = faces - faces.mean(dim=1, keepdim=True)
    faces = faces / faces.square().mean(dim=(1, 2), keepdim=True).sqrt()
    distance = (faces - faces.mean(dim=0)).square().mean(dim=(1, 2))
    return [people[i] for i in distance.argsort(descending=True)[:count].tolist()]


def bald_and_neutral(person: Person, seed: int) -> np.ndarray:
    """A person's picture from a little to the side, without what would hide the shape."""
    scenery = draw_scenery(seed, 0)
    shot = replace(
        scenery.shot, yaw_deg=-20.0, pitch_deg=0.0, roll_deg=0.0, horizontal_fov_deg=18.0, width_m=0.32, shift_m=(0, 0)
    )
    neutral = Bearing(actions={}, turn_deg=0.0, nod_deg=0.0, tilt_deg=0.0, gaze_deg=(0.0, 0.0), arms_deg=32.0)
    with one_thread():
        plain = replace(scenery, bearing=neutral, shot=shot, glasses=None, hat=None, occluder=None)
        return make_portrait(replace(person, hair=None), plain, 224, picture_entropy(seed, 0)).picture


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
    strangest = farthest(seed + 77, of=500, count=20)
    write("synthetic_farthest.jpg", [bald_and_neutral(person, seed + 77) for person in strangest], 5)


if __name__ == "__main__":
    main()

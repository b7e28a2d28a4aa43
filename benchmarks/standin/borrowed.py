"""Whether a network reads the relief of a face, or whose face it is.

    python -m benchmarks.standin.borrowed --model face_small --sources data/standin_sources    # minutes on one core

People of the generator are rendered with their own relief, with another person's, with everybody's mean, and with that
of the stand-in's heads. Outlines, skin, hair, light, expression and camera stay: who a face belongs to no longer tells
its relief, which only its shading does. Besides, one renderer is behind all of them, so what a network gets wrong of
the heads here is due to their shapes, not to how the stand-in's pictures look.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from torch import Tensor
from tqdm import tqdm

import facedepth as fd
from benchmarks.face_baselines.methods import network
from benchmarks.face_baselines.scoring import score
from facedepth.checks import InputError
from facedepth.models import DepthNetwork
from facedepth.synthetic.features import Prominence
from facedepth.synthetic.kit import load_kit
from facedepth.synthetic.noise import smooth_step
from facedepth.synthetic.people import Body, draw_body
from facedepth.synthetic.portrait import Person, Scenery, stream

from .relief import HALF, MIDDLE, corners_of_kit, face_grid, grid_places, head_of, relief_map, still_face
from .scans import SUBJECTS, read_scan
from .sources import fetch

DONORS = 60
SEED, SIZE = 4242, 256
ROUNDS = 3  # a face is displaced by places on the template, where its features lie only roughly


@dataclass(frozen=True)
class Borrowed:
    """A person's own prominence, and a displacement to the back by the place on the face: (SIDE, SIDE) metres."""

    own: Prominence
    back: np.ndarray

    def __call__(self, points: Tensor) -> Tensor:
        """(N, 3) metres to add to the template's points (N, 3)."""
        column, row = grid_places(points[:, [0, 2]].double().numpy()).T
        back = torch.from_numpy(map_coordinates(self.back, [row, column], order=1, mode="nearest")).to(points)
        moved = self.own(points)
        return moved + back[:, None] * smooth_step(-0.02, -0.07, points[:, 1])[:, None] * moved.new_tensor([0, 1, 0])


class FacesWithRelief(fd.SyntheticFaces):
    """The generator's faces with nothing worn, and with other reliefs.

    Args:
        reliefs: (SIDE, SIDE) metres behind the plane of the face, taken in turn; none leaves everybody their own.
    """

    def __init__(self, n: int, reliefs: Sequence[np.ndarray], *, size: int, seed: int) -> None:
        super().__init__(n, size=size, seed=seed)
        self.reliefs = reliefs

    def describe(self, index: int) -> tuple[Person, Scenery]:
        person, scenery = super().describe(index)
        if self.reliefs:
            person = replace(person, body=with_relief(person.body, self.reliefs[index % len(self.reliefs)]))
        return person, replace(scenery, hat=None, glasses=None, occluder=None)


def with_relief(body: Body, relief: np.ndarray) -> Body:
    """The same person with a face that stands out as (SIDE, SIDE) metres behind its plane say."""
    faced = replace(body, prominence=Borrowed(body.prominence, np.zeros_like(relief)))
    for _ in range(ROUNDS):
        left = (relief - whole(relief_map(*still_face(faced), corners_of_kit()))) * _fading()
        back = faced.prominence.back + gaussian_filter(left, 0.7)
        faced = replace(body, prominence=Borrowed(body.prominence, back))
    return faced


def _fading() -> np.ndarray:
    """(SIDE, SIDE) 1 on the face, 0 beyond its edge."""
    x, z = face_grid()
    return np.clip((1.12 - np.hypot((x - MIDDLE[0]) / HALF[0], (z - MIDDLE[1]) / HALF[1])) / 0.25, 0, 1)


def whole(relief: np.ndarray) -> np.ndarray:
    """A relief that goes on beside the head as at its edge."""
    nearest = distance_transform_edt(~np.isfinite(relief), return_distances=False, return_indices=True)
    return relief[tuple(nearest)]


def people_reliefs(count: int) -> list[np.ndarray]:
    """Those of people of the generator."""
    bodies = (draw_body(stream(SEED, donor), load_kit()) for donor in range(count))
    return [whole(relief_map(*still_face(body), corners_of_kit())) for body in bodies]


def scores(models: Sequence[DepthNetwork], faces: FacesWithRelief) -> list[tuple[float, float]]:
    """RMSE in mm and angle of normals in degrees of each network, the means over the faces."""
    samples = (faces[index] for index in range(len(faces)))
    rows = [[score(network(model, sample, "none"), sample) for model in models] for sample in samples]
    return [
        tuple(float(np.nanmean([row[place][key] for row in rows])) for key in ("rmse_mm", "mad_deg"))
        for place in range(len(models))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.standin.borrowed", description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True, help="weights or a shipped model; may be repeated")
    parser.add_argument("--sources", type=Path, default=Path("data/standin_sources"), help="default: %(default)s")
    parser.add_argument("-n", type=int, default=24, help="people (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        cache, models = fetch(options.sources), [fd.load_model(name) for name in options.model]
    except InputError as error:
        sys.exit(str(error))
    people = people_reliefs(DONORS)
    reliefs = {"their own": [], "another person's": people, "the mean of people": [np.mean(people, axis=0)]}
    reliefs |= {f"{name}'s": [whole(relief_map(*head_of(read_scan(name, cache))))] for name in SUBJECTS}
    print(f"| relief | {' | '.join(options.model)} |\n|---|{'---|' * len(models)}")
    for name, maps in tqdm(reliefs.items(), unit="relief"):
        found = scores(models, FacesWithRelief(options.n, maps, size=SIZE, seed=SEED))
        tqdm.write(f"| {name} | {' | '.join(f'{rmse:.1f} / {angle:.1f}' for rmse, angle in found)} |")


if __name__ == "__main__":
    main()

"""Whether a network reads the relief of a face, or goes by whose face it is.

    python -m benchmarks.standin.borrowed --model face_small --sources data/standin_sources    # minutes on one core

People of the generator are rendered with their own relief, with another person's, with everybody's mean, and with those
of the stand-in's heads; skin, hair, light and expression stay, and so do outlines, nearly, since the faces are seen
nearly from the front. How far the network is off is set beside how far its answer to the person with their own relief
would be, which is what it would be if it read nothing of the change.
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
from benchmarks.face_baselines.scoring import Guess, interval, score
from facedepth.checks import InputError
from facedepth.models import DepthNetwork
from facedepth.synthetic.features import Prominence
from facedepth.synthetic.kit import load_kit
from facedepth.synthetic.noise import smooth_step
from facedepth.synthetic.people import Body
from facedepth.synthetic.portrait import Person, Scenery, draw_person

from .relief import HALF, MIDDLE, corners_of_kit, face_grid, grid_places, head_of, relief_map, still_face, upright
from .scans import SUBJECTS, read_scan
from .sources import fetch

SEED, SIZE = 4242, 256
DONORS = 60
FRONTAL = 0.3  # share of the turn of head and camera that is left
ROUNDS = 3  # of coming nearer to the relief that is wanted
GREATEST_M = 0.02  # differences beyond come from edges, as a chin's before the throat


@dataclass(frozen=True)
class BorrowedRelief:
    """A person's own prominence, and how far every vertex of the kit goes back besides: (V,) metres."""

    own: Prominence
    back: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """(N, 3) metres to add to the template's points (N, 3), its vertices or its joints."""
        template = load_kit().template
        back = self.back if len(points) == len(template) else self.back[torch.cdist(points, template).argmin(dim=1)]
        moved = self.own(points)
        return moved + (back * smooth_step(-0.02, -0.07, points[:, 1]))[:, None] * moved.new_tensor([0.0, 1.0, 0.0])


class FacesWithRelief(fd.SyntheticFaces):
    """The generator's faces with nothing worn, nearly from the front, and with other reliefs.

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
        shot = replace(scenery.shot, yaw_deg=FRONTAL * scenery.shot.yaw_deg)
        bearing = replace(scenery.bearing, turn_deg=FRONTAL * scenery.bearing.turn_deg)
        return person, replace(scenery, shot=shot, bearing=bearing, hat=None, glasses=None, occluder=None)


def with_relief(body: Body, wanted: np.ndarray) -> Body:
    """The same person, whose face comes to stand out, within a millimetre or so, as (SIDE, SIDE) metres say."""
    kit = load_kit()
    x, z = face_grid()
    share = np.clip((0.95 - np.hypot((x - MIDDLE[0]) / HALF[0], (z - MIDDLE[1]) / HALF[1])) / 0.25, 0, 1)
    back = torch.zeros(len(kit.template))
    for _ in range(ROUNDS):
        faced = replace(body, prominence=BorrowedRelief(body.prominence, back))
        vertices, triangles = still_face(faced)
        placed = upright(vertices, triangles, corners_of_kit())
        left = np.clip(wanted - filled(relief_map(placed, triangles)), -GREATEST_M, GREATEST_M)
        column, row = grid_places(placed[: len(back), [0, 2]]).T  # the fine mesh begins with the kit's vertices
        back = back + torch.from_numpy(
            map_coordinates(gaussian_filter(left * share, 1.0), [row, column], order=1, mode="constant")
        ).float()
    return replace(body, prominence=BorrowedRelief(body.prominence, back))


def filled(relief: np.ndarray) -> np.ndarray:
    """A relief that goes on beside the head as at its edge."""
    nearest = distance_transform_edt(~np.isfinite(relief), return_distances=False, return_indices=True)
    return relief[tuple(nearest)]


def relief_of(vertices: np.ndarray, triangles: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) metres, of a head (V, 3) whose corners of eyes and mouth are these vertices (4,)."""
    return filled(relief_map(upright(vertices, triangles, corners), triangles))


def cells(
    models: Sequence[DepthNetwork], faces: Sequence[fd.Sample], unread: Sequence[Sequence[Guess | None]]
) -> list[str]:
    """For each network two cells of the table: how far it is off on the faces, and how far ``unread`` is, its answers
    to the same people with their own relief."""
    found = []
    for model, answers in zip(models, unread, strict=True):
        found.append([score(network(model, face, "none"), face) for face in faces])
        found.append([score(answer, face) for answer, face in zip(answers, faces, strict=True)])
    return [_cell(rows) for rows in found]


def _cell(rows: Sequence[dict[str, float]]) -> str:
    """RMSE in mm / angle of normals in degrees, with the latter's 95 % interval."""
    angle, low, high = interval([row["mad_deg"] for row in rows])
    return f"{interval([row['rmse_mm'] for row in rows])[0]:.1f} / {angle:.1f} ({low:.1f} ... {high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.standin.borrowed", description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True, help="weights or a shipped model; may be repeated")
    parser.add_argument("--sources", type=Path, default=Path("data/standin_sources"),
                        help="folder that the heads are fetched into (default: %(default)s)")
    parser.add_argument("-n", type=int, default=24, help="people (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        cache, models = fetch(options.sources), [fd.load_model(name) for name in options.model]
    except InputError as error:
        sys.exit(str(error))
    own = list(FacesWithRelief(options.n, [], size=SIZE, seed=SEED))
    unread = [[network(model, face, "none") for face in own] for model in models]
    donors = [relief_of(*still_face(draw_person(SEED + 1, k).body), corners_of_kit()) for k in range(DONORS)]
    reliefs = {"another person's": donors, "the mean of people": [np.mean(donors, axis=0)]}
    reliefs |= {f"{name}'s": [relief_of(*head_of(read_scan(name, cache)))] for name in SUBJECTS}
    columns = [column for name in options.model for column in (name, f"{name}, having read nothing")]
    print(f"| relief | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    print(f"| their own | {' | '.join(cells(models, own, unread))} |")
    for name, maps in tqdm(reliefs.items(), unit="relief"):
        faces = list(FacesWithRelief(options.n, maps, size=SIZE, seed=SEED))
        tqdm.write(f"| {name} | {' | '.join(cells(models, faces, unread))} |")


if __name__ == "__main__":
    main()

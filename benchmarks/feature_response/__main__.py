"""How much of it a network sees when one feature of a face stands out more, and nothing else changes.

    python -m benchmarks.feature_response --model face_small      # three minutes on one core

Every person of the generator is rendered twice, the feature moved back by some millimetres and forward by as many;
pose, light, skin and hair stay. The response is the slope of what changes in the predicted depth over what changes in
the true one, over all faces: 1 for a network that sees it all, 0 for one that goes by what faces are like on average.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import torch
from tqdm import tqdm

import facedepth as fd
from benchmarks.face_baselines.methods import network
from facedepth.models import DepthNetwork
from facedepth.synthetic.features import FEATURES, Prominence
from facedepth.synthetic.portrait import Person, Scenery

MOVED_M = {
    "nose": {"nose": 0.004, "dorsum": 0.003}, "eyes": {"eyes": 0.004}, "brows": {"brows": 0.003, "outer brows": 0.003},
    "mouth": {"mouth": 0.004, "corners of the mouth": 0.003}, "chin": {"chin": 0.004}, "cheeks": {"cheeks": 0.004},
    "forehead": {"forehead": 0.004},
}
"""What is moved together, and how far to either side."""

FRONTAL = 0.3  # share of the camera's yaw that is left: from the side, outlines would tell
JUMP_M = 0.02  # where depth changes by more, an edge has moved over the pixel


class MovedFaces(fd.SyntheticFaces):
    """The generator's faces with nothing worn, seen nearly from the front, some features moved.

    Args:
        moved_m: by feature, metres towards the back.
    """

    def __init__(self, n: int, moved_m: dict[str, float], *, size: int, seed: int) -> None:
        super().__init__(n, size=size, seed=seed)
        self.moved_m = moved_m

    def describe(self, index: int) -> tuple[Person, Scenery]:
        person, scenery = super().describe(index)
        drawn = zip(FEATURES, person.body.prominence.amounts, strict=True)
        moved = Prominence(tuple(amount + self.moved_m.get(name, 0.0) for name, amount in drawn))
        shot = replace(scenery.shot, yaw_deg=FRONTAL * scenery.shot.yaw_deg)
        return (
            replace(person, body=replace(person.body, prominence=moved)),
            replace(scenery, shot=shot, hat=None, glasses=None, occluder=None),
        )


def responses(
    models: Sequence[DepthNetwork], moved_m: dict[str, float], people: Sequence[int], *, size: int = 256,
    seed: int = 777,
) -> list[float]:
    """For each network the slope over these people of what it sees of a move over the move itself."""
    forward = {name: -metres for name, metres in moved_m.items()}
    sides = [MovedFaces(max(people) + 1, moves, size=size, seed=seed) for moves in (moved_m, forward)]
    sums = torch.zeros(len(models), 2, dtype=torch.float64)  # what is seen of every change, and the changes
    for person in people:
        back, front = (faces[person] for faces in sides)
        for k, model in enumerate(models):
            sums[k] += seen_and_true(model, back, front)
    return (sums[:, 0] / sums[:, 1]).tolist()


def seen_and_true(model: DepthNetwork, back: fd.Sample, front: fd.Sample) -> torch.Tensor:
    """Sums over the face of guessed times true change and of the true one's square; zeros without a guess. (2,)."""
    guesses = [network(model, sample, "none") for sample in (back, front)]
    if None in guesses:
        return torch.zeros(2, dtype=torch.float64)
    known = back.face & back.mask & front.face & front.mask & guesses[0].covered & guesses[1].covered
    change = (front.depth - back.depth)[known].double()
    guessed = (guesses[1].depth - guesses[0].depth)[known].double()
    still = change.abs() < JUMP_M
    change, guessed = (values[still] - values[still].mean() for values in (change, guessed))
    return torch.stack([change @ guessed, change @ change])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feature_response", description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True, help="weights or a shipped model; may be repeated")
    parser.add_argument("-n", type=int, default=12, help="people (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = [fd.load_model(name) for name in options.model]
    print(f"| what moves | {' | '.join(options.model)} |\n|---|{'---|' * len(models)}")
    for name, moved_m in tqdm(MOVED_M.items(), unit="feature"):
        row = [f"{slope:.2f}" for slope in responses(models, moved_m, range(options.n))]
        tqdm.write(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()

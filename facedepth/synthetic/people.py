"""Who stands before the camera: ranges of shape, expression and pose that look like people and not like caricatures.

The spreads were found by looking at hundreds of heads: a standard deviation near 0.2 for local shapes varies faces
about as much as real ones vary, 0.4 gives caricatures, 0.7 monsters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from .features import AS_THE_KIT, Prominence, draw_prominence
from .head import Phenotype
from .kit import HeadKit
from .warp import NO_WARP, Warp, draw_warp

OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"),
)
SPREADS = (  # the first pattern that matches a local shape's name gives its standard deviation
    (r"ear-shape", 0.06),
    (r"trans-(in|out)$|^head-trans", 0.08),
    (r"^forehead-scale-vert|^head-scale-vert|^head-angle", 0.10),
    (r"^head-age", 0.155),
    (r"prognathism|jaw-drop|^mouth-trans-(forward|backward)|^head-|^neck|^measure", 0.185),
    (r"eye-(scale|trans|height)", 0.18),
    (r"^l-cheek", 0.34),
    (r"^chin", 0.26),
    (r"", 0.23),
)
ODDNESS = 0.35, 1.0
"""Least and greatest share of these spreads, and of the features', by which one person differs from the average."""

HEAD_SHAPES = ("diamond", "invertedtriangular", "oval", "rectangular", "round", "square", "triangular")
EXTRA_ACTIONS = (
    "browInnerUp", "cheekPuff", "mouthDimpleLeft", "mouthDimpleRight", "mouthFunnel", "mouthLeft", "mouthRight",
    "mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthStretchLeft", "mouthStretchRight", "noseSneerLeft", "noseSneerRight", "jawForward",
)


@dataclass(frozen=True)
class Body:
    """The shape of one person: what stays the same from picture to picture.

    Attributes:
        phenotype, local: the kit's sliders.
        warp, prominence: what makes the head differ from all that the sliders make.
    """

    phenotype: Phenotype
    local: dict[str, float]
    warp: Warp = NO_WARP
    prominence: Prominence = AS_THE_KIT

    def beyond_the_kit(self, points: Tensor) -> Tensor:
        """(N, 3) metres that ``warp`` and ``prominence`` add to the template's points (N, 3)."""
        return self.warp(points) + self.prominence(points)

    @property
    def is_masculine(self) -> bool:
        """Nearer to male; beards, hair and make-up follow it."""
        return self.phenotype.gender < 0.5

    @property
    def oldness(self) -> float:
        """0 up to about forty years, 1 in old age."""
        return float(np.clip((self.phenotype.age - 0.76) / 0.24, 0, 1))


@dataclass(frozen=True)
class Bearing:
    """Expression and pose in one picture.

    Attributes:
        actions: facial actions by name, in [0, 1].
        turn_deg, nod_deg, tilt_deg, gaze_deg, arms_deg: as ``head.pose_rotations`` takes them.
    """

    actions: dict[str, float]
    turn_deg: float
    nod_deg: float
    tilt_deg: float
    gaze_deg: tuple[float, float]
    arms_deg: float


def clipped_normal(rng: np.random.Generator, spread: float, limit: float) -> float:
    """A normal value about 0 with this standard deviation, cut at +-limit."""
    return min(max(float(rng.normal(0, spread)), -limit), limit)


def draw_body(rng: np.random.Generator, kit: HeadKit) -> Body:
    """A person drawn from the whole range of ages, builds and ancestries."""
    ancestry = rng.dirichlet([0.55] * 3)
    low, high = ((0.38, 0.55), (0.55, 0.78), (0.78, 1.0))[rng.choice(3, p=[0.1, 0.6, 0.3])]
    phenotype = Phenotype(
        gender=float(rng.beta(0.5, 0.5)), age=float(rng.uniform(low, high)),
        muscle=float(np.clip(rng.normal(0.5, 0.18), 0.1, 0.95)), weight=float(np.clip(rng.normal(0.5, 0.2), 0.08, 1)),
        african=float(ancestry[0]), asian=float(ancestry[1]), caucasian=float(ancestry[2]),
    )
    oddness = float(rng.uniform(*ODDNESS))
    local = draw_local_shapes(rng, kit, oddness)
    return Body(phenotype, local, draw_warp(rng), draw_prominence(rng, oddness))


def draw_local_shapes(rng: np.random.Generator, kit: HeadKit, oddness: float = 1.0) -> dict[str, float]:
    """Factors of local shapes; left and right nearly agree, and some asymmetry shapes join in.

    ``oddness`` is the share of the spreads that is used; what differs between left and right does not depend on it.
    """
    factors: dict[str, float] = {}
    for negative, positive, spread in _opposite_pairs(kit.shape_names):
        value = clipped_normal(rng, oddness * spread, 2.2 * oddness * spread)
        if not negative.startswith("l-"):
            factors[positive if value > 0 else negative] = abs(value)
            continue
        for side in ("l", "r"):
            one_side = value + clipped_normal(rng, 0.04, 0.1)
            factors[side + (positive if one_side > 0 else negative)[1:]] = abs(one_side)
    for name in kit.shape_names:
        if name.startswith("local:asym-") and rng.random() < 0.3:
            factors[name.removeprefix("local:")] = abs(clipped_normal(rng, 0.10, 0.3))
    for shape in rng.choice(HEAD_SHAPES, 2, replace=False):
        most = 0.15 if shape in ("square", "rectangular") else 0.3
        factors[f"head-{shape}"] = float(rng.uniform(0, oddness * most))
    ear = str(rng.choice(["pointed", "round", "square", "triangle"]))
    factors[f"l-ear-shape-{ear}"] = factors[f"r-ear-shape-{ear}"] = abs(clipped_normal(rng, 0.06, 0.15))
    return factors


@lru_cache(maxsize=1)
def _opposite_pairs(shape_names: tuple[str, ...]) -> list[tuple[str, str, float]]:
    """Local shapes that are each other's opposite, and their spread; of paired sides the left one stands for both."""
    names = {name.removeprefix("local:") for name in shape_names if not name.startswith("local:r-")}
    pairs = []
    for negative, positive in OPPOSITES:
        for stem in sorted(name.removesuffix(f"-{negative}") for name in names if name.endswith(f"-{negative}")):
            if f"{stem}-{positive}" in names:
                spread = next(s for pattern, s in SPREADS if re.search(pattern, f"{stem}-{negative}"))
                pairs.append((f"{stem}-{negative}", f"{stem}-{positive}", spread))
    return pairs


def draw_bearing(rng: np.random.Generator) -> Bearing:
    """An expression (a fifth of them neutral), a gaze and a pose of head and shoulders."""
    yaw = clipped_normal(rng, 9, 25)
    return Bearing(
        actions=draw_actions(rng), turn_deg=clipped_normal(rng, 11, 30), nod_deg=clipped_normal(rng, 6, 15),
        tilt_deg=clipped_normal(rng, 4, 11), gaze_deg=(yaw, clipped_normal(rng, 5, 14)),
        arms_deg=float(rng.uniform(25, 42)),
    )


def draw_actions(rng: np.random.Generator) -> dict[str, float]:
    """Facial actions in [0, 1]: neutral, smiles, laughs, surprise, frowns, pouts and mixtures."""
    actions: dict[str, float] = {}

    def both(name: str, value: float) -> None:
        for side in ("Left", "Right"):
            actions[name + side] = value * (1 + clipped_normal(rng, 0.15, 0.4))

    kind = rng.choice(
        ["neutral", "smile", "laugh", "surprise", "frown", "pout", "talk", "mixture"],
        p=[0.22, 0.24, 0.18, 0.07, 0.07, 0.05, 0.08, 0.09],
    )
    if kind == "smile":
        amount = rng.uniform(0.15, 0.75)
        both("mouthSmile", amount)
        both("cheekSquint", 0.5 * amount)
        both("eyeSquint", 0.35 * amount)
    elif kind == "laugh":
        amount = rng.uniform(0.35, 0.8)
        both("mouthSmile", amount)
        both("cheekSquint", 0.5 * amount)
        both("mouthUpperUp", amount * rng.uniform(0.3, 0.7))
        both("mouthLowerDown", amount * rng.uniform(0.1, 0.45))
        actions["jawOpen"] = rng.uniform(0.02, 0.16)
    elif kind == "surprise":
        actions["jawOpen"] = rng.uniform(0.1, 0.5)
        actions["browInnerUp"] = rng.uniform(0, 0.6)
        both("browOuterUp", rng.uniform(0, 0.6))
        both("eyeWide", rng.uniform(0, 0.6))
    elif kind == "frown":
        both("browDown", rng.uniform(0.2, 0.8))
        both("mouthFrown", rng.uniform(0, 0.6))
        both("noseSneer", rng.uniform(0, 0.4))
        both("eyeSquint", rng.uniform(0, 0.4))
    elif kind == "pout":
        actions["mouthPucker"] = rng.uniform(0.2, 0.8)
        actions["mouthFunnel"] = rng.uniform(0, 0.3)
    elif kind == "talk":
        actions["jawOpen"] = rng.uniform(0.03, 0.3)
        both("mouthUpperUp", rng.uniform(0, 0.3))
        both("mouthLowerDown", rng.uniform(0, 0.4))
        actions["mouthFunnel"] = rng.uniform(0, 0.4)
    elif kind == "mixture":
        for name in rng.choice(EXTRA_ACTIONS, 6, replace=False):
            actions[str(name)] = rng.uniform(0, 0.45)
    both("eyeBlink", 1.0 if rng.random() < 0.04 else min(abs(rng.normal(0, 0.09)), 0.4))
    return {name: float(np.clip(value, 0, 1)) for name, value in actions.items()}

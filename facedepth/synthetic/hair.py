"""Growing hair: roots on the scalp, then strands that follow a combing direction and gravity and stay off the body.

Strands start on the template's scalp and are later carried to the posed head. Roots thin out at the hairline, so that
it is soft.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .devices import on_host
from .hair_styles import HairLook
from .noise import SolidNoise, bump, smooth_step
from .scalp import Roots, above_hairline, distance_field, scalp_roots
from .vectors import norm, unit

STEPS = {"buzz": 3, "crop": 7, "quiff": 9, "bun": 26, "ponytail": 20}  # points of a strand; 13 for the rest
CURL_STEPS = 40
BUN_M = 0.032
FACE_SIDE_M = 0.062  # hair that is not a fringe stays this far from the middle of the face
CROWN = (0.0, 0.005, 0.845)


def density(look: HairLook, rest: Tensor, noise: SolidNoise, *, softness_m: float = 0.010) -> Tensor:
    """(N,) share of full growth at template points: the shape of the hairline and of what has gone bald."""
    front = smooth_step(-0.075, -0.105, rest[:, 1])
    side = rest[:, 0].abs()
    margin = above_hairline(rest) + 0.004 - look.hairline + 0.0035 * noise(rest, 130, 1) + 0.0015 * noise(rest, 600, 2)
    margin = margin - look.recession * front * (bump(side, 0.042, 0.020) + 0.5 * bump(side, 0, 0.03))
    grown = smooth_step(-0.25 * softness_m, softness_m, margin)
    if look.bald_crown:
        from_crown = norm(rest - torch.tensor(CROWN)) + 0.006 * noise(rest, 60, 3)
        radius = 0.035 + 0.045 * look.bald_crown
        grown = grown * (1 - look.bald_crown * smooth_step(radius + 0.02, radius - 0.01, from_crown))
    return grown


def combing(look: HairLook, rest: Tensor, place: Tensor) -> Tensor:
    """(N, 3) preferred direction, on the template, of strands rooted at ``rest`` and now at ``place``."""
    top = smooth_step(0.765, 0.805, rest[:, 2])[:, None]
    away = torch.sign(rest[:, 0] - look.parting + 1e-6)
    ones, zeros = torch.ones_like(away), torch.zeros_like(away)
    if look.comb == "tie":
        return unit(torch.tensor(_tie_point(look)) - place)
    if look.comb == "out":
        return unit(place - torch.tensor([0.0, -0.03, 0.74]))
    on_top = {
        "up": torch.stack([0.2 * away, -0.25 * ones, ones], dim=1),
        "back": torch.stack([0.15 * away, ones, 0.1 * ones], dim=1),
        "side": torch.stack([away, -0.25 * ones, zeros], dim=1),
        "part": torch.stack([away, 0.30 * ones, -0.1 * ones], dim=1),
        "forward": torch.stack([0.25 * away, -ones, -0.1 * ones], dim=1),
        "messy": torch.stack(
            [torch.sin(240 * rest[:, 0] + 90 * rest[:, 1]), torch.cos(210 * rest[:, 1]), 0.4 * ones], dim=1
        ),
    }[look.comb]
    if look.comb == "side":  # one parting to the side, everything on top combed across
        on_top[:, 0] = -_side(look) * torch.where(away == _side(look), -1.0, 1.0)
    at_side = torch.stack([0.1 * away, 0.35 * ones, -ones], dim=1)
    if look.style == "slick":
        at_side[:, 1] = 1.2
    if look.fringe:
        fringe = (smooth_step(-0.088, -0.102, rest[:, 1]) * smooth_step(0.055, 0.04, rest[:, 0].abs()))[:, None]
        on_top = on_top * (1 - fringe) + fringe * torch.tensor([0.1 * _side(look), -1.0, -0.6])
    return unit(top * on_top + (1 - top) * at_side)


def _side(look: HairLook) -> float:
    return 1.0 if look.parting >= 0 else -1.0


def _tie_point(look: HairLook) -> tuple[float, float, float]:
    return (0.0, 0.075, 0.795) if look.style == "ponytail" else (0.0, 0.045, 0.862)


def grow(
    look: HairLook, rng: np.random.Generator, noise: SolidNoise, down: Tensor, *, count: int, covered: Tensor | None
) -> tuple[Roots, Tensor, Tensor, Tensor]:
    """Strands on the template.

    Args:
        down: (3,) gravity's direction in the template's frame.
        count: how many roots to try; those outside the hairline are dropped.
        covered: (12000,) bool, scalp roots that a hat hides, or None.

    Returns:
        the roots; points (N, K, 3); how far out they are within the hair, (N, K), 0 at the skin ... 1; and the
        directions away from the body there, (N, K, 3).
    """
    roots, draw = _growing_roots(look, rng, noise, count, covered)
    rest, count = roots.rest, len(roots.rest)
    if not count:
        return roots, torch.zeros(0, 2, 3), torch.zeros(0, 2), torch.zeros(0, 2, 3)
    steps = STEPS.get(look.style, 13)
    length, is_fringe = _lengths(look, rest, draw)
    thin_edge = smooth_step(-0.01, 0.03, above_hairline(rest)).clamp(min=0.12)
    lift = look.lift * (0.12 + 0.88 * draw[:, 1] ** 0.7) * thin_edge

    place, direction = rest + 5e-4 * roots.normal, roots.normal
    points, tied = [rest], torch.zeros(count, dtype=torch.bool)
    short = look.style in ("buzz", "afro")
    hug = 0.0 if short else 1.6  # hair far from the body falls back to it
    weight = 0.0 if short or look.comb == "tie" else 0.25 * look.fall if look.comb == "up" else look.fall
    distance, outward = torch.zeros(count), roots.normal  # where strands are, for the next step
    comb = combing(look, rest, place)
    for step in range(1, steps):
        t = step / (steps - 1)
        if look.comb in ("tie", "out"):  # only these change along a strand
            comb = combing(look, rest, place)
        travelled = (length * t)[:, None]
        fall = weight * (travelled / 0.05).clamp(max=1.0)
        stand = 0.6 * (1 - t) ** 3 + 1.5 * short
        wish = comb * (1 - 0.85 * fall.clamp(max=1)) + stand * roots.normal + 2.5 * fall * down
        wish = wish + look.frizz * torch.as_tensor(rng.standard_normal((count, 3), dtype=np.float32))
        wish = wish - hug * ((distance - lift) / 0.015).clamp(0, 1)[:, None] * outward
        direction = unit(0.5 * direction + 0.5 * unit(wish))
        if look.comb == "tie":
            direction, tied = _tied(look, place, direction, tied, draw, down)
        place = place + direction * (length / (steps - 1))[:, None]
        distance, outward = distance_field(place)
        needed = lift * min(1.0, 3.0 * t) + 5e-4
        place = place + (needed - distance).clamp(min=0)[:, None] * outward
        place = _off_the_face(place, rest, is_fringe, look)
        points.append(place)
    points = torch.stack(points, dim=1)
    if look.clump:
        points = _clumped(points, look, draw, rng)
    if look.curl:
        points = _curled(_finer(points, CURL_STEPS), look, draw, noise)
    distance, outward = distance_field(points.flatten(0, 1))
    outness = (distance.view(points.shape[:2]) / max(look.lift, 0.004)).clamp(0, 1)
    return roots, points, outness, outward.view(points.shape)


@on_host
def _growing_roots(
    look: HairLook, rng: np.random.Generator, noise: SolidNoise, count: int, covered: Tensor | None
) -> tuple[Roots, Tensor]:
    """Those of ``count`` random roots that hair grows from, and (N, 6) uniform numbers for each."""
    roots = scalp_roots()
    chosen = torch.as_tensor(rng.permutation(len(roots.rest))[:count])
    draw = torch.as_tensor(rng.random((len(chosen), 6), dtype=np.float32))
    kept = draw[:, 0] < density(look, roots.rest[chosen], noise)
    if covered is not None:
        kept &= ~covered[chosen]
    kept = kept.nonzero()[:, 0]
    return roots.pick(chosen[kept]), draw[kept]


def _tied(
    look: HairLook, place: Tensor, direction: Tensor, tied: Tensor, draw: Tensor, down: Tensor
) -> tuple[Tensor, Tensor]:
    """Directions (N, 3) once strands have reached the tie: down the tail, or round and round the bun; and who has."""
    from_tie = place - torch.tensor(_tie_point(look))
    tied = tied | (norm(from_tie) < 0.022)
    if look.style == "ponytail":
        spread = 0.5 * (draw[:, 2:5] - 0.5) * (norm(from_tie) < 0.05)[:, None]
        onward = unit(0.55 * direction + 0.6 * down + torch.tensor([0.0, 0.25, 0.0]) + spread)
    else:
        from_middle = from_tie - torch.tensor([0.0, 0.012, 0.018])
        axis = unit(draw[:, 2:5] - 0.5)
        radius = BUN_M * (0.4 + 0.6 * draw[:, 5:6] ** 0.4)
        inward = (radius - norm(from_middle)[:, None]) / radius * unit(from_middle)
        onward = unit(unit(torch.linalg.cross(axis, from_middle)) + 1.5 * inward)
    return torch.where(tied[:, None], onward, direction), tied


def _lengths(look: HairLook, rest: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
    top = smooth_step(0.755, 0.80, rest[:, 2])
    back = smooth_step(-0.01, 0.03, rest[:, 1])
    length = top * look.top + (1 - top) * (back * look.back + (1 - back) * look.side)
    length = length * (0.78 + 0.3 * draw[:, 2]) * (0.3 + 0.7 * smooth_step(-0.005, 0.02, above_hairline(rest)))
    in_front = (rest[:, 1] < -0.088) & (rest[:, 0].abs() < 0.05) & (draw[:, 3] < 0.9)
    is_fringe = in_front if look.fringe else torch.zeros_like(in_front)
    return torch.where(is_fringe, look.fringe * (0.85 + 0.25 * draw[:, 2]), length), is_fringe


def _off_the_face(place: Tensor, rest: Tensor, is_fringe: Tensor, look: HairLook) -> Tensor:
    side = torch.sign(torch.where(rest[:, 0].abs() < 0.02, place[:, 0], rest[:, 0]) + 1e-6)
    low = smooth_step(0.805, 0.765, place[:, 2])
    before = smooth_step(-0.055, -0.09, place[:, 1]) * low
    wanted = torch.maximum(place[:, 0].abs(), FACE_SIDE_M * before)
    held_back = torch.maximum(place[:, 1], -0.075 - 0.10 * (1 - low))
    moved = torch.stack([side * wanted, torch.where(place[:, 2] > 0.60, held_back, place[:, 1]), place[:, 2]], dim=1)
    return torch.where(is_fringe[:, None], place, moved)


def _clumped(points: Tensor, look: HairLook, draw: Tensor, rng: np.random.Generator) -> Tensor:
    """Pull strands towards the nearest of a few leaders, more and more towards the tips."""
    count, steps = points.shape[:2]
    leaders = rng.permutation(count)[: max(count // (45 if look.style == "locs" else 22), 1)]
    leader = points[_nearest(points[:, 0], torch.as_tensor(leaders))]
    pull = look.clump * torch.linspace(0, 1, steps) ** (0.4 if look.style == "locs" else 0.8)
    pull = pull * (0.5 + 0.5 * draw[:, 4:5]) if look.style != "locs" else pull.expand(count, -1)
    return points + pull[..., None] * (leader - points)


@on_host
def _nearest(places: Tensor, leaders: Tensor) -> Tensor:
    """(N,) which of the leaders, places by their index, is nearest to each of the places (N, 3)."""
    return leaders[torch.cdist(places, places[leaders]).argmin(dim=1)]


def _finer(points: Tensor, steps: int) -> Tensor:
    """(N, K, 3) strands resampled to ``steps`` points."""
    resampled = torch.nn.functional.interpolate(points.transpose(1, 2), steps, mode="linear", align_corners=True)
    return resampled.transpose(1, 2).contiguous()


def _curled(points: Tensor, look: HairLook, draw: Tensor, noise: SolidNoise) -> Tensor:
    """Wind strands about their own path; neighbours share the phase."""
    steps = points[:, 1:] - points[:, :-1]
    along = torch.cat([torch.zeros(len(points), 1), norm(steps).cumsum(dim=1)], dim=1)
    tangent = unit(torch.cat([steps, steps[:, -1:]], dim=1))
    first = unit(torch.linalg.cross(tangent, torch.tensor([0.3, 0.2, 1.0]).expand_as(tangent)))
    second = torch.linalg.cross(tangent, first)
    phase = 6.0 * noise(points[:, 0], 55, 2)[:, None] + 1.5 * draw[:, 5:6]
    angle = 2 * torch.pi * look.curls_per_m * along * (0.85 + 0.3 * draw[:, 4:5]) + phase
    radius = look.curl * (along / 0.02).clamp(max=1)
    return points + radius[..., None] * (first * angle.cos()[..., None] + second * angle.sin()[..., None])

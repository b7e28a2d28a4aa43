"""Heads in the kit's world (metres, z up, the face towards -y): the kit's own, drawn otherwise, and other people's."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from facedepth.synthetic.clothes import Clothing, clothes_piece
from facedepth.synthetic.head import Phenotype, Subdivision, head_subdivision, to_triangles, vertex_normals
from facedepth.synthetic.kit import PARTS, load_kit
from facedepth.synthetic.model import MATERIAL, PosedBody, pose_body, template_eye_centres, template_masks
from facedepth.synthetic.noise import SolidNoise, smooth_step
from facedepth.synthetic.people import Bearing, Body, draw_local_shapes
from facedepth.synthetic.scalp import above_hairline, fine_template

from . import surfaces
from .scans import SUBJECTS, Scan, read_scan

KIT = "kit"
TO_MIDDLE = torch.tensor([0.0, 0.012, 0.0])
"""From the front of an eyeball to its middle."""
BROWN = (0.10, 0.055, 0.028)
HAIRLIKE = "hat"  # opaque sculpted hair counts as head and not as face, which is what the kit's material "hat" says


class Part(NamedTuple):
    """Triangles of one make.

    Attributes:
        vertices: (V, 3), rest: (V, 3) places on the template, colour: (V, 3) linear RGB.
        triangles: (T, 3); material: (T,) index into ``facedepth.synthetic.model.MATERIALS``.
        gloss: "skin", "wet", "matt" or "hard".
    """

    vertices: Tensor
    rest: Tensor
    colour: Tensor
    triangles: Tensor
    material: Tensor
    gloss: str


class Head(NamedTuple):
    """All parts, the posed kit body that clothes and hair go by, and the landmarks that a picture is framed by."""

    parts: list[Part]
    posed: PosedBody
    nose_tip: Tensor
    between_eyes: Tensor


@lru_cache(maxsize=1)
def _finest() -> tuple[Subdivision, Tensor, Tensor, Tensor]:
    """Second subdivision of the kit, its template (V3, 3), mask of lips (V3,), part of every quad."""
    second = Subdivision.of(head_subdivision().quads, len(fine_template()[0]))
    table = second.refine(torch.cat([fine_template()[0], template_masks().lips[:, None]], dim=1))
    return second, table[:, :3], table[:, 3], load_kit().quad_part.repeat_interleave(16)


def draw_body(rng: np.random.Generator) -> Body:
    """Other people than the training set's: ages even, ancestries mixed, shapes more often far from the mean."""
    ancestry = rng.dirichlet([1.5] * 3)
    phenotype = Phenotype(
        gender=float(rng.random()), age=float(rng.uniform(0.42, 1.0)), muscle=float(rng.uniform(0.15, 0.9)),
        weight=float(rng.beta(2, 1.7)), african=float(ancestry[0]), asian=float(ancestry[1]),
        caucasian=float(ancestry[2]),
    )
    local = draw_local_shapes(rng, load_kit())
    tails = rng.standard_t(4, len(local)) ** 2
    stretch = np.clip(0.75 + 0.25 * np.sqrt(tails), 0.6, 1.7)
    return Body(phenotype, {name: float(value * s) for (name, value), s in zip(local.items(), stretch, strict=True)})


def draw_bearing(rng: np.random.Generator) -> Bearing:
    """A few facial actions at random, half of the time weak; the head nearly straight on its neck."""
    names = [n.removeprefix("action:") for n in load_kit().shape_names if n.startswith("action:")]
    names = [n for n in names if not n.startswith(("eyeLook", "eyeBlink", "jawOpen", "tongue", "mouthClose"))]
    strength = rng.choice([0.15, 0.5], p=[0.55, 0.45])
    actions = {str(n): float(strength * rng.beta(1.2, 2)) for n in rng.choice(names, 5, replace=False)}
    if rng.random() < 0.45:
        smile = float(rng.uniform(0.2, 0.8))
        actions |= {"mouthSmileLeft": smile, "mouthSmileRight": smile * float(rng.uniform(0.8, 1))}
    actions["jawOpen"] = float(rng.choice([0, rng.uniform(0, 0.25)], p=[0.7, 0.3]))
    actions["eyeBlinkLeft"] = actions["eyeBlinkRight"] = float(rng.uniform(0, 0.3))
    return Bearing(
        actions, turn_deg=float(rng.normal(0, 5)), nod_deg=float(rng.normal(0, 4)), tilt_deg=float(rng.normal(0, 3)),
        gaze_deg=(float(rng.normal(0, 8)), float(rng.normal(0, 4))), arms_deg=float(rng.uniform(28, 40)),
    )


def make_head(
    source: str, body: Body, bearing: Bearing, clothing: Clothing, hair: str, finish: str, tone: float,
    hair_rgb: tuple[float, float, float], cache: Path, rng: np.random.Generator,
) -> Head:
    """Geometry and colours of one person.

    Args:
        source: ``KIT``, or a scan's name; scans take over how ``body`` differs from the mean.
        hair: "sculpted" for a displaced shell; anything else leaves the scalp bare.
        finish: one of ``surfaces.FINISHES``.
        tone: darkness of the skin, 0 ... 1.
    """
    noise = SolidNoise(rng)
    if source == KIT:
        posed = pose_body(body, bearing)
        parts = _kit_parts(body, posed, finish, tone, hair_rgb, noise, rng)
        head = Head(parts, posed, posed.nose_tip, (posed.left_eye + posed.right_eye) / 2)
    else:
        scan = read_scan(source, cache)
        head = _scan_head(scan, body, bearing, finish, tone, hair_rgb, clothing.fabric.colour, noise, rng)
    if hair == "sculpted":
        head.parts.append(_sculpted_hair(head, source, hair_rgb, noise, rng))
    head.parts.append(_clothes(clothing, head.posed, noise))
    return head


def _kit_parts(
    body: Body, posed: PosedBody, finish: str, tone: float, hair_rgb: tuple, noise: SolidNoise,
    rng: np.random.Generator,
) -> list[Part]:
    second, rest, lips, part = _finest()
    vertices = second.refine(posed.vertices) + surfaces.bend(rest, noise, float(rng.uniform(0.0005, 0.0022)))
    skin_quads = second.quads[part == PARTS.index("skin")]
    skin = to_triangles(skin_quads)
    height = torch.zeros(len(rest))
    used = skin_quads.unique()
    height[used] = surfaces.carve(rest[used], body.oldness, noise, rng)
    height = height * (1 - 0.7 * lips)
    vertices = vertices + vertex_normals(vertices, skin) * height[:, None]
    colour = torch.full_like(vertices, 0.3)
    colour[used] = _skin_paint(rest[used], lips[used], finish, tone, hair_rgb, noise, rng)
    made = [Part(vertices, rest, colour, skin, torch.full((len(skin),), MATERIAL["skin"]), "skin")]
    iris = tuple((np.array(BROWN) * np.exp(rng.normal([0, 0.3, 0.5], 0.6))).clip(0, 0.5).tolist())
    for name, centre in zip(("left_eye", "right_eye"), template_eye_centres(), strict=True):
        triangles = to_triangles(second.quads[part == PARTS.index(name)])
        eye = surfaces.eye_colour(rest - centre, iris)
        made.append(Part(vertices, rest, eye, triangles, torch.full((len(triangles),), MATERIAL[name]), "wet"))
    for name, rgb in (("cavity", (0.12, 0.03, 0.03)), ("tongue", (0.35, 0.10, 0.10)),
                      ("upper_teeth", (0.62, 0.57, 0.47)), ("lower_teeth", (0.60, 0.55, 0.45))):
        triangles = to_triangles(second.quads[part == PARTS.index(name)])
        kind = torch.full((len(triangles),), MATERIAL[name])
        made.append(Part(vertices, rest, torch.tensor(rgb).expand_as(vertices), triangles, kind, "wet"))
    return made


def _skin_paint(
    rest: Tensor, lips: Tensor, finish: str, tone: float, hair_rgb: tuple, noise: SolidNoise, rng: np.random.Generator
) -> Tensor:
    colour = surfaces.skin_colour(rest, lips, tone, noise, rng)
    share = 0.8 * surfaces.brows(rest, noise)[:, None]
    colour = colour * (1 - share) + 0.5 * torch.tensor(hair_rgb) * share
    return surfaces.paint(colour, rest, noise, rng) if finish == "painted" else colour


def _scan_head(
    scan: Scan, body: Body, bearing: Bearing, finish: str, tone: float, hair_rgb: tuple, cloth_rgb: tuple,
    noise: SolidNoise, rng: np.random.Generator,
) -> Head:
    """A scan, warped as far as the kit's person differs from the kit's mean person."""
    still = replace(bearing, turn_deg=0.0, nod_deg=0.0, tilt_deg=0.0, gaze_deg=(0.0, 0.0))
    still = replace(still, actions={name: 0.4 * value for name, value in still.actions.items() if "jaw" not in name})
    posed = pose_body(body, still)
    rest, _ = fine_template()
    moved = posed.vertices - rest
    whole = moved[(rest[:, 2] > 0.62) & (rest[:, 1] < -0.06)].mean(dim=0)  # tall people's heads are higher up
    vertices = scan.vertices + whole + 0.8 * scan.carry(moved - whole)
    vertices = vertices + surfaces.bend(scan.vertices, noise, float(rng.uniform(0.0005, 0.0022)))
    if not scan.subject.has_pores:
        normals = vertex_normals(vertices, scan.triangles)
        vertices = vertices + normals * surfaces.carve(scan.vertices, body.oldness, noise, rng)[:, None]
    lips = scan.carry(template_masks().lips[:, None])[:, 0] * scan.subject.lips
    painted = _skin_paint(scan.vertices, lips, finish, tone, hair_rgb, noise, rng)
    if scan.photo is not None and finish == "skin":
        # the photographed skin, tinted towards the tone drawn
        painted = scan.photo * (painted.mean(dim=0) / scan.photo.mean(dim=0)) ** 0.8
    if scan.photo is None or finish != "skin":
        for seen, middle in zip(scan.in_eye, scan.eyes, strict=True):
            painted[seen] = surfaces.eye_colour(scan.vertices[seen] - scan.vertices[middle] - TO_MIDDLE, BROWN)
    if scan.photo is None:
        painted[scan.is_hair], painted[scan.is_cloth] = torch.tensor(hair_rgb), torch.tensor(cloth_rgb)
    material = torch.full((len(scan.triangles),), MATERIAL["skin"])
    material[scan.is_hair[scan.triangles].all(dim=1)] = MATERIAL[HAIRLIKE]
    material[scan.is_cloth[scan.triangles].all(dim=1)] = MATERIAL["cloth"]
    part = Part(vertices, scan.vertices, painted.clamp(0.01, 0.9), scan.triangles, material, "skin")
    tip, left, right = (vertices[i] for i in (scan.nose, *scan.eyes))
    return Head([part], posed, tip, (left + right) / 2)


def _sculpted_hair(
    head: Head, source: str, rgb: tuple[float, float, float], noise: SolidNoise, rng: np.random.Generator
) -> Part:
    """Hair as sculptors make it: a thick shell over the scalp with grooves along one direction."""
    if source == KIT:
        skin = head.parts[0]
        vertices, rest, triangles = skin.vertices, skin.rest, skin.triangles
    else:  # a scan may have no crown: the kit's, warped the same way, stands in for it
        second, rest, _, part = _finest()
        vertices, triangles = second.refine(head.posed.vertices), to_triangles(second.quads[part == 0])
    ears = _finest()[0].refine(template_masks().ears[:, None])[:, 0]
    line = above_hairline(rest) - float(rng.normal(0, 0.006)) + 0.006 * noise(rest, 40, 0)
    if source != KIT:
        line = line + SUBJECTS[source].bare_to_m
    depth = float(rng.uniform(0.008, 0.028))
    across = rest[:, 0] * 0.4 + rest[:, 1] * float(rng.normal(0, 0.5)) + 0.008 * noise(rest, 30, 1)
    grooves = torch.sin(across * 2 * torch.pi / float(rng.uniform(0.006, 0.014)) + 2 * noise(rest, 60, 2))
    lift = depth * smooth_step(0, 0.035, line) * (1 + 0.25 * noise(rest, 22, 3)) + 0.0016 * grooves
    lift = torch.where(line > 0, lift + 0.002, torch.tensor(-0.004))
    normals = vertex_normals(vertices, triangles)
    off_ears = (ears[triangles] < 0.3).all(dim=1) & (rest[triangles][..., 2] > 0.66).all(dim=1)
    keep = (line[triangles].amax(dim=1) > 0) & off_ears
    shade = torch.exp(0.25 * grooves + 0.2 * noise(rest, 300, 0))[:, None]
    colour = (torch.tensor(rgb) * shade).clamp(0.005, 0.8)
    kind = torch.full((int(keep.sum()),), MATERIAL[HAIRLIKE])
    return Part(vertices + normals * lift[:, None], rest, colour, triangles[keep], kind, "matt")


def _clothes(clothing: Clothing, posed: PosedBody, noise: SolidNoise) -> Part:
    piece = clothes_piece(clothing, posed, noise)
    first, other = (torch.tensor(c) for c in (clothing.fabric.colour, clothing.fabric.second_colour))
    share = smooth_step(0.1, 0.3, noise(piece.rest, 70, 1))[:, None] * (clothing.fabric.pattern != "plain")
    colour = (first * (1 - share) + other * share).clamp(0.01, 0.85)
    return Part(piece.vertices, piece.rest, colour, piece.triangles, piece.material, "matt")

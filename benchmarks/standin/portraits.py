"""One sample of the set, from seeds to picture, labels and a row of the manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from facedepth.camera import Camera
from facedepth.synthetic.camera_effects import to_srgb
from facedepth.synthetic.clothes import draw_clothing, random_colour
from facedepth.synthetic.facial_hair import draw_facial_hair
from facedepth.synthetic.glasses import Glasses, draw_glasses, frame_pieces
from facedepth.synthetic.hair_styles import COLOURS, draw_hair
from facedepth.synthetic.hats import Hat, covered_roots, draw_hat, hat_pieces, pressed
from facedepth.synthetic.labels import Labels, below_neck, hair_layer, make_labels
from facedepth.synthetic.model import Piece
from facedepth.synthetic.noise import SolidNoise
from facedepth.synthetic.people import Bearing, Body
from facedepth.synthetic.portrait import stream
from facedepth.synthetic.render import Scene
from facedepth.synthetic.shot import Shot, exported, place_camera
from facedepth.synthetic.strands import Strands, splat
from facedepth.synthetic.tresses import Grown, grow_everything

from . import surfaces
from .heads import KIT, Head, Part, draw_bearing, draw_body, make_head
from .light import draw_environment
from .pathtrace import opaque_surface, read_radiance, trace
from .scans import SUBJECTS
from .sources import environments

ROTA = (KIT, "james", KIT, "template", KIT, "bust", KIT, "bust", "james", "template")
"""Where the geometry comes from, in turn."""
HEAD_HEIGHT_M = 0.245
HAIR_UNDER_HAT_M = 0.004
SAMPLES = 16
"""Light paths a pixel before denoising."""


class Portrait(NamedTuple):
    """Picture (size, size, 3) uint8, labels, camera, and what the sample is like, by column of the manifest."""

    picture: np.ndarray
    labels: Labels
    camera: Camera
    facts: dict[str, str | float]


def make_portrait(seed: int, index: int, size: int, cache: Path) -> Portrait:
    """Sample ``index`` of a seed; depends on both alone."""
    rngs = [stream(seed, index, part) for part in range(12)]
    source = ROTA[index % len(ROTA)]
    body, bearing = draw_body(rngs[0]), draw_bearing(rngs[1])
    finish = str(rngs[2].choice(surfaces.FINISHES, p=[0.80, 0.12, 0.08]))
    tone = float(rngs[2].beta(1.1, 1.4))
    hair, hat_kind = _draw_hair_kind(rngs[3], source, finish)
    hair_rgb = _hair_colour(rngs[3], tone)
    head = make_head(source, body, bearing, draw_clothing(rngs[4]), hair, finish, tone, hair_rgb, cache, rngs[5])
    noise = SolidNoise(rngs[6])
    hat = None
    if hat_kind != "none":
        hat = _wear_hat(head, hat_kind, noise, rngs[7])
    grown = None
    if source == KIT and finish != "clay":
        grown = _grow(head, body, hair == "strands", hair_rgb, hat, noise, rngs[7], size)
    has_glasses = source == KIT and rngs[8].random() < 0.25
    if has_glasses:
        glasses = _draw_glasses(rngs[8])
        head.parts.extend(_as_part(piece, glasses.colour, "hard") for piece in frame_pieces(glasses, head.posed))
    if finish == "clay":
        clay = surfaces.clay_colour(rngs[2])
        head = head._replace(parts=[part._replace(colour=clay.expand_as(part.colour)) for part in head.parts])

    shot, framing = _draw_shot(rngs[9], bearing.turn_deg if source == KIT else 0.0)
    camera = place_camera(shot, head.between_eyes, size)
    light, environment = draw_environment(rngs[10], environments(cache), read_radiance)
    fibres = [*grown.casting, grown.small] if grown is not None else []
    linear = trace(
        head.parts, fibres, environment, float(rngs[10].uniform(0, 360)), camera, size, samples=SAMPLES,
        seed=int(rngs[10].integers(1 << 31)), gloss=float(rngs[10].uniform(0.65, 1.2)),
    )
    labels = _labels(head, grown.casting if grown is not None else [], camera, size)
    cast = environment.mean(axis=(0, 1))
    linear = linear / (cast / cast.mean()) ** 0.8  # white balance, nearly right
    picture = develop(rngs[11], linear, labels.face[0].numpy())
    facts = {
        "source": source, "finish": finish, "framing": framing, "skin_tone": round(tone, 3),
        "age": round(body.phenotype.age, 3), "gender": round(body.phenotype.gender, 3), "hair": hair,
        "hat": hat_kind, "glasses": int(has_glasses), "expression": expression(bearing, source), "light": light,
        "yaw_deg": round(shot.yaw_deg - (bearing.turn_deg if source == KIT else 0.0), 2),
        "pitch_deg": round(shot.pitch_deg, 2), "horizontal_fov_deg": round(shot.horizontal_fov_deg, 2),
    }
    return Portrait(picture, labels, exported(camera, head.between_eyes), facts)


def expression(bearing: Bearing, source: str) -> str:
    """The most striking thing about a face's expression: "mouth open", "smile" or "calm"."""
    if source == KIT and bearing.actions["jawOpen"] > 0:  # the scans' mouths stay shut
        return "mouth open"
    return "smile" if "mouthSmileLeft" in bearing.actions else "calm"


def _draw_hair_kind(rng: np.random.Generator, source: str, finish: str) -> tuple[str, str]:
    """How the hair is made, and the kind of hat or "none"."""
    hat = str(rng.choice(("beanie", "cap", "brim", "turban"))) if rng.random() < 0.25 and source == KIT else "none"
    if source != KIT and SUBJECTS[source].hair_from_m is not None:
        return "own", hat
    if source != KIT and SUBJECTS[source].bare_to_m > 0:
        return "sculpted", hat
    kinds, odds = ("strands", "sculpted", "bald"), (0.62, 0.20, 0.18)
    if source != KIT or finish == "clay":
        odds = (0.0, 0.6, 0.4)
    hair = str(rng.choice(kinds, p=odds))
    return ("bald" if hat != "none" and hair == "sculpted" else hair), hat


def _hair_colour(rng: np.random.Generator, tone: float) -> tuple[float, float, float]:
    names = list(COLOURS)
    colour = np.array(COLOURS[names[rng.integers(len(names) if tone < 0.4 else 2)]])
    return tuple(np.clip(colour * rng.uniform(0.7, 1.5), 0.005, 0.6).tolist())


def _wear_hat(head: Head, kind: str, noise: SolidNoise, rng: np.random.Generator) -> Hat:
    """Put on a hat of this kind; the head gains its parts."""
    hat = None
    while hat is None:
        hat = draw_hat(rng)
    hat = replace(hat, kind=kind)
    colour = random_colour(rng)
    head.parts.extend(_as_part(piece, colour, "matt") for piece in hat_pieces(hat, head.posed, noise, HAIR_UNDER_HAT_M))
    return hat


def _grow(
    head: Head, body: Body, has_hair: bool, hair_rgb: tuple, hat: Hat | None, noise: SolidNoise,
    rng: np.random.Generator, size: int,
) -> Grown:
    """Strands on a head of the kit: hair, brows, lashes, maybe a beard."""
    look = None
    while has_hair and look is None:
        look = draw_hair(rng, body)
    if look is not None:
        look = replace(look, colour=hair_rgb, tip_colour=tuple(min(1.3 * c, 0.7) for c in hair_rgb))
        look = pressed(look) if hat is not None else look
    covered = covered_roots(hat) if hat is not None else None
    return grow_everything(
        look, hair_rgb, draw_facial_hair(rng, body), head.posed, noise, rng, covered, thinning=min(size / 850, 1.0)
    )


def _draw_glasses(rng: np.random.Generator) -> Glasses:
    glasses = None
    while glasses is None:
        glasses = draw_glasses(rng)
    return glasses


def _as_part(piece: Piece, rgb: tuple[float, float, float], gloss: str) -> Part:
    colour = torch.tensor(rgb).float().expand_as(piece.vertices)
    return Part(piece.vertices, piece.rest, colour, piece.triangles, piece.material, gloss)


def _draw_shot(rng: np.random.Generator, turn_deg: float) -> tuple[Shot, str]:
    """A camera up to 35 degrees to a side of the face; whole heads framed loosely, or crops like FFHQ's."""
    framing = "loose" if rng.random() < 0.65 else "crop"
    yaw = float(np.clip(rng.normal(0, 17), -35, 35))
    if framing == "loose":
        width = HEAD_HEIGHT_M / rng.uniform(0.55, 0.75)
        shift = rng.uniform(-0.09, 0.09, 2) * width
    else:
        width, shift = rng.uniform(0.26, 0.33), rng.normal(0, 0.008, 2)
    shot = Shot(
        yaw_deg=yaw + turn_deg, pitch_deg=float(np.clip(rng.normal(0, 7), -18, 18)),
        roll_deg=float(np.clip(rng.normal(0, 4), -12, 12)), horizontal_fov_deg=float(rng.uniform(14, 40)),
        width_m=float(width), shift_m=(float(shift[0]), float(shift[1])),
    )
    return shot, framing


def _labels(head: Head, casting: list[Strands], camera: Camera, size: int) -> Labels:
    """Exact depth of what is opaque; hair as a layer, as the project's own faces have it."""
    vertices, triangles, material, rest = opaque_surface(head.parts)
    centre = Scene(vertices, triangles).look(camera, size, size)
    hit = centre.triangle >= 0
    kind = torch.where(hit, material[centre.triangle.clamp(min=0)], -1)
    below = torch.zeros(size * size, dtype=torch.bool)
    below[hit] = below_neck(centre.interpolate(rest, triangles, hit.nonzero()[:, 0]))
    behind = torch.where(hit, centre.depth, torch.inf)
    opacity, depth = torch.zeros(size * size), torch.zeros(size * size)
    for strands in casting:
        _, cover, z = splat(strands, torch.zeros_like(strands.points), camera, size, size, behind)
        nearer = (cover >= 0.25) & ((opacity < 0.25) | (z < depth))
        depth = torch.where(nearer | (opacity == 0), z, depth)
        opacity = 1 - (1 - opacity) * (1 - cover)
    opacity, depth = hair_layer(opacity, depth, size)
    return make_labels(centre, kind, below, opacity, depth, camera, head.nose_tip, size)


def develop(rng: np.random.Generator, linear: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Linear light (H, W, 3) to a stored picture: exposure by the face, a tone curve, blur, noise, JPEG."""
    level = np.median(linear[face] @ [0.2, 0.7, 0.1]) if face.any() else np.median(linear)
    aim = 0.18 * (max(float(level), 1e-4) / 0.18) ** 0.25
    picture = linear * (aim / max(float(level), 1e-4) * 2 ** np.clip(rng.normal(0, 0.45), -1.2, 1.2))
    picture = picture * np.exp(rng.normal(0, 0.05, 3))
    picture = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), float(rng.uniform(0.35, 1.0)))
    curve = rng.integers(3)
    if curve == 0:
        picture = to_srgb(np.minimum(picture, 1))
    elif curve == 1:  # Narkowicz's fit of ACES
        picture = to_srgb(picture * (2.51 * picture + 0.03) / (picture * (2.43 * picture + 0.59) + 0.14))
    else:  # Reinhard's, with a white point
        picture = to_srgb(picture * (1 + picture / 9) / (1 + picture) * 1.25)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * rng.uniform(0.8, 1.2)
    picture = picture + rng.normal(0, 0.014 * rng.random() ** 2, picture.shape)
    stored = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 98))]
        stored = cv2.imdecode(cv2.imencode(".jpg", stored[..., ::-1], quality)[1], cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(stored)

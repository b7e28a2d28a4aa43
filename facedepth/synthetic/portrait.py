"""One portrait from end to end: a description drawn from seeds, and the picture, depth and masks it describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..camera import Camera
from .background import draw_background
from .camera_effects import photograph
from .clothes import Clothing, clothes_piece, draw_clothing, neck_margin
from .devices import default_device
from .eyes import EyeLook, draw_eyes
from .facial_hair import FacialHairLook, draw_facial_hair, template_beard
from .glasses import Glasses, draw_glasses, frame_pieces, look_through_lenses, put_on
from .hair_styles import HairLook, draw_colour, draw_hair
from .hats import Hat, covered_roots, draw_hat, hat_pieces, hidden_skin, pressed
from .head import vertex_normals
from .kit import load_kit
from .labels import Labels, below_neck, hair_layer, make_labels
from .light import Lighting, draw_light_kind, draw_lighting, irradiance, shade
from .model import Piece, PosedBody, body_piece, join, pose_body, template_masks
from .noise import SolidNoise
from .occluders import Occluder, draw_occluder, occluder_piece
from .people import Bearing, Body, draw_bearing, draw_body
from .render import Scene
from .samples import ShadingPoints, pick_samples
from .scalp import fine_template
from .shot import Shot, draw_shot, exported, place_camera
from .skin import SkinLook, draw_skin
from .strands import OpacityMap, Strands, shade_fibres, splat
from .surfaces import Looks, arriving_light, surface_of
from .tresses import grow_everything
from .vectors import dot, unit

MARGIN = 0.15  # of the picture's width
LIGHT = 3  # the stream that lamps are drawn from
HIDDEN_M = 0.02  # skin so far below the neckline is never seen


@dataclass(frozen=True)
class Person:
    """What stays the same from picture to picture; ``hair_rgb``, linear, is the colour of brows, beard and stubble."""

    body: Body
    skin: SkinLook
    eyes: EyeLook
    hair: HairLook | None
    hair_rgb: tuple[float, float, float]
    facial_hair: FacialHairLook


@dataclass(frozen=True)
class Scenery:
    """What changes from picture to picture. The lamps of that ``light``, the background and the camera's flaws are
    drawn while rendering."""

    bearing: Bearing
    clothing: Clothing
    shot: Shot
    glasses: Glasses | None
    hat: Hat | None
    occluder: Occluder | None
    light: str


class Portrait(NamedTuple):
    """A finished picture: (H, W, 3) uint8 sRGB, its labels and its camera."""

    picture: np.ndarray
    labels: Labels
    camera: Camera


def stream(*numbers: int) -> np.random.Generator:
    """A random stream of its own for every tuple of numbers, so that no part disturbs another."""
    return np.random.default_rng(np.random.SeedSequence(numbers))


def draw_person(seed: int, identity: int) -> Person:
    """The person number ``identity`` of a seed."""
    rngs = [stream(seed, 0, identity, part) for part in range(6)]
    body = draw_body(rngs[0], load_kit())
    skin = draw_skin(rngs[1], body)
    hair = draw_hair(rngs[3], body)
    if hair is not None:
        rgb, grey = hair.colour, hair.grey
    else:
        rgb, _, grey = draw_colour(rngs[5], body)
    rgb = tuple((np.array(rgb) * (1 - 0.7 * grey) + 0.25 * 0.7 * grey).tolist())
    return Person(body, skin, draw_eyes(rngs[2], skin), hair, rgb, draw_facial_hair(rngs[4], body))


def draw_scenery(seed: int, index: int) -> Scenery:
    """Pose, clothes and camera of the picture number ``index`` of a seed."""
    rngs = [stream(seed, 1, index, part) for part in range(6)]
    return Scenery(
        draw_bearing(rngs[0]), draw_clothing(rngs[1]), draw_shot(rngs[2]), draw_glasses(rngs[3]), draw_hat(rngs[4]),
        draw_occluder(rngs[5]), draw_light_kind(stream(*picture_entropy(seed, index), LIGHT)),
    )


def picture_entropy(seed: int, index: int) -> tuple[int, ...]:
    """What ``make_portrait`` is given for the picture number ``index`` of a seed."""
    return seed, 2, index


def make_portrait(
    person: Person, scenery: Scenery, size: int, entropy: tuple[int, ...], photographs: Sequence[Path] = ()
) -> Portrait:
    """Render one picture at ``size`` x ``size``.

    Args:
        entropy: seeds what is drawn on the way.
        photographs: files to take backgrounds from.

    Raises:
        InputError: a photograph cannot be read.
    """
    posed = pose_body(person.body, scenery.bearing)
    if scenery.glasses is not None:
        scenery = replace(scenery, glasses=put_on(scenery.glasses, posed))
    noise = SolidNoise(stream(*entropy, 0))
    camera = place_camera(scenery.shot, posed.between_eyes, size)
    rest, _ = fine_template()
    hidden = neck_margin(scenery.clothing, rest) > HIDDEN_M
    if scenery.hat is not None:
        hidden |= hidden_skin(scenery.hat)
    body = body_piece(posed, hidden)
    mesh = _in_view(join([body, *_dressed(person, scenery, posed, noise)]), camera, size)
    hidden_roots = covered_roots(scenery.hat) if scenery.hat is not None else None
    hair = pressed(person.hair) if scenery.hat is not None and person.hair is not None else person.hair
    grown = grow_everything(
        hair, person.hair_rgb, person.facial_hair, posed, noise, stream(*entropy, 1), hidden_roots,
        thinning=min(max(size / 256, 0.5), 1.0),
    )
    scene = Scene(mesh.vertices, mesh.triangles)
    centre, points = pick_samples(scene, mesh.material, camera, size)
    background = torch.from_numpy(draw_background(stream(*entropy, 2), size, photographs)).view(-1, 3)
    surroundings = background.mean(dim=0).double().numpy()  # of the host's copy: the same on every device
    backdrop = background.to(default_device())
    lamps = stream(*entropy, LIGHT)
    draw_light_kind(lamps)  # the stream's first draw, which the scenery holds already
    lighting = draw_lighting(lamps, scenery.light, surroundings, _to_camera(camera, posed.between_eyes))

    maps = [OpacityMap(grown.casting, towards) for towards in lighting.towards] if grown.casting else []
    linear = _shade_points(person, scenery, posed, mesh, scene, points, maps, lighting, camera, noise, size)
    coverage = points.gather(torch.ones(len(points.pixel), 1), size * size)
    linear = linear + backdrop * (1 - coverage)
    behind = torch.where(centre.depth > 0, centre.depth, torch.inf)
    linear, _, _ = _draw_strands([grown.small], maps, lighting, camera, linear, behind, size)
    linear, opacity, depth = _draw_strands(grown.casting, maps, lighting, camera, linear, behind, size)
    if scenery.glasses is not None:
        before = torch.where(opacity > 0.5, torch.minimum(behind, depth), behind)  # hair that hangs before a lens
        linear = look_through_lenses(scenery.glasses, posed, camera, lighting, linear, before, size)

    material = torch.where(centre.triangle >= 0, mesh.material[centre.triangle.clamp(min=0)], -1)
    hit = (centre.triangle >= 0).nonzero()[:, 0]
    below = torch.zeros(size * size, dtype=torch.bool)
    below[hit] = below_neck(centre.interpolate(mesh.rest, mesh.triangles, hit))
    opacity, depth = hair_layer(opacity, depth, size)
    labels = make_labels(centre, material, below, opacity, depth, camera, posed.nose_tip, size)
    metered = labels.face.view(size, size).cpu().numpy()
    light = (linear / lighting.white() ** 0.8).view(size, size, 3).cpu().numpy()
    picture = photograph(stream(*entropy, 4), light, metered)
    return Portrait(picture, labels, exported(camera, posed.between_eyes))


def _in_view(mesh: Piece, camera: Camera, size: int) -> Piece:
    """The piece without triangles that lie outside of the picture and of a margin from which shadows fall into it."""
    pixels = (mesh.vertices - camera.cam2world[:3, 3]) @ camera.cam2world[:3, :3] @ camera.K.T
    place = pixels[:, :2] / pixels[:, 2:] / size
    (left, above), (right, below) = (place < -MARGIN).T, (place > 1 + MARGIN).T
    sides = left + 2 * right + 4 * above + 8 * below  # a bit for every side that a vertex is beyond
    a, b, c = sides[mesh.triangles].T
    shown = (a & b & c) == 0
    return mesh._replace(triangles=mesh.triangles[shown], material=mesh.material[shown])


def _to_camera(camera: Camera, between_eyes: Tensor) -> np.ndarray:
    level = (camera.cam2world[:3, 3] - between_eyes).double().cpu().numpy() * [1, 1, 0]
    return level / np.linalg.norm(level)


def _dressed(person: Person, scenery: Scenery, posed: PosedBody, noise: SolidNoise) -> list[Piece]:
    """Clothes and everything else that is put on or held."""
    pieces = [clothes_piece(scenery.clothing, posed, noise)]
    if scenery.hat is not None:
        pieces += hat_pieces(scenery.hat, posed, noise, person.hair.lift if person.hair is not None else 0.0)
    if scenery.glasses is not None:
        pieces += frame_pieces(scenery.glasses, posed)
    if scenery.occluder is not None:
        pieces.append(occluder_piece(scenery.occluder, posed))
    return pieces


def _shade_points(
    person: Person, scenery: Scenery, posed: PosedBody, mesh: Piece, scene: Scene, points: ShadingPoints,
    maps: list[OpacityMap], lighting: Lighting, camera: Camera, noise: SolidNoise, size: int,
) -> Tensor:
    """(P, 3) light from all surfaces, by the share of every pixel that they cover."""
    template = template_masks()
    beard = person.facial_hair.beard
    shaved = person.skin.stubble if beard == "none" else 0.0
    growth = template.head * (shaved * template_beard("full") + 0.8 * template_beard(beard))
    body = len(posed.vertices)
    masks = torch.zeros(len(mesh.vertices), 4)
    masks[:body] = torch.stack([template.lips, template.eyelids, template.ears, growth], dim=1)
    normals = torch.zeros_like(mesh.vertices)
    normals[:body] = posed.normals
    normals[body:] = vertex_normals(mesh.vertices, mesh.triangles[(mesh.triangles >= body).all(dim=1)])[body:]
    columns = torch.cat([mesh.vertices, normals, mesh.rest, mesh.openness[:, None], masks], dim=1)
    position, normal, place, openness, masks = points.interpolate(columns, mesh.triangles).split([3, 3, 3, 1, 4], dim=1)
    normal = unit(normal)
    view = unit(camera.cam2world[:3, 3] - position)
    normal = torch.where(dot(normal, view)[:, None] < -0.2, -normal, normal)
    material = mesh.material[points.triangle]
    looks = Looks(
        person.skin, person.eyes, person.hair, scenery.clothing,
        scenery.hat.fabric if scenery.hat is not None else None,
        scenery.occluder.fabric if scenery.occluder is not None else None, scenery.glasses, person.hair_rgb,
        scenery.bearing.actions,
    )
    pixel_m = scenery.shot.width_m / size
    surface = surface_of(looks, material, place, normal, masks, noise, pixel_m)
    arriving = arriving_light(
        scene, maps, lighting, position, normal, points.pixel, points.share, points.quiet, surface.seep, size, pixel_m
    )
    return points.gather(shade(surface, view, lighting, arriving, openness[:, 0]), size * size)


def _draw_strands(
    layers: Sequence[Strands], maps: list[OpacityMap], lighting: Lighting, camera: Camera, linear: Tensor,
    behind: Tensor, size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The picture (P, 3) with strands over it; their opacity, and depth (P,) of the nearer layer."""
    eye = camera.cam2world[:3, 3]
    opacity, depth = torch.zeros(size * size), torch.zeros(size * size)
    for strands in layers:
        count, steps = strands.points.shape[:2]
        flat = strands.points.flatten(0, 1)
        share = [m.transmittance(flat, depth_m=0.009).view(count, steps) for m in maps]
        arriving = torch.stack(share) if share else torch.ones(len(lighting.towards), count, steps)
        sky = irradiance(lighting.sky, strands.normals.reshape(-1, 3)).view(count, steps, 3)
        colour = shade_fibres(strands, eye, lighting.towards, lighting.rgb, arriving, sky)
        mixed, alpha, z = splat(strands, colour, camera, size, size, behind)
        linear = linear * (1 - alpha[:, None]) + mixed * alpha[:, None]
        nearer = (alpha >= 0.25) & ((opacity < 0.25) | (z < depth))
        depth = torch.where(nearer | (opacity == 0), z, depth)
        opacity = 1 - (1 - opacity) * (1 - alpha)
    return linear, opacity, depth

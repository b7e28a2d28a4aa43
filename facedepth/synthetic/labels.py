"""Depth and masks of a portrait, from the hits at the pixels' centres and the layer of hair over them.

Depth is exact on every opaque surface. Hair counts where it covers at least half of a pixel; thinner hair, lashes,
and lenses of glasses are see-through: depth there follows what lies behind. The slit between closed lids or lips, a
pixel wide and centimetres deep, is bridged from its sides.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..camera import Camera
from .kit import PARTS
from .model import MATERIAL
from .noise import box_blur, box_max
from .render import Hits
from .vectors import norm

FACE_RADIUS_M = 0.095
SLIT_M = 0.003
BEHIND_M = 0.001  # hair may lie so far behind a surface and still count as on it
HEAD = (*PARTS, "hat", "frame")
FACE = ("skin", "left_eye", "right_eye")
INSIDE = ("cavity", "tongue", "upper_teeth", "lower_teeth")
NECK_BASE_M = 0.565  # below this height on the template, skin is chest and not neck
NECK_HALF_M, SHOULDER_SLOPE = 0.075, 0.6  # beside the neck, shoulders lie higher the farther out


class Labels(NamedTuple):
    """(1, H, W) each: z-depth in metres, 0 where invalid, and the masks of ``facedepth.sample.Sample``."""

    depth: Tensor
    mask: Tensor
    head: Tensor
    face: Tensor


def one_of(material: Tensor, names: tuple[str, ...]) -> Tensor:
    """(N,) bool: whether the material (N,), -1 for none, is one of these."""
    return torch.tensor([name in names for name in MATERIAL] + [False])[material]  # the last one is nothing


def below_neck(rest: Tensor) -> Tensor:
    """(N,) bool: which places (N, 3) of the template, metres, are chest and shoulders."""
    beside = (rest[:, 0].abs() - NECK_HALF_M).clamp(min=0)
    return rest[:, 2] < NECK_BASE_M + SHOULDER_SLOPE * beside


def make_labels(
    centre: Hits, material: Tensor, below: Tensor, hair_opacity: Tensor, hair_depth: Tensor, camera: Camera,
    nose_tip: Tensor, size: int,
) -> Labels:
    """The labels of one portrait.

    Args:
        centre: hits at the pixels' centres; material: (P,) what was hit, -1 where nothing.
        below: (P,) bool, places whose skin no longer belongs to the neck.
        hair_opacity, hair_depth: (P,) of the layer of hair.
        nose_tip: (3,) in the world.
    """
    depth = _bridge_slits(centre.depth, material, camera, size)
    # The layer is averaged over its surroundings, so it may reach over what lies before it: a frame's temple, a rim.
    hair = (hair_opacity >= 0.5) & ((depth == 0) | (hair_depth < depth + BEHIND_M))
    depth = torch.where(hair, hair_depth, depth)
    mask = depth > 0
    head = (one_of(material, HEAD) & ~(below & one_of(material, ("skin",)))) | hair
    from_camera = camera.unproject(depth.view(1, size, size)).flatten(1).T
    tip = (nose_tip - camera.cam2world[:3, 3]) @ camera.cam2world[:3, :3]
    near = norm(from_camera - tip) <= FACE_RADIUS_M
    inner = _wide(one_of(material, INSIDE), camera, depth, size)
    face = (one_of(material, FACE) | (one_of(material, INSIDE) & ~inner)) & near & ~hair
    return Labels(*(x.view(1, size, size) for x in (depth, mask, head & mask, face & mask)))


def hair_layer(opacity: Tensor, depth: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Opacity and depth (P,) of strands averaged over the nearest pixels: hair as a layer, not strand by strand."""
    values = torch.stack([opacity, opacity * depth]).view(1, 2, size, size)
    reach = max(size // 128, 1)
    width = 2 * reach + 1
    inside = box_blur(torch.ones_like(values[:, :1]), width)  # less than 1 at the border, where nothing is known beyond
    cover = (box_blur(values[:, :1], width) / inside).flatten()
    weight, total = box_blur(values, 4 * reach + 1)[0].flatten(1)
    return cover, total / weight.clamp(min=1e-6)


def _slit_pixels(camera: Camera, depth: Tensor) -> int:
    valid = depth[depth > 0]
    if not len(valid):
        return 1
    return max(int(SLIT_M * float(camera.K[0, 0]) / float(valid.median())) // 2, 1)


def _wide(inside: Tensor, camera: Camera, depth: Tensor, size: int) -> Tensor:
    """(P,) what of the mouth's inside is wider than a slit: eroded, then grown back."""
    reach = _slit_pixels(camera, depth)
    picture = inside.float().view(1, 1, size, size)
    core = -box_max(-picture, 2 * reach + 1)
    return (box_max(core, 2 * reach + 1) > 0.5).flatten() & inside


def _bridge_slits(depth: Tensor, material: Tensor, camera: Camera, size: int) -> Tensor:
    inside = one_of(material, INSIDE)
    slit = inside & ~_wide(inside, camera, depth, size)
    if not slit.any():
        return depth
    skin = one_of(material, FACE) & (depth > 0)
    weighted = torch.stack([torch.where(skin, depth, 0.0), skin.float()]).view(1, 2, size, size)
    total, weight = box_blur(weighted, 4 * _slit_pixels(camera, depth) + 3)[0].flatten(1)
    return torch.where(slit & (weight > 0), total / weight.clamp(min=1e-6), depth)

"""The head kit: the template, shapes, skinning weights and region masks of a parametric head, one file of 2.3 MB.

Made by ``build_kit.py`` from MakeHuman / MPFB assets (CC0, see ``ATTRIBUTION.md``). Metres, z up, the face looks
towards -y, +x is the subject's left.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checks import InputError
from .devices import cached_per_device

KIT_FILE = Path(__file__).with_name("head_kit.npz")
PARTS = ("skin", "cavity", "left_eye", "right_eye", "tongue", "upper_teeth", "lower_teeth")
BONES = (
    "neck01", "neck02", "neck03", "head", "jaw", "eye.L", "eye.R",
    "clavicle.L", "clavicle.R", "upperarm01.L", "upperarm01.R",
)
PARENT_OF_BONE = (None, 0, 1, 2, 3, 3, 3, None, None, 7, 8)
MACRO_AGES = ("child", "young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
QUANTUM_M = 1e-6
"""Shapes are stored as whole micrometres: half a micrometre of error at most."""

DISTANCE_GRID = ((-0.26, -0.26, 0.40), (0.26, 0.22, 0.98), (66, 61, 74))
"""Lowest corner, highest corner and number of points along x, y, z of ``HeadKit.distance``."""


@dataclass(frozen=True)
class HeadKit:
    """Everything about heads that does not depend on the person.

    Attributes:
        template: (V, 3) metres.
        quads: (F, 4) vertex indices, counter-clockwise from outside.
        quad_part: (F,) index into PARTS.
        lashes: (C, 5) vertices from root to tip of columns of eyelashes; no quads use them.
        masks: by name (``lips``, ``eyelids``, ``ears``, ``head``, ``open`` to the sky) a weight in [0, 1] for every
            vertex, (V,).
        shape_names: S names, ``macro:``, ``race:``, ``local:`` or ``action:`` followed by the file's stem.
        shapes: (S, V * 3) displacements in metres.
        joint_template, joint_shapes: (B, 3) heads of BONES, and how every shape moves them, (S, B, 3).
        bone_weights: (V, 1 + B), column 0 for what stays still; rows sum to 1.
        distance: (Z, Y, X) signed distance to the template body, negative inside, on DISTANCE_GRID.
        hand_poses, hand_quads: a left hand in several poses about its wrist, fingers up, the back of the hand towards
            -y, (P, N, 3), and its (M, 4) quads.
    """

    template: Tensor
    quads: Tensor
    quad_part: Tensor
    lashes: Tensor
    masks: dict[str, Tensor]
    shape_names: tuple[str, ...]
    shapes: Tensor
    joint_template: Tensor
    joint_shapes: Tensor
    bone_weights: Tensor
    distance: Tensor
    hand_poses: Tensor
    hand_quads: Tensor


@cached_per_device
def load_kit(path: Path = KIT_FILE) -> HeadKit:
    """The kit, read once per process (0.3 s).

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        return _unpack(arrays)
    except FileNotFoundError:
        raise InputError(
            f"{path}: expected the head kit shipped with facedepth, found no file; reinstall facedepth, or make it "
            "with `python -m facedepth.synthetic.build_kit`"
        ) from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: the head kit is damaged ({error}); reinstall facedepth") from None


def _unpack(arrays: dict[str, np.ndarray]) -> HeadKit:
    template = torch.from_numpy(arrays["template"])
    offsets = arrays["shape_offsets"]
    steps = arrays["shape_high"].astype(np.int32) * 256 + arrays["shape_low"]
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    shapes = np.zeros((len(offsets) - 1, len(template), 3), dtype=np.float32)
    shapes[row, arrays["shape_index"]] = steps.T * np.float32(QUANTUM_M)
    return HeadKit(
        template=template,
        quads=torch.from_numpy(arrays["quads"].astype(np.int64)),
        quad_part=torch.from_numpy(arrays["quad_part"].astype(np.int64)),
        lashes=torch.from_numpy(arrays["lashes"].astype(np.int64)),
        masks={
            name.removeprefix("mask_"): torch.from_numpy(values.astype(np.float32) / 255)
            for name, values in arrays.items() if name.startswith("mask_")
        },
        shape_names=tuple(str(name) for name in arrays["shape_names"]),
        shapes=torch.from_numpy(shapes).flatten(1),
        joint_template=torch.from_numpy(arrays["joint_template"]),
        joint_shapes=torch.from_numpy(arrays["joint_shapes"]),
        bone_weights=torch.from_numpy(arrays["bone_weights"]),
        distance=torch.from_numpy(arrays["distance"].astype(np.float32)),
        hand_poses=torch.from_numpy(arrays["hand_poses"]),
        hand_quads=torch.from_numpy(arrays["hand_quads"].astype(np.int64)),
    )

"""Glasses and hats sit on the face and the head that wear them."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from facedepth.synthetic import SyntheticFaces
from facedepth.synthetic.glasses import frame_pieces, put_on
from facedepth.synthetic.hats import hat_pieces
from facedepth.synthetic.model import pose_body
from facedepth.synthetic.noise import SolidNoise
from facedepth.synthetic.portrait import draw_person, draw_scenery, make_portrait, picture_entropy, stream

GLASSES = (5, 11, 50)
"""Samples of seed 3 whose people wear glasses."""


def worn_by(index: int):
    """Glasses on a face, the face, and the place of the frame's vertices before (negative) or behind its skin."""
    person, scenery = draw_person(3, index), draw_scenery(3, index)
    posed = pose_body(person.body, scenery.bearing)
    origin, axes = posed.eye_frame()
    return scenery.glasses, posed, (posed.vertices - origin) @ axes


@pytest.mark.parametrize("index", GLASSES)
def test_glasses_sit_before_the_face_and_not_in_it(index):
    glasses, posed, skin = worn_by(index)

    def sunk(worn) -> float:
        rims = torch.cat([piece.rest for piece in frame_pieces(worn, posed)[:3]])  # both rims and the bridge
        skin_there = torch.where(torch.cdist(rims[:, [0, 2]], skin[:, [0, 2]]) < 0.003, skin[:, 1], torch.inf)
        return float((rims[:, 1] > skin_there.amin(dim=1)).float().mean())

    settled = put_on(glasses, posed)
    assert 0 <= settled.forward - glasses.forward <= 0.014
    assert sunk(settled) < 0.15
    assert sunk(settled) <= sunk(glasses)


@pytest.mark.parametrize("index", GLASSES)
def test_frames_of_glasses_are_part_of_the_head(index):
    faces = SyntheticFaces(60, size=128, seed=3)
    person, scenery = faces.describe(index)
    with_frame = faces[index]
    bare = make_portrait(person, replace(scenery, glasses=None), 128, picture_entropy(3, index)).labels
    frame = (with_frame.depth < bare.depth - 0.004) & with_frame.mask & bare.face
    assert frame.sum() > 20
    assert (with_frame.head & frame).sum() > 0.97 * frame.sum()


@pytest.mark.parametrize("index", [1, 494])  # a brim, a visor
def test_a_brim_goes_with_the_crown(index):
    person, scenery = draw_person(777, index), draw_scenery(777, index)
    posed = pose_body(person.body, scenery.bearing)
    up = torch.tensor([0.0, 0.0, 0.01])
    higher = replace(posed, vertices=posed.vertices + up)  # a higher head than the template's, posed the same
    (_, brim), (_, lifted) = (
        hat_pieces(scenery.hat, body, SolidNoise(stream(0)), hair_lift_m=0.0) for body in (posed, higher)
    )
    assert_close(lifted.vertices - brim.vertices, up.expand_as(brim.vertices), atol=1e-5, rtol=0)

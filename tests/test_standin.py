"""The path-traced set: geometry and labels agree, wrinkles are in the depth, files are what the data set reads."""

import base64
import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from benchmarks.standin import __main__ as command
from benchmarks.standin import borrowed, light, portraits, relief, scans, surfaces
from benchmarks.standin.heads import KIT, draw_bearing, draw_body, make_head
from benchmarks.standin.pathtrace import trace
from facedepth.data import EG3DFaces
from facedepth.synthetic.clothes import draw_clothing
from facedepth.synthetic.features import FEATURES, Prominence
from facedepth.synthetic.head import head_subdivision, rotation, to_triangles
from facedepth.synthetic.kit import load_kit
from facedepth.synthetic.noise import SolidNoise
from facedepth.synthetic.portrait import draw_person
from facedepth.synthetic.scalp import fine_template
from facedepth.synthetic.shot import Shot, exported, place_camera

SIZE = 96
NO_CACHE = Path("unused")


@pytest.fixture(scope="module")
def scene():
    """A bald head of the kit and a camera in front of it."""
    rng = np.random.default_rng(0)
    person = draw_body(rng), draw_bearing(rng), draw_clothing(rng)
    head = make_head(KIT, *person, "bald", "skin", 0.3, (0.02, 0.01, 0.01), NO_CACHE, rng)
    shot = Shot(yaw_deg=0, pitch_deg=0, roll_deg=0, horizontal_fov_deg=20, width_m=0.4, shift_m=(0.03, -0.02))
    return head, place_camera(shot, head.between_eyes, SIZE)


def test_depth_at_the_tip_of_the_nose_is_its_distance(scene):
    head, camera = scene
    labels = portraits._labels(head, [], camera, SIZE)
    tip = (head.nose_tip - camera.cam2world[:3, 3]) @ camera.cam2world[:3, :3]
    column, row = (camera.K @ (tip / tip[2]))[:2].long()
    assert float(labels.depth[0, row, column]) == pytest.approx(float(tip[2]), abs=0.003)
    assert bool(labels.face[0, row, column])
    apart = (camera.unproject(labels.depth) - tip[:, None, None]).norm(dim=0)
    assert float(apart[labels.face[0]].max()) <= 0.0951
    assert not (labels.face & ~labels.head).any()


def test_creases_are_cut_into_the_surface():
    rng = np.random.default_rng(1)
    across = torch.tensor([[x, -0.14, z] for x in np.linspace(0.015, 0.04, 40) for z in (0.664, 0.68)]).float()
    old = [surfaces.carve(across, 1.0, SolidNoise(np.random.default_rng(5)), rng) for _ in range(8)]
    young = [surfaces.carve(across, 0.0, SolidNoise(np.random.default_rng(5)), rng) for _ in range(8)]
    assert torch.stack(old).amin() < torch.stack(young).amin() - 0.0003


def test_distance_to_a_line():
    apart, along = surfaces._to_line(torch.tensor([[1.0, 1.0], [3.0, 0.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    assert apart.tolist() == [1, 1]
    assert along.tolist() == [0.5, 1]


@pytest.mark.parametrize("kind", ["_studio", "_window", "_sky"])
def test_environments_shine_from_everywhere(kind):
    picture = getattr(light, kind)(np.random.default_rng(2))
    assert picture.shape == (light.HEIGHT, light.WIDTH, 3)
    assert picture.min() >= 0
    assert picture.max() > 2 * np.median(picture)


def test_the_bust_comes_without_its_glasses_and_its_chest(tmp_path):
    head = trimesh.creation.icosphere(subdivisions=4, radius=3)
    glasses = trimesh.creation.icosphere(subdivisions=1, radius=0.2).apply_translation([0, 0, 9])
    both = trimesh.util.concatenate([head, glasses])
    arrays = both.vertices.astype("<f4"), both.faces.astype("<u4")
    positions, cells = (base64.b64encode(array.tobytes()).decode() for array in arrays)
    (tmp_path / "hi.js").write_text(f'exports.positions = a("{positions}");exports.cells = b("{cells}")')
    mesh, _ = scans._bust(tmp_path)
    assert mesh.vertices[:, 2].max() == pytest.approx(3, abs=0.02)
    assert mesh.vertices[:, 1].min() == pytest.approx(-1.6, abs=0.2)
    assert len(mesh.faces) > 2.5 * len(head.faces)  # a quarter of the ball is cut off, the rest is made finer


def test_relief_says_how_far_eyes_lie_back():
    """Of a head turned, moved and shrunk too."""
    rest, _ = fine_template()
    corners = cKDTree(rest.numpy()).query(relief.CORNERS)[1]
    deep = rest + Prominence(tuple(0.005 * (name == "eyes") for name in FEATURES))(rest)
    turned = 0.7 * deep.numpy() @ rotation("x", 12.0).numpy().T + [0.1, -0.3, 0.2]
    triangles = to_triangles(head_subdivision().quads).numpy()
    before, after, again = (
        dict(zip(relief.PLACES, relief.relief(np.asarray(vertices, float), triangles, corners), strict=True))
        for vertices in (rest, deep, turned)
    )
    assert before["tip of the nose"] < before["bridge"] < 0 < before["eye"]
    assert 3 < after["eye"] - before["eye"] < 5  # the plane through the face follows a little
    assert abs(after["chin"] - before["chin"]) < 2
    assert list(again.values()) == pytest.approx(list(after.values()), abs=0.3)


def test_exposure_follows_the_face():
    linear = np.full((32, 32, 3), 0.2, np.float32)
    face = np.zeros((32, 32), bool)
    face[8:24, 8:24] = True
    once, brighter = (portraits.develop(np.random.default_rng(3), gain * linear, face).mean() for gain in (1, 10))
    assert once < brighter < 2 * once


def test_what_is_written_is_read_back(scene, tmp_path, monkeypatch):
    head, camera = scene
    labels = portraits._labels(head, [], camera, SIZE)
    picture = np.full((SIZE, SIZE, 3), 99, np.uint8)
    made = portraits.Portrait(picture, labels, exported(camera, head.between_eyes), {"source": KIT})
    calls = []
    monkeypatch.setattr(command, "make_portrait", lambda *arguments: calls.append(arguments) or made)
    for _ in range(2):  # the second time it is there
        command._write(tmp_path, 0, 7, SIZE, NO_CACHE)
    assert len(calls) == 1
    with command._write_manifest(tmp_path).open() as file:
        assert list(csv.DictReader(file)) == [{"name": "head0007", "identity": "head0007", "source": KIT}]
    sample = EG3DFaces(tmp_path, size=SIZE)[0]
    torch.testing.assert_close(sample.depth, labels.depth)
    assert torch.equal(sample.face, labels.face)
    torch.testing.assert_close(sample.camera.K, camera.K)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("mitsuba", "pyoidn"))), reason="needs the extra [bench]: Mitsuba, pyoidn"
)
def test_what_is_traced_lies_where_depth_says(scene):
    head, camera = scene
    environment = np.zeros((8, 16, 3))
    environment[:, :] = 1.0
    parts = [part._replace(colour=torch.full_like(part.colour, 0.05)) for part in head.parts]  # dark before white
    linear = trace(parts, [], environment, 0.0, camera, SIZE, samples=16, seed=0, gloss=1.0)
    seen = linear.mean(axis=2) < 0.6
    mask = portraits._labels(head, [], camera, SIZE).mask[0].numpy()
    assert (seen != mask).mean() < 0.01


@pytest.mark.parametrize("person", range(3))
def test_a_borrowed_relief_is_anothers_on_a_face_that_stays(person):
    body, donor = (draw_person(0, number).body for number in (person, person + 1))
    corners = relief.corners_of_kit()
    wanted = borrowed.relief_of(*relief.still_face(donor), corners)
    faced = borrowed.with_relief(body, wanted)
    before, after = (borrowed.relief_of(*relief.still_face(one), corners) for one in (body, faced))
    x, z = relief.face_grid()
    inside = np.hypot(x / relief.HALF[0], (z - relief.MIDDLE[1]) / relief.HALF[1]) < 0.7
    assert np.abs(after - wanted)[inside].mean() < 0.6 * np.abs(before - wanted)[inside].mean()
    assert np.abs(after - wanted)[inside].mean() < 0.0015
    template = load_kit().template
    moved = faced.beyond_the_kit(template) - body.beyond_the_kit(template)
    beside = (template[:, 0].abs() > 0.075) | (template[:, 2] > 0.80) | (template[:, 2] < 0.59)
    assert not moved[beside].any()
    assert not moved[:, [0, 2]].any()

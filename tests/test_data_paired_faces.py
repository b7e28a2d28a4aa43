"""One's own folders that say where on the head the face is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.cli import main
from facedepth.data import Joined, PairedFolder
from facedepth.evaluation import evaluate
from facedepth.io import write_image
from facedepth.models import create_model, save_model

SIZE = 32


@pytest.fixture
def mine(tmp_path) -> Path:
    """Two pictures, the head in the middle half of each, the face in the middle quarter and a strip beside the head."""
    y, x = np.mgrid[:SIZE, :SIZE]
    rng = np.random.default_rng(0)
    for stem in ("anna", "bert"):
        write_image(tmp_path / f"images/{stem}.png", rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
        (tmp_path / "depths").mkdir(exist_ok=True)
        np.save(tmp_path / f"depths/{stem}.npy", (0.6 + 0.002 * x + 0.001 * rng.random(x.shape)).astype(np.float32))
        head, face = (np.maximum(abs(x - 15.5), abs(y - 15.5)) < half for half in (8, 4))
        write_image(tmp_path / f"masks/{stem}.png", np.uint8(255 * head))
        write_image(tmp_path / f"face_masks/{stem}.png", np.uint8(255 * (face | (x < 3))))
    return tmp_path


def folder(mine: Path, **changes) -> PairedFolder:
    settings = {"masks": mine / "masks", "face_masks": mine / "face_masks", "camera": 20} | changes
    return PairedFolder(mine / "images", mine / "depths", **settings)


def test_the_face_is_a_part_of_the_head_at_any_size(mine):
    for size, pixels in ((None, 64), (16, 16)):
        sample = folder(mine, size=size)[0]
        assert int(sample.face.sum()) == pixels
        assert int(sample.head.sum()) == 4 * pixels
        assert not (sample.face & ~sample.head).any()


def test_without_masks_of_the_head_they_count_all_the_same(mine):
    sample = folder(mine, masks=None)[0]
    assert sample.head.all()
    assert int(sample.face.sum()) == 64 + 3 * SIZE


def test_scores_are_taken_on_the_face(mine):
    torch.manual_seed(0)
    model = create_model("dpt_tiny", input_size=SIZE)
    on_face, on_head = (evaluate(model, folder(mine), region=region) for region in ("face", "head"))
    unknown = evaluate(model, folder(mine, face_masks=None))
    assert on_face.settings["region"] == "face"
    assert unknown.settings["region"] == "head"
    assert on_face.means["rmse"] != on_head.means["rmse"] == unknown.means["rmse"]


def test_a_missing_or_misshapen_one_is_named(mine):
    (mine / "face_masks/bert.png").unlink()
    with pytest.raises(InputError, match=r"1 without face mask \(bert\.png\)"):
        folder(mine)
    write_image(mine / "face_masks/bert.png", np.zeros((SIZE, 2 * SIZE), np.uint8))
    with pytest.raises(InputError, match=r"face_masks/bert\.png: size mismatch"):
        folder(mine)[1]
    with pytest.raises(InputError, match=r"face_masks: expected the path of a file or a folder, got ''"):
        folder(mine, face_masks="")


def test_the_command_line_finds_them(mine, capsys):
    save_model(create_model("dpt_tiny", input_size=SIZE), mine / "tiny.safetensors")
    command = ["evaluate", "--data", f"paired:{mine}", "--fov", "20", "--model", str(mine / "tiny.safetensors")]
    assert main([*command, "-o", str(mine / "scores")]) == 0
    assert "dpt_tiny on 2 pictures, face," in capsys.readouterr().out


@pytest.mark.parametrize(("inside", "bits"), [(1, np.uint8), (2, np.uint8), (255, np.uint16)])
def test_masks_of_which_no_pixel_is_bright_are_refused(mine, inside, bits):
    mask = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) > 500
    Image.fromarray(inside * mask.astype(bits)).save(mine / "face_masks/bert.png")
    with pytest.raises(InputError, match=r"face_masks/bert\.png: its brightest pixel has 0\.00\d+ of white"):
        folder(mine)[1]
    write_image(mine / "face_masks/bert.png", np.zeros((SIZE, SIZE), np.uint8))  # nobody's face is seen
    assert not folder(mine)[1].face.any()


def test_pictures_without_a_face_are_in_no_mean_and_the_report_says_so(mine, tmp_path):
    write_image(mine / "face_masks/bert.png", np.zeros((SIZE, SIZE), np.uint8))
    report = evaluate(create_model("dpt_tiny", input_size=SIZE), folder(mine))
    assert report.unscored == 1
    assert "1 of them without scores: no pixel of the region" in str(report)
    report.save(tmp_path / "report")
    assert '"unscored": 1' in (tmp_path / "report/summary.json").read_text()


def test_a_mixture_of_faces_and_heads_is_called_one(mine):
    mixed = Joined(folder(mine), folder(mine, face_masks=None))
    report = evaluate(create_model("dpt_tiny", input_size=SIZE), mixed)
    assert report.settings["region"] == "face (the head in 2 of 4 pictures)"
    assert "without scores" not in str(report)


def test_a_camera_of_pictures_of_another_size_is_doubted(mine):
    half, right = (Camera.from_fov(20, side, side) for side in (SIZE // 2, SIZE))
    with pytest.warns(UserWarning, match=r"anna\.png: the camera.s centre \(8, 8\) is far from the middle"):
        folder(mine, camera=half)[0]
    folder(mine, camera=right)[0]


def test_the_folders_within_one_are_taken_by_their_names(mine):
    within = PairedFolder.within(mine, camera=40, identity="n", size=16)
    assert torch.equal(within[0].face, folder(mine, size=16)[0].face)
    assert within.identities == ["a", "bert"]
    shutil.rmtree(mine / "face_masks")
    assert torch.equal(PairedFolder.within(mine, camera=40)[0].face, folder(mine, face_masks=None)[0].head)
    assert PairedFolder.within(mine, camera=40, masks=None)[0].head.all()

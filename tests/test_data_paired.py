"""One's own folders: formats, units, cameras, shapes, masks, people."""

import warnings

import numpy as np
import pytest
import torch
from paired_folders import HEIGHT, WIDTH, depth_mm, write_depths, write_images
from PIL import Image
from torch.testing import assert_close

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.data import PairedFolder, split
from facedepth.evaluation import evaluate
from facedepth.models import create_model
from facedepth.training.run_folder import describe_data

WRITERS = {
    "16-bit png": ("png", "mm", lambda path: Image.fromarray(depth_mm()).save(path)),
    "npy in metres": ("npy", "m", lambda path: np.save(path, depth_mm() / 1000)),
    "npy with NaN": ("npy", "mm", lambda path: np.save(path, np.where(depth_mm() > 0, depth_mm(), np.nan))),
    "npz in centimetres": ("npz", "cm", lambda path: np.savez(path, depth=depth_mm() / 10)),
    "float tiff": ("tif", "m", lambda path: Image.fromarray(depth_mm().astype(np.float32) / 1000).save(path)),
    "16-bit tiff": ("tiff", "mm", lambda path: Image.fromarray(depth_mm()).save(path)),
    "8-bit png, 4 mm a step": (
        "png", 0.004, lambda path: Image.fromarray((depth_mm() // 4).astype(np.uint8)).save(path)
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_and_unit_gives_the_same_metres(tmp_path, name):
    suffix, unit, write = WRITERS[name]
    images = write_images(tmp_path / "images", ["a"])
    (tmp_path / "depths").mkdir()
    write(tmp_path / "depths" / f"a.{suffix}")
    faces = PairedFolder(images, tmp_path / "depths", camera=40, unit=unit)
    sample = faces[0]
    assert faces.depth_kind == "metric"
    expected = torch.from_numpy(depth_mm() / np.float32(1000))
    if unit == 0.004:
        expected = torch.floor(expected / 0.004 + 1e-3) * 0.004
    assert sample.depth.dtype == torch.float32
    assert_close(sample.depth[0], expected, rtol=1e-5, atol=1e-6)
    assert_close(sample.mask[0], expected > 0)
    assert sample.mask.sum() == HEIGHT * WIDTH - 35


def test_field_of_view_and_camera_say_the_same(folders):
    by_angle = PairedFolder(*folders, camera=40)[0].camera
    assert by_angle.horizontal_fov_deg(WIDTH) == pytest.approx(40)
    assert_close(PairedFolder(*folders, camera=by_angle)[0].camera.K, by_angle.K)


def test_cut_and_resize_keep_the_scene(folders):
    """The wall is a plane in pixels; the middle 24 x 24 at half the size still meets it at the same places."""
    whole, small = PairedFolder(*folders, camera=40)[1], PairedFolder(*folders, camera=40, size=12)[1]
    assert small.image.shape == (3, 12, 12)
    assert_close(small.camera.K[0, 0], whole.camera.K[0, 0] / 2)
    assert_close(small.depth[0, 5, 7], (600 + 4 * torch.tensor(4 + 14.5) + 2 * torch.tensor(10.5)) / 1000)
    pixels, _ = whole.camera.project(small.camera.unproject(small.depth))
    assert pixels[:, 5, 7].tolist() == pytest.approx([4 + 15, 11], abs=1e-4)
    shrunk = torch.nn.functional.interpolate(whole.image[None], scale_factor=0.5, mode="bilinear", antialias=True)[0]
    assert_close(small.image, shrunk[:, :, 2:14])


def test_depth_much_coarser_than_the_photo_is_resized_once_to_the_same_places(tmp_path):
    """As a phone's: a photo many times as fine as its depth, of a wall that recedes to the right."""
    for name in ("images", "depths"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros((600, 808, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    y, x = np.mgrid[:75, :101]
    np.save(tmp_path / "depths" / "a.npy", 1 + 0.002 * (x + 0.5) + 0.001 * (y + 0.5))
    sample = PairedFolder(tmp_path / "images", tmp_path / "depths", camera=40, size=64)[0]
    scene = Camera.from_fov(40, 600, 808)  # the photo's
    pixels, _ = scene.project(sample.camera.unproject(sample.depth))
    expected = 1 + 0.002 * pixels[0] / 8 + 0.001 * pixels[1] / 8
    assert sample.mask.all()
    assert_close(sample.depth[0], expected, atol=2e-4, rtol=0)


def test_smaller_depth_of_the_same_shape_is_brought_to_the_image(tmp_path):
    images = write_images(tmp_path / "images", ["a"], (2 * WIDTH, 2 * HEIGHT))
    faces = PairedFolder(images, write_depths(tmp_path / "depths", ["a"]), camera=40)
    sample = faces[0]
    assert sample.depth.shape == sample.mask.shape == (1, 2 * HEIGHT, 2 * WIDTH)
    assert sample.depth[0, 30, 41].item() == pytest.approx((600 + 4 * 20.25 + 2 * 14.75) / 1000, abs=1e-5)


def test_of_a_picture_that_exif_turns_the_depth_must_be_turned_too(tmp_path):
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "a.jpg", exif=exif)
    faces = PairedFolder(tmp_path / "images", write_depths(tmp_path / "depths", ["a"]), camera=40)
    with pytest.raises(InputError, match=r"a\.npy: size mismatch.*turned as their EXIF says.*turn it by a right angle"):
        faces[0]
    np.save(tmp_path / "depths" / "a.npy", np.rot90(np.load(tmp_path / "depths" / "a.npy"), -1))
    with pytest.warns(UserWarning, match=r"a\.jpg: pictures are turned as their EXIF says, depth and camera are not"):
        assert faces[0].depth.shape == (1, WIDTH, HEIGHT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces[0]  # it is said once


def test_sizes_rounded_to_whole_pixels_are_the_same_shape(tmp_path):
    images = write_images(tmp_path / "images", ["a"], (100, 67))
    (tmp_path / "depths").mkdir()
    np.save(tmp_path / "depths" / "a.npy", np.ones((33, 50), np.float32))
    assert PairedFolder(images, tmp_path / "depths", camera=40)[0].depth.shape == (1, 67, 100)


@pytest.mark.parametrize(("unit", "expected"), [("far_bright", [0, 0.25, 1, 0.5]), ("near_bright", [1, 0.75, 0, 0.5])])
@pytest.mark.parametrize("bits", [8, 16])
def test_pictures_without_scale_run_from_nearest_to_farthest(tmp_path, unit, expected, bits):
    images = write_images(tmp_path / "images", ["a"], (2, 2))
    (tmp_path / "depths").mkdir()
    values = np.array([[0, 50], [200, 100]], np.uint8 if bits == 8 else np.uint16)
    Image.fromarray(values if bits == 8 else values * 256).save(tmp_path / "depths" / "a.png")
    faces = PairedFolder(images, tmp_path / "depths", camera=40, unit=unit)
    assert faces.depth_kind == "affine"
    assert_close(faces[0].depth.flatten(), torch.tensor(expected, dtype=torch.float32))
    assert faces[0].mask.all()


def test_pictures_without_scale_may_have_holes_but_must_have_depth(tmp_path):
    images = write_images(tmp_path / "images", ["a"], (2, 2))
    (tmp_path / "depths").mkdir()
    np.save(tmp_path / "depths" / "a.npy", np.array([[np.nan, -3.0], [1, np.inf]], np.float32))
    sample = PairedFolder(images, tmp_path / "depths", camera=40, unit="near_bright")[0]
    assert_close(sample.depth.flatten(), torch.tensor([0.0, 1, 0, 0]))
    assert sample.mask.flatten().tolist() == [False, True, True, False]
    for flat in (np.full((2, 2), 5.0), np.full((2, 2), np.nan)):
        np.save(tmp_path / "depths" / "a.npy", flat)
        with pytest.raises(InputError, match=r"a\.npy: no depth in it"):
            PairedFolder(images, tmp_path / "depths", camera=40, unit="near_bright")[0]


def test_masks_are_the_head(folders, tmp_path):
    (tmp_path / "masks").mkdir()
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[2:, 3:20] = 255
    for stem in ("anna_1", "anna_2", "ben_1"):
        Image.fromarray(pixels).save(tmp_path / "masks" / f"{stem}.png")
    sample = PairedFolder(*folders, tmp_path / "masks", camera=40)[2]
    assert_close(sample.head[0], torch.from_numpy(pixels > 0))  # holes in the depth are none in the head
    assert (sample.head & ~sample.mask).any()
    assert sample.mask.sum() == HEIGHT * WIDTH - 35
    (tmp_path / "masks" / "ben_1.png").unlink()
    with pytest.raises(InputError, match=r"1 without mask \(ben_1\.png\)"):
        PairedFolder(*folders, tmp_path / "masks", camera=40)
    Image.new("L", (HEIGHT, WIDTH), 255).save(tmp_path / "masks" / "ben_1.png")
    with pytest.raises(InputError, match=r"masks/ben_1\.png: size mismatch, 24 x 32"):
        PairedFolder(*folders, tmp_path / "masks", camera=40)[2]


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1920, 1080), (1000, 667)])
def test_masks_fit_whatever_the_size_is_rounded_to(tmp_path, width, height):
    for folder, pixels in (
        ("images", np.zeros((height, width, 3), np.uint8)), ("depths", np.full((height, width), 700, np.uint16)),
        ("masks", np.full((height, width), 255, np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "anna.png")
    folders = [tmp_path / name for name in ("images", "depths", "masks")]
    sample = PairedFolder(*folders, camera=40, unit="mm", size=128)[0]
    assert sample.head.shape == (1, 128, 128)
    assert sample.head.all()


def test_identity_is_told_never_guessed(folders):
    plain = PairedFolder(*folders, camera=40)
    assert plain.names == plain.identities == ["anna_1", "anna_2", "ben_1"]
    for identity in (lambda stem: stem.split("_")[0], "_"):
        told = PairedFolder(*folders, camera=40, identity=identity)
        assert told.names == plain.names
        assert told.identities == ["anna", "anna", "ben"]
    for none in ("", {"anna_1": "anna"}, 3):
        with pytest.raises(InputError, match="identity: expected a function of a stem, or what ends a name in it, got"):
            PairedFolder(*folders, camera=40, identity=none)
    with pytest.raises(InputError, match="identity: expected who 'ben_1' is, got None"):
        PairedFolder(*folders, camera=40, identity={"anna_1": "anna", "anna_2": "anna"}.get)


def test_a_folder_is_found_at_home(folders, monkeypatch):
    monkeypatch.setenv("HOME", str(folders[0].parent))
    assert len(PairedFolder("~/images", "~/depths", camera=40)) == 3


def test_a_camera_of_whole_numbers_is_resized_as_any_other(folders):
    whole = Camera(torch.tensor([[35, 0, 16], [0, 35, 12], [0, 0, 1]]), torch.eye(4))
    small = PairedFolder(*folders, camera=whole, size=12)[0].camera
    assert_close(small.K, torch.tensor([[17.5, 0, 6], [0, 17.5, 6], [0, 0, 1]]))


@pytest.mark.parametrize("nothing", [65.535, 65504, 1e10])
def test_what_renderers_write_where_there_is_nothing_is_no_depth(tmp_path, nothing):
    images = write_images(tmp_path / "images", ["a"])
    (tmp_path / "depths").mkdir()
    depth = np.full((HEIGHT, WIDTH), 0.7, np.float32)
    depth[:5] = nothing
    np.save(tmp_path / "depths" / "a.npy", depth)
    sample = PairedFolder(images, tmp_path / "depths", camera=40)[0]
    assert_close(sample.mask[0], torch.from_numpy(depth < 1))
    assert sample.depth.max() < 1


def test_letters_written_in_two_ways_are_the_same_name(tmp_path):
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    faces = PairedFolder(
        write_images(tmp_path / "images", [composed]), write_depths(tmp_path / "depths", [decomposed]), camera=40
    )
    assert faces.names == [composed]
    assert faces[0].mask.any()


def test_names_of_any_bytes_are_split_and_scored(tmp_path):
    stems = ["M\udcfcller", "anna"]  # Latin-1, as Python reads it
    faces = PairedFolder(
        write_images(tmp_path / "images", stems), write_depths(tmp_path / "depths", stems), camera=40, size=24
    )
    train, val = split(faces, val=0.5)
    assert {len(train), len(val)} == {1}
    describe_data(train, val)
    report = evaluate(create_model("dpt_tiny"), faces)
    written = report.save(tmp_path / "report")
    assert "M\\udcfcller" in written[0].read_text(encoding="utf-8")

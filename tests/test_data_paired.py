"""One's own folders: formats, units, cameras, shapes, and files that do not belong together."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.data import PairedFolder, split
from facedepth.evaluation import evaluate
from facedepth.models import create_model
from facedepth.runs import describe_data

HEIGHT, WIDTH = 24, 32


def depth_mm() -> np.ndarray:
    """A slanted wall with a hole, in whole millimetres."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    depth = 600 + 4 * x + 2 * y
    depth[:5, :7] = 0
    return depth.astype(np.uint16)


def write_images(folder: Path, stems: list[str], size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    folder.mkdir(exist_ok=True)
    for number, stem in enumerate(stems):
        pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{stem}.png")
    return folder


def write_depths(folder: Path, stems: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for stem in stems:
        np.save(folder / f"{stem}.npy", depth_mm() / np.float32(1000))
    return folder


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    stems = ["anna_1", "anna_2", "ben_1"]
    return write_images(tmp_path / "images", stems), write_depths(tmp_path / "depths", stems)


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


def test_a_unit_that_makes_no_sense_of_faces_is_told(tmp_path, recwarn):
    images, depths = write_images(tmp_path / "images", ["a"], (WIDTH, HEIGHT)), write_depths(tmp_path / "depths", ["a"])
    PairedFolder(images, depths, camera=40)
    assert not recwarn
    with pytest.warns(UserWarning, match=r"a\.npy: its median depth is 0\.000\d+ m; is unit='mm' \(--unit\) right\?"):
        faces = PairedFolder(images, depths, camera=40, unit="mm")
    recwarn.clear()
    assert faces[0].depth.max() < 0.001
    assert not recwarn  # once is enough


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
    with warnings.catch_warnings(action="error"):
        faces[0]  # it is said once


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (WIDTH, WIDTH), (WIDTH + 2, HEIGHT)])
def test_depth_of_another_shape_is_refused(tmp_path, size):
    images = write_images(tmp_path / "images", ["a"], size)
    faces = PairedFolder(images, write_depths(tmp_path / "depths", ["a"]), camera=40)
    with pytest.raises(InputError, match=rf"a\.npy: size mismatch, 32 x 24 .* {size[0]} x {size[1]}"):
        faces[0]


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


def test_holes_of_pictures_without_scale(tmp_path):
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


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_sizes_that_make_no_sense(folders, size):
    with pytest.raises(InputError, match=f"size: expected a whole number of at least 1, got {size}"):
        PairedFolder(*folders, camera=40, size=size)


def test_identity_is_told_never_guessed(folders):
    plain = PairedFolder(*folders, camera=40)
    assert plain.names == plain.identities == ["anna_1", "anna_2", "ben_1"]
    told = PairedFolder(*folders, camera=40, identity=lambda stem: stem.split("_")[0])
    assert told.names == plain.names
    assert told.identities == ["anna", "anna", "ben"]
    with pytest.raises(InputError, match="identity: expected who 'ben_1' is, got None"):
        PairedFolder(*folders, camera=40, identity={"anna_1": "anna", "anna_2": "anna"}.get)


def test_a_folder_is_found_at_home(folders, monkeypatch):
    monkeypatch.setenv("HOME", str(folders[0].parent))
    assert len(PairedFolder("~/images", "~/depths", camera=40)) == 3


def test_unmatched_files_of_both_sides_are_named_and_counted(folders):
    images, depths = folders
    write_images(images, ["carl", "dora"])
    write_depths(depths, ["emil"])
    for part in (r"of 5 images, 3 are complete", r"2 without depth \(carl\.png, dora\.png\)",
                 r"1 depth without image \(emil\.npy\)"):
        with pytest.raises(InputError, match=part):
            PairedFolder(images, depths, camera=40)
    with pytest.warns(UserWarning, match=r"carl\.png, dora\.png.*emil\.npy"):
        assert len(PairedFolder(images, depths, camera=40, skip_bad=True)) == 3


def test_a_picture_of_a_format_that_is_not_read_is_not_called_missing(folders):
    images, depths = folders
    write_depths(depths, ["emil", "fritz"])
    (images / "emil.dng").write_bytes(b"from a camera")
    with pytest.raises(InputError, match=r"without image \(emil.npy, fritz.npy\); save emil.dng as JPEG or PNG"):
        PairedFolder(images, depths, camera=40)


DAMAGE = {
    "text named .png": ("images/anna_2.png", lambda path: path.write_text("not a picture")),
    "truncated png": ("images/anna_2.png", lambda path: path.write_bytes(path.read_bytes()[:-40])),
    "empty npy": ("depths/anna_2.npy", lambda path: path.write_bytes(b"")),
    "truncated npy": ("depths/anna_2.npy", lambda path: path.write_bytes(path.read_bytes()[:-40])),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_named_on_reading_and_skipped_when_asked(folders, damage):
    name, spoil = DAMAGE[damage]
    spoil(folders[0].parent / name)
    faces = PairedFolder(*folders, camera=40)
    with pytest.raises(InputError, match=rf"{name}: .*Replace or delete the files of sample 'anna_2'"):
        faces[1]
    with pytest.warns(UserWarning, match=rf"1 files \({name}\)"):
        faces = PairedFolder(*folders, camera=40, skip_bad=True)
    assert faces.names == ["anna_1", "ben_1"]
    assert faces.identities == faces.names


def test_damaged_npz_and_jpg_are_skipped_too(tmp_path):
    images, depths = write_images(tmp_path / "images", ["a", "b"]), write_depths(tmp_path / "depths", ["a", "b"])
    for stem, keep in (("c", 1.0), ("d", 0.5)):
        write_images(images, [stem])
        np.savez(depths / f"{stem}.npz", depth_mm())
        content = (depths / f"{stem}.npz").read_bytes()
        (depths / f"{stem}.npz").write_bytes(content[: int(len(content) * keep)])
    (images / "b.png").unlink()
    (images / "b.jpg").write_bytes(b"\xff\xd8 and nothing more")
    with pytest.warns(UserWarning, match=r"2 files \(images/b\.jpg, depths/d\.npz\)"):
        assert PairedFolder(images, depths, camera=40, skip_bad=True).names == ["a", "c"]


def test_files_that_no_reader_understands_are_skipped(folders):
    """One byte of a NumPy file's header changed; a picture so large that Pillow takes it for an attack."""
    images, depths = folders
    content = bytearray((depths / "anna_1.npy").read_bytes())
    content[10] = ord("(")
    (depths / "anna_1.npy").write_bytes(content)
    (images / "anna_2.png").unlink()
    Image.new("1", (20_000, 10_000)).save(images / "anna_2.tif", compression="group4")
    with pytest.warns(UserWarning, match="2 files"):
        assert PairedFolder(images, depths, camera=40, skip_bad=True).names == ["ben_1"]


def test_two_files_of_one_stem(folders):
    (folders[0] / "ben_1.jpg").write_bytes((folders[0] / "ben_1.png").read_bytes())
    with pytest.raises(InputError, match=r"ben_1\.jpg and ben_1\.png have the same stem"):
        PairedFolder(*folders, camera=40)


def test_depth_without_a_valid_pixel(folders):
    np.save(folders[1] / "ben_1.npy", np.zeros((HEIGHT, WIDTH)))
    with pytest.raises(InputError, match=r"ben_1\.npy: no valid depth"):
        PairedFolder(*folders, camera=40)[2]


def test_missing_and_empty_folders(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nowhere: expected a folder, it does not exist"):
        PairedFolder(folders[0], tmp_path / "nowhere", camera=40)
    with pytest.raises(InputError, match="empty: expected files ending in"):
        PairedFolder(tmp_path / "empty", folders[1], camera=40)
    with pytest.raises(InputError, match="expected a folder, got a file"):
        PairedFolder(folders[0] / "ben_1.png", folders[1], camera=40)


@pytest.mark.parametrize("unit", ["inch", 0, -1.0])
def test_units_that_make_no_sense(folders, unit):
    with pytest.raises(InputError, match=r"unit.* m, cm, mm, near_bright, far_bright"):
        PairedFolder(*folders, camera=40, unit=unit)


def test_cameras_that_make_no_sense(folders):
    for angle in (0, 180, -40):
        with pytest.raises(InputError, match=r"camera .*: expected"):
            PairedFolder(*folders, camera=angle)
    normalised = Camera(torch.tensor([[1.0, 0, 0.5], [0, 1.3, 0.5], [0, 0, 1]]), torch.eye(4))
    with pytest.raises(InputError, match=r"anna_1\.png: .*in pixels of the upright images"):
        PairedFolder(*folders, camera=normalised)[0]
    with pytest.raises(TypeError, match="camera"):
        PairedFolder(*folders)


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


def test_google_drive_is_warned_about_once(tmp_path):
    drive = tmp_path / "content" / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    images, depths = write_images(drive / "images", ["a"]), write_depths(drive / "depths", ["a"])
    with pytest.warns(UserWarning, match="Google Drive") as record:
        PairedFolder(images, depths, camera=40)
    assert len(record) == 1


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

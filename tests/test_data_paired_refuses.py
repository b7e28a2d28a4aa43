"""One's own folders, when files do not belong together, are damaged, or settings make no sense."""

import numpy as np
import pytest
import torch
from paired_folders import HEIGHT, WIDTH, depth_mm, write_depths, write_images
from PIL import Image

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.data import PairedFolder


def test_a_unit_that_makes_no_sense_of_faces_is_told(tmp_path, recwarn):
    images, depths = write_images(tmp_path / "images", ["a"], (WIDTH, HEIGHT)), write_depths(tmp_path / "depths", ["a"])
    PairedFolder(images, depths, camera=40)
    assert not recwarn
    with pytest.warns(UserWarning, match=r"a\.npy: its median depth is 0\.000\d+ m; is unit='mm' \(--unit\) right\?"):
        faces = PairedFolder(images, depths, camera=40, unit="mm")
    recwarn.clear()
    assert faces[0].depth.max() < 0.001
    assert not recwarn  # once is enough


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (WIDTH, WIDTH), (WIDTH + 2, HEIGHT)])
def test_depth_of_another_shape_is_refused(tmp_path, size):
    images = write_images(tmp_path / "images", ["a"], size)
    faces = PairedFolder(images, write_depths(tmp_path / "depths", ["a"]), camera=40)
    with pytest.raises(InputError, match=rf"a\.npy: size mismatch, 32 x 24 .* {size[0]} x {size[1]}"):
        faces[0]


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_sizes_that_make_no_sense_are_refused(folders, size):
    with pytest.raises(InputError, match=f"size: expected a whole number of at least 1, got {size}"):
        PairedFolder(*folders, camera=40, size=size)


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


def test_two_files_of_one_stem_are_named(folders):
    (folders[0] / "ben_1.jpg").write_bytes((folders[0] / "ben_1.png").read_bytes())
    with pytest.raises(InputError, match=r"ben_1\.jpg and ben_1\.png have the same stem"):
        PairedFolder(*folders, camera=40)


def test_depth_without_a_valid_pixel_is_named(folders):
    np.save(folders[1] / "ben_1.npy", np.zeros((HEIGHT, WIDTH)))
    with pytest.raises(InputError, match=r"ben_1\.npy: no valid depth"):
        PairedFolder(*folders, camera=40)[2]


def test_missing_and_empty_folders_are_named(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nowhere: expected a folder, it does not exist"):
        PairedFolder(folders[0], tmp_path / "nowhere", camera=40)
    with pytest.raises(InputError, match="empty: expected files ending in"):
        PairedFolder(tmp_path / "empty", folders[1], camera=40)
    with pytest.raises(InputError, match="expected a folder, got a file"):
        PairedFolder(folders[0] / "ben_1.png", folders[1], camera=40)


@pytest.mark.parametrize("unit", ["inch", 0, -1.0])
def test_units_that_make_no_sense_are_refused(folders, unit):
    with pytest.raises(InputError, match=r"unit.* m, cm, mm, near_bright, far_bright"):
        PairedFolder(*folders, camera=40, unit=unit)


def test_cameras_that_make_no_sense_are_refused(folders):
    for angle in (0, 180, -40):
        with pytest.raises(InputError, match=r"camera .*: expected"):
            PairedFolder(*folders, camera=angle)
    normalised = Camera(torch.tensor([[1.0, 0, 0.5], [0, 1.3, 0.5], [0, 0, 1]]), torch.eye(4))
    with pytest.raises(InputError, match=r"anna_1\.png: .*in pixels of the upright images"):
        PairedFolder(*folders, camera=normalised)[0]
    with pytest.raises(TypeError, match="camera"):
        PairedFolder(*folders)


def test_google_drive_is_warned_about_once(tmp_path):
    drive = tmp_path / "content" / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    images, depths = write_images(drive / "images", ["a"]), write_depths(drive / "depths", ["a"])
    with pytest.warns(UserWarning, match="Google Drive") as record:
        PairedFolder(images, depths, camera=40)
    assert len(record) == 1

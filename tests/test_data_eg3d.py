"""EG3D's folder: the right depth, the right camera, and what is said about folders that are not in order."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from torch.utils.data import DataLoader

from facedepth.checks import InputError
from facedepth.data import EG3DFaces
from facedepth.io import read_image
from facedepth.layouts import eg3d_path, write_eg3d_mask
from facedepth.sample import Sample

SAMPLE = Path(__file__).parent / "data" / "eg3d_sample"
STEMS = ["seed0000", "seed0001", "seed0002", "seed0003"]


@pytest.fixture
def root(tmp_path) -> Path:
    for folder in ("images", "depth128x128", "cam_poses"):
        shutil.copytree(SAMPLE / folder, tmp_path / folder)
    return tmp_path


def write_exact_depth(root: Path, stems: list[str], size: int = 32) -> np.ndarray:
    """A slanted plane with a hole in every file."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    depth = 2.5 + 0.2 * x + 0.1 * y
    depth[: size // 4, : size // 2] = np.nan
    (root / "depth").mkdir(exist_ok=True)
    for stem in stems:
        np.save(eg3d_path(root, "depth", stem), depth)
    return depth


def cut_short(path: Path, keep: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def test_affine_samples(root):
    faces = EG3DFaces(root)
    assert faces.depth_kind == "affine"
    assert len(faces) == 4
    assert faces.names == faces.identities == STEMS
    sample = faces[2]
    assert isinstance(sample, Sample)
    assert sample.name == "seed0002"
    assert sample.image.shape == (3, 128, 128)
    picture = np.asarray(Image.open(eg3d_path(SAMPLE, "depth128x128", "seed0002")))
    assert_close(sample.depth[0], torch.from_numpy(1 - picture.astype(np.float32) / 255))
    assert sample.mask.all()
    assert sample.head.all()
    assert sample.depth[0, 64, 64] < 0.2 < 0.9 < sample.depth[0, 0, 0]  # the face is nearer than the corner
    assert sample.camera.K[0].tolist() == pytest.approx([4.2647 * 128, 0, 64])


def test_other_sizes_bring_image_depth_and_camera_along(root):
    small, large = EG3DFaces(root, size=64)[1], EG3DFaces(root, size=256)[1]
    assert small.image.shape[-2:] == small.depth.shape[-2:] == (64, 64)
    assert large.image.shape[-2:] == large.depth.shape[-2:] == (256, 256)
    assert_close(large.camera.K[:2], small.camera.K[:2] * 4)
    block_means = torch.nn.functional.avg_pool2d(large.image, 4)
    assert (block_means - small.image).abs().mean() < 0.01
    assert (torch.nn.functional.avg_pool2d(large.depth, 4) - small.depth).abs().mean() < 0.01


def test_a_full_depth_folder_makes_it_metric(root):
    depth = write_exact_depth(root, STEMS)
    faces = EG3DFaces(root, size=32)
    assert faces.depth_kind == "metric"
    sample = faces[0]
    assert_close(sample.depth[0], torch.from_numpy(np.nan_to_num(depth)))
    assert_close(sample.mask[0], torch.from_numpy(np.isfinite(depth)))
    assert_close(sample.head, sample.mask)
    resized = EG3DFaces(root, size=64)[0]
    assert resized.depth.shape == (1, 64, 64)
    assert resized.depth[0, 40, 40] == pytest.approx(2.5 + 0.3 * (40.5 / 2 - 0.5) / 32, abs=1e-5)
    assert EG3DFaces(root, depth_kind="affine").depth_kind == "affine"


def test_metric_needs_no_pictures(root):
    write_exact_depth(root, STEMS)
    shutil.rmtree(root / "depth128x128")
    assert EG3DFaces(root).depth_kind == "metric"
    with pytest.raises(InputError, match="depth128x128: no such folder"):
        EG3DFaces(root, depth_kind="affine")


def test_an_unfinished_depth_folder_is_left_alone_with_a_warning(root):
    (root / "shapes").mkdir()
    write_exact_depth(root, STEMS[:3])
    with pytest.warns(UserWarning, match=r"no exact depth for 1 of 4 images \(seed0003.png\).*rerender"):
        assert EG3DFaces(root).depth_kind == "affine"
    with pytest.raises(InputError, match=r"1 without depth/ \(seed0003\.png\)"):
        EG3DFaces(root, depth_kind="metric")
    with pytest.warns(UserWarning, match=r"seed0003\.png"):
        faces = EG3DFaces(root, depth_kind="metric", skip_bad=True)
    assert faces.names == STEMS[:3]


def test_an_unfinished_depth_folder_that_cannot_be_finished_is_an_error_or_skipped(root):
    write_exact_depth(root, STEMS[:3])
    with pytest.raises(InputError, match=r"no exact depth for 1 of 4 images \(seed0003.png\); skip_bad=True"):
        EG3DFaces(root)
    with pytest.warns(UserWarning, match=r"skipping files without partners: 1 without depth/ \(seed0003.png\)"):
        faces = EG3DFaces(root, size=32, skip_bad=True)
    assert (faces.depth_kind, faces.names) == ("metric", list(STEMS[:3]))
    assert EG3DFaces(root, size=32, depth_kind="affine").names == list(STEMS)


def test_asking_for_depth_that_is_not_there(root):
    with pytest.raises(InputError, match="depth: no such folder; run `facedepth rerender`"):
        EG3DFaces(root, depth_kind="metric")
    with pytest.raises(InputError, match="depth_kind: expected 'affine', 'metric' or None, got 'exact'"):
        EG3DFaces(root, depth_kind="exact")


def test_missing_and_empty_folders(tmp_path, root):
    with pytest.raises(InputError, match="nowhere/images: no such folder"):
        EG3DFaces(tmp_path / "nowhere")
    for path in (root / "images").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"images: expected \.png images, found none"):
        EG3DFaces(root)


def test_files_without_partners_are_named_and_counted(root):
    eg3d_path(root, "cam_poses", "seed0001").unlink()
    for stem in STEMS[2:]:
        eg3d_path(root, "depth128x128", stem).unlink()
    shutil.copy(eg3d_path(root, "cam_poses", "seed0000"), eg3d_path(root, "cam_poses", "seed0099"))
    report = (
        r"2 without depth128x128/ \(seed0002\.png, seed0003\.png\); 1 without cam_poses/ \(seed0001\.png\); "
        r"1 cam_poses/ without image \(seed0099\.npy\)"
    )
    with pytest.raises(InputError, match=rf"of 4 images, 1 are complete: {report}; .*skip_bad=True"):
        EG3DFaces(root)
    with pytest.warns(UserWarning, match=report):
        faces = EG3DFaces(root, skip_bad=True)
    assert faces.names == ["seed0000"]


def test_many_names_are_cut_but_counted(root):
    for number in range(8):
        shutil.copy(eg3d_path(root, "images", "seed0000"), eg3d_path(root, "images", f"x{number}"))
    with pytest.raises(InputError, match=r"8 without depth128x128/ \(x0\.png, .*x4\.png and 3 more\)"):
        EG3DFaces(root)


def test_nothing_complete_is_an_error_even_when_skipping(root):
    for path in (root / "cam_poses").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="0 are complete"):
        EG3DFaces(root, skip_bad=True)


DAMAGE = {
    "truncated image": ("images", lambda path: cut_short(path)),
    "image cut near its end": ("images", lambda path: cut_short(path, 0.95)),
    "text named .png": ("depth128x128", lambda path: path.write_text("hello, I am no picture")),
    "empty image": ("images", lambda path: path.write_bytes(b"")),
    "empty pose": ("cam_poses", lambda path: path.write_bytes(b"")),
    "truncated pose": ("cam_poses", lambda path: cut_short(path, 0.8)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_named_on_reading_and_skipped_when_asked(root, damage):
    folder, spoil = DAMAGE[damage]
    path = eg3d_path(root, folder, "seed0002")
    spoil(path)
    faces = EG3DFaces(root)
    assert len(faces) == 4
    assert faces[1].name == "seed0001"
    with pytest.raises(InputError, match=rf"{folder}/{path.name}: .*Replace or delete"):
        faces[2]
    with pytest.warns(UserWarning, match=rf"1 files \({folder}/{path.name}\)"):
        faces = EG3DFaces(root, skip_bad=True)
    assert faces.names == ["seed0000", "seed0001", "seed0003"]
    assert [faces[index].name for index in range(3)] == faces.names


def test_damaged_exact_depth_is_skipped_too(root):
    write_exact_depth(root, STEMS)
    cut_short(eg3d_path(root, "depth", "seed0000"))
    with pytest.raises(InputError, match=r"depth/seed0000\.npy"):
        EG3DFaces(root)[0]
    with pytest.warns(UserWarning, match=r"depth/seed0000\.npy"):
        assert len(EG3DFaces(root, skip_bad=True)) == 3


def test_nothing_is_said_about_a_good_folder(root):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(EG3DFaces(root, skip_bad=True)) == 4


def test_only_damaged_files_is_an_error(root):
    for stem in STEMS:
        cut_short(eg3d_path(root, "images", stem))
    with pytest.raises(InputError, match="no sample is whole: 4 damaged files"):
        EG3DFaces(root, skip_bad=True)


def test_depth_without_depth_in_it(root):
    write_exact_depth(root, STEMS)
    np.save(eg3d_path(root, "depth", "seed0001"), np.full((32, 32), np.nan, np.float32))
    with pytest.raises(InputError, match=r"depth/seed0001\.npy: no valid depth"):
        EG3DFaces(root)[1]
    Image.new("L", (128, 128), 90).save(eg3d_path(root, "depth128x128", "seed0003"))
    with pytest.raises(InputError, match=r"depth128x128/seed0003\.png: no depth in it"):
        EG3DFaces(root, depth_kind="affine")[3]


@pytest.mark.parametrize("folder", ["images", "depth128x128"])
def test_pictures_that_are_not_square(root, folder):
    path = eg3d_path(root, folder, "seed0001")
    Image.open(path).crop((0, 0, 100, 80)).save(path)
    with pytest.raises(InputError, match=rf"{folder}/seed0001\.png: expected a square picture, .* got 100 x 80"):
        EG3DFaces(root)[1]


def test_masks_are_the_head(root):
    (root / "masks").mkdir()
    pixels = np.zeros((64, 64), np.uint8)
    pixels[8:, 16:] = 255  # overlaps the hole in the depth
    write_exact_depth(root, STEMS)
    plain = EG3DFaces(root)[0]
    for stem in STEMS:
        Image.fromarray(pixels).save(eg3d_path(root, "masks", stem))
    masked = EG3DFaces(root)[1]
    expected = torch.zeros(1, 128, 128, dtype=torch.bool)
    expected[:, 16:, 32:] = True
    assert_close(masked.head, expected)  # holes in the depth are none in the head
    assert (expected & ~masked.mask).any()
    assert_close(masked.face, masked.head)
    assert_close(plain.head, plain.mask)
    head, face = torch.zeros(2, 1, 128, 128, dtype=torch.bool)
    head[:, 20:110, 30:90] = face[:, 40:80, 40:60] = True
    write_eg3d_mask(eg3d_path(root, "masks", "seed0001"), head, face)
    graded = EG3DFaces(root)[1]
    assert_close(graded.head, head)
    assert_close(graded.face, face)
    Image.new("L", (64, 64)).save(eg3d_path(root, "masks", "seed0001"))
    with pytest.raises(InputError, match=r"masks/seed0001\.png: no pixel of the head"):
        EG3DFaces(root)[1]


def test_google_drive_is_warned_about_once(tmp_path):
    drive = tmp_path / "content" / "drive" / "MyDrive" / "eg3d"
    shutil.copytree(SAMPLE, drive)
    with pytest.warns(UserWarning, match=r"Google Drive.*local disk") as record:
        EG3DFaces(drive)
    assert len(record) == 1
    link = tmp_path / "link"
    link.symlink_to(drive)
    with pytest.warns(UserWarning, match="Google Drive"):
        EG3DFaces(link)


def test_hidden_files_are_no_samples(root):
    (root / "images" / "._seed0000.png").write_bytes(b"left behind by a Mac")
    assert EG3DFaces(root).names == STEMS


def test_loader_makes_batches_in_workers(root):
    batch = next(iter(DataLoader(EG3DFaces(root, size=32), batch_size=4, num_workers=1)))
    assert isinstance(batch, Sample)
    assert batch.image.shape == (4, 3, 32, 32)
    assert batch.camera.cam2world.shape == (4, 4, 4)
    assert list(batch.name) == STEMS
    assert_close(batch.image[3], EG3DFaces(root, size=32)[3].image)


def test_images_are_the_stored_ones(root):
    stored = read_image(eg3d_path(SAMPLE, "images", "seed0003"))
    assert_close(EG3DFaces(root, size=512)[3].image, stored)


def test_masks_are_there_of_all_or_of_none(root):
    (root / "masks").mkdir(exist_ok=True)
    for stem in STEMS[:3]:
        Image.new("L", (32, 32), 255).save(root / "masks" / f"{stem}.png")
    with pytest.raises(InputError, match=rf"1 without masks/ \({STEMS[3]}\.png\)"):
        EG3DFaces(root)
    with pytest.warns(UserWarning, match="1 without masks/"):
        assert EG3DFaces(root, skip_bad=True).names == STEMS[:3]


def test_a_manifest_says_who_is_who(root):
    (root / "manifest.csv").write_text("name,age,identity\nseed0000,30,anna\nseed0002,30,anna\nseed0003,50,ben\n")
    with pytest.warns(UserWarning, match=r"manifest\.csv: says nothing of 1 of 4 samples \(seed0001\); each"):
        assert EG3DFaces(root).identities == ["anna", "seed0001", "anna", "ben"]
    (root / "manifest.csv").write_text("name,who\nseed0000,anna\n")
    with pytest.raises(InputError, match=r"manifest\.csv: expected columns called name and identity, got name, who"):
        EG3DFaces(root)


def test_suffixes_may_be_capitals(root):
    for path in list((root / "images").iterdir()):
        path.rename(path.with_suffix(".PNG"))
    assert EG3DFaces(root)[0].name == "seed0000"


def test_a_size_that_makes_no_sense(root):
    with pytest.raises(InputError, match="size: expected a whole number of at least 1, got -1"):
        EG3DFaces(root, size=-1)


def test_a_picture_of_one_pixel_is_named(root):
    Image.new("RGB", (1, 1)).save(eg3d_path(root, "images", "seed0001"))
    with pytest.raises(InputError, match=r"seed0001\.png: expected at least 16 x 16 pixels, got 1 x 1"):
        EG3DFaces(root)[1]

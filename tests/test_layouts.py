"""EG3D's encodings, read from the sample set and from files made by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.depth import distance_to_z
from facedepth.layouts import (
    eg3d_path,
    eg3d_world_vertices,
    read_eg3d_camera,
    read_eg3d_identities,
    read_eg3d_picture,
    write_eg3d_camera,
)

SAMPLE = Path(__file__).parent / "data" / "eg3d_sample"
DISTANCES = Path(__file__).parent / "data" / "eg3d_sample" / "depth_float"
STEMS = ["seed0000", "seed0001", "seed0002", "seed0003"]


def test_paths():
    assert eg3d_path("set", "cam_poses", "seed0001") == Path("set/cam_poses/seed0001.npy")
    assert eg3d_path("set", "depth128x128", "seed0001") == Path("set/depth128x128/seed0001.png")


@pytest.mark.parametrize("stem", STEMS)
def test_camera_is_eg3ds(stem):
    """Focal length 4.2647 picture widths, 2.7 away from the point (0, 0, 0.2) that it looks at, y down."""
    camera = read_eg3d_camera(eg3d_path(SAMPLE, "cam_poses", stem), 256)
    assert_close(camera.K, torch.tensor([[4.2647 * 256, 0, 128], [0, 4.2647 * 256, 128], [0, 0, 1]]))
    position, forward = camera.cam2world[:3, 3], camera.cam2world[:3, 2]
    assert position.norm() == pytest.approx(2.7, abs=1e-4)
    target = torch.tensor([0.0, 0, 0.2]) - position
    assert_close(forward, target / target.norm(), atol=0.02, rtol=0)
    assert camera.cam2world[1, 1] < -0.9  # the camera's y points down, the world's up


def test_camera_round_trip(tmp_path):
    K = torch.tensor([[300.0, 0, 60], [0, 310, 70], [0, 0, 1]])
    pose = torch.tensor([[0.0, -1, 0, 0.1], [1, 0, 0, -0.2], [0, 0, 1, 0.3], [0, 0, 0, 1]])
    path = tmp_path / "pose.npy"
    write_eg3d_camera(path, Camera(K, pose), 128)
    assert np.load(path).shape == (1, 25)
    assert np.load(path)[0, [1, 3, 4, 16, 18]] == pytest.approx([-1, 0.1, 1, 300 / 128, 60 / 128])
    back = read_eg3d_camera(path, 64)
    assert_close(back.K[:2], K[:2] / 2)
    assert_close(back.cam2world, pose)


def test_flat_pose_is_read_like_a_row(tmp_path):
    source = eg3d_path(SAMPLE, "cam_poses", "seed0001")
    np.save(tmp_path / "flat.npy", np.load(source).reshape(25))
    for flat, row in zip(read_eg3d_camera(tmp_path / "flat.npy", 128), read_eg3d_camera(source, 128), strict=True):
        assert_close(flat, row)


def label(**changes: float) -> np.ndarray:
    numbers = np.load(eg3d_path(SAMPLE, "cam_poses", "seed0000")).copy()
    for place, value in changes.items():
        numbers[0, int(place[1:])] = value
    return numbers


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (np.zeros(16, np.float32), "25 finite numbers"),
        (label(_3=np.nan), "25 finite numbers"),
        (np.arange(25), "25 finite numbers"),
        (label(_0=-1), "no rotation"),
        (label(_16=546.0), "divided by the image size"),
        (label(_16=0.0), "divided by the image size"),
    ],
)
def test_what_is_no_camera_is_refused(tmp_path, numbers, message):
    np.save(tmp_path / "bad.npy", numbers)
    with pytest.raises(InputError, match=rf"bad\.npy.*{message}"):
        read_eg3d_camera(tmp_path / "bad.npy", 128)


def test_picture_is_affine_in_the_distance_along_the_ray():
    """And not in z: the same line through z leaves more than the rounding to 8 bits explains."""
    stem = "seed0001"
    picture = read_eg3d_picture(eg3d_path(SAMPLE, "depth128x128", stem)).double()
    distance = torch.from_numpy(np.load(DISTANCES / f"{stem}.npy")).double()[None]
    assert picture.shape == (1, 128, 128)
    assert (picture.min(), picture.max()) == (0, 1)

    def worst(values: torch.Tensor) -> float:
        return float(((values - values.min()) / (values.max() - values.min()) - picture).abs().max())

    assert worst(distance) < 1.01 / 255
    assert worst(distance_to_z(distance, read_eg3d_camera(eg3d_path(SAMPLE, "cam_poses", stem), 128))) > 4 / 255


def test_pictures_of_three_channels_are_the_same(tmp_path):
    source = eg3d_path(SAMPLE, "depth128x128", "seed0000")
    Image.open(source).convert("RGB").save(tmp_path / "three.png")
    assert_close(read_eg3d_picture(tmp_path / "three.png"), read_eg3d_picture(source))


def test_near_is_bright_and_becomes_zero(tmp_path):
    Image.fromarray(np.array([[0, 255], [51, 204]], np.uint8)).save(tmp_path / "d.png")
    assert_close(read_eg3d_picture(tmp_path / "d.png"), torch.tensor([[[1.0, 0.0], [0.8, 0.2]]]))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((4, 4), 7, np.uint8), "no depth in it, every pixel is 7"),
        (np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000, "8-bit"),
        (np.arange(48, dtype=np.uint8).reshape(4, 4, 3), "one channel"),
    ],
)
def test_what_is_no_depth_picture_is_refused(tmp_path, pixels, message):
    Image.fromarray(pixels).save(tmp_path / "bad.png")
    with pytest.raises(InputError, match=rf"bad\.png.*{message}"):
        read_eg3d_picture(tmp_path / "bad.png")


def test_world_vertices_by_hand():
    """On a grid of 5 a voxel is a quarter: the file's first axis is z, its last one runs against x, y and z shear."""
    world = eg3d_world_vertices(np.array([[0.0, 0, 4], [3, 2, 1], [0, 4, 0]]), grid=5)
    expected = [
        [0 / 4 - 0.5, 0 / 4 - 0.5, 0 / 4 - 0.5],
        [(3 + 2 / 5 + 3 / 25) / 4 - 0.5, (2 + 3 / 5) / 4 - 0.5, 3 / 4 - 0.5],
        [(4 + 4 / 5) / 4 - 0.5, 4 / 4 - 0.5, -0.5],
    ]
    assert world == pytest.approx(np.array(expected))


@pytest.mark.parametrize(("grid", "span"), [(64, (10, 100)), (512, (20, 110)), (128, (-3, 100))])
def test_a_grid_that_does_not_fit_is_refused_with_the_one_that_does(grid, span):
    vertices = np.random.default_rng(0).uniform(*span, size=(200, 3))
    with pytest.raises(InputError, match="--grid 128"):
        eg3d_world_vertices(vertices, grid)


@pytest.mark.parametrize(
    ("vertices", "said"),
    [([[-6.0, -5, -4]], r"expected voxel indices 0 ... 511, got -6 ... -4"), ([[1, np.nan, 2]], "some are NaN")],
)
def test_vertices_that_are_no_voxel_indices_are_refused(vertices, said):
    with pytest.raises(InputError, match=said):
        eg3d_world_vertices(np.array(vertices), 512)


def test_the_published_grid_fits_itself():
    vertices = np.array([[170.0, 60, 180], [360, 508, 335]])
    assert np.abs(eg3d_world_vertices(vertices, 512)).max() < 0.5
    with pytest.raises(InputError, match="--grid 512"):
        eg3d_world_vertices(vertices, 256)


def test_a_manifest_from_a_spreadsheet_that_does_not_know_everybody(tmp_path):
    (tmp_path / "manifest.csv").write_text("name,identity\nseed0000,anna\nseed0001,\nseed0002\n", encoding="utf-8-sig")
    with pytest.warns(UserWarning, match=r"says nothing of 1 of 4 samples \(seed0003\); each"):
        assert read_eg3d_identities(tmp_path, STEMS) == ["anna", "seed0001", "seed0002", "seed0003"]


def test_a_manifest_may_name_files_and_have_blanks_around_its_words(tmp_path):
    rows = ("seed0000.png,anna", " seed0001, anna ", "seed0002.png,ben", "seed0003.png,ben")
    (tmp_path / "manifest.csv").write_text("\n".join(["name,identity", *rows]))
    assert read_eg3d_identities(tmp_path, STEMS) == ["anna", "anna", "ben", "ben"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,identity\nseed0000,Jürgen\n".encode("cp1252"), r"manifest\.csv: expected a table in UTF-8"),
        (b"a,b\n1,2,3\n", r"manifest\.csv: expected columns called name and identity, got a, b"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_told_of_in_words(tmp_path, content, message):
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_eg3d_identities(tmp_path, STEMS)

"""Exact depth from shapes, held against the distances that EG3D's own ray marcher gave for the same faces."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.data import EG3DFaces, rerender
from facedepth.data.rerendering import cast_depth, read_shape
from facedepth.depth import distance_to_z, z_to_distance
from facedepth.layouts import eg3d_path, eg3d_world_vertices, read_eg3d_camera

SAMPLE = Path(__file__).parent / "data" / "eg3d_sample"
DISTANCES = Path(__file__).parent / "data" / "eg3d_sample" / "depth_float"
STEMS = ["seed0000", "seed0001", "seed0002", "seed0003"]
GRID, SIZE, BACKGROUND = 128, 128, 3.3


def copy_sample(target: Path, *folders: str) -> Path:
    for folder in folders:
        shutil.copytree(SAMPLE / folder, target / folder)
    return target


def assert_agrees(depth: torch.Tensor, stem: str) -> None:
    """Depth (1, H, W), 0 where missed, against the ray marcher: its steps leave a median difference of 0.0015."""
    distance = torch.from_numpy(np.load(DISTANCES / f"{stem}.npy"))[None]
    expected_hit, hit = distance < BACKGROUND, depth > 0
    expected = distance_to_z(distance, read_eg3d_camera(eg3d_path(SAMPLE, "cam_poses", stem), SIZE))
    error = (depth - expected).abs()[hit & expected_hit]
    assert (hit == expected_hit).float().mean() >= 0.998
    assert error.median() <= 0.002
    assert error.quantile(0.95) <= 0.005


@pytest.fixture(scope="module")
def rerendered(tmp_path_factory) -> Path:
    root = copy_sample(tmp_path_factory.mktemp("eg3d"), "images", "cam_poses", "shapes", "depth128x128")
    written = rerender(root, size=SIZE, grid=GRID)
    assert written == [eg3d_path(root, "depth", stem) for stem in STEMS]
    return root


@pytest.mark.parametrize("stem", STEMS)
def test_files_agree_with_eg3ds_ray_marcher(rerendered, stem):
    stored = np.load(eg3d_path(rerendered, "depth", stem))
    assert stored.shape == (SIZE, SIZE)
    assert stored.dtype == np.float32
    assert np.isnan(stored[0, 0])
    assert_agrees(torch.from_numpy(np.nan_to_num(stored))[None], stem)


def world_mesh(stem: str) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = read_shape(eg3d_path(SAMPLE, "shapes", stem))
    return eg3d_world_vertices(vertices, GRID), faces


def without_shear(stem: str) -> np.ndarray:
    vertices, _ = read_shape(eg3d_path(SAMPLE, "shapes", stem))
    return (np.array([GRID - 1, 0, 0]) + vertices[:, ::-1] * [-1, 1, 1]) / (GRID - 1) - 0.5


WRONG = {
    "mirrored in x": lambda stem: world_mesh(stem)[0] * [-1, 1, 1],
    "without the shear": without_shear,
    "a voxel to the right": lambda stem: world_mesh(stem)[0] + [1 / (GRID - 1), 0, 0],
}


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_mesh_does_not_agree(stem, mistake):
    camera = read_eg3d_camera(eg3d_path(SAMPLE, "cam_poses", stem), SIZE)
    right, faces = world_mesh(stem)
    assert_agrees(cast_depth(right, faces, camera, SIZE, SIZE), stem)
    with pytest.raises(AssertionError):
        assert_agrees(cast_depth(WRONG[mistake](stem), faces, camera, SIZE, SIZE), stem)


def test_cast_depth_is_z_not_distance_and_looks_through_pixel_centres():
    """One triangle in the plane z = 2 of a turned camera that sits off the origin."""
    K = torch.tensor([[4.0, 0, 2], [0, 5, 3], [0, 0, 1]])
    turned = torch.tensor([[0.0, 0, 1, 5], [0, 1, 0, 6], [-1, 0, 0, 7], [0, 0, 0, 1]])
    in_camera = torch.tensor([[-1.0, -1.2, 2], [1, -1.2, 2], [-1, 1.2, 2]])  # the picture's upper left half
    world = in_camera @ turned[:3, :3].T + turned[:3, 3]
    depth = cast_depth(world.numpy(), np.array([[0, 1, 2]]), Camera(K, turned), 6, 4)
    rows, columns = torch.meshgrid(torch.arange(6) + 0.5, torch.arange(4) + 0.5, indexing="ij")
    inside = rows / 6 + columns / 4 < 1
    assert_close(depth[0], torch.where(inside, 2.0, 0.0))


def test_the_data_set_turns_metric_and_fits_the_pictures(rerendered):
    faces = EG3DFaces(rerendered, size=SIZE)
    assert faces.depth_kind == "metric"
    sample = faces[1]
    assert 2.3 < sample.depth[sample.mask].min() < sample.depth.max() < 3.2
    assert not sample.mask.all()
    picture = EG3DFaces(rerendered, size=SIZE, depth_kind="affine")[1].depth
    surface = sample.mask & (picture < 0.9)  # at the outline the ray marcher mixes in the background
    distance = z_to_distance(sample.depth, sample.camera)
    assert torch.corrcoef(torch.stack([picture[surface], distance[surface]]))[0, 1] > 0.998


def test_a_run_goes_on_where_it_stopped(tmp_path):
    root = copy_sample(tmp_path, "cam_poses", "shapes")
    (root / "depth").mkdir()
    np.save(eg3d_path(root, "depth", "seed0001"), np.ones((8, 8), np.float32))
    with pytest.warns(UserWarning, match=r"seed0001\.npy: 1 depth maps are kept .* 8 x 8 pixels"):
        written = rerender(root, size=16, grid=GRID)
    assert [path.stem for path in written] == [STEMS[0], *STEMS[2:]]
    assert np.load(eg3d_path(root, "depth", "seed0001")).shape == (8, 8)
    assert rerender(root, size=16, grid=GRID) == []
    assert len(rerender(root, size=16, grid=GRID, overwrite=True)) == 4
    assert np.load(eg3d_path(root, "depth", "seed0001")).shape == (16, 16)
    assert sorted(path.name for path in (root / "depth").iterdir()) == [f"{stem}.npy" for stem in STEMS]


def test_shapes_without_pose_are_named_and_counted_before_anything_is_written(tmp_path):
    root = copy_sample(tmp_path, "cam_poses", "shapes")
    for stem in STEMS[2:]:
        eg3d_path(root, "cam_poses", stem).unlink()
    with pytest.raises(InputError, match=r"2 of 4 shapes without pose \(seed0002\.ply, seed0003\.ply\)"):
        rerender(root, grid=GRID)
    assert not (root / "depth").exists()


def test_the_default_grid_is_refused_for_the_sample(tmp_path):
    with pytest.raises(InputError, match=r"seed0000\.ply.*--grid 128"):
        rerender(copy_sample(tmp_path, "cam_poses", "shapes"))


@pytest.mark.parametrize("content", [b"", b"no mesh at all\n", "cut"])
def test_unreadable_shapes_are_named(tmp_path, content):
    root = copy_sample(tmp_path, "cam_poses", "shapes")
    path = eg3d_path(root, "shapes", "seed0001")
    path.write_bytes(path.read_bytes()[:200_000] if content == "cut" else content)
    with pytest.raises(InputError, match=r"seed0001\.ply"):
        rerender(root, size=16, grid=GRID)
    assert [path.name for path in (root / "depth").iterdir()] == ["seed0000.npy"]


def test_a_cloud_of_points_is_no_shape(tmp_path):
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    header = f"ply\nformat ascii 1.0\nelement vertex 2\n{axes}end_header\n"
    (tmp_path / "cloud.ply").write_text(header + "1 2 3\n4 5 6\n")
    with pytest.raises(InputError, match=r"cloud\.ply.*no triangles"):
        read_shape(tmp_path / "cloud.ply")
    (tmp_path / "odd.ply").write_text("ply\nformat ascii 1.0\nend_header\n")
    with pytest.raises(InputError, match=r"odd\.ply"):
        read_shape(tmp_path / "odd.ply")


def test_a_camera_that_sees_nothing_is_an_error(tmp_path):
    root = copy_sample(tmp_path, "cam_poses", "shapes")
    pose = np.load(eg3d_path(root, "cam_poses", "seed0000"))
    pose[0, [0, 2, 4, 6, 8, 10]] *= -1  # turned around
    np.save(eg3d_path(root, "cam_poses", "seed0000"), pose)
    with pytest.raises(InputError, match=r"seed0000\.ply.*seed0000\.npy sees nothing"):
        rerender(root, size=16, grid=GRID)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(InputError, match=r"shapes: expected a folder, it does not exist"):
        rerender(tmp_path)
    for folder in ("shapes", "cam_poses"):
        (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match=r"shapes: expected \.ply shapes, found none"):
        rerender(tmp_path)

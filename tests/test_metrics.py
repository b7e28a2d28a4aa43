"""Scores: hand-computed cases, invariances, and what happens at the edges of their domain."""

import math

import pytest
import torch
from maps import CAMERA, SIZE, full, image
from torch import Tensor
from torch.testing import assert_close

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.metrics import (
    HIGHER_IS_BETTER,
    abs_rel,
    delta,
    depth_scores,
    mad_deg,
    normal_angles_deg,
    normals_within,
    picture_l1,
    rmse,
    side,
    to_picture,
)


def random_faces(batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """A bulge seen with errors, and a region a little smaller than the picture that differs from image to image."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    true = (2 + 0.3 * (x.square() + 0.5 * y.square())).expand(batch, 1, SIZE, SIZE)
    pred = true * (1 + 0.02 * torch.randn(batch, 1, SIZE, SIZE, generator=generator))
    region = torch.rand(batch, 1, SIZE, SIZE, generator=generator) < 0.9
    return pred, true, region


def plane(angle_deg: float) -> Tensor:
    """(1, 1, H, W) depth of a plane turned about the camera's y axis: x sin + z cos = 1."""
    angle = math.radians(angle_deg)
    ray_x = CAMERA.rays(SIZE, SIZE)[0]
    return (1 / (ray_x * math.sin(angle) + math.cos(angle)))[None, None]


def test_side_hand_computed():
    # D = 0, 0.1, 0.2, 0.3: mean(D^2) = 0.14 / 4 = 0.035, mean(D)^2 = 0.0225, the root of 0.0125 is 0.111803.
    true = image([[1.0, 2.0], [0.5, 3.0]])
    pred = true * image([[0.0, 0.1], [0.2, 0.3]]).exp()
    assert_close(side(pred, true, full(true)), torch.tensor([11.1803]), atol=1e-3, rtol=0)
    # Without the last: D = 0, 0.1, 0.2: 0.05 / 3 - 0.01 = 0.0066667, root 0.0816497.
    region = image([[1, 1], [1, 0]]).bool()
    assert_close(side(pred, true, region), torch.tensor([8.16497]), atol=1e-3, rtol=0)


def test_side_does_not_see_the_scale_but_the_shift():
    pred, true, region = random_faces()
    expected = side(pred, true, region)
    assert_close(side(7.3 * pred, true, region), expected, rtol=1e-4, atol=0)
    assert_close(side(0.01 * true, true, region), torch.zeros(3), atol=1e-4, rtol=0)
    assert (side(true + 1, true, region) > 1).all()


def test_abs_rel_rmse_delta_hand_computed():
    true = image([[1.0, 2.0], [4.0, 5.0]])
    pred = image([[1.2, 2.0], [1.0, 50.0]])
    region = image([[1, 1], [1, 0]]).bool()
    assert_close(abs_rel(pred, true, region), torch.tensor([(0.2 + 0 + 0.75) / 3]))
    assert_close(rmse(pred, true, region), torch.tensor([math.sqrt((0.04 + 0 + 9) / 3)]))
    assert_close(delta(pred, true, region, 1.25), torch.tensor([2 / 3]))
    assert_close(delta(pred, true, region, 1.1), torch.tensor([1 / 3]))


def test_delta_counts_too_near_and_too_far_alike():
    true = torch.full((1, 1, 1, 4), 2.0)
    pred = true * image([[1.2, 1 / 1.2, 1.3, 1 / 1.3]])
    assert_close(delta(pred, true, full(true), 1.25), torch.tensor([0.5]))


def test_mad_hand_computed_on_3x3():
    # Focal length 1, rays x and y in -1, 0, 1; truth: the plane z = 1. The right pixel is at depth 2, the others at 1.
    # In the middle, along x: ((2, 0, 2) - (-1, 0, 1)) / 2 = (1.5, 0, 0.5), along y: (0, 1, 0), so that the normal is
    # (0.5, 0, -1.5) / length: atan(1 / 3) = 18.4349 degrees off. In the region, a cross, only the middle has all four
    # neighbours.
    camera = Camera.from_focal(1, 3, 3)
    true = torch.ones(1, 1, 3, 3)
    pred = image([[1.0, 1, 1], [1, 1, 2], [1, 1, 1]])
    cross = image([[0, 1, 0], [1, 1, 1], [0, 1, 0]]).bool()
    angles = normal_angles_deg(pred, true, camera)
    assert_close(mad_deg(angles, cross), torch.tensor([18.4349]), atol=1e-3, rtol=0)
    assert_close(normals_within(angles, cross, 11.25), torch.tensor([0.0]))
    assert_close(normals_within(angles, cross, 20), torch.tensor([100.0]))


@pytest.mark.parametrize("angle_deg", [0.01, 5.0, -30.0, 50.0])
def test_a_plane_turned_by_an_angle_is_off_by_this_angle_everywhere(angle_deg):
    pred, true = plane(10 + angle_deg), plane(10)
    angles = normal_angles_deg(pred, true, CAMERA)
    assert_close(angles, torch.full_like(true, abs(angle_deg)), atol=2e-3, rtol=0)
    assert_close(mad_deg(angles, full(true)), torch.tensor([abs(angle_deg)]), atol=2e-3, rtol=0)
    assert_close(normal_angles_deg(3 * pred, true, CAMERA), angles, atol=2e-3, rtol=0)


def test_shares_of_normals_hand_computed():
    # In a region one pixel wider each way, the four angles in the middle count, the border of 90 degrees does not.
    angles = torch.full((1, 1, 6, 6), 90.0)
    angles[0, 0, 2:4, 2:4] = torch.tensor([[10.0, 12.0], [21.0, 40.0]])
    region = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    region[..., 1:5, 1:5] = True
    assert_close(mad_deg(angles, region), torch.tensor([83 / 4]))
    for degrees, percent in ((11.25, 25.0), (20, 50.0), (22.5, 75.0), (40, 75.0), (40.1, 100.0)):
        assert_close(normals_within(angles, region, degrees), torch.tensor([percent]))


def test_to_picture_hand_computed():
    depth = image([[1.0, 2.0], [3.0, 0.0]])
    mask = image([[1, 1], [1, 0]]).bool()
    picture = to_picture(depth, mask)
    assert_close(picture, image([[1.0, 0.0], [-1.0, -1.0]]))  # the nearest is brightest, the background is -1
    assert_close(to_picture(5 * depth + 2, mask), picture)


def test_picture_l1_hand_computed():
    pred, true = image([[1.0, 0.5], [-1.0, 0.0]]), image([[0.5, -0.5], [-1.0, 1.0]])
    assert_close(picture_l1(pred, true, full(true)), torch.tensor([2.5 / 4]))
    assert_close(picture_l1(pred, true, image([[1, 1], [1, 0]]).bool()), torch.tensor([1.5 / 3]))


def test_names_of_the_scores():
    names = list(depth_scores(*random_faces(), CAMERA))
    assert names == [
        "abs_rel", "rmse", "delta_1.05", "delta_1.1", "delta_1.25", "side_e2", "mad_deg",
        "normals_11.25_pct", "normals_20_pct", "normals_22.5_pct", "normals_25_pct", "normals_30_pct",
    ]
    assert set(names) > HIGHER_IS_BETTER - {"head_iou"}


def test_the_truth_is_perfect():
    _, true, region = random_faces()
    scores = depth_scores(true, true, region, CAMERA)
    best = {name: 100.0 if name.endswith("_pct") else float(name in HIGHER_IS_BETTER) for name in scores}
    assert_close(scores, {name: torch.full((3,), value) for name, value in best.items()}, atol=1e-4, rtol=0)


def test_a_worse_prediction_scores_worse_in_the_direction_stated():
    pred, true, region = random_faces()
    good = depth_scores(true + 0.1 * (pred - true), true, region, CAMERA)
    bad = depth_scores(true + 15 * (pred - true), true, region, CAMERA)
    for name in good:
        assert ((bad[name] < good[name]) == (name in HIGHER_IS_BETTER)).all(), name


def test_only_the_region_counts():
    pred, true, region = random_faces()
    expected = depth_scores(pred, true, region, CAMERA)
    junk = depth_scores(torch.where(region, pred, -9.0), torch.where(region, true, 0.0), region, CAMERA)
    assert_close(junk, expected)


def test_a_batch_is_a_loop():
    pred, true, region = random_faces()
    cameras = [CAMERA, CAMERA.crop(1, 2), CAMERA.resize(1.5)]
    batch = Camera(torch.stack([c.K for c in cameras]), torch.stack([c.cam2world for c in cameras]))
    scores = depth_scores(pred, true, region, batch)
    for i, camera in enumerate(cameras):
        one = depth_scores(pred[i : i + 1], true[i : i + 1], region[i : i + 1], camera)
        assert_close({name: score[i : i + 1] for name, score in scores.items()}, one)


@pytest.mark.parametrize("bad_depth", [0.0, -3.0])
def test_predicted_depth_behind_the_camera_scores_badly_but_finitely(bad_depth):
    _, true, region = random_faces()
    pred = true.clone()
    pred[..., 4:8, 4:8] = bad_depth
    scores = depth_scores(pred, true, region, CAMERA)
    for name, score in scores.items():
        assert score.isfinite().all(), name
    assert (scores["delta_1.25"] < 1).all()
    assert (scores["side_e2"] > 100).all()
    assert (scores["mad_deg"] > depth_scores(true, true, region, CAMERA)["mad_deg"] + 5).all()


def test_depth_nowhere_has_no_normal_that_is_right():
    _, true, region = random_faces()
    scores = depth_scores(torch.zeros_like(true), true, region, CAMERA)
    assert (scores["mad_deg"] == 180).all()
    assert (scores["normals_30_pct"] == 0).all()


def test_scores_of_16_bits_are_numbers():
    true = torch.full((1, 1, 320, 320), 1.5).half()
    scores = depth_scores(true, true, full(true), Camera.from_fov(20, 320, 320))
    assert (scores["delta_1.05"].item(), scores["rmse"].item()) == (1, 0)
    assert scores["mad_deg"].item() == pytest.approx(0, abs=1e-3)


def test_without_a_region_there_is_no_score():
    pred, true, region = random_faces()
    expected = depth_scores(pred, true, region, CAMERA)
    region[1] = False
    for name, score in depth_scores(pred, true, region, CAMERA).items():
        assert score[1].isnan(), name
        assert_close(score[[0, 2]], expected[name][[0, 2]])


def test_a_region_without_true_depth_is_refused():
    pred, true, region = random_faces()
    true = true.clone()
    true[0, 0, 3, 3:5] = 0
    region[0, 0, 3, 3:5] = True
    with pytest.raises(InputError, match=r"positive depth in the whole region, got 2 pixels without; .*region & mask"):
        depth_scores(pred, true, region, CAMERA)


def test_wrong_shapes_are_named():
    pred, true, region = random_faces()
    with pytest.raises(InputError, match=r"region: expected shape .* with B = 3, .* got \(1, 1, 12, 12\)"):
        depth_scores(pred, true, region[:1], CAMERA)
    with pytest.raises(InputError, match=r"region: expected shape \(B, 1, H, W\)"):
        rmse(pred, true, region[:, 0])

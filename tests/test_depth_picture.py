"""What explore draws: errors after the fit, jumps where meshes are cut, contours."""


import dataclasses
import math
import re

import pytest
import torch
from maps import as_picture

from facedepth.camera import Camera, Crop
from facedepth.depth import axis_factor
from facedepth.geometry import depth_to_mesh
from facedepth.prediction import Prediction
from facedepth.sample import Sample
from facedepth.viewer.depth_picture import DepthPicture, View
from facedepth.viewer.explorer import _depth_picture


@pytest.mark.parametrize("kind", ["relief", "affine_relief", "affine_inverse"])
def test_a_perfect_prediction_off_the_photo_s_middle_has_no_error(kind):
    """What is fitted lies along the crop's central ray, 27 degrees off the camera's axis here."""
    crop, camera = Crop(300, 100, 100), Camera.from_fov(70, 300, 400)
    y, x = torch.meshgrid(torch.arange(300.0), torch.arange(400.0), indexing="ij")
    bump = torch.exp(-(((x - 345) / 30) ** 2 + ((y - 155) / 40) ** 2))[None]
    mask = (((x - 350) / 45) ** 2 + ((y - 150) / 45) ** 2 < 1)[None]
    along_axis = 0.6 - 0.08 * bump
    values = {"relief": bump, "affine_relief": -along_axis, "affine_inverse": 1 / along_axis}[kind]
    depth = torch.where(mask, along_axis / axis_factor(camera, 300, 400, crop), 0.0)
    image = torch.zeros(3, 300, 400)
    perfect = Prediction(image, values, mask, camera, kind, crop, 100, "perfect")
    drawn = _depth_picture(perfect, Sample(image, depth, mask, mask, mask, camera, "perfect"))
    assert float(drawn._error(0.0)[drawn._compared()].max()) < 2e-4


@pytest.mark.parametrize("kind", ["relief", "affine_relief", "affine_inverse"])
def test_a_prediction_is_compared_with_a_depth_picture_as_scores_do(prediction, truth, kind):
    """What is said is linear in the picture, as ``score_batch`` fits it: then there is no error."""
    picture = as_picture(truth)
    nearer = 1 - picture.depth * picture.mask
    depth = {"affine_inverse": 1 / (1 + nearer)}.get(kind, 2 - nearer)
    drawn = DepthPicture(
        prediction.image, depth, prediction.mask, prediction.camera, truth=picture.depth, kind=kind, truth_relative=True
    )
    assert float(drawn._error(0.0)[drawn._compared()].max()) < 1e-5


def test_inverse_depth_is_fitted_no_farther_than_for_scores():
    """What a network takes for the far background would lie at infinity."""
    whole = torch.ones(1, 40, 40, dtype=torch.bool)
    truth = 1 / torch.linspace(0.25, 1, 40).expand(1, 40, 40)
    depth = truth.clone()
    depth[0, 7, 7] = 1e6
    camera = Camera.from_fov(20, 40, 40)
    drawn = DepthPicture(torch.ones(3, 40, 40), depth, whole, camera, truth=truth, kind="affine_inverse")
    assert float(drawn._aligned(0.0).max()) == pytest.approx(2 * 4)


def test_near_and_far_swapped_is_not_put_right(prediction, truth):
    swapped = Sample(truth.image, 2 * truth.depth[truth.mask].max() - truth.depth, *truth[2:])
    picture = DepthPicture(
        prediction.image, prediction.depth(), prediction.mask, prediction.camera, truth=swapped.depth
    )
    spread = float(swapped.depth[truth.mask].std())
    assert float(picture._error(0.0)[truth.mask].square().mean().sqrt()) == pytest.approx(spread, rel=1e-3)


def test_errors_are_in_the_truths_unit_whatever_the_predictions(prediction):
    bump = torch.zeros_like(prediction.depth())
    bump[0, 10:30, 10:30] = 0.01
    titles = []
    for unit in (1.0, 3.0):
        drawn = DepthPicture(
            prediction.image, prediction.depth(), prediction.mask, prediction.camera,
            truth=unit * (prediction.depth() + bump) * prediction.mask, per_unit=1000.0, unit=" mm",
        )
        titles.append(drawn._title(View(near=0, far=1, beside="error")))
    means = [float(re.match(r"error, truth's unit: mean ([\d.e-]+), bright from", title)[1]) for title in titles]
    assert 0.0005 < means[0] < 0.01
    assert means[1] == pytest.approx(3 * means[0], rel=0.1)


def test_jumps_are_those_that_the_mesh_is_cut_at():
    depth = torch.ones(1, 20, 20)
    depth[..., 10:] = 1.2
    camera = Camera.from_fov(20, 20, 20)
    whole = torch.ones(1, 20, 20, dtype=torch.bool)
    drawn = DepthPicture(torch.zeros(3, 20, 20), depth, whole, camera)
    angle = math.degrees(math.atan(0.2 / 1.1 * float(camera.K[0, 0])))
    for above, jumps, triangles in ((angle - 0.1, 40, 684), (angle + 0.1, 0, 722)):
        found = drawn._jumps(View(near=1, far=1.2, max_angle_deg=above))
        assert found.sum() == jumps
        assert len(depth_to_mesh(depth, camera, whole, max_angle_deg=above).faces) == triangles
    wide = Camera(camera.K * torch.tensor([[1.0], [2.0], [1.0]]), camera.cam2world)  # its pixels are half as high
    for turned, jumps in ((depth, 0), (depth.mT, 40)):
        drawn = DepthPicture(torch.zeros(3, 20, 20), turned, whole, wide)
        assert drawn._jumps(View(near=1, far=1.2, max_angle_deg=angle + 0.1)).sum() == jumps


def test_jumps_that_a_predictions_mesh_bridges_are_none():
    depth, whole = torch.ones(1, 20, 20), torch.ones(1, 20, 20, dtype=torch.bool)
    depth[0, 5:7, 5:7] = 1.3
    depth[0, 10:18, 10:18] = 1.3
    for hole, marked, triangles in ((0.0, 12 + 28 + 32, 722 - 12 - 60), (0.04, 28 + 32, 722 - 60)):
        drawn = DepthPicture(torch.zeros(3, 20, 20), depth, whole, Camera.from_fov(20, 20, 20), greatest_hole=hole)
        assert drawn._jumps(View(near=1, far=1.3)).sum() == marked
        mesh = depth_to_mesh(depth, drawn.camera, whole, max_angle_deg=85, greatest_hole=hole)
        assert len(mesh.faces) == triangles


def test_contours_leave_the_rim_free():
    whole = torch.ones(1, 40, 40, dtype=torch.bool)
    depth = 1 + torch.arange(40.0).expand(1, 40, 40) / 100
    drawn = DepthPicture(torch.ones(3, 40, 40), depth, whole, Camera.from_fov(20, 40, 40))
    view = View(near=1, far=1.39, colour_map="grey", max_angle_deg=89.9, contours=4)
    inked = (drawn._depth_pane(view) == drawn._depth_pane(dataclasses.replace(view, contours=0))).all(axis=2) == 0
    assert inked.all(axis=0).sum() == 4
    assert not inked[:, 0].any()


def test_a_depth_picture_that_is_its_own_truth_has_no_error_off_the_middle_either(truth):
    picture = as_picture(truth)._replace(camera=truth.camera.crop(-60, 20))
    drawn = _depth_picture(picture, picture)
    assert float(drawn._error(0.0)[drawn._compared()].max()) < 1e-5


def test_a_truth_is_a_depth_picture_by_all_of_it_not_by_the_head(prediction, truth):
    picture = as_picture(truth)
    behind = picture.depth > 0.5
    assert _depth_picture(prediction, picture._replace(head=picture.head & behind)).truth_relative

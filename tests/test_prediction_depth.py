"""The depth of a prediction: of each kind, along the crop's axis, in the right proportion."""

import numpy as np
import pytest
import torch
from maps import rand
from predictions import EDGE, HEIGHT, MIDDLE, WIDTH, prediction, true_depth, turned_focal_px
from torch import Tensor
from torch.testing import assert_close

from facedepth.camera import Camera, Crop
from facedepth.checks import InputError
from facedepth.depth import axis_factor, depth_to_relief
from facedepth.framing import CROP_WIDTH_M
from facedepth.geometry import normals_from_depth
from facedepth.prediction import Prediction
from facedepth.prediction.prediction import FACE_DEPTH_M
from facedepth.sample import Sample
from facedepth.synthetic import SyntheticFaces

# --- reliefs


@pytest.mark.parametrize("kind", ["relief", "affine_relief", "affine_inverse"])
def test_larger_values_are_nearer(kind):
    values = 0.3 * rand(1, HEIGHT, WIDTH) - 0.1
    found = prediction(values, kind, MIDDLE)
    along_axis = (found.depth() * axis_factor(found.camera, HEIGHT, WIDTH, MIDDLE))[found.mask]
    order = values[found.mask].argsort()
    assert (along_axis[order].diff() <= 1e-6).all()
    assert along_axis[order[0]] > along_axis[order[-1]] + 0.04


@pytest.mark.parametrize("crop", [MIDDLE, EDGE])
def test_the_relief_of_a_known_depth_gives_that_depth_back(crop):
    camera, depth = Camera.from_focal(70, HEIGHT, WIDTH), true_depth()
    bottom, right = min(crop.top + crop.size, HEIGHT), min(crop.left + crop.size, WIDTH)
    window = (..., slice(crop.top, bottom), slice(crop.left, right))
    # The square as the network would see it, with nothing where it reaches beyond the photo.
    square = torch.zeros(1, crop.size, crop.size)
    square[:, : bottom - crop.top, : right - crop.left] = depth[window]
    relief, z0 = depth_to_relief(square, square > 0, camera.crop(crop.left, crop.top))
    values = torch.zeros_like(depth)
    values[window] = relief[:, : bottom - crop.top, : right - crop.left]

    found = prediction(values, "relief", crop)
    true_width = z0.item() * crop.size / turned_focal_px(crop)  # of the crop, at the head's distance
    assert_close(found.depth(crop_width_m=true_width)[window], depth[window])
    proportion = found.depth()[window] / depth[window]  # at another width the same shape, scaled
    assert_close(proportion, torch.full_like(proportion, CROP_WIDTH_M / true_width))
    assert (found.depth()[~found.mask] == 0).all()


@pytest.mark.parametrize("crop", [MIDDLE, EDGE])
def test_the_relief_of_a_tilted_plane_gives_a_plane_of_that_tilt(crop):
    # In the frame of the crop's axis a: z_a = z0 (1 - r size / f), f that of a camera turned there. A plane
    # n . X = d at distance z0 on the axis.
    camera = Camera.from_focal(70, HEIGHT, WIDTH)
    normal = torch.nn.functional.normalize(torch.tensor([0.4, -0.3, -0.8]), dim=0)
    depth = -1 / torch.einsum("i,ihw->hw", normal, camera.rays(HEIGHT, WIDTH))[None]
    along_axis = depth * axis_factor(camera, HEIGHT, WIDTH, crop)
    z0 = 1.1
    found = prediction((z0 - along_axis) * turned_focal_px(crop) / (z0 * crop.size), "relief", crop)
    normals = normals_from_depth(found.depth(), camera, found.mask)
    seen = (normals != 0).any(dim=0)
    assert seen.sum() > 1000
    assert_close(normals[:, seen], normal[:, None].expand(3, int(seen.sum())), atol=1e-4, rtol=0)


# --- the affine kinds


def test_the_affine_kinds_reach_from_near_to_far():
    values = rand(1, HEIGHT, WIDTH)
    crop = Crop(15, 0, 60)  # around the principal point: z is what is measured along the axis
    for kind in ("affine_relief", "affine_inverse"):
        found = prediction(values, kind, crop)
        depth = found.depth(near_m=0.5, far_m=0.8)[found.mask]
        assert_close((depth.min().item(), depth.max().item()), (0.5, 0.8), atol=1e-3, rtol=0)


@pytest.mark.parametrize("crop", [MIDDLE, EDGE])
@pytest.mark.parametrize("kind", ["affine_relief", "affine_inverse"])
def test_the_affine_kinds_with_the_right_ends_give_the_depth_back(kind, crop):
    depth = true_depth()
    along_axis = depth * axis_factor(Camera.from_focal(70, HEIGHT, WIDTH), HEIGHT, WIDTH, crop)
    values = 5 - 3 * along_axis if kind == "affine_relief" else 7 / along_axis - 2
    found = prediction(values, kind, crop)
    seen = along_axis[found.mask]
    back = found.depth(near_m=seen.min().item(), far_m=seen.max().item())
    assert_close(back, torch.where(found.mask, depth, 0.0), atol=1e-5, rtol=0)


def test_affine_relief_is_linear_in_depth_and_affine_inverse_in_its_inverse():
    values = torch.zeros(1, 4, 4)
    values[0, :, 1], values[0, :, 2:] = 0.5, 1.0
    middle = {}
    for kind in ("affine_relief", "affine_inverse"):
        found = prediction(values, kind, Crop(0, 0, 4), focal_px=1e4)  # so narrow that z is the depth along the axis
        middle[kind] = found.depth(near_m=1, far_m=2)[0, 0, 1].item()
    assert middle == pytest.approx({"affine_relief": 1.5, "affine_inverse": 4 / 3}, abs=1e-4)


@pytest.fixture(scope="module")
def people() -> list[tuple[Sample, Tensor]]:
    """Synthetic people, and their depth along the axis with a wall 0.8 m behind them."""
    faces = SyntheticFaces(16, size=96, seed=5)
    samples = [faces[index] for index in range(len(faces))]
    along_axis = [sample.depth * axis_factor(sample.camera, 96, 96) for sample in samples]
    walls = [axis[sample.head].median() + 0.8 for sample, axis in zip(samples, along_axis, strict=True)]
    return [
        (sample, torch.where(sample.head, axis, wall))
        for sample, axis, wall in zip(samples, along_axis, walls, strict=True)
    ]


@pytest.mark.parametrize("outlined", [True, False])
@pytest.mark.parametrize("kind", ["affine_relief", "affine_inverse"])
def test_a_face_of_unknown_scale_comes_out_neither_flat_nor_stretched(people, kind, outlined):
    """Whether the network tells head from wall or not, and whatever its unit."""
    ratios = []
    for sample, along_axis in people:
        focal_px = sample.camera.K[0, 0].item()
        true_width = along_axis[sample.head].median().item() * 96 / focal_px
        values = 5 - 300 * along_axis if kind == "affine_relief" else 700 / along_axis - 2
        mask = sample.head if outlined else torch.ones_like(sample.head)
        camera = Camera.from_focal(focal_px, 96, 96)
        found = Prediction(sample.image, values, mask, camera, kind, Crop(0, 0, 96), 96, "someone")
        depth, face = found.depth(crop_width_m=true_width), sample.face
        assert (depth[mask] > 0).all()
        ratios.append((depth[face].std() / sample.depth[face].std()).item())
        assert 0.4 < ratios[-1] < 2.5
        assert abs(depth[face].median() - sample.depth[face].median()) < 0.05
    assert 0.67 < np.median(ratios) < 1.5


def test_what_lies_far_behind_a_face_of_unknown_scale_stays_within_twice_its_distance():
    values = torch.zeros(1, 60, 60)
    values[:, 10:50, 15:45] = 1 + 0.1 * rand(1, 40, 30)
    for kind in ("affine_relief", "affine_inverse"):
        found = prediction(values, kind, Crop(0, 0, 60))
        depth = found.depth()
        z0 = CROP_WIDTH_M * 70 / 60
        assert_close((depth * axis_factor(found.camera, 60, 60))[0, 0, 0].item(), 2 * z0)
        assert z0 - 2 * FACE_DEPTH_M < depth[0, 20:40, 20:40].min() < z0 < depth[0, 20:40, 20:40].max() + 0.05


# --- all kinds


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("relief", {}), ("affine_relief", {}), ("affine_inverse", {}),
        ("affine_relief", {"near_m": 0.3, "far_m": 0.5}), ("affine_inverse", {"near_m": 0.3, "far_m": 0.5}),
    ],
)
def test_z_scale_stretches_the_depth_along_the_axis_about_z0(kind, ends):
    found = prediction(-0.1 * true_depth(), kind, EDGE)
    middle = 0.4 if ends else CROP_WIDTH_M * turned_focal_px(EDGE) / EDGE.size
    factor = axis_factor(found.camera, HEIGHT, WIDTH, EDGE)
    offset, doubled = ((factor * found.depth(z_scale=scale, **ends) - middle)[found.mask] for scale in (1.0, 2.0))
    assert offset.max() - offset.min() > 0.005
    assert_close(doubled, 2 * offset, atol=1e-5, rtol=0)
    steep = found.mesh(z_scale=2.0, max_angle_deg=89.9, outline_px=0.0, **ends).vertices
    for scaled in (steep, found.points(z_scale=2.0, **ends).points):
        np.testing.assert_allclose(-scaled[:, 2], found.depth(z_scale=2.0, **ends)[found.mask], atol=1e-5)


def test_values_outside_the_mask_do_not_set_the_range():
    values = rand(1, HEIGHT, WIDTH)
    mask = rand(1, HEIGHT, WIDTH, seed=1) > 0.2
    junk = torch.where(mask, values, 1e6)
    clean, wild = (prediction(given, "affine_relief", MIDDLE, mask=mask) for given in (values, junk))
    assert_close(wild.depth(), clean.depth())


def test_ends_and_scales_that_make_no_depth_are_refused():
    relief = prediction(torch.zeros(1, HEIGHT, WIDTH), "relief", MIDDLE)
    with pytest.raises(InputError, match="near_m, far_m: a relief has its own proportions; scale it with crop_width_m"):
        relief.depth(near_m=0.5)
    affine = prediction(rand(1, HEIGHT, WIDTH), "affine_relief", MIDDLE)
    wrong = ((0.8, 0.5), (0.5, 0.5), (-1, 0.5), (0, 1), (0.5, None), (None, 0.5))
    for near_m, far_m in wrong:
        with pytest.raises(InputError, match=r"(near_m|far_m): expected (both or none|above 0)"):
            affine.depth(near_m=near_m, far_m=far_m)
    with pytest.raises(InputError, match="near_m: expected a number, got 'a'"):
        affine.depth(near_m="a", far_m=1)
    with pytest.raises(InputError, match="far_m: expected a finite number"):
        affine.depth(near_m=0.5, far_m=float("inf"))
    nobody = prediction(rand(1, HEIGHT, WIDTH), "relief", MIDDLE, mask=torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool))
    with pytest.raises(InputError, match="me: the network sees no head in this picture; is the face upright"):
        nobody.depth()
    for z_scale in (0, -1, float("nan")):
        with pytest.raises(InputError, match=r"z_scale: expected (a finite number, )?above 0, got"):
            relief.depth(z_scale=z_scale)
    with pytest.raises(InputError, match="the affine_relief reaches the camera; give a smaller"):
        affine.depth(near_m=0.1, far_m=0.5, z_scale=3)
    # 1 - r size / f: with f = 70 and 48 pixels a relief of 1.5 lies behind the camera.
    with pytest.raises(InputError, match="me: the relief reaches the camera; give a smaller horizontal_fov_deg"):
        prediction(torch.full((1, HEIGHT, WIDTH), 1.5), "relief", MIDDLE).depth()


@pytest.mark.parametrize("kind", ["affine_inverse", "affine_relief"])
def test_a_face_nearer_than_faces_are_deep_is_refused(kind):
    found = prediction(true_depth(), kind, MIDDLE)
    with pytest.raises(InputError, match=r"me: the face would be .* mm away, nearer than faces are deep"):
        found.depth(crop_width_m=0.01)


@pytest.mark.parametrize("kind", ["relief", "affine_inverse", "affine_relief"])
def test_a_network_that_says_nan_is_told_of(kind):
    values = 0.1 * true_depth()
    values[0, 30, 40] = torch.nan
    with pytest.raises(InputError, match="me: the network said NaN or infinity"):
        prediction(values, kind, MIDDLE).mesh()


def test_z_scale_tears_nothing():
    """A ramp that grows steeper to the right, torn from some place on, at the same place however it is stretched."""
    x = torch.linspace(0, 1, WIDTH).expand(1, HEIGHT, WIDTH)
    found = prediction(3 * x**6, "relief", MIDDLE)
    faces = {scale: len(found.mesh(z_scale=scale, max_angle_deg=45).faces) for scale in (0.5, 1.0, 2.0)}
    whole = len(found.mesh(max_angle_deg=89.9).faces)
    assert 0.3 * whole < faces[1.0] < 0.9 * whole
    assert faces[0.5] == pytest.approx(faces[1.0], rel=0.05)
    assert faces[2.0] == pytest.approx(faces[1.0], rel=0.05)


@pytest.mark.parametrize("z_scale", [0.01, 0.05, 3.0])
def test_a_face_off_the_middle_is_flattened_without_holes(z_scale):
    """Flattened, it is nearly a plane across the crop's axis, which the photo's own axis meets at a slant."""
    found = prediction(-0.02 * true_depth(), "relief", EDGE)
    whole = len(found.mesh(max_angle_deg=89.9).faces)
    assert len(found.mesh().faces) == whole
    assert len(found.mesh(z_scale=z_scale).faces) == whole


def test_what_lies_behind_the_camera_has_no_depth():
    """Of a square far off the middle, its corners are more than a right angle from its axis."""
    found = prediction(torch.zeros(1, HEIGHT, WIDTH), "relief", Crop(0, 0, 60), focal_px=3)
    with pytest.raises(InputError, match="me: the relief reaches the camera; give a smaller horizontal_fov_deg"):
        found.depth()


def test_what_reaches_the_camera_unless_it_is_flattened_is_whole():
    found = prediction(3 * true_depth(), "relief", MIDDLE)
    with pytest.raises(InputError, match="reaches the camera"):
        found.mesh()
    assert len(found.mesh(z_scale=0.1).faces) == 2 * 47**2

"""The guards at the public doors: which shapes and numbers pass, and what the message says of those that do not."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import facedepth as fd
from facedepth.camera import Camera, Crop
from facedepth.checks import InputError, check_number, check_shapes, check_whole
from facedepth.geometry import depth_to_mesh, smooth_depth
from facedepth.io import read_image

ASTRONAUT = Path(__file__).parents[1] / "assets" / "astronaut.png"


def test_returns_the_sizes_of_the_letters():
    image, depth = torch.zeros(2, 3, 4, 6), torch.zeros(2, 1, 4, 6)
    assert check_shapes(image=(image, "B 3 H W"), depth=(depth, "B 1 H W")) == {"B": 2, "H": 4, "W": 6}


@pytest.mark.parametrize("shape", [(1, 4, 6), (5, 1, 4, 6), (2, 5, 1, 4, 6)])
def test_dots_stand_for_any_number_of_batch_dimensions(shape):
    assert check_shapes(depth=(torch.zeros(shape), "... 1 H W")) == {"H": 4, "W": 6}


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 6), (6,), ()])
def test_dots_do_not_let_wrong_trailing_sizes_through(shape):
    with pytest.raises(InputError, match=r"depth: expected shape \(\.\.\., 1, H, W\)"):
        check_shapes(depth=(torch.zeros(shape), "... 1 H W"))


def test_without_dots_a_batch_is_refused():
    with pytest.raises(InputError, match=r"^depth: expected shape \(1, H, W\), got \(2, 1, 4, 6\)$"):
        check_shapes(depth=(torch.zeros(2, 1, 4, 6), "1 H W"))


def test_a_letter_has_one_size_and_the_message_says_which():
    with pytest.raises(InputError, match=r"^mask: expected shape \(1, H, W\) with H = 4, W = 6, got \(1, 6, 4\)$"):
        check_shapes(depth=(torch.zeros(1, 4, 6), "1 H W"), mask=(torch.zeros(1, 6, 4), "1 H W"))


def test_a_letter_that_stands_twice_must_be_square():
    assert check_shapes(K=(torch.zeros(3, 3), "N N")) == {"N": 3}
    with pytest.raises(InputError, match=r"K: expected shape \(N, N\), got \(3, 4\)"):
        check_shapes(K=(torch.zeros(3, 4), "N N"))


@pytest.mark.parametrize("value", [2, 5, np.int64(2), np.uint8(200)])
def test_whole_numbers_pass_and_so_do_numpys(value):
    found = check_whole("epochs", value, 2)
    assert found == value
    assert type(found) is int


@pytest.mark.parametrize("value", [1, -3, 2.0, 2.5, "3", True, np.True_, np.float32(3), None, np.int64(1)])
def test_what_is_not_a_whole_number_is_refused(value):
    with pytest.raises(InputError) as refused:
        check_whole("epochs", value, 2)
    assert str(refused.value) == f"epochs: expected a whole number of at least 2, got {value!r}"


def test_true_is_not_a_whole_number_even_where_one_would_do():
    with pytest.raises(InputError, match="got True"):
        check_whole("epochs", True, 1)


def test_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(1), torch.tensor(0.5), torch.ones(1)])
def test_numbers_pass_and_so_do_numpys_and_tensors_of_one(value):
    found = check_number("share", value, above=0, most=1)
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "expected above 0 and at most 1, got 0"),
        (1.5, "expected above 0 and at most 1, got 1.5"),
        (math.nan, "expected a finite number, above 0 and at most 1, got nan"),
        (math.inf, "expected a finite number, above 0 and at most 1, got inf"),
        ("0.5", "expected a number, got '0.5'"),
        (True, "expected a number, got True"),
        (None, "expected a number, got None"),
        (np.ones(2), "expected a number, got array([1., 1.])"),
    ],
)
def test_what_is_no_number_within_its_bounds_is_refused(value, said):
    with pytest.raises(InputError) as refused:
        check_number("share", value, above=0, most=1)
    assert str(refused.value) == f"share: {said}"


def test_infinity_is_refused_where_nothing_is_bounded():
    with pytest.raises(InputError, match=r"^size: expected a finite number, got -inf$"):
        check_number("size", -math.inf)


FLAT, EVERYWHERE, CAMERA = torch.ones(1, 20, 24), torch.ones(1, 20, 24, dtype=torch.bool), Camera.from_focal(60, 20, 24)
FACE = fd.Prediction(
    image=torch.zeros(3, 20, 24), values=0.01 * torch.rand(1, 20, 24), mask=EVERYWHERE, camera=CAMERA, kind="relief",
    crop=Crop(2, 0, 20), network_size=20, name="me",
)


@pytest.mark.parametrize("focal_px", [0, -60, math.nan, math.inf, "60", None])
def test_a_camera_needs_a_focal_length(focal_px):
    with pytest.raises(InputError, match="focal_px: expected "):
        Camera.from_focal(focal_px, 20, 24)


def test_a_camera_without_a_focal_length_makes_no_mesh():
    with pytest.raises(InputError, match=r"camera\.K: focal length: expected above 0, got 0"):
        depth_to_mesh(FLAT, Camera(torch.zeros(3, 3), torch.eye(4)), EVERYWHERE)


@pytest.mark.parametrize(
    "option",
    [
        {"max_angle_deg": 95}, {"max_angle_deg": 90}, {"max_angle_deg": 0}, {"outline_px": -1}, {"outline_px": 200},
        {"outline_px": math.nan}, {"greatest_hole": -0.1}, {"max_triangles": 1.5}, {"max_triangles": "many"},
    ],
)
def test_numbers_that_make_no_mesh(option):
    with pytest.raises(InputError, match=f"^{next(iter(option))}: expected "):
        depth_to_mesh(FLAT, CAMERA, EVERYWHERE, **option)


@pytest.mark.parametrize(
    "option",
    [
        {"cut_m": 0}, {"cut_m": -0.1}, {"cut_m": math.nan}, {"smooth_px": -1}, {"smooth_px": 1000}, {"outline_px": -1},
        {"outline_px": 200}, {"max_angle_deg": 95}, {"z_scale": "2"}, {"crop_width_m": math.inf},
    ],
)
def test_numbers_that_make_no_mesh_of_a_prediction(option):
    with pytest.raises(InputError, match=f"^{next(iter(option))}: expected "):
        FACE.mesh(**option)


@pytest.mark.parametrize("option", [{"sigma_px": -1}, {"sigma_px": math.nan}, {"sigma_relative": 0}])
def test_numbers_that_smooth_nothing(option):
    with pytest.raises(InputError, match=f"^{next(iter(option))}: expected "):
        smooth_depth(FLAT, EVERYWHERE, **option)


def test_a_crop_far_larger_than_the_photo_is_refused_before_it_fills_the_memory():
    network = fd.create_model("attention_unet", channels=2, depth=2)
    for crop in ((0, 0, 1_000_000), (0.1, 0.1, 0.8)):
        with pytest.raises(InputError, match=r"in pixels, with a size from 16 to 160, got \(0"):
            fd.predict(network, torch.zeros(3, 30, 40), crop=crop)


@pytest.mark.parametrize("subject", ["face.glb", [FACE], None])
def test_what_is_no_face_is_not_shown(subject, tmp_path):
    for door in (fd.show_mesh, fd.explore, lambda it: fd.turntable(it, tmp_path / "face.gif", size=16)):
        with pytest.raises(InputError, match=r"expected a (prediction|Mesh)"):
            door(subject)


def test_predictions_and_meshes_are_equal_only_to_themselves():
    copy = dataclasses.replace(FACE, values=FACE.values.clone())
    assert [FACE, copy].index(copy) == 1
    assert FACE.mesh() != FACE.mesh()
    assert FACE.points() != FACE.points()


@pytest.mark.parametrize("option", [{"channels": "four"}, {"channels": 2.5}, {"depth": None}, {"depth": True}])
def test_options_of_a_network_that_are_no_whole_numbers(option):
    with pytest.raises(InputError, match=f"^{next(iter(option))}: expected a whole number of at least 1, got "):
        fd.create_model("attention_unet", **option)


def test_options_of_a_network_may_be_numpys(tmp_path):
    network = fd.create_model("attention_unet", channels=np.int64(2), depth=2)
    assert fd.load_model(fd.save_model(network, tmp_path / "face.safetensors")).options["channels"] == 2


def test_warnings_are_about_the_users_line(affine_faces, tiny_model, tmp_path):
    """However deep in the library they are found."""
    with pytest.warns(UserWarning, match="val: 1 of 4 samples") as told:
        _, val = fd.split(affine_faces, val=0.01)
    with pytest.warns(UserWarning, match="the face's square is 30 pixels wide") as seen:
        fd.predict(tiny_model(), torch.nn.functional.avg_pool2d(read_image(ASTRONAUT), 6))
    config = fd.TrainConfig(out=str(tmp_path), epochs=1, batch_size=2, workers=0, device="cpu")
    with pytest.warns(UserWarning, match="val: 1 of its people are in train too") as trained:
        fd.fit(tiny_model(), affine_faces, val, config)
    assert {warning.filename for warning in [*told, *seen, *trained]} == {__file__}

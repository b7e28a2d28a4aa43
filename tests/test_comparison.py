"""Models side by side: one scale for all, scores in the titles, the truth beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pretend_card import CARD, PretendCard
from torch.testing import assert_close
from torch.utils.data import default_collate

from facedepth.batches import to_device
from facedepth.checks import InputError
from facedepth.data import EG3DFaces, Part
from facedepth.depth import depth_to_relief
from facedepth.evaluation import evaluate
from facedepth.evaluation.comparison import Scored, compare, picture_rows
from facedepth.evaluation.scoring import score_batch
from facedepth.figures import sample_row
from facedepth.io import image_to_uint8
from facedepth.models import load_model
from facedepth.prediction import predict
from facedepth.sample import Sample


def pictures(figure) -> dict[str, np.ndarray]:
    return {axis.get_title(): np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images}


@pytest.fixture(scope="module")
def two(tiny_model):
    return [tiny_model(kind="relief", input_size=64), tiny_model(seed=1, kind="affine_inverse", input_size=32)]


def test_each_has_depth_error_and_normals_beside_the_truth(exact_faces, two):
    figure = compare(two, exact_faces[0])
    shown = pictures(figure)
    assert len(shown) == 9
    assert [title.split("\n")[0] for title in shown] == [
        "truth", "attention_unet 1", "attention_unet 2",
        "seed0000", "error of attention_unet 1", "error of attention_unet 2",
        "true normals", "normals of attention_unet 1", "normals of attention_unet 2",
    ]
    assert "error on the head: dark is 0" in figure.get_supxlabel()


@pytest.mark.parametrize("name", ["truth", "prediction", "normals", "depth"])
def test_a_photo_may_be_called_as_the_maps_are(exact_faces, name):
    sample = exact_faces[0]._replace(name=name)
    photo = image_to_uint8(sample.image)
    (row,) = picture_rows([Scored(sample, sample.depth, sample.mask)], "metric")
    for pictures in (row, sample_row(sample, "metric")):
        assert len(pictures) == (6 if pictures is row else 3)
        assert (next(iter(pictures.values())) == photo).all()


def test_the_title_says_the_score_of_evaluate():
    model = load_model("attention_unet", device="cpu")  # one that a mirrored picture makes say something else
    faces = EG3DFaces(Path(__file__).parents[1] / "data" / "sample", size=model.input_size)
    score = evaluate(model, Part(faces, [3])).scores[0]
    title = list(pictures(compare({"mine": model}, faces[3])))[1]
    assert title == f"mine\nrmse {score['rmse']:.3g}, normals {score['mad_deg']:.3g}°"


def test_errors_are_on_one_scale(exact_faces, two):
    """Beside a much worse one, a prediction's error is darker than alone."""
    sample = exact_faces[0]
    good = predict(two[0], sample.image, crop="none", horizontal_fov_deg=sample.camera.horizontal_fov_deg(64))
    truth = torch.where(sample.mask, -sample.depth, -sample.depth.max())
    ripple = 0.001 * torch.sin(torch.arange(64.0) * 2)
    good = good.__class__(**vars(good) | {"values": truth + ripple, "kind": "affine_relief"})
    bad = good.__class__(**vars(good) | {"values": truth + 100 * ripple})
    alone = pictures(compare({"good": good}, sample))["error of good"]
    both = pictures(compare({"good": good, "bad": bad}, sample))
    seen = sample.face[0].numpy()
    brightness = [picture[seen].astype(int).sum(axis=1).mean() for picture in (alone, both["error of good"])]
    assert brightness[1] < 0.3 * brightness[0]
    assert both["error of bad"][seen].mean() > 5 * both["error of good"][seen].mean()


@pytest.mark.parametrize("size", [(64, 40), (40, 64)], ids=["portrait", "landscape"])
def test_a_relief_of_a_picture_that_is_not_square_is_in_widths_of_the_square_that_holds_it(exact_faces, size):
    """The truth as a relief, taken on the square with margins, scores as the truth without any alignment."""
    whole = exact_faces[0]
    top, left = ((64 - side) // 2 for side in size)
    window = (..., slice(top, top + size[0]), slice(left, left + size[1]))
    image, depth, mask, head, face = (values[window] for values in whole[:5])
    sample = Sample(image, depth, mask, head, face, whole.camera.crop(left, top), "cut")
    seen = torch.zeros_like(whole.mask)
    seen[window] = True
    relief, _ = depth_to_relief(whole.depth, whole.head & whole.mask & seen, whole.camera)
    batch = default_collate([sample])
    aligned, scores = score_batch(relief[window][None], "relief", batch, "metric", region="mask", align="none")
    assert float(scores["rmse"]) < 1e-5
    assert_close(aligned[batch.mask], batch.depth[batch.mask])


def test_the_field_of_view_of_a_portrait_is_that_of_the_square(exact_faces, two, monkeypatch):
    told = []

    def listening(*args, **options):
        told.append(options["horizontal_fov_deg"])
        return predict(*args, **options)

    monkeypatch.setattr("facedepth.evaluation.comparison.predict", listening)
    whole = exact_faces[0]
    portrait = Sample(*(values[..., 12:52] for values in whole[:5]), whole.camera.crop(12, 0), "portrait")
    compare({"mine": two[0]}, portrait)
    assert told == [pytest.approx(whole.camera.horizontal_fov_deg(64))]


def test_a_sample_on_a_card_is_compared_too(exact_faces, two):
    predicted = predict(two[0], exact_faces[0].image, crop="none", horizontal_fov_deg=20)
    with PretendCard():
        figure = compare([predicted], to_device(exact_faces[0], CARD))
    assert len(pictures(figure)) == 6


def test_what_is_farther_than_infinity_is_drawn_farthest(exact_faces, two):
    sample = exact_faces[0]
    sample = sample._replace(mask=torch.ones_like(sample.mask), depth=torch.where(sample.mask, sample.depth, 3.0))
    inverse = torch.where(sample.head, 1 / sample.depth, -1.0)
    said = predict(two[0], sample.image, crop="none", horizontal_fov_deg=20)
    said = said.__class__(**vars(said) | {"values": inverse, "kind": "affine_inverse"})
    drawn = list(pictures(compare([said], sample)).values())[1]
    behind = drawn[~sample.head[0].numpy()]
    assert (behind == behind[0]).all()
    assert int(behind[0][2]) > int(behind[0][0])  # the cold end of the colours


def test_what_reaches_behind_the_camera_is_left_blank(exact_faces, two):
    sample = exact_faces[0]
    said = predict(two[0], sample.image, crop="none", horizontal_fov_deg=20)
    values = torch.where(sample.mask, -sample.depth, 0.0)
    values[:, :5, :5] = 100.0
    said = said.__class__(**vars(said) | {"values": values, "kind": "affine_relief"})
    sample = sample._replace(mask=torch.ones_like(sample.mask), depth=torch.where(sample.mask, sample.depth, 3.0))
    shown = list(pictures(compare([said], sample)).values())
    for drawn in (shown[1], shown[5]):  # depth and normals
        assert (drawn[:4, :4] == drawn[0, 0]).all()
        assert drawn[0, 0].min() > 220


def test_affine_data_have_no_normals(affine_faces, tiny_model):
    shown = pictures(compare([tiny_model()], affine_faces[0], depth_kind="affine", region="mask"))
    assert len(shown) == 4
    assert "picture_l1" in list(shown)[1]


def test_what_cannot_be_compared_is_refused_in_words(exact_faces, two):
    sample = exact_faces[0]
    with pytest.raises(InputError, match="expected at least one model"):
        compare([], sample)
    with pytest.raises(InputError, match="no valid depth pixel"):
        compare(two, sample._replace(mask=torch.zeros_like(sample.mask)))
    elsewhere = predict(two[0], sample.image, crop=(8, 8, 40))
    with pytest.raises(InputError, match=r"prediction: expected a prediction of the whole picture 'seed0000'"):
        compare([elsewhere], sample)


def test_depth_of_another_kind_than_said_is_refused(exact_faces, affine_faces, two, tiny_model):
    with pytest.raises(InputError, match="its depth goes from 0 to 1"):
        compare(two, affine_faces[0])
    with pytest.raises(InputError, match=r"depth: expected 0 nearest to 1 farthest, .* got up to 2\.7"):
        compare([tiny_model()], exact_faces[0], depth_kind="affine")


def test_what_is_no_list_no_sample_and_no_network_is_refused_in_words(exact_faces, two):
    with pytest.raises(InputError, match=r"models: expected a list or a mapping of them, .* write \[model\]"):
        compare(two[0], exact_faces[0])
    with pytest.raises(InputError, match=r"sample: expected one of a data set, .* got EG3DFaces"):
        compare(two, exact_faces)
    with pytest.raises(InputError, match="depth_kind: expected one of metric, affine, got 'Metric'"):
        compare(two, exact_faces[0], depth_kind="Metric")
    with pytest.raises(InputError, match=r"model: expected a network, .* got 'face_small'"):
        compare(["face_small"], exact_faces[0])


def test_a_sample_without_a_face_or_a_prediction_that_is_not_finite_is_a_picture(exact_faces, two):
    sample = exact_faces[0]
    assert len(pictures(compare(two[:1], sample._replace(face=torch.zeros_like(sample.face))))) == 6
    broken = predict(two[0], sample.image, crop="none")
    broken = broken.__class__(**vars(broken) | {"values": torch.full((1, 64, 64), torch.nan)})
    assert len(pictures(compare([broken], sample))) == 6

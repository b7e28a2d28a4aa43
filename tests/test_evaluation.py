"""Evaluation: the truth scores perfectly, alignment forgives scale and shift and nothing else."""

import itertools
import math
import warnings

import pytest
import torch
from oracles import KINDS, Listed, oracle

from facedepth.checks import InputError
from facedepth.evaluation import evaluate
from facedepth.metrics import HIGHER_IS_BETTER
from facedepth.sample import Sample


@pytest.mark.parametrize(("kind", "align"), [("relief", "none"), *((kind, "scale_shift") for kind in KINDS)])
@pytest.mark.parametrize("region", ["face", "head", "mask"])
def test_the_truth_scores_perfectly(faces, kind, align, region):
    means = evaluate(oracle(faces, kind), faces, region=region, align=align).means
    assert means["abs_rel"] < 1e-5
    assert means["rmse"] < 1e-5
    assert means["side_e2"] < 1e-3
    assert means["mad_deg"] < 0.5  # float32 depth at 2.7: the last digit turns a normal by a little
    for name in HIGHER_IS_BETTER - {"head_iou"}:  # the oracle says nothing of heads
        assert means[name] == pytest.approx(100 if name.endswith("pct") else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_alignment_forgives_scale_and_shift(faces, kind):
    plain = evaluate(oracle(faces, kind, noise=0.2), faces).means
    moved = evaluate(oracle(faces, kind, noise=0.2, scale=7, shift=-3), faces).means
    assert plain["rmse"] > 1e-3
    assert moved == pytest.approx(plain, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_alignment_does_not_forgive_near_for_far(faces, kind):
    """A network with near and far swapped is no better than one that says the same of every pixel."""
    right = evaluate(oracle(faces, kind), faces).means
    swapped = evaluate(oracle(faces, kind, scale=-1), faces).means
    flat = evaluate(oracle(faces, kind, scale=0), faces).means
    assert swapped["rmse"] > 100 * right["rmse"]
    assert swapped["rmse"] == pytest.approx(flat["rmse"], rel=1e-3)
    assert swapped["mad_deg"] > 20
    assert [means["flat"] for means in (right, swapped, flat)] == [0, 1, 1]


def test_what_lies_farther_never_scores_better(faces):
    """One pixel of the face, said to be farther and farther, up to infinity and beyond."""
    model = oracle(faces, "affine_inverse")
    pixel = (slice(None), slice(None), *(int(place) for place in faces[0].face[0].nonzero()[200]))
    right = model.answers[pixel].clone()
    scores = []
    for share in (1, 0.8, 0.5, 0.1, 0, -0.3):
        model.answers[pixel] = share * right
        scores.append(evaluate(model, Listed([faces[0]], "metric")).means)
    for name, slack in (("rmse", 1e-4), ("abs_rel", 1e-4), ("side_e2", 0.1)):
        assert all(later[name] > earlier[name] - slack for earlier, later in itertools.pairwise(scores)), name
    assert scores[-1]["rmse"] < 2 * scores[2]["rmse"]


def test_relief_without_alignment_has_a_scale(faces):
    right, half = (evaluate(oracle(faces, "relief", scale=s), faces, align="none").means for s in (1, 0.5))
    assert half["rmse"] > 1000 * right["rmse"]
    assert "flat" not in half  # nothing was fitted
    assert evaluate(oracle(faces, "relief", scale=0.5), faces).means["rmse"] < 1e-5


def test_a_region_that_is_all_of_the_pictures_is_doubted(faces):
    """As where a folder of one's own has no masks of the head."""
    everything = Listed([sample._replace(face=torch.ones_like(sample.face)) for sample in faces], "metric")
    with pytest.warns(UserWarning, match="100% of the pictures' pixels count as face.*masks="):
        evaluate(oracle(everything, "relief"), everything)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(oracle(everything, "relief"), everything, region="head")
        evaluate(oracle(everything, "relief"), everything, region="mask")


@pytest.mark.parametrize("region", ["face", "head"])
def test_only_the_region_counts(faces, region):
    model = oracle(faces, "relief")
    outside = torch.stack([~getattr(sample, region) for sample in faces])
    model.answers = torch.where(outside, 0.3, model.answers)
    assert evaluate(model, faces, region=region).means["abs_rel"] < 1e-5


def test_face_is_scored_apart_from_the_head(faces):
    """An error in the face weighs more among the face's pixels than among the head's: by hand."""
    model, shares = oracle(faces, "relief"), []
    for sample, answer in zip(faces, model.answers, strict=True):
        answer += 0.01 * sample.face  # a constant relief error is a constant error along the axis
        shares.append(sample.face.sum() / sample.head.sum())
    by_region = {name: evaluate(model, faces, region=name, align="none").scores for name in ("face", "head")}
    for face, head, share in zip(by_region["face"], by_region["head"], shares, strict=True):
        assert head["abs_rel"] == pytest.approx(face["abs_rel"] * float(share), rel=0.02)


def test_affine_data_give_the_original_s_l1(affine_faces):
    """Everywhere 0.25 where the picture is 1 - 2 depth: by hand, over all pixels, without alignment."""
    samples = Listed([affine_faces[index] for index in range(4)], "affine")
    model = oracle(samples, "affine_relief", scale=0, shift=0.25)
    report = evaluate(model, samples, region="mask", align="none")
    by_hand = [float((0.25 - (1 - 2 * sample.depth)).abs().mean()) for sample in samples]
    assert [row["picture_l1"] for row in report.scores] == pytest.approx(by_hand)
    assert report.means == {"picture_l1": pytest.approx(sum(by_hand) / 4)}
    assert [row["name"] for row in report.scores] == affine_faces.names


@pytest.mark.parametrize("kind", ["affine_relief", "relief"])
def test_affine_data_may_be_aligned_but_near_stays_near(affine_faces, kind):
    samples = Listed([affine_faces[index] for index in range(4)], "affine")
    assert evaluate(oracle(samples, kind, scale=3, shift=1), samples).means["picture_l1"] < 1e-5
    assert evaluate(oracle(samples, kind, scale=-3, shift=1), samples).means["picture_l1"] > 0.2


def test_affine_relief_on_exact_depth_also_gets_the_original_s_score(faces):
    means = evaluate(oracle(faces, "affine_relief", scale=2), faces, region="mask").means
    assert means["picture_l1"] < 1e-4
    assert "picture_l1" not in evaluate(oracle(faces, "relief"), faces).means


def test_of_pictures_that_are_not_square_the_square_in_the_middle_is_scored(faces):
    """The network knows the middle of each picture: it would not recognise the picture squashed."""
    wide = [
        Sample(
            *(torch.nn.functional.pad(values, (8, 8)) for values in sample[:5]), sample.camera.crop(-8, 0), sample.name
        ) for sample in faces
    ]
    report, square = (evaluate(oracle(faces, "relief"), data) for data in (Listed(wide, "metric"), faces))
    for row, expected in zip(report.scores, square.scores, strict=True):
        assert row == pytest.approx(expected, abs=1e-6)


def test_what_cannot_be_scored_is_refused(faces, affine_faces):
    with pytest.raises(InputError, match="a model of kind 'affine_inverse' knows no scale"):
        evaluate(oracle(faces, "affine_inverse"), faces, align="none")
    affine = Listed([affine_faces[0]], "affine")
    with pytest.raises(InputError, match=r"a model of kind 'relief' makes no picture in \[-1, 1\]"):
        evaluate(oracle(affine, "relief"), affine, align="none")
    with pytest.raises(InputError, match="depth_kind: expected one of metric, affine, got 'relative'"):
        evaluate(oracle(faces, "relief"), Listed(faces, "relative"))
    with pytest.raises(InputError, match="region: one of face, head, mask, got 'nose'"):
        evaluate(oracle(faces, "relief"), faces, region="nose")
    with pytest.raises(InputError, match="align: one of scale_shift, none, got 'median'"):
        evaluate(oracle(faces, "relief"), faces, align="median")
    with pytest.raises(InputError, match="expected at least one sample, got none"):
        evaluate(oracle(faces, "relief"), Listed([], "metric"))


def test_arguments_of_the_wrong_type_are_named(faces):
    with pytest.raises(InputError, match=r"model: expected a network, .* got 'face_small'"):
        evaluate("face_small", faces)
    for name, value in (("batch_size", 0), ("shown", -1), ("extremes", 2.5), ("workers", -1)):
        with pytest.raises(InputError, match=rf"{name}: expected a whole number of at least [01], got {value}"):
            evaluate(oracle(faces, "relief"), faces, **{name: value})


def test_batches_and_workers_change_no_score(exact_faces, tiny_model):
    model = tiny_model(kind="relief", head_mask=True).train()
    ways = ((4, 0), (1, 0), (3, 1))
    reports = [evaluate(model, exact_faces, batch_size=size, workers=workers) for size, workers in ways]
    assert model.training
    for report in reports[1:]:
        for row, first in zip(report.scores, reports[0].scores, strict=True):
            assert row.pop("name") == first["name"]
            assert row == pytest.approx({name: first[name] for name in row}, rel=1e-4)


def test_a_network_in_training_stays_so_when_data_fail(exact_faces, tiny_model):
    model = tiny_model(kind="relief").train()
    with pytest.raises(InputError, match="got NoneType"):
        evaluate(model, Listed([exact_faces[0], None], "metric"), batch_size=1)
    assert model.training


def test_evaluation_uses_running_statistics(exact_faces, tiny_model):
    """A model in training mode would be scored on the statistics of its batch, and change them."""
    model = tiny_model(kind="relief").train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    evaluate(model, exact_faces)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_picture_without_a_face_has_no_score_and_spoils_no_mean(faces):
    samples = Listed([faces[0], faces[1]._replace(face=torch.zeros_like(faces[1].face))], "metric")
    report = evaluate(oracle(samples, "relief", noise=0.1), samples)
    assert math.isnan(report.scores[1]["abs_rel"])
    assert [*report.best, *report.worst] == [0]
    assert report.means["abs_rel"] == pytest.approx(report.scores[0]["abs_rel"])


def test_a_face_of_two_pixels_has_no_score_after_the_fit_of_two_numbers(faces):
    two = faces[1].face & (faces[1].face.flatten().cumsum(0) <= 2).view_as(faces[1].face)
    samples = Listed([faces[0], faces[1]._replace(face=two)], "metric")
    assert math.isnan(evaluate(oracle(samples, "relief", noise=0.1), samples).scores[1]["rmse"])
    assert evaluate(oracle(samples, "relief", noise=0.1), samples, align="none").scores[1]["rmse"] > 0


def test_an_answer_that_is_no_number_is_refused_by_name(faces):
    model = oracle(faces, "relief")
    model.answers[2, 0, 3, 3] = torch.nan
    with pytest.raises(InputError, match=f"oracle: its output for '{faces[2].name}' is NaN or infinite"):
        evaluate(model, faces)

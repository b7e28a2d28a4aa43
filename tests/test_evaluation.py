"""Evaluation: the truth scores perfectly, alignment forgives scale and shift and nothing else, the report is whole."""

import csv
import itertools
import json
import math
import re
import warnings

import pytest
import torch
from PIL import Image
from torch import Tensor

from facedepth.checks import InputError
from facedepth.data import Part
from facedepth.depth import axis_factor, depth_to_relief, invert_depth
from facedepth.evaluation import evaluate, score_table
from facedepth.metrics import HIGHER_IS_BETTER
from facedepth.models import DepthNetwork
from facedepth.sample import Sample

KINDS = ("relief", "affine_relief", "affine_inverse")


class Oracle(DepthNetwork):
    """A network that knows the answer to each picture of a data set, and recognises them."""

    def __init__(self, kind: str, images: Tensor, answers: Tensor) -> None:
        super().__init__(kind=kind, input_size=images.shape[-1], mean=(0, 0, 0), std=(1, 1, 1))
        self.name, self.images, self.answers = "oracle", images, answers

    def predict_normalised(self, image: Tensor) -> Tensor:
        distance = (image[:, None] - self.images).abs().flatten(2).sum(dim=2)  # (B, N)
        return self.answers[distance.argmin(dim=1)]


class Listed(list):
    """Samples in memory."""

    def __init__(self, samples, depth_kind: str) -> None:
        super().__init__(samples)
        self.depth_kind = depth_kind


def truth(sample, depth_kind: str, kind: str) -> Tensor:
    if depth_kind == "affine":
        return 1 - 2 * sample.depth
    along_axis = sample.depth * axis_factor(sample.camera, *sample.depth.shape[-2:])
    if kind == "relief":
        return depth_to_relief(sample.depth, sample.head & sample.mask, sample.camera)[0]
    return invert_depth(along_axis) if kind == "affine_inverse" else torch.where(sample.mask, -along_axis, 0.0)


def oracle(dataset, kind: str, *, scale: float = 1.0, shift: float = 0.0, noise: float = 0.0) -> Oracle:
    """The truth of a data set, scaled and shifted, with noise (of the truth's own spread) on top."""
    answers = torch.stack([truth(sample, dataset.depth_kind, kind) for sample in dataset])
    spread = torch.stack([answer[sample.mask].std() for answer, sample in zip(answers, dataset, strict=True)])
    added = noise * torch.randn(answers.shape, generator=torch.Generator().manual_seed(0))
    answers = answers + added * spread[:, None, None, None]
    return Oracle(kind, torch.stack([sample.image for sample in dataset]), scale * answers + shift)


@pytest.fixture(scope="module")
def faces(exact_faces) -> Listed:
    """Exact faces cut out off their picture's centre, so that the crop's axis matters; the face is a part of the
    head, the head a part of what has depth."""
    samples = []
    for index in range(4):
        image, depth, mask, *_ = (values[..., 4:52, 14:62] for values in exact_faces[index][:5])
        rows, columns = torch.arange(48)[:, None], torch.arange(48)
        head = mask & (rows < 40)
        face = head & (rows < 32) & (columns < 26)
        camera = exact_faces[index].camera.crop(14, 4)
        samples.append(Sample(image, depth, mask, head, face, camera, exact_faces.names[index]))
    return Listed(samples, "metric")


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
def test_affine_data_aligned(affine_faces, kind):
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


def test_impossible_comparisons(faces, affine_faces):
    with pytest.raises(InputError, match="a model of kind 'affine_inverse' knows no scale"):
        evaluate(oracle(faces, "affine_inverse"), faces, align="none")
    affine = Listed([affine_faces[0]], "affine")
    with pytest.raises(InputError, match=r"a model of kind 'relief' makes no picture in \[-1, 1\]"):
        evaluate(oracle(affine, "relief"), affine, align="none")
    with pytest.raises(InputError, match="region: one of face, head, mask, got 'nose'"):
        evaluate(oracle(faces, "relief"), faces, region="nose")
    with pytest.raises(InputError, match="align: one of scale_shift, none, got 'median'"):
        evaluate(oracle(faces, "relief"), faces, align="median")
    with pytest.raises(InputError, match="expected at least one sample, got none"):
        evaluate(oracle(faces, "relief"), Listed([], "metric"))
    with pytest.raises(InputError, match="workers: expected a whole number of at least 0, got -1"):
        evaluate(oracle(faces, "relief"), faces, workers=-1)


def test_arguments_of_the_wrong_type_are_named(faces):
    with pytest.raises(InputError, match=r"model: expected a network, .* got 'face_small'"):
        evaluate("face_small", faces)
    for name, value in (("batch_size", 0), ("shown", -1), ("extremes", 2.5)):
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
    assert report.scores[1]["abs_rel"] != report.scores[1]["abs_rel"]  # NaN
    assert [*report.best, *report.worst] == [0]
    assert report.means["abs_rel"] == pytest.approx(report.scores[0]["abs_rel"])


def test_an_unknown_depth_kind_is_refused(faces):
    with pytest.raises(InputError, match="depth_kind: expected one of metric, affine, got 'relative'"):
        evaluate(oracle(faces, "relief"), Listed(faces, "relative"))


def test_the_report_says_which_region_was_scored(faces):
    assert evaluate(oracle(faces, "relief"), faces).settings["region"] == "face"
    heads = Listed([sample._replace(face=sample.head) for sample in faces], "metric")
    assert evaluate(oracle(heads, "relief"), heads).settings["region"] == "head"


def test_a_data_set_without_a_name_of_its_own_is_named_by_its_class(faces):
    samples = Listed([faces[0]], "metric")
    assert evaluate(oracle(samples, "relief"), samples).settings["data"] == "Listed"


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


@pytest.fixture(scope="module")
def report(exact_faces):
    faces = Part(exact_faces, [2, 0, 1])
    return evaluate(oracle(faces, "relief", noise=0.3), faces, shown=2)


def test_a_data_set_without_a_face_is_a_report_without_numbers(faces, tmp_path):
    samples = Listed([faces[1]._replace(face=torch.zeros_like(faces[1].face))], "metric")
    report = evaluate(oracle(samples, "relief"), samples)
    assert report.means["rmse"] != report.means["rmse"]
    assert "no picture has this score" in report.page()
    report.save(tmp_path)
    assert "NaN" not in (tmp_path / "summary.json").read_text()  # which is no JSON


@pytest.mark.parametrize("batch_size", [1, 3])
def test_pictures_of_the_best_and_the_worst_are_kept(exact_faces, batch_size):
    """A network that is right but for one picture, where it is a little wrong, and one, where it is very wrong."""
    model = oracle(exact_faces, "relief", noise=0.02)
    model.answers[1] += 0.02 * torch.randn(model.answers[1].shape, generator=torch.Generator().manual_seed(1))
    model.answers[3] += 0.10 * torch.randn(model.answers[3].shape, generator=torch.Generator().manual_seed(2))
    report = evaluate(model, exact_faces, batch_size=batch_size)
    rmse = [row["rmse"] for row in report.scores]
    assert list(report.worst) == [3, 1]
    assert list(report.best) == sorted((0, 2), key=rmse.__getitem__)
    for place, pictures in (report.best | report.worst).items():
        assert next(iter(pictures)) == report.scores[place]["name"]
    titles = {list(pictures)[3] for pictures in [*report.best.values(), *report.worst.values(), *report.pictures]}
    assert len(titles) == 1  # errors on one scale: those of the best are dark beside those of the worst
    (title,) = titles
    brightness = {place: pictures[title][exact_faces[place].face[0].numpy()].mean()
                  for place, pictures in (report.best | report.worst).items()}
    assert max(brightness[0], brightness[2]) < brightness[1] < brightness[3]
    assert (report.worst[3][title][~exact_faces[3].face[0].numpy()] == 245).all()  # not scored there, not shown
    few = evaluate(model, exact_faces, batch_size=batch_size, extremes=1)
    assert (list(few.worst), list(few.best)) == ([3], [min(range(4), key=rmse.__getitem__)])
    none = evaluate(model, exact_faces, extremes=0, shown=1)
    assert (none.worst, none.best) == ({}, {})


def test_text_of_a_report(report):
    lines = str(report).splitlines()
    assert lines[0] == "oracle on 3 pictures, head, align=scale_shift"  # these data know no faces
    assert len(lines) == 1 + len(report.means)
    by_name = {line.split()[0]: line for line in lines[1:]}
    assert f"{report.means['rmse']:.4g}" in by_name["rmse"]
    assert "lower is better: root of the mean squared error" in by_name["rmse"]
    assert by_name["delta_1.25"].endswith("higher is better: share of pixels whose depth is within a factor of 1.25")
    assert not any(line.endswith(": ") for line in lines)  # every score is explained


def test_means_are_those_of_the_pictures(report):
    assert report.means["rmse"] == pytest.approx(sum(row["rmse"] for row in report.scores) / 3)


def test_pictures_of_a_report(report, exact_faces):
    assert len(report.pictures) == 2  # evenly spread: the first and the last
    assert [next(iter(row)) for row in report.pictures] == ["seed0002", "seed0001"]
    for row in report.pictures:
        assert [title.split(",")[0] for title in row][1:] == [
            "truth", "prediction", "error", "true normals", "normals"
        ]
        assert all(picture.shape == (64, 64, 3) and picture.dtype.name == "uint8" for picture in row.values())
    first = list(report.pictures[0].values())
    assert abs(first[0] / 255 - exact_faces[2].image.permute(1, 2, 0).numpy()).max() < 0.003


def test_a_report_is_saved_whole(report, tmp_path):
    written = report.save(tmp_path / "new" / "scores")
    assert [path.name for path in written] == [
        "metrics.csv", "summary.json", "summary.txt", "report.html", "pictures.png"
    ]
    assert sorted((tmp_path / "new" / "scores").iterdir()) == sorted(written)
    with open(written[0], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["seed0002", "seed0000", "seed0001"]
    assert float(rows[1]["mad_deg"]) == pytest.approx(report.scores[1]["mad_deg"])
    summary = json.loads(written[1].read_text())
    assert summary["means"] == pytest.approx(report.means)
    assert summary["pictures"] == 3
    expected = {"model": "oracle", "kind": "relief", "depth_kind": "metric", "region": "head"}
    expected["weights"] = "not from a file"
    assert expected.items() <= summary["settings"].items()
    assert {"facedepth", "torch", "python", "align", "input_size", "date"} <= summary["settings"].keys()
    data = r"3 of the 4 samples of EG3DFaces\('.+', size=64, depth_kind='metric'\)"
    assert re.fullmatch(data, summary["settings"]["data"])
    assert written[2].read_text() == f"{report}\n"
    assert written[3].read_text() == report.page()
    assert Image.open(written[4]).size[0] > 500


def test_a_report_is_not_overwritten_unasked(report, tmp_path):
    (tmp_path / "metrics.csv").write_text("mine")
    with pytest.raises(InputError, match=r"metrics.csv: already there; .* --overwrite"):
        report.save(tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
    report.save(tmp_path, overwrite=True)
    assert (tmp_path / "metrics.csv").read_text() != "mine"


def test_reports_side_by_side(faces):
    good = evaluate(oracle(faces, "relief"), faces)
    bad = evaluate(oracle(faces, "affine_relief", noise=0.5), faces)
    lines = score_table({"the truth": good, "noise": bad}).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["", "the truth", "noise"]
    assert {cell[-1] for cell in cells[1][1:]} == {":"}
    rows = {name: (float(first), float(second)) for name, first, second in cells[2:]}
    assert {name.split()[0] for name in rows} == set(good.means)  # picture_l1, which only one has, is left out
    assert rows["rmse ↓"] == (pytest.approx(good.means["rmse"], rel=1e-3), pytest.approx(bad.means["rmse"], rel=1e-3))
    assert rows["rmse ↓"][0] < rows["rmse ↓"][1]
    assert rows["delta_1.25 ↑"][0] == 1


def test_what_cannot_be_compared_gets_no_table(faces):
    report = evaluate(oracle(faces, "relief"), faces)
    with pytest.raises(InputError, match="expected the same pictures, region and alignment in each"):
        score_table({"face": report, "head": evaluate(oracle(faces, "relief"), faces, region="head")})
    with pytest.raises(InputError, match="expected the same pictures"):
        score_table({"all": report, "some": evaluate(oracle(faces, "relief"), Listed(faces[:2], "metric"))})
    for nothing in ({}, [report]):
        with pytest.raises(InputError, match="expected reports by the names to show"):
            score_table(nothing)
    assert report != evaluate(oracle(faces, "relief"), faces)  # and no error: arrays have no single truth

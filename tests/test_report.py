"""The report of an evaluation: its text, pictures and files, and reports side by side."""

import csv
import json
import math
import re

import pytest
import torch
from oracles import Listed, oracle
from PIL import Image

from facedepth.checks import InputError
from facedepth.data import Part
from facedepth.evaluation import evaluate, score_table


def test_the_report_says_which_region_was_scored(faces):
    assert evaluate(oracle(faces, "relief"), faces).settings["region"] == "face"
    heads = Listed([sample._replace(face=sample.head) for sample in faces], "metric")
    assert evaluate(oracle(heads, "relief"), heads).settings["region"] == "head"


def test_a_data_set_without_a_name_of_its_own_is_named_by_its_class(faces):
    samples = Listed([faces[0]], "metric")
    assert evaluate(oracle(samples, "relief"), samples).settings["data"] == "Listed"


@pytest.fixture(scope="module")
def report(exact_faces):
    faces = Part(exact_faces, [2, 0, 1])
    return evaluate(oracle(faces, "relief", noise=0.3), faces, shown=2)


def test_a_data_set_without_a_face_is_a_report_without_numbers(faces, tmp_path):
    samples = Listed([faces[1]._replace(face=torch.zeros_like(faces[1].face))], "metric")
    report = evaluate(oracle(samples, "relief"), samples)
    assert math.isnan(report.means["rmse"])
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


def test_the_text_explains_every_score(report):
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


def test_the_pictures_are_evenly_spread_over_the_data(report, exact_faces):
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


def test_reports_are_equal_only_to_themselves(faces):
    first, second = (evaluate(oracle(faces, "relief"), faces) for _ in range(2))
    assert first != second  # and no error: arrays have no single truth

"""Which faces the rows of the ablation are trained on."""

import json
from dataclasses import replace

import pytest

import facedepth as fd
from benchmarks.ablation import __main__ as ablation
from benchmarks.ablation.__main__ import ROWS, STEPS, choose

BATCH = 4


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(ablation, "BATCH", BATCH)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("ablation")
    fd.generate(root, 5 * BATCH, size=64, seed=3, workers=0)
    return fd.EG3DFaces(root, size=64)


def test_rows_without_things_worn_see_bare_faces_alone(faces):
    train, val = choose(faces, replace(ROWS["nothing_worn"], steps=1))
    assert (len(train), len(val)) == (BATCH, BATCH)
    names = [sample.name for part in (train, val) for sample in part]
    assert len(set(names)) == 2 * BATCH
    worn = [
        [json.loads((faces.root / "parameters" / f"{name}.json").read_text())["scenery"][thing] for name in names]
        for thing in ("hat", "glasses", "occluder")
    ]
    assert worn == [[None] * 2 * BATCH] * 3
    train, _ = choose(faces, replace(ROWS["base"], steps=1))
    assert [sample.name for sample in train] == faces.names[:BATCH]


def test_a_row_without_hard_light_sees_softly_lit_faces_alone(faces):
    train, val = choose(faces, replace(ROWS["no_hard_light"], steps=1))
    chosen = [sample.name for part in (train, val) for sample in part]
    light = {
        name: json.loads((faces.root / "parameters" / f"{name}.json").read_text())["scenery"]["light"]
        for name in faces.names
    }
    assert {light[name] for name in chosen} <= {"soft", "window", "overhead", "studio"} < set(light.values())


def test_too_few_faces_are_an_error(faces):
    with pytest.raises(SystemExit, match=f"expected {(STEPS + 1) * BATCH} such faces, got {5 * BATCH}"):
        choose(faces, ROWS["base"])

"""The data set of synthetic faces: what a sample holds, and on what it depends."""

import contextlib
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

from facedepth.checks import InputError
from facedepth.data import EG3DFaces, split
from facedepth.sample import Sample
from facedepth.synthetic import SyntheticFaces, generate
from facedepth.synthetic.devices import CPU, making_on
from facedepth.synthetic.faces import VERSION, one_thread
from facedepth.synthetic.labels import FACE_RADIUS_M, below_neck
from facedepth.synthetic.light import draw_lighting
from facedepth.synthetic.portrait import LIGHT, draw_scenery, picture_entropy, stream

SIZE = 64


@pytest.fixture(scope="module")
def faces():
    return SyntheticFaces(6, size=SIZE, seed=11)


@pytest.fixture(scope="module")
def samples(faces):
    return [faces[i] for i in range(len(faces))]


def test_samples_keep_the_conventions(faces, samples):
    assert faces.depth_kind == "metric"
    for name, sample in zip(faces.names, samples, strict=True):
        assert sample.name == name
        assert sample.image.shape == (3, SIZE, SIZE)
        assert sample.image.dtype == torch.float32
        assert 0 <= sample.image.min() < sample.image.max() <= 1
        assert torch.equal(sample.mask, sample.depth > 0)
        assert not (sample.head & ~sample.mask).any()
        assert not (sample.face & ~sample.head).any()
        assert sample.face.sum() > 0.02 * SIZE**2
        assert 0.3 < sample.depth[sample.head].median() < 2.0


def test_the_sample_folder_is_of_this_generator():
    """Where faces come out otherwise now: raise VERSION, and make data/sample anew (data/README.md)."""
    folder = Path(__file__).parents[1] / "data/sample"
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["generator"] == VERSION
    stored = EG3DFaces(folder, size=settings["size"])
    made = SyntheticFaces(3, size=settings["size"], seed=settings["seed"])
    for index in range(3):  # another processor rounds otherwise: see SyntheticFaces
        old, new = stored[index], made[index]
        assert ((old.image - new.image).abs() < 2.5 / 255).float().mean() > 0.99
        assert ((old.depth - new.depth).abs() < 1e-4).float().mean() > 0.99


def test_the_camera_is_the_one_that_took_the_picture(samples):
    """In the world of the camera the face lies before the plane of the ears, upright, around the eyes at the origin."""
    for sample in samples:
        points = sample.camera.to_world(sample.camera.unproject(sample.depth))
        face = points[:, sample.face[0]]
        x, y, z = face.mean(dim=1)
        assert abs(x) < 0.06
        assert -0.08 < y < 0.03
        assert -0.09 < z < 0.06
        assert (face.amax(dim=1) - face.amin(dim=1)).max() < 2 * FACE_RADIUS_M
        rotation = sample.camera.cam2world[:3, :3]
        assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)
        assert torch.linalg.det(rotation) > 0
        pixels, _ = sample.camera.project(sample.camera.unproject(sample.depth))
        row, column = sample.face[0].nonzero()[0].tolist()
        assert_close(pixels[:, row, column], torch.tensor([column + 0.5, row + 0.5]), atol=1e-3, rtol=0)


def test_the_subjects_left_is_on_the_viewers_right(faces):
    """Seen from the front: a camera that stands to the viewer's right has a positive x."""
    for index in range(len(faces)):
        _, scenery = faces.describe(index)
        position = faces[index].camera.cam2world[:3, 3]
        assert torch.sign(position[0]) == np.sign(scenery.shot.yaw_deg) or abs(scenery.shot.yaw_deg) < 3
        assert position[2] > 0.3  # in front of the face


def test_a_sample_depends_on_seed_and_index_alone(faces, samples):
    again = SyntheticFaces(40, size=SIZE, seed=11)
    again[30]
    assert torch.equal(again[3].image, samples[3].image)
    assert torch.equal(again[3].depth, samples[3].depth)
    assert not torch.equal(SyntheticFaces(6, size=SIZE, seed=12)[3].image, samples[3].image)
    assert torch.equal(faces[-1].image, samples[-1].image)
    for index in (3, torch.tensor(3), np.int64(3)):  # as samplers give them
        assert torch.equal(faces[index].image, samples[3].image)
    with pytest.raises(IndexError):
        faces[6]


@contextlib.contextmanager
def doubles():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def rounded_products():
    torch.set_float32_matmul_precision("medium")
    try:
        yield
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("setting", [doubles, rounded_products, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_a_sample_does_not_depend_on_what_torch_is_set_to(faces, samples, setting, tmp_path):
    with setting():
        again = faces[3]
        generate(tmp_path, 1, size=SIZE, seed=11)
    for ours, theirs in zip([*again[:5], *again.camera], [*samples[3][:5], *samples[3].camera], strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    assert torch.equal(EG3DFaces(tmp_path, size=SIZE)[0].depth, samples[0].depth)


def test_torch_is_left_as_it_was_set():
    with doubles():
        with making_on(CPU):
            assert torch.zeros(1).dtype == torch.float32
        with pytest.raises(KeyError), making_on(CPU):
            raise KeyError
        assert torch.zeros(1).dtype == torch.float64
    products = torch.ones(2, 2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        with making_on(CPU):
            assert (products @ products).dtype == torch.float32
        assert (products @ products).dtype == torch.bfloat16


def test_workers_make_the_same_samples(faces, samples):
    batches = list(DataLoader(faces, batch_size=3, num_workers=2))
    assert torch.equal(torch.cat([batch.image for batch in batches]), torch.stack([s.image for s in samples]))
    assert torch.equal(torch.cat([batch.depth for batch in batches]), torch.stack([s.depth for s in samples]))


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(samples):
    code = (
        "import hashlib; from facedepth.synthetic import SyntheticFaces; s = SyntheticFaces(6, size=64, seed=11)[2]; "
        "print(hashlib.sha256(s.image.numpy().tobytes() + s.depth.numpy().tobytes()).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = hashlib.sha256(samples[2].image.numpy().tobytes() + samples[2].depth.numpy().tobytes()).hexdigest()
    assert run.stdout.strip() == ours


def test_views_share_the_person_and_split_keeps_people_apart():
    faces = SyntheticFaces(12, size=SIZE, seed=4, views_per_identity=3)
    assert faces.identities[:4] == ["person0000"] * 3 + ["person0001"]
    (person, one), (same, other) = faces.describe(0), faces.describe(2)
    assert person == same
    assert one != other
    train, val = split(faces, val=0.25)
    assert not set(train.identities) & set(val.identities)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n: expected a whole number of at least 1, got 0"),
        ({"n": 2.5}, "n: expected a whole number of at least 1, got 2.5"), ({"n": "3"}, "n: .* got '3'"),
        ({"n": True}, "n: .* got True"), ({"n": 2, "size": 8}, "size: expected 32 to 2048"),
        ({"n": 2, "size": 64.5}, "size: expected a whole number"), ({"n": 2, "seed": -1}, "seed"),
        ({"n": 2, "views_per_identity": 0}, "views_per_identity"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SyntheticFaces(**arguments)


def test_an_empty_folder_of_photographs_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected photographs"):
        SyntheticFaces(2, photographs=tmp_path)


def test_numbers_may_be_numpys(tmp_path):
    faces = SyntheticFaces(np.int64(2), size=np.int32(SIZE), seed=np.uint8(11), cache=tmp_path)
    assert len(faces) == 2
    assert faces.settings == SyntheticFaces(2, size=SIZE, seed=11, cache=tmp_path).settings


def test_one_thread_is_given_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_samples_are_on_one_thread_to_the_last(faces, tmp_path, monkeypatch):
    """Their checks, too: on a busy machine, two threads waiting for each other took a seventh of a second a sample."""
    threads, before = [], torch.get_num_threads()
    monkeypatch.setattr(Sample, "check", lambda self: threads.append(torch.get_num_threads()) or self)
    torch.set_num_threads(2)
    try:
        faces[0]
        SyntheticFaces(1, size=SIZE, seed=11, cache=tmp_path)[0]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == [1, 1]


def test_workers_inherit_open3d_where_they_will_need_it(tmp_path, monkeypatch):
    """Each would import it by itself, which takes two seconds."""
    loads = []
    monkeypatch.setattr("facedepth.synthetic.faces.load_open3d", lambda: loads.append(1))
    SyntheticFaces(1, cache=tmp_path)
    assert not loads
    SyntheticFaces(1)
    assert loads


def test_the_shipped_faces_are_those_of_the_generator():
    shipped = EG3DFaces(Path(__file__).parents[1] / "data" / "sample", size=256)
    assert len(shipped) == 8
    made = SyntheticFaces(8, size=256, seed=1)[3]
    difference = (shipped[3].depth - made.depth).abs()
    assert (difference < 1e-4).float().mean() > 0.99, "generate 8 faces of seed 1 anew"


def test_the_kind_of_light_is_told(tmp_path):
    kinds = {index: draw_scenery(5, index).light for index in range(40)}
    assert len(set(kinds.values())) >= 6
    ahead = np.array([0.0, -1.0, 0.0])
    for index, kind in kinds.items():
        lighting = draw_lighting(stream(*picture_entropy(5, index), LIGHT), kind, np.full(3, 0.4), ahead)
        frontal = float(lighting.towards[0] @ torch.from_numpy(ahead).float())  # of the main lamp
        if kind == "flash":
            assert frontal > 0.9
        if kind in ("split", "back"):
            assert frontal < 0.5
        if kind == "sun":
            assert lighting.radius[0] <= 0.04
    generate(tmp_path, 1, size=SIZE, seed=5)
    assert json.loads((tmp_path / "parameters/seed0000.json").read_text())["scenery"]["light"] == kinds[0]
    assert f",{kinds[0]}," in (tmp_path / "manifest.csv").read_text()


def test_shoulders_are_not_head():
    throat, collarbone, shoulder = (0.0, -0.05, 0.60), (0.0, -0.05, 0.55), (0.14, -0.05, 0.59)
    assert below_neck(torch.tensor([throat, collarbone, shoulder])).tolist() == [False, True, True]


def test_places_count_from_the_end_too(faces, tmp_path):
    assert faces.describe(-1) == faces.describe(len(faces) - 1)
    with pytest.raises(IndexError):
        faces.describe(len(faces))

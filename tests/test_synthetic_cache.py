"""Samples kept on disk by the data set itself."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from pretend_card import CARD, PretendCard
from torch.utils.data import DataLoader

from facedepth.checks import InputError
from facedepth.data import EG3DFaces
from facedepth.layouts import eg3d_path
from facedepth.sample import Sample
from facedepth.synthetic import SyntheticFaces, generate, storing
from facedepth.synthetic.faces import VERSION

SIZE = 50  # dividing K by it and multiplying again loses its last bits


def faces_in(folder, n=3, **options) -> SyntheticFaces:
    return SyntheticFaces(n, cache=folder, **{"size": SIZE, "seed": 11} | options)


def assert_same(one: Sample, other: Sample) -> None:
    for ours, theirs in zip([*one[:5], *one.camera], [*other[:5], *other.camera], strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    assert one.name == other.name


@pytest.fixture(scope="module")
def made():
    faces = SyntheticFaces(3, size=SIZE, seed=11)
    return [faces[index] for index in range(3)]


@pytest.fixture
def makings(monkeypatch):
    """The indices that portraits were made for."""
    indices, portrait = [], SyntheticFaces.portrait

    def noted(self, index):
        indices.append(index)
        return portrait(self, index)

    monkeypatch.setattr(SyntheticFaces, "portrait", noted)
    return indices


def test_samples_are_made_once_and_the_same_bit_for_bit(tmp_path, made, makings):
    faces = faces_in(tmp_path)
    for _ in range(2):
        for index in (2, 0, -1):
            assert_same(faces[index], made[index])
    assert makings == [2, 0]
    assert_same(faces_in(tmp_path, n=2)[0], made[0])
    assert makings == [2, 0]


def test_a_cache_knows_who_is_on_its_samples(tmp_path):
    faces = SyntheticFaces(3, size=SIZE, seed=11, views_per_identity=2, cache=tmp_path)
    assert [faces[index].name for index in range(3)] == faces.names
    assert EG3DFaces(tmp_path, size=SIZE).identities == faces.identities == ["person0000", "person0000", "person0001"]


def test_a_cache_is_what_generate_writes(tmp_path, made, makings):
    faces_in(tmp_path / "cache")[1]
    for folder in ("cache", "generated"):
        generate(tmp_path / folder, 3, size=SIZE, seed=11)
    assert makings == [1, 0, 2, 0, 1, 2]  # the first call found one done
    cached, generated = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "cache", tmp_path / "generated")
    )
    assert cached == generated
    assert_same(faces_in(tmp_path / "generated")[2], made[2])
    assert torch.equal(EG3DFaces(tmp_path / "cache", size=SIZE)[1].depth, made[1].depth)


@pytest.mark.parametrize("other", [{"seed": 12}, {"size": 64}, {"views_per_identity": 2}])
def test_a_cache_made_with_other_settings_is_refused(tmp_path, other):
    faces_in(tmp_path)
    with pytest.raises(InputError, match=r"was made with .* asked for .* choose another folder"):
        faces_in(tmp_path, **other)


def test_a_folder_of_another_version_of_the_generator_is_only_read(tmp_path, made):
    generate(tmp_path, 1, size=SIZE, seed=11)
    path = tmp_path / "settings.json"
    told = json.loads(path.read_text())
    for older in ({**told, "generator": told["generator"] - 1}, {n: v for n, v in told.items() if n != "generator"}):
        path.write_text(json.dumps(older))
        wanted = rf"was made with .*'generator': {VERSION}.* another folder; .* eg3d:FOLDER"
        with pytest.raises(InputError, match=wanted):
            generate(tmp_path, 2, size=SIZE, seed=11)
        assert torch.equal(EG3DFaces(tmp_path, size=SIZE)[0].depth, made[0].depth)


def test_workers_share_a_cache(tmp_path, made):
    wanted = [0, 0, 1, 1]  # each by both workers, at about the same time
    loaded = list(DataLoader(faces_in(tmp_path), batch_size=None, sampler=wanted, num_workers=2))
    for sample, index in zip(loaded, wanted, strict=True):
        assert_same(sample, made[index])
    assert not list(tmp_path.rglob("*.tmp*"))


def test_what_cannot_be_read_or_written_is_named(tmp_path, monkeypatch):
    faces = faces_in(tmp_path)
    faces[0]
    eg3d_path(tmp_path, "images", "seed0000").unlink()
    with pytest.raises(InputError, match=r"seed0000\.png: no such file\. Delete .*seed0000\.json.* is made anew"):
        faces[0]

    def full(path, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storing, "write_depth", full)
    with pytest.raises(InputError, match="disk is full"):
        faces[1]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be written to"):
        faces_in(tmp_path / "file")


def test_a_cache_serves_the_card_too(tmp_path, made):
    with PretendCard():
        for _ in range(2):
            sample = faces_in(tmp_path, device=CARD)[0]
            assert {tensor.device for tensor in (*sample[:5], *sample.camera)} == {CARD}
        depth = sample.depth.cpu()
    assert ((depth - made[0].depth).abs() < 1e-4).float().mean() > 0.999


def test_of_two_that_begin_one_folder_with_other_settings_one_is_refused(tmp_path):
    def begin(seed: int, place: Path) -> bool:
        together.wait()
        try:
            storing.claim_folder(place, {"seed": seed})
        except InputError:
            return False
        return True

    for number in range(40):
        together, place = threading.Barrier(2), tmp_path / str(number)
        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(begin, (1, 2), (place, place))) == [False, True]

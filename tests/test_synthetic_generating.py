"""Faces written to a folder: resumed, shared between processes, read back, and refused where that cannot be."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.cli import main
from facedepth.data import EG3DFaces
from facedepth.layouts import eg3d_path
from facedepth.synthetic import SyntheticFaces, generate, storing

SIZE = 64


@pytest.fixture(scope="module")
def samples():
    return list(map(SyntheticFaces(2, size=SIZE, seed=11).__getitem__, range(2)))


def test_written_faces_are_read_back_as_they_are(tmp_path, samples):
    manifest = generate(tmp_path, 2, size=SIZE, seed=11)
    assert manifest.read_text().count("\n") == 3
    read = EG3DFaces(tmp_path, size=SIZE)
    assert read.depth_kind == "metric"
    for index in range(2):
        assert_close(read[index].depth, samples[index].depth, rtol=0, atol=0)
        assert_close(read[index].image, samples[index].image, atol=1e-6, rtol=0)
        assert torch.equal(read[index].head, samples[index].head)
        assert torch.equal(read[index].face, samples[index].face)
        assert_close(read[index].camera.K, samples[index].camera.K, rtol=1e-5, atol=1e-3)
        assert_close(read[index].camera.cam2world, samples[index].camera.cam2world)
    assert json.loads((tmp_path / "parameters/seed0001.json").read_text())["identity"] == "person0001"
    picture = EG3DFaces(tmp_path, size=SIZE, depth_kind="affine")[0]
    head = picture.head[0]
    ours, theirs = samples[0].depth[0][head], picture.depth[0][head]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.98


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"name": "seed0001"}', "3"])
def test_a_damaged_file_of_parameters_is_named(tmp_path, content):
    generate(tmp_path, 2, size=SIZE, seed=11).unlink()
    path = tmp_path / "parameters/seed0001.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"parameters/seed0001.json: damaged \(.*delete it, and `facedepth generate`"):
        generate(tmp_path, 2, size=SIZE, seed=11)
    if content[:1] != "{":
        with pytest.raises(InputError, match=r"parameters/seed0001.json: damaged"):
            EG3DFaces(tmp_path)
    path.unlink()
    assert generate(tmp_path, 2, size=SIZE, seed=11).read_text().count("\n") == 3


def test_generating_resumes_and_shards_share_a_folder(tmp_path, samples, monkeypatch):
    generate(tmp_path, 4, size=SIZE, seed=11, shard=(1, 2))
    assert sorted(p.stem for p in (tmp_path / "parameters").iterdir()) == ["seed0001", "seed0003"]
    (tmp_path / "parameters/seed0003.json").unlink()  # as if interrupted before the last file
    eg3d_path(tmp_path, "images", "seed0001").unlink()  # done samples are not made again
    written = []
    write = SyntheticFaces.write

    def noted(self, root, index):
        written.append(index)
        write(self, root, index)

    monkeypatch.setattr(SyntheticFaces, "write", noted)
    manifest = generate(tmp_path, 4, size=SIZE, seed=11)
    assert written == [0, 2, 3]
    assert manifest.read_text().count("\n") == 5
    assert not list(tmp_path.rglob("*.tmp*"))


def test_the_command_line_writes_and_refuses(tmp_path, capsys):
    assert main(["generate", "1", "-o", str(tmp_path / "out"), "--size", str(SIZE), "--seed", "11"]) == 0
    assert len(EG3DFaces(tmp_path / "out")) == 1
    assert main(["generate", "1", "-o", str(tmp_path / "other"), "--shard", "1of2"]) == 2
    assert main(["generate", "1", "-o", str(tmp_path / "other"), "--shard", "²/3"]) == 2
    assert "expected I/COUNT" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_other_settings_and_bad_shards_are_refused(tmp_path):
    generate(tmp_path, 1, size=SIZE, seed=11)
    with pytest.raises(InputError, match="was made with"):
        generate(tmp_path, 1, size=SIZE, seed=12)
    with pytest.raises(InputError, match="got 2/2"):
        generate(tmp_path, 1, size=SIZE, shard=(2, 2))
    for shard, number in (((-1, 2), "-1"), ((0, 2.0), "2.0")):
        with pytest.raises(InputError, match=f"shard: expected a whole number of at least 0, got {number}"):
            generate(tmp_path, 1, size=SIZE, shard=shard)
    with pytest.raises(InputError, match="workers: expected a whole number of at least 0, got -1"):
        generate(tmp_path, 1, size=SIZE, workers=-1)


@pytest.mark.parametrize("there", ["images/seed0000.png", "manifest.csv"])
def test_faces_from_elsewhere_are_not_written_over(tmp_path, there):
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(InputError, match="holds faces that were not generated"):
        generate(tmp_path, 1, size=SIZE)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert path.read_text() == "mine"


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(path, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storing, "write_depth", full)
    with pytest.raises(InputError, match="disk is full"):
        generate(tmp_path, 1, size=SIZE, seed=11)
    assert not list((tmp_path / "parameters").iterdir())


@pytest.mark.parametrize("threads", [0, 4])
def test_workers_of_a_process_that_used_opencv_s_threads_do_not_hang(tmp_path, threads):
    """As where a photo was predicted before. Threads do not live on in what is forked."""
    code = (
        "import cv2, numpy, sys; from facedepth.synthetic import generate\n"
        "cv2.setNumThreads(4)\n"
        "cv2.GaussianBlur(numpy.zeros((2000, 2000, 3), numpy.uint8), (0, 0), 5)\n"
        f"cv2.setNumThreads({threads})\n"
        f"generate(sys.argv[1], 2, size={SIZE}, workers=2)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "faces"], check=True, timeout=180)  # 35 s when busy
    assert (tmp_path / "faces" / "manifest.csv").is_file()


def test_workers_write_the_same_files(tmp_path):
    for workers in (0, 2):
        generate(tmp_path / str(workers), 3, size=SIZE, seed=11, workers=workers)
    alone, together = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "0", tmp_path / "2")
    )
    assert alone == together
    assert len(alone) == 3 * 6 + 2


def test_the_manifest_reads_no_half_written_file(tmp_path):
    generate(tmp_path, 2, size=SIZE, seed=11)
    (tmp_path / "parameters/.seed0001.123.tmp.json").write_text("")
    (tmp_path / "parameters/seed0001.json").rename(tmp_path / "parameters/.seed0001.99.tmp.json")
    generate(tmp_path, 2, size=SIZE, seed=11)
    rows = (tmp_path / "manifest.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["name", "seed0000", "seed0001"]


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_damaged_settings_are_named(tmp_path, text):
    generate(tmp_path, 1, size=SIZE, seed=11)
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(InputError, match=r"settings\.json: damaged"):
        generate(tmp_path, 1, size=SIZE, seed=11)

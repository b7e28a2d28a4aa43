"""What the tests of models, training, evaluation and the command line share."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch comes in; child processes inherit it

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from chromium import chromium
from training_runs import FinishedRun, config

from facedepth.data import EG3DFaces, Part, rerender
from facedepth.models import DepthNetwork, create_model
from facedepth.training import TrainConfig, fit

torch.set_num_threads(1)

SAMPLE = Path(__file__).parent / "data" / "eg3d_sample"


@pytest.fixture(scope="session")
def sample_root() -> Path:
    """The four samples in EG3D's layout."""
    return SAMPLE


@pytest.fixture(scope="session")
def exact_root(tmp_path_factory) -> Path:
    """The four samples with exact depth of 64 pixels a side."""
    root = tmp_path_factory.mktemp("exact")
    for folder in ("images", "depth128x128", "cam_poses", "shapes"):
        shutil.copytree(SAMPLE / folder, root / folder)
    rerender(root, size=64, grid=128)
    return root


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 400 kB; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", folder], stderr=subprocess.DEVNULL
    ).returncode == 0
    if not mounted:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
def affine_faces() -> EG3DFaces:
    """The four samples with 8-bit depth, 32 pixels a side."""
    return EG3DFaces(SAMPLE, size=32, depth_kind="affine")


@pytest.fixture
def train(affine_faces) -> Part:
    """Three of the samples with 8-bit depth."""
    return Part(affine_faces, [0, 1, 2])


@pytest.fixture
def val(affine_faces) -> Part:
    """The fourth."""
    return Part(affine_faces, [3])


@pytest.fixture(scope="session")
def exact_faces(exact_root) -> EG3DFaces:
    """The four samples with exact depth, 64 pixels a side."""
    return EG3DFaces(exact_root, size=64, depth_kind="metric")


@pytest.fixture(scope="session")
def tiny_model():
    """A function that makes an Attention-UNet of a few hundred parameters, the same one for the same seed."""

    def make(*, seed: int = 0, kind: str = "affine_relief", **options) -> DepthNetwork:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            tiny = {"channels": 2, "depth": 2, "head_mask": False, "input_size": 32, "kind": kind}
            return create_model("attention_unet", **tiny | options)

    return make


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, affine_faces, tiny_model) -> FinishedRun:
    """A run of four epochs, which nobody may change."""
    folder, model, seen = tmp_path_factory.mktemp("runs") / "finished", tiny_model(), []
    settings = config(folder, epochs=4, repeats=4)
    history = fit(
        model, Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3]), settings,
        callbacks=[lambda rows, pictures: seen.append((len(rows), [next(iter(row)) for row in pictures]))],
    )
    return FinishedRun(settings, folder, model, history, seen)


@pytest.fixture
def finished_copy(tmp_path, finished_run) -> TrainConfig:
    """The settings with which a copy of that run, in ``tmp_path / "run"``, goes on."""
    shutil.copytree(finished_run.folder, tmp_path / "run")
    return replace(finished_run.config, out=str(tmp_path / "run"), resume=True)


@pytest.fixture(scope="module")  # not longer: while it runs, no other test can run an event loop
def browser():
    """Chromium, or a skipped test."""
    with chromium() as started:
        yield started

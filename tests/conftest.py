"""What the tests of several files share: data, networks, a run, a command line, a browser."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch comes in; child processes inherit it

import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import OPTIONS
from chromium import chromium
from commands import picture
from mesh_pages import bump, head, mesh_of
from oracles import Listed
from paired_folders import write_depths, write_images
from PIL import Image
from training_runs import FinishedRun, config

from facedepth.camera import Camera, Crop
from facedepth.cli import main
from facedepth.data import EG3DFaces, Part, rerender
from facedepth.mesh_page import save_mesh_page
from facedepth.models import DepthNetwork, create_model, save_model
from facedepth.prediction import Prediction
from facedepth.sample import Sample
from facedepth.training import TrainConfig, fit

torch.set_num_threads(1)

SAMPLE = Path(__file__).parent / "data" / "eg3d_sample"


# --- data


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


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Three pictures of two people, and their depth."""
    stems = ["anna_1", "anna_2", "ben_1"]
    return write_images(tmp_path / "images", stems), write_depths(tmp_path / "depths", stems)


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


# --- networks


@pytest.fixture(scope="session")
def tiny_model():
    """A function that makes an Attention-UNet of a few hundred parameters, the same one for the same seed."""

    def make(*, seed: int = 0, kind: str = "affine_relief", **options) -> DepthNetwork:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            tiny = {"channels": 2, "depth": 2, "head_mask": False, "input_size": 32, "kind": kind}
            return create_model("attention_unet", **tiny | options)

    return make


@pytest.fixture(scope="module")
def unet(tiny_model) -> DepthNetwork:
    """That Attention-UNet, with batch norms that have seen something."""
    network = tiny_model()
    network.train()(torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    return network.eval()


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A checkpoint of a network with options of its own."""
    return save_model(create_model("attention_unet", **OPTIONS), tmp_path / "face.safetensors", info={"licence": "CC0"})


# --- a training run


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


# --- the command line


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command; gives its exit code, stdout and stderr."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # main changes it: put it back

    def command(*arguments) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse's way
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return command


@pytest.fixture
def done(run):
    """Run a command that must succeed; gives what it said."""

    def command(*arguments) -> str:
        code, out, err = run(*arguments)
        assert code == 0, err
        return out

    return command


@pytest.fixture
def refused(run):
    """Run a command that must end with exit code 2 and a message; gives the message, a line without progress bars."""

    def command(*arguments) -> str:
        code, _, err = run(*arguments)
        assert code == 2, err
        message = err[err.index(f"facedepth {arguments[0]}: ") :]
        assert len(message) > 30
        return message

    return command


@pytest.fixture
def weights(tmp_path, tiny_model) -> Path:
    """A checkpoint of the tiny network that says a relief."""
    return save_model(tiny_model(kind="relief", head_mask=False), tmp_path / "weights" / "tiny.safetensors")


@pytest.fixture
def paired(tmp_path) -> Path:
    """Three pictures and their depth in millimetres."""
    root = tmp_path / "paired"
    for folder in ("images", "depths"):
        (root / folder).mkdir(parents=True)
    for stem in ("anna", "bert", "carl"):
        Image.fromarray(picture()).save(root / "images" / f"{stem}.png")
        y, x = np.mgrid[:48, :48]
        np.save(root / "depths" / f"{stem}.npy", (600 + x + 2 * y).astype(np.float32))
    return root


# --- the mesh's page in a browser


@pytest.fixture(scope="module")  # not longer: while it runs, no other test can run an event loop
def browser():
    """Chromium, or a skipped test."""
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(browser):
    """A function that opens a file with the network blocked and waits until the mesh is drawn.

    Whatever the page asks of the network, and every error in its console, fails the test.
    """
    contexts, wrong = [], []

    def open_file(path: Path, *, width: int = 760, height: int = 440, waits: bool = True, script: str = "", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
        page.add_init_script(script)
        page.goto(path.as_uri())
        if waits:
            page.wait_for_function("window.facedepth.ready", timeout=60_000)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def bump_page(tmp_path_factory) -> Path:
    """A page with one mesh."""
    return save_mesh_page(tmp_path_factory.mktemp("page") / "bump.html", mesh_of(bump()))


@pytest.fixture(scope="module")
def pair_page(tmp_path_factory) -> Path:
    """A page with two."""
    path = tmp_path_factory.mktemp("page") / "pair.html"
    return save_mesh_page(path, mesh_of(head()), mesh_of(head()), titles=("prediction", "truth"))


@pytest.fixture
def prediction() -> Prediction:
    """A bump that is steeper on the left, 48 pixels a side."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 48), indexing="ij")
    values = 0.2 * torch.exp(-3 * (x + 0.3).square() - 2 * y.square())[None]
    mask = (x.square() + y.square() < 0.8)[None]
    image = torch.stack([x, y, x * y]) / 2 + 0.5
    return Prediction(image, values, mask, Camera.from_fov(20, 48, 48), "relief", Crop(0, 0, 48), 48, "bump")


@pytest.fixture
def truth(prediction) -> Sample:
    """The prediction's own depth in another scale, but for a nose 8 units longer."""
    depth = 1000 * prediction.depth()
    depth[:, 20:24, 16:20] -= 8
    return Sample(prediction.image, depth, *[prediction.mask] * 3, prediction.camera, "bump")

"""The command line: it works end to end, every verb has its help, and what is no command ends with exit code 2."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import TINY, picture
from PIL import Image

from facedepth.cli import main
from facedepth.depth import KINDS
from facedepth.models import list_models

VERBS = ("demo", "predict", "turntable", "train", "evaluate", "rerender", "generate", "models")


def test_train_evaluate_predict(done, refused, tmp_path, sample_root):
    """On the sample set, in the smallest settings: every file is where it was announced."""
    runs, scores, faces = tmp_path / "runs", tmp_path / "scores", tmp_path / "faces"
    arguments = ["train", "--data", f"eg3d-8bit:{sample_root}", "--model", "attention_unet", "-o", runs, *TINY,
                 "--option", "kind=affine_relief", "--option", "head_mask=False", "--val", 0.25, "--set", "workers=1"]
    out = done(*arguments)
    assert f"best model: {runs / 'best.safetensors'}" in out
    model = runs / "best.safetensors"

    out = done("evaluate", "--data", f"eg3d-8bit:{sample_root}", "--model", model, "-o", scores)
    assert "attention_unet on 4 pictures, head, align=scale_shift" in out
    assert "picture_l1" in out
    announced = out[out.index("written:") + 8 :].strip().split(", ")
    assert {Path(path).name for path in announced} == {path.name for path in scores.iterdir()}

    photo = sample_root / "images" / "seed0001.png"
    out = done("predict", photo, "-o", faces, "--model", model, "--crop", "none", "--format", "npy,png,ply")
    depth = np.load(faces / "seed0001_depth.npy")
    assert depth.shape == Image.open(photo).size[::-1]
    assert depth.dtype == np.float32
    facts = json.loads((faces / "seed0001_depth.json").read_text())
    middle = facts["crop_width_m"] * facts["K"][0][0] / facts["crop"]["size"]
    assert {path.name for path in faces.iterdir()} == {
        "seed0001_depth.npy", "seed0001_depth.png", "seed0001_depth.json", "seed0001.ply"
    }

    assert f"{runs}: holds a run already" in refused(*arguments)
    out = done(*arguments, "--resume")
    assert "already there" in refused("predict", photo, "-o", faces, "--model", model, "--crop", "none")
    again = ["predict", photo, "-o", faces, "--model", model, "--crop", "none", "--overwrite"]
    done(*again, "--z-scale", 2)
    expected = np.clip(2 * depth - middle, middle / 2, 2 * middle)
    np.testing.assert_allclose(np.load(faces / "seed0001_depth.npy"), expected, rtol=1e-4)


def test_rerender_writes_depth_maps(done, tmp_path, sample_root):
    for name in ("images/seed0002.png", "cam_poses/seed0002.npy", "shapes/seed0002.ply"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(sample_root / name, tmp_path / name)
    out = done("rerender", tmp_path, "--size", 24, "--grid", 128)
    assert f"1 depth maps written to {tmp_path / 'depth'}" in out
    assert np.load(tmp_path / "depth" / "seed0002.npy").shape == (24, 24)


def test_models_lists_every_model(done):
    out = done("models")
    for name in list_models():
        assert re.search(rf"^{name}: .*\(\d+\.\d M parameters, outputs ({'|'.join(KINDS)})\)$", out, re.MULTILINE)
    assert out.count("licence:") == out.count("weights:") == len(list_models())
    large = out[out.index("depth_anything_v2_large") :].split("\ndepth_anything_v2_small")[0]
    assert "licence: CC-BY-NC-4.0" in large
    assert "fetched from: https://huggingface.co/depth-anything/Depth-Anything-V2-Large/" in large


def test_the_installed_command_and_the_module_are_one(tmp_path):
    command = Path(sys.executable).with_name("facedepth")
    done = subprocess.run([command, "predict", "nothing.jpg", "-o", "out", "--model", "none.pt"],
                          capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "facedepth predict: nothing.jpg: no such file\n"
    module = subprocess.run([sys.executable, "-m", "facedepth", "predict", "nothing.jpg", "-o", "out"],
                            capture_output=True, text=True, cwd=tmp_path)
    assert (module.returncode, module.stderr) == (done.returncode, done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE there")
def test_a_reader_that_has_seen_enough_ends_it_without_a_word():
    """As in `facedepth models | head -1`."""
    with subprocess.Popen([sys.executable, "-m", "facedepth", "models"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as command:
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 141


def test_without_any_output_it_works_too(monkeypatch):
    """As of a daemon."""
    monkeypatch.setattr("sys.stdout", None)
    assert main(["models"]) == 0


def test_another_pipe_that_breaks_is_told_of(monkeypatch, capsys):
    def broken(*_, **__) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("facedepth.verbs.rerender", broken)
    assert main(["rerender", "there"]) == 2
    assert "facedepth rerender: [Errno 32] Broken pipe" in capsys.readouterr().err
    print("still heard")
    assert capsys.readouterr().out == "still heard\n"


def test_where_the_output_is_no_file_it_works_too(monkeypatch):
    """In a notebook, whose output has no encoding to set."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)
    assert main(["models"]) == 0
    assert "face_small" in said.getvalue()


def test_a_tilde_that_no_shell_has_expanded_is_the_users_home(done, tmp_path, weights, sample_root, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copy(weights, tmp_path / "face.safetensors")
    Image.fromarray(picture()).save(tmp_path / "me.png")
    model = "--model=~/face.safetensors"
    done("predict", "~/me.png", model, "--out=~/out", "--crop", "none", "--format", "npy")
    film = ("turntable", "~/me.png", model, "--crop", "none", "--size", 64)
    done(*film, "--out=~/out/me.gif")
    done(*film, "--out=~/out/deep.gif", "--z-scale", 4)
    assert (tmp_path / "out" / "deep.gif").read_bytes() != (tmp_path / "out" / "me.gif").read_bytes()
    done("evaluate", "--data", f"eg3d-8bit:{sample_root}", model, "--out=~/out/scores")
    assert {"me_depth.npy", "me.gif", "scores"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("verb", ["predict", "turntable", "evaluate"])
def test_a_place_that_cannot_be_written_to_is_found_out_before_the_work(refused, tmp_path, weights, sample_root, verb):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    out = taken / "film.gif" if verb == "turntable" else taken
    subject = ["--data", f"eg3d-8bit:{sample_root}"] if verb == "evaluate" else [sample_root / "images/seed0000.png"]
    assert f"{taken}: cannot be written to" in refused(verb, *subject, "-o", out, "--model", weights)
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("verb", ["turntable", "evaluate"])
def test_a_size_beyond_all_memory_is_told_in_words(refused, tmp_path, weights, sample_root, verb):
    subject = [sample_root / "images/seed0000.png", "--crop", "none", "-o", tmp_path / "me.gif"]
    if verb == "evaluate":
        subject = ["--data", f"eg3d-8bit:{sample_root}", "-o", tmp_path / "scores"]
    message = refused(verb, *subject, "--model", weights, "--size", 10_000_000)
    assert re.search("the memory is full.*smaller (--batch-size or )?--size", message, re.DOTALL)


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(done, verb):
    out = done(verb, "--help")
    assert f"example: facedepth {verb}" in " ".join(out.split())


def test_the_help_names_every_verb(done):
    out = done("--help")
    assert re.findall(r"^    (\w+)", out, re.MULTILINE) == list(VERBS)


@pytest.mark.parametrize("arguments", [[], ["paint"], ["predict"], ["train", "--epochs", "3"]])
def test_words_that_are_no_command(run, arguments):
    code, _, err = run(*arguments)
    assert code == 2
    assert "usage: facedepth" in err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["predict", "me.jpg", "-o", "x", "--quality", "high"], "usage: facedepth predict .*arguments: --quality high"),
        (["train", "--data", "eg3d:x", "--model", "dpt_tiny", "-o", "x", "--epochs", "2"], "train .*--set epochs=2"),
        (["predict", "me.jpg", "-o", "x", "--fov", "400"], "--fov: expected between 0 and 180 degrees, got 400"),
        (["predict", "me.jpg", "-o", "x", "--fov", "wide"], "--fov: expected a number, got wide"),
        (["predict", "me.jpg", "-o", "x", "--z-scale", "-1"], "argument --z-scale: expected a number above 0, got -1"),
        (["predict", "me.jpg", "-o", "x", "--crop", "1,2"], "argument --crop: expected face, none or LEFT,TOP,SIZE"),
    ],
)
def test_options_that_make_no_sense_are_told_by_their_names(run, command, said):
    code, _, err = run(*command)
    assert code == 2
    assert re.search(said, err, re.DOTALL), err

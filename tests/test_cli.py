"""The command line: it works end to end, and bad input ends with a message and exit code 2, never a traceback."""

import io
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from parity import rule
from PIL import Image

from facedepth.cli import main
from facedepth.depth import KINDS
from facedepth.models import MODELS, list_models, load_model, save_model

VERBS = ("demo", "predict", "train", "evaluate", "rerender", "generate", "models")
TINY = [
    "--option", "channels=2", "--option", "depth=2", "--option", "input_size=32", "--set", "epochs=1",
    "--set", "batch_size=2", "--set", "device=cpu",
]


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
    return save_model(tiny_model(kind="relief", head_mask=False), tmp_path / "weights" / "tiny.safetensors")


def picture(height: int = 48, width: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


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


def train_command(paired: Path, out: Path, *more, kind: str = "paired") -> list:
    of_paired = ["--unit", "mm", "--fov", 30] if kind == "paired" else []
    return ["train", "--data", f"{kind}:{paired}", *of_paired, "--model", "attention_unet", "-o", out, *TINY, *more]


# ------------------------------------------------------------------------------------------------------- what works


def test_a_seed_decides_what_a_new_model_starts_from(run, tmp_path, paired):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for out, seed in ((first, 3), (again, 3), (other, 4)):
        code, _, err = run(*train_command(paired, out, "--set", f"seed={seed}"))
        assert code == 0, err
    states = [load_model(out / "last.safetensors", device="cpu").state_dict() for out in (first, again, other)]
    assert all(torch.equal(states[1][key], value) for key, value in states[0].items())
    assert not all(torch.equal(states[2][key], value) for key, value in states[0].items())


def test_train_evaluate_predict(run, tmp_path, sample_root):
    """On the sample set, in the smallest settings: every file is where it was announced."""
    runs, scores, faces = tmp_path / "runs", tmp_path / "scores", tmp_path / "faces"
    arguments = ["train", "--data", f"eg3d-8bit:{sample_root}", "--model", "attention_unet", "-o", runs, *TINY,
                 "--option", "kind=affine_relief", "--option", "head_mask=False", "--val", 0.25, "--set", "workers=1"]
    code, out, err = run(*arguments)
    assert code == 0, err
    assert f"best model: {runs / 'best.safetensors'}" in out
    model = runs / "best.safetensors"

    code, out, err = run("evaluate", "--data", f"eg3d-8bit:{sample_root}", "--model", model, "-o", scores)
    assert code == 0, err
    assert "attention_unet on 4 pictures, head, align=scale_shift" in out
    assert "picture_l1" in out
    announced = out[out.index("written:") + 8 :].strip().split(", ")
    assert {Path(path).name for path in announced} == {path.name for path in scores.iterdir()}

    photo = sample_root / "images" / "seed0001.png"
    code, out, err = run("predict", photo, "-o", faces, "--model", model, "--crop", "none", "--format", "npy,png,ply")
    assert code == 0, err
    depth = np.load(faces / "seed0001_depth.npy")
    assert depth.shape == Image.open(photo).size[::-1]
    assert depth.dtype == np.float32
    facts = json.loads((faces / "seed0001_depth.json").read_text())
    middle = facts["crop_width_m"] * facts["K"][0][0] / facts["crop"]["size"]
    assert {path.name for path in faces.iterdir()} == {
        "seed0001_depth.npy", "seed0001_depth.png", "seed0001_depth.json", "seed0001.ply"
    }

    code, _, err = run(*arguments)
    assert code == 2
    assert f"{runs}: holds a run already" in err
    code, out, err = run(*arguments, "--resume")
    assert code == 0, err
    code, _, err = run("predict", photo, "-o", faces, "--model", model, "--crop", "none")
    assert code == 2
    assert "already there" in err
    again = ["predict", photo, "-o", faces, "--model", model, "--crop", "none", "--overwrite"]
    assert run(*again, "--z-scale", 2)[0] == 0
    expected = np.clip(2 * depth - middle, middle / 2, 2 * middle)
    np.testing.assert_allclose(np.load(faces / "seed0001_depth.npy"), expected, rtol=1e-4)


def test_train_goes_on_from_a_checkpoint(run, tmp_path, paired, weights):
    code, _, err = run("train", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--model", weights,
                       "-o", tmp_path / "run", "--set", "epochs=1", "--set", "workers=0")
    assert code == 0, err
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    assert settings["options"]["channels"] == 2


def published_midas_small(tmp_path, monkeypatch) -> Path:
    """A published file where the first fetch of it would have left it."""
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache" / Path(MODELS["midas_small"].url).name
    torch.save(rule.weights("midas_small"), path)
    return path


def midas_command(paired: Path, out: Path, *more) -> list:
    return ["train", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--model", "midas_small", "-o", out,
            "--size", 64, "--set", "input_size=64", "--set", "epochs=1", "--set", "batch_size=2", "--set", "workers=0",
            "--set", "learning_rate=1e-12", "--set", "ema_decay=0.0", "--set", "device=cpu", *more]


def test_finetune_starts_from_the_published_weights(run, tmp_path, paired, monkeypatch):
    published = load_model(published_midas_small(tmp_path, monkeypatch), device="cpu").state_dict()
    for out, more, same in ((tmp_path / "fine", ["--finetune", "--head-mask"], True), (tmp_path / "new", [], False)):
        code, _, err = run(*midas_command(paired, out, *more))
        assert code == 0, err
        model = load_model(out / "best.safetensors", device="cpu")
        key = "encoder.conv_stem.weight"
        assert torch.allclose(model.state_dict()[key], published[key], atol=1e-6) == same
        assert model.options["head_mask"] == same
        assert ("weights" in model.info) == same  # where they come from, and their licence


def test_finetune_starts_anew_where_there_are_no_weights(run, tmp_path, paired):
    code, _, err = run("train", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--model", "dpt_tiny", "-o",
                       tmp_path / "run", "--finetune", "--option", "input_size=32", "--set", "epochs=1", "--set",
                       "workers=0", "--set", "device=cpu")
    assert code == 0, err


def test_adapters_on_random_weights_are_doubted(run, tmp_path, paired):
    with pytest.warns(UserWarning, match="learns=decoder: attention_unet starts from random weights"):
        code, _, err = run(*train_command(paired, tmp_path / "run", "--set", "learns=decoder"))
    assert code == 0, err


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "I;16"])
def test_predict_takes_any_mode(run, tmp_path, weights, mode):
    photo = tmp_path / f"{mode.replace(';', '')}.png"
    grey = picture(40, 50)
    if mode == "I;16":
        Image.fromarray(grey[..., 0].astype(np.uint16) * 256).save(photo)
    else:
        Image.fromarray(grey).convert(mode).save(photo)
    code, _, err = run("predict", photo, "-o", tmp_path, "--model", weights, "--crop", "none", "--format", "npy")
    assert code == 0, err
    assert np.load(tmp_path / f"{photo.stem}_depth.npy").shape == (40, 50)


def test_train_takes_grey_rgba_and_16_bit_images(run, tmp_path, paired):
    Image.fromarray(picture()).convert("L").save(paired / "images" / "anna.png")
    Image.fromarray(picture()).convert("RGBA").save(paired / "images" / "bert.png")
    Image.fromarray(picture()[..., 0].astype(np.uint16) * 256).save(paired / "images" / "carl.png")
    code, _, err = run(*train_command(paired, tmp_path / "run", "--set", "workers=0"))
    assert code == 0, err


def test_predict_takes_several_and_warns_without_our_code(run, tmp_path, weights):
    (tmp_path / "in").mkdir()
    photos = [tmp_path / "in" / "a.png", tmp_path / "b.png"]
    for path in photos:
        Image.fromarray(picture()).save(path)
    frames = [Image.new("L", (4, 4), level) for level in (0, 255)]
    frames[0].save(tmp_path / "in" / "film.gif", save_all=True, append_images=frames[1:])
    out = tmp_path / "out"
    with pytest.warns(UserWarning, match=f"{tmp_path / 'in'}: left out"):
        code, said, err = run("predict", tmp_path / "in", photos[1], "-o", out, "--model", weights, "--crop", "none",
                              "--format", "npy")
    assert code == 0, err
    assert said.count(" -> ") == 2
    assert {path.stem for path in out.glob("*.npy")} == {"a_depth", "b_depth"}
    assert warnings.formatwarning("left out", UserWarning, "verbs.py", 3) == "facedepth predict: left out\n"


def test_a_batch_goes_on_where_it_was_stopped(run, tmp_path, weights):
    for name in "abc":
        Image.fromarray(picture()).save(tmp_path / f"{name}.png")
    photos, out = [tmp_path / f"{name}.png" for name in "abc"], tmp_path / "out"
    again = ("predict", *photos, "--model", weights, "-o", out, "--crop", "none", "--format", "npy", "--skip-existing")
    assert run("predict", photos[0], *again[4:])[0] == 0
    before = (out / "a_depth.npy").stat().st_mtime_ns
    code, said, _ = run(*again)
    assert code == 0
    assert said.count("->") == 2
    assert "left out, because their results are there: 1 of 3" in said
    other = [*again[:-2], "png", "--skip-existing"]  # another format is not there yet
    assert run(*other)[1].count("->") == 0  # and finds the .json of the others in its way
    assert "left out" not in run(*other)[1]
    (out / "b_depth.json").unlink()  # as a call that was cut short leaves it
    code, _, err = run(*again)
    assert code == 2
    assert "b_depth.npy: already there" in err
    code, said, _ = run(*again, "--overwrite")
    assert code == 0
    assert said.count("->") == 1
    assert (out / "a_depth.npy").stat().st_mtime_ns == before


def test_a_full_disk_ends_a_batch_at_once_and_is_named(run, tmp_path, weights, small_disk):
    for name in "abc":
        Image.fromarray(picture(240, 240)).save(tmp_path / f"{name}.png")
    photos = [tmp_path / f"{name}.png" for name in "abc"]
    code, out, err = run("predict", *photos, "--model", weights, "-o", small_disk, "--crop", "none", "--format", "npy")
    assert code == 2
    assert out.count("->") == 1  # 230 kB each
    assert "No space left on device" in err
    assert str(small_disk / "b_depth.npy") in err
    assert "pictures failed" not in err
    assert {path.name for path in small_disk.iterdir()} == {"a_depth.npy", "a_depth.json"}


def test_a_tilde_that_no_shell_has_expanded_is_the_users_home(run, tmp_path, weights, sample_root, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copy(weights, tmp_path / "face.safetensors")
    Image.fromarray(picture()).save(tmp_path / "me.png")
    model = "--model=~/face.safetensors"
    assert run("predict", "~/me.png", model, "--out=~/out", "--crop", "none", "--format", "npy")[0] == 0
    film = ("turntable", "~/me.png", model, "--crop", "none", "--size", 64)
    assert run(*film, "--out=~/out/me.gif")[0] == 0
    assert run(*film, "--out=~/out/deep.gif", "--z-scale", 4)[0] == 0
    assert (tmp_path / "out" / "deep.gif").read_bytes() != (tmp_path / "out" / "me.gif").read_bytes()
    assert run("evaluate", "--data", f"eg3d-8bit:{sample_root}", model, "--out=~/out/scores")[0] == 0
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


def test_predict_goes_on_after_a_bad_picture(run, tmp_path, weights):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "c.png"):
        Image.fromarray(picture()).save(photos / name)
    (photos / "b.png").write_text("no picture")
    shutil.copy(photos / "a.png", photos / f"{'b' * 245}.png")  # the names of its results are too long to be written
    out = tmp_path / "out"
    code, said, err = run("predict", photos, "-o", out, "--model", weights, "--crop", "none", "--format", "npy")
    assert code == 2
    assert "2 of 4 pictures failed" in err
    assert "b.png: not a picture" in err
    assert "File name too long" in err
    assert {path.name for path in out.glob("*.npy")} == {"a_depth.npy", "c_depth.npy"}
    assert "c.png -> " in said


def test_rerender(run, tmp_path, sample_root):
    for folder in ("images", "cam_poses", "shapes"):
        (tmp_path / folder).mkdir()
        suffix = ".ply" if folder == "shapes" else (".npy" if folder == "cam_poses" else ".png")
        name = f"seed0002{suffix}"
        (tmp_path / folder / name).write_bytes((sample_root / folder / name).read_bytes())
    code, out, err = run("rerender", tmp_path, "--size", 24, "--grid", 128)
    assert code == 0, err
    assert f"1 depth maps written to {tmp_path / 'depth'}" in out
    assert np.load(tmp_path / "depth" / "seed0002.npy").shape == (24, 24)


def test_models_lists_every_model(run):
    code, out, _ = run("models")
    assert code == 0
    for name in list_models():
        assert re.search(rf"^{name}: .*\(\d+\.\d M parameters, outputs ({'|'.join(KINDS)})\)$", out, re.MULTILINE)
    assert out.count("licence:") == out.count("weights:") == len(list_models())
    large = out[out.index("depth_anything_v2_large") :].split("\ndepth_anything_v2_small")[0]
    assert "licence: CC-BY-NC-4.0" in large
    assert "fetched from: https://huggingface.co/depth-anything/Depth-Anything-V2-Large/" in large


def test_a_file_is_told_what_it_means(run, refused, tmp_path, sample_root, weights):
    foreign = tmp_path / "original.pt"
    torch.save(rule.weights("attention_unet"), foreign)
    photo, out = sample_root / "images" / "seed0000.png", tmp_path / "out"
    code, _, err = run("predict", photo, "-o", out, "--model", foreign, "--kind", "relief", "--crop", "none",
                       "--format", "npy", "--device", "cpu")
    assert code == 0, err
    assert json.loads((out / "seed0000_depth.json").read_text())["kind"] == "relief"
    assert "says itself what its output means" in refused(
        "predict", photo, "-o", tmp_path / "other", "--model", weights, "--kind", "affine_relief"
    )
    message = refused("train", "--data", f"eg3d:{sample_root}", "--model", "attention_unet", "--kind", "relief", "-o",
                      tmp_path / "run")
    assert "--kind: only where --model is a file" in message


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"example: facedepth {verb}" in " ".join(out.split())


def test_the_help_names_every_verb(run):
    code, out, _ = run("--help")
    assert code == 0
    assert re.findall(r"^    (\w+) ", out, re.MULTILINE) == list(VERBS)


def test_installed_command(tmp_path):
    command = Path(sys.executable).with_name("facedepth")
    done = subprocess.run([command, "predict", "nothing.jpg", "-o", "out", "--model", "none.pt"],
                          capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "facedepth predict: nothing.jpg: no such file\n"
    module = subprocess.run([sys.executable, "-m", "facedepth", "predict", "nothing.jpg", "-o", "out"],
                            capture_output=True, text=True, cwd=tmp_path)
    assert (module.returncode, module.stderr) == (done.returncode, done.stderr)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- bad data to train on


def damage(paired: Path, what: str) -> str:
    """Do something to Bert's files; gives what the message must say."""
    image, depth = paired / "images" / "bert.png", paired / "depths" / "bert.npy"
    values = np.load(depth)
    match what:
        case "image without depth":
            depth.unlink()
            return r"without depth \(bert.png\)"
        case "depth without image":
            image.unlink()
            return r"depth without image \(bert.npy\)"
        case "size mismatch":
            np.save(depth, values[:20])
            return r"bert.npy: size mismatch, 48 x 20 does not have the aspect ratio of the 48 x 48 image"
        case "truncated PNG":
            image.write_bytes(image.read_bytes()[:2000])
            return r"bert.png: a damaged picture"
        case "0-byte npy":
            depth.write_bytes(b"")
            return r"bert.npy: the file is empty \(0 bytes\)"
        case "all NaN":
            np.save(depth, np.full_like(values, np.nan))
            return r"bert.npy: no valid depth: every pixel is 0, NaN or inf"
        case "text named png":
            image.write_text("I am a text")
            return r"bert.png: not a picture, whatever its name says"
        case "negative depth":
            np.save(depth, -values)
            return r"bert.npy: depth must not be negative"
        case "text named npy":
            depth.write_text("I am a text")
            return r"bert.npy: not a readable NumPy file"
        case "objects in npy":
            np.save(depth, np.array([{"a": 1}]), allow_pickle=True)
            return r"bert.npy: not a readable NumPy file"


DAMAGES = (
    "image without depth", "depth without image", "size mismatch", "truncated PNG", "0-byte npy", "all NaN",
    "text named png", "negative depth", "text named npy", "objects in npy",
)


@pytest.mark.parametrize("what", DAMAGES)
def test_bad_data_in_training(refused, tmp_path, paired, what):
    expected = damage(paired, what)
    message = refused(*train_command(paired, tmp_path / "run", "--set", "workers=0"))
    assert re.search(expected, message)


@pytest.mark.parametrize("what", ["truncated PNG", "all NaN"])
def test_bad_data_in_a_worker_read_the_same(refused, tmp_path, paired, what):
    expected = damage(paired, what)
    message = refused(*train_command(paired, tmp_path / "run", "--set", "workers=2"))
    assert re.search(expected, message)
    assert "DataLoader" not in message


@pytest.mark.parametrize("what", DAMAGES)
def test_bad_data_in_evaluation(refused, tmp_path, paired, weights, what):
    expected = damage(paired, what)
    message = refused("evaluate", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--model", weights,
                      "-o", tmp_path / "scores")
    assert re.search(expected, message)
    assert not (tmp_path / "scores").exists()


def test_bad_files_can_be_skipped(run, tmp_path, paired):
    damage(paired, "truncated PNG")
    Image.fromarray(picture()).save(paired / "images" / "dora.png")
    with pytest.warns(UserWarning, match=r"skipping (files without partners|samples with damaged files)"):
        code, _, err = run(*train_command(paired, tmp_path / "run", "--skip-bad", "--set", "workers=0"))
    assert code == 0, err


@pytest.mark.parametrize("unit", ["near_bright", "far_bright"])
def test_constant_depth_picture(refused, tmp_path, paired, unit):
    (paired / "depths" / "bert.npy").unlink()
    Image.fromarray(np.full((48, 48), 77, np.uint8)).save(paired / "depths" / "bert.png")
    arguments = train_command(paired, tmp_path / "run", "--option", "kind=affine_relief", "--set", "workers=0")
    arguments[arguments.index("mm")] = unit
    assert "bert.png: no depth in it, every valid pixel is 77" in refused(*arguments)


def test_constant_eg3d_depth(refused, tmp_path, sample_root, weights):
    for folder in ("images", "cam_poses", "depth128x128"):
        (tmp_path / folder).mkdir()
        for path in (sample_root / folder).iterdir():
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    Image.fromarray(np.full((128, 128), 9, np.uint8)).save(tmp_path / "depth128x128" / "seed0001.png")
    message = refused("evaluate", "--data", f"eg3d:{tmp_path}", "--model", weights, "-o", tmp_path / "scores")
    assert "seed0001.png: no depth in it, every pixel is 9" in message


@pytest.mark.parametrize("kind", ["paired", "eg3d", "eg3d-8bit"])
def test_missing_and_empty_folders(refused, tmp_path, kind):
    missing = tmp_path / "missing"
    message = refused(*train_command(missing, tmp_path / "run", kind=kind))
    assert str(missing / "images") in message
    for folder in ("images", "depths", "depth128x128", "cam_poses"):
        (missing / folder).mkdir(parents=True)
    message = refused(*train_command(missing, tmp_path / "run", kind=kind))
    assert re.search(rf"{missing / 'images'}: expected .*, found none", message)
    assert not (tmp_path / "run").exists()


def test_one_person_cannot_be_split(refused, tmp_path, paired):
    for stem in ("bert", "carl"):
        for path in paired.glob(f"*/{stem}.*"):
            path.unlink()
    assert "expected at least two identities" in refused(*train_command(paired, tmp_path / "run"))


# ----------------------------------------------------------------------------------------------------------- bad photos


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("text.png", b"I am a text", "text.png: not a picture, whatever its name says"),
        ("empty.png", b"", r"empty.png: the file is empty \(0 bytes\)"),
    ],
)
def test_photos_that_are_none(refused, tmp_path, weights, name, content, expected):
    (tmp_path / name).write_bytes(content)
    message = refused("predict", tmp_path / name, "-o", tmp_path / "out", "--model", weights)
    assert re.search(expected, message)
    assert not (tmp_path / "out").exists()


def test_photo_cut_short(refused, tmp_path, weights):
    Image.fromarray(picture()).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:3000])
    message = refused("predict", tmp_path / "cut.png", "-o", tmp_path / "out", "--model", weights)
    assert "cut.png: a damaged picture" in message


@pytest.mark.parametrize("crop", ["face", "none"])
def test_photo_of_one_pixel(refused, tmp_path, weights, crop):
    Image.fromarray(picture(1, 1)).save(tmp_path / "dot.png")
    message = refused("predict", tmp_path / "dot.png", "-o", tmp_path / "out", "--model", weights, "--crop", crop)
    assert "dot.png: expected at least 16 x 16 pixels, got 1 x 1" in message


def test_photo_without_a_face(refused, tmp_path, weights):
    Image.fromarray(picture(96, 96)).save(tmp_path / "noise.png")
    message = refused("predict", tmp_path / "noise.png", "-o", tmp_path / "out", "--model", weights)
    assert "no face found" in message
    assert "--crop none" in message


def test_no_photos(refused, tmp_path, weights):
    (tmp_path / "photos").mkdir()
    assert "no picture in it" in refused("predict", tmp_path / "photos", "-o", tmp_path, "--model", weights)
    assert "no such file" in refused("predict", tmp_path / "nowhere", "-o", tmp_path, "--model", weights)
    (tmp_path / "list.txt").write_text("# nothing\ngone.jpg\n")
    assert "gone.jpg: no such file" in refused("predict", tmp_path / "list.txt", "-o", tmp_path, "--model", weights)


def test_unknown_format_is_refused_before_the_work(refused, tmp_path, weights):
    Image.fromarray(picture()).save(tmp_path / "me.png")
    message = refused("predict", tmp_path / "me.png", "-o", tmp_path, "--model", weights, "--format", "npy,stl")
    assert re.search(r"formats: expected some of npy, .*, got stl", message)


def test_out_is_a_file(refused, tmp_path, weights):
    Image.fromarray(picture()).save(tmp_path / "me.png")
    (tmp_path / "out").write_text("in the way")
    message = refused("predict", tmp_path / "me.png", "-o", tmp_path / "out", "--model", weights, "--crop", "none")
    assert "out" in message


# ----------------------------------------------------------------------------------------------------------- bad models


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_checkpoints_that_are_none(refused, tmp_path, sample_root, weights, verb):
    def said_of(model) -> str:
        if verb == "predict":
            return refused("predict", sample_root / "images" / "seed0000.png", "-o", tmp_path / "out", "--model", model)
        return refused("evaluate", "--data", f"eg3d-8bit:{sample_root}", "-o", tmp_path / "out", "--model", model)

    text, resnet, cut = tmp_path / "text.pt", tmp_path / "resnet.pt", tmp_path / "cut.safetensors"
    text.write_text("hello, I am a text\n")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, resnet)
    cut.write_bytes(weights.read_bytes()[:-50])
    assert "text.pt: not a readable PyTorch file" in said_of(text)
    assert "resnet.pt: its keys (conv1.weight) are those of no known network" in said_of(resnet)
    assert "cut.safetensors: not a readable safetensors file" in said_of(cut)
    assert "gone.safetensors: no such checkpoint file" in said_of("gone.safetensors")
    assert not (tmp_path / "out").exists()


def test_published_weights_that_cannot_be_fetched(refused, tmp_path, paired, monkeypatch):
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path / "cache"))
    url = "http://127.0.0.1:9/midas.pt"  # nobody listens there
    monkeypatch.setitem(MODELS, "midas_small", MODELS["midas_small"]._replace(url=url))
    message = refused(*midas_command(paired, tmp_path / "run", "--finetune"))
    assert url in message
    assert str(tmp_path / "cache" / "midas.pt") in message
    assert not (tmp_path / "run").exists()


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


def test_the_square_of_a_face_can_be_told(run, tmp_path):
    photo = Path(__file__).parents[1] / "assets" / "astronaut.png"
    assert run("predict", photo, "-o", tmp_path, "--crop", "100,0,256", "--format", "npy")[0] == 0
    facts = json.loads((tmp_path / "astronaut_depth.json").read_text())
    assert facts["crop"] == {"left": 100, "top": 0, "size": 256, "tilt_deg": 0.0}


def test_nothing_is_fetched_before_the_data_is_seen(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(MODELS, "midas_small", MODELS["midas_small"]._replace(url="http://127.0.0.1:9/midas.pt"))
    assert "nowhere" in refused(*midas_command(tmp_path / "nowhere", tmp_path / "run", "--finetune"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("option", [["--option", "features=8"], ["--kind", "relief"], ["--encoder", "lite0.pth"]])
def test_published_weights_bring_their_own_options(refused, tmp_path, paired, option):
    assert f"{option[0]}: only where" in refused(*midas_command(paired, tmp_path / "run", "--finetune", *option))


def test_resuming_a_run_of_another_model(refused, run, tmp_path, paired):
    assert run(*train_command(paired, tmp_path / "run", "--set", "workers=0"))[0] == 0
    message = refused(*train_command(paired, tmp_path / "run", "--resume", "--option", "channels=4"))
    assert "was started with other settings (options: " in message


def test_data_that_cannot_train_the_model(refused, tmp_path, sample_root):
    data = f"eg3d-8bit:{sample_root}"
    message = refused("train", "--data", data, "--model", "attention_unet", "--option", "kind=relief", "-o",
                      tmp_path / "run")
    assert "data of depth_kind 'affine' may train affine_relief, not 'relief'" in message


def test_evaluation_that_makes_no_sense(refused, tmp_path, sample_root, weights):
    message = refused("evaluate", "--data", f"eg3d-8bit:{sample_root}", "--model", weights, "-o", tmp_path / "out",
                      "--align", "none")
    assert "a model of kind 'relief' makes no picture in [-1, 1]" in message


# --------------------------------------------------------------------------------------------------------- bad settings


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--set", "epoch=3"], r"got 'epoch=3'; known keys: .*epochs"),
        (["--set", "epochs"], r"expected KEY=VALUE, got 'epochs'"),
        (["--set", "epochs=many"], r"epochs: expected a whole number of at least 1, got 'many'"),
        (["--set", "learning_rate=nan"], r"learning_rate: expected a number, got 'nan'"),
        (["--set", "optimiser=sgd"], r"optimiser: expected one of adamw, adam, got 'sgd'"),
        (["--set", "out=elsewhere"], r"got 'out=elsewhere'; known keys"),
        (["--set", "target_kind=depth"], r"target_kind: expected one of relief, .*, got 'depth'"),
        (["--set", "input_size=big"], r"input_size: expected a whole number of at least 16, got 'big'"),
        (["--set", "device=warp"], r"device 'warp' cannot be used here"),
        (["--set", "epochs=True"], r"epochs: expected a whole number of at least 1, got True"),
        (["--set", "gradient_checkpointing=no"], r"gradient_checkpointing: expected True or False, got 'no'"),
        (["--option", "head_mask=no"], r"head_mask: expected True or False, got 'no'"),
        (["--option", "chanels=2"], r"--option: .*chanels"),
        (["--option", "channels=1"], r"depth >= 2 and channels >= 2"),
        (["--option", "channels=two"], r"channels: expected a whole number of at least 1, got 'two'"),
        (["--option", "channels=2.5"], r"channels: expected a whole number of at least 1, got 2.5"),
        (["--set", "channels=8"], r"got 'channels=8'; channels is an option of the model: --option channels=8; known"),
        (["--set", "learning_rate=1e999"], r"learning_rate: expected a finite number, above 0, got inf"),
        (["--option", "mean=3"], r"--option: "),
        (["--size", 0], r"size: expected a whole number of at least 1, got 0"),
        (["--unit", "[1]"], r"unit: expected one of m, cm, mm.*got '\[1\]'"),
        (["--option", "input_size=8"], r"input_size: expected a whole number of at least 16, got 8"),
        (["--val", "1.5"], r"val: expected above 0 and below 1, got 1.5"),
        (["--unit", "miles"], r"unit: expected one of m, cm, mm"),
        (["--fov", "180"], r"--fov: expected between 0 and 180 degrees, got 180"),
        (["--data", "photos:here"], r"--data: expected eg3d:FOLDER .*; got 'photos:here'"),
        (["--data", "here"], r"--data: expected eg3d:FOLDER .*; got 'here'"),
        (["--model", "resnet"], r"resnet: no such checkpoint file"),
    ],
)
def test_settings_that_make_no_sense(refused, tmp_path, paired, more, expected):
    assert re.search(expected, refused(*train_command(paired, tmp_path / "run", *more)))
    assert not (tmp_path / "run").exists()


def test_paired_data_need_a_field_of_view(refused, tmp_path, paired):
    message = refused("train", "--data", f"paired:{paired}", "--model", "attention_unet", "-o", tmp_path / "run")
    assert "--fov: paired data need the pictures' horizontal field of view" in message


@pytest.mark.parametrize("arguments", [[], ["paint"], ["predict"], ["train", "--epochs", "3"]])
def test_words_that_are_no_command(run, arguments):
    code, _, err = run(*arguments)
    assert code == 2
    assert "usage: facedepth" in err


def test_where_the_output_is_no_file_it_works_too(monkeypatch):
    """In a notebook, whose output has no encoding to set."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)
    assert main(["models"]) == 0
    assert "face_small" in said.getvalue()


# ------------------------------------------------------------------------------------------------- several data sets


def test_repeated_data_are_trained_on_and_scored_together(run, tmp_path, paired):
    sample = Path(__file__).parents[1] / "data" / "sample"  # of exact depth
    two = ["--data", f"eg3d:{sample}", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30]
    code, _, err = run("train", *two, "--model", "attention_unet", "-o", tmp_path / "run", *TINY)
    assert code == 0, err
    best = tmp_path / "run" / "best.safetensors"
    code, out, err = run("evaluate", *two, "--model", best, "-o", tmp_path / "scores")
    assert code == 0, err
    assert "on 11 pictures" in out


def test_what_only_paired_data_need_is_refused_for_others(refused, tmp_path, sample_root, weights):
    command = ["evaluate", "--data", f"eg3d:{sample_root}", "--model", weights, "-o", tmp_path / "scores"]
    for option in (["--fov", 30], ["--unit", "mm"]):
        message = refused(*command, *option)
        assert f"{option[0]}: for paired data only" in message

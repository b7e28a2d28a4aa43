"""facedepth predict: several photos at once, photos that are none, and weights that are none."""

import io
import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from commands import picture
from parity import rule
from PIL import Image


def test_predict_takes_several_and_warns_without_our_code(done, tmp_path, weights):
    (tmp_path / "in").mkdir()
    photos = [tmp_path / "in" / "a.png", tmp_path / "b.png"]
    for path in photos:
        Image.fromarray(picture()).save(path)
    frames = [Image.new("L", (4, 4), level) for level in (0, 255)]
    frames[0].save(tmp_path / "in" / "film.gif", save_all=True, append_images=frames[1:])
    out = tmp_path / "out"
    with pytest.warns(UserWarning, match=f"{tmp_path / 'in'}: left out"):
        said = done("predict", tmp_path / "in", photos[1], "-o", out, "--model", weights, "--crop", "none",
                    "--format", "npy")
    assert said.count(" -> ") == 2
    assert {path.stem for path in out.glob("*.npy")} == {"a_depth", "b_depth"}
    assert warnings.formatwarning("left out", UserWarning, "verbs.py", 3) == "facedepth predict: left out\n"


def test_the_square_of_a_face_can_be_told(done, tmp_path):
    photo = Path(__file__).parents[1] / "assets" / "astronaut.png"
    done("predict", photo, "-o", tmp_path, "--crop", "100,0,256", "--format", "npy")
    facts = json.loads((tmp_path / "astronaut_depth.json").read_text())
    assert facts["crop"] == {"left": 100, "top": 0, "size": 256, "tilt_deg": 0.0}


def test_a_file_is_told_what_it_means(done, refused, tmp_path, sample_root, weights):
    foreign = tmp_path / "original.pt"
    torch.save(rule.weights("attention_unet"), foreign)
    photo, out = sample_root / "images" / "seed0000.png", tmp_path / "out"
    done("predict", photo, "-o", out, "--model", foreign, "--kind", "relief", "--crop", "none",
         "--format", "npy", "--device", "cpu")
    assert json.loads((out / "seed0000_depth.json").read_text())["kind"] == "relief"
    assert "says itself what its output means" in refused(
        "predict", photo, "-o", tmp_path / "other", "--model", weights, "--kind", "affine_relief"
    )
    message = refused("train", "--data", f"eg3d:{sample_root}", "--model", "attention_unet", "--kind", "relief", "-o",
                      tmp_path / "run")
    assert "--kind: only where --model is a file" in message


def test_a_batch_goes_on_where_it_was_stopped(done, run, refused, tmp_path, weights):
    for name in "abc":
        Image.fromarray(picture()).save(tmp_path / f"{name}.png")
    photos, out = [tmp_path / f"{name}.png" for name in "abc"], tmp_path / "out"
    again = ("predict", *photos, "--model", weights, "-o", out, "--crop", "none", "--format", "npy", "--skip-existing")
    done("predict", photos[0], *again[4:])
    before = (out / "a_depth.npy").stat().st_mtime_ns
    said = done(*again)
    assert said.count("->") == 2
    assert "left out, because their results are there: 1 of 3" in said
    code, said, _ = run(*again[:-2], "png", "--skip-existing")  # another format is not there yet
    assert code == 2
    assert said == ""  # it finds the .json of the others in its way
    (out / "b_depth.json").unlink()  # as a call that was cut short leaves it
    assert "b_depth.npy: already there" in refused(*again)
    said = done(*again, "--overwrite")
    assert said.count("->") == 1
    assert (out / "a_depth.npy").stat().st_mtime_ns == before


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


def test_a_square_that_misses_some_pictures_names_them(run, tmp_path, weights):
    for name, side in (("a", 96), ("b", 40)):
        Image.fromarray(picture(side, side)).save(tmp_path / f"{name}.png")
    code, said, err = run("predict", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out", "--model", weights,
                          "--crop=60,60,32", "--format", "npy")
    assert code == 2
    assert f"{tmp_path / 'b.png'}: crop: expected a square that overlaps the 40 x 40 picture" in err
    assert f"{tmp_path / 'a.png'} ->" in said


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


def png(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(height, width)).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize("crop", ["face", "none"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"I am a text", "me.png: not a picture, whatever its name says"),
        (b"", r"me.png: the file is empty \(0 bytes\)"),
        (png(48, 48)[:3000], "me.png: a damaged picture"),
        (png(1, 1), "me.png: expected at least 16 x 16 pixels, got 1 x 1"),
    ],
    ids=["text", "empty", "cut short", "one pixel"],
)
def test_photos_that_are_none_are_refused(refused, tmp_path, weights, content, expected, crop):
    (tmp_path / "me.png").write_bytes(content)
    message = refused("predict", tmp_path / "me.png", "-o", tmp_path / "out", "--model", weights, "--crop", crop)
    assert re.search(expected, message)
    assert not (tmp_path / "out").exists()


def test_a_photo_without_a_face_is_told_how_to_be_taken_whole(refused, tmp_path, weights):
    (tmp_path / "noise.png").write_bytes(png(96, 96))
    message = refused("predict", tmp_path / "noise.png", "-o", tmp_path / "out", "--model", weights)
    assert "no face found" in message
    assert "--crop none" in message


def test_where_no_photos_are_it_is_said(refused, tmp_path, weights):
    (tmp_path / "photos").mkdir()
    assert "no picture in it" in refused("predict", tmp_path / "photos", "-o", tmp_path, "--model", weights)
    assert "no such file" in refused("predict", tmp_path / "nowhere", "-o", tmp_path, "--model", weights)
    (tmp_path / "list.txt").write_text("# nothing\ngone.jpg\n")
    assert "gone.jpg: no such file" in refused("predict", tmp_path / "list.txt", "-o", tmp_path, "--model", weights)


def test_unknown_format_is_refused_before_the_work(refused, tmp_path, weights):
    Image.fromarray(picture()).save(tmp_path / "me.png")
    message = refused("predict", tmp_path / "me.png", "-o", tmp_path, "--model", weights, "--format", "npy,stl")
    assert re.search(r"formats: expected some of npy, .*, got stl", message)


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_checkpoints_that_are_none_are_refused(refused, tmp_path, sample_root, weights, verb):
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

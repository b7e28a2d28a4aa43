"""The data of facedepth train and evaluate: several kinds, and bad ones of every kind."""

import re
from pathlib import Path

import numpy as np
import pytest
from commands import TINY, picture, train_command
from PIL import Image


def test_train_takes_grey_rgba_and_16_bit_images(done, tmp_path, paired):
    Image.fromarray(picture()).convert("L").save(paired / "images" / "anna.png")
    Image.fromarray(picture()).convert("RGBA").save(paired / "images" / "bert.png")
    Image.fromarray(picture()[..., 0].astype(np.uint16) * 256).save(paired / "images" / "carl.png")
    done(*train_command(paired, tmp_path / "run", "--set", "workers=0"))


def test_repeated_data_are_trained_on_and_scored_together(done, tmp_path, paired):
    sample = Path(__file__).parents[1] / "data" / "sample"  # of exact depth
    two = ["--data", f"eg3d:{sample}", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30]
    done("train", *two, "--model", "attention_unet", "-o", tmp_path / "run", *TINY)
    best = tmp_path / "run" / "best.safetensors"
    out = done("evaluate", *two, "--model", best, "-o", tmp_path / "scores")
    assert "on 11 pictures" in out


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
def test_bad_data_are_named_in_training(refused, tmp_path, paired, what):
    expected = damage(paired, what)
    message = refused(*train_command(paired, tmp_path / "run", "--set", "workers=0"))
    assert re.search(expected, message)


@pytest.mark.parametrize("what", ["truncated PNG", "all NaN"])
def test_bad_data_are_named_as_well_by_a_worker(refused, tmp_path, paired, what):
    expected = damage(paired, what)
    message = refused(*train_command(paired, tmp_path / "run", "--set", "workers=2"))
    assert re.search(expected, message)
    assert "DataLoader" not in message


@pytest.mark.parametrize("what", DAMAGES)
def test_bad_data_are_named_in_evaluation(refused, tmp_path, paired, weights, what):
    expected = damage(paired, what)
    message = refused("evaluate", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--model", weights,
                      "-o", tmp_path / "scores")
    assert re.search(expected, message)
    assert not (tmp_path / "scores").exists()


def test_bad_files_can_be_skipped(done, tmp_path, paired):
    damage(paired, "truncated PNG")
    Image.fromarray(picture()).save(paired / "images" / "dora.png")
    with pytest.warns(UserWarning, match=r"skipping (files without partners|samples with damaged files)"):
        done(*train_command(paired, tmp_path / "run", "--skip-bad", "--set", "workers=0"))


@pytest.mark.parametrize("unit", ["near_bright", "far_bright"])
def test_a_constant_depth_picture_is_named(refused, tmp_path, paired, unit):
    (paired / "depths" / "bert.npy").unlink()
    Image.fromarray(np.full((48, 48), 77, np.uint8)).save(paired / "depths" / "bert.png")
    arguments = train_command(paired, tmp_path / "run", "--option", "kind=affine_relief", "--set", "workers=0")
    arguments[arguments.index("mm")] = unit
    assert "bert.png: no depth in it, every valid pixel is 77" in refused(*arguments)


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_constant_metric_depth_is_named(refused, tmp_path, paired, weights, verb):
    np.save(paired / "depths" / "bert.npy", np.full((48, 48), 500.0))
    arguments = train_command(paired, tmp_path / "run", "--set", "workers=0")
    if verb == "evaluate":
        arguments = ["evaluate", *arguments[1:7], "--model", weights, "-o", tmp_path / "scores"]
    assert "sample 'bert': depth: constant, 0.5 everywhere in the mask" in refused(*arguments)


def test_a_constant_depth_picture_of_eg3d_is_named(refused, tmp_path, sample_root, weights):
    for folder in ("images", "cam_poses", "depth128x128"):
        (tmp_path / folder).mkdir()
        for path in (sample_root / folder).iterdir():
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    Image.fromarray(np.full((128, 128), 9, np.uint8)).save(tmp_path / "depth128x128" / "seed0001.png")
    message = refused("evaluate", "--data", f"eg3d:{tmp_path}", "--model", weights, "-o", tmp_path / "scores")
    assert "seed0001.png: no depth in it, every pixel is 9" in message


@pytest.mark.parametrize("kind", ["paired", "eg3d", "eg3d-8bit"])
def test_missing_and_empty_folders_are_named(refused, tmp_path, kind):
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


def test_paired_data_need_a_field_of_view(refused, tmp_path, paired):
    message = refused("train", "--data", f"paired:{paired}", "--model", "attention_unet", "-o", tmp_path / "run")
    assert "--fov: paired data need the pictures' horizontal field of view" in message


def test_what_only_paired_data_need_is_refused_for_others(refused, tmp_path, sample_root, weights):
    command = ["evaluate", "--data", f"eg3d:{sample_root}", "--model", weights, "-o", tmp_path / "scores"]
    for option in (["--fov", 30], ["--unit", "mm"]):
        message = refused(*command, *option)
        assert f"{option[0]}: for paired data only" in message


def test_an_evaluation_that_makes_no_sense_is_refused(refused, tmp_path, sample_root, weights):
    message = refused("evaluate", "--data", f"eg3d-8bit:{sample_root}", "--model", weights, "-o", tmp_path / "out",
                      "--align", "none")
    assert "a model of kind 'relief' makes no picture in [-1, 1]" in message

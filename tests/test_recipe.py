"""The command that makes the shipped weights, from end to end at a hundredth of its scale."""

import os
import runpy
import sys
from pathlib import Path

import pytest
import torch

from facedepth.models import BEST, load_model

RECIPE = Path(__file__).parents[1] / "assets" / "weights" / "train.py"


def run_recipe(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    runpy.run_path(str(RECIPE), run_name="__main__")


@pytest.fixture
def all_cores():
    """Minutes of training with nothing beside it: ``make test-slow`` runs this file after all others."""
    torch.set_num_threads(os.cpu_count())
    yield
    torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.usefixtures("all_cores")
def test_the_recipe_makes_a_checkpoint_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    recipe = runpy.run_path(str(RECIPE))["RECIPES"][BEST]
    out = tmp_path / "out"
    command = (BEST, "-o", out, "--data", tmp_path / "faces", "--scale", 0.01, "--workers", 2)
    run_recipe(monkeypatch, *command)
    made = out / f"{BEST}.safetensors"
    model = load_model(made, device="cpu")
    assert (model.kind, model.input_size) == ("relief", 128)
    assert made.stat().st_size < 20e6
    assert len(list((tmp_path / "faces" / "images").iterdir())) == round(0.01 * recipe.faces)
    assert len((out / "history.csv").read_text().splitlines()) == 1 + recipe.epochs
    run_recipe(monkeypatch, *command)  # nothing is left to do
    again = load_model(made, device="cpu").state_dict()
    assert all(torch.equal(again[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["face_small", "attention_unet"])
def test_the_shipped_weights_are_what_the_recipe_makes(name):
    module = runpy.run_path(str(RECIPE))
    model = load_model(name, device="cpu")
    assert model.input_size == module["SIZE"]
    options = module["RECIPES"][name].options
    assert {key: model.options[key] for key in options} == options
    assert "licence" in model.info

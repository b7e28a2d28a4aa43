"""Networks of one's own: asked and scored as they are, trained and saved once they stand in the table of models."""

import itertools
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_runs import Changed

from facedepth import TrainConfig, create_model, evaluate, fit, load_model, predict
from facedepth.checks import InputError
from facedepth.data import Part
from facedepth.models import MODELS, DepthNetwork, ModelEntry, add_head_mask, save_model
from facedepth.models.decoder import DepthHead

ROOT = Path(__file__).parent.parent


@pytest.fixture
def table():
    """The table of models, which is as before after the test."""
    before = dict(MODELS)
    yield MODELS
    MODELS.clear()
    MODELS.update(before)


@pytest.fixture
def plain(table):
    """The README's network, in the table."""
    _, example = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(example, names)
    return names["Plain"]


def entry(build: type[DepthNetwork]) -> ModelEntry:
    return ModelEntry(build, about="mine", millions=0.1, licence="mine", weights="train it")


def config(folder: Path, **settings) -> TrainConfig:
    return TrainConfig(out=str(folder), epochs=1, batch_size=2, workers=0, input_size=32, **settings)


def test_one_that_is_in_no_table_is_asked_and_scored_but_not_trained_or_saved(tmp_path, exact_faces):
    class Flat(DepthNetwork):
        def predict_normalised(self, image):
            return image.mean(dim=1, keepdim=True)

    model = Flat(kind="relief", input_size=np.int64(32), mean=(0, 0, 0), std=(1, 1, 1))
    assert predict(model, exact_faces[0].image, crop="none").values.shape == (1, 64, 64)
    assert str(evaluate(model, exact_faces)).startswith("Flat on 4 pictures")
    with pytest.raises(InputError, match=r"Flat is a class of one's own.* add it to facedepth\.models\.MODELS"):
        save_model(model, tmp_path / "flat.safetensors")
    with pytest.raises(InputError, match=r"one that create_model knows.* got Flat; add a class of your own to"):
        fit(model, exact_faces, exact_faces, config(tmp_path / "run"))
    for width in (0, 3):
        model.predict_normalised = lambda image, width=width: image[:, :width]
        with pytest.raises(InputError, match=f"Flat: expected an output of 1 or 2 channels, got {width}"):
            predict(model, exact_faces[0].image, crop="none")
    with pytest.raises(InputError, match=r"expected a network.* got Conv2d"):
        evaluate(nn.Conv2d(3, 1, 1), exact_faces)


@pytest.mark.usefixtures("plain")
def test_the_readmes_learns_resumes_and_is_loaded_with_its_options(tmp_path, exact_faces):
    model = create_model("plain", width=4)
    settings = config(tmp_path, target_kind="affine_relief")
    fit(model, exact_faces, exact_faces, settings)
    fit(create_model("plain", width=4), exact_faces, exact_faces, replace(settings, resume=True))
    loaded = load_model(tmp_path / "best.safetensors", device="cpu")
    assert (loaded.name, loaded.kind, loaded.input_size, loaded.options["width"]) == ("plain", "affine_relief", 32, 4)
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(loaded(image), model(image))


@pytest.mark.usefixtures("plain")
def test_where_it_is_not_in_the_table_its_checkpoint_says_what_to_do(tmp_path):
    save_model(create_model("plain"), tmp_path / "plain.safetensors")
    script = "import sys, facedepth; facedepth.load_model(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "plain.safetensors"], capture_output=True, text=True, check=False
    )
    assert "model is not known here ('plain'); a network of your own must be added" in done.stderr


def test_what_its_checkpoint_does_not_hold_is_there_once_it_is_loaded(tmp_path, table):
    class Tinted(DepthNetwork):
        def __init__(self, *, kind: str = "relief", input_size: int = 32):
            super().__init__(kind=kind, input_size=input_size, mean=(0, 0, 0), std=(1, 1, 1))
            self.register_buffer("weights", torch.tensor([0.5, 0.3, 0.2]), persistent=False)
            self.gain = nn.Parameter(torch.ones(()))

        def predict_normalised(self, image):
            return self.gain * (image * self.weights[:, None, None]).sum(dim=1, keepdim=True)

    table["tinted"] = entry(Tinted)
    model, image = create_model("tinted"), torch.rand(1, 3, 32, 32)
    save_model(model, tmp_path / "tinted.safetensors")
    assert torch.equal(load_model(tmp_path / "tinted.safetensors", device="cpu")(image), model(image))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    "settings", [{"learns": "decoder"}, {"encoder_factor": 0.1}, {"frozen_epochs": 1, "epochs": 2}, {"learns": "lora"}]
)
def test_without_an_encoder_what_is_about_it_is_refused(tmp_path, exact_faces, settings):
    with pytest.raises(InputError, match="plain has no part called encoder; call it that, or set learns='all'"):
        fit(create_model("plain"), exact_faces, exact_faces, TrainConfig(out=str(tmp_path), **settings))


def test_an_encoder_may_rest(tmp_path, exact_faces, table):
    class TwoParts(DepthNetwork):
        def __init__(self, *, kind: str = "relief", input_size: int = 32):
            super().__init__(kind=kind, input_size=input_size, mean=(0, 0, 0), std=(1, 1, 1))
            self.encoder, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1)

        def predict_normalised(self, image):
            return self.last(self.encoder(image).relu())

    table["two_parts"] = entry(TwoParts)
    model = create_model("two_parts")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fit(model, exact_faces, exact_faces, config(tmp_path, learns="decoder"))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"last.weight", "last.bias"}


def test_options_that_a_checkpoint_could_not_name_are_refused(table):
    class Demanding(DepthNetwork):
        def __init__(self, width: int, *, kind: str = "relief"):
            super().__init__(kind=kind, input_size=32, mean=(0, 0, 0), std=(1, 1, 1))

        def predict_normalised(self, image):
            return image[:, :1]

    table["demanding"] = entry(Demanding)
    with pytest.raises(InputError, match=r"demanding: .* lacks input_size, a default for width"):
        create_model("demanding", width=3)


def with_dropout():
    class Forgetful(DepthNetwork):
        def __init__(self, *, depth: int = 0, kind: str = "relief", input_size: int = 32):
            super().__init__(kind=kind, input_size=input_size, mean=(0, 0, 0), std=(1, 1, 1))
            self.norm = nn.BatchNorm2d(3)
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Dropout(0.5), nn.Conv2d(4, 1, 1))

        def predict_normalised(self, image):
            return self.layers(self.norm(image))

    return Forgetful


def test_an_option_may_be_0_by_default(table):
    table["forgetful"] = entry(with_dropout())
    assert create_model("forgetful").options["depth"] == 0
    with pytest.raises(InputError, match="depth: expected a whole number of at least 0, got -1"):
        create_model("forgetful", depth=-1)


def test_with_dropout_a_run_that_goes_on_or_has_workers_computes_the_same(tmp_path, exact_faces, table):
    table["forgetful"] = entry(with_dropout())

    reads = itertools.count()

    def interrupt(sample):
        if next(reads) == 11:
            signal.raise_signal(signal.SIGINT)  # in the second of three epochs
        return sample

    def trained(name, data=exact_faces, **settings):
        torch.manual_seed(0)
        settings = {"epochs": 3, "repeats": 2, "augment": 0.5, "warmup_steps": 2} | settings
        config = TrainConfig(out=str(tmp_path / name), batch_size=2, input_size=32, device="cpu", **settings)
        model = create_model("forgetful")
        fit(model, data, exact_faces, config)
        return model.state_dict()

    whole = trained("whole", workers=0)
    with pytest.raises(KeyboardInterrupt):
        trained("stopped", Changed(Part(exact_faces, range(4)), interrupt), workers=0)
    assert 0 < torch.load(tmp_path / "stopped/state.pt", weights_only=True)["step_in_epoch"] < 4
    for name, other in (("stopped", trained("stopped", workers=0, resume=True)), ("two", trained("two", workers=2))):
        assert all(torch.equal(tensor, other[key]) for key, tensor in whole.items()), name


def test_parts_that_rest_still_rest_after_a_look_at_the_network(table, exact_faces):
    table["forgetful"] = entry(with_dropout())
    model = create_model("forgetful").train()
    model.norm.eval()
    predict(model, exact_faces[0].image, crop="none")
    evaluate(model, exact_faces)
    assert model.training
    assert model.layers.training
    assert not model.norm.training


def test_values_that_are_no_longer_clipped_are_not_clipped_once_loaded(tmp_path, table):
    class Inverse(DepthNetwork):
        def __init__(self, *, kind: str = "affine_inverse", input_size: int = 32):
            super().__init__(kind=kind, input_size=input_size, mean=(0, 0, 0), std=(1, 1, 1), non_negative=True)
            self.layer = nn.Conv2d(3, 1, 1)

        def predict_normalised(self, image):
            return self.layer(image) - 1

    table["inverse"] = entry(Inverse)
    model, image = create_model("inverse").eval(), torch.rand(1, 3, 32, 32)
    model.retarget("relief")
    assert (model(image) < 0).any()
    loaded = load_model(save_model(model, tmp_path / "a.safetensors"), device="cpu")
    assert torch.equal(loaded(image), model(image))


def test_weights_that_stand_twice_are_saved_twice_and_stay_one(tmp_path, exact_faces, table):
    class Tied(DepthNetwork):
        def __init__(self, *, kind: str = "relief", input_size: int = 32):
            super().__init__(kind=kind, input_size=input_size, mean=(0, 0, 0), std=(1, 1, 1))
            again = nn.Conv2d(4, 4, 3, padding=1)
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), again, nn.ReLU(), again, nn.Conv2d(4, 2, 1))

        def predict_normalised(self, image):
            return self.layers(image)

    table["tied"] = entry(Tied)
    model, image = create_model("tied"), torch.rand(1, 3, 32, 32)
    fit(model, exact_faces, exact_faces, config(tmp_path))
    loaded = load_model(tmp_path / "best.safetensors", device="cpu")
    assert loaded.layers[1].weight is loaded.layers[3].weight
    torch.testing.assert_close(loaded(image), model(image))  # another memory layout rounds otherwise


def test_a_head_mask_that_no_checkpoint_could_name_is_not_added(table):
    class Shallow(DepthNetwork):
        def __init__(self, *, kind: str = "relief", input_size: int = 32):
            super().__init__(kind=kind, input_size=input_size, mean=(0, 0, 0), std=(1, 1, 1))
            self.head = DepthHead(4, head_mask=False, align_corners=True)

        def predict_normalised(self, image):
            return self.head(image.repeat(1, 2, 1, 1)[:, :4], image.shape[-2:])

    table["shallow"] = entry(Shallow)
    with pytest.raises(InputError, match="shallow: no head mask can be added; give its class an option head_mask"):
        add_head_mask(create_model("shallow"))

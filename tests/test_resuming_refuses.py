"""What must be as it was for a run to go on, settings, network and data; and what need not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import Changed, config, stop

from facedepth.checks import InputError
from facedepth.data import Part
from facedepth.models import load_model, save_model
from facedepth.training import fit

# --- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.5}, "learning_rate: 0.01 then, 0.5 now"),
        ({"epochs": 3}, "epochs: 4 then, 3 now"),
        ({"seed": 3, "augment": 0.1}, "augment: 0.5 then, 0.1 now; seed: 0 then, 3 now"),
    ],
)
def test_resuming_with_other_settings_names_them(finished_run, tiny_model, train, val, changes, message):
    with pytest.raises(InputError, match="was started with other settings") as caught:
        fit(tiny_model(), train, val, replace(finished_run.config, resume=True, **changes))
    assert message in str(caught.value)


def test_a_run_goes_on_with_what_it_teaches_whatever_the_model_was_made_to_say(tmp_path, tiny_model, exact_faces):
    model, data = tiny_model(kind="affine_inverse"), (Part(exact_faces, [0, 1]), Part(exact_faces, [2]))
    fit(model, *data, config(tmp_path / "first", epochs=1, target_kind="relief"))
    with pytest.raises(KeyboardInterrupt):
        fit(model, *data, config(tmp_path / "run"), callbacks=[stop])
    with pytest.raises(InputError, match="target_kind: 'relief' then, 'affine_inverse' now"):
        fit(tiny_model(kind="affine_inverse"), *data, config(tmp_path / "run", resume=True))
    again = load_model(tmp_path / "first/best.safetensors", device="cpu")
    fit(again, *data, config(tmp_path / "run", resume=True))
    assert load_model(tmp_path / "run/last.safetensors").kind == "relief"


@pytest.mark.parametrize("told", ["relief", "affine_inverse"])  # the second: another kind since the network was made
def test_the_runs_of_older_versions_go_on(tmp_path, tiny_model, exact_faces, told):
    model, data = tiny_model(kind="relief"), (Part(exact_faces, [0, 1]), Part(exact_faces, [2]))
    with pytest.raises(KeyboardInterrupt):
        fit(model, *data, config(tmp_path), callbacks=[stop])
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    assert (saved["target_kind"], saved["input_size"]) == ("relief", model.input_size)
    older = {name: value for name, value in saved.items() if not name.endswith(("_size", "_focal", "_head", "_face"))}
    older |= {"target_kind": None, "input_size": None, "batch_size": saved["batch_size"]}
    older |= {"options": model.options | {"kind": told}}
    older.pop("non_negative")
    path.write_text(json.dumps(older))
    assert len(fit(tiny_model(kind="relief"), *data, config(tmp_path, resume=True))) == 2


def test_a_run_of_an_older_version_that_wrote_down_less_goes_on(tmp_path, train, val, tiny_model):
    fit(tiny_model(), train, val, config(tmp_path / "run", epochs=1))
    path = tmp_path / "run/config.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({name: told[name] for name in told if name not in ("val_first_depth", "clip_norm")}))
    assert len(fit(tiny_model(), train, val, config(tmp_path / "run", epochs=1, resume=True))) == 1
    path.write_text(json.dumps(told | {"clip_norm": 3.0}))
    with pytest.raises(InputError, match=r"other settings \(clip_norm: 3\.0 then"):
        fit(tiny_model(), train, val, config(tmp_path / "run", epochs=1, resume=True))


# --- the network and the data


def test_the_licence_stays_with_a_run_that_goes_on_with_another_model(tmp_path, tiny_model, train, val):
    save_model(tiny_model(), tmp_path / "started_from.safetensors", info={"licence": "CC-BY-NC-4.0"})
    model = load_model(tmp_path / "started_from.safetensors", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(model, train, val, config(tmp_path / "run"), callbacks=[stop])
    other = tiny_model()
    fit(other, train, val, config(tmp_path / "run", resume=True))
    for name in ("best", "last"):
        assert load_model(tmp_path / f"run/{name}.safetensors").info["licence"] == "CC-BY-NC-4.0"
    assert other.info["licence"] == "CC-BY-NC-4.0"


def test_resuming_another_model_or_other_data_is_refused(finished_run, tiny_model, train, affine_faces):
    settings = replace(finished_run.config, resume=True)
    with pytest.raises(InputError, match=r"options: .*'channels': 2.* then, .*'channels': 4.* now"):
        fit(tiny_model(channels=4), train, Part(affine_faces, [3]), settings)
    with pytest.raises(InputError, match=r"val_samples: 1 then, 2 now.*; choose another folder"):
        fit(tiny_model(), train, Part(affine_faces, [3, 3]), replace(settings, seed=3))
    with pytest.raises(InputError, match=r"val_samples: 1 then, 2 now.*replace files that were lost, .*last\."):
        fit(tiny_model(), train, Part(affine_faces, [3, 3]), settings)


def test_other_people_are_another_run(tmp_path, affine_faces, tiny_model, val):
    fit(tiny_model(), Part(affine_faces, [0, 1]), val, config(tmp_path / "run"))
    with pytest.raises(InputError, match=r"other settings .*train_people"):
        fit(tiny_model(), Part(affine_faces, [0, 2]), val, config(tmp_path / "run", resume=True))


def test_other_depth_under_the_same_names_is_another_run(tmp_path, train, val, tiny_model):
    def go_on(factor):
        scaled = Changed(val, lambda one: one._replace(depth=factor * one.depth))
        return fit(tiny_model(), train, scaled, config(tmp_path / "run", epochs=1, resume=True))

    go_on(1.0)
    assert len(go_on(1.00001)) == 1  # as another processor rounds
    with pytest.raises(InputError, match=r"other settings \(val_first_depth: .* the same samples"):
        go_on(0.9)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (lambda s: s._replace(camera=s.camera._replace(K=s.camera.K * torch.tensor([[2.0], [1.0], [1.0]]))), "focal"),
        (lambda s: s._replace(head=s.head & (torch.arange(s.head.shape[-1]) < 16)), "head"),
        (lambda s: s._replace(face=s.face & False), "face"),
    ],
)
def test_a_run_does_not_go_on_with_the_same_pictures_read_otherwise(tmp_path, tiny_model, train, val, changed, named):
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), train, val, config(tmp_path), callbacks=[stop])
    with pytest.raises(InputError, match=f"train_first_{named}: .* then, .* now"):
        fit(tiny_model(), Changed(train, changed), val, config(tmp_path, resume=True))


def test_a_run_whose_best_weights_are_gone_says_so_before_the_work(finished_copy, tiny_model, train, val):
    Path(finished_copy.out, "best.safetensors").unlink()
    with pytest.raises(InputError, match=r"best\.safetensors: the run's best weights are gone; .* last\.safetensors"):
        fit(tiny_model(), train, val, replace(finished_copy, resume=True, epochs=5))

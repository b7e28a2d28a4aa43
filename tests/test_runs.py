"""What a training run guards: its folder, its settings, its data, and the memory of those who stop it."""

import errno
import json
import shutil

import pytest
import torch

from facedepth.checks import InputError
from facedepth.config import TrainConfig
from facedepth.data import Part, split
from facedepth.evaluation import evaluate
from facedepth.models import create_model, load_model, save_model
from facedepth.objectives import LossWeights
from facedepth.optimisation import TrainingStopped
from facedepth.runs import alone_in
from facedepth.sample import Sample
from facedepth.training import fit


def config(out, **changes) -> TrainConfig:
    settings = {"epochs": 2, "batch_size": 2, "input_size": 32, "workers": 0, "device": "cpu", "augment": 0.0}
    return TrainConfig(out=str(out), **settings | changes)


def stop(*_) -> None:
    """A callback that is a Ctrl-C after the first epoch."""
    raise KeyboardInterrupt


class Changed(Part):
    """A part whose samples are not quite what they were."""

    def __init__(self, part: Part, change):
        super().__init__(part, range(len(part)))
        self.change = change

    def __getitem__(self, index: int) -> Sample:
        return self.change(super().__getitem__(index))

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        return [self[index] for index in indices]


# -------------------------------------------------------------------------------------------------------- its folder


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(tiny_model, train, val, small_disk):
    settings = {"epochs": 2, "save_every_s": 0.0}
    fit(tiny_model(), train, val, config(small_disk / "run", **settings | {"epochs": 1}))
    state_size = (small_disk / "run" / "state.pt").stat().st_size  # for a moment, the old and the new one are there
    free = shutil.disk_usage(small_disk).free
    shutil.rmtree(small_disk / "run")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(free + state_size // 2))
    with pytest.raises(OSError, match=r"state\.pt: cannot be written whole; is the disk full\?.*resume=True"):
        fit(tiny_model(), train, val, config(small_disk / "run", **settings))
    assert not list((small_disk / "run").glob(".state*"))
    filler.unlink()
    assert len(fit(tiny_model(), train, val, config(small_disk / "run", **settings, resume=True))) == 2


def test_two_processes_do_not_train_into_one_folder(tmp_path, tiny_model, train, val):
    run = tmp_path / "run"
    with alone_in(run):
        for resume in (False, True):
            with pytest.raises(InputError, match="run: another training is running there; wait for its end"):
                fit(tiny_model(), train, val, config(run, resume=resume))
        assert [path.name for path in run.iterdir()] == [".lock"]
    fit(tiny_model(), train, val, config(run, epochs=1))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_where_a_file_system_has_no_locks_training_goes_on_with_a_word(tmp_path, monkeypatch, number):
    def refused(*_, **__) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr("facedepth.paths.FileLock.acquire", refused)
    word = "cannot be locked .*no locks here.*make sure that nothing else writes there"
    with pytest.warns(UserWarning, match=word), alone_in(tmp_path):
        pass


def test_lost_settings_are_named(tmp_path, tiny_model, train, val):
    fit(tiny_model(), train, val, config(tmp_path, epochs=1))
    for text in (None, "", "[1]", "{}"):
        (tmp_path / "config.json").unlink()
        if text is not None:
            (tmp_path / "config.json").write_text(text)
        with pytest.raises(InputError, match=r"config.json: the run's settings are lost or damaged.*put the file back"):
            fit(tiny_model(), train, val, config(tmp_path, epochs=1, resume=True))
        (tmp_path / "config.json").touch()


def test_a_finished_run_is_not_written_again(tmp_path, tiny_model, train, val):
    fit(tiny_model(), train, val, config(tmp_path, epochs=1))
    before = (tmp_path / "state.pt").stat().st_mtime_ns
    fit(tiny_model(), train, val, config(tmp_path, epochs=1, resume=True))
    assert (tmp_path / "state.pt").stat().st_mtime_ns == before


# ------------------------------------------------------------------------------------------------------ its settings


def test_a_run_goes_on_with_what_it_teaches_whatever_the_model_was_made_to_say(tmp_path, tiny_model, exact_faces):
    data, settings = (Part(exact_faces, [0, 1]), Part(exact_faces, [2])), {"input_size": None}
    model = tiny_model(kind="affine_inverse")
    fit(model, *data, config(tmp_path / "first", epochs=1, target_kind="relief"))
    with pytest.raises(KeyboardInterrupt):
        fit(model, *data, config(tmp_path / "run", **settings), callbacks=[stop])
    with pytest.raises(InputError, match="target_kind: 'relief' then, 'affine_inverse' now"):
        fit(tiny_model(kind="affine_inverse"), *data, config(tmp_path / "run", **settings, resume=True))
    again = load_model(tmp_path / "first/best.safetensors", device="cpu")
    fit(again, *data, config(tmp_path / "run", **settings, resume=True))
    assert load_model(tmp_path / "run/last.safetensors").kind == "relief"


@pytest.mark.parametrize("told", ["relief", "affine_inverse"])  # the second: another kind since the network was made
def test_the_runs_of_older_versions_go_on(tmp_path, tiny_model, exact_faces, told):
    model, data = tiny_model(kind="relief"), (Part(exact_faces, [0, 1]), Part(exact_faces, [2]))
    with pytest.raises(KeyboardInterrupt):
        fit(model, *data, config(tmp_path, input_size=None), callbacks=[stop])
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    assert (saved["target_kind"], saved["input_size"]) == ("relief", model.input_size)
    older = {name: value for name, value in saved.items() if not name.endswith(("_size", "_focal", "_head", "_face"))}
    older |= {"target_kind": None, "input_size": None, "batch_size": saved["batch_size"]}
    older |= {"options": model.options | {"kind": told}}
    older.pop("non_negative")
    path.write_text(json.dumps(older))
    assert len(fit(tiny_model(kind="relief"), *data, config(tmp_path, input_size=None, resume=True))) == 2


def test_an_encoder_that_is_never_to_learn_is_refused():
    with pytest.raises(InputError, match=r"frozen_epochs: expected less than epochs \(2\), got 2.*learns='decoder'"):
        TrainConfig(out="x", epochs=2, frozen_epochs=2)
    assert TrainConfig.finetune(epochs=1).frozen_epochs == 0
    assert TrainConfig.finetune(epochs=2).frozen_epochs == 1


def test_weights_of_the_loss_are_no_dictionary():
    with pytest.raises(InputError, match=r"weights: expected LossWeights\(l1=..., ...\), got {'l1': 1.0}"):
        TrainConfig(out="x", weights={"l1": 1.0})
    assert TrainConfig(out="x", weights=LossWeights(l1=1.0)).weights.l1 == 1.0


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


# ---------------------------------------------------------------------------------------------------------- its data


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


def test_an_infinite_loss_of_one_face_of_many_stops_the_run(tmp_path, tiny_model, affine_faces, train):
    def ruined(sample: Sample) -> Sample:
        return sample._replace(depth=sample.depth + 3e38) if sample.name == affine_faces.names[3] else sample

    val = Changed(Part(affine_faces, [0, 1, 2, 3]), ruined)
    with pytest.raises(TrainingStopped, match="the validation loss became inf"):
        fit(tiny_model(), train, val, config(tmp_path, batch_size=1))
    assert not (tmp_path / "best.safetensors").exists()


def test_data_sets_of_ones_own_need_no_more_than_samples_and_their_kind(tmp_path, tiny_model, train, val):
    class Mine(torch.utils.data.Dataset):
        depth_kind = "affine"

        def __len__(self) -> int:
            return len(train)

        def __getitem__(self, index: int) -> Sample:
            return train[index]

    assert len(fit(tiny_model(), Mine(), val, config(tmp_path))) == 2
    plain = torch.utils.data.Subset(train, [0, 1])
    for use in (
        lambda: fit(tiny_model(), plain, val, config(tmp_path / "no")), lambda: evaluate(tiny_model(), plain),
        lambda: split(plain),
    ):
        with pytest.raises(InputError, match=r"expected a data set that says its depth_kind.*got Subset; .*fd.split"):
            use()
    with pytest.raises(InputError, match="says its identities and names, as EG3DFaces does, got Mine"):
        split(Mine())


def test_a_single_small_picture_left_over_is_named(tmp_path, train, val):
    model = create_model("attention_unet", channels=2, depth=5, input_size=16, kind="affine_relief", head_mask=False)
    with pytest.raises(InputError, match=r"a batch of one picture of 16 x 16 pixels is too little.*larger input_size"):
        fit(model, train, val, config(tmp_path, input_size=16))


def test_heads_that_fill_their_pictures_teach_no_outline(tmp_path, tiny_model, train, val, recwarn):
    fit(tiny_model(), train, val, config(tmp_path / "without", epochs=1))
    assert not [one for one in recwarn if "counts as head" in str(one.message)]
    with pytest.warns(UserWarning, match="all of its first picture counts as head; without masks of the head"):
        fit(tiny_model(head_mask=True), train, val, config(tmp_path / "with", epochs=1))


# -------------------------------------------------------------------------------------------------------- its memory


def test_what_a_stopped_run_held_is_free_though_its_error_is_kept(tmp_path, tiny_model, train, val):
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(tiny_model(), train, val, config(tmp_path), callbacks=[stop])
    frames = [step.frame.f_locals for step in caught.traceback]
    assert len(frames) >= 3  # this test's, fit's, the run's
    assert not any("self" in names for names in frames[2:])


def test_a_trained_model_holds_no_gradients(tmp_path, tiny_model, train, val):
    model = tiny_model()
    fit(model, train, val, config(tmp_path))
    assert all(parameter.grad is None for parameter in model.parameters())

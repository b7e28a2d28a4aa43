"""The folder of a run: who writes into it, what in it is kept, and what it says when something is lost."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from training_runs import config, what_was_computed

from facedepth.checks import InputError
from facedepth.training import fit, run_folder
from facedepth.training.run_folder import alone_in


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


@pytest.mark.parametrize("folder", ["drive/MyDrive/runs/a", '"/content/drive/MyDrive/a"'])
def test_a_folder_that_only_looks_like_the_drive_is_refused(tmp_path, monkeypatch, train, val, tiny_model, folder):
    monkeypatch.chdir(tmp_path)
    fit(tiny_model(), train, val, config(Path(folder), epochs=1))  # elsewhere it is a folder like any other
    (tmp_path / "content/drive/MyDrive").mkdir(parents=True)
    monkeypatch.setattr(run_folder, "_COLAB", tmp_path / "content")
    with pytest.raises(InputError, match=r"is not on the mounted Drive and would be lost; .*content/drive/MyDrive"):
        fit(tiny_model(), train, val, config(Path(folder), epochs=1, resume=True))
    assert len(fit(tiny_model(), train, val, config(tmp_path / "content/drive/MyDrive/a", epochs=1))) == 1


def test_an_existing_run_is_not_overwritten(finished_run, tiny_model, train, val):
    before = what_was_computed(finished_run.folder)
    with pytest.raises(InputError, match=r"finished: holds a run already; go on with it \(resume=True, --resume\)"):
        fit(tiny_model(), train, val, finished_run.config)
    assert what_was_computed(finished_run.folder) == before


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "kept", [("best.safetensors", "last.safetensors", "history.csv", "config.json"), ("best.safetensors",)]
)
def test_weights_without_a_state_are_not_trained_over(tmp_path, finished_run, tiny_model, train, val, resume, kept):
    for name in kept:
        shutil.copy(finished_run.folder / name, tmp_path / name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=r"holds best\.safetensors.*no state\.pt to go on from.*load_model\('.*best"):
        fit(tiny_model(), train, val, replace(finished_run.config, out=str(tmp_path), resume=resume))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != ".lock"} == before


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("content", ['{"architectures": ["mine"]}', "mine"])
def test_a_config_that_is_not_a_runs_is_not_replaced(tmp_path, tiny_model, train, val, resume, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json: does not belong to a training run"):
        fit(tiny_model(), train, val, config(tmp_path, resume=resume))
    assert (tmp_path / "config.json").read_text() == content


@pytest.mark.parametrize("content", [None, "", "[1]", "{}"])
def test_lost_settings_are_named(finished_copy, tiny_model, train, val, content):
    path = Path(finished_copy.out, "config.json")
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"config.json: the run's settings are lost or damaged.*put the file back"):
        fit(tiny_model(), train, val, finished_copy)


@pytest.mark.parametrize("content", [b"", b"text, no state\n", None])
def test_a_damaged_state_is_named(finished_copy, tiny_model, train, val, content):
    path = Path(finished_copy.out, "state.pt")
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    with pytest.raises(InputError, match=r"state.pt: cannot be read"):
        fit(tiny_model(), train, val, finished_copy)


def test_the_state_of_another_model_is_refused(tmp_path, finished_run, tiny_model, train, val):
    folder = tmp_path / "run"
    fit(tiny_model(channels=4), train, val, config(folder, epochs=1))
    (folder / "state.pt").write_bytes((finished_run.folder / "state.pt").read_bytes())
    with pytest.raises(InputError, match=r"state.pt: not the state of this run \(.*\); start anew in another folder"):
        fit(tiny_model(channels=4), train, val, config(folder, epochs=1, resume=True))

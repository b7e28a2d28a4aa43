"""A training that shows itself: one picture redrawn in place in a notebook, nothing anywhere else."""

import io
import subprocess
import sys

import IPython
import IPython.display
import numpy as np
import pytest
from PIL import Image

from facedepth.data import Part
from facedepth.figures import training_figure
from facedepth.training import TrainConfig, fit
from facedepth.training.live import LiveTraining

HISTORY = [{"epoch": 1, "loss": 0.3, "val_loss": 0.4}, {"epoch": 2, "loss": 0.2, "val_loss": 0.3}]


@pytest.fixture
def notebook(monkeypatch):
    """What a notebook would show: (how, picture) of every call that reaches it."""
    calls = []

    class Handle:
        def update(self, picture):
            calls.append(("update", picture))

    def display(picture, display_id):
        calls.append(("display", picture))
        return Handle()

    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"kernel": object()})())
    monkeypatch.setattr(IPython.display, "display", display)
    return calls


def test_one_picture_is_redrawn_in_place_every_epoch(notebook, affine_faces, tiny_model, tmp_path):
    config = TrainConfig(out=str(tmp_path / "run"), epochs=3, batch_size=2, workers=0, device="cpu")
    train, val = Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3])
    fit(tiny_model(), train, val, config, callbacks=[LiveTraining()])
    assert [how for how, _ in notebook] == ["display", "update", "update"]
    pictures = [np.array(Image.open(io.BytesIO(picture.data))) for _, picture in notebook]
    assert all(picture.shape[1] > 800 for picture in pictures)
    assert (pictures[0].shape != pictures[2].shape) or (pictures[0] != pictures[2]).any()

    notebook.clear()  # the run is done: its curves are shown again
    done = TrainConfig(out=str(tmp_path / "run"), epochs=3, batch_size=2, workers=0, device="cpu", resume=True)
    fit(tiny_model(), train, val, done, callbacks=[LiveTraining()])
    assert [how for how, _ in notebook] == ["display"]


def test_outside_a_notebook_nothing_is_drawn(monkeypatch):
    monkeypatch.setattr("facedepth.training.live.training_figure", None)  # whoever calls it fails
    LiveTraining()(HISTORY, [])


def test_without_ipython_nothing_is_loaded():
    script = (
        "import sys; from facedepth.training.live import LiveTraining; LiveTraining()([{'epoch': 1, 'loss': 1}], []); "
        "print('IPython' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_figure_holds_curves_and_faces():
    picture = np.zeros((8, 8, 3), np.uint8)
    figure = training_figure(HISTORY, ["loss", "val_loss"], [{"face": picture, "truth": picture}])
    curves, *faces = figure.axes
    assert [line.get_label() for line in curves.lines] == ["loss", "val_loss"]
    assert [axis.get_title() for axis in faces] == ["face", "truth"]
    assert len(training_figure(HISTORY, ["loss"], []).axes) == 1
    assert training_figure([], ["loss"], []).texts[0].get_text() == "nothing to show"


def test_long_names_take_nothing_off_the_faces():
    picture = np.zeros((8, 8, 3), np.uint8)
    widths = []
    for name in ("face", 30 * "name "):
        figure = training_figure(HISTORY, ["loss"], [{name: picture, "truth": picture, "prediction": picture}] * 4)
        figure.draw_without_rendering()
        widths.append(figure.axes[1].get_window_extent().width)
    assert widths[1] > 0.9 * widths[0]


def test_one_object_shows_two_runs_each_in_a_picture_of_its_own(notebook):
    live, first, second = LiveTraining(), [HISTORY[0]], [HISTORY[0]]
    for history in (first, first, second, second):
        live(history, [])
    assert [how for how, _ in notebook] == ["display", "update", "display", "update"]


def test_what_a_callback_does_to_the_history_changes_nothing(affine_faces, tiny_model, tmp_path):
    def spoil(history, _):
        history.sort(key=lambda row: -row["epoch"])
        history[0]["loss"] = None
        history.pop()

    config = TrainConfig(out=str(tmp_path / "run"), epochs=3, batch_size=2, workers=0, device="cpu")
    history = fit(tiny_model(), Part(affine_faces, [0, 1, 2]), Part(affine_faces, [3]), config, callbacks=[spoil])
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert all(row["loss"] > 0 for row in history)

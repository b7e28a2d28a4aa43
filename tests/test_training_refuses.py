"""What training refuses before the work, and what it doubts aloud."""

import subprocess
import sys

import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset
from training_runs import config

from facedepth.checks import InputError
from facedepth.data import Part
from facedepth.models import create_model
from facedepth.training import fit


def test_the_name_of_a_model_is_no_network(tmp_path, train, val):
    with pytest.raises(InputError, match=r"model: expected a network, .* got 'face_small'"):
        fit("face_small", train, val, config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("callbacks", [[3], print, 3, None])
def test_callbacks_that_cannot_be_called_are_refused_before_the_work(tmp_path, tiny_model, train, val, callbacks):
    with pytest.raises(InputError, match="callbacks: expected"):
        fit(tiny_model(), train, val, config(tmp_path / "run"), callbacks=callbacks)
    assert not (tmp_path / "run").exists()


def test_nothing_to_learn_is_told_before_the_work(tmp_path, tiny_model, train, val):
    with pytest.raises(InputError, match="nothing can be learnt"), torch.no_grad():
        fit(tiny_model(), train, val, config(tmp_path / "run"))
    with pytest.raises(InputError, match="nothing can be learnt: all that TrainConfig lets learn is frozen"):
        fit(tiny_model().requires_grad_(False), train, val, config(tmp_path / "run"))
    only_encoder = tiny_model().requires_grad_(False)
    only_encoder.encoder.requires_grad_(True)
    with pytest.raises(InputError, match="nothing can be learnt"):
        fit(only_encoder, train, val, config(tmp_path / "run", learns="decoder"))
    with pytest.raises(InputError, match=r"expected weights of 32 bits to train, got torch.float16; model.float\(\)"):
        fit(tiny_model().half(), train, val, config(tmp_path / "run"))
    with torch.inference_mode():
        made = tiny_model()
    with pytest.raises(InputError, match=r"model: made under torch\.inference_mode"):
        fit(made, train, val, config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_leaves_no_folder(tmp_path, tiny_model, train, val, exact_faces):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match="expected samples to train and to validate on, got 3 and 0"):
        fit(tiny_model(), train, Part(val, []), config(folder))
    with pytest.raises(InputError, match="'affine' may train affine_relief, not 'relief'"):
        fit(tiny_model(kind="relief"), exact_faces, val, config(folder))
    with pytest.raises(InputError, match="device 'warp' cannot be used here"):
        fit(tiny_model(), train, val, config(folder, device="warp"))
    assert not folder.exists()


def test_a_script_that_its_workers_read_again_is_told_how_to_be_written(tmp_path, sample_root):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from facedepth.data import EG3DFaces, Part\n"
        "from facedepth.models import create_model\n"
        "from facedepth.training import TrainConfig, fit\n"
        f"faces = EG3DFaces({str(sample_root)!r}, size=32)\n"
        "multiprocessing.set_start_method('spawn', force=True)\n"
        "train, val = Part(faces, [0, 1]), Part(faces, [2])\n"
        "model = create_model('attention_unet', kind='affine_relief', channels=2, depth=2)\n"
        f"fit(model, train, val, TrainConfig(out={str(tmp_path / 'run')!r}, workers=1, batch_size=2, device='cpu'))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    assert "put what the script does under if __name__ == '__main__':" in ended.stderr
    assert "another training is running there" not in ended.stderr


def test_a_single_small_picture_left_over_is_named(tmp_path, train, val):
    model = create_model("attention_unet", channels=2, depth=5, input_size=16, kind="affine_relief", head_mask=False)
    with pytest.raises(InputError, match=r"a batch of one picture of 16 x 16 pixels is too little.*larger input_size"):
        fit(model, train, val, config(tmp_path, repeats=1, input_size=16))


def test_people_on_both_sides_are_told(tmp_path, tiny_model, affine_faces):
    with pytest.warns(UserWarning, match=r"val: 1 of its people are in train too \(seed0002\).*fd\.split"):
        fit(tiny_model(), Part(affine_faces, [0, 1, 2]), Part(affine_faces, [2, 3]), config(tmp_path / "run", epochs=1))


def test_heads_that_fill_their_pictures_teach_no_outline(tmp_path, tiny_model, train, val, recwarn):
    fit(tiny_model(), train, val, config(tmp_path / "without", epochs=1))
    assert not [one for one in recwarn if "counts as head" in str(one.message)]
    with pytest.warns(UserWarning, match="all of its first picture counts as head; without masks of the head"):
        fit(tiny_model(head_mask=True), train, val, config(tmp_path / "with", epochs=1))


def test_what_is_no_config_and_no_data_set_with_places_is_refused_in_words(tmp_path, tiny_model, train, val):
    class Stream(IterableDataset):
        depth_kind = "affine"

        def __iter__(self):
            return iter([train[0]])

    with pytest.raises(InputError, match="config: expected a TrainConfig, got dict"):
        fit(tiny_model(), train, val, {"out": str(tmp_path)})
    with pytest.raises(InputError, match=r"train: expected a data set with a length.* got Stream"):
        fit(tiny_model(), Stream(), val, config(tmp_path))
    with pytest.raises(InputError, match=r"val: expected a data set that says its depth_kind.* got Subset; a"):
        fit(tiny_model(), train, Subset(train, [0]), config(tmp_path))
    with pytest.raises(InputError, match="dataset: expected a data set that says its identities"):
        Part(Nameless(), [0])


class Nameless(Dataset):
    depth_kind = "affine"

    def __len__(self):
        return 1

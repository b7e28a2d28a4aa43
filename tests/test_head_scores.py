"""How well a network's head agrees with the true one, in evaluation and in training."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import facedepth as fd
from facedepth.data import Part
from facedepth.metrics import mask_iou
from facedepth.models import DepthNetwork


class UpperHalf(DepthNetwork):
    """Takes the upper half of every picture for head, or says nothing of it."""

    def __init__(self, *, says: bool = True):
        super().__init__(kind="relief", input_size=32, mean=(0, 0, 0), std=(1, 1, 1))
        self.says, self.gain = says, nn.Parameter(torch.ones(()))

    def predict_normalised(self, image):
        values = self.gain * image[:, :1]
        head = torch.ones_like(values)
        head[:, :, 16:] = -1
        return torch.cat([values, head], dim=1) if self.says else values


class Faces(torch.utils.data.Dataset):
    """Sample faces whose heads are their left half, or unknown."""

    depth_kind = "metric"

    def __init__(self, known: list[bool]):
        self.known, self.faces = known, fd.EG3DFaces("data/sample", size=32)
        self.names = self.identities = [f"face{number}" for number in range(len(known))]

    def __len__(self) -> int:
        return len(self.known)

    def __getitem__(self, index: int) -> fd.Sample:
        sample = self.faces[index]
        head = torch.ones(1, 32, 32, dtype=torch.bool)
        if self.known[index]:
            head[..., 16:] = False
        return sample._replace(name=self.names[index], head=head, face=sample.mask & head)


def test_overlap_of_two_masks():
    first, second = torch.zeros(3, 1, 4, 4, dtype=torch.bool), torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    first[0, :, :2], second[0, :, :, :2] = True, True  # 4 of 12 pixels
    first[1, :, 0], second[1, :, 0] = True, True
    assert_close(mask_iou(first, second), torch.tensor([1 / 3, 1, math.nan]), equal_nan=True)


def test_pictures_that_are_all_head_do_not_count():
    report = fd.evaluate(UpperHalf(), Faces([True, False, True]))
    assert [row["head_iou"] for row in report.scores] == pytest.approx([1 / 3, math.nan, 1 / 3], nan_ok=True)
    assert report.means["head_iou"] == pytest.approx(1 / 3)
    assert "head_iou               0.3333   higher is better" in str(report)


@pytest.mark.parametrize(("says", "known"), [(True, False), (False, True)])
def test_without_a_head_on_both_sides_there_is_no_score(says, known):
    assert "head_iou" not in fd.evaluate(UpperHalf(says=says), Faces([known, known])).means


@pytest.mark.parametrize("known", [True, False])
def test_training_tells_it_every_epoch(tmp_path, known):
    faces = Faces([known] * 4)
    config = fd.TrainConfig(out=str(tmp_path), epochs=2, batch_size=2, workers=0, input_size=32, learning_rate=3e-3)
    history = fd.fit(fd.create_model("dpt_tiny"), Part(faces, [0, 1, 2]), Part(faces, [3]), config)
    assert all(("val_head_iou" in row) == known for row in history)
    if known:
        assert 0 <= history[-1]["val_head_iou"] <= 1
        assert "val_head_iou" in (tmp_path / "history.csv").read_text()

"""How much of a feature's move a network sees, and that nothing but the feature moves."""

import pytest
import torch

import facedepth as fd
from benchmarks.face_baselines.methods import Guess
from benchmarks.feature_response import __main__ as feature_response
from benchmarks.feature_response.__main__ import MOVED_M, MovedFaces, responses


def test_the_nose_moves_and_the_rest_stays():
    back, still, front = (
        MovedFaces(1, {name: share * metres for name, metres in MOVED_M["nose"].items()}, size=96, seed=777)[0]
        for share in (1.0, 0.0, -1.0)
    )
    change = (front.depth - back.depth)[back.face & front.face]
    change = change[change.abs() < 0.02]
    assert -0.016 < change.quantile(0.01) < -0.006  # twice what it was moved by: nearer
    assert change.abs().median() < 1e-3
    torch.testing.assert_close(front.camera.K, back.camera.K)
    assert not torch.equal(still.image, front.image)


def test_who_sees_a_share_of_every_move_has_that_response(monkeypatch):
    mean = 0.6  # where depth would be by what faces are like
    monkeypatch.setattr(
        feature_response, "network",
        lambda share, sample, crop: Guess(mean + share * (sample.depth - mean), torch.ones_like(sample.mask)),
    )
    shares = [1.0, 0.25]
    assert responses(shares, MOVED_M["nose"], [0], size=64) == pytest.approx(shares, abs=1e-4)


def test_the_shipped_network_sees_some_of_a_nose():
    (slope,) = responses([fd.load_model("face_small")], MOVED_M["nose"], range(2), size=96)
    assert 0.02 < slope < 1.0

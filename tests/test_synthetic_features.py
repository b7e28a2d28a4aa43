"""How far eyes, noses and lips stand out of synthetic faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facedepth.synthetic.features import AS_THE_KIT, FEATURES, Prominence, draw_prominence
from facedepth.synthetic.kit import load_kit
from facedepth.synthetic.model import template_eye_centres

ONLY_EYES = Prominence(tuple(0.005 * (name == "eyes") for name in FEATURES))


def test_eyes_go_back_as_one_and_to_the_back_alone():
    left, right = template_eye_centres()
    seen = 0.006 * torch.tensor([[0.0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1], [0, -1.5, 0]])
    for middle in (left, right):
        moved = ONLY_EYES(middle + seen)
        assert not moved[:, [0, 2]].any()
        assert moved[:, 1].tolist() == pytest.approx([0.005] * len(seen), rel=0.03)


def test_what_is_not_of_the_face_stays():
    points = load_kit().template
    moved = draw_prominence(np.random.default_rng(0))(points).norm(dim=1)
    assert moved.max() > 0.002
    assert not moved[points[:, 1] > -0.02].any()  # the back of the head
    assert moved[points[:, 2] < 0.55].max() < 1e-4  # the shoulders


def test_left_is_like_right():
    points = load_kit().template
    drawn = draw_prominence(np.random.default_rng(1))
    torch.testing.assert_close(drawn(points), drawn(points * torch.tensor([-1.0, 1.0, 1.0])))


def test_people_differ_and_their_eyes_lie_deeper_than_the_kits():
    assert not AS_THE_KIT(load_kit().template).any()
    drawn = np.array([draw_prominence(np.random.default_rng(person)).amounts for person in range(400)])
    for feature, amounts in zip(FEATURES.values(), drawn.T, strict=True):
        assert amounts.mean() == pytest.approx(feature.mean, abs=0.0004)
        assert amounts.std() == pytest.approx(feature.spread, rel=0.15)
    assert np.mean(drawn[:, list(FEATURES).index("eyes")] > 0) > 0.9


def test_faces_near_the_average_are_less_odd_in_the_same_way():
    means = np.array([feature.mean for feature in FEATURES.values()])
    odd, near = (draw_prominence(np.random.default_rng(2), oddness).amounts - means for oddness in (1.0, 0.4))
    np.testing.assert_allclose(near, 0.4 * odd)
    assert np.abs(odd).max() > 0.002

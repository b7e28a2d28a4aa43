"""What the generator paints behind heads."""

import numpy as np
import pytest

from facedepth.synthetic import background
from facedepth.synthetic.background import PAINTERS, draw_background
from facedepth.synthetic.hair_styles import COLOURS
from facedepth.synthetic.skin import TONES


@pytest.mark.parametrize("painter", PAINTERS, ids=lambda painter: painter.__name__)
def test_every_painter_fills_the_picture(painter):
    for seed in range(8):
        picture = painter(np.random.default_rng(seed), 48)
        assert picture.shape == (48, 48, 3)
        assert np.isfinite(picture).all()
        assert picture.min() >= 0
        assert np.median(picture) < 4  # lamps and windows may be brighter than paper, not all there is


def test_pictures_differ_and_come_again_by_their_seed():
    drawn = [draw_background(np.random.default_rng(seed), 32) for seed in (0, 1, 0)]
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    assert drawn[0].dtype == np.float32


def test_some_of_what_stands_behind_has_the_colours_of_heads():
    tones = np.array([*TONES, *COLOURS.values()])
    tones /= np.linalg.norm(tones, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    colours = np.stack([background._colour(rng) for _ in range(600)])
    hues = colours / np.linalg.norm(colours, axis=1, keepdims=True)
    alike = (hues @ tones.T).max(axis=1) > 1 - 1e-6
    assert 0.10 < alike.mean() < 0.20

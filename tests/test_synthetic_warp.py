"""The displacement that makes heads beyond the kit's sliders."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facedepth.synthetic.warp import LOPSIDED, OCTAVES, Warp, draw_warp

POINTS = torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) * 0.2 - 0.1
MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def test_it_is_as_wide_as_said():
    """Along x less than along y and z: what lies in the middle can move to neither side."""
    moved = torch.stack([Warp(1.0, seed)(POINTS) for seed in range(200)])
    expected = math.sqrt(sum(spread**2 for _, spread in OCTAVES))
    assert float(moved.square().mean().sqrt()) == pytest.approx(expected, rel=0.1)
    assert moved.square().mean(dim=(0, 1)).sqrt().tolist() == pytest.approx([expected] * 3, rel=0.2)
    assert moved.mean(dim=(0, 1)).abs().max() < 0.2 * expected


def test_left_is_nearly_like_right():
    moved = torch.cat([Warp(1.0, seed)(POINTS) for seed in range(20)])
    mirrored = torch.cat([Warp(1.0, seed)(POINTS * MIRROR) for seed in range(20)]) * MIRROR
    odd = ((moved - mirrored) / 2).square().mean().sqrt() / moved.square().mean().sqrt()
    assert float(odd) == pytest.approx(LOPSIDED, rel=0.2)


def test_neighbours_move_together():
    """No part of space is folded over: what is a millimetre apart stays apart and in order."""
    for seed in range(20):
        change = Warp(1.1, seed)(POINTS + torch.tensor([0.0, 0.0, 1e-3])) - Warp(1.1, seed)(POINTS)
        assert float(change.norm(dim=1).max()) < 1e-3


def test_strength_scales_and_the_seed_decides():
    assert not Warp(0.0, 3)(POINTS).any()
    torch.testing.assert_close(Warp(0.5, 3)(POINTS), 0.5 * Warp(1.0, 3)(POINTS))
    assert torch.equal(Warp(1.0, 3)(POINTS), Warp(1.0, 3)(POINTS))
    assert not torch.allclose(Warp(1.0, 3)(POINTS), Warp(1.0, 4)(POINTS))


def test_people_differ():
    drawn = [draw_warp(np.random.default_rng(person)) for person in range(50)]
    assert len({warp.seed for warp in drawn}) == 50
    assert min(warp.strength for warp in drawn) < 0.4 < 1.0 < max(warp.strength for warp in drawn)

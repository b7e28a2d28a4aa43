"""The table of baselines: known shapes score as computed by hand, alignment forgives scale and shift, groups."""

import numpy as np
import pytest
import torch

from benchmarks.face_baselines import __main__ as main
from benchmarks.face_baselines import methods, scoring
from facedepth.camera import Camera, pixel_grid
from facedepth.sample import Sample

SIZE = 64


def ball(radius_px: float = 24.0) -> Sample:
    """The front of a ball 0.1 m in radius, far away, with its outline as the face."""
    camera = Camera.from_focal(radius_px * 100, SIZE, SIZE)  # 10 m away: next to no perspective
    x, y = (pixel_grid(SIZE, SIZE) - SIZE / 2).split(1)
    inside = 1 - (x.square() + y.square()) / radius_px**2
    mask = inside > 0.05
    depth = torch.where(mask, 10 - 0.1 * inside.clamp(min=0).sqrt(), 0.0)
    return Sample(torch.zeros(3, SIZE, SIZE), depth, mask, mask, mask, camera, "ball")


def test_the_truth_up_to_scale_and_shift_scores_perfectly():
    sample = ball()
    found = scoring.score(scoring.Guess(3 * sample.depth + 5, sample.mask, has_scale=True), sample)
    assert found["rmse_mm"] == pytest.approx(0, abs=0.02)
    assert found["mad_deg"] < 0.3
    assert found["covered_pct"] == 100
    assert found["scale"] == pytest.approx(1 / 3, rel=1e-3)
    spread = sample.depth[sample.mask].std(correction=0)
    assert found["unscaled_mm"] == pytest.approx(2000 * float(spread), rel=1e-3)


def test_a_plane_scores_the_spread_of_the_truth():
    sample = ball()
    found = scoring.score(scoring.Guess(torch.ones_like(sample.depth), sample.mask), sample)
    spread = sample.depth[sample.mask].std(correction=0)
    assert found["rmse_mm"] == pytest.approx(1000 * float(spread), rel=1e-3)


def test_a_swapped_near_and_far_is_not_put_right():
    sample = ball()
    assert scoring.score(scoring.Guess(-sample.depth, sample.mask, has_scale=True), sample)["scale"] == 0


def test_only_what_is_covered_counts():
    sample = ball()
    half = sample.mask.clone()
    half[..., : SIZE // 2] = False
    wrong = torch.where(half, sample.depth, 7.0)
    found = scoring.score(scoring.Guess(wrong, half), sample)
    assert found["rmse_mm"] == pytest.approx(0, abs=0.02)
    assert found["covered_pct"] == pytest.approx(50, abs=1)


def test_no_guess_is_no_score():
    found = scoring.score(None, ball())
    assert np.isnan(found["rmse_mm"])
    assert found["covered_pct"] == 0


def test_an_ellipsoid_is_nearly_right_about_a_ball():
    found = scoring.score(methods.ellipsoid(ball()), ball())
    flat = scoring.score(scoring.Guess(torch.ones(1, SIZE, SIZE), ball().mask), ball())
    assert found["rmse_mm"] < 0.35 * flat["rmse_mm"]
    assert found["covered_pct"] > 99


def _in_view(points: np.ndarray) -> tuple[np.ndarray, Camera]:
    """Points (N, 3) of the kit's world, the tip of the nose 1 m away: shares of the picture and the camera."""
    camera = Camera.from_focal(150, SIZE, SIZE)
    turned = (points - points[2]) @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]) + [0, 0, 1]
    pixels = turned @ camera.K.double().numpy().T
    return pixels[:, :2] / pixels[:, 2:] / SIZE, camera


def test_the_mean_face_lies_where_its_landmarks_are():
    shares, camera = _in_view(methods.mean_person()[2])
    landmarks = np.zeros((468, 3))
    landmarks[list(methods.LANDMARKS), :2] = shares
    everything = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    sample = Sample(torch.zeros(3, SIZE, SIZE), torch.ones(1, SIZE, SIZE), *(everything,) * 3, camera, "x")
    guess = methods.mean_face(sample, landmarks)
    assert float(guess.depth[0, SIZE // 2, SIZE // 2]) == pytest.approx(1, abs=0.004)
    frontal = methods.frontal_mean_face(sample, landmarks)
    assert (guess.covered == frontal.covered).float().mean() > 0.98
    assert 0.1 < float(guess.covered.float().mean()) < 0.9


def test_a_mesh_in_pixels_is_seen_from_the_front():
    corners = np.array([[0.25, 0.25, 0.0], [0.75, 0.25, 0.1], [0.25, 0.75, 0.0]])
    guess = methods.face_mesh(ball(), corners, np.array([[0, 1, 2]]))
    assert bool(guess.covered[0, 20, 20])
    assert not guess.covered[0, 40, 40]
    step = guess.depth[0, 20, 30] - guess.depth[0, 20, 20]  # z grows by 0.1 widths over half a width
    assert float(step) == pytest.approx(10 * 0.2, rel=0.02)


def test_triangles_from_edges():
    edges = np.array([[0, 1], [1, 2], [2, 0], [2, 3], [3, 1], [3, 4]])
    assert methods.mesh_triangles(edges).tolist() == [[0, 1, 2], [1, 2, 3]]


def test_the_true_crop_is_a_face_wide():
    crop = methods.true_crop(ball())
    assert crop.size == pytest.approx(0.28 * 2400 / 9.93, rel=0.01)
    assert crop.left + crop.size / 2 == pytest.approx(SIZE / 2, abs=1)


def test_the_truth_loses_nothing_to_a_network_as_fine_as_the_picture():
    sample = ball()
    size = methods.true_crop(sample).size
    full, coarse = (scoring.score(methods.truth_at(sample, n), sample)["rmse_mm"] for n in (size, size // 8))
    assert full == pytest.approx(0, abs=0.02)
    assert coarse > 1


def test_the_interval_holds_the_mean_and_leaves_out_what_is_missing():
    mean, low, high = scoring.interval([1.0, 2.0, 3.0, np.nan])
    assert mean == 2
    assert 1 <= low < 2 < high <= 3
    assert np.isnan(scoring.interval([np.nan])[0])


def test_groups_and_tables():
    manifest = {
        "a": {"source": "kit", "yaw_deg": "-25", "light": "park", "hat": "none"},
        "b": {"source": "james", "yaw_deg": "3", "light": "studio", "hat": "cap"},
    }
    found = scoring.groups(manifest, ["a", "b", "unlisted"])
    assert found[("yaw_deg", "above 22")] == [0]
    assert found[("light", "photographed")] == [0]
    assert found[("hat", "yes")] == [1]
    assert ("age", "old") not in found
    row = {"rmse_mm": 4.0, "mad_deg": 10.0, "covered_pct": 90.0, "scale": 1.0, "unscaled_mm": np.nan}
    scores = {"ours": [row, row | {"rmse_mm": 6.0}, row | {"rmse_mm": np.nan}]}
    assert "| ours | 2 of 3 | 90 % | 5.0 (4.0 ... 6.0) | 10.0 (10.0 ... 10.0) | 1.00 |  |" in scoring.table(scores)
    assert "| source: james | 1 | 6.0 / 10.0 |" in scoring.breakdown(scores, manifest, ["a", "b", "unlisted"])


def test_checkpoints_of_two_runs_have_two_names():
    names = ["face_small", "a/best.safetensors", "b/best.safetensors", "b/last.safetensors"]
    assert main.short_names(names) == ["face_small", "a/best.safetensors", "b/best.safetensors", "last"]

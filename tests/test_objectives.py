"""Which data may train which target, and that every legal pair's loss says what it should."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils.data import default_collate

from facedepth.checks import InputError
from facedepth.depth import KINDS, axis_factor, depth_to_relief, invert_depth
from facedepth.sample import Sample
from facedepth.training.objectives import LossWeights, Objective, check_target

WEIGHTS = LossWeights()
LEGAL = [
    ("metric", "relief", "default"), ("metric", "affine_relief", "default"), ("metric", "affine_inverse", "default"),
    ("metric", "affine_relief", "ssi"), ("metric", "affine_inverse", "ssi"),
    ("affine", "affine_relief", "default"), ("affine", "affine_relief", "ssi"),
]


@pytest.fixture(scope="module")
def batches(exact_faces, affine_faces) -> dict[str, Sample]:
    """A batch of each data kind. The exact one is cropped off its centre, so that the crop's axis matters."""
    exact = default_collate([exact_faces[index] for index in range(2)])
    cut = [values[..., 4:52, 14:62] for values in exact[:5]]
    return {
        "metric": Sample(*cut, exact.camera.crop(14, 4), exact.name),
        "affine": default_collate([affine_faces[index] for index in range(2)]),
    }


def axis_depth(batch: Sample) -> Tensor:
    return batch.depth * axis_factor(batch.camera, *batch.depth.shape[-2:])


def perfect(batch: Sample, depth_kind: str, target_kind: str) -> Tensor:
    """What a network would have to say."""
    if depth_kind == "affine":
        return 1 - 2 * batch.depth
    if target_kind == "relief":
        return depth_to_relief(batch.depth, batch.head & batch.mask, batch.camera)[0]
    return invert_depth(axis_depth(batch)) if target_kind == "affine_inverse" else -axis_depth(batch)


@pytest.mark.parametrize("target_kind", KINDS)
def test_exact_depth_may_train_anything(target_kind):
    check_target("metric", target_kind)


def test_affine_depth_may_train_affine_relief_only():
    check_target("affine", "affine_relief")
    for target_kind in ("relief", "affine_inverse"):
        with pytest.raises(InputError) as caught:
            Objective("affine", target_kind, WEIGHTS)
        message = str(caught.value)
        assert f"data of depth_kind 'affine' may train affine_relief, not '{target_kind}'" in message
        assert "TrainConfig(target_kind='affine_relief')" in message
        assert "facedepth rerender" in message


def test_unknown_kinds_and_losses():
    with pytest.raises(InputError, match="depth_kind: expected one of metric, affine, got 'stereo'"):
        Objective("stereo", "relief", WEIGHTS)
    with pytest.raises(InputError, match="may train relief or affine_relief or affine_inverse, not 'depth'"):
        Objective("metric", "depth", WEIGHTS)
    with pytest.raises(InputError, match="loss: expected one of default, ssi, by_kind, got 'l2'"):
        Objective("metric", "relief", WEIGHTS, loss="l2")
    with pytest.raises(InputError, match="a relief knows its scale"):
        Objective("metric", "relief", WEIGHTS, loss="ssi")


@pytest.mark.parametrize(("depth_kind", "target_kind", "loss"), LEGAL)
def test_a_perfect_output_costs_nothing_and_a_swapped_one_much(batches, depth_kind, target_kind, loss):
    objective, batch = Objective(depth_kind, target_kind, WEIGHTS, loss=loss), batches[depth_kind]
    truth = perfect(batch, depth_kind, target_kind)
    right, swapped = objective(truth, batch), objective(-truth, batch)
    for name, part in right.items():
        assert part.shape == ()
        assert abs(float(part)) < 1e-4, name
    assert swapped["loss"] > 0.1  # near and far confused


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize(("depth_kind", "target_kind", "loss"), LEGAL)
def test_following_the_gradient_lowers_the_loss(batches, depth_kind, target_kind, loss, outputs):
    objective, batch = Objective(depth_kind, target_kind, WEIGHTS, loss=loss), batches[depth_kind]
    shape = (len(batch.name), outputs, *batch.depth.shape[-2:])
    output = (0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    optimiser = torch.optim.Adam([output], lr=0.03)
    losses = []
    for _ in range(60):
        parts = objective(output, batch)
        assert all(torch.isfinite(part) for part in parts.values())
        optimiser.zero_grad()
        parts["loss"].backward()
        assert output.grad.isfinite().all()
        optimiser.step()
        losses.append(parts["loss"].item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("depth_kind", "target_kind", "loss"), LEGAL)
def test_scale_and_shift_matter_where_they_are_known(batches, depth_kind, target_kind, loss):
    objective, batch = Objective(depth_kind, target_kind, WEIGHTS, loss=loss), batches[depth_kind]
    generator = torch.Generator().manual_seed(0)
    output = perfect(batch, depth_kind, target_kind) + 0.05 * torch.randn(batch.depth.shape, generator=generator)
    plain, moved = objective(output, batch)["loss"], objective(3 * output + 5, batch)["loss"]
    if target_kind == "relief" or (depth_kind == "affine" and loss == "default"):
        assert moved > 2 * plain
    else:
        assert_close(moved, plain, rtol=1e-3, atol=1e-4)


def test_plain_loss_is_the_original_s_l1_on_all_pixels(batches):
    """Depth 0 ... 1 (farthest) is the picture 1 ... -1, background included: by hand."""
    batch = batches["affine"]
    parts = Objective("affine", "affine_relief", WEIGHTS)(torch.full(batch.depth.shape, 0.25), batch)
    by_hand = (0.25 - (1 - 2 * batch.depth)).abs().mean()
    assert_close(parts["loss"], by_hand)
    assert parts.keys() == {"loss", "l1"}


def test_the_face_counts_more_in_every_part_of_the_relief(batches):
    batch = batches["metric"]
    face = batch.head & batch.mask
    face[..., face.shape[-2] // 2 :, :] = False  # the upper half stands for the face
    batch = batch._replace(face=face)
    noise = 0.05 * torch.randn(batch.depth.shape, generator=torch.Generator().manual_seed(0))
    output = perfect(batch, "metric", "relief") + torch.where(face, noise, 0.0)  # wrong on the face alone
    plain, faces = (Objective("metric", "relief", LossWeights(face=weight))(output, batch) for weight in (1.0, 4.0))
    for name in ("l1", "gradient", "normal"):
        assert faces[name] > 1.3 * plain[name], name


def test_loss_is_the_weighted_sum_of_its_parts(batches):
    weights = LossWeights(l1=2.0, gradient=3.0, normal=5.0, mask=7.0, face=1.0)
    batch = batches["metric"]
    output = torch.randn(2, 2, *batch.depth.shape[-2:], generator=torch.Generator().manual_seed(0))
    parts = Objective("metric", "relief", weights)(output, batch)
    assert parts.keys() == {"loss", "l1", "gradient", "normal", "mask"}
    by_hand = 2 * parts["l1"] + 3 * parts["gradient"] + 5 * parts["normal"] + 7 * parts["mask"]
    assert_close(parts["loss"], by_hand)


def test_relief_is_measured_along_the_crop_s_axis(batches):
    """A relief made of plain z, without the crop's axis, is sheared: it must cost something."""
    batch = batches["metric"]
    head = batch.head & batch.mask
    along_z, median = batch.depth, batch.depth[0][head[0]].median()
    focal_px, width = batch.camera.K[0, 0, 0], batch.depth.shape[-1]
    sheared = torch.where(head, (median - along_z) * focal_px / (median * width), 0.0)
    objective = Objective("metric", "relief", WEIGHTS)
    assert objective(sheared, batch)["l1"] > 20 * objective(perfect(batch, "metric", "relief"), batch)["l1"] + 1e-3


def test_errors_in_the_face_count_more(batches):
    batch = batches["metric"]
    head = batch.head & batch.mask
    left = torch.zeros_like(head)
    left[..., :24] = True
    batch = batch._replace(face=left)
    truth = perfect(batch, "metric", "relief")
    outside, inside = (truth + 0.1 * (side & head) for side in (~left, left))
    objective = Objective("metric", "relief", LossWeights(face=4.0))
    inside_pixels, outside_pixels = (head & left).flatten(1).sum(1), (head & ~left).flatten(1).sum(1)
    share = (4 * inside_pixels / (4 * inside_pixels + outside_pixels)).mean()
    assert_close(objective(inside, batch)["l1"], 0.1 * share)
    assert_close(objective(outside, batch)["l1"], 0.1 * (1 - share))


@pytest.mark.parametrize(("depth_kind", "target_kind"), [("metric", "relief"), ("metric", "affine_inverse")])
def test_the_background_does_not_count(batches, depth_kind, target_kind):
    objective, batch = Objective(depth_kind, target_kind, WEIGHTS), batches[depth_kind]
    truth = perfect(batch, depth_kind, target_kind)
    junk = torch.where(batch.head & batch.mask, truth, 1e3)
    assert_close(objective(junk, batch)["loss"], objective(truth, batch)["loss"])


def test_head_logits(batches):
    batch = batches["metric"]
    truth = perfect(batch, "metric", "relief")
    objective = Objective("metric", "relief", WEIGHTS)
    sure = torch.where(batch.head, 20.0, -20.0)
    assert objective(torch.cat([truth, sure], dim=1), batch)["mask"] < 1e-6
    assert objective(torch.cat([truth, -sure], dim=1), batch)["mask"] > 10
    unsure = objective(torch.cat([truth, torch.zeros_like(sure)], dim=1), batch)
    assert_close(unsure["mask"], torch.tensor(2.0).log())


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "much", None])
def test_weights_that_make_no_sense(weight):
    with pytest.raises(InputError, match=r"LossWeights\.gradient: expected "):
        LossWeights(gradient=weight)


def test_weights_become_pythons_numbers():
    assert LossWeights(face=torch.tensor(2.0), l1=0) == LossWeights(face=2.0, l1=0.0)

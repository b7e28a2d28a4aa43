"""Losses: hand-computed cases, invariances, and gradients that stay finite whatever the mask."""

import math

import pytest
import torch
from maps import CAMERA, SIZE, full, image
from torch import Tensor
from torch.testing import assert_close

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.geometry import normals_valid
from facedepth.losses import (
    gradient_matching,
    mask_bce,
    masked_l1,
    normal_loss,
    normalise_scale_shift,
    scale_shift_invariant_l1,
)


def random_maps(batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Predicted and true depth, 0 outside of a blob of a mask that differs from image to image."""
    generator = torch.Generator().manual_seed(0)
    pred, target = 1 + 0.2 * torch.rand(2, batch, 1, SIZE, SIZE, generator=generator)
    mask = torch.rand(batch, 1, SIZE, SIZE, generator=generator) < 0.9
    return torch.where(mask, pred, 0.0), torch.where(mask, target, 0.0), mask


def plane(angle_deg: float) -> Tensor:
    """(1, 1, H, W) depth of a plane turned about the camera's y axis: x sin + z cos = 1."""
    angle = math.radians(angle_deg)
    ray_x = CAMERA.rays(SIZE, SIZE)[0]
    return (1 / (ray_x * math.sin(angle) + math.cos(angle)))[None, None]


MASKED_LOSSES = {
    "masked_l1": masked_l1,
    "scale_shift_invariant_l1": scale_shift_invariant_l1,
    "gradient_matching": gradient_matching,
    "normal_loss": lambda pred, target, mask: normal_loss(pred, target, CAMERA, mask),
}


@pytest.fixture(params=MASKED_LOSSES)
def loss(request):
    return MASKED_LOSSES[request.param]


def test_what_is_outside_the_mask_neither_counts_nor_learns(loss):
    pred, target, mask = random_maps()
    expected = loss(pred, target, mask)
    assert (expected > 0).all()
    junk = torch.where(mask, pred, 1e30).requires_grad_()
    found = loss(junk, torch.where(mask, target, -1e30), mask)
    assert_close(found, expected)
    found.sum().backward()
    assert junk.grad.isfinite().all()
    assert (junk.grad[~mask] == 0).all()
    assert junk.grad.abs().sum() > 0


def test_an_empty_mask_costs_nothing_and_teaches_nothing(loss):
    pred, target, mask = random_maps()
    expected = loss(pred, target, mask)
    mask[1] = False
    pred[1] = 0
    pred.requires_grad_()
    found = loss(pred, target, mask)
    assert found[1] == 0
    assert_close(found[[0, 2]], expected[[0, 2]])
    found.sum().backward()
    assert pred.grad.isfinite().all()
    assert (pred.grad[1] == 0).all()


@pytest.mark.parametrize("constant", [0.0, 0.7])
def test_constant_predictions_have_finite_gradients(loss, constant):
    _, target, mask = random_maps()
    pred = torch.full_like(target, constant).requires_grad_()
    found = loss(pred, target, mask)
    found.sum().backward()
    assert found.isfinite().all()
    assert pred.grad.isfinite().all()


def test_a_batch_is_a_loop(loss):
    pred, target, mask = random_maps()
    loop = torch.cat([loss(pred[i : i + 1], target[i : i + 1], mask[i : i + 1]) for i in range(3)])
    assert_close(loss(pred, target, mask), loop)


def test_the_truth_costs_nothing(loss):
    _, target, mask = random_maps()
    assert_close(loss(target, target, mask), torch.zeros(3), atol=1e-6, rtol=0)


def test_gradients_are_those_of_finite_differences(loss):
    pred, target, mask = random_maps(batch=1)
    pred, target = pred.double().requires_grad_(), target.double()
    assert torch.autograd.gradcheck(lambda values: loss(values, target, mask), pred, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_cost_what_32_do(loss, dtype):
    """Of a picture so large that its sums leave the range of 16 bits."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 320)] * 2, indexing="ij")
    pred, target = ((1 + share * x.square() + y.square() / 4)[None, None].to(dtype) for share in (0.3, 0.6))
    camera = Camera.from_fov(20, 320, 320)
    measure = (lambda *maps: normal_loss(*maps[:2], camera, maps[2])) if loss is MASKED_LOSSES["normal_loss"] else loss
    expected = measure(pred.float(), target.float(), full(pred))
    assert_close(measure(pred, target, full(pred)).float(), expected, rtol=0.02, atol=0)


def test_wrong_shapes_are_named(loss):
    pred, target, mask = random_maps()
    with pytest.raises(InputError, match=r"mask: expected shape \(B, 1, H, W\) .*, got \(3, 12, 12\)"):
        loss(pred, target, mask[:, 0])


def test_masked_l1_hand_computed():
    pred, target = image([[1.0, 5.0], [2.0, 9.0]]), image([[0.0, 2.0], [2.0, 0.0]])
    mask = image([[1, 1], [1, 0]]).bool()
    assert_close(masked_l1(pred, target, mask), torch.tensor([(1 + 3 + 0) / 3]))
    weight = image([[4.0, 1.0], [1.0, 100.0]])
    assert_close(masked_l1(pred, target, mask, weight), torch.tensor([(4 * 1 + 3 + 0) / 6]))


def test_weights_of_zero_cost_nothing():
    pred, target, mask = random_maps()
    pred.requires_grad_()
    found = masked_l1(pred, target, mask, torch.zeros_like(pred))
    found.sum().backward()
    assert_close(found, torch.zeros(3))
    assert (pred.grad == 0).all()


def test_normalise_hand_computed():
    # Median 2; deviations -2, -1, 0, 2, 6; their mean absolute value 11 / 5 = 2.2. The sixth value is masked out.
    values = image([[0.0, 1.0, 2.0, 4.0, 8.0, 99.0]])
    mask = image([[1, 1, 1, 1, 1, 0]]).bool()
    expected = image([[-2.0, -1.0, 0.0, 2.0, 6.0, 0.0]]) / 2.2
    assert_close(normalise_scale_shift(values, mask), expected)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1234.567])
def test_what_does_not_vary_is_normalised_to_zero(constant):
    values = torch.full((2, 1, 5, 7), constant)
    assert_close(normalise_scale_shift(values, full(values)), torch.zeros_like(values))


def test_what_only_rounding_moves_is_normalised_to_zero():
    values = torch.full((1, 1, 8, 8), 1000.0)
    values[..., ::2, :] += 6 * 6.1e-5  # six steps of 32-bit numbers of that size
    assert_close(normalise_scale_shift(values, full(values)), torch.zeros_like(values), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("scale", "shift"), [(3.0, 0.0), (1.0, -4.0), (1e-3, 0.02), (250.0, 90.0)])
def test_scale_and_shift_do_not_matter(scale, shift):
    pred, target, mask = random_maps()
    expected = scale_shift_invariant_l1(pred, target, mask)
    assert_close(scale_shift_invariant_l1(scale * pred + shift, target, mask), expected, rtol=1e-3, atol=1e-4)
    assert_close(scale_shift_invariant_l1(scale * target + shift, target, mask), torch.zeros(3), atol=1e-3, rtol=0)


def test_near_and_far_swapped_is_not_the_same():
    _, target, mask = random_maps()
    # A mirrored map differs by twice its own deviation, which is 1 on average.
    assert (scale_shift_invariant_l1(-target, target, mask) > 1.9).all()


def test_gradient_matching_hand_computed():
    # Differences of the residual: along x 1 and 4, along y 3 and 6.
    residual, zero = image([[0.0, 1.0], [3.0, 7.0]]), torch.zeros(1, 1, 2, 2)
    assert_close(gradient_matching(residual, zero, full(zero), scales=1), torch.tensor([14 / 4]))
    assert_close(gradient_matching(zero, residual, full(zero), scales=1), torch.tensor([14 / 4]))
    mask = image([[1, 1], [1, 0]]).bool()  # leaves 1 along x and 3 along y
    assert_close(gradient_matching(residual, zero, mask, scales=1), torch.tensor([4 / 2]))


def test_gradient_matching_weighs_a_difference_by_the_lesser_of_its_pixels():
    residual, zero = image([[0.0, 1.0], [3.0, 7.0]]), torch.zeros(1, 1, 2, 2)
    weight = image([[2.0, 5.0], [1.0, 3.0]])  # of the differences 1, 4 along x: 2, 1; of 3, 6 along y: 1, 3
    by_hand = torch.tensor([(2 * 1 + 1 * 4 + 1 * 3 + 3 * 6) / (2 + 1 + 1 + 3)])
    assert_close(gradient_matching(residual, zero, full(zero), scales=1, weight=weight), by_hand)


def test_normal_loss_with_a_weight_is_the_weighted_mean():
    target = plane(0)
    pred = target.clone()
    pred[..., SIZE // 2 :] += torch.arange(SIZE - SIZE // 2) * 0.05  # flat on the left, tilted on the right
    left = torch.zeros_like(pred)
    left[..., : SIZE // 2 - 1] = 1
    mask = full(pred)
    on_left, on_right = (normal_loss(pred, target, CAMERA, mask, weight=weight) for weight in (left, 1 - left))
    assert_close(on_left, torch.zeros(1), atol=1e-6, rtol=0)
    assert on_right > 0.01
    shares = normals_valid(mask).float()
    shares = torch.stack([3 * (left * shares).sum(), ((1 - left) * shares).sum()])
    expected = (shares * torch.cat([on_left, on_right])).sum() / shares.sum()
    assert_close(normal_loss(pred, target, CAMERA, mask, weight=1 + 2 * left), expected[None])


def test_gradient_matching_strides_are_1_2_4_8():
    # On a ramp the difference at stride s is s; on 9 pixels each of the four strides has one.
    ramp = torch.arange(9.0)[None, None, None]
    zero = torch.zeros_like(ramp)
    assert_close(gradient_matching(ramp, zero, full(ramp)), torch.tensor([15.0]))
    assert_close(gradient_matching(ramp, zero, full(ramp), scales=2), torch.tensor([3.0]))
    assert_close(gradient_matching(ramp.mT, zero.mT, full(ramp).mT), torch.tensor([15.0]))


def test_gradient_matching_does_not_see_a_shift_but_a_step():
    _, target, mask = random_maps()
    assert_close(gradient_matching(target + 5, target, mask), torch.zeros(3), atol=1e-5, rtol=0)
    step = target.clone()
    step[..., SIZE // 2 :] += 5
    assert (gradient_matching(step, target, mask) > 1).all()


@pytest.mark.parametrize("angle_deg", [5.0, 20.0, -35.0])
def test_normal_loss_of_a_turned_plane_is_one_less_the_cosine(angle_deg):
    expected = torch.tensor([1 - math.cos(math.radians(angle_deg))])
    pred, target = plane(angle_deg + 10), plane(10)
    assert_close(normal_loss(pred, target, CAMERA, full(pred)), expected, atol=1e-5, rtol=1e-4)
    assert_close(normal_loss(7 * pred, target, CAMERA, full(pred)), expected, atol=1e-5, rtol=1e-4)


def test_normal_loss_takes_only_pixels_whose_neighbours_are_valid():
    pred, target = plane(35), plane(20)
    expected = torch.tensor([1 - math.cos(math.radians(15))])
    pred[0, 0, 5, 5] = 3.0
    mask = full(pred)
    assert normal_loss(pred, target, CAMERA, mask) > expected + 0.01
    mask[0, 0, 5, 5] = False  # the spike spoils its four neighbours' normals, which go with it
    assert_close(normal_loss(pred, target, CAMERA, mask), expected, atol=1e-5, rtol=0)


def test_mask_bce_hand_computed():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), -math.log(3)], [100.0, -100.0]])[:, None, None]
    head = torch.tensor([[True, False], [True, True], [True, False]])[:, None, None]
    # Probability 1/2 twice; 3/4 and 1/4 of being right; certain and right.
    expected = torch.tensor([math.log(2), -(math.log(3 / 4) + math.log(1 / 4)) / 2, 0.0])
    assert_close(mask_bce(logits, head), expected)

"""Training batches: their content depends on (seed, epoch, index) alone."""

import multiprocessing
import os
import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from facedepth.batches import (
    Augmented,
    EpochOrder,
    Transformed,
    augmentation,
    to_device,
    training_batches,
    without_worker_traceback,
)
from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.sample import Sample
from facedepth.transforms import Compose, Photometric, RandomCrop, RandomFlip, Resize

STRONG = Compose((RandomCrop((0.5, 1.0)), RandomFlip(), Resize(16), Photometric(1.0)))


class Damaged(Dataset):
    """A data set whose every sample is broken."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Sample:
        raise InputError(f"sample{index}.png: a damaged picture; copy it again")


def epoch_of(dataset, *, seed=0, epoch=0, workers=0, skip=0, batch_size=3, repeats=1) -> list[Sample]:
    loader, order = training_batches(
        dataset, STRONG, batch_size=batch_size, repeats=repeats, workers=workers, seed=seed
    )
    order.begin(epoch, skip=skip)
    return list(loader)


def assert_same(first: list[Sample], second: list[Sample]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.name == other.name
        for a, b in zip((*one[:5], *one.camera), (*other[:5], *other.camera), strict=True):
            assert torch.equal(a, b)


def by_name(batches: list[Sample]) -> dict[str, torch.Tensor]:
    return {name: batch.image[row] for batch in batches for row, name in enumerate(batch.name)}


def test_batches_are_samples(affine_faces):
    batch = epoch_of(affine_faces, batch_size=4)[0]
    assert isinstance(batch, Sample)
    assert isinstance(batch.camera, Camera)
    assert batch.image.shape == (4, 3, 16, 16)
    assert batch.camera.K.shape == (4, 3, 3)
    assert sorted(batch.name) == affine_faces.names


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(affine_faces, workers):
    assert_same(epoch_of(affine_faces), epoch_of(affine_faces, workers=workers))


def test_the_caller_s_random_state_changes_nothing_and_is_left_alone(affine_faces):
    torch.manual_seed(1)
    first = epoch_of(affine_faces)
    torch.manual_seed(2)
    random.seed(2)
    np.random.seed(2)
    assert_same(first, epoch_of(affine_faces))
    sample = Augmented(affine_faces, STRONG, seed=0)
    before = torch.get_rng_state()
    sample[0, 1]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_that_goes_on_sees_the_rest_of_the_epoch(affine_faces):
    whole = epoch_of(affine_faces, epoch=3, batch_size=1)
    assert_same(whole[2:], epoch_of(affine_faces, epoch=3, batch_size=1, skip=2))


def test_batch_size_changes_no_sample(affine_faces):
    small, large = by_name(epoch_of(affine_faces, batch_size=1)), by_name(epoch_of(affine_faces, batch_size=4))
    assert all(torch.equal(small[name], large[name]) for name in affine_faces.names)


@pytest.mark.parametrize("change", [{"epoch": 1}, {"seed": 1}])
def test_another_epoch_or_seed_looks_different(affine_faces, change):
    first, second = by_name(epoch_of(affine_faces)), by_name(epoch_of(affine_faces, **change))
    assert not any(torch.equal(first[name], second[name]) for name in affine_faces.names)


def test_a_sample_repeated_in_an_epoch_looks_different(affine_faces):
    batches = epoch_of(affine_faces, repeats=3, batch_size=1)
    assert sorted(batch.name[0] for batch in batches) == sorted(affine_faces.names * 3)
    images = [batch.image for batch in batches]
    assert not any(torch.equal(a, b) for index, a in enumerate(images) for b in images[:index])


def test_seed_epoch_and_index_do_not_blend(exact_faces):
    """(epoch 1, index 2) and (epoch 2, index 1) must not be the same draw, nor seed + epoch."""
    draws = {
        (seed, epoch, index): float(Augmented(exact_faces, lambda _: torch.rand(()), seed)[epoch, index])
        for seed in range(4) for epoch in range(4) for index in range(4)
    }
    assert len(set(draws.values())) == 64


def test_order_of_epochs():
    order = EpochOrder(50, seed=0)
    orders = []
    for epoch in range(3):
        order.begin(epoch)
        keys = list(order)
        assert {of for of, _ in keys} == {epoch}
        orders.append([index for _, index in keys])
        assert sorted(orders[-1]) == list(range(50))
    assert len({tuple(indices) for indices in [*orders, list(range(50))]}) == 4
    order.begin(2, skip=20)
    assert len(order) == 30
    assert [index for _, index in order] == orders[2][20:]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_data_are_named_without_the_story_of_a_worker(workers):
    loader, _ = training_batches(Damaged(), Resize(16), batch_size=2, repeats=1, workers=workers, seed=0)
    with pytest.raises(InputError) as caught:
        list(without_worker_traceback(loader))
    assert str(caught.value) in {f"sample{index}.png: a damaged picture; copy it again" for index in range(4)}


def test_workers_leave_a_ctrl_c_to_the_main_process(affine_faces):
    loader, _ = training_batches(affine_faces, STRONG, batch_size=1, repeats=1, workers=1, seed=0)
    batches = iter(loader)
    next(batches)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, 2)
    assert len(list(batches)) == 3


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_pictures_that_are_not_square_are_cut_not_squashed(affine_faces, strength):
    sample = affine_faces[0]
    wide = Sample(*(values[..., 4:28, :] for values in sample[:5]), sample.camera.crop(0, 4), "wide")
    for _ in range(5):
        seen = augmentation(strength, 16)(wide)
        assert seen.image.shape == (3, 16, 16)
        assert float(seen.camera.K[0, 0]) == pytest.approx(float(seen.camera.K[1, 1]))


def test_a_head_at_the_edge_outlives_crop_and_resizing(affine_faces):
    sample = affine_faces[0]
    head = torch.zeros_like(sample.head)
    head[:, :6, :6] = True  # many squares of 0.7 times the side hold a pixel or two of it
    for _ in range(60):
        assert augmentation(0.9, 16)(sample._replace(head=head)).head.any()
    with pytest.raises(InputError, match=rf"sample '{sample.name}': no pixel of the head is left in the crop"):
        augmentation(0.9, 16)(sample._replace(head=torch.zeros_like(head)))


def test_transformed_is_the_same_every_time(affine_faces):
    small = Transformed(affine_faces, Resize(8))
    assert len(small) == 4
    assert small[1].image.shape == (3, 8, 8)
    assert torch.equal(small[1].image, small[1].image)


def test_to_device_moves_everything(affine_faces):
    batch = to_device(epoch_of(affine_faces)[0], "meta")
    assert all(tensor.device.type == "meta" for tensor in (*batch[:5], *batch.camera))
    assert isinstance(batch, Sample)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda sample: sample._replace(image=255 * sample.image), r"image: expected RGB in \[0, 1\].* to 1\d\d"),
        (lambda sample: sample._replace(image=2 * sample.image - 1), r"image: expected RGB in \[0, 1\].*from -"),
        (lambda sample: sample._replace(image=sample.image.numpy()), r"image: expected a tensor, got ndarray"),
        (lambda sample: sample._replace(camera=sample.camera.K), "camera: expected a Camera, got Tensor"),
        (lambda sample: sample._replace(camera=Camera(sample.camera.K.long(), sample.camera.cam2world)),
         "camera: expected K as a tensor of torch.float32, got torch.int64"),
        (lambda sample: sample._replace(camera=sample.camera._replace(cam2world=np.eye(4))),
         "camera: expected cam2world as a tensor of torch.float32, got float64"),
        (lambda sample: sample._replace(camera=Camera(sample.camera.K[None], sample.camera.cam2world)),
         r"K: expected shape \(3, 3\), got \(1, 3, 3\)"),
        (lambda sample: sample._replace(camera=sample.camera._replace(K=sample.camera.K / 32)),
         r"camera: expected 0, 0, 1 in the last row of K, got 0, 0, 0.03125"),
        (lambda sample: sample._replace(camera=sample.camera._replace(
            K=sample.camera.K / torch.tensor([[64.0], [64], [1]]))),
         r"camera: expected K in pixels, got a focal length of 4.\d+ for a picture of 64 x 64"),
        (lambda sample: sample._replace(camera=sample.camera._replace(
            K=sample.camera.K / torch.tensor([[1.0], [64], [1]]))),
         r"camera: expected K in pixels, got a focal length of 4.\d+ for a picture of 64 x 64"),
        (lambda sample: sample._replace(camera=sample.camera._replace(
            K=sample.camera.K * torch.tensor([[1.0], [-1], [1]]))),
         "camera: expected focal lengths above 0, with x right and y down, got -"),
        (lambda sample: sample._replace(camera=sample.camera._replace(
            K=sample.camera.K + torch.tensor([[0.0, 0, torch.nan], [0, 0, 0], [0, 0, 0]]))),
         "camera: expected finite numbers, got NaN or infinity"),
        (lambda sample: sample._replace(mask=torch.ones_like(sample.mask)),
         "depth: expected metres above 0 in the mask, got 0 in places"),
        (lambda sample: sample._replace(image=sample.image.double()),
         r"image: expected torch.float32, got torch.float64; image.to\(torch.float32\) makes it so"),
        (lambda sample: sample._replace(name=3), "name: expected text, got int"),
        (lambda sample: sample._replace(depth=sample.depth / 0), r"depth: expected finite values.*to inf"),
        (lambda sample: sample._replace(depth=sample.depth * torch.nan), r"depth: expected finite values.*nan"),
        (lambda sample: sample._replace(depth=sample.depth - 2.7), r"depth: expected .*not negative.*got -0"),
        (lambda sample: sample._replace(image=sample.image * torch.nan), r"image: expected RGB in \[0, 1\].*nan"),
        (lambda sample: sample._replace(image=(255 * sample.image).byte()),
         "image: expected torch.float32, got torch.uint8"),
        (lambda sample: sample._replace(depth=(1000 * sample.depth).int()),
         "depth: expected torch.float32, got torch.int32"),
        (lambda sample: sample._replace(head=sample.head.float()), "head: expected torch.bool"),
        (lambda sample: tuple(sample), "to yield facedepth.Sample, got tuple"),
    ],
)
def test_a_data_set_of_ones_own_is_checked(exact_faces, spoil, said):
    class Own(Dataset):
        depth_kind = "metric"

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return spoil(exact_faces[index])

    with pytest.raises(InputError, match=said):
        epoch_of(Own())
    with pytest.raises(InputError, match=said):
        Transformed(Own(), Resize(16))[0]


def test_depth_pictures_end_at_1(exact_faces):
    class Millimetres(Dataset):
        depth_kind = "affine"

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return exact_faces[index]._replace(depth=1000 * exact_faces[index].depth)

    with pytest.raises(InputError, match=r"'seed000\d': depth: expected 0 nearest to 1 farthest.* up to 2\d\d\d"):
        epoch_of(Millimetres())

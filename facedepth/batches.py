"""Training batches whose content depends only on (seed, epoch, index), not on workers, order or interruptions."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .camera import Camera
from .checks import InputError
from .sample import Sample, checked
from .transforms import Compose, Photometric, RandomCrop, RandomFlip, to_square


class Transformed(Dataset):
    """A data set seen through a deterministic transform."""

    def __init__(self, dataset: Dataset, transform: Callable[[Sample], Sample]) -> None:
        self.dataset, self.transform = dataset, transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.transform(checked(self.dataset[index], self.dataset.depth_kind))


class EpochOrder(Sampler):
    """Yields (epoch, index) for every sample, reshuffled each epoch; begins with epoch 0.

    Attributes:
        worker_seeds: what loaders draw their workers' seeds from. Drawn from torch's global generator, they would move
            the network's own random numbers, as dropout's, on in a resumed run.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed = length, seed
        self.worker_seeds = torch.Generator()
        self.begin(0)

    def begin(self, epoch: int, skip: int = 0) -> None:
        """Go to an epoch, of which so many samples have been seen already, in a run resumed in its middle."""
        self.epoch, self.skip = epoch, skip
        self.worker_seeds.manual_seed(_mix(self.seed, epoch))

    def __len__(self) -> int:
        return self.length - self.skip

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(_mix(self.seed, self.epoch))
        order = torch.randperm(self.length, generator=generator).tolist()
        return ((self.epoch, index) for index in order[self.skip :])


class Augmented(Dataset):
    """A data set seen through a random transform that is seeded with (seed, epoch, index).

    Indices beyond its length wrap around: the same samples again, transformed differently.
    """

    def __init__(self, dataset: Dataset, transform: Callable[[Sample], Sample], seed: int) -> None:
        self.dataset, self.transform, self.seed = dataset, transform, seed

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        sample = checked(self.dataset[index % len(self.dataset)], self.dataset.depth_kind)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(_mix(self.seed, epoch, index))  # torch's own seeds every GPU too
            return self.transform(sample)


def augmentation(strength: float, size: int) -> Compose:
    """The random transform for training, of strength 0 (none) to 1, to pictures of ``size`` x ``size``."""
    if strength == 0:
        return to_square(size)
    crop = RandomCrop((1 - 0.35 * strength, 1 + 0.5 * strength))  # faces are not always framed by the rule
    # Colour and noise come last: they are meant for the size the network sees.
    return Compose((crop, RandomFlip(), to_square(size), Photometric(strength)))


def to_device(batch: Sample, device: torch.device | str) -> Sample:
    """The same batch with its tensors on a device."""
    to_card = torch.device(device).type == "cuda"  # elsewhere, values could be read before they have arrived
    moved = [tensor.to(device, non_blocking=to_card) for tensor in batch[:5]]
    return Sample(*moved, Camera(*(tensor.to(device) for tensor in batch.camera)), batch.name)


def made_on_gpu(dataset: Dataset) -> bool:
    """Whether the data set's samples are on a GPU, by its ``device`` attribute."""
    return torch.device(getattr(dataset, "device", "cpu")).type != "cpu"


def workers_for(dataset: Dataset, workers: int) -> int:
    """The number of worker processes; 0 for samples made on a GPU, which belongs to this process."""
    return 0 if made_on_gpu(dataset) else workers


def training_batches(
    dataset: Dataset, transform: Callable[[Sample], Sample], *, batch_size: int, repeats: int, workers: int, seed: int,
    pin_memory: bool = False,
) -> tuple[DataLoader, EpochOrder]:
    """A loader of shuffled, transformed batches, and its order, which begins each epoch; an epoch has every sample
    ``repeats`` times. ``workers`` and ``pin_memory`` (for training on a CUDA card) apply only to samples on the CPU."""
    order = EpochOrder(len(dataset) * repeats, seed)
    workers = workers_for(dataset, workers)
    loader = DataLoader(
        Augmented(dataset, transform, seed), batch_size=batch_size, sampler=order, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=pin_memory and not made_on_gpu(dataset),
        worker_init_fn=leave_interrupts, generator=order.worker_seeds,
    )
    return loader, order


def evaluation_batches(dataset: Dataset, size: int, *, batch_size: int, workers: int) -> DataLoader:
    """A loader of every sample in its order, at ``size`` x ``size`` pixels; ``workers`` are for samples of the CPU."""
    return DataLoader(
        Transformed(dataset, to_square(size)), batch_size=batch_size, num_workers=workers_for(dataset, workers),
        worker_init_fn=leave_interrupts, generator=torch.Generator(),
    )


def without_worker_traceback(loader: DataLoader) -> Iterator[Sample]:
    """The loader's batches. An error about a sample keeps its own message, without a worker's traceback.

    Raises:
        InputError: a sample cannot be used.
    """
    try:
        yield from loader
    except InputError as error:
        # From a worker, the message comes at the end of a traceback's text.
        raise InputError(str(error).rpartition("facedepth.checks.InputError: ")[2].strip()) from None


def leave_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the main process, which needs its workers until the step is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _mix(*numbers: int) -> int:
    """One well-mixed seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1

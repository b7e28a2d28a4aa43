"""Training and validation parts that share no person, and several data sets as one."""

from __future__ import annotations

import hashlib

import torch
from torch.utils.data import ConcatDataset, Dataset, Subset

from ..checks import InputError, check_dataset, check_number, dataset_name, warn


class Part(Subset):
    """Some samples of a data set, which say of themselves what every data set says.

    Raises:
        InputError: a data set that lacks some of it.
    """

    def __init__(self, dataset: Dataset, indices: list[int]):
        _check_described("dataset", dataset)
        super().__init__(dataset, indices)
        self.depth_kind: str = dataset.depth_kind
        self.identities: list[str] = [dataset.identities[index] for index in indices]
        if hasattr(dataset, "names"):
            self.names: list[str] = [dataset.names[index] for index in indices]
        self.device: torch.device = getattr(dataset, "device", torch.device("cpu"))

    def __repr__(self) -> str:
        return f"{len(self)} of the {len(self.dataset)} samples of {dataset_name(self.dataset)}"


class Joined(ConcatDataset):
    """Several data sets as one, such as synthetic faces and a folder of one's own.

    An identity that two of them share counts as one person, of whom ``split`` keeps all pictures on one side. Where
    such people have only the name in common, as those of two generated folders, ``split`` each and join the parts.

    Args:
        datasets: of one ``depth_kind`` and on one kind of device. Sizes of pictures may differ, for networks see their
            own; units should not, for scores in the unit of depth are means over all.

    Raises:
        InputError: no data set, or some that do not go together.
    """

    def __init__(self, *datasets: Dataset):
        if not datasets:
            raise InputError("datasets: expected at least one, got none")
        for dataset in datasets:
            _check_described("datasets", dataset)
        super().__init__(datasets)
        self.depth_kind: str = _the_same("depth_kind", [dataset.depth_kind for dataset in datasets])
        devices = [torch.device(getattr(dataset, "device", "cpu")) for dataset in datasets]
        _the_same("device", [device.type for device in devices])
        self.device = devices[0]
        self.identities: list[str] = [identity for dataset in datasets for identity in dataset.identities]
        if all(hasattr(dataset, "names") for dataset in datasets):
            self.names: list[str] = [name for dataset in datasets for name in dataset.names]

    def __repr__(self) -> str:
        return f"Joined({', '.join(map(dataset_name, self.datasets))})"


def _check_described(name: str, dataset: Dataset) -> None:
    """Refuse a data set that does not say who is in each sample, or that has another number of names than samples.

    Raises:
        InputError: naming what it lacks, or which of its lists has another length.
    """
    check_dataset(name, dataset, ("depth_kind", "identities"))
    for attribute in ("identities", "names"):
        count = len(getattr(dataset, attribute, dataset.identities))
        if count != len(dataset):
            raise InputError(f"{name}: expected {attribute} for each of its {len(dataset)} samples, got {count}")


def _the_same(name: str, values: list[str]) -> str:
    if len(set(values)) > 1:
        raise InputError(f"datasets: expected the same {name} of all, got {', '.join(values)}")
    return values[0]


def split(dataset: Dataset, val: float = 0.1, *, seed: int = 0) -> tuple[Part, Part]:
    """Split a data set by identity into (train, val).

    A hash of the seed and the identity decides, so an identity's side depends neither on the order of the files nor
    on which others are there: a data set may grow, and what was validation stays so. Hence ``val`` is met on average.
    Only where a side would be empty, the identity nearest to the border moves there. To split a part once more, take
    another seed: under the same one its identities all lie on one side.

    Args:
        dataset: has ``depth_kind`` and ``identities``, as all of ``facedepth.data`` have; the parts have ``names`` if
            it has.
        val: share of the identities for validation, between 0 and 1.
        seed: another seed, another split.

    Raises:
        InputError: ``val`` out of range, or a data set of a single identity.
    """
    check_number("val", val, above=0, below=1)
    _check_described("dataset", dataset)
    place = {identity: _place(identity, seed) for identity in dataset.identities}
    if len(place) < 2:
        only = ", ".join(map(str, place)) or "none"
        raise InputError(
            f"split: expected at least two identities, the data set has {len(place)} ({only}); "
            "a person must not be in both parts. Add pictures of someone else, or check PairedFolder's identity="
        )
    ordered = sorted(place, key=place.get)
    count = sum(place[identity] < val for identity in ordered)
    chosen = set(ordered[: min(max(count, 1), len(ordered) - 1)])
    inside = [identity in chosen for identity in dataset.identities]
    share = sum(inside) / len(inside)
    if not val / 2 <= share <= 2 * val:
        warn(
            f"val: {sum(inside)} of {len(inside)} samples, where {val:.0%} were asked for; with few people, chance "
            "decides: another seed gives another split"
        )
    return (
        Part(dataset, [index for index, is_val in enumerate(inside) if not is_val]),
        Part(dataset, [index for index, is_val in enumerate(inside) if is_val]),
    )


def _place(identity: str, seed: int) -> float:
    """Where the identity lies between 0 and 1, evenly and for good (Python's own hash changes from run to run)."""
    digest = hashlib.sha256(f"{seed}/{identity}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

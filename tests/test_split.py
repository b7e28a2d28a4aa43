"""A person's side of the split is a matter of the seed and the person alone."""

from pathlib import Path

import pytest
from torch.utils.data import Dataset

from facedepth.checks import InputError
from facedepth.data import EG3DFaces, Joined, split
from facedepth.data.splitting import _place
from facedepth.evaluation import evaluate
from facedepth.synthetic import SyntheticFaces
from facedepth.training import TrainConfig, fit

SAMPLE = Path(__file__).parent / "data" / "eg3d_sample"


class People(Dataset):
    """A data set of names; ``photos`` of each person."""

    depth_kind = "metric"

    def __init__(self, people: list[str], photos: int = 1):
        self.identities = [person for person in people for _ in range(photos)]
        self.names = [f"{person}_{photo}" for person in people for photo in range(photos)]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index]


PEOPLE = [f"person{number}" for number in range(1000)]


def test_parts_share_nobody_and_hold_everybody():
    people = People(PEOPLE[:200], photos=3)
    train, val = split(people, val=0.25)
    assert not set(train.identities) & set(val.identities)
    assert sorted(train.names + val.names) == sorted(people.names)
    assert len(train) + len(val) == 600
    assert 30 <= len(set(val.identities)) <= 70


def test_parts_are_data_sets_themselves():
    for part in split(People(PEOPLE[:50], photos=2), val=0.3):
        assert part.depth_kind == "metric"
        assert [part[index] for index in range(len(part))] == part.names
        assert [name.split("_")[0] for name in part.names] == part.identities
    train, val = split(EG3DFaces(SAMPLE, size=16, depth_kind="affine"), val=0.5)
    assert train.depth_kind == val.depth_kind == "affine"
    assert train[0].name == train.names[0]


def test_order_does_not_matter():
    forward, backward = split(People(PEOPLE)), split(People(PEOPLE[::-1]))
    for one, other in zip(forward, backward, strict=True):
        assert one.names == other.names[::-1]


def test_added_files_move_nobody():
    few, many = split(People(PEOPLE[300:500])), split(People(PEOPLE))
    for small, large in zip(few, many, strict=True):
        assert set(small.identities) <= set(large.identities)
    more_photos = split(People(PEOPLE, photos=2))
    assert set(more_photos[1].identities) == set(many[1].identities)


def test_share_is_met_on_average_and_larger_shares_contain_smaller():
    vals = [set(split(People(PEOPLE), val=share)[1].identities) for share in (0.1, 0.3, 0.6)]
    for share, val in zip((0.1, 0.3, 0.6), vals, strict=True):
        assert len(val) == pytest.approx(1000 * share, abs=50)
    assert vals[0] < vals[1] < vals[2]


def test_the_seed_decides_and_stays_for_good():
    zero, one = (split(People(PEOPLE), seed=seed)[1].identities for seed in (0, 1))
    assert len(set(zero) & set(one)) < 40
    assert split(People([f"seed{number:04d}" for number in range(20)]), val=0.2)[1].identities == [
        "seed0001", "seed0003", "seed0005",
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("val", [0.001, 0.999])
def test_no_side_is_ever_empty(seed, val):
    parts = split(People(PEOPLE[:2], photos=2), val=val, seed=seed)
    assert [len(part) for part in parts] == [2, 2]
    train, val_part = split(People(PEOPLE[:6]), val=val, seed=seed)
    assert min(len(train), len(val_part)) == 1


def test_who_is_moved_is_nearest_to_the_border():
    """The first to enter validation as its share grows."""
    people = People(PEOPLE[:6])
    moved = split(people, val=1e-6)[1].identities
    assert all(moved[0] in split(people, val=share)[1].identities for share in (0.1, 0.3, 0.5))


def test_one_person_cannot_be_split():
    with pytest.raises(InputError, match=r"two identities, the data set has 1 \(anna\)"):
        split(People(["anna"], photos=9))
    with pytest.raises(InputError, match="the data set has 0"):
        split(People([]))


@pytest.mark.parametrize("val", [0, 1, -0.1, 1.5])
def test_shares_out_of_range(val):
    with pytest.raises(InputError, match="val: expected above 0 and below 1"):
        split(People(PEOPLE), val=val)


def test_joined_data_sets_are_one_and_a_person_in_both_is_one_person():
    old, new = People(PEOPLE[:60], photos=2), People(PEOPLE[40:100])
    both = Joined(old, new)
    assert [both[index] for index in range(len(both))] == both.names == old.names + new.names
    assert both.depth_kind == "metric"
    train, val = split(both, val=0.3)
    assert not set(train.identities) & set(val.identities)
    assert len(train) + len(val) == 180
    assert [name.split("_")[0] for name in val.names] == val.identities


def test_joined_faces_of_two_sizes_are_trained_on_and_scored(tmp_path, tiny_model):
    faces = Joined(*(EG3DFaces(SAMPLE, size=size, depth_kind="affine") for size in (32, 48)))
    train, val = split(faces, val=0.5)
    model = tiny_model()
    fit(model, train, val, TrainConfig(out=tmp_path / "run", epochs=1, batch_size=2, workers=0, device="cpu"))
    assert len(evaluate(model, faces).scores) == 8


def test_names_are_kept_where_there_are_some_and_must_be_as_many_as_samples():
    people = People(PEOPLE[:4])
    del people.names[3]
    with pytest.raises(InputError, match="expected identities for each of its 3 samples, got 4"):
        split(people)
    people.__class__ = type("Nameless", (People,), {"__len__": lambda _: 4})
    with pytest.raises(InputError, match="expected names for each of its 4 samples, got 3"):
        split(people)
    del people.names
    train, val = split(people, 0.5)
    assert sorted(train.identities + val.identities) == PEOPLE[:4]
    assert not hasattr(Joined(people, people), "names")


def test_what_cannot_be_joined_is_refused(exact_faces):
    for datasets, said in (
        ([], "expected at least one, got none"),
        ([exact_faces, [1, 2]], "expected a data set that says its depth_kind"),
        ([exact_faces, EG3DFaces(SAMPLE, size=16, depth_kind="affine")], "depth_kind of all, got metric, affine"),
    ):
        with pytest.raises(InputError, match=said):
            Joined(*datasets)


def test_a_share_far_from_what_was_asked_is_told():
    """With few people a hash rarely meets it."""
    with pytest.warns(UserWarning, match="val: 1 of 20 samples, where 30% were asked for; .*another seed"):
        split(People(["nearly everybody"] * 19 + ["one"]), val=0.3, seed=next(
            seed for seed in range(100) if _place("one", seed) < 0.3 <= _place("nearly everybody", seed)
        ))


def test_data_sets_say_what_they_are_in_a_line(tmp_path):
    faces = EG3DFaces(SAMPLE, size=32, depth_kind="affine")
    said = f"EG3DFaces({str(SAMPLE)!r}, size=32, depth_kind='affine')"
    assert repr(faces) == said
    assert repr(split(faces, val=0.5)[1]) in [f"{count} of the {len(faces)} samples of {said}" for count in (1, 2, 3)]
    assert repr(Joined(faces, faces)) == f"Joined({said}, {said})"
    assert repr(SyntheticFaces(3, size=64, seed=5)) == "SyntheticFaces(3, size=64, seed=5)"


@pytest.mark.parametrize("change", [lambda people: people[:-1], lambda people: [*people, "somebody"]])
@pytest.mark.parametrize("make", [split, Joined])
def test_identities_fewer_or_more_than_samples_are_refused(change, make):
    people = People(PEOPLE[:10])
    people.identities = change(people.identities)
    with pytest.raises(InputError, match=r"expected identities for each of its 10 samples, got (9|11)"):
        make(people)


def test_identities_may_be_numbers():
    train, val = split(People([5, 6, 7]), val=0.5)
    assert {*train.identities, *val.identities} == {5, 6, 7}
    with pytest.raises(InputError, match=r"the data set has 1 \(5\)"):
        split(People([5]))

"""Faces made on a card: shown without one, by a card that is pretended, and on a real one where there is one."""

import pytest
import torch
from pretend_card import CARD, PretendCard
from torch import Tensor

from facedepth.batches import to_device, training_batches, workers_for
from facedepth.checks import InputError
from facedepth.data import split
from facedepth.evaluation import evaluate
from facedepth.sample import Sample
from facedepth.synthetic import SyntheticFaces, faces
from facedepth.synthetic.devices import cached_per_device, default_device, making_on, moved, on_host
from facedepth.synthetic.facial_hair import BEARDS
from facedepth.synthetic.hair_styles import STYLES
from facedepth.synthetic.hats import KINDS as HATS
from facedepth.synthetic.occluders import KINDS as THINGS
from facedepth.training import TrainConfig, fit
from facedepth.transforms import Compose, Photometric, RandomCrop, RandomFlip, Resize

STRONG = Compose((RandomCrop((0.5, 1.0)), RandomFlip(), Resize(48), Photometric(1.0)))
CHOSEN = (7, 2, 105, 6, 27, 71, 40, 69, 4, 10, 18, 23, 46, 80, 138, 236, 266)
"""Samples of seed 11 in which every kind of hair, beard, hat and thing held is seen, glasses, and bald heads."""


def faces_on(device, n=300) -> SyntheticFaces:
    return SyntheticFaces(n, size=64, seed=11, device=device)


def all_of(sample: Sample) -> list[Tensor]:
    return [*sample[:5], *sample.camera]


def assert_alike(ours: Sample, theirs: Sample, *, picture: float) -> None:
    """Labels and cameras agree, pictures on average to ``picture``."""
    agree = (ours.depth - theirs.depth).abs() < 1e-4
    assert agree.float().mean() >= 0.999
    for one, other in zip(ours[2:5], theirs[2:5], strict=True):
        assert (one == other).float().mean() >= 0.999
    for one, other in zip(ours.camera, theirs.camera, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-6)
    assert (ours.image - theirs.image).abs().mean() < picture


def test_the_chosen_samples_show_everything():
    seen = set()
    for person, scenery in map(faces_on("cpu").describe, CHOSEN):
        seen |= {person.facial_hair.beard, person.hair.style if person.hair else "bald"}
        seen |= {thing.kind for thing in (scenery.hat, scenery.occluder) if thing}
        seen |= {"glasses"} if scenery.glasses else set()
    everything = {*BEARDS, *STYLES, *HATS, *THINGS, "bald", "glasses"}
    assert everything <= seen, f"no {everything - seen}"


@pytest.mark.parametrize("index", CHOSEN)
def test_a_sample_is_made_on_the_card_from_first_to_last(index):
    """Nothing from the host is mixed in on the way; and what comes out is what the CPU makes.

    The z-buffer stands in for ray casting, as on a card: lamps then cast shadows from four places of theirs.
    """
    with PretendCard():
        sample = faces_on(CARD)[index]
        assert {tensor.device for tensor in all_of(sample)} == {CARD}
        sample = to_device(sample, "cpu")
    assert_alike(sample, faces_on("cpu")[index], picture=0.015)


def test_the_pretended_card_refuses_what_a_card_refuses():
    host = torch.ones(3)
    with PretendCard(), CARD:
        card = torch.zeros(3)
        assert (card.flip(0).device, card[:2].device, card.cpu().device, host.to(card).device) == (
            CARD, CARD, torch.device("cpu"), CARD
        )
        assert (card + torch.ones((), device="cpu")).device == CARD
        for mixed in (
            lambda: card + host, lambda: torch.stack([card, host]), lambda: torch.where(card > 0, host, 0.0),
            lambda: host[card.long()], lambda: card.index_add_(0, torch.arange(3, device="cpu"), card),
        ):
            with pytest.raises(AssertionError, match="mixes card and host"):
                mixed()
        with pytest.raises(AssertionError, match="numpy of a tensor on the card"):
            card.numpy()
        with pytest.raises(AssertionError, match="generator of the host"):
            torch.rand(2, generator=torch.Generator())


def test_transforms_stay_on_the_card_and_do_the_same_there():
    sample = faces_on("cpu")[3]
    for seed in range(8):  # some of the changes are made now and then
        torch.manual_seed(seed)
        here = STRONG(sample)
        with PretendCard():
            torch.manual_seed(seed)
            there = STRONG(to_device(sample, CARD))
            assert {tensor.device for tensor in all_of(there)} == {CARD}
            there = to_device(there, "cpu")
        assert all(torch.equal(one, other) for one, other in zip(all_of(here), all_of(there), strict=True))


def test_batches_of_faces_on_the_card_need_no_workers():
    with PretendCard():
        train, val = split(faces_on(CARD, 4), val=0.3)
        assert workers_for(val, 2) == 0
        loader, _ = training_batches(
            train, Resize(32), batch_size=2, repeats=1, workers=2, seed=0, pin_memory=True
        )
        assert (loader.num_workers, loader.pin_memory) == (0, False)
        batch = next(iter(loader))
        assert {tensor.device for tensor in all_of(batch)} == {CARD}
        assert batch.image.shape == (2, 3, 32, 32)
    assert workers_for(faces_on("cpu"), 2) == 2
    loader, _ = training_batches(
        faces_on("cpu"), Resize(32), batch_size=2, repeats=1, workers=2, seed=0, pin_memory=True
    )
    assert (loader.num_workers, loader.pin_memory) == (2, True)


def test_a_device_without_64_bits_makes_no_faces(monkeypatch):
    monkeypatch.setattr(faces, "choose_device", lambda name: torch.device(name))
    with pytest.raises(InputError, match=r"device 'mps': .* make them on the CPU"):
        SyntheticFaces(1, device="mps")


def test_a_network_is_trained_and_scored_on_faces_made_on_the_card(tmp_path, tiny_model):
    """The network lies on the CPU here: every batch is carried to it."""
    with PretendCard():
        train, val = split(faces_on(CARD, 2), val=0.5)
        settings = TrainConfig(out=str(tmp_path), epochs=1, batch_size=1, warmup_steps=1, workers=2, device="cpu")
        history = fit(tiny_model(), train, val, settings)
        report = evaluate(tiny_model(), val, workers=2)
    assert len(history) == 1
    assert history[0]["val_loss"] > 0
    assert len(report.scores) == len(val)


def test_a_worker_that_is_asked_for_faces_on_a_card_says_what_to_do(monkeypatch):
    monkeypatch.setattr("facedepth.synthetic.faces.get_worker_info", lambda: "a worker")
    with PretendCard(), pytest.raises(InputError, match="num_workers=0, or make them with device='cpu'"):
        faces_on(CARD)[0]
    faces_on("cpu")[0]


def test_a_batch_is_its_samples():
    faces = faces_on("cpu")
    batch = faces.batch([2, 0])
    assert batch.name == ("seed0002", "seed0000")
    for row, index in enumerate((2, 0)):
        assert all(torch.equal(a[row], b) for a, b in zip(all_of(batch), all_of(faces[index]), strict=True))


def test_auto_takes_the_card_where_there_is_one_and_others_are_refused():
    assert faces_on("auto").device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="device 'warp' cannot be used here"):
        faces_on("warp")


def test_what_is_kept_is_made_once_and_moved():
    made = []

    @cached_per_device
    def numbers() -> dict[str, Tensor]:
        made.append(default_device())
        return {"ones": torch.ones(2)}

    with PretendCard():
        with making_on(CARD):
            assert numbers()["ones"].device == CARD
            assert numbers()["ones"] is numbers()["ones"]
        assert numbers()["ones"].device == torch.device("cpu")
    assert made == [torch.device("cpu")]


def test_what_runs_on_the_host_takes_and_gives_tensors_of_the_card():
    @on_host
    def doubled(values: list[Tensor], *, name: str) -> tuple[Tensor, str]:
        return torch.as_tensor(2 * values[0].numpy()), name

    with PretendCard(), making_on(CARD):
        result, name = doubled([torch.ones(2)], name="both")
        assert (result.device, name) == (CARD, "both")
        assert moved(result, torch.device("cpu")).tolist() == [2, 2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("index", CHOSEN)
def test_cpu_and_cuda_agree(index):
    sample = faces_on("cuda")[index]
    assert {tensor.device.type for tensor in all_of(sample)} == {"cuda"}
    assert_alike(to_device(sample, "cpu"), faces_on("cpu")[index], picture=0.015)

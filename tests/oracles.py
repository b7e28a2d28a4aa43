"""Networks that know the answer, to score."""

import torch
from torch import Tensor

from facedepth.depth import axis_factor, depth_to_relief, invert_depth
from facedepth.models import DepthNetwork

KINDS = ("relief", "affine_relief", "affine_inverse")


class Oracle(DepthNetwork):
    """A network that knows the answer to each picture of a data set, and recognises them."""

    def __init__(self, kind: str, images: Tensor, answers: Tensor) -> None:
        super().__init__(kind=kind, input_size=images.shape[-1], mean=(0, 0, 0), std=(1, 1, 1))
        self.name, self.images, self.answers = "oracle", images, answers

    def predict_normalised(self, image: Tensor) -> Tensor:
        distance = (image[:, None] - self.images).abs().flatten(2).sum(dim=2)  # (B, N)
        return self.answers[distance.argmin(dim=1)]


class Listed(list):
    """Samples in memory."""

    def __init__(self, samples, depth_kind: str) -> None:
        super().__init__(samples)
        self.depth_kind = depth_kind


def truth(sample, depth_kind: str, kind: str) -> Tensor:
    if depth_kind == "affine":
        return 1 - 2 * sample.depth
    along_axis = sample.depth * axis_factor(sample.camera, *sample.depth.shape[-2:])
    if kind == "relief":
        return depth_to_relief(sample.depth, sample.head & sample.mask, sample.camera)[0]
    return invert_depth(along_axis) if kind == "affine_inverse" else torch.where(sample.mask, -along_axis, 0.0)


def oracle(dataset, kind: str, *, scale: float = 1.0, shift: float = 0.0, noise: float = 0.0) -> Oracle:
    """The truth of a data set, scaled and shifted, with noise (of the truth's own spread) on top."""
    answers = torch.stack([truth(sample, dataset.depth_kind, kind) for sample in dataset])
    spread = torch.stack([answer[sample.mask].std() for answer, sample in zip(answers, dataset, strict=True)])
    added = noise * torch.randn(answers.shape, generator=torch.Generator().manual_seed(0))
    answers = answers + added * spread[:, None, None, None]
    return Oracle(kind, torch.stack([sample.image for sample in dataset]), scale * answers + shift)

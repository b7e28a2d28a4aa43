"""The Attention-UNet: a U-Net whose skip connections are gated by the decoder's features.

Sources: Ronneberger et al., "U-Net", 2015; Oktay et al., "Attention U-Net", 2018. Resize-convolutions, 5 levels and 32
start filters by default, as in the face-depth-3D-reconstruction project, whose weights convert exactly.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import InputError
from .network import DepthNetwork, OutputConv2d


class AttentionUNet(DepthNetwork):
    """Attention-UNet.

    Args:
        channels: filters of the finest level, at least 2; each coarser level has twice as many.
        depth: number of levels, at least 2.
        attention: gate the skip connections.
        head_mask: add a second output channel, the logits of the head.
        kind: of the first output channel, one of ``facedepth.depth.KINDS``.
        input_size: side in pixels of the square pictures it is trained on; any other size works too.
        mean, std: of the RGB input, which is normalised inside.
    """

    def __init__(
        self, *, channels: int = 32, depth: int = 5, attention: bool = True, head_mask: bool = True,
        kind: str = "relief", input_size: int = 128,
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5), std: tuple[float, float, float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__(kind=kind, input_size=input_size, mean=mean, std=std)
        if depth < 2 or channels < 2:
            raise InputError(f"AttentionUNet: expected depth >= 2 and channels >= 2, got {depth} and {channels}")
        widths = [channels * 2**level for level in range(depth)]
        self.encoder = nn.ModuleList(
            ConvPair(inside, outside) for inside, outside in zip([3, *widths], widths, strict=False)
        )
        self.decoder = nn.ModuleList(
            DecoderStep(coarse, fine, attention) for fine, coarse in reversed(list(pairwise(widths)))
        )
        self.head = OutputConv2d(channels, 2 if head_mask else 1, kernel_size=1)

    def predict_normalised(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        multiple = 2 ** (len(self.encoder) - 1)
        padding = (0, -width % multiple, 0, -height % multiple)
        features = F.pad(image, padding, mode="replicate")

        skips = []
        for level, block in enumerate(self.encoder):
            features = block(features if level == 0 else F.max_pool2d(features, 2))  # (B, channels * 2^l, H/2^l, W/2^l)
            skips.append(features)
        for step, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            features = step(features, skip)
        return self.head(features)[..., :height, :width]


class ConvPair(nn.Sequential):
    """3x3 convolution, batch norm, ReLU; twice."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
        )


class DecoderStep(nn.Module):
    """Upsample the coarse features, concatenate the gated skip, convolve."""

    def __init__(self, coarse: int, fine: int, attention: bool) -> None:
        super().__init__()
        self.enlarge = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(coarse, fine, 3, padding=1), nn.BatchNorm2d(fine), nn.ReLU(inplace=True),
        )
        self.gate = AttentionGate(fine, coarse) if attention else None
        self.convolve = ConvPair(2 * fine, fine)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        gated = skip if self.gate is None else self.gate(skip, coarse)
        return self.convolve(torch.cat([self.enlarge(coarse), gated], dim=1))


class AttentionGate(nn.Module):
    """Weight each pixel of the skip by how well it agrees with the coarse features (Oktay et al., figure 2)."""

    def __init__(self, skip: int, coarse: int) -> None:
        super().__init__()
        inner = skip // 2
        self.theta = nn.Conv2d(skip, inner, kernel_size=2, stride=2, bias=False)
        self.phi = nn.Conv2d(coarse, inner, kernel_size=1)
        self.psi = nn.Conv2d(inner, 1, kernel_size=1)
        self.out = nn.Sequential(nn.Conv2d(skip, skip, kernel_size=1), nn.BatchNorm2d(skip))

    def forward(self, skip: Tensor, coarse: Tensor) -> Tensor:
        query = self.theta(skip)  # (B, inner, h/2, w/2)
        key = F.interpolate(self.phi(coarse), query.shape[-2:], mode="bilinear", align_corners=False)
        weight = torch.sigmoid(self.psi(F.relu(query + key)))  # (B, 1, h/2, w/2)
        weight = F.interpolate(weight, skip.shape[-2:], mode="bilinear", align_corners=False)
        return self.out(weight * skip)

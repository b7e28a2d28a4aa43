"""The decoder shared by MiDaS, DPT and Depth Anything: levels of features are fused from coarse to fine.

Source: Ranftl et al., "Vision Transformers for Dense Prediction", 2021 (after RefineNet, Lin et al., 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import InputError
from .network import DepthNetwork, OutputConv2d, check_network


class FusionDecoder(nn.Module):
    """Levels of features in, the finest first; one map of twice the finest level's size out.

    Args:
        channels: of the input levels.
        widths: channels of the levels inside the decoder; the output has ``widths[0]``.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(
            nn.Conv2d(inside, width, 3, padding=1, bias=False) for inside, width in zip(channels, widths, strict=True)
        )
        finer = [widths[0], *widths[:-1]]
        self.fuse = nn.ModuleList(
            Fusion(width, outside, coarsest=level == len(widths) - 1)
            for level, (width, outside) in enumerate(zip(widths, finer, strict=True))
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        skips = [reduce(level) for reduce, level in zip(self.reduce, levels, strict=True)]  # (B, widths[l], h_l, w_l)
        fused = None
        for level in reversed(range(len(skips))):
            height, width = skips[0].shape[-2:]
            size = skips[level - 1].shape[-2:] if level else (2 * height, 2 * width)
            fused = self.fuse[level](skips[level], fused, size)
        return fused  # (B, widths[0], 2 h_0, 2 w_0)


class Fusion(nn.Module):
    """Add a level to the fused coarser ones, refine, project to the next finer level's width, and upsample."""

    def __init__(self, width: int, outside: int, *, coarsest: bool) -> None:
        super().__init__()
        self.refine_skip = None if coarsest else ResidualUnit(width)
        self.refine = ResidualUnit(width)
        self.project = nn.Conv2d(width, outside, 1)

    def forward(self, skip: Tensor, coarse: Tensor | None, size: tuple[int, int]) -> Tensor:
        features = skip if self.refine_skip is None else coarse + self.refine_skip(skip)
        # The source upsamples first. A 1x1 convolution before it gives the same result on a quarter of the pixels.
        return F.interpolate(self.project(self.refine(features)), size, mode="bilinear", align_corners=True)


class ResidualUnit(nn.Module):
    """The input plus the output of two (ReLU, 3x3 convolution) steps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv2(F.relu(self.conv1(F.relu(features))))


class DepthHead(nn.Module):
    """From the decoder's output to depth values, and optionally logits of the head, at a given size.

    Args:
        width: input channels.
        head_mask: add the logits as a second channel.
        align_corners: of the upsampling, as the published weights expect it.
    """

    def __init__(self, width: int, *, head_mask: bool, align_corners: bool) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width, width // 2, 3, padding=1)
        self.smooth = nn.Conv2d(width // 2, 32, 3, padding=1)
        self.out = OutputConv2d(32, 2 if head_mask else 1, 1)
        self.align_corners = align_corners

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        features = F.interpolate(self.narrow(features), size, mode="bilinear", align_corners=self.align_corners)
        return self.out(F.relu(self.smooth(features)))  # (B, 1 or 2, *size)


@torch.no_grad()
def add_head_mask(model: DepthNetwork) -> None:
    """Add a second output, the logits of the head, to a network that only outputs depth, in place.

    The depth does not change. Until the second output is trained (on data with head masks), it takes every pixel for
    head. A network that already has it stays as it is.

    Raises:
        InputError: not a network, or one without a ``DepthHead``: create that with head_mask=True.
    """
    check_network(model)
    if model.options.get("head_mask"):
        return
    head = getattr(model, "head", None)
    if not isinstance(head, DepthHead):
        raise InputError(f"{model.name}: no head mask can be added; create the model with head_mask=True")
    if head.out.out_channels == 2:
        return
    if model.options and "head_mask" not in model.options:  # load_model could not make it again
        raise InputError(f"{model.name}: no head mask can be added; give its class an option head_mask")
    depth_only = head.out
    head.out = OutputConv2d(depth_only.in_channels, 2, 1).to(depth_only.weight)
    head.out.weight.copy_(torch.cat([depth_only.weight, torch.zeros_like(depth_only.weight)]))
    head.out.bias.copy_(torch.cat([depth_only.bias, torch.ones_like(depth_only.bias)]))
    model.options = model.options | {"head_mask": True}

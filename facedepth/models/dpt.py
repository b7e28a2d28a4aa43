"""DPT: a vision transformer with a convolutional decoder; MiDaS v3 and Depth Anything V2 belong to this family.

Sources: Ranftl et al., "Vision Transformers for Dense Prediction", 2021; Yang et al., "Depth Anything V2", 2024; Oquab
et al., "DINOv2", 2023. Published weights convert exactly. To add a backbone, add a row to ``BACKBONES``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import InputError
from .decoder import DepthHead, FusionDecoder
from .network import DepthNetwork


class Backbone(NamedTuple):
    """A row of the table of backbones.

    Attributes:
        timm_name: its name in timm.
        patch: side in pixels of the patch that becomes one token.
        blocks: indices of the transformer blocks whose outputs are the decoder's levels, the finest first. If there are
            fewer than four, the first levels are the outputs of the stages of the ResNet before the transformer.
        channels: of the four levels.
        readout: whether the class token is merged into every patch token, or dropped.
        final_norm: whether levels go through the norm after the last block.
        resize_position: "bilinear" or "bicubic", how the position embedding is resized to another grid.
        options: of timm's model, where they differ from timm's defaults.
    """

    timm_name: str
    patch: int
    blocks: tuple[int, ...]
    channels: tuple[int, int, int, int]
    readout: bool
    final_norm: bool
    resize_position: str
    options: Mapping[str, object] = MappingProxyType({})


_MIDAS = {"readout": True, "final_norm": False, "resize_position": "bilinear"}
_DINOV2 = {"readout": False, "final_norm": True, "resize_position": "bicubic"}

BACKBONES = {
    "vit_large": Backbone("vit_large_patch16_384", 16, (5, 11, 17, 23), (256, 512, 1024, 1024), **_MIDAS),
    "vit_base_resnet50": Backbone("vit_base_r50_s16_384", 16, (8, 11), (256, 512, 768, 768), **_MIDAS),
    "dinov2_small": Backbone("vit_small_patch14_dinov2", 14, (2, 5, 8, 11), (48, 96, 192, 384), **_DINOV2),
    "dinov2_base": Backbone("vit_base_patch14_dinov2", 14, (2, 5, 8, 11), (96, 192, 384, 768), **_DINOV2),
    "dinov2_large": Backbone("vit_large_patch14_dinov2", 14, (4, 11, 17, 23), (256, 512, 1024, 1024), **_DINOV2),
    "vit_tiny": Backbone(
        "vit_tiny_patch16_224", 16, (0, 1, 2, 3), (24, 48, 96, 96), **_MIDAS,
        options={"img_size": 128, "embed_dim": 96, "depth": 4, "num_heads": 3},
    ),
}


class DPT(DepthNetwork):
    """A DPT network.

    Args:
        backbone: one of ``BACKBONES``.
        features: channels of the decoder, at least 2.
        head_mask: add a second output channel, the logits of the head.
        non_negative: clip the values at 0, as suits inverse depth.
        kind: of the first output channel, one of ``facedepth.depth.KINDS``.
        input_size: side in pixels of the square pictures it is trained on. Any other size works too: sides that are not
            multiples of the patch are resampled to the nearest multiples, and the output back.
        mean, std: of the RGB input, which is normalised inside.
    """

    def __init__(
        self, *, backbone: str, features: int, head_mask: bool = False, non_negative: bool = True,
        kind: str = "affine_inverse", input_size: int = 384,
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5), std: tuple[float, float, float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__(kind=kind, input_size=input_size, mean=mean, std=std, non_negative=non_negative)
        if backbone not in BACKBONES:
            raise InputError(f"backbone: expected one of {', '.join(sorted(BACKBONES))}, got {backbone!r}")
        if features < 2:
            raise InputError(f"DPT: expected features >= 2, got {features}")
        row = BACKBONES[backbone]
        self.patch = row.patch
        self.encoder = TransformerEncoder(row)
        self.reassemble = nn.ModuleList(
            Reassemble(self.encoder.width, row.channels[level], level=level, readout=row.readout)
            for level in range(4 - len(row.blocks), 4)
        )
        self.decoder = FusionDecoder(row.channels, [features] * 4)
        self.head = DepthHead(features, head_mask=head_mask, align_corners=True)

    def predict_normalised(self, image: Tensor) -> Tensor:
        size = image.shape[-2:]
        grid = tuple(max(1, round(side / self.patch)) for side in size)
        height, width = (side * self.patch for side in grid)
        levels, tokens = self.encoder(_resample(image, (height, width)))
        levels = levels + [reassemble(part, grid) for reassemble, part in zip(self.reassemble, tokens, strict=True)]
        return _resample(self.head(self.decoder(levels), (height, width)), size)


class TransformerEncoder(nn.Module):
    """timm's transformer, taken apart: only its modules and parameters are used, not the model's own forward.

    Attributes:
        gradient_checkpointing: recompute the blocks in the backward pass, to save memory.
    """

    def __init__(self, row: Backbone) -> None:
        super().__init__()
        import timm  # late: it takes a second

        vit = timm.create_model(row.timm_name, pretrained=False, num_classes=0, **row.options)
        self.resnet = getattr(vit.patch_embed, "backbone", None)
        self.patches = vit.patch_embed.proj
        self.class_token = vit.cls_token
        self.position = vit.pos_embed
        self.blocks = vit.blocks
        self.norm = vit.norm if row.final_norm else nn.Identity()
        self.width = self.position.shape[-1]
        self.outputs = row.blocks
        self.resize_position = _RESIZE_POSITION[row.resize_position]
        self.gradient_checkpointing = False

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Levels (B, C, h, w) of the ResNet, if there is one; tokens (B, 1 + h * w, width) of ``row.blocks``, the class
        token first."""
        levels = []
        if self.resnet is not None:
            image = self.resnet.stem(image)
            for stage in self.resnet.stages:
                image = stage(image)
                levels.append(image)
        patches = self.patches(image)  # (B, width, h, w)
        tokens = patches.flatten(2).transpose(1, 2)  # (B, h * w, width)
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self._position_for(patches.shape[-2:])
        outputs = []
        for index, block in enumerate(self.blocks):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                from torch.utils.checkpoint import checkpoint  # late: with torch 2.4 it takes seconds

                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
            if index in self.outputs:
                outputs.append(self.norm(tokens))
        return levels[: 4 - len(outputs)], outputs

    def _position_for(self, grid: tuple[int, int]) -> Tensor:
        own = round((self.position.shape[1] - 1) ** 0.5)
        if (own, own) == tuple(grid):
            return self.position
        picture = self.position[:, 1:].unflatten(1, (own, own)).permute(0, 3, 1, 2)  # (1, width, own, own)
        picture = self.resize_position(picture, grid)
        return torch.cat([self.position[:, :1], picture.flatten(2).transpose(1, 2)], dim=1)  # (1, 1 + h * w, width)


class Reassemble(nn.Module):
    """From one block's tokens to one level of features, 4, 2, 1 or 1/2 times as fine as the patches."""

    def __init__(self, width: int, channels: int, *, level: int, readout: bool) -> None:
        super().__init__()
        self.readout = nn.Sequential(nn.Linear(2 * width, width), nn.GELU()) if readout else None
        self.project = nn.Conv2d(width, channels, 1)
        self.resize = (
            nn.ConvTranspose2d(channels, channels, 4, stride=4),
            nn.ConvTranspose2d(channels, channels, 2, stride=2),
            nn.Identity(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1),
        )[level]

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        class_token, patches = tokens[:, :1], tokens[:, 1:]
        if self.readout is not None:
            patches = self.readout(torch.cat([patches, class_token.expand_as(patches)], dim=-1))
        picture = patches.transpose(1, 2).unflatten(2, grid)  # (B, width, h, w)
        return self.resize(self.project(picture))


def _bilinear(picture: Tensor, grid: Sequence[int]) -> Tensor:
    return F.interpolate(picture, tuple(grid), mode="bilinear", align_corners=False)


def _bicubic(picture: Tensor, grid: Sequence[int]) -> Tensor:
    # The published weights were trained with a slightly too large scale, a guard against rounding down.
    scale = tuple((side + 0.1) / own for side, own in zip(grid, picture.shape[-2:], strict=True))
    return F.interpolate(picture, scale_factor=scale, mode="bicubic", align_corners=False)


_RESIZE_POSITION = {"bilinear": _bilinear, "bicubic": _bicubic}


def _resample(picture: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return F.interpolate(picture, tuple(size), mode="bilinear", align_corners=False)

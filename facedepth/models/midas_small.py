"""MiDaS v2.1 small: an EfficientNet-Lite with a light decoder, for phones and CPUs.

Sources: Ranftl et al., "Towards Robust Monocular Depth Estimation", 2020, and its release v2.1; Tan and Le,
"EfficientNet", 2019. The defaults are those of the published weights, which convert exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import InputError
from .decoder import DepthHead, FusionDecoder
from .network import DepthNetwork

ENCODERS = tuple(f"tf_efficientnet_lite{size}" for size in range(5))
"""timm's names of the encoders that ``MidasSmall`` takes; lite0 is the smallest."""

_COARSEST = 32  # stride of the coarsest level


class MidasSmall(DepthNetwork):
    """MiDaS v2.1 small.

    Args:
        encoder: one of ``ENCODERS``; its weights are random (``load_encoder`` loads published ones).
        features: channels of the decoder's finest level, at least 2; each coarser level has twice as many.
        finest_stride: of the finest level, in pixels of the picture: 4 as in MiDaS, or 2 for sharper edges and noses at
            little extra time.
        head_mask: add a second output channel, the logits of the head.
        non_negative: clip the values at 0, as suits inverse depth.
        kind: of the first output channel, one of ``facedepth.depth.KINDS``.
        input_size: side in pixels of the square pictures it is trained on; any other size works too.
        mean, std: of the RGB input, which is normalised inside.
    """

    def __init__(
        self, *, encoder: str = "tf_efficientnet_lite3", features: int = 64, finest_stride: int = 4,
        head_mask: bool = False, non_negative: bool = True, kind: str = "affine_inverse", input_size: int = 256,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__(kind=kind, input_size=input_size, mean=mean, std=std, non_negative=non_negative)
        if encoder not in ENCODERS:
            raise InputError(f"encoder: expected one of {', '.join(ENCODERS)}, got {encoder!r}")
        if features < 2:
            raise InputError(f"MidasSmall: expected features >= 2, got {features}")
        if finest_stride not in (2, 4):
            raise InputError(f"MidasSmall: expected finest_stride 2 or 4, got {finest_stride}")
        import timm  # late: it takes a second

        stages = (0, 1, 2, 3, 4) if finest_stride == 2 else (1, 2, 3, 4)
        self.encoder = timm.create_model(encoder, pretrained=False, features_only=True, out_indices=stages)
        widths = [features * 2**level for level in range(len(stages))]
        self.decoder = FusionDecoder(self.encoder.feature_info.channels(), widths)
        self.head = DepthHead(features, head_mask=head_mask, align_corners=False)

    def predict_normalised(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padding = (0, -width % _COARSEST, 0, -height % _COARSEST)
        padded = F.pad(image, padding, mode="replicate")
        with torch.autocast("cpu", enabled=False):  # on CPUs, depthwise gradients take ten times as long in bfloat16
            levels = self.encoder(padded)  # (B, C, H / stride, W / stride), from the finest stride to 32
        return self.head(self.decoder(levels), padded.shape[-2:])[..., :height, :width]

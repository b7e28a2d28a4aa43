"""Networks and predictions at hand, whose answer is known."""

import torch
from torch import Tensor

from facedepth.camera import Camera, Crop
from facedepth.models import DepthNetwork
from facedepth.prediction import Prediction

HEIGHT, WIDTH = 60, 90
MIDDLE, EDGE = Crop(21, 6, 48), Crop(44, 22, 48)  # the second reaches beyond the photo's right and lower edge


class RedIsNear(DepthNetwork):
    """A network whose answer is known: the red of a pixel is its value, and green is head."""

    def __init__(self) -> None:
        super().__init__(kind="affine_relief", input_size=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def predict_normalised(self, image: Tensor) -> Tensor:
        return torch.cat([image[:, :1], image[:, 1:2] - 0.5], dim=1)


def photo_of(height: int, width: int) -> Tensor:
    """(3, H, W): red grows to the right, green is all, blue grows downwards; in whole 255ths."""
    red = torch.linspace(0, 1, width).expand(height, width)
    blue = torch.linspace(0, 1, height)[:, None].expand(height, width)
    return (torch.stack([red, torch.ones_like(red), blue]) * 255).round() / 255


def prediction(
    values: Tensor, kind: str, crop: Crop, *, focal_px: float = 70, mask: Tensor | None = None
) -> Prediction:
    """A prediction at hand, with ``values`` in the photo's pixels and a mask that is the crop, or a part of it."""
    height, width = values.shape[-2:]
    inside = torch.zeros(1, height, width, dtype=torch.bool)
    inside[:, crop.top : crop.top + crop.size, crop.left : crop.left + crop.size] = True
    return Prediction(
        image=photo_of(height, width), values=values, mask=inside if mask is None else inside & mask,
        camera=Camera.from_focal(focal_px, height, width), kind=kind, crop=crop, network_size=24, name="me",
    )


def true_depth() -> Tensor:
    """(1, H, W) z-depth of a plane, tilted both ways, with a hump that has no symmetry; about 0.9 m away."""
    rays = Camera.from_focal(70, HEIGHT, WIDTH).rays(HEIGHT, WIDTH)
    x, y = rays[:2, None]
    plane = 0.9 / (1 + 0.25 * x - 0.15 * y)
    return plane * (1 - 0.08 * torch.exp(-((x - 0.1) ** 2) / 0.02 - (y + 0.05) ** 2 / 0.05))


def turned_focal_px(crop: Crop) -> float:
    """Of a camera turned to the crop, to which faces are as large: f / cos^1.5 of the angle, with f = 70."""
    across, down = crop.left + crop.size / 2 - WIDTH / 2, crop.top + crop.size / 2 - HEIGHT / 2
    return 70 * (1 + (across / 70) ** 2 + (down / 70) ** 2) ** 0.75

"""What the tests of losses, metrics and geometry make their small maps with."""

import torch
from torch import Tensor

from facedepth.camera import Camera
from facedepth.sample import Sample

SIZE = 12
CAMERA = Camera.from_fov(40, SIZE, SIZE).crop(2.5, -1.0)


def image(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows)[None, None]


def full(values: Tensor) -> Tensor:
    return torch.ones_like(values, dtype=torch.bool)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def odd_camera() -> Camera:
    """fx != fy, skew, principal point off: nothing that may be swapped unseen."""
    return Camera(torch.tensor([[50.0, 3.0, 4.0], [0.0, 60.0, 9.0], [0.0, 0.0, 1.0]]), torch.eye(4))


def plane_depth(camera: Camera, normal: torch.Tensor, offset: float, height: int, width: int) -> torch.Tensor:
    """z-depth of the plane normal . X = offset, hit by each pixel's ray: z = offset / (normal . ray)."""
    return offset / torch.einsum("i,ihw->hw", normal, camera.rays(height, width))[None]


def as_picture(sample: Sample) -> Sample:
    """With depth as in EG3D's pictures: from 0 nearest to 1 farthest."""
    least, greatest = sample.depth[sample.mask].aminmax()
    return sample._replace(depth=((sample.depth - least) / (greatest - least)).clamp(0, 1))

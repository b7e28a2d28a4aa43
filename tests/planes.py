"""A slanted plane whose picture tells where each of its pixels came from."""

import torch

from facedepth.camera import Camera
from facedepth.sample import Sample

HEIGHT, WIDTH = 48, 64
NORMAL = torch.tensor([0.3, -0.2, 1.0])  # of the plane n . x = 2, in the camera's frame


def plane_camera() -> Camera:
    K = torch.tensor([[90.0, 0.0, 27.0], [0.0, 80.0, 29.0], [0.0, 0.0, 1.0]])
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([0.1, -0.2, 0.3])
    return Camera(K, pose)


def plane_sample() -> Sample:
    """A slanted plane; the image holds each pixel's own x and y, so that pixels can be traced; a corner is invalid."""
    camera = plane_camera()
    depth = 2 / (camera.rays(HEIGHT, WIDTH) * NORMAL[:, None, None]).sum(dim=0, keepdim=True)
    mask = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    mask[:, :10, :20] = False
    head = mask.clone()
    head[:, 40:] = False
    face = head.clone()
    face[:, :, :30] = False
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    image = torch.stack([x / WIDTH, y / HEIGHT, torch.zeros_like(x)])
    return Sample(image, torch.where(mask, depth, 0.0), mask, head, face, camera, "plane")


def plane_error(sample: Sample, normal: torch.Tensor = NORMAL) -> torch.Tensor:
    """(N,) how far the valid points lie off the plane."""
    points = sample.camera.unproject(sample.depth)
    return ((points * normal[:, None, None]).sum(dim=0, keepdim=True) - 2)[sample.mask].abs()


def interior(sample: Sample) -> Sample:
    """Without the pixels that touch an invalid one, where the nearest value stands in for the blend."""
    holes = torch.nn.functional.max_pool2d((~sample.mask).float(), 3, stride=1, padding=1) > 0
    return sample._replace(mask=sample.mask & ~holes)


def traced_pixels(sample: Sample) -> torch.Tensor:
    """(2, H, W) where the sample's points fall in the picture of the untouched sample, from depth and camera alone."""
    pixels, _ = plane_camera().project(sample.camera.unproject(torch.where(sample.mask, sample.depth, 1.0)))
    return pixels


def assert_pixels_agree(sample: Sample, tolerance: float) -> None:
    """The image says which pixel each one came from, depth and camera say so too."""
    said = sample.image[:2] * torch.tensor([WIDTH, HEIGHT])[:, None, None]
    inside = sample.mask[0].clone()
    inside[[0, -1]] = False  # the antialiased image leans inwards at its edges
    inside[:, [0, -1]] = False
    assert inside.sum() > 50
    assert (said - traced_pixels(sample))[:, inside].abs().max() < tolerance

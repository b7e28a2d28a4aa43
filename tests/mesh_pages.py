"""Meshes for the page that shows them, and what is seen of it in a browser."""

import io

import numpy as np
import torch
from chromium import keep_screenshot
from PIL import Image

from facedepth.camera import Camera
from facedepth.geometry import depth_to_mesh
from facedepth.mesh_page import SHOWN_DEG
from facedepth.sample import Sample

SLIDERS = ("relief", "jumpDeg", "lightAzimuth", "lightElevation", "fovDeg")
PHONE = {"has_touch": True, "is_mobile": True}


def bump(size: int = 96) -> Sample:
    """A head-like bump, off centre, with a step in depth behind its right side."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    depth = 1 - 0.15 * torch.exp(-3 * (x + 0.2).square() - 2 * y.square()) + 0.08 * (x > 0.5)
    mask = (x.square() + y.square() < 0.9)[None]
    image = torch.stack([0.5 + 0.5 * x, 0.5 + 0.5 * y, (torch.sin(12 * x) * torch.sin(12 * y) + 1) / 2])
    return Sample(image, depth[None], mask, mask, mask, Camera.from_fov(20, size, size), "bump")


def head(size: int = 96, far: float = 1.2) -> Sample:
    """Higher than wide and closed, as heads are; from 1 to `far` deep."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    apart = (x / 0.7).square() + y.square()
    mask = (apart < 0.95)[None]
    depth = 1 + (far - 1) * (1 - (1 - apart).clamp(min=0).sqrt())
    return bump(size)._replace(depth=depth[None], mask=mask, head=mask)


def mesh_of(sample: Sample, **options):
    """Uncut, unless ``keep_steep=False``."""
    options = {"max_angle_deg": SHOWN_DEG, "keep_steep": True} | options
    return depth_to_mesh(sample.depth, sample.camera, sample.mask, sample.image, **options)


def settle(page) -> None:
    """Wait until the view is still."""
    frames = -1
    while frames != (frames := page.evaluate("facedepth.frames")):
        page.wait_for_timeout(150)


def picture(page, name: str = "") -> np.ndarray:
    settle(page)
    if name:
        keep_screenshot(page, name)
    return np.asarray(Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB")).astype(int)


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """Share of the pixels that are clearly different; buttons, hint and focus ring at the rim do not count."""
    return float((np.abs(before - after).max(axis=2) > 12)[50:-40, 8:-8].mean())


def settings(page) -> dict:
    return page.evaluate("facedepth.settings")

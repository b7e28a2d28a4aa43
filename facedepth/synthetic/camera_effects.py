"""From linear light to a photograph: exposure, white balance, film curve, blur, noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear [0, 1] to sRGB's curve."""
    linear = np.maximum(linear, 0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(np.maximum(linear, 1e-8), 1 / 2.4) - 0.055)


def exposure(rng: np.random.Generator, linear: np.ndarray, face: np.ndarray) -> float:
    """Gain that makes the face as bright as photographers do: dark skin stays darker, some pictures are off."""
    luminance = linear @ np.array([0.25, 0.65, 0.1], dtype=np.float32)
    meter = np.median(luminance[face]) if face.sum() > 30 else np.median(luminance)
    meter = 0.8 * meter + 0.2 * luminance.mean()
    aim = 0.23 * (max(float(meter), 1e-3) / 0.23) ** 0.30
    return float(aim / max(float(meter), 1e-3) * 2 ** np.clip(rng.normal(0.1, 0.45), -1.6, 1.2))


def photograph(rng: np.random.Generator, linear: np.ndarray, face: np.ndarray) -> np.ndarray:
    """A picture as a camera would have taken and stored it.

    Args:
        linear: (H, W, 3) linear RGB light.
        face: (H, W) bool, pixels that the exposure meter looks at.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    size = linear.shape[0]
    picture = linear.astype(np.float32) * exposure(rng, linear, face)
    picture = picture * np.exp(rng.normal(0, 0.04, 3)).astype(np.float32)  # white balance not quite right
    sigma = size / 256 * float(rng.choice([0.35, rng.uniform(0.4, 0.8), rng.uniform(0.8, 1.8)], p=[0.55, 0.33, 0.12]))
    picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    if rng.random() < 0.05:
        picture = _motion_blur(rng, picture)
    if rng.random() < 0.25:  # veiling glare around what is bright
        glow = cv2.GaussianBlur(np.minimum(picture, 4), (0, 0), size / 16)
        picture = picture + rng.uniform(0.02, 0.08) * glow
    picture = _vignette(rng, picture)
    shot, read = rng.uniform(0, 1) ** 5 * 0.0025, rng.uniform(0, 1) ** 5 * 0.0002
    grain = rng.standard_normal(picture.shape, dtype=np.float32)
    picture = picture + grain * np.sqrt(np.clip(picture, 0, 1) * shot + read)
    picture = to_srgb(_film_curve(picture, rng.uniform(0.7, 1.0)))
    picture = _grade(rng, picture)
    stored = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _jpeg(rng, stored) if rng.random() < 0.7 else stored


def _film_curve(x: np.ndarray, shoulder: float) -> np.ndarray:
    """Straight below ``shoulder`` / 2, then bending towards 1 so that highlights keep some shape."""
    knee = 0.5 * shoulder
    over = np.maximum(x - knee, 0)
    return np.where(x < knee, x, knee + (1 - knee) * over / (over + 1 - knee))


def _grade(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    grey = picture.mean(axis=2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.03 else float(np.clip(rng.normal(1.08, 0.14), 0.65, 1.4))
    picture = grey + (picture - grey) * saturation
    contrast = float(np.clip(rng.normal(1.12, 0.1), 0.85, 1.35))
    return 0.5 + (np.clip(picture, 0, 1) - 0.5) * contrast + rng.normal(0, 0.015)


def _vignette(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2)[..., None]
    return picture * (1 - rng.uniform(0, 0.5) ** 2 * 2 * radius)


def _motion_blur(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    length = max(3, int(rng.uniform(0.008, 0.022) * picture.shape[0])) | 1  # odd: an even one has no middle pixel
    kernel = np.zeros((length, length), dtype=np.float32)
    angle, middle = rng.uniform(0, np.pi), (length - 1) / 2
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    cv2.line(kernel, np.round(middle - reach).astype(int).tolist(), np.round(middle + reach).astype(int).tolist(), 1.0)
    kernel += kernel[::-1, ::-1]  # as it is drawn, it would shift the picture against its depth
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


def _jpeg(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    quality = int(100 - 60 * rng.uniform(0, 1) ** 1.8)
    _, code = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[:, :, ::-1]

"""The pinhole camera, and the conventions that every other module follows.

- Images are RGB float in [0, 1], (3, H, W). Networks take unnormalised RGB; mean and std live inside the model.
- The camera frame is OpenCV's: x right, y down, z forward. ``cam2world`` is (4, 4). ``K`` is (3, 3) in pixels, with
  the *centre* of the top-left pixel at (0.5, 0.5), so that resizing an image by s multiplies K's first two rows by s.
- Fields of view are horizontal, in degrees, and named ``horizontal_fov_deg``.
- ``depth`` is z-depth, (1, H, W), in metres where the scale is known (EG3D data: its own unit, in which the rendered
  box is 1 wide). Length along the ray is called ``distance``, 1 / depth ``inverse_depth``.
- In memory, invalid pixels hold depth 0 and ``mask`` is False there; in files they hold NaN. Readers take NaN, inf
  and 0 for invalid. A depth map without a single valid pixel is an error.
- ``mask``: depth is valid. ``head``: skin, hair, hat, neck, what a mesh keeps (= mask where a data set does not say).
  ``face``: the region scores are taken on (= head where a data set does not say).
- Exported meshes have x right, y up, z towards the viewer, metres, the origin at the camera, faces counter-clockwise
  seen from the front, UV origin at the lower left; normals point to the camera.
- A network's output is of one of three kinds, and in each larger is nearer: ``relief`` (height towards the camera
  over the head's median depth z0, in crop widths), ``affine_relief`` (relief up to an unknown scale and shift) and
  ``affine_inverse`` (inverse depth up to an unknown scale and shift). See ``facedepth.depth``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .checks import check_number, check_shapes


def pixel_grid(height: int, width: int, *, device: torch.device | str | None = None) -> Tensor:
    """(2, H, W) x and y of every pixel's centre, in pixels: the top-left one is (0.5, 0.5)."""
    rows, columns = (torch.arange(size, dtype=torch.float32, device=device) + 0.5 for size in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y])


class Crop(NamedTuple):
    """A square window of a photo, in whole pixels; it may reach beyond the photo's edges.

    ``tilt_deg`` is how far the face in it is turned clockwise: a network sees the square turned back about its middle.
    """

    left: int
    top: int
    size: int
    tilt_deg: float = 0.0


class Camera(NamedTuple):
    """A pinhole camera. Both tensors may carry the same leading batch dimensions.

    Attributes:
        K: (..., 3, 3) intrinsics in pixels.
        cam2world: (..., 4, 4) pose, OpenCV camera axes.
    """

    K: Tensor
    cam2world: Tensor

    @classmethod
    def from_fov(cls, horizontal_fov_deg: float, height: int, width: int) -> Camera:
        """A camera at the origin with square pixels, its principal point in the middle of the image.

        Raises:
            InputError: a field of view that is not between 0 and 180 degrees.
        """
        check_number("horizontal_fov_deg", horizontal_fov_deg, above=0, below=180)
        focal_px = width / 2 / math.tan(math.radians(horizontal_fov_deg) / 2)
        return cls.from_focal(focal_px, height, width)

    @classmethod
    def from_focal(cls, focal_px: float, height: int, width: int) -> Camera:
        """A camera at the origin with this focal length in pixels, its principal point in the middle of the image.

        Raises:
            InputError: a focal length that is not a number above 0.
        """
        check_number("focal_px", focal_px, above=0)
        K = torch.tensor([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]], dtype=torch.float32)
        return cls(K, torch.eye(4, dtype=torch.float32))

    def horizontal_fov_deg(self, width: int) -> float:
        """Angle between the rays through the left and the right edge of an image ``width`` pixels wide.

        Only of a single camera, not of a batch.
        """
        left, right = self.K[0, 2] / self.K[0, 0], (width - self.K[0, 2]) / self.K[0, 0]
        return math.degrees(math.atan(left) + math.atan(right))

    def rays(self, height: int, width: int) -> Tensor:
        """(..., 3, H, W) directions K^-1 (u, v, 1) through the pixel centres, in the camera frame; z is 1."""
        check_shapes(K=(self.K, "... 3 3"), cam2world=(self.cam2world, "... 4 4"))
        x, y = pixel_grid(height, width, device=self.K.device)
        fx, skew, cx, fy, cy = (
            self.K[..., row, column, None, None] for row, column in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2))
        )
        ray_y = (y - cy) / fy
        ray_x = (x - cx - skew * ray_y) / fx
        return torch.stack([ray_x, ray_y, torch.ones_like(ray_x)], dim=-3)

    def unproject(self, depth: Tensor) -> Tensor:
        """Lift z-depth (..., 1, H, W) to points (..., 3, H, W) in the camera frame."""
        sizes = check_shapes(depth=(depth, "... 1 H W"))
        return self.rays(sizes["H"], sizes["W"]) * depth

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Camera-frame points (..., 3, H, W) to pixels (..., 2, H, W) and z-depth (..., 1, H, W)."""
        check_shapes(points=(points, "... 3 H W"))
        homogeneous = torch.einsum("...ij,...jhw->...ihw", self.K, points)
        depth = points[..., 2:, :, :]
        return homogeneous[..., :2, :, :] / depth, depth

    def to_world(self, points: Tensor) -> Tensor:
        """Camera-frame points (..., 3, H, W) to the world frame."""
        rotation, translation = self.cam2world[..., :3, :3], self.cam2world[..., :3, 3, None, None]
        return torch.einsum("...ij,...jhw->...ihw", rotation, points) + translation

    def crop(self, left: float, top: float) -> Camera:
        """The camera of the image whose top-left corner lies at (left, top), in pixels, of this one."""
        K = self._float_K().clone()
        K[..., 0, 2] -= left
        K[..., 1, 2] -= top
        return self._replace(K=K)

    def resize(self, scale_x: float, scale_y: float | None = None) -> Camera:
        """The camera of this image resized by the given factors (the same in y when only x is given)."""
        K = self._float_K()
        factors = K.new_tensor([scale_x, scale_x if scale_y is None else scale_y, 1.0])
        return self._replace(K=K * factors[:, None])

    def flip(self, width: int) -> Camera:
        """The camera of the image mirrored left to right, which sees the world mirrored at its plane x = 0."""
        K = self._float_K().clone()
        K[..., 0, 2] = width - K[..., 0, 2]
        K[..., 0, 1] = -K[..., 0, 1]
        mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1])).to(self.cam2world)
        return Camera(K, mirror @ self.cam2world @ mirror)

    def _float_K(self) -> Tensor:
        """``K``; given in whole numbers, it would cut off halves."""
        return self.K if self.K.is_floating_point() else self.K.float()

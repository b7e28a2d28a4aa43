"""From a depth map to normals, points and a mesh; smoothing that keeps edges, cutting at depth jumps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .camera import Camera
from .checks import InputError, at_least_32_bits, check_number, check_shapes, check_whole
from .io import image_to_uint8
from .mesh import Mesh, PointCloud
from .outline import smooth_outline

OPENCV_TO_OPENGL = np.array([1, -1, -1], np.float32)
"""From x right, y down, z forward to x right, y up, z towards the viewer."""

MAX_TEXTURE_PX = 4096


def normals_from_depth(depth: Tensor, camera: Camera, mask: Tensor | None = None) -> Tensor:
    """Unit normals (..., 3, H, W) that point to the camera (z < 0 in the camera frame); differentiable.

    The tangents are central differences of the unprojected grid, one-sided at the image's border. With a mask
    (..., 1, H, W), normals are zero where one of the pixels they rest on is not in it.

    Raises:
        InputError: fewer than two pixels a side, which have no slope.
    """
    sizes = check_shapes(depth=(depth, "... 1 H W"))
    if min(sizes["H"], sizes["W"]) < 2:
        raise InputError(f"depth: normals need two pixels a side or more, got {sizes['W']} x {sizes['H']}")
    points = camera.unproject(at_least_32_bits(depth))  # products of slopes are nothing in 16 bits
    (along_y, along_x) = torch.gradient(points, dim=(-2, -1))
    across = torch.cross(along_y, along_x, dim=-3)
    # Not F.normalize: torch's norm over an axis of three is so slow on a CPU that it took most of the loss's time.
    normals = across * across.square().sum(dim=-3, keepdim=True).clamp(min=1e-24).rsqrt()
    return normals if mask is None else torch.where(normals_valid(mask), normals, 0.0)


def normals_valid(mask: Tensor) -> Tensor:
    """(..., 1, H, W) bool: pixels that are valid together with their four neighbours (those inside the image)."""
    check_shapes(mask=(mask, "... 1 H W"))
    padded = F.pad(mask, (1, 1, 1, 1), value=True)
    return (
        mask & padded[..., :-2, 1:-1] & padded[..., 2:, 1:-1] & padded[..., 1:-1, :-2] & padded[..., 1:-1, 2:]
    )


def smooth_depth(depth: Tensor, mask: Tensor, *, sigma_px: float = 1.5, sigma_relative: float = 0.004) -> Tensor:
    """Bilateral filter of (1, H, W) depth: noise goes, depth edges and invalid pixels stay as they are.

    A wide neighbourhood is sampled, about every 0.7 sigma, so that its cost is that of a narrow one.

    Args:
        depth: z-depth.
        mask: bool, pixels outside give nothing and are returned unchanged.
        sigma_px: width of the neighbourhood; 0 returns the depth as it is.
        sigma_relative: neighbours whose depth differs by more than about twice this fraction count little.

    Source: Tomasi and Manduchi, "Bilateral filtering for gray and color images", ICCV 1998.
    """
    check_shapes(depth=(depth, "1 H W"), mask=(mask, "1 H W"))
    check_number("sigma_px", sigma_px, least=0)
    check_number("sigma_relative", sigma_relative, above=0)
    if sigma_px == 0 or not mask.any():
        return depth
    # A face fills a part of a large photo: only the mask's bounding box is worked on.
    rows, columns = mask[0].any(dim=1).nonzero(), mask[0].any(dim=0).nonzero()
    box = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    smooth = depth.clone()
    smooth[box] = _bilateral(depth[box], mask[box], sigma_px, sigma_relative)
    return smooth


def _bilateral(depth: Tensor, mask: Tensor, sigma_px: float, sigma_relative: float) -> Tensor:
    step = max(1, round(sigma_px / 1.5))
    radius = math.ceil(2 * sigma_px / step) * step
    height, width = depth.shape[-2:]
    safe = torch.where(mask, depth, 1.0)
    tolerance = (safe * sigma_relative).clamp(min=torch.finfo(safe.dtype).tiny)  # the nearest of a picture's are 0
    near_depth = F.pad(safe, (radius,) * 4)
    near_mask = F.pad(mask, (radius,) * 4)
    total, weights = torch.zeros_like(safe), torch.zeros_like(safe)
    for dy in range(0, 2 * radius + 1, step):
        for dx in range(0, 2 * radius + 1, step):
            window = (..., slice(dy, dy + height), slice(dx, dx + width))
            squared_px = (dy - radius) ** 2 + (dx - radius) ** 2
            weight = (near_depth[window] - safe).div_(tolerance).square_().add_(squared_px / sigma_px**2)
            weight = weight.mul_(-0.5).exp_().mul_(near_mask[window])
            total.addcmul_(weight, near_depth[window])
            weights += weight
    return torch.where(mask, total / weights.clamp(min=1e-12), depth)


def depth_to_points(depth: Tensor, camera: Camera, mask: Tensor, image: Tensor) -> PointCloud:
    """A coloured point for every pixel of (1, H, W) depth in ``mask``; image is (3, H, W)."""
    check_shapes(depth=(depth, "1 H W"), mask=(mask, "1 H W"), image=(image, "3 H W"))
    points = camera.unproject(depth).permute(1, 2, 0)[mask[0]]
    colours = image_to_uint8(image)[mask[0].cpu().numpy()]
    return PointCloud(points.float().cpu().numpy() * OPENCV_TO_OPENGL, colours)


def depth_to_mesh(
    depth: Tensor, camera: Camera, mask: Tensor, image: Tensor | None = None, *,
    max_angle_deg: float = 82.0, max_triangles: int = 1_000_000, greatest_hole: float = 0.0, outline_px: float = 0.0,
    unstretched: Tensor | None = None, keep_steep: bool = False,
) -> Mesh:
    """Triangulate the pixel grid of a depth map.

    Every pixel in ``mask`` becomes a vertex at its centre's ray. Each square of four is split along the diagonal with
    the smaller depth difference; a square with three good corners gives one triangle. Triangles steeper than
    ``max_angle_deg`` bridge a depth jump and are left out.

    Args:
        depth: (1, H, W) float z-depth. Never an 8-bit picture: its 256 steps become stairs.
        camera: the camera of this depth map.
        mask: (1, H, W) bool.
        image: (3, H, W), or None. What the mesh uses of it becomes the texture: the rest of a photo, and who else is
            in it, does not go into the files.
        max_angle_deg: greatest angle between a grid edge and the image plane; measured against the pixel's own
            footprint z / f, so that it means the same at any size and in any unit.
        max_triangles: budget; above it every second, third, ... pixel is used. The texture keeps the picture's
            pixels, up to 4096 a side.
        greatest_hole: a steep place that the surface encloses is kept, not left out, where it is no larger than this
            share of the mask: the ear before the hair, which tears a hole otherwise.
        outline_px: the mesh's border is smoothed over so many pixels; 0 leaves the grid's steps, which a border that
            falls away steeply draws out to long teeth. See ``outline.smooth_outline``.
        unstretched: (1, H, W) the depth before it was exaggerated or flattened: what counts as steep is told by it.
        keep_steep: keep what ``max_angle_deg`` would leave out, and say in ``Mesh.angles_deg`` how steep every triangle
            is (by the steeper of its two grid edges; closed holes count as ``max_angle_deg``): for a page, which leaves
            steep ones out itself. The outline that is smoothed is the one without them.

    Raises:
        InputError: shapes that differ, numbers out of range, or depth that is not finite and above 0 in the mask.
    """
    check_shapes(depth=(depth, "1 H W"), mask=(mask, "1 H W"))
    if image is not None:
        check_shapes(image=(image, "3 H W"), depth=(depth, "1 H W"))
    bad_pixels = int((mask & ~((depth > 0) & (depth < torch.inf))).sum())
    if bad_pixels:
        raise InputError(
            f"depth: expected finite values above 0 everywhere in the mask, got {bad_pixels} pixels without; pictures "
            "of depth, from 0 nearest to 1, are no z-depth (`facedepth rerender` makes it of EG3D's shapes)"
        )
    height, width = depth.shape[-2:]
    check_whole("max_triangles", max_triangles, 1)
    check_number("max_angle_deg", max_angle_deg, above=0, below=90)
    check_number("greatest_hole", greatest_hole, least=0, most=1)
    check_number("outline_px", outline_px, least=0, most=max(height, width) / 4)
    depth = depth.float()
    max_steps = steepest_steps(camera, max_angle_deg)
    stride = max(1, math.ceil(math.sqrt(2 * int(mask.sum()) / max_triangles)))
    while True:
        z, before, valid = (
            grid[0, ::stride, ::stride].cpu().numpy()
            for grid in (depth, depth if unstretched is None else unstretched.float(), mask)
        )
        steps = [step * stride for step in max_steps]
        edges = grid_edges(np.where(valid, before, 1), valid, steps, int(greatest_hole * valid.sum()))
        flat_faces = _triangulate(z, valid, *(both & ~steep for both, steep in edges))
        faces = _triangulate(z, valid, *(both for both, _ in edges)) if keep_steep else flat_faces
        if len(faces) <= max_triangles:
            break
        stride += 1  # the mask's own pattern fell in with the stride

    used = np.zeros(z.size, bool)
    used[faces] = True
    number = np.cumsum(used, dtype=np.int32) - 1
    row, column = np.divmod(np.flatnonzero(used), z.shape[1])
    # The centre of the kept pixel in the full picture, whatever the stride.
    u, v = (column * stride + 0.5).astype(np.float32), (row * stride + 0.5).astype(np.float32)
    left, top, right, bottom = (0, 0, width, height) if image is None else _surroundings(u, v, width, height)
    mesh = Mesh(
        vertices=_unproject(u, v, z.ravel()[used], camera) * OPENCV_TO_OPENGL,
        faces=number[faces],
        uv=np.stack([(u - left) / (right - left), 1 - (v - top) / (bottom - top)], axis=1),
        texture=None if image is None else _texture(image[:, top:bottom, left:right]),
        angles_deg=_angles_deg(faces, before, edges, steps, max_angle_deg) if keep_steep else None,
    )
    return smooth_outline(mesh, row, column, sigma=outline_px / stride, faces=number[flat_faces])


def steepest_steps(camera: Camera, max_angle_deg: float) -> tuple[float, float]:
    """|dz| / z from one pixel to the next, across and down, of a grid edge at that angle to the image plane."""
    slope = math.tan(math.radians(max_angle_deg))
    across, down = (check_number("camera.K: focal length", camera.K[axis, axis], above=0) for axis in (0, 1))
    return slope / across, slope / down


def grid_edges(
    z: np.ndarray, valid: np.ndarray, max_steps: Sequence[float], greatest_hole: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The edges of a pixel grid across, (h, w - 1), and down, (h - 1, w): whether both ends are valid, and whether the
    edge is steeper than ``max_steps``, which means that depth jumps there. Steep places that the surface encloses, of
    at most ``greatest_hole`` squares, count as no jumps."""
    edges = []
    for max_step, first, second in (
        (max_steps[0], np.s_[:, :-1], np.s_[:, 1:]), (max_steps[1], np.s_[:-1], np.s_[1:])
    ):
        steep = np.abs(z[first] - z[second]) > max_step * 0.5 * (z[first] + z[second])
        edges.append((valid[first] & valid[second], steep))
    if greatest_hole and min(z.shape) > 1:  # OpenCV dies of pictures without a pixel
        across, down = (both & ~steep for both, steep in edges)
        whole = across[:-1] & across[1:] & down[:, :-1] & down[:, 1:]
        bridged = ~_small_holes(whole, valid, greatest_hole)
        (_, steep_across), (_, steep_down) = edges
        for steep in (steep_across[:-1], steep_across[1:], steep_down[:, :-1], steep_down[:, 1:]):
            steep &= bridged  # a view: an edge is joined for the squares on both its sides
    return edges


def _angles_deg(
    faces: np.ndarray, z: np.ndarray, edges: list[tuple[np.ndarray, np.ndarray]], max_steps: Sequence[float],
    max_angle_deg: float,
) -> np.ndarray:
    """(F,) degrees between the image plane and the steeper grid edge of each triangle of a grid z (h, w), at most
    ``max_angle_deg`` where ``edges`` do not call it steep; ``max_steps`` are those of that angle."""
    slope = math.tan(math.radians(max_angle_deg))
    rows, columns = np.divmod(faces, z.shape[1])
    steepest = np.zeros(len(faces), np.float32)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        for places, across, max_step, (_, steep) in zip((rows, columns), (True, False), max_steps, edges, strict=True):
            along = places[:, one] == places[:, other]  # the same row: an edge across; the diagonal is neither
            row, column = (np.minimum(index[along, one], index[along, other]) for index in (rows, columns))
            near, far = z[row, column], z[row + (not across), column + across]
            angle = np.degrees(np.arctan(np.abs(near - far) / (0.5 * (near + far)) * (slope / max_step)))
            angle = np.where(steep[row, column], angle, np.minimum(angle, max_angle_deg))
            steepest[along] = np.maximum(steepest[along], angle)
    return steepest


def _surroundings(u: np.ndarray, v: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of a picture that a mesh uses, and a pixel more for who interpolates."""
    if not len(u):
        return 0, 0, width, height
    return (
        max(0, int(u.min()) - 1), max(0, int(v.min()) - 1), min(width, int(u.max()) + 2), min(height, int(v.max()) + 2)
    )


def _texture(image: Tensor) -> np.ndarray:
    """(H, W, 3) uint8, no side longer than what every viewer and graphics card takes."""
    pixels = image_to_uint8(image)
    shrink = MAX_TEXTURE_PX / max(pixels.shape)
    return cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else pixels


def _unproject(u: np.ndarray, v: np.ndarray, z: np.ndarray, camera: Camera) -> np.ndarray:
    """(N, 3) camera-frame points of N pixels."""
    inverse = torch.linalg.inv(camera.K.cpu().double()).float().numpy()
    return np.stack([u, v, np.ones_like(u)], axis=1) @ inverse.T * z[:, None]


def _triangulate(z: np.ndarray, valid: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(F, 3) indices into the (h, w) grid, of triangles whose edges across, (h, w - 1), and down, (h - 1, w), hold."""
    flat = np.where(valid, z, 1).astype(np.float32)
    top, bottom, at_left, at_right = across[:-1], across[1:], down[:, :-1], down[:, 1:]

    #  a - b      split a-d: (a, c, d), (a, d, b)
    #  |   |      split b-c: (a, c, b), (b, c, d)
    #  c - d
    falling = np.abs(flat[:-1, :-1] - flat[1:, 1:])   # a - d
    rising = np.abs(flat[:-1, 1:] - flat[1:, :-1])    # b - c
    # A square with a bad corner is split so that the three good ones stay together.
    a_or_d_bad = ~(valid[:-1, :-1] & valid[1:, 1:])
    b_or_c_bad = ~(valid[:-1, 1:] & valid[1:, :-1])
    split_bc = a_or_d_bad | (~b_or_c_bad & (rising < falling))
    split_ad = ~split_bc

    index = np.arange(z.size, dtype=np.int32).reshape(z.shape)[:-1, :-1]
    a, b, c, d = 0, 1, z.shape[1], z.shape[1] + 1
    triangles = (
        (split_ad & at_left & bottom, (a, c, d)),
        (split_ad & at_right & top, (a, d, b)),
        (split_bc & at_left & top, (a, c, b)),
        (split_bc & at_right & bottom, (b, c, d)),
    )
    return np.concatenate([index[keep][:, None] + np.array(corners, np.int32) for keep, corners in triangles])


def _small_holes(whole: np.ndarray, valid: np.ndarray, greatest: int) -> np.ndarray:
    """(h-1, w-1) bool: squares of holes that ``whole`` squares enclose, of at most ``greatest`` squares, all valid."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((~whole).astype(np.uint8), connectivity=8)
    inside = valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:] & valid[1:, 1:]
    open_ended = np.zeros(count, bool)
    open_ended[pieces[~inside]] = True
    for side in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        open_ended[side] = True
    small = (stats[:, cv2.CC_STAT_AREA] <= greatest) & ~open_ended
    small[0] = False  # the whole squares themselves
    return small[pieces]

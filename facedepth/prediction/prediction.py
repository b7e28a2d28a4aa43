"""What a network says of one photo, and what becomes of it: depth, points, a mesh, files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..camera import Camera, Crop
from ..checks import InputError, check_number
from ..depth import axis_factor, crop_focal_px, fit_range, invert_depth, relief_to_depth
from ..figures import colour_depth
from ..framing import CROP_WIDTH_M, crop_coordinates
from ..geometry import depth_to_mesh, depth_to_points, smooth_depth
from ..io import write_depth, write_image
from ..mesh import MESH_SUFFIXES, Mesh, PointCloud
from ..mesh_page import SHOWN_DEG, save_mesh_page
from ..paths import atomic_path, check_writable, refuse_existing, user_path
from .head_mask import GREATEST_HOLE, colours_from_inside
from .result_files import check_formats, result_paths

FACE_DEPTH_M = 0.033
"""What makes metres of values that know no scale: how far the face's 2 % nearest pixels lie before its 30 % farthest
ones, in the middle of a framed crop. The median of 60 synthetic heads from 0.24 m; nine in ten are within 0.022 and
0.067, by how far they are turned."""

_FACE_AXES = 0.24, 0.32  # half of that middle's width and height, an ellipse, in crop widths

_RIM_PX = 2.0  # of the network: so far inside the outline that it sees, photos may show the background


@dataclass(frozen=True, eq=False)  # tensors have no truth to compare by
class Prediction:
    """What a network says of one photo, at the photo's own size.

    Attributes:
        image: (3, H, W) the photo.
        values: (1, H, W) of the given kind, larger is nearer; 0 outside what the network saw.
        mask: (1, H, W) bool, the head as the network sees it (the whole crop if it gives no mask).
        camera: of the photo.
        kind: one of ``facedepth.depth.KINDS``.
        crop: the square the network saw, in the photo's pixels; turned about its middle if the face is tilted. Where it
            cut off a hat or high hair, the network looked again at a larger one, and mask and values reach beyond it.
        network_size: side of that square as the network saw it; the values hold no finer detail.
        name: stem of the files that ``save`` writes.
    """

    image: Tensor = field(repr=False)
    values: Tensor = field(repr=False)
    mask: Tensor = field(repr=False)
    camera: Camera = field(repr=False)
    kind: str
    crop: Crop
    network_size: int
    name: str

    def depth(
        self, *, crop_width_m: float = CROP_WIDTH_M, near_m: float | None = None, far_m: float | None = None,
        z_scale: float = 1.0,
    ) -> Tensor:
        """(1, H, W) z-depth in metres under ``camera``, 0 outside the mask.

        Proportions of a ``relief`` are true whatever the scale; ``crop_width_m`` (how wide the crop is at the face)
        sets the scale. The affine kinds know neither scale nor shift: by default the face in the middle of the crop is
        made as deep as faces are (``FACE_DEPTH_M``), at the distance z0 that ``crop_width_m`` means, whatever lies
        behind it; what would come out nearer than z0 / 2 or farther than 2 z0, background as a rule, is put there.
        With ``near_m`` and ``far_m`` the nearest and the farthest value in the mask are put at these instead, along the
        crop's central ray.

        ``z_scale`` exaggerates the depth (above 1) or flattens it, along the crop's axis and about z0, or about the
        middle of ``near_m`` and ``far_m``.

        Raises:
            InputError: the mask is empty; near_m and far_m are given for a relief, in the wrong order, or one without
                the other; z_scale or crop_width_m is not above 0; the network said NaN; or the head would reach the
                camera.
        """
        depth = self._depth(crop_width_m, near_m, far_m, z_scale)
        if not (depth[self.mask] > 0).all():
            raise InputError(
                f"{self.name}: the {self.kind} reaches the camera; give a smaller horizontal_fov_deg or z_scale"
            )
        return depth

    def _depth(self, crop_width_m: float, near_m: float | None, far_m: float | None, z_scale: float) -> Tensor:
        """As ``depth``, but that it may reach the camera."""
        if not self.values.isfinite().all():  # first: its mask would be empty
            raise InputError(f"{self.name}: the network said NaN or infinity; were its weights ruined in training?")
        if not self.mask.any():
            raise InputError(
                f"{self.name}: the network sees no head in this picture; is the face upright and in view, or was the "
                "network trained too briefly? (face_small is the best of the shipped ones)"
            )
        check_number("z_scale", z_scale, above=0)
        check_number("crop_width_m", crop_width_m, above=0)
        lens = self.camera, *self.mask.shape[-2:], self.crop
        z0, factor = crop_width_m * crop_focal_px(*lens).item() / self.crop.size, axis_factor(*lens)
        ends = near_m is not None or far_m is not None
        if self.kind == "relief":
            if ends:
                raise InputError("near_m, far_m: a relief has its own proportions; scale it with crop_width_m")
            along_axis = factor * relief_to_depth(z_scale * self.values, z0, self.camera, self.crop)
        elif ends:
            along_axis = self._between(near_m, far_m, z_scale)
        else:
            if z0 <= 2 * FACE_DEPTH_M:  # the nose would lie nearer than z0 / 2
                raise InputError(
                    f"{self.name}: the face would be {1000 * z0:.0f} mm away, nearer than faces are deep; give a "
                    "smaller horizontal_fov_deg, a larger crop_width_m, or near_m and far_m"
                )
            along_axis = z0 + z_scale * (self._as_deep_as_a_face(z0) - z0)
            along_axis = along_axis.clamp(z0 / 2, 2 * z0)
        return torch.where(self.mask, along_axis / factor, 0.0)

    def _between(self, near_m: float | None, far_m: float | None, z_scale: float) -> Tensor:
        """Depth along the axis, of values of an affine kind, whose ends are told."""
        if near_m is None or far_m is None:
            raise InputError(f"near_m, far_m: expected both or none, got {near_m} and {far_m}")
        check_number("far_m", far_m, above=check_number("near_m", near_m, above=0))
        if self.kind == "affine_inverse":
            along_axis = invert_depth(fit_range(self.values, self.mask, 1 / far_m, 1 / near_m))
        else:
            along_axis = fit_range(self.values, self.mask, far_m, near_m)
        middle = (near_m + far_m) / 2
        return middle + z_scale * (along_axis - middle)

    def _as_deep_as_a_face(self, z0: float) -> Tensor:
        """Depth along the axis, of values of an affine kind: the far parts of the face at z0, the near ones before."""
        x, y = crop_coordinates(*self.mask.shape[-2:], self.crop)
        face = self.mask & ((x / _FACE_AXES[0]) ** 2 + (y / _FACE_AXES[1]) ** 2 <= 1)
        seen = self.values[face if face.any() else self.mask]
        far, near = np.quantile(seen.numpy(), (0.3, 0.98))
        nearness = (self.values - far) / (near - far) if near > far else torch.zeros_like(self.values)
        if self.kind == "affine_inverse":
            inverse = 1 / z0 + (1 / (z0 - FACE_DEPTH_M) - 1 / z0) * nearness
            return 1 / inverse.clamp(min=1e-3 / z0)
        return z0 - FACE_DEPTH_M * nearness

    def mesh(
        self, *, crop_width_m: float = CROP_WIDTH_M, near_m: float | None = None, far_m: float | None = None,
        z_scale: float = 1.0, cut_m: float | None = None, smooth_px: float = 0.0, outline_px: float = 1.5,
        max_angle_deg: float = SHOWN_DEG, max_triangles: int = 300_000, keep_steep: bool = False,
    ) -> Mesh:
        """A textured mesh of the head. Its texture is the photo, but that at the outline the colours are those from two
        of the network's pixels farther inside: at the outline itself, photos show what is behind.

        Args:
            crop_width_m, near_m, far_m, z_scale: scale, see ``depth``.
            cut_m: leave out what lies farther than this behind the nearest point.
            smooth_px: strength of the edge-preserving smoothing, in pixels of the network; 0 for none.
            outline_px: how far the mesh's border is smoothed, in pixels of the network; 0 leaves the pixels' steps.
            max_angle_deg, max_triangles, keep_steep: see ``geometry.depth_to_mesh``. The angle is greater here: what
                networks make of the cheek before the hair is that steep, and a hole beside the face looks worse than a
                wall. It is that before ``z_scale``, which stretches the mesh and tears nothing. Fewer triangles are
                plenty: a large photo's pixels are finer than what the network saw.
        """
        depth = self.depth(crop_width_m=crop_width_m, near_m=near_m, far_m=far_m, z_scale=z_scale)
        unstretched = None if z_scale == 1 else self._depth(crop_width_m, near_m, far_m, 1.0)
        if unstretched is not None and not (unstretched[self.mask] > 0).all():
            unstretched = None  # it would reach the camera, where nothing tells a jump
        mask, photo_px = self.mask, self._photo_px()
        check_number("smooth_px", smooth_px, least=0, most=self.network_size / 4)
        check_number("outline_px", outline_px, least=0, most=self.network_size / 4)
        depth, unstretched = (
            None if one is None else smooth_depth(one, mask, sigma_px=smooth_px * photo_px)
            for one in (depth, unstretched)
        )
        if cut_m is not None:
            check_number("cut_m", cut_m, above=0)
            mask = mask & (depth <= depth[mask].min() + cut_m)
        return depth_to_mesh(
            depth, self.camera, mask, self._coloured_from_inside(), max_angle_deg=max_angle_deg,
            max_triangles=max_triangles, greatest_hole=GREATEST_HOLE, outline_px=outline_px * photo_px,
            unstretched=unstretched, keep_steep=keep_steep,
        )

    def points(
        self, *, crop_width_m: float = CROP_WIDTH_M, near_m: float | None = None, far_m: float | None = None,
        z_scale: float = 1.0,
    ) -> PointCloud:
        """A coloured point for every pixel of the head; for the scale see ``depth``, for the colours ``mesh``."""
        depth = self.depth(crop_width_m=crop_width_m, near_m=near_m, far_m=far_m, z_scale=z_scale)
        return depth_to_points(depth, self.camera, self.mask, self._coloured_from_inside())

    def _coloured_from_inside(self) -> Tensor:
        """(3, H, W) the photo, with the colours of the head's inside up to its outline."""
        return colours_from_inside(self.image, self.mask, self.values != 0, _RIM_PX * self._photo_px())

    def _photo_px(self) -> float:
        """How many of the photo's pixels one of the network's is wide."""
        return max(1.0, self.crop.size / self.network_size)

    def save(
        self, folder: str | Path, *, formats: Sequence[str] = ("npy", "png", "glb"), z_scale: float = 1.0,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write ``<name>_depth.npy`` (z-depth in metres, NaN outside the mask), ``<name>_depth.png`` (a coloured
        preview), ``<name>.glb`` / ``.obj`` / ``.ply``, ``<name>.html`` (a page to turn the mesh in any browser), and
        ``<name>_depth.json`` with the camera, the crop and which files it speaks of: other formats that were saved
        before stay as they were. For ``z_scale`` see ``depth``.

        Returns:
            The files written.

        Raises:
            InputError: unknown format, an empty mask, a file in the way, or a folder that cannot be written to.
        """
        check_formats(formats)
        check_writable(folder)
        folder = user_path(folder)
        depth, facts = self.depth(z_scale=z_scale), folder / f"{self.name}_depth.json"
        paths = result_paths(folder, self.name, formats)
        meshes = [paths[suffix[1:]] for suffix in MESH_SUFFIXES if suffix[1:] in paths]
        mesh = self.mesh(z_scale=z_scale).check() if meshes else None
        whole = None
        if "html" in paths:
            whole = self.mesh(z_scale=z_scale, keep_steep=True).check()
        written = [paths[ending] for ending in ("npy", "png") if ending in paths]
        written += [part for path in meshes for part in mesh.files(path)]
        written += [paths["html"], facts] if "html" in paths else [facts]
        refuse_existing(written, overwrite)
        said = self._facts() | {"z_scale": float(z_scale), "files": [path.name for path in written]}

        facts.unlink(missing_ok=True)  # an older one would speak of files that are being replaced
        if "npy" in paths:
            write_depth(paths["npy"], depth, self.mask)
        if "png" in paths:
            write_image(paths["png"], colour_depth(depth, self.mask))
        for path in meshes:
            mesh.save(path, overwrite=overwrite)
        if "html" in paths:
            save_mesh_page(paths["html"], whole, metres=True, overwrite=overwrite)
        with atomic_path(facts) as temporary:  # last: where it is, everything is
            temporary.write_text(json.dumps(said, indent=2) + "\n")
        return written

    def _facts(self) -> dict:
        return {
            "K": self.camera.K.tolist(), "width": self.image.shape[-1], "height": self.image.shape[-2],
            "unit": "m", "kind": self.kind, "crop": self.crop._asdict(), "network_size": self.network_size,
            "crop_width_m": CROP_WIDTH_M,
        }

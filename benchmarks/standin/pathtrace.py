"""From parts to a linear picture, by path tracing with Mitsuba 3, denoised with Intel's Open Image Denoise."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.synthetic.head import vertex_normals
from facedepth.synthetic.strands import Strands

from .heads import Part

BSDFS = {
    "skin": {"roughness": 0.5, "specular": 0.38},
    "wet": {"roughness": 0.06, "specular": 0.5},
    "matt": {"roughness": 0.85, "specular": 0.15},
    "hard": {"roughness": 0.2, "specular": 0.6},
}
FIBRE = {"roughness": 0.35, "specular": 0.6}
TO_MITSUBA = np.diag([-1.0, -1.0, 1.0, 1.0])  # its camera looks along z too, with x to the left and y up
Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # its environments have y up
PATH_DEPTH = 5


@lru_cache(maxsize=1)
def mitsuba():
    """The module, on the LLVM backend where LLVM is new enough (three times as fast), else the scalar one.

    Raises:
        InputError: it is not installed.
    """
    libraries = sorted(Path("/usr/lib").glob("**/libLLVM*.so*"))
    recent = [path for path in libraries if any(f"{version}" in path.name for version in range(16, 30))]
    if recent:
        os.environ.setdefault("DRJIT_LIBLLVM_PATH", str(recent[-1]))
    try:
        import mitsuba as mi
    except ImportError:
        raise InputError("path tracing needs Mitsuba: pip install -e '.[bench]'") from None
    mi.set_variant("llvm_ad_rgb" if recent else "scalar_rgb")
    mi.set_log_level(mi.LogLevel.Error)
    return mi


def read_radiance(path: Path) -> np.ndarray:
    """(H, W, 3) float32 linear radiance of an .exr file."""
    mi = mitsuba()
    return np.array(mi.Bitmap(str(path)).convert(mi.Bitmap.PixelFormat.RGB, mi.Struct.Type.Float32, False))


def trace(
    parts: list[Part], fibres: list[Strands], environment: np.ndarray, turn_deg: float, camera: Camera, size: int,
    *, samples: int, seed: int, gloss: float,
) -> np.ndarray:
    """(size, size, 3) float32 linear radiance.

    Args:
        fibres: hair, as curves as thick as their locks.
        environment: (H, W, 3) linear radiance, turned about the vertical by ``turn_deg``.
        gloss: factor on the roughness of skin, below 1 for oily skin.
    """
    mi = mitsuba()
    turn = mi.ScalarTransform4f().rotate([0, 0, 1], turn_deg) @ mi.ScalarTransform4f(Z_UP)
    scene = {
        "type": "scene",
        "integrator": {
            "type": "aov", "aovs": "albedo:albedo,normal:sh_normal",
            "picture": {"type": "path", "max_depth": PATH_DEPTH},
        },
        "light": {"type": "envmap", "bitmap": mi.Bitmap(environment.astype(np.float32)), "to_world": turn},
        "sensor": {
            "type": "perspective", "fov_axis": "x", "near_clip": 0.05,
            "fov": float(np.degrees(2 * np.arctan(size / 2 / float(camera.K[0, 0])))),
            "to_world": mi.ScalarTransform4f(camera.cam2world.double().numpy() @ TO_MITSUBA),
            "film": {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}},
            "sampler": {"type": "independent", "sample_count": samples},
        },
    }
    for number, part in enumerate(parts):
        scene[f"part{number}"] = _mesh(mi, part, gloss if part.gloss == "skin" else 1.0)
    with tempfile.TemporaryDirectory() as folder:
        for number, strands in enumerate(fibres):
            path = Path(folder) / f"fibres{number}.txt"
            _write_curves(path, strands)
            colour = strands.albedo.flatten(0, 1).mean(dim=0).clamp(0.01, 0.9).tolist()
            bsdf = {"type": "principled", "base_color": {"type": "rgb", "value": colour}, **FIBRE}
            scene[f"fibres{number}"] = {"type": "bsplinecurve", "filename": str(path), "bsdf": bsdf}
        layers = np.array(mi.render(mi.load_dict(scene), spp=samples, seed=seed), dtype=np.float32)
    layers = np.nan_to_num(layers, posinf=0, neginf=0)
    return _denoised(layers[..., :3], layers[..., -6:-3], layers[..., -3:])


def _mesh(mi, part: Part, gloss: float):
    used, local = part.triangles.unique(return_inverse=True)
    vertices = part.vertices[used]
    properties = mi.Properties()
    look = BSDFS[part.gloss] | {"roughness": BSDFS[part.gloss]["roughness"] * gloss}
    colour = {"type": "mesh_attribute", "name": "vertex_color"}
    properties["bsdf"] = mi.load_dict({
        "type": "twosided", "inside": {"type": "principled", "base_color": colour, **look},
    })
    mesh = mi.Mesh(
        part.gloss, len(used), len(local), has_vertex_normals=True, has_vertex_texcoords=False, props=properties
    )
    mesh.add_attribute("vertex_color", 3, part.colour[used].contiguous().flatten().numpy())
    values = mi.traverse(mesh)
    values["vertex_positions"] = vertices.contiguous().flatten().numpy()
    values["vertex_normals"] = vertex_normals(vertices, local).contiguous().flatten().numpy()
    values["faces"] = local.to(torch.int32).flatten().numpy().astype(np.uint32)
    values.update()
    return mesh


def _write_curves(path: Path, strands: Strands) -> None:
    """Control points and radii, a blank line between strands; ends are repeated so that the curve reaches them."""
    table = torch.cat([strands.points, strands.width_m[..., None] / 2], dim=-1)  # (N, K, 4)
    table = torch.cat([table[:, :1], table[:, :1], table, table[:, -1:], table[:, -1:]], dim=1)
    lines = [" ".join(f"{value:.6f}" for value in row) for row in table.flatten(0, 1).tolist()]
    steps = table.shape[1]
    path.write_text("\n\n".join("\n".join(lines[i : i + steps]) for i in range(0, len(lines), steps)) + "\n")


def _denoised(picture: np.ndarray, albedo: np.ndarray, normal: np.ndarray) -> np.ndarray:
    try:
        import pyoidn
    except ImportError:
        raise InputError("denoising needs Open Image Denoise: pip install -e '.[bench]'") from None
    clean = pyoidn.denoise(
        *(np.ascontiguousarray(layer) for layer in (picture, albedo.clip(0, 1), normal)), hdr=True
    )
    return np.maximum(np.asarray(clean), 0)


def opaque_surface(parts: list[Part]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All parts as one mesh: vertices (V, 3), triangles (T, 3), material (T,), rest (V, 3)."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return (
        torch.cat([part.vertices for part in parts]),
        torch.cat([part.triangles + int(start) for part, start in zip(parts, starts, strict=True)]),
        torch.cat([part.material for part in parts]),
        torch.cat([part.rest for part in parts]),
    )

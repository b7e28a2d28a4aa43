"""The README's pictures, made by the shipped weights: run it again when they change (``make gallery``).

    demo.png        a portrait, its depth and normals, and the mesh from five sides
    hopper.jpg      the same of Rear Admiral Grace Hopper (US Navy, public domain), whose portrait comes with matplotlib
    faces.jpg       sample faces, each with its depth, its normals and its mesh
    turntable.gif   the portrait's mesh, turning
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.cbook import get_sample_data

import facedepth as fd
from facedepth.demo import PHOTO, SAMPLE_SET, face_maps, portrait_sheet
from facedepth.figures import STUDIO, render_mesh, sheet
from facedepth.io import write_image
from facedepth.models import BEST

ASSETS = Path(__file__).parent


def faces_strip(model) -> list:
    """A row of photos, one of depths, one of normals, one of meshes seen from the side; a column a sample face."""
    faces = fd.EG3DFaces(SAMPLE_SET)
    columns = []
    for sample in faces:
        fov_deg = sample.camera.horizontal_fov_deg(sample.image.shape[-1])
        face = fd.predict(model, sample.image, crop="none", horizontal_fov_deg=fov_deg)
        mesh = render_mesh(face.mesh(), yaw_deg=-30, pitch_deg=5, size=280, background=STUDIO)
        columns.append([*face_maps(face, size=240), mesh[20:-20, 20:-20]])
    return [list(row) for row in zip(*columns, strict=True)]


def main() -> None:
    model = fd.load_model(BEST)
    portrait = fd.predict(model, PHOTO)
    write_image(ASSETS / "demo.png", portrait_sheet(portrait))
    hopper = fd.predict(model, get_sample_data("grace_hopper.jpg", asfileobj=False))
    write_image(ASSETS / "hopper.jpg", portrait_sheet(hopper))
    write_image(ASSETS / "faces.jpg", sheet(faces_strip(model)))
    fd.turntable(portrait, ASSETS / "turntable.gif", size=320, seconds=3, frames_per_s=16, overwrite=True)
    for name in ("demo.png", "hopper.jpg", "faces.jpg", "turntable.gif"):
        print(f"{name}: {(ASSETS / name).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

"""The README's pictures, made by the shipped weights: run it again when they change (``make gallery``).

    demo.png        a portrait, its depth and normals, and the mesh from five sides
    hopper.jpg      the same of Rear Admiral Grace Hopper (US Navy, public domain), whose portrait comes with matplotlib
    faces.jpg       sample faces, each with its depth, its normals and its mesh
    turntable.gif   the portrait's mesh, turning
    viewer.png      a sample face's page, as Chromium shows it: the predicted mesh beside the true one
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from matplotlib.cbook import get_sample_data

import facedepth as fd
from facedepth.demo import PHOTO, SAMPLE_SET, face_maps, portrait_sheet
from facedepth.figures import STUDIO, render_mesh, sheet
from facedepth.geometry import depth_to_mesh
from facedepth.io import write_image
from facedepth.mesh_page import SHOWN_DEG, save_mesh_page
from facedepth.models import BEST, DepthNetwork
from facedepth.prediction.head_mask import GREATEST_HOLE

ASSETS = Path(__file__).parent
SHOWN = 1
"""The sample face in the viewer's picture."""


def predicted(model: DepthNetwork, sample: fd.Sample) -> fd.Prediction:
    """Of a picture that is a face crop already, by its own camera."""
    fov_deg = sample.camera.horizontal_fov_deg(sample.image.shape[-1])
    return fd.predict(model, sample.image, crop="none", horizontal_fov_deg=fov_deg)


def faces_strip(model: DepthNetwork) -> list:
    """A row of photos, one of depths, one of normals, one of meshes seen from the side; a column a sample face."""
    faces = fd.EG3DFaces(SAMPLE_SET)
    columns = []
    for sample in faces:
        face = predicted(model, sample)
        mesh = render_mesh(face.mesh(), yaw_deg=-30, pitch_deg=5, size=280, background=STUDIO)
        columns.append([*face_maps(face, size=240), mesh[20:-20, 20:-20]])
    return [list(row) for row in zip(*columns, strict=True)]


def viewer_picture(model: DepthNetwork, path: Path) -> None:
    """A screenshot of the page with both meshes of a sample face, in clay, turned a little."""
    from playwright.sync_api import sync_playwright

    sample = fd.EG3DFaces(SAMPLE_SET, size=256)[SHOWN]
    truth = depth_to_mesh(
        sample.depth, sample.camera, sample.mask & sample.head, sample.image, max_angle_deg=SHOWN_DEG,
        greatest_hole=GREATEST_HOLE, keep_steep=True,
    )
    meshes = predicted(model, sample).mesh(keep_steep=True), truth
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        file = save_mesh_page(Path(folder) / "face.html", *meshes, titles=("prediction", "truth"))
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        page = browser.new_page(viewport={"width": 1100, "height": 680})
        page.goto(file.as_uri())
        page.wait_for_function("window.facedepth.ready")
        page.locator("[value=clay]").check()
        for _ in range(5):
            page.locator("#canvas").press("ArrowLeft")  # 5 degrees each
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(500)  # until it is drawn
        page.screenshot(path=path)
        browser.close()


def main() -> None:
    model = fd.load_model(BEST)
    portrait = fd.predict(model, PHOTO)
    write_image(ASSETS / "demo.png", portrait_sheet(portrait))
    hopper = fd.predict(model, get_sample_data("grace_hopper.jpg", asfileobj=False))
    write_image(ASSETS / "hopper.jpg", portrait_sheet(hopper))
    write_image(ASSETS / "faces.jpg", sheet(faces_strip(model)))
    fd.turntable(portrait, ASSETS / "turntable.gif", size=320, seconds=3, frames_per_s=16, overwrite=True)
    viewer_picture(model, ASSETS / "viewer.png")
    for name in ("demo.png", "hopper.jpg", "faces.jpg", "turntable.gif", "viewer.png"):
        print(f"{name}: {(ASSETS / name).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

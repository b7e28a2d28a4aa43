"""The mesh's page in a real browser: every slider, button, key and touch, with the network blocked."""

import html
import inspect
import io
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from chromium import keep_screenshot
from PIL import Image

from facedepth.camera import Camera
from facedepth.geometry import depth_to_mesh
from facedepth.head_mask import GREATEST_HOLE
from facedepth.mesh import Mesh
from facedepth.mesh_page import UNCUT_DEG, save_mesh_page
from facedepth.prediction import Prediction
from facedepth.sample import Sample
from facedepth.viewer import show_mesh

SLIDERS = ("relief", "jumpDeg", "lightAzimuth", "lightElevation", "fovDeg")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]


@pytest.fixture
def open_page(browser):
    """A function that opens a file with the network blocked and waits until the mesh is drawn.

    Whatever the page asks of the network, and every error in its console, fails the test.
    """
    contexts, wrong = [], []

    def open_file(path: Path, *, width: int = 760, height: int = 440, waits: bool = True, script: str = "", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
        page.add_init_script(script)
        page.goto(path.as_uri())
        if waits:
            page.wait_for_function("window.facedepth.ready", timeout=60_000)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert wrong == []


def bump(size: int = 96) -> Sample:
    """A head-like bump, off centre, with a step in depth behind its right side."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    depth = 1 - 0.15 * torch.exp(-3 * (x + 0.2).square() - 2 * y.square()) + 0.08 * (x > 0.5)
    mask = (x.square() + y.square() < 0.9)[None]
    image = torch.stack([0.5 + 0.5 * x, 0.5 + 0.5 * y, (torch.sin(12 * x) * torch.sin(12 * y) + 1) / 2])
    return Sample(image, depth[None], mask, mask, mask, Camera.from_fov(20, size, size), "bump")


def mesh_of(sample: Sample, max_angle_deg: float = UNCUT_DEG):
    return depth_to_mesh(sample.depth, sample.camera, sample.mask, sample.image, max_angle_deg=max_angle_deg)


@pytest.fixture(scope="module")
def bump_page(tmp_path_factory) -> Path:
    return save_mesh_page(tmp_path_factory.mktemp("page") / "bump.html", mesh_of(bump()))


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


def test_the_page_cuts_as_the_library_does(open_page, bump_page):
    page = open_page(bump_page)
    for angle in (50, 70, 82, 85, 90):
        page.locator("[name=jumpDeg]").fill(str(angle))
        (shown,) = page.evaluate("facedepth.meshes")
        expected = len(mesh_of(bump(), min(angle, UNCUT_DEG)).faces)
        assert shown["triangles"] == pytest.approx(expected, rel=1e-3)  # positions are rounded
        assert f"{shown['triangles']:,} triangles" in page.locator("#triangles").inner_text()
    assert shown["triangles"] == shown["all"]


def test_small_holes_are_closed_as_a_predictions_mesh_closes_them(open_page, tmp_path):
    sample = bump()
    sample.depth[0, 40:44, 30:34] += 0.2  # enclosed and small
    sample.depth[0, 60:75, 40:58] += 0.2  # enclosed, too large to be closed
    page = open_page(save_mesh_page(tmp_path / "holes.html", mesh_of(sample)))
    angle = inspect.signature(Prediction.mesh).parameters["max_angle_deg"].default
    cut, closed = (
        len(depth_to_mesh(sample.depth, sample.camera, sample.mask, max_angle_deg=angle, greatest_hole=hole).faces)
        for hole in (0, GREATEST_HOLE)
    )
    (shown,) = page.evaluate("facedepth.meshes")
    assert shown["triangles"] == closed > cut + 10
    page.locator("[name=jumpDeg]").fill(str(angle - 0.5))
    (shown,) = page.evaluate("facedepth.meshes")
    assert shown["triangles"] <= cut


def test_every_slider_moves_the_picture_and_reset_brings_it_back(open_page, bump_page):
    page = open_page(bump_page)
    first, at_first = picture(page, "photo_light"), settings(page)
    for name in SLIDERS:
        slider = page.locator(f"[name={name}]")
        slider.focus()
        slider.press("Home")  # with the keyboard, as someone without a mouse would
        assert settings(page)[name] == float(slider.get_attribute("min"))
        assert changed(first, picture(page)) > 0.005, name
        page.locator("#reset").click()
        assert settings(page) == at_first
        assert changed(first, picture(page)) == 0, name


def test_as_much_is_in_view_when_the_picture_changes_its_shape(open_page, bump_page):
    page = open_page(bump_page, width=400, height=860)
    page.locator("#fold").click()  # the picture is as high as the page now
    picture(page, "folded")
    assert page.evaluate("facedepth.camera.zoom") == pytest.approx(1, abs=1e-3)
    page.set_viewport_size({"width": 860, "height": 400})
    picture(page, "turned")
    assert page.evaluate("facedepth.camera.zoom") == pytest.approx(1, abs=1e-3)
    page.locator("#reset").click()  # what a page that was opened so would show
    reset = picture(page)
    page.set_viewport_size({"width": 400, "height": 860})
    settle(page)
    page.set_viewport_size({"width": 860, "height": 400})
    assert changed(reset, picture(page)) < 0.002


@pytest.mark.parametrize(("metres", "told"), [(True, "mm"), (False, "")])
def test_the_range_of_depth_names_a_unit_where_there_is_one(open_page, tmp_path, metres, told):
    page = open_page(save_mesh_page(tmp_path / "bump.html", mesh_of(bump()), metres=metres))
    page.locator("[value=depth]").check(force=True)
    number, _, unit = page.locator("#range").inner_text().partition(" ")
    assert unit == told
    assert float(number) == pytest.approx(0.22 * (1000 if metres else 1), rel=0.1)


def test_colours_surfaces_and_backgrounds(open_page, bump_page):
    page = open_page(bump_page, color_scheme="dark")
    assert page.evaluate("facedepth.dark")
    seen = [picture(page, "photo_dark")]
    for name, value in [
        ("colouring", "clay"), ("colouring", "normals"), ("colouring", "depth"), ("surface", "wires"),
        ("surface", "points"), ("background", "white"), ("background", "grey"), ("background", "black"),
    ]:
        page.locator(f"[name={name}][value={value}]").check()
        assert settings(page)[name] == value
        seen.append(picture(page, f"{value}_dark"))
        assert all(changed(other, seen[-1]) > 0.005 for other in seen[:-1]), value
        assert page.locator("#legend").is_visible() == (settings(page)["colouring"] == "depth")
    page.locator("#theme").click()
    assert not page.evaluate("facedepth.dark")


def test_depth_is_warm_where_it_is_near(open_page, bump_page):
    page = open_page(bump_page)
    page.locator("[value=depth]").check()
    seen = picture(page, "depth_light")
    saturated = (seen.max(axis=2) - seen.min(axis=2)) > 90
    warm = saturated & (seen[..., 0] > seen[..., 2] + 60)
    cold = saturated & (seen[..., 2] > seen[..., 0] + 60)
    assert warm.sum() > 2000
    assert cold.sum() > 2000
    assert np.nonzero(warm)[1].mean() < np.nonzero(cold)[1].mean()  # the bump lies left, the step right


def test_back_faces(open_page, bump_page):
    page = open_page(bump_page)
    canvas = page.locator("#canvas")
    for _ in range(36):
        canvas.press("ArrowRight")
    assert abs(page.evaluate("facedepth.camera.azimuth")) > 150
    behind = picture(page, "behind")
    page.locator("[name=backFaces]").uncheck()
    assert changed(behind, picture(page)) > 0.05


def test_mouse_wheel_keys_and_turning_by_itself(open_page, bump_page):
    page = open_page(bump_page)
    first, start = picture(page), page.evaluate("facedepth.camera")
    page.mouse.move(200, 200)
    page.mouse.down()
    page.mouse.move(300, 230, steps=4)
    page.mouse.up()
    assert changed(first, picture(page)) > 0.02
    assert page.evaluate("facedepth.camera.azimuth") < start["azimuth"] - 10
    page.mouse.wheel(0, -400)
    settle(page)
    assert page.evaluate("facedepth.camera.zoom") > 1.05 * start["zoom"]
    page.keyboard.press("Tab")  # away from the picture: its keys are for the controls now
    page.locator("#canvas").press("0")
    assert changed(first, picture(page)) < 0.001  # the distance is right to a thousandth of a pixel, not of a bit
    page.locator("#canvas").press("+")
    assert page.evaluate("facedepth.camera.zoom") == pytest.approx(1.15)
    page.locator("#canvas").press("Control+0")  # the browser's own, as all with Ctrl
    assert page.evaluate("facedepth.camera.zoom") == pytest.approx(1.15)
    page.locator("[name=turning]").check()
    page.wait_for_timeout(700)
    turned = page.evaluate("facedepth.camera.azimuth")
    page.locator("[name=turning]").uncheck()
    assert turned != start["azimuth"]


def test_touch(open_page, bump_page):
    page = open_page(bump_page, width=390, height=844, has_touch=True, is_mobile=True)
    picture(page, "phone")
    start = page.evaluate("facedepth.camera")
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: tuple[int, int]) -> None:
        points = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (150, 200))
    for x in range(160, 260, 20):
        fingers("touchMove", (x, 200))
    fingers("touchEnd")
    settle(page)
    turned = page.evaluate("facedepth.camera")
    assert turned["azimuth"] < start["azimuth"] - 10
    fingers("touchStart", (150, 200), (230, 200))
    for spread in range(10, 60, 10):
        fingers("touchMove", (150 - spread, 200), (230 + spread, 200))
    fingers("touchEnd")
    settle(page)
    assert page.evaluate("facedepth.camera.zoom") > 1.2 * turned["zoom"]


def test_what_is_saved_is_what_is_shown(open_page, bump_page, tmp_path):
    page = open_page(bump_page)
    with page.expect_download() as waiting:
        page.locator("#screenshot").click()
    assert waiting.value.suggested_filename == "bump.png"
    saved = np.asarray(Image.open(waiting.value.path()).convert("RGB"))
    assert saved.shape[0] == page.locator("#canvas").bounding_box()["height"]
    assert saved.std() > 20

    page.locator("[name=jumpDeg]").fill("60")
    page.locator("[name=relief]").fill("2")
    with page.expect_download() as waiting:
        page.locator("#download").click()
    waiting.value.save_as(tmp_path / "bump.glb")
    (own,) = trimesh.load(tmp_path / "bump.glb").geometry.values()
    np.testing.assert_allclose(own.bounds.sum(axis=0), 0, atol=1e-4)  # about its own origin
    assert own.metadata["name"] == "bump"
    loaded = trimesh.load(tmp_path / "bump.glb", force="mesh")
    np.testing.assert_allclose(loaded.bounds.mean(axis=0), mesh_of(bump()).bounds.mean(axis=0), atol=1e-2)
    (shown,) = page.evaluate("facedepth.meshes")
    assert len(loaded.faces) == shown["triangles"] < shown["all"]
    whole = mesh_of(bump())
    assert np.ptp(loaded.vertices[:, 0]) == pytest.approx(np.ptp(whole.vertices[:, 0]), abs=1e-4)
    assert np.ptp(loaded.vertices[:, 2]) == pytest.approx(2 * np.ptp(whole.vertices[:, 2]), abs=1e-4)
    texture = np.asarray(loaded.visual.material.baseColorTexture)
    assert texture.shape[:2] == (90, 90)  # the mask leaves 3 pixels on each side


def test_two_meshes_turn_together(open_page, tmp_path):
    flat = bump()._replace(depth=torch.where(bump().mask, 1.0, 0.0))
    meshes = (mesh_of(bump()), mesh_of(flat))
    page = open_page(save_mesh_page(tmp_path / "two.html", *meshes, titles=("prediction", "truth")))
    halves = np.split(picture(page, "two")[:, : 2 * 244], 2, axis=1)
    page.locator("#canvas").press("ArrowLeft")
    after = np.split(picture(page)[:, : 2 * 244], 2, axis=1)
    assert all(changed(half, later) > 0.02 for half, later in zip(halves, after, strict=True))
    assert [mesh["title"] for mesh in page.evaluate("facedepth.meshes")] == ["prediction", "truth"]
    assert page.locator("#captions").inner_text().split() == ["prediction", "truth"]


@pytest.mark.parametrize(("width", "height", "scheme"), [(1200, 700, "light"), (600, 640, "dark"), (390, 844, "light")])
def test_everything_is_within_reach(open_page, bump_page, width, height, scheme):
    page = open_page(bump_page, width=width, height=height, color_scheme=scheme)
    picture(page, f"{width}_{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#canvas").bounding_box()["height"] >= 0.5 * height
    nameless = page.evaluate("[...document.querySelectorAll('input')].filter((i) => !i.labels[0]?.innerText.trim())")
    assert nameless == []
    reached = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.id"))
    assert {"canvas", "reset", "screenshot", "download", "theme", "fold", "colouring", "surface", *SLIDERS} <= reached
    page.locator("#fold").click()
    assert not page.locator("#panel").is_visible()


def test_in_a_notebooks_frame(open_page, monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    nothing = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 2), np.float32))
    show_mesh(bump(), nothing, titles=("bump", "nothing"))
    outer = tmp_path / "notebook.html"
    outer.write_text(f"<!doctype html><body style='margin: 0 0 2000px'>{shown[0].data}")
    page = open_page(outer, width=600, waits=False)
    frame = page.frame_locator("iframe")
    frame.locator("#triangles", has_text="triangles").wait_for()
    inner = page.frames[1]
    assert "the mesh has no triangle" in frame.locator("#captions").inner_text()
    zoom = inner.evaluate("facedepth.camera.zoom")
    page.mouse.move(150, 150)
    page.mouse.wheel(0, 300)
    page.wait_for_timeout(400)
    assert inner.evaluate("facedepth.camera.zoom") == zoom  # the notebook scrolls on
    assert page.evaluate("scrollY") > 100


def test_a_page_that_opens_hidden_is_drawn_once_it_is_seen(open_page, bump_page, tmp_path):
    outer = tmp_path / "folded.html"
    frame = f"<iframe src='{bump_page.as_uri()}' width=600 height=400></iframe>"
    outer.write_text(f"<!doctype html><details>{frame}</details>")
    page = open_page(outer, waits=False)
    page.frame_locator("iframe").locator("#triangles", has_text="triangles").wait_for(state="attached")
    inner = page.frames[1]
    page.wait_for_timeout(300)
    page.locator("details").evaluate("box => box.open = true")
    inner.wait_for_function("facedepth.ready")
    page.wait_for_timeout(500)
    assert inner.evaluate("facedepth.camera") == pytest.approx({"azimuth": 18, "elevation": 6, "zoom": 1})
    frames = inner.evaluate("facedepth.frames")
    page.wait_for_timeout(500)
    assert inner.evaluate("facedepth.frames") == frames  # nothing moves, nothing is drawn
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    assert np.ptp(seen[120:320, 150:450], axis=2).max() > 40  # the mesh's colours, before a grey ground


def test_reset_in_the_middle_of_a_drags_last_move(open_page, bump_page):
    page = open_page(bump_page)
    start = page.evaluate("facedepth.camera")
    page.mouse.move(200, 200)
    page.mouse.down()
    page.mouse.move(320, 230, steps=4)
    page.mouse.up()
    page.evaluate("document.getElementById('reset').click()")
    settle(page)
    assert page.evaluate("facedepth.camera") == pytest.approx(start, abs=0.2)


def test_of_nothing_no_glb_is_saved(open_page, tmp_path):
    sample = bump(24)
    sample.depth[:] = torch.linspace(1, 2, 24)  # steeper than the slider's least angle everywhere
    page = open_page(save_mesh_page(tmp_path / "steep.html", mesh_of(sample)))
    assert page.locator("#download").is_enabled()
    page.locator("[name=jumpDeg]").fill(page.locator("[name=jumpDeg]").get_attribute("min"))
    (shown,) = page.evaluate("facedepth.meshes")
    assert shown["triangles"] == 0
    assert page.locator("#download").is_disabled()


@pytest.mark.parametrize("attribute", ["src", "srcdoc"])  # as a file, and as notebooks hold it
def test_a_mesh_that_the_browser_lets_go_of_says_so_and_is_drawn_again(open_page, bump_page, tmp_path, attribute):
    value = bump_page.as_uri() if attribute == "src" else html.escape(bump_page.read_text(encoding="utf-8"))
    outer = tmp_path / "notebook.html"
    outer.write_text(f"<!doctype html><iframe {attribute}='{value}' width=800 height=500></iframe>", encoding="utf-8")
    page = open_page(outer, waits=False)
    frame = page.frame_locator("iframe")
    frame.locator("#triangles", has_text="triangles").wait_for()
    page.frames[1].evaluate("canvas.getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()")
    frame.get_by_text("The browser draws only so many meshes at once").wait_for()
    keep_screenshot(page, f"let_go_{attribute}")
    frame.locator("#canvas").click()
    frame.get_by_text("Unpacking").wait_for(state="hidden")
    page.frames[1].wait_for_function("window.facedepth?.ready")
    assert page.frames[1].evaluate("facedepth.frames") > 0
    assert not frame.locator("#message").is_visible()
    keep_screenshot(page, f"drawn_again_{attribute}")


def test_without_webgl_the_page_says_so(open_page, bump_page):
    script = "HTMLCanvasElement.prototype.getContext = () => null; console.error = () => {};"
    page = open_page(bump_page, waits=False, script=script)
    page.get_by_text("This browser shows no WebGL").wait_for()


def test_a_512_pixel_mesh_opens_and_turns(open_page, tmp_path):
    path = save_mesh_page(tmp_path / "large.html", mesh_of(bump(512)))
    page = open_page(path)
    picture(page)
    start, frames = time.perf_counter(), page.evaluate("facedepth.frames")
    page.locator("[name=turning]").check()
    page.wait_for_timeout(5000)
    drawn, seconds = page.evaluate("facedepth.frames") - frames, time.perf_counter() - start
    (mesh,) = page.evaluate("facedepth.meshes")
    print(
        f"\n{mesh['triangles']} triangles: page {path.stat().st_size / 1e6:.2f} MB, open in "
        f"{page.evaluate('facedepth.openMs')} ms, {1000 * seconds / drawn:.0f} ms a frame, drawn in software"
    )
    assert mesh["triangles"] > 350_000
    assert path.stat().st_size < 4e6
    assert page.evaluate("facedepth.openMs") < 20_000  # 3 s on a machine that does nothing else

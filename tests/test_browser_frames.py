"""The mesh's page within others, as in notebooks, and in browsers that cannot draw it."""

import html
import io

import numpy as np
import pytest
import trimesh
from chromium import keep_screenshot
from mesh_pages import bump
from PIL import Image

from facedepth.mesh import Mesh
from facedepth.mesh_page import save_mesh_page
from facedepth.viewer import show_mesh

NO_WEBGL = """
    const before = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
      return kind.startsWith("webgl") ? null : before.call(this, kind, ...rest);
    };
    console.error = () => {};"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]


def test_in_a_notebooks_frame_the_wheel_scrolls_the_notebook(open_page, monkeypatch, tmp_path):
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


def test_without_webgl_the_page_says_so_and_still_saves_the_mesh(open_page, bump_page):
    page = open_page(bump_page, waits=False, script=NO_WEBGL)
    page.get_by_text("WebGL is not available in this browser").wait_for()
    assert "Save the mesh with the GLB button" in page.locator("#message").inner_text()
    assert "bump" in page.locator("#message").inner_text()
    keep_screenshot(page, "no_webgl")
    enabled = page.evaluate("[...document.querySelectorAll('button, input')].filter((c) => !c.matches(':disabled'))"
                            ".map((c) => c.id || c.name)")
    assert enabled == ["download", "theme"]
    assert page.get_by_text("drag to turn").locator("visible=true").count() == 0
    page.keyboard.press("Tab")
    page.keyboard.press("0")  # nothing to reset, and no error
    with page.expect_download() as waiting:
        page.locator("#download").click()
    saved = trimesh.load(waiting.value.path(), file_type="glb", force="mesh")
    assert len(saved.faces) == page.evaluate("facedepth.meshes[0].triangles")
    assert saved.visual.material.baseColorTexture.size == (90, 90)


def test_without_webgl_and_without_a_mesh_no_button_is_named(open_page, tmp_path):
    path = save_mesh_page(tmp_path / "none.html", "it has no depth", titles=["seed1"])
    page = open_page(path, waits=False, script=NO_WEBGL)
    page.get_by_text("WebGL is not available").wait_for()
    assert "seed1: it has no depth" in page.locator("#message").inner_text()
    assert "GLB" not in page.locator("#message").inner_text()
    assert page.locator("#download").is_disabled()


def test_without_javascript_the_page_says_so(browser, bump_page):
    page = browser.new_page(java_script_enabled=False, viewport={"width": 500, "height": 400})
    page.goto(bump_page.as_uri())
    keep_screenshot(page, "no_javascript")
    box = page.locator("noscript p").bounding_box()
    assert box["y"] < 200 < box["y"] + box["height"]
    assert not page.get_by_text("Unpacking").is_visible()
    assert page.locator("button, input").locator("visible=true").count() == 0
    page.close()

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

NO_WEBGL = """
    const before = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
      return kind.startsWith("webgl") ? null : before.call(this, kind, ...rest);
    };
    console.error = () => {};"""
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


@pytest.mark.parametrize(("metres", "told"), [(True, "mm deep"), (False, "deep")])
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


def head(size: int = 96, far: float = 1.2) -> Sample:
    """Higher than wide and closed, as heads are; from 1 to `far` deep."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    apart = (x / 0.7).square() + y.square()
    mask = (apart < 0.95)[None]
    depth = 1 + (far - 1) * (1 - (1 - apart).clamp(min=0).sqrt())
    return bump(size)._replace(depth=depth[None], mask=mask, head=mask)


@pytest.fixture(scope="module")
def pair_page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "pair.html"
    return save_mesh_page(path, mesh_of(head()), mesh_of(head()), titles=("prediction", "truth"))


PHONE = {"has_touch": True, "is_mobile": True}


def rows_of_meshes(page, name: str) -> list[tuple[int, int]]:
    """The first and the last row of each mesh, where nothing lies over them."""
    page.locator("[name=background][value=black]").check()
    page.locator("[name=colouring][value=clay]").check()
    picture(page, name)
    page.add_style_tag(content="#captions, #hint, #bar { visibility: hidden; }")
    seen = picture(page).max(axis=2) > 20
    boxes = page.evaluate("[...document.querySelector('#captions').children].map((b) => b.getBoundingClientRect())")
    rows = []
    for box in boxes:
        left, top = int(box["x"]) + 2, int(box["y"]) + 2
        shown = seen[top : int(box["bottom"]) - 1, left : int(box["right"]) - 1]
        assert not shown[:, 0].any()
        assert not shown[:, -1].any()
        (own,) = np.nonzero(shown.any(axis=1))
        rows.append((top + own[0], top + own[-1]))
    return rows


@pytest.mark.parametrize(("width", "height", "options"), [
    (1400, 900, {}), (1100, 560, {}), (900, 700, {}), (720, 800, {}), (500, 800, {}), (390, 844, PHONE),
    (360, 640, PHONE), (667, 375, PHONE), (740, 360, PHONE),
])
@pytest.mark.parametrize("pair", [False, True])
def test_meshes_lie_between_the_bar_and_the_hint(open_page, pair_page, tmp_path, pair, width, height, options):
    path = pair_page if pair else save_mesh_page(tmp_path / "head.html", mesh_of(head()))
    page = open_page(path, width=width, height=height, **options)
    bar = page.locator("#reset").bounding_box()
    hint = page.locator("#hint").bounding_box()
    captions = [box.bounding_box() for box in page.locator("#captions .title").all()]
    rows = rows_of_meshes(page, f"fit_{1 + pair}_{width}x{height}")
    assert rows[0][0] > bar["y"] + bar["height"]
    assert rows[-1][1] < hint["y"] + 6  # its text begins there
    for (first, _), caption in zip(rows, captions, strict=True):
        assert first > caption["y"] + caption["height"]
    free = hint["y"] - captions[0]["y"] - captions[0]["height"]
    assert max(last - first for first, last in rows) > 0.4 * free  # and is no smaller than it must be


@pytest.mark.parametrize(("width", "height"), [(667, 375), (640, 360), (740, 360)])
def test_a_phone_held_sideways_shows_the_mesh_beside_the_controls(open_page, bump_page, width, height):
    page = open_page(bump_page, width=width, height=height, **PHONE)
    picture(page, f"sideways_{width}")
    canvas = page.locator("#canvas").bounding_box()
    assert canvas["height"] == height
    assert canvas["width"] > 0.6 * width
    assert page.locator("#panel").is_visible()
    assert page.locator("#colouring").bounding_box()["height"] < 50  # in one row


@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390)])
def test_fingers_find_what_they_need(open_page, bump_page, width, height):
    page = open_page(bump_page, width=width, height=height, **PHONE)
    assert page.locator("#hint").inner_text() == "drag to turn · pinch to zoom · two fingers to move"
    for box in page.locator("#bar button, #panel label.tick, .choice label, [type=range]").all():
        assert box.bounding_box()["height"] >= 40
    mouse = open_page(bump_page, width=500, height=800)
    assert "right-drag to move" in mouse.locator("#hint").inner_text()


def test_controls_below_the_mesh_are_no_higher_than_their_content(open_page, bump_page):
    page = open_page(bump_page, width=600, height=800)
    picture(page, "columns")
    heights = page.evaluate("[...document.querySelectorAll('.choice')].map((box) => box.offsetHeight)")
    assert max(heights) - min(heights) < 3


@pytest.mark.parametrize("width", [720, 740, 800])
def test_the_bar_stays_over_the_mesh(open_page, bump_page, width):
    page = open_page(bump_page, width=width, height=600)
    edges = page.evaluate("[...document.querySelectorAll('#bar button')].map((b) => b.getBoundingClientRect().right)")
    assert max(edges) <= page.locator("#canvas").bounding_box()["width"]


def test_wires_leave_the_colours_to_be_seen(open_page, tmp_path):
    page = open_page(save_mesh_page(tmp_path / "head.html", mesh_of(head(192))), width=1400, height=900)
    solid = picture(page)[350:550, 460:660].mean()
    page.locator("[name=surface][value=wires]").check()
    assert 0.8 < picture(page, "wires_large")[350:550, 460:660].mean() / solid < 0.99


def test_points_leave_no_rows_open(open_page, tmp_path):
    page = open_page(save_mesh_page(tmp_path / "head.html", mesh_of(head(192))), width=1400, height=900)
    page.locator("[name=background][value=black]").check()
    page.locator("[name=colouring][value=depth]").check()
    page.locator("[name=surface][value=points]").check()
    inside = picture(page, "points_large")[300:650, 460:700].max(axis=2)
    assert (inside < 20).mean() < 0.002


def test_an_outline_is_no_back_face(open_page, tmp_path):
    red = head(far=1.5)._replace(image=torch.tensor([1.0, 0, 0]).reshape(3, 1, 1).expand(3, 96, 96))
    page = open_page(save_mesh_page(tmp_path / "red.html", mesh_of(red)), width=900, height=700)
    page.locator("[name=background][value=black]").check()
    page.add_style_tag(content="#captions, #hint, #bar { visibility: hidden; } canvas { outline: none !important; }")

    def bluish(seen: np.ndarray) -> int:  # as back faces are
        return int((seen[..., 2] > seen[..., 0]).sum())

    for _ in range(6):
        page.locator("#canvas").press("ArrowRight")
    assert bluish(picture(page, "outline")) < 10
    for _ in range(20):
        page.locator("#canvas").press("ArrowRight")
    assert bluish(picture(page, "inside")) > 10_000


def coldness(seen: np.ndarray) -> int:
    """How many pixels have the blue of the far end."""
    return int((seen[..., 2] > seen[..., 0] + 40).sum())


@pytest.mark.parametrize("metres", [True, False])
def test_depth_colours_and_sizes_of_two_meshes_compare(open_page, tmp_path, metres):
    nearer = head()._replace(depth=0.5 * head().depth)  # half the size, at half the distance
    path = save_mesh_page(tmp_path / "two.html", mesh_of(nearer), mesh_of(head()), titles=("a", "b"), metres=metres)
    page = open_page(path, width=1100, height=560)
    page.locator("[name=background][value=black]").check()
    page.locator("[value=depth]").check()
    seen = picture(page, f"compared_{metres}")[80:520]
    small, large = seen[:, 4:410], seen[:, 420:824]
    assert coldness(small) == 0  # all of it is nearer than the middle of the larger one's range
    assert coldness(large) > 500
    widths = [np.ptp(np.nonzero((half.max(axis=2) > 30).any(axis=0))[0]) for half in (small, large)]
    assert widths[0] == pytest.approx(widths[1] / 2, rel=0.05)
    assert page.locator("#range").inner_text() == f"one scale for both: 0\u2013{'153 mm' if metres else '0.153'}"


def test_meshes_in_other_units_keep_their_own_scales(open_page, tmp_path):
    metres = mesh_of(head())
    millimetres = Mesh(1000 * metres.vertices, metres.faces, metres.uv, metres.texture)
    path = save_mesh_page(tmp_path / "two.html", millimetres, metres, titles=("mm", "m"))
    page = open_page(path, width=1100, height=560)
    page.locator("[value=depth]").check()
    left, right = picture(page)[80:520, 4:410], picture(page)[80:520, 420:824]
    assert min(coldness(left), coldness(right)) > 500
    assert page.locator("#range").inner_text() == "own scales: 153 and 0.153 deep"


def test_the_saved_picture_of_two_meshes_tells_which_is_which_and_how_deep(open_page, pair_page):
    page = open_page(pair_page, width=1100, height=560)
    page.locator("[value=depth]").check()
    with page.expect_download() as waiting:
        page.locator("#screenshot").click()
    saved = np.asarray(Image.open(waiting.value.path()).convert("RGB")).astype(int)

    def cut(selector: str, index: int = 0) -> np.ndarray:
        box = page.locator(selector).nth(index).bounding_box()
        left, top = round(box["x"]), round(box["y"])
        return saved[top : top + round(box["height"]), left : left + round(box["width"])]

    for index in (0, 1):
        assert 0.02 < (cut("#captions .title", index).max(axis=2) < 120).mean() < 0.4  # letters
    assert (cut("#range").max(axis=2) < 180).mean() > 0.02
    band = cut("#legend i")[4]
    assert band[3, 0] > band[3, 2] + 60
    assert band[-4, 2] > band[-4, 0] + 60


def test_two_meshes_are_saved_under_their_names_and_counted_together(open_page, pair_page):
    page = open_page(pair_page)
    names = []
    page.on("download", lambda download: names.append(download.suggested_filename))
    page.locator("#download").click()
    for _ in range(100):
        if len(names) == 2:
            break
        page.wait_for_timeout(100)
    assert sorted(names) == ["prediction.glb", "truth.glb"]
    first, second = (f"{mesh['triangles']:,}" for mesh in page.evaluate("facedepth.meshes"))
    assert page.locator("#triangles").inner_text() == f"{first} · {second} triangles"


def test_a_long_title_stays_in_its_pane_and_can_be_read(open_page, tmp_path):
    long = "IMG_20240817_194512_HDR_portrait_of_my_grandmother_at_the_lake_house_final_v3_edited"
    path = save_mesh_page(tmp_path / "long.html", mesh_of(head()), mesh_of(head()), titles=(long, "truth"))
    page = open_page(path, width=900, height=600)
    picture(page, "long_title")
    title = page.locator("#captions .title").first
    box = title.bounding_box()
    assert box["x"] + box["width"] < 314
    assert box["height"] < 30
    assert title.get_attribute("title") == long


def test_a_minus_is_no_hyphen_and_the_hint_is_legible_on_grey(open_page, bump_page):
    page = open_page(bump_page)
    assert page.locator("[name=lightAzimuth] + output").inner_text() == "\u221235°"
    page.locator("[name=background][value=grey]").check()
    ground = np.median(picture(page)[60:-60, 10:30])
    luminance = ((ground / 255 + 0.055) / 1.055) ** 2.4
    assert 1.05 / (luminance + 0.05) >= 4.5  # of white text


def test_the_mesh_is_printed(open_page, bump_page):
    page = open_page(bump_page)
    settle(page)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.evaluate("stage.renderer.clear()")  # as the browser does between two frames
    keep_screenshot(page, "printed")
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    assert (np.ptp(seen, axis=2) > 40).mean() > 0.1
    assert not page.locator("#panel").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#still").count() == 0


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
    scene = trimesh.load(tmp_path / "bump.glb")
    (own,) = scene.geometry.values()
    np.testing.assert_allclose(own.bounds.sum(axis=0), 0, atol=1e-4)  # about its own origin
    assert list(scene.graph.nodes_geometry) == ["bump"]
    loaded = trimesh.load(tmp_path / "bump.glb", force="mesh")
    whole = mesh_of(bump())
    middle = (whole.vertices.min(axis=0) + whole.vertices.max(axis=0)) / 2
    np.testing.assert_allclose(loaded.bounds.mean(axis=0), middle, atol=1e-2)
    (shown,) = page.evaluate("facedepth.meshes")
    assert len(loaded.faces) == shown["triangles"] < shown["all"]
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

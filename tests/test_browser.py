"""The mesh's page in a real browser: its sliders, keys, touch, colours, and what it saves, with the network blocked."""

import io
import time

import numpy as np
import pytest
import torch
import trimesh
from chromium import keep_screenshot
from mesh_pages import SLIDERS, bump, changed, head, mesh_of, picture, settings, settle
from PIL import Image

from facedepth.mesh_page import save_mesh_page
from facedepth.prediction.head_mask import GREATEST_HOLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]


def test_the_page_cuts_as_the_library_does(open_page, bump_page):
    page = open_page(bump_page)
    for angle in (50, 70, 82, 85, 90):
        page.locator("[name=jumpDeg]").fill(str(angle))
        (shown,) = page.evaluate("facedepth.meshes")
        expected = len(mesh_of(bump(), max_angle_deg=min(angle, 89.9), keep_steep=False).faces)
        assert shown["triangles"] == expected
        assert f"{shown['triangles']:,} triangles" in page.locator("#triangles").inner_text()
    assert shown["triangles"] == shown["all"]


def test_a_stretched_mesh_is_cut_where_it_jumped_before(open_page, tmp_path):
    whole = bump()
    flat = whole._replace(depth=1 + 0.5 * (whole.depth - 1))  # its step is just less steep than 85 degrees
    save_mesh_page(tmp_path / "flat.html", mesh_of(flat, unstretched=whole.depth))
    (shown,) = open_page(tmp_path / "flat.html").evaluate("facedepth.meshes")
    assert shown["triangles"] == len(mesh_of(whole, keep_steep=False).faces)
    assert shown["triangles"] < len(mesh_of(flat, keep_steep=False).faces) - 100


def test_small_holes_are_closed_as_a_predictions_mesh_closes_them(open_page, tmp_path):
    sample = bump()
    sample.depth[0, 40:44, 30:34] += 0.2  # enclosed and small
    sample.depth[0, 60:75, 40:58] += 0.2  # enclosed, too large to be closed
    page = open_page(save_mesh_page(tmp_path / "holes.html", mesh_of(sample, greatest_hole=GREATEST_HOLE)))
    cut, closed = (
        len(mesh_of(sample, greatest_hole=hole, keep_steep=False).faces) for hole in (0, GREATEST_HOLE)
    )
    (shown,) = page.evaluate("facedepth.meshes")
    assert shown["triangles"] == closed > cut + 10
    page.locator("[name=jumpDeg]").fill("84.5")
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


def test_fingers_turn_and_zoom(open_page, bump_page):
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


def test_colours_surfaces_and_backgrounds_all_look_different(open_page, bump_page):
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


@pytest.mark.parametrize(("metres", "told"), [(True, "mm deep"), (False, "deep")])
def test_the_range_of_depth_names_a_unit_where_there_is_one(open_page, tmp_path, metres, told):
    page = open_page(save_mesh_page(tmp_path / "bump.html", mesh_of(bump()), metres=metres))
    page.locator("[value=depth]").check(force=True)
    number, _, unit = page.locator("#range").inner_text().partition(" ")
    assert unit == told
    assert float(number) == pytest.approx(0.22 * (1000 if metres else 1), rel=0.1)


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


def test_back_faces_can_be_hidden(open_page, bump_page):
    page = open_page(bump_page)
    canvas = page.locator("#canvas")
    for _ in range(36):
        canvas.press("ArrowRight")
    assert abs(page.evaluate("facedepth.camera.azimuth")) > 150
    behind = picture(page, "behind")
    page.locator("[name=backFaces]").uncheck()
    assert changed(behind, picture(page)) > 0.05


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


def test_of_nothing_no_glb_is_saved(open_page, tmp_path):
    sample = bump(24)
    sample.depth[:] = torch.linspace(1, 2, 24)  # steeper than the slider's least angle everywhere
    page = open_page(save_mesh_page(tmp_path / "steep.html", mesh_of(sample)))
    assert page.locator("#download").is_enabled()
    page.locator("[name=jumpDeg]").fill(page.locator("[name=jumpDeg]").get_attribute("min"))
    (shown,) = page.evaluate("facedepth.meshes")
    assert shown["triangles"] == 0
    assert page.locator("#download").is_disabled()


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

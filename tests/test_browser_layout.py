"""The mesh's page on screens of every shape: what is where, and within reach."""

import numpy as np
import pytest
from mesh_pages import PHONE, SLIDERS, changed, head, mesh_of, picture, settle

from facedepth.mesh_page import save_mesh_page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]


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


def test_a_minus_is_no_hyphen_and_the_hint_is_legible_on_grey(open_page, bump_page):
    page = open_page(bump_page)
    assert page.locator("[name=lightAzimuth] + output").inner_text() == "\u221235°"
    page.locator("[name=background][value=grey]").check()
    ground = np.median(picture(page)[60:-60, 10:30])
    luminance = ((ground / 255 + 0.055) / 1.055) ** 2.4
    assert 1.05 / (luminance + 0.05) >= 4.5  # of white text


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

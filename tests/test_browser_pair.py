"""Two meshes in one page, in a real browser: they turn together, and their depths compare."""

import numpy as np
import pytest
import torch
from mesh_pages import bump, changed, head, mesh_of, picture
from PIL import Image

from facedepth.mesh import Mesh
from facedepth.mesh_page import save_mesh_page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]


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

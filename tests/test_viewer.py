"""The notebook's widgets: sliders redraw one picture in place, an upload becomes the photo."""

import dataclasses
import gc
import html
import io
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from maps import as_picture
from PIL import Image
from pretend_card import CARD, PretendCard

from facedepth.batches import to_device
from facedepth.camera import Camera, Crop
from facedepth.checks import InputError
from facedepth.mesh import Mesh
from facedepth.prediction import Prediction
from facedepth.sample import Sample
from facedepth.viewer import PhotoUpload, explore, show, show_mesh, show_samples, show_training
from facedepth.viewer.depth_picture import DepthPicture, View
from facedepth.viewer.explorer import _depth_picture


def pixels(view) -> np.ndarray:
    """Without the margin."""
    return np.asarray(Image.open(io.BytesIO(view.children[0].value)).convert("RGB")).astype(int)[8:-8, 8:-8]


def controls(view) -> dict:
    return {control.description: control for box in view.children[1].children for control in box.children}


def depth_pane(view) -> np.ndarray:
    return pixels(view)[26:366, :340]


def beside_pane(view) -> np.ndarray:
    return pixels(view)[26:366, 360:]


@pytest.mark.parametrize(
    ("name", "value", "besides", "depth_changes"),
    [
        ("near, far mm", (5, 20), "photo", True), ("colours", "inferno", "photo", True),
        ("colours", "grey", "photo", True), ("photo overlay", 0.8, "photo", True), ("contours", 12, "photo", True),
        ("smoothing px", 4, "normals", True), ("jump angle °", 45, "photo", True),
        ("beside it", "normals", "photo", False), ("light around °", 60, "relit clay", False),
        ("light height °", -60, "relit photo", False), ("profile", "column", "photo", True),
        ("profile at %", 20, "photo", True),
    ],
)
def test_every_slider_redraws_the_one_picture(prediction, name, value, besides, depth_changes):
    noisy = prediction.values + 0.004 * torch.randn(prediction.values.shape, generator=torch.manual_seed(0))
    view = explore(dataclasses.replace(prediction, values=noisy))
    found = controls(view)
    found["beside it"].value = besides
    picture, before = view.children[0], view.children[0].value
    depth_before = depth_pane(view)
    control = found[name]
    first = control.value
    control.value = value
    whole_blocks = np.s_[6:334, :336]  # of the JPEG: 8 x 8 pixels that share nothing with their neighbours
    assert (depth_pane(view)[whole_blocks] != depth_before[whole_blocks]).any() == depth_changes
    assert picture.value != before
    control.value = first
    assert picture.value == before  # nothing stale is left
    assert view.children[0] is picture
    assert len(view.children) == 2


def test_sliders_that_change_nothing_are_out_of_use(prediction):
    view = explore(prediction)
    found = controls(view)
    lights = [found["light around °"], found["light height °"]]
    assert all(slider.disabled for slider in lights)
    found["beside it"].value = "relit clay"
    assert not any(slider.disabled for slider in lights)
    found["profile"].value = "off"
    assert found["profile at %"].disabled
    found["profile"].value = "column"
    assert not found["profile at %"].disabled


def test_jumps_have_a_legend_while_there_are_any(prediction):
    step = 0.05 * (torch.arange(prediction.values.shape[-1]) > prediction.values.shape[-1] // 2)
    view = explore(dataclasses.replace(prediction, values=prediction.values + step))
    legend = np.s_[366 + 11 : 366 + 21, 200:210]
    jump = np.array([226, 0, 122])
    controls(view)["jump angle °"].value = 89.5
    assert (np.abs(pixels(view)[legend] - 255) < 6).all()
    controls(view)["jump angle °"].value = 50
    assert (np.abs(np.median(pixels(view)[legend], axis=(0, 1)) - jump) < 12).all()


def test_near_is_warm_and_the_cut_takes_away(prediction):
    view = explore(prediction)
    controls(view)["profile"].value = "off"
    pane = depth_pane(view)
    peak, rim = pane[170, 120], pane[170, 310]
    assert peak[0] > peak[2] + 50
    assert rim[2] > rim[0] + 50
    extent = controls(view)["near, far mm"].max
    controls(view)["near, far mm"].value = (0, extent / 2)
    assert (np.abs(depth_pane(view)[170, 310] - 245) < 6).all()
    controls(view)["near, far mm"].value = (extent, extent)  # hardly a pixel
    assert pixels(view).shape == (550, 700, 3)


def test_the_error_is_taken_after_the_fit(prediction, truth):
    view = explore(prediction, truth=truth)
    assert "error" not in controls(explore(prediction))["beside it"].options
    controls(view)["beside it"].value = "error"
    controls(view)["profile"].value = "off"
    pane = beside_pane(view).sum(axis=2)
    scale = 340 / 48
    nose = pane[int(20.5 * scale) : int(23.5 * scale), int(16.5 * scale) : int(19.5 * scale)]
    assert nose.min() > 2 * np.median(pane[100:250, 200:250])

    drawn = DepthPicture(
        prediction.image, prediction.depth(), prediction.mask, prediction.camera, truth=2 * prediction.depth() + 3
    )
    assert float(drawn._error(0.0)[prediction.mask].max()) < 1e-5
    inverse = torch.where(prediction.mask, 1 / (2 / prediction.depth().clamp(min=0.1) + 3), 0.0)
    of_inverse = DepthPicture(
        prediction.image, prediction.depth(), prediction.mask, prediction.camera, truth=inverse, kind="affine_inverse"
    )
    assert float(of_inverse._error(0.0)[prediction.mask].max()) < 1e-5


def test_a_depth_picture_is_explored_too_but_has_neither_jumps_nor_normals(truth):
    view, drawn = explore(as_picture(truth)), _depth_picture(as_picture(truth), None)
    assert drawn.nearest == 0
    assert controls(view)["beside it"].options == ("photo",)
    assert controls(view)["jump angle °"].disabled
    assert not drawn._jumps(View(near=0, far=1)).any()
    assert drawn._smoothed(2.0).isfinite().all()


def test_a_sample_on_a_card_is_explored_too(prediction, truth):
    with PretendCard():
        there = to_device(truth, CARD)
        explore(prediction, truth=there)
        explore(there)


def test_truth_of_another_size_is_refused(prediction, truth):
    small = truth._replace(depth=truth.depth[:, ::2, ::2])
    with pytest.raises(InputError, match="truth: expected the subject's size, 48 x 48 pixels, got 24 x 24"):
        explore(prediction, truth=small)


def test_what_cannot_be_shown_is_refused_in_words(prediction):
    for show_it, said in (
        (lambda: explore(prediction, truth="truth"), "truth: expected the sample that was predicted, got str"),
        (lambda: show("me.jpg"), "figure: expected one, as fd.compare and .*, got str"),
        (lambda: show_samples("data/sample"), "dataset: expected a data set"),
        (lambda: show_training("runs/unet"), "history: expected what fit returns"),
        (lambda: show_training(None), "history: expected what fit returns.*got NoneType"),
        (lambda: show_mesh(prediction, prediction, titles="ab"), "titles: expected a list of them.*got 'ab'"),
        (lambda: prediction.save("out", formats="npy"), "formats: expected a list of some of npy, .*, got 'npy'"),
    ):
        with pytest.raises(InputError, match=said):
            show_it()


@pytest.mark.parametrize(("height", "width"), [(3, 4000), (4000, 3), (1, 50), (600, 60)])
def test_a_sample_like_a_strip_is_explored(height, width):
    depth, camera = 1 + torch.rand(1, height, width, generator=torch.manual_seed(0)), Camera.from_fov(20, height, width)
    view = explore(Sample(torch.zeros(3, height, width), depth, *[depth > 0] * 3, camera, "a"))
    assert "Nothing to explore" not in str(view.children)
    for beside in controls(view)["beside it"].options:
        controls(view)["beside it"].value = beside
    assert pixels(view).shape[1] >= 480


def test_a_sample_is_explored_in_its_own_unit(truth):
    view = explore(truth)
    low, high = truth.depth[truth.mask].min(), truth.depth[truth.mask].max()
    assert controls(view)["near, far"].max == pytest.approx(float(high - low))


def test_a_large_photo_is_drawn_small_and_in_the_right_place(prediction):
    large = torch.zeros(3, 600, 800)
    large[0, 100:500, 300:700] = 1.0
    y, x = torch.meshgrid(torch.arange(600), torch.arange(800), indexing="ij")
    values = (((x - 500) / 400) ** 2)[None].float()
    mask = ((x >= 300) & (x < 700) & (y >= 100) & (y < 500))[None]
    wide = Prediction(
        large, values, mask, Camera.from_fov(40, 600, 800), "affine_relief", Crop(300, 100, 400), 128, "wide"
    )
    view = explore(wide)
    controls(view)["profile"].value = "off"
    assert (np.abs(beside_pane(view)[:, :-8] - [254, 0, 0]) < 4).all()  # the crop and nothing else, up to the margin
    assert pixels(view).shape[1] == 700


def test_a_hundred_moves_keep_nothing(prediction):
    view = explore(prediction)
    found = controls(view)
    found["beside it"].value = "relit clay"
    sizes = []

    def move(step: int) -> None:
        found["smoothing px"].value = 0.5 * (step % 12)
        found["light around °"].value = 5 * (step % 30) - 75
        found["near, far mm"].value = (0, found["near, far mm"].max * (0.5 + 0.005 * (step % 100)))
        sizes.append(len(view.children[0].value))

    for step in range(12):
        move(step)
    gc.collect()
    tracemalloc.start()
    start, _ = tracemalloc.get_traced_memory()
    for step in range(100):
        move(step)
    gc.collect()
    end, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert end - start < 500_000
    assert max(sizes) < 2 * min(sizes)
    assert len(view.children) == 2


@pytest.mark.parametrize("spoil", ["mask", "depth", "truth"])
def test_nothing_to_explore_is_said_in_the_place_of_the_picture(prediction, truth, spoil):
    if spoil == "mask":
        view = explore(dataclasses.replace(prediction, mask=torch.zeros_like(prediction.mask)))
        assert "bump: the network sees no head" in view.value
    elif spoil == "depth":
        view = explore(truth._replace(depth=torch.full_like(truth.depth, torch.nan)))
        assert "expected finite values, not negative" in view.value
    else:
        elsewhere = torch.zeros_like(truth.head)
        elsewhere[0, 0, 0] = True
        view = explore(prediction, truth=truth._replace(head=elsewhere))
        assert "truth: it has no depth where the subject has" in view.value


def shown_page(monkeypatch, *subjects, **options) -> str:
    """The page inside the frame that ``show_mesh`` displays."""
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    show_mesh(*subjects, **options)
    (frame,) = shown
    (source,) = re.findall(r'<iframe srcdoc="([^"]*)"', frame.data)
    return html.unescape(source)


def test_a_mesh_is_shown_in_a_frame_of_its_own(monkeypatch, prediction, truth):
    page = shown_page(monkeypatch, prediction, truth, titles=("prediction", "truth"))
    assert page.startswith("<!doctype html>")
    assert "<title>prediction | truth</title>" in page
    assert '"message"' not in page.split('id="meshes">')[1].split("</script>")[0]
    assert page.count('"cuttable": true') == 2
    as_it_is = shown_page(monkeypatch, prediction.mesh(z_scale=2))
    assert "<title>mesh</title>" in as_it_is
    assert '"cuttable": false' in as_it_is


def test_where_there_is_no_mesh_the_page_says_why(monkeypatch, prediction, truth):
    blind = dataclasses.replace(prediction, mask=torch.zeros_like(prediction.mask))
    assert "the network sees no head" in shown_page(monkeypatch, blind, prediction)
    nowhere = truth._replace(depth=torch.full_like(truth.depth, torch.nan))
    assert "expected finite values, not negative" in shown_page(monkeypatch, nowhere)
    for nearest in (0.0, 0.001):  # a resized picture of depth may hold no 0
        least, greatest = truth.depth[truth.mask].aminmax()
        relative = truth._replace(depth=((truth.depth - least) / (greatest - least)).clamp(nearest, 1))
        assert "that has no scale to make a mesh of" in shown_page(monkeypatch, relative)
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 2), np.float32))
    assert "the mesh has no triangle" in shown_page(monkeypatch, empty)


@pytest.mark.parametrize("version", [7, 8])
def test_an_uploaded_photo_takes_the_place_of_the_default(tmp_path, version):
    upload = PhotoUpload("assets/astronaut.png", folder=tmp_path)
    assert upload.path.name == "astronaut.png"
    buffer = io.BytesIO()
    Image.new("RGB", (20, 30), "red").save(buffer, format="png")
    content = memoryview(buffer.getvalue())
    file = {"name": "../me.png", "type": "image/png", "size": len(content), "content": content}
    upload._keep({"new": ({**file},) if version == 8 else {"../me.png": {"metadata": {}, "content": bytes(content)}}})
    assert upload.path == tmp_path / "me.png"  # a name cannot climb out of the folder
    assert upload.in_use.value == f"in use: {upload.path}"
    assert Image.open(upload.path).size == (20, 30)
    upload._keep({"new": () if version == 8 else {}})
    assert upload.path == tmp_path / "me.png"
    assert PhotoUpload("assets/astronaut.png", folder=tmp_path).path == upload.path  # the cell is run again ...
    assert PhotoUpload("assets/hopper.jpg", folder=tmp_path).path == Path("assets/hopper.jpg")  # ... with another photo
    assert PhotoUpload("assets/astronaut.png", folder=tmp_path).path == Path("assets/astronaut.png")


def test_another_photo_of_the_same_name_gets_a_number(tmp_path):
    upload = PhotoUpload("assets/astronaut.png", folder=tmp_path)
    stored = []
    for content in (b"one", b"two", b"one"):
        upload._keep({"new": ({"name": "image.jpg", "content": content},)})
        stored.append((upload.path.name, upload.path.read_bytes()))
    assert stored == [("image.jpg", b"one"), ("image-2.jpg", b"two"), ("image.jpg", b"one")]

"""The notebook's widgets: sliders redraw one picture in place, an upload becomes the photo."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from facedepth.camera import Camera, Crop
from facedepth.checks import InputError
from facedepth.prediction import Prediction
from facedepth.viewer import PhotoUpload, explore


@pytest.fixture
def prediction() -> Prediction:
    """A bump that is steeper on the left, 48 pixels a side."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 48), indexing="ij")
    values = 0.2 * torch.exp(-3 * (x + 0.3).square() - 2 * y.square())[None]
    mask = (x.square() + y.square() < 0.8)[None]
    image = torch.stack([x, y, x * y]) / 2 + 0.5
    return Prediction(image, values, mask, Camera.from_fov(20, 48, 48), "relief", Crop(0, 0, 48), 48, "bump")


def pixels(picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.value)).convert("RGB")).astype(int)


def test_sliders_redraw_the_one_picture(prediction):
    view = explore(prediction)
    picture, depth_range, cut, turn, label = view.children
    assert "near is warm" in label.value
    before = pixels(picture)
    photo, depth_map, mesh = np.split(before, 3, axis=1)
    assert photo.shape == depth_map.shape == mesh.shape == (320, 320, 3)

    turn.value = -40
    turned = pixels(picture)
    np.testing.assert_array_equal(turned[:, :640], before[:, :640])  # photo and depth map stay
    assert np.abs(turned - before)[:, 640:].max() > 50

    depth_range.value = (depth_range.max / 4, depth_range.max / 2)
    ranged = pixels(picture)
    assert np.abs(ranged - turned)[:, 320:640].max() > 50
    np.testing.assert_array_equal(ranged[:, 640:], turned[:, 640:])

    cut.value = cut.max / 4
    shorter = pixels(picture)
    assert (shorter[:, 640:] == 255).all(axis=2).sum() > (ranged[:, 640:] == 255).all(axis=2).sum()
    assert view.children[0] is picture
    assert len(view.children) == 5


def test_a_hundred_moves_do_not_grow_the_widget(prediction):
    view = explore(prediction)
    sizes = []
    for step in range(100):
        view.children[3].value = 5 * (step % 20) - 50
        sizes.append(len(view.children[0].value))
    assert max(sizes) < 2 * min(sizes)
    assert len(view.children) == 5


def test_nothing_to_explore_without_a_head(prediction):
    blind = Prediction(**{**prediction.__dict__, "mask": torch.zeros_like(prediction.mask)})
    with pytest.raises(InputError, match="bump: the network sees no head"):
        explore(blind)


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
    assert Image.open(upload.path).size == (20, 30)
    upload._keep({"new": () if version == 8 else {}})
    assert upload.path == tmp_path / "me.png"

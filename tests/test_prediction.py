"""What predict answers: for which networks and photos, and where in each; the networks are real, only small."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from maps import rand
from PIL import Image
from predictions import RedIsNear, photo_of
from torch import Tensor
from torch.testing import assert_close

from facedepth.camera import Crop, pixel_grid
from facedepth.checks import InputError
from facedepth.io import image_to_uint8, read_image
from facedepth.models import load_model
from facedepth.prediction import Prediction, predict

ASTRONAUT = Path(__file__).parents[1] / "assets" / "astronaut.png"


class Ruined(RedIsNear):
    def predict_normalised(self, image: Tensor) -> Tensor:
        return torch.full_like(image[:, :2], torch.nan)


# --- which networks


def test_a_network_in_training_answers_as_in_use_and_stays_in_training(unet):
    expected = predict(unet, rand(3, 20, 20), crop="none").values
    unet.train()
    before = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    found = predict(unet, [rand(3, 20, 20), rand(3, 20, 20, seed=1)], crop="none")
    assert unet.training
    unet.eval()
    assert_close(found[0].values, expected, atol=1e-5, rtol=0)
    assert_close(unet.state_dict(), before, atol=0, rtol=0)


def test_a_compiled_network_is_one_too(unet):
    compiled = torch.compile(unet, backend="eager")
    photo = photo_of(60, 90)
    assert_close(predict(compiled, photo, crop="none").values, predict(unet, photo, crop="none").values)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_network_of_another_precision_is_one_too(unet, dtype):
    try:
        torch.nn.functional.pad(torch.zeros(1, 1, 2, 2, dtype=dtype), (0, 1, 0, 1), mode="replicate")
    except RuntimeError:
        pytest.skip(f"this torch cannot pad {dtype} on a CPU")  # as 2.4 cannot
    photo = photo_of(60, 90)
    found = predict(copy.deepcopy(unet).to(dtype), photo, crop="none").values
    spread = predict(unet, photo, crop="none").values
    assert found.dtype == torch.float32
    assert_close(found, spread, atol=0.05 * float(spread.std()) + 0.05, rtol=0)


def test_a_name_in_the_place_of_a_network_is_told_how_to_load_it():
    with pytest.raises(InputError, match=r"model: expected a network, .*load_model\('face_small'\) gives, got 'face_"):
        predict("face_small", ASTRONAUT)


def test_a_network_that_is_none_of_ours_is_told_what_to_be():
    class Own(torch.nn.Module):
        kind = "relief"

    with pytest.raises(InputError, match=r"or one of a subclass of facedepth\.models\.DepthNetwork, got Own"):
        predict(Own(), ASTRONAUT)


def test_a_ruined_network_is_not_called_a_picture_without_a_head():
    with pytest.raises(InputError, match=r"^photo000: the network said NaN or infinity; were its weights ruined"):
        predict(Ruined(), photo_of(64, 64), crop="none").depth()


# --- one photo or several


def test_a_list_gives_a_list_and_a_photo_gives_a_prediction(unet):
    assert isinstance(predict(unet, rand(3, 20, 20), crop="none"), Prediction)
    assert len(predict(unet, [rand(3, 20, 20)], crop="none")) == 1
    assert len(predict(unet, (rand(3, 20, 20),), crop="none")) == 1
    assert predict(unet, [], crop="none") == []


def test_a_batch_is_what_one_by_one_gives(unet):
    photos = [rand(3, 40 + 7 * index, 90 - 5 * index, seed=index) for index in range(5)]
    together = predict(unet, photos, crop="none", batch_size=2)
    assert isinstance(together, list)
    for found, photo in zip(together, photos, strict=True):
        alone = predict(unet, photo, crop="none")
        assert_close(found.values, alone.values, atol=1e-5, rtol=0)
        assert_close(found.camera.K, alone.camera.K)
        assert found.crop == alone.crop


def test_every_photo_of_a_list_has_a_name_of_its_own(unet, tmp_path):
    Image.fromarray(image_to_uint8(photo_of(20, 20))).save(tmp_path / "me.png")
    photos = [rand(3, 20, 20), tmp_path / "me.png", rand(3, 20, 20), rand(3, 20, 20)]
    names = [found.name for found in predict(unet, photos, crop="none", batch_size=2)]
    assert names == ["photo000", "me", "photo002", "photo003"]


def test_a_batch_of_none_is_refused():
    with pytest.raises(InputError, match="batch_size: expected a whole number of at least 1, got 0"):
        predict(RedIsNear(), [photo_of(64, 64)], batch_size=0)


# --- where


@pytest.mark.parametrize("size", [(16, 16), (17, 200), (333, 64), (700, 500)])
def test_values_have_the_photos_size_and_the_networks_is_recorded(unet, size):
    found = predict(unet, rand(3, *size), crop="none")
    assert found.values.shape == found.mask.shape == (1, *size)
    assert found.image.shape == (3, *size)
    assert found.network_size == 32
    assert found.kind == "affine_relief"
    assert found.mask.all()  # this network gives no head


@pytest.mark.parametrize("crop", ["none", Crop(30, 20, 48), (70, -8, 64), (-20, 50, 40)])
def test_the_answer_lies_on_the_pixels_it_was_given_for(crop):
    photo = photo_of(80, 120)
    found = predict(RedIsNear(), photo, crop=crop)
    left, top, size, _ = found.crop
    assert found.crop == (Crop(0, -20, 120) if crop == "none" else Crop(*crop))
    inside = torch.zeros(1, 80, 120, dtype=torch.bool)
    inside[:, max(top, 0) : top + size, max(left, 0) : left + size] = True
    assert (found.mask == inside).all()
    rim = inside.clone()  # where the crop ends or the photo's edge was repeated, the ramp is bent
    rim[:, max(top, 0) + 4 : min(top + size, 80) - 4, max(left, 0) + 4 : min(left + size, 120) - 4] = False
    assert_close(found.values[inside & ~rim], photo[:1][inside & ~rim], atol=2e-3, rtol=0)
    assert (found.values[~inside] == 0).all()


def test_the_mask_is_where_the_networks_head_is():
    photo = photo_of(80, 120)
    photo[1, :, 70:] = 0.1
    found = predict(RedIsNear(), photo, crop=Crop(30, 20, 48))
    assert found.mask[0, 20:68, 30:69].all()
    assert not found.mask[..., 71:].any()
    assert not found.mask[..., :30].any()


def test_the_numbers_of_a_square_may_be_floats_or_numpys(unet, tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50  # the focal length: it is asked whether the crop frames a face
    Image.new("RGB", (120, 80), "red").save(tmp_path / "a.jpg", exif=exif)
    for crop in ((30, 20, 48), (30.4, 19.6, 48.0), tuple(np.array([30, 20, 48])), np.array([30, 20, 48])):
        found = predict(unet, tmp_path / "a.jpg", crop=crop)
        assert found.crop == Crop(30, 20, 48)
        found.save(tmp_path, formats=("npy",), overwrite=True)


@pytest.mark.parametrize("crop", ["head", (1, 2), (0, 0, 0), (0, 0, 10, 10), None, (0, float("nan"), 10)])
def test_crops_that_are_none(unet, crop):
    with pytest.raises(InputError, match=r"crop: expected 'face', 'none' or \(left, top, size\) in pixels"):
        predict(unet, rand(3, 40, 40), crop=crop)


def test_a_crop_beside_the_photo(unet):
    with pytest.raises(InputError, match="crop: expected a square that overlaps the 40 x 40 picture"):
        predict(unet, rand(3, 40, 40), crop=(50, 0, 20))


# --- faces


def test_the_face_is_looked_for_unless_told_otherwise(unet):
    found = predict(unet, ASTRONAUT)
    left, top, size, _ = found.crop
    assert (left + size / 2, top + size / 2) == pytest.approx((225, 115), abs=12)
    assert found.name == "astronaut"
    assert found.values.shape == (1, 512, 512)
    assert not found.mask[:, :, : left - 1].any()


def test_a_photo_without_a_face_is_named(unet, tmp_path):
    Image.new("RGB", (90, 60), "grey").save(tmp_path / "wall.png")
    with pytest.raises(InputError, match=r"wall.png: no face found in the picture \(90 x 60\)"):
        predict(unet, tmp_path / "wall.png")


@pytest.mark.parametrize("name", ["brick", "gravel", "coffee", "moon"])
def test_pictures_of_nobody_are_refused(unet, name):
    with pytest.raises(InputError, match="no face found"):
        predict(unet, getattr(skimage.data, name)())


@pytest.mark.parametrize("tilt_deg", [-40, 28])
def test_a_tilted_face_is_a_whole_one(tilt_deg):
    """Networks have seen upright faces only: unturned, this one's mesh has holes."""
    model = load_model("attention_unet", device="cpu")
    photo = Image.open(ASTRONAUT).convert("RGB")
    turned = photo.rotate(-tilt_deg, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=(150, 140, 140))
    upright, tilted = (predict(model, picture) for picture in (photo, turned))
    x, y = pixel_grid(*tilted.mask.shape[-2:])
    left, top, size, _ = tilted.crop
    face = (x - left - size / 2) ** 2 + (y - top - size / 2) ** 2 < (0.2 * size) ** 2
    assert tilted.mask[0][face].all()
    reliefs = [found.values[found.mask].std() for found in (upright, tilted)]
    assert float(reliefs[1] / reliefs[0]) == pytest.approx(1, abs=0.2)
    again = predict(model, turned, crop=tilted.crop)
    assert torch.equal(again.values, tilted.values)


def test_a_small_face_at_the_edge_of_a_photo_keeps_its_proportions():
    """The same face, which takes a tenth of a photo, in its middle and in its corner."""
    model, square = load_model("face_small", device="cpu"), Crop(132, 15, 187)
    face = read_image(ASTRONAUT)[:, :, 100:400]
    extents = []
    for left, top in ((850, 600), (1690, 0)):
        canvas = torch.full((3, 1500, 2000), 0.5)
        canvas[:, top : top + 512, left : left + 300] = face
        found = predict(model, canvas, crop=(left + square.left - 100, top + square.top, square.size))
        vertices = found.mesh().vertices
        toward = -vertices.mean(axis=0) / np.linalg.norm(vertices.mean(axis=0))
        across = np.cross([0, 1, 0], toward)
        across /= np.linalg.norm(across)
        own_axes = np.stack([across, np.cross(toward, across), toward], axis=1)
        extents.append(np.ptp(vertices @ own_axes, axis=0))
    np.testing.assert_allclose(extents[1], extents[0], rtol=0.25)


# --- very large photos

WIDE = """
import resource, sys
import numpy as np, torch
from facedepth.models import create_model
from facedepth.prediction import predict
torch.set_num_threads(1)
torch.manual_seed(0)
model = create_model("attention_unet", channels=2, depth=2, head_mask=False, kind="affine_relief")
row = np.linspace(0, 255, 12000).astype(np.uint8)
photo = np.broadcast_to(row[None, :, None], (1500, 12000, 3)).copy()
found = predict(model, photo, crop="none")
mesh = found.mesh()
unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes here
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
print(*found.values.shape, *mesh.texture.shape, len(mesh.faces), f"{peak:.2f}")
"""


def test_a_photo_12000_pixels_wide_fits_into_memory_and_its_mesh_into_the_budget():
    said = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, check=True).stdout
    print("values, texture, triangles, peak in GiB:", said)
    *shapes, triangles, peak = said.split()
    assert shapes[:3] == ["1", "1500", "12000"]
    assert max(map(int, shapes[3:])) == 4096
    assert 20_000 < int(triangles) <= 300_000
    assert float(peak) < 4

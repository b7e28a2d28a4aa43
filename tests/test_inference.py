"""A head that the square around its face cuts off is looked at again, in a larger one."""

import pytest
import torch
from torch.testing import assert_close

from facedepth.camera import Camera, Crop
from facedepth.depth import depth_to_relief, relief_in_crop, relief_to_depth
from facedepth.framing import enlarged
from facedepth.models import DepthNetwork
from facedepth.prediction.inference import _blend_looks, run_on_crops
from facedepth.viewer.explorer import _window

SIZE = 300
CROP = Crop(80, 100, 120)
CAMERA = Camera.from_fov(40, SIZE, SIZE)


class Reader(DepthNetwork):
    """Reads relief from red and the head from green, and counts how often it is asked."""

    def __init__(self, *, kind: str = "relief", says_head: bool = True):
        super().__init__(kind=kind, input_size=120, mean=(0, 0, 0), std=(1, 1, 1))
        self.says_head, self.asked = says_head, 0

    def predict_normalised(self, image):
        self.asked += 1
        values, head = image[:, :1], 2 * image[:, 1:2] - 1
        return torch.cat([values, head], dim=1) if self.says_head else values


def photo(top: int) -> torch.Tensor:
    """A head from row ``top`` down to the lower edge of the crop, 80 pixels wide, on black."""
    image = torch.zeros(3, SIZE, SIZE)
    image[0] = 0.2
    image[1, top:220, 100:180] = 1
    return image


def seen(model: DepthNetwork, image: torch.Tensor, crop: Crop = CROP, *, mirror: bool = False):
    return run_on_crops(model, [image], [crop], [CAMERA], mirror=mirror)[0]


def test_the_larger_square_has_the_same_lower_edge_as_the_face_stands():
    assert enlarged(CROP) == (71, 82, 138, 0)
    left, top, size, tilt_deg = enlarged(CROP._replace(tilt_deg=90))  # lies to the right: up in the face is right
    assert (left, top, size, tilt_deg) == (80, 91, 138, 90)


def test_what_was_cut_off_is_seen():
    model = Reader()
    values, inside = seen(model, photo(90))
    assert model.asked == 2
    assert int((inside > 0).any(dim=2)[0].nonzero()[0]) == 90
    assert (values != 0).any(dim=2)[0].nonzero()[0] == enlarged(CROP).top


def test_a_tall_hat_is_looked_at_until_it_ends():
    model = Reader()
    values, inside = seen(model, photo(70))
    assert model.asked == 3
    assert int((inside > 0).any(dim=2)[0].nonzero()[0]) == 70
    assert (values != 0).any(dim=2)[0].nonzero()[0] == enlarged(enlarged(CROP)).top


def test_a_head_that_never_ends_is_looked_at_four_times():
    model = Reader()
    seen(model, photo(0))
    assert model.asked == 4


@pytest.mark.parametrize(
    ("image", "changes"),
    [
        (photo(104), {}),  # whole as it is
        (photo(0), {"crop": Crop(80, 0, 220)}),  # the photo ends there
        (photo(90), {"model": Reader(says_head=False)}),
        (photo(90), {"model": Reader(kind="affine_relief")}),
    ],
)
def test_otherwise_one_look_will_do(image, changes):
    model = changes.pop("model", Reader())
    seen(model, image, **changes)
    assert model.asked == 1


def test_a_lying_head_is_looked_at_again_where_the_photo_goes_on_above_it():
    lying = photo(90).rot90(-1, (1, 2))  # up is right
    at_its_side = lying[:, 80:]  # the square begins at the photo's upper edge, where the head has its side
    model = Reader()
    seen(model, at_its_side, Crop(80, 0, 120, 90))
    assert model.asked == 2
    model = Reader()
    seen(model, lying[..., :200], Crop(80, 80, 120, 90))  # the photo ends where the square does
    assert model.asked == 1


def test_a_strand_of_hair_at_the_edge_is_no_head_cut_off():
    image = photo(104)
    image[1, 90:110, 120:123] = 1
    model = Reader()
    seen(model, image)
    assert model.asked == 1


def test_both_looks_are_averaged_with_their_mirror_images():
    model, image = Reader(), photo(90)
    plain, mirrored = seen(model, image), seen(model, image, mirror=True)
    assert model.asked == 2 + 4
    assert_close(plain, mirrored)


def test_relief_of_another_square_is_the_same_surface():
    y, x = torch.meshgrid(torch.arange(SIZE) / SIZE, torch.arange(SIZE) / SIZE, indexing="ij")
    relief, larger = (0.3 * torch.sin(4 * x) - 0.2 * y * y)[None], enlarged(CROP._replace(tilt_deg=20))
    moved = relief_in_crop(relief, CAMERA, larger, CROP)
    assert (moved - relief).abs().max() > 0.05
    assert_close(relief_to_depth(moved, 0.8, CAMERA, CROP), relief_to_depth(relief, 0.8, CAMERA, larger))


def test_the_truth_seen_at_the_second_look_is_the_truth():
    """A relief made of known depth in the larger square comes back as that depth in the first square's terms."""
    depth = 0.8 + 0.05 * torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    larger = enlarged(CROP)
    inner = (slice(None), slice(larger.top, larger.top + larger.size), slice(larger.left, larger.left + larger.size))
    relief, z0 = depth_to_relief(depth[inner], torch.ones_like(depth[inner]) > 0, CAMERA.crop(larger.left, larger.top))
    whole = torch.zeros_like(depth)
    whole[inner] = relief
    back = relief_to_depth(relief_in_crop(whole, CAMERA, larger, CROP), z0[0], CAMERA, CROP)
    assert_close(back[inner], depth[inner])


def test_the_explorer_shows_what_lies_beside_the_square_too():
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    assert _window(CROP, mask) == (80, 100, 200, 220)
    mask[0, 90:150, 100:210] = True
    assert _window(CROP, mask) == (80, 90, 210, 220)
    assert _window(Crop(-50, -50, 400), mask) == (0, 0, 300, 300)


def test_in_the_first_square_the_first_look_says_what_is_head():
    class Forgetful(Reader):
        """At the second look the face is no head any more, only what lies above it."""

        def predict_normalised(self, image):
            output = super().predict_normalised(image)
            if self.asked == 2:
                output[:, 1, 30:] = -1
            return output

    _, inside = seen(Forgetful(), photo(90))
    head = (inside > 0)[0].nonzero()
    assert head.amin(dim=0).tolist() == [90, 100]
    assert head.amax(dim=0).tolist() == [219, 179]
    assert int((inside > 0).sum()) == (220 - 90) * 80


class Changing(Reader):
    """The second look says ``more`` (1, 1, 120, 120) than the first."""

    def __init__(self, more: torch.Tensor):
        super().__init__()
        self.more = more

    def predict_normalised(self, image):
        output = super().predict_normalised(image)
        if self.asked == 2:
            output[:, :1] += self.more
        return output


def difference(more: torch.Tensor) -> torch.Tensor:
    """(300, 300) how much the second look changes, by what it says more."""
    return (seen(Changing(more), photo(90))[0] - seen(Reader(), photo(90))[0])[0]


def test_both_looks_stand_at_the_same_height():
    more = torch.full((1, 1, 120, 120), 0.1)
    y, x = enlarged(CROP).top, enlarged(CROP).left
    assert difference(more)[y : y + 138, x : x + 138].abs().max() < 0.003  # 0.1 / 0.87 without, or a step of half of it


def test_the_face_is_the_mean_of_both_looks():
    more = torch.zeros(1, 1, 120, 120)
    more[..., 60:110, 45:75] = 0.1  # photo: rows 151 to 208, columns 123 to 157, out of the seam
    changed = difference(more)
    in_the_first = 0.1 * enlarged(CROP).size / CROP.size  # a relief is in widths of its own square
    assert_close(changed[160:200, 130:150], torch.full((40, 20), in_the_first / 2), atol=0.002, rtol=0)


def test_beyond_the_first_square_the_second_look_takes_over_without_a_step():
    more = torch.zeros(1, 1, 120, 120)
    more[..., :40, 50:70] = 0.1  # photo: rows 82 to 128, columns 129 to 151; the median of the whole seam is 0
    down = difference(more)[84:124, 140]
    assert_close(down[:16], torch.full((16,), 0.115), atol=0.002, rtol=0)
    assert_close(down[-1], torch.tensor(0.115 / 2), atol=0.002, rtol=0)
    assert (down[:-1] - down[1:]).max() < 0.004


@pytest.mark.parametrize("tilt_deg", [0, 7, 20, 33, 90, 180])
def test_every_pixel_of_the_first_square_keeps_its_value(tilt_deg):
    crop = Crop(81, 93, 121, tilt_deg)
    image = photo(0)
    image[1] = 1
    first = seen(Reader(kind="affine_relief"), image, crop)[0]
    both = seen(Reader(), image, crop)[0]
    assert (both - first)[first != 0].abs().max() < 0.06  # 0.2, and 0.1 where only half of one look counted


def test_where_no_head_lies_along_the_edge_nothing_is_shifted():
    first, again = torch.zeros(1, SIZE, SIZE), torch.full((1, SIZE, SIZE), 0.4)
    first[:, 100:220, 80:200] = 0.2
    joined = _blend_looks(first, again, torch.zeros_like(first) > 0, CROP)
    assert joined.isfinite().all()
    assert_close(joined[0, 160, 140], torch.tensor(0.3))

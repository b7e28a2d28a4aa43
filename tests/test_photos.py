"""Photos: which ones a path names, every form they have, and the focal length of each."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from maps import rand
from PIL import Image
from predictions import RedIsNear, photo_of
from torch.testing import assert_close

from facedepth.camera import Crop
from facedepth.checks import InputError
from facedepth.framing import CROP_WIDTH_M
from facedepth.io import image_to_uint8
from facedepth.prediction import predict
from facedepth.prediction.photos import DEFAULT_FOV_DEG, LEAST_FOCAL, NEAREST_M, focal_px
from facedepth.prediction.picture_lists import list_images

EXIF_IFD, FOCAL_35MM, ORIENTATION = 0x8769, 0xA405, 0x0112


# --- which photos a path names


def make(folder: Path, *names: str) -> None:
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / name)


def test_pictures_of_a_folder_come_by_name(tmp_path):
    make(tmp_path, "b.png", "a.JPG", "c.webp")
    make(tmp_path, ".b.77.tmp.png")  # what a killed writer leaves behind
    (tmp_path / "notes.md").write_text("no picture")
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png", "c.webp"]


def test_pictures_of_a_list_start_at_its_folder(tmp_path):
    (tmp_path / "in").mkdir()
    make(tmp_path / "in", "x.png", "y.png")
    elsewhere = tmp_path / "z.png"
    (tmp_path / "in" / "list.txt").write_text(f"# my photos\n\ny.png\n  x.png  \n{elsewhere}\ny.png\n")
    found = list_images(tmp_path / "in" / "list.txt")
    assert found == [tmp_path / "in" / "y.png", tmp_path / "in" / "x.png", elsewhere]


def test_a_single_picture_is_a_list_of_one(tmp_path):
    make(tmp_path, "a.png")
    assert list_images(tmp_path / "a.png") == [tmp_path / "a.png"]


def test_nothing_to_list(tmp_path):
    with pytest.raises(InputError, match=r"no picture in it \(.png, .jpg"):
        list_images(tmp_path)
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        list_images(tmp_path / "nowhere")


@pytest.mark.parametrize("names", [("me.jpg", "me.png"), ("at home.jpg", "at_home.jpg")])
def test_photos_whose_results_would_collide_are_both_named(tmp_path, names):
    make(tmp_path, *names)
    with pytest.raises(InputError, match=rf"{names[0]} and .*{names[1]}: results .* be called \w+; rename one"):
        list_images(tmp_path)


def test_one_photo_by_two_paths_is_one(tmp_path):
    make(tmp_path, "me.jfif")
    (tmp_path / "in").mkdir()
    assert list_images(tmp_path, tmp_path / "in" / ".." / "me.jfif") == [tmp_path / "me.jfif"]


def test_results_among_the_photos_are_no_photos(tmp_path):
    make(tmp_path, "me.jpg", "me_depth.png", "me_texture.png", "in_depth.png", "at home.jpg", "at_home_texture.png")
    for name in ("me_depth.json", "me.obj", "at home.obj"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["at home.jpg", "in_depth.png", "me.jpg"]


def test_pictures_that_are_not_read_are_left_out_with_a_warning(tmp_path):
    make(tmp_path, "a.jpg", "d.gif")
    (tmp_path / "b.AVIF").touch()
    frames = [Image.new("L", (4, 4), level) for level in (0, 255)]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"left out \(save them as JPEG or PNG .*\): b\.AVIF, c\.gif"):
        assert list_images(tmp_path) == [tmp_path / "a.jpg", tmp_path / "d.gif"]  # a still one is read


def test_photos_in_the_users_home_and_an_empty_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path, "me.png")
    (tmp_path / "list.txt").write_text("~/me.png\n")
    for source in ("~", "~/me.png", "~/list.txt"):
        assert list_images(source) == [tmp_path / "me.png"]
    with pytest.raises(InputError, match="expected the path of a file or a folder, got ''"):
        list_images("")


def test_lists_may_begin_with_a_byte_order_mark_but_must_be_utf8(tmp_path):
    make(tmp_path, "é.png")
    (tmp_path / "list.txt").write_text("é.png\n", encoding="utf-8-sig")
    assert list_images(tmp_path / "list.txt") == [tmp_path / "é.png"]
    (tmp_path / "list.txt").write_text("é.png\n", encoding="latin-1")
    with pytest.raises(InputError, match=r"list\.txt: expected a list of paths in UTF-8"):
        list_images(tmp_path / "list.txt")


# --- every form they have


def test_paths_pictures_arrays_and_tensors_say_the_same(unet, tmp_path):
    tensor = photo_of(40, 60)
    pixels = image_to_uint8(tensor)
    Image.fromarray(pixels).save(tmp_path / "me.png")
    expected = predict(unet, tensor, crop="none").values
    for photo in (
        tmp_path / "me.png", str(tmp_path / "me.png"), Image.fromarray(pixels), pixels, pixels / 255.0,
        pixels / np.float32(255), pixels.astype(np.uint16) * 257,
        np.dstack([pixels, np.full_like(pixels[..., 0], 255)]),
    ):
        assert_close(predict(unet, photo, crop="none").values, expected, atol=1e-5, rtol=0)


def test_grey_arrays_are_grey_pictures(unet):
    grey = image_to_uint8(photo_of(40, 60))[..., 0]
    expected = predict(unet, np.repeat(grey[..., None], 3, axis=2), crop="none").values
    for photo in (grey, grey / 255.0, grey.astype(np.uint16) * 257):
        assert_close(predict(unet, photo, crop="none").values, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "1", "I;16"])
def test_files_of_every_mode(unet, tmp_path, mode):
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    picture = Image.fromarray(image_to_uint8(photo_of(40, 60)))
    if mode == "I;16":
        picture = Image.fromarray(np.linspace(0, 65535, 40 * 60).astype(np.uint16).reshape(40, 60))
    else:
        picture = picture.convert(mode)
    picture.save(path)
    found = predict(unet, path, crop="none")
    assert found.image.shape == (3, 40, 60)
    assert found.values.shape == found.mask.shape == (1, 40, 60)
    assert found.values.isfinite().all()
    assert found.values.std() > 0


def test_a_tensor_of_bytes_is_a_photo_as_an_array_of_them_is(unet):
    pixels = image_to_uint8(photo_of(40, 50))
    expected = predict(unet, pixels, crop="none")
    found = predict(unet, torch.from_numpy(pixels).permute(2, 0, 1), crop="none")
    assert_close(found.values, expected.values)
    found.values.requires_grad_().sum().backward()  # plain tensors, not those of inference mode


def test_a_photo_taken_upright_is_answered_upright(tmp_path):
    pixels = image_to_uint8(photo_of(60, 40))
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # stored lying on its left side
    Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / "turned.png", exif=exif)
    found = predict(RedIsNear(), tmp_path / "turned.png", crop="none")
    assert_close(found.values[:, 4:-4, 4:-4], photo_of(60, 40)[:1, 4:-4, 4:-4], atol=2e-3, rtol=0)


def test_photos_that_are_none_are_refused_by_name(unet, tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(InputError, match=r"dot.png: expected at least 16 x 16 pixels, got 1 x 1"):
        predict(unet, tmp_path / "dot.png", crop="none")
    with pytest.raises(InputError, match=r"photo: expected at least 16 x 16 pixels, got 300 x 15"):
        predict(unet, rand(3, 15, 300), crop="none")
    with pytest.raises(InputError, match=r"missing.png: no such file"):
        predict(unet, tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match=r"text.png: not a picture"):
        predict(unet, [rand(3, 20, 20), tmp_path / "text.png"], crop="none")
    with pytest.raises(InputError, match=r"^photo002: expected at least 16 x 16 pixels, got 9 x 9"):
        predict(unet, [rand(3, 20, 20), rand(3, 20, 20), rand(3, 9, 9)], crop="none", batch_size=2)
    with pytest.raises(InputError, match=r"^photo001: no face found"):
        predict(unet, [Path(__file__).parents[1] / "assets/astronaut.png", torch.zeros(3, 60, 60)])


def test_photos_of_a_list_are_named_whatever_is_wrong(unet):
    good, bad = Image.new("RGB", (40, 40)), Image.fromarray(np.full((40, 40), 7, np.float32))
    with pytest.raises(InputError, match=r"^photo001: expected grey values from 0 to 1"):
        predict(unet, [good, bad], crop="none")
    with pytest.raises(InputError, match=r"^photo001: crop: expected 'face', 'none' or .* to 160, got"):
        predict(unet, [Image.new("RGB", (90, 90)), good], crop=(0, 0, 300))


def test_photos_of_a_list_are_named_in_warnings(unet):
    whole = Image.open(Path(__file__).parents[1] / "assets/astronaut.png")
    with pytest.warns(UserWarning, match=r"^photo001: the face is cut off by the photo's edge") as caught:
        predict(unet, [whole, whole.crop((225, 0, 512, 512))])
    assert len(caught) == 1


def test_a_picture_that_is_damaged_inside_is_refused_in_words(unet, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:3000])
    with pytest.raises(InputError, match=r"photo: a damaged picture \(.*truncated"):
        predict(unet, Image.open(tmp_path / "cut.jpg"), crop="none")


@pytest.mark.parametrize(
    ("photo", "came"),
    [
        (np.full((40, 40, 3), 255.0), r"float64 from 255 to 255"),
        (np.full((40, 40, 3), 200), r"int64 from 200 to 200"),
        (np.full((40, 40), -0.5, np.float32), r"float32 from -0.5 to -0.5"),
        (torch.full((3, 40, 40), 200), r"torch.int64 from 200 to 200"),
        (torch.full((3, 40, 40), torch.nan), r"torch.float32 from nan to nan"),
    ],
)
def test_numbers_of_another_range_are_refused_not_guessed(unet, photo, came):
    with pytest.raises(InputError, match=rf"photo: expected uint8, uint16 or float from 0 to 1, got {came}"):
        predict(unet, photo, crop="none")


@pytest.mark.parametrize("photo", [None, b"photo", 3, (value for value in ())])
def test_what_is_no_photo_at_all_is_refused(unet, photo):
    with pytest.raises(InputError, match="photo: expected a path, a PIL picture, an array or a tensor, got"):
        predict(unet, photo, crop="none")


@pytest.mark.parametrize(
    "photo",
    [np.zeros((3, 40, 50), np.uint8), np.zeros((40, 50, 1), np.uint8), np.zeros((2, 40, 50, 3)), rand(40, 50, 3)],
)
def test_arrays_of_another_shape_are_refused(unet, photo):
    with pytest.raises(InputError, match="photo: expected shape"):
        predict(unet, photo, crop="none")


# --- their focal length


def test_the_field_of_view_is_that_of_the_crop(unet):
    default = predict(unet, rand(3, 60, 90), crop=(10, 10, 40)).camera
    assert_close(default.K[0, 0].item(), 20 / math.tan(math.radians(DEFAULT_FOV_DEG / 2)))
    small = predict(unet, rand(3, 60, 90), crop=(10, 10, 20)).camera
    assert_close(small.K[0, 0].item(), LEAST_FOCAL * 90)
    assert_close(default.K[:2, 2], torch.tensor([45.0, 30.0]))  # the photo's middle, wherever the crop is
    told = predict(unet, rand(3, 60, 90), crop=(10, 10, 40), horizontal_fov_deg=60).camera
    assert_close(told.K[0, 0].item(), 20 / math.tan(math.radians(30)))
    for wrong in (0, 180, -5):
        with pytest.raises(InputError, match="horizontal_fov_deg: expected above 0 and below 180"):
            predict(unet, rand(3, 60, 90), crop="none", horizontal_fov_deg=wrong)


def test_the_focal_length_comes_from_the_photos_exif_unless_told(unet, tmp_path):
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 54
    Image.fromarray(image_to_uint8(photo_of(60, 90))).save(tmp_path / "photo.jpg", exif=exif)
    assert_close(predict(unet, tmp_path / "photo.jpg", crop=(10, 10, 40)).camera.K[0, 0].item(), 54 / 36 * 90)
    told = predict(unet, tmp_path / "photo.jpg", crop=(10, 10, 40), horizontal_fov_deg=60).camera
    assert_close(told.K[0, 0].item(), 20 / math.tan(math.radians(30)))


def test_exif_by_which_a_face_would_be_nearer_than_people_are_photographed_is_left_aside(unet, tmp_path, recwarn):
    focal_35mm, path = 27.1, tmp_path / "photo.jpg"
    focal = focal_35mm / 36 * 90
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = focal_35mm
    Image.fromarray(image_to_uint8(photo_of(60, 90))).save(path, exif=exif)
    nearest = math.floor(CROP_WIDTH_M * focal / NEAREST_M)  # of pixels for a face, at that distance
    assert focal_px(path, Crop(0, 0, nearest), None, 90, framed=True) == pytest.approx(focal)
    assert focal_px(path, Crop(0, 0, 90), None, 90, framed=False) == pytest.approx(focal)  # no face need fill it
    assert predict(unet, path, crop="none").camera.K[0, 0].item() == pytest.approx(focal)
    assert not recwarn
    with pytest.warns(UserWarning, match=r"^photo: its EXIF would put the face nearer than 0\.25 m"):
        left_aside = focal_px(path, Crop(0, 0, nearest + 1), None, 90, framed=True)
    assert left_aside == pytest.approx((nearest + 1) / 2 / math.tan(math.radians(DEFAULT_FOV_DEG) / 2))


def test_depth_of_the_photos_beside_it_is_no_photo(tmp_path):
    """A call cut short leaves it without its .json, which is written last; or it is the user's own."""
    make(tmp_path, "ann lee.jpg", "ann lee_depth.png", "ann_lee_texture.png", "a_depth.png", "bob.png")
    make(tmp_path, "wall_texture.png")
    (tmp_path / "ann_lee.mtl").touch()
    with pytest.warns(UserWarning, match=r"left out, as depth of the photos beside them: ann lee_depth\.png$"):
        found = list_images(tmp_path)
    assert [path.name for path in found] == ["a_depth.png", "ann lee.jpg", "bob.png", "wall_texture.png"]

"""Which photos a path names: a picture, a folder's, a list's."""

from pathlib import Path

import pytest
from PIL import Image

from facedepth.checks import InputError
from facedepth.photos import list_images


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


def test_photos_in_the_users_home_and_none_at_all(monkeypatch, tmp_path):
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

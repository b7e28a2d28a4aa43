"""Paths: the user's home, and writes of which whoever reads sees all or nothing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import RGB
from torch.testing import assert_close

from facedepth.checks import InputError
from facedepth.io import focal_from_exif, read_depth, read_image, write_depth, write_image
from facedepth.paths import atomic_path, check_writable, refuse_existing, user_path

# --- what a path means


def test_a_tilde_is_the_users_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    assert user_path("~/me.jpg") == user_path(Path("~/me.jpg")) == Path("/home/anna/me.jpg")
    assert user_path("here/~/me~.jpg") == Path("here/~/me~.jpg")


@pytest.mark.parametrize("path", ["", "  ", None, 3, b"me.jpg"])
def test_an_empty_path_is_not_the_current_folder(path):
    with pytest.raises(InputError, match="expected the path of a file or a folder, got "):
        user_path(path)


def test_files_in_the_users_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_image("~/new/grey.png", np.full((20, 20, 3), 51, np.uint8))
    assert_close(read_image("~/new/grey.png"), torch.full((3, 20, 20), 0.2))
    assert focal_from_exif("~/new/grey.png") is None
    check_writable("~/new/newer")
    with pytest.raises(InputError, match=r"grey\.png: already there"):
        refuse_existing([Path("~/new/grey.png")], overwrite=False)
    assert not Path("~").exists()


# --- what is in the way


def test_existing_files_are_refused_by_name_unless_told(tmp_path):
    paths = [tmp_path / f"{index}.txt" for index in range(5)]
    refuse_existing(paths, overwrite=False)
    for path in paths[1:]:
        path.touch()
    with pytest.raises(InputError, match=r"1\.txt, .*2\.txt, .*3\.txt and 1 more: already there; choose another place"):
        refuse_existing(paths, overwrite=False)
    refuse_existing(paths, overwrite=True)
    with pytest.raises(InputError, match=r"a folder, where a file is to be written; choose another place"):
        refuse_existing([tmp_path], overwrite=True)


# --- writes, all or nothing


def write_half(target: Path) -> None:
    before = target.read_text() if target.exists() else None
    with atomic_path(target) as temporary:
        temporary.write_text("half of the new")
        assert (target.read_text() if target.exists() else None) == before
        _ = 1 / 0


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failing_first_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="unknown file extension"):
        write_image(tmp_path / "a.unknown", RGB)
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "b.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_good_write_replaces_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "a.txt"
    for text in ("first", "second"):
        with atomic_path(target) as temporary:
            assert temporary.parent == target.parent  # the same file system, so that the replacement is atomic
            assert temporary.suffix == ".txt"  # libraries choose the format by it
            temporary.write_text(text)
        assert target.read_text() == text
        assert list(target.parent.iterdir()) == [target]


def test_a_name_as_long_as_file_systems_take_is_written(tmp_path):
    target = tmp_path / f"{80 * '人'}abcdefgh.txt"
    assert len(target.name.encode()) == 252
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_who_reads_while_it_is_replaced_reads_the_old_file_to_its_end(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("the old one")
    with open(target) as reader:
        with atomic_path(target) as temporary:
            temporary.write_text("new")
        assert reader.read() == "the old one"
    assert target.read_text() == "new"


def test_threads_that_write_the_same_file_leave_a_whole_one(tmp_path):
    depth = torch.ones(1, 64, 64)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: write_depth(tmp_path / "depth.npy", depth, depth > 0), range(64)))
    assert [path.name for path in tmp_path.iterdir()] == ["depth.npy"]
    assert_close(read_depth(tmp_path / "depth.npy"), depth)

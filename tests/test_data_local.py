"""A data set comes to the local disk whole and once."""

import errno
import os
import shutil
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from facedepth.checks import InputError
from facedepth.data import EG3DFaces, copy_to_local_disk


def test_a_folder_is_copied_and_a_cut_copy_goes_on(sample_root, tmp_path):
    target = copy_to_local_disk(sample_root, tmp_path / "local")
    assert target.relative_to(tmp_path / "local").match(f"{sample_root.name}-????????")
    assert len(EG3DFaces(target)) == 4
    short, gone = target / "images" / "seed0001.png", target / "cam_poses" / "seed0002.npy"
    kept = target / "images" / "seed0000.png"
    short.write_bytes(short.read_bytes()[:100])
    os.utime(short, (1e9, 1e9))
    gone.unlink()
    before = kept.stat().st_mtime_ns
    assert copy_to_local_disk(sample_root, tmp_path / "local") == target
    for path in (short, gone):
        assert path.read_bytes() == (sample_root / path.relative_to(target)).read_bytes()
    assert kept.stat().st_mtime_ns == before
    assert not list(target.rglob("*.part"))


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("nested", [True, False])
def test_an_archive_is_unpacked_once(sample_root, tmp_path, kind, nested):
    source = tmp_path / "source" / "eg3d"
    shutil.copytree(sample_root, source)
    archive = shutil.make_archive(tmp_path / "faces", kind, source.parent if nested else source)
    target = copy_to_local_disk(archive, tmp_path / "local")
    assert target.relative_to(tmp_path / "local").match("faces-????????/eg3d" if nested else "faces-????????")
    assert len(EG3DFaces(target)) == 4
    mark = target / "images" / "seed0000.png"
    mark.write_bytes(b"mine")
    assert copy_to_local_disk(archive, tmp_path / "local") == target
    assert mark.read_bytes() == b"mine"


def test_an_archive_of_capital_letters_is_one(tmp_path):
    archive = archive_of(tmp_path / "faces", text="anna").rename(tmp_path / "FACES.ZIP")
    assert (copy_to_local_disk(archive, tmp_path / "local") / "text").read_text() == "anna"


def test_a_folder_is_not_copied_into_itself(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(InputError, match=r"lies in .*, which would be copied into itself"):
        copy_to_local_disk(tmp_path, tmp_path / "local")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_written_anew_is_copied_anew(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for depth in ("1.0", "2.0"):
        (source / "depth.txt").write_text(depth)
        os.utime(source / "depth.txt", (time.time() + float(depth),) * 2)
        assert (copy_to_local_disk(source, tmp_path / "local") / "depth.txt").read_text() == depth


def test_what_was_written_at_the_target_since_is_kept_and_told(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("mask.txt", "other.txt"):
        (source / name).write_text("as it was")
        os.utime(source / name, (1e9, 1e9))
    local = copy_to_local_disk(source, tmp_path / "local")
    (local / "mask.txt").write_text("mended here")
    (local / "other.txt").unlink()
    with pytest.warns(UserWarning, match=r"local.*: what is newer there .* stays as it is \(mask\.txt\); delete"):
        copy_to_local_disk(source, tmp_path / "local")
    assert (local / "mask.txt").read_text() == "mended here"
    assert (local / "other.txt").read_text() == "as it was"


def test_two_that_unpack_one_archive_at_once_get_all_of_it(tmp_path, monkeypatch):
    archive = archive_of(tmp_path / "faces", **{f"file{number}": "x" for number in range(20)})
    unpack, begun = shutil.unpack_archive, []

    def slow(*args, **settings):
        begun.append(1)
        Path(args[1], "faces").mkdir(parents=True, exist_ok=True)
        time.sleep(0.3)  # long enough for the other to find an unfinished folder
        unpack(*args, **settings)

    monkeypatch.setattr(shutil, "unpack_archive", slow)
    with ThreadPoolExecutor(2) as pool:
        copies = list(pool.map(lambda _: copy_to_local_disk(archive, tmp_path / "local"), range(2)))
    assert copies[0] == copies[1]
    assert len(list(copies[0].iterdir())) == 20
    assert len(begun) == 1


def test_a_target_that_is_a_file_is_named(tmp_path):
    (tmp_path / "local").write_text("mine")
    for source in (tmp_path / "elsewhere", archive_of(tmp_path / "faces", text="1")):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / "elsewhere" / "text").write_text("1")
        with pytest.raises(InputError, match="local: cannot be a folder to copy to"):
            copy_to_local_disk(source, tmp_path / "local")


def test_folders_of_one_name_keep_apart(tmp_path):
    for place in ("january", "february"):
        (tmp_path / place / "eg3d").mkdir(parents=True)
        (tmp_path / place / "eg3d/depth.txt").write_text(place[:3])
        os.utime(tmp_path / place / "eg3d/depth.txt", (1e9, 1e9))
    copies = [copy_to_local_disk(tmp_path / place / "eg3d", tmp_path / "local") for place in ("january", "february")]
    assert [(copy / "depth.txt").read_text() for copy in copies] == ["jan", "feb"]


def archive_of(folder: Path, **files: str) -> Path:
    """``<folder>.zip`` that holds nothing but the folder, with these texts in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return Path(shutil.make_archive(folder, "zip", folder.parent, folder.name))


def test_archives_keep_apart_whatever_their_names(tmp_path):
    archives = [archive_of(tmp_path / name / "faces", text=name) for name in ("anna", "lena")]
    for archive in archives:  # nothing tells them apart but where they lie
        os.utime(archive, (1e9, 1e9))
    archives.append(archive_of(tmp_path / "other", text="other"))
    for archive in (*archives, *archives):
        unpacked = copy_to_local_disk(archive, tmp_path / "local")
        assert unpacked.name == archive.stem
        assert (unpacked / "text").read_text() == (archive.parent.name if archive.stem == "faces" else "other")


def test_an_archive_that_was_made_anew_is_unpacked_anew(tmp_path):
    first = copy_to_local_disk(archive_of(tmp_path / "faces", good="1", bad="?"), tmp_path / "local")
    second = copy_to_local_disk(archive_of(tmp_path / "faces", good="2"), tmp_path / "local")
    assert [path.name for path in second.iterdir()] == ["good"]
    assert (second / "good").read_text() == "2"
    assert (first / "good").read_text() == "1"  # a folder in use is left alone


def test_what_the_source_has_no_more_is_told(tmp_path, recwarn):
    for name in ("a.txt", "b.txt"):
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / name).write_text(name)
    local = copy_to_local_disk(tmp_path / "source", tmp_path / "local")
    assert not recwarn
    (tmp_path / "source/a.txt").unlink()
    with pytest.warns(UserWarning, match=r"local.*: holds what .*source does not \(.*a\.txt\); .* delete it here too"):
        copy_to_local_disk(tmp_path / "source", tmp_path / "local")
    assert (local / "a.txt").exists()


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    archive = archive_of(tmp_path / "faces", text="1")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "unpack_archive", full)
    with pytest.raises(InputError, match=r"faces\.zip: there is no room .*the disk is full"):
        copy_to_local_disk(archive, tmp_path / "local")


def test_a_folder_for_which_there_is_no_room_goes_on_when_there_is(tmp_path, monkeypatch):
    for name in ("a.txt", "b.txt"):
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / name).write_text(name)

    def half(source, target):
        Path(target).write_text(source.read_text() if source.name == "a.txt" else "b")
        if source.name == "b.txt":
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", half)
        with pytest.raises(InputError, match=r"local.*: cannot copy .*source there \(No space left on device\)"):
            copy_to_local_disk(tmp_path / "source", tmp_path / "local")
    assert [path.name for path in (tmp_path / "local").rglob("*.txt*")] == ["a.txt"]
    local = copy_to_local_disk(tmp_path / "source", tmp_path / "local")
    assert (local / "b.txt").read_text() == "b.txt"


def test_folders_behind_links_are_copied_and_links_that_lead_back_are_not(tmp_path):
    for folder in ("elsewhere", "source"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "text").write_text(folder)
    (tmp_path / "source/images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "source/depth").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "source/self").symlink_to(tmp_path / "source")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "source")
    local = copy_to_local_disk(tmp_path / "source", tmp_path / "local")
    copied = {str(path.relative_to(local)): path.read_text() for path in local.rglob("*") if path.is_file()}
    assert copied == {"text": "source", "images/text": "elsewhere", "depth/text": "elsewhere"}


def test_a_folder_that_cannot_be_listed_is_not_left_out(tmp_path, monkeypatch):
    (tmp_path / "source/images").mkdir(parents=True)
    listed = os.scandir

    def failing(path):
        if Path(path).name == "images":
            raise OSError(errno.EIO, "Input/output error")
        return listed(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(InputError, match=r"cannot copy .*source there \(Input/output error\)"):
        copy_to_local_disk(tmp_path / "source", tmp_path / "local")


def test_an_empty_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w"):
        pass
    for _ in range(2):
        with pytest.raises(InputError, match=r"faces\.zip: cannot be unpacked \(nothing is in it\)"):
            copy_to_local_disk(tmp_path / "faces.zip", tmp_path / "local")


def test_backslashes_in_an_archive_of_windows_are_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        for name in ("set\\", "set\\images\\a.png", "set\\depth\\a.npy"):
            file.writestr(name.replace("\\", "/"), name)
    # as such programs write them; Python's own writer does not
    content = (tmp_path / "faces.zip").read_bytes().replace(b"set/images/a", b"set\\images\\a")
    content = content.replace(b"set/depth/a", b"set\\depth\\a").replace(b"set/", b"set\\")
    (tmp_path / "faces.zip").write_bytes(content)
    local = copy_to_local_disk(tmp_path / "faces.zip", tmp_path / "local")
    assert local.name == "set"
    assert sorted(str(path.relative_to(local)) for path in local.rglob("*.*")) == ["depth/a.npy", "images/a.png"]
    with tarfile.open(tmp_path / "evil.tar", "w") as file:
        file.add(tmp_path / "faces.zip", "..\\mine.txt")
    with pytest.raises(InputError, match=r"evil\.tar: cannot be unpacked \(it holds \.\..*outside"):
        copy_to_local_disk(tmp_path / "evil.tar", tmp_path / "local")


def test_names_with_backslashes_that_cannot_be_folders_stay(tmp_path):
    (tmp_path / "x").write_text("x")
    with tarfile.open(tmp_path / "odd.tar", "w") as file:
        folder = tarfile.TarInfo("d\\")
        folder.type = tarfile.DIRTYPE
        file.addfile(folder)
        for name in ("a", "a\\b", "deep/s\\c"):
            file.add(tmp_path / "x", name)
    local = copy_to_local_disk(tmp_path / "odd.tar", tmp_path / "local")
    files = sorted(path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file())
    assert files == ["a", "a\\b", "deep/s/c"]


def test_an_archive_cannot_write_beside_the_target(tmp_path):
    mine, archive = tmp_path / "mine.txt", tmp_path / "faces.tar"
    mine.write_text("precious")
    (tmp_path / "other.txt").write_text("evil")
    with tarfile.open(archive, "w") as file:
        file.add(tmp_path / "other.txt", "../mine.txt")
    with pytest.raises(InputError, match=r"faces\.tar: cannot be unpacked .*outside the destination"):
        copy_to_local_disk(archive, tmp_path / "local")
    assert mine.read_text() == "precious"


def test_what_cannot_be_copied_is_named(tmp_path):
    for nothing in ("", " "):
        with pytest.raises(InputError, match="source: expected the path of a file or a folder, got '"):
            copy_to_local_disk(nothing, tmp_path / "local")
    with pytest.raises(InputError, match=r"nowhere: no such folder or archive; is the Drive mounted\?"):
        copy_to_local_disk(tmp_path / "nowhere", tmp_path / "local")
    for name, content in (("faces.zip", b"PK no archive"), ("faces.rar", b"rar")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: cannot be unpacked .* expected \.zip, \.tar"):
            copy_to_local_disk(tmp_path / name, tmp_path / "local")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_a_damaged_archive_is_named_with_what_to_do(sample_root, tmp_path, kind):
    archive = Path(shutil.make_archive(tmp_path / "faces", kind, sample_root))
    content = bytearray(archive.read_bytes())
    if kind != "zip":
        content = content[: len(content) // 2]
    else:
        middle = len(content) // 2
        content[middle : middle + 500] = bytes(500)
    archive.write_bytes(content)
    with pytest.raises(InputError, match=rf"{archive.name}: cannot be unpacked .*Copy it again"):
        copy_to_local_disk(archive, tmp_path / "local")


def test_an_encrypted_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        file.writestr("a.txt", "secret")
    content = (tmp_path / "faces.zip").read_bytes()
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the bit that says encrypted, in both headers
        place = content.index(start) + flags
        content = content[:place] + b"\x01" + content[place + 1 :]
    (tmp_path / "faces.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"faces\.zip: cannot be unpacked .*password"):
        copy_to_local_disk(tmp_path / "faces.zip", tmp_path / "local")


def test_what_is_there_already_needs_no_lock(tmp_path, monkeypatch):
    """As on a disk that others may only read."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "text").write_text("1")
    sources = (archive_of(tmp_path / "faces", text="1"), tmp_path / "folder")
    copies = [copy_to_local_disk(source, tmp_path / "local") for source in sources]
    monkeypatch.setattr("facedepth.paths.FileLock.acquire", lambda *_, **__: pytest.fail("locked"))
    assert [copy_to_local_disk(source, tmp_path / "local") for source in sources] == copies


def test_without_locks_a_copy_is_made_all_the_same(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr("facedepth.paths.FileLock.acquire", refused)
    with pytest.warns(UserWarning, match=r"\.lock: cannot be locked .*no locks here"):
        copied = copy_to_local_disk(archive_of(tmp_path / "faces", text="1"), tmp_path / "local")
    assert (copied / "text").read_text() == "1"

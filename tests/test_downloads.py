"""Fetching weights: resumed, checked, once for all, and a clear word when there is no network."""

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from parity import rule

from facedepth.checks import InputError
from facedepth.models import MODELS, create_model, downloads, load_model, save_model
from facedepth.models.downloads import fetch, remember

CONTENT = bytes(range(256)) * 12_000  # 3 MB
HALF = len(CONTENT) // 2
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """A server of one file, under any name, that misbehaves as told; it counts what it serves."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.ranges, self.kind = CONTENT, '"first"', True, "application/octet-stream"
        self.cuts: list[int] = []  # after so many bytes of an answer the connection ends, one number an answer
        self.starts: list[int] = []
        self.served = 0
        self.heeds_if_range = True
        self.most = len(CONTENT)  # bytes of an answer that begins in the middle
        self.busy = 0  # so many answers are that the server is busy
        self.said: dict[str, str] = {}  # headers in the place of the true ones

    def url(self, name: str = "weights.pt") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server, start = self.server, 0
        if server.busy:
            server.busy -= 1
            return self.send_error(503)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and server.ranges and (
            self.headers.get("If-Range", server.tag) == server.tag or not server.heeds_if_range
        ):
            start = int(wanted[1])
        if start and start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            return self.end_headers()
        body = server.content[start:][: server.most if start else None]
        headers = {"Content-Length": str(len(body)), "Content-Type": server.kind, "ETag": server.tag}
        if start:
            headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(server.content)}"
        self.send_response(206 if start else 200)
        for name, value in (headers | server.said).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        server.starts.append(start)
        body = body[: server.cuts.pop(0)] if server.cuts else body
        server.served += len(body)  # first: who has all of it may ask before this thread goes on
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "_PAUSE_SECONDS", 0.01)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FACEDEPTH_CACHE", str(folder))
    return folder


def test_fetched_once_with_progress_and_recorded(server, cache, capfd):
    path = fetch(server.url())
    assert path == cache / "weights.pt"
    assert path.read_bytes() == CONTENT
    shown = capfd.readouterr().err
    assert "weights.pt: 100%" in shown
    assert "2.93M/2.93M" in shown
    remember(path)
    assert (cache / "weights.pt.sha256").read_text() == f"{DIGEST}  weights.pt\n"
    assert fetch(server.url()) == path
    assert server.served == len(CONTENT)
    left = {file.name for file in cache.iterdir()} - {"weights.pt.lock"}  # which not every filelock leaves
    assert left == {"weights.pt", "weights.pt.sha256"}


def test_cut_in_the_middle_it_goes_on(server):
    server.cuts = [HALF, HALF // 2]
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.starts == [0, HALF, HALF + HALF // 2]
    assert server.served == len(CONTENT)


@pytest.mark.parametrize("tag", ['"first"', None, 'W/"weak"'])
def test_the_next_call_goes_on_where_a_killed_one_stopped(server, cache, monkeypatch, tag):
    server.tag, server.cuts = tag, [HALF]
    monkeypatch.setattr(downloads, "_ATTEMPTS", 1)
    with pytest.raises(InputError, match=rf"\(the connection ended after {HALF} of {len(CONTENT)} bytes\)"):
        fetch(server.url())
    assert (cache / "weights.pt.part").stat().st_size == HALF
    assert not (cache / "weights.pt").exists()
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.served == len(CONTENT)


def test_no_rest_of_a_file_that_has_changed_meanwhile(server, monkeypatch):
    server.cuts = [HALF]
    monkeypatch.setattr(downloads, "_ATTEMPTS", 1)
    with pytest.raises(InputError):
        fetch(server.url())
    server.content, server.tag = CONTENT[::-1], '"second"'
    assert fetch(server.url()).read_bytes() == CONTENT[::-1]
    assert server.starts == [0, 0]


@pytest.mark.parametrize("wrong", ["another file's", "from the start", "unsaid"])
def test_a_rest_that_does_not_fit_is_not_put_behind_what_was_there(server, monkeypatch, wrong):
    server.cuts = [HALF]
    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_ATTEMPTS", 1)
        with pytest.raises(InputError):
            fetch(server.url())
    if wrong == "another file's":
        server.content, server.tag, server.heeds_if_range = CONTENT[::-1], '"second"', False
    else:
        told = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
        server.said = {"Content-Range": told if wrong == "from the start" else ""}
    assert fetch(server.url()).read_bytes() == server.content
    assert server.starts == [0, HALF, 0]


def test_of_a_server_that_sends_less_than_was_asked_for_the_next_rest_is_fetched(server):
    server.cuts, server.most = [HALF], HALF // 2
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.starts == [0, HALF, HALF + HALF // 2]


@pytest.mark.parametrize("said", [{"Content-Length": "many"}, {"Content-Length": "-5"}, {"Content-Type": ""}])
def test_what_a_server_says_badly_or_not_at_all_is_unknown(server, said):
    server.said = said
    assert fetch(server.url()).read_bytes() == CONTENT


def test_a_server_that_cannot_resume_starts_again(server):
    server.ranges, server.cuts = False, [HALF]
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.starts == [0, 0]
    assert server.served == HALF + len(CONTENT)


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_that_is_as_long_as_the_file_or_longer(server, cache, length):
    cache.mkdir()
    (cache / "weights.pt.part").write_bytes(bytes(length))
    assert fetch(server.url()).read_bytes() == CONTENT


def test_what_was_whole_but_had_no_name_yet_is_not_fetched_again(server, cache, monkeypatch):
    def stopped(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_check_known", stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url())
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.served == len(CONTENT)
    assert not list(cache.glob("*.tag"))


def test_an_empty_answer_is_no_file(server, cache):
    server.content = b""
    with pytest.raises(InputError, match=r"cannot be fetched \(nothing came\)"):
        fetch(server.url())
    assert not (cache / "weights.pt").exists()


def test_only_what_could_be_read_is_remembered(server, cache, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "midas_small", MODELS["midas_small"]._replace(url=server.url()))
    advice = rf"Is it whole\? Delete it, and it is fetched again from {server.url()}"
    with pytest.raises(InputError, match=advice):
        load_model("midas_small")
    assert not (cache / "weights.pt.sha256").exists()
    (cache / "weights.pt").unlink()
    torch.save(rule.weights("midas_small"), tmp_path / "good.pt")
    server.content = (tmp_path / "good.pt").read_bytes()
    assert load_model("midas_small").name == "midas_small"
    assert (cache / "weights.pt.sha256").read_text().startswith(hashlib.sha256(server.content).hexdigest())


def test_a_folder_to_read_alone_is_enough_for_what_is_there(server, monkeypatch):
    path = fetch(server.url())

    def refused(*_) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(downloads, "atomic_path", refused)
    remember(path)
    assert fetch(server.url()) == path


def test_it_gives_up_when_nothing_more_comes(server):
    server.cuts = [HALF, 0]
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch(server.url())
    assert server.starts == [0, HALF]
    assert fetch(server.url()).read_bytes() == CONTENT  # another day


def test_hash_in_the_name(server, cache):
    assert fetch(server.url(f"net-{DIGEST[:8]}.pt")).read_bytes() == CONTENT
    with pytest.raises(InputError, match=r"net-deadbeef.pt: damaged: its SHA-256 should start with deadbeef") as caught:
        fetch(server.url("net-deadbeef.pt"))
    assert DIGEST in str(caught.value)
    assert not list(cache.glob("net-deadbeef.pt*[!k]"))  # nothing that the next call would take or go on from


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:9] + b"x" + content[10:]])
def test_a_changed_file_is_refused(server, damage):
    path = fetch(server.url())
    remember(path)
    path.write_bytes(damage(CONTENT))
    with pytest.raises(InputError, match=r"weights.pt: not the file that was fetched first: its SHA-256 is") as caught:
        fetch(server.url())
    assert DIGEST in str(caught.value)
    assert server.url() in str(caught.value)
    path.unlink()
    assert fetch(server.url()).read_bytes() == CONTENT


def test_a_publisher_who_changes_the_file_is_found_out(server):
    path = fetch(server.url())
    remember(path)
    path.unlink()
    server.content = CONTENT + b"!"
    with pytest.raises(InputError, match="if the publisher has changed it, delete both"):
        fetch(server.url())
    assert not path.exists()
    path.with_name("weights.pt.sha256").unlink()
    assert fetch(server.url()).read_bytes() == CONTENT + b"!"


def test_a_file_put_there_by_hand_is_taken(server, cache):
    cache.mkdir()
    (cache / "weights.pt").write_bytes(b"mine")
    assert fetch(server.url()).read_bytes() == b"mine"
    assert server.served == 0


def test_a_page_instead_of_the_file(server, cache):
    server.kind, server.content = "text/html; charset=utf-8", b"<html>please log in</html>"
    with pytest.raises(InputError, match=r"a page of text came \(text/html\)"):
        fetch(server.url())
    assert not list(cache.glob("*.pt")) + list(cache.glob("*.part"))


def test_a_busy_server_is_asked_again_but_not_for_ever(server):
    server.busy = 4
    assert fetch(server.url()).read_bytes() == CONTENT
    server.busy = 5
    with pytest.raises(InputError, match=r"cannot be fetched \(HTTP Error 503: Service Unavailable\)"):
        fetch(server.url("other.pt"))


def test_no_such_file_on_the_server(server, monkeypatch):
    monkeypatch.setattr(Handler, "do_GET", lambda handler: handler.send_error(404))
    with pytest.raises(InputError, match=r"weights.pt cannot be fetched \(HTTP Error 404: Not Found\)"):
        fetch(server.url())


def test_several_processes_fetch_it_once(server, cache):
    script = f"from facedepth.models.downloads import fetch; print(fetch({server.url()!r}))"
    running = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {process.communicate(timeout=100)[0].strip() for process in running} == {str(cache / "weights.pt")}
    assert (cache / "weights.pt").read_bytes() == CONTENT
    assert server.served == len(CONTENT)


def test_several_threads_fetch_it_once(server, cache, capfd):
    threads = [threading.Thread(target=fetch, args=(server.url(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (cache / "weights.pt").read_bytes() == CONTENT
    assert server.served == len(CONTENT)
    assert "weights.pt: another process is downloading it; waiting" in capfd.readouterr().err


def test_a_model_by_name(server, tmp_path, monkeypatch, cache):
    torch.save(rule.weights("midas_small"), tmp_path / "published.pt")
    server.content = (tmp_path / "published.pt").read_bytes()
    entry = MODELS["midas_small"]._replace(url=server.url("midas_v21_small_256.pt"))
    monkeypatch.setitem(MODELS, "midas_small", entry)
    model = load_model("midas_small", device="cpu")
    assert (model.name, model.kind, model.non_negative) == ("midas_small", "affine_inverse", True)
    assert model.info == {"licence": "MIT", "weights": entry.url}
    told = load_model("midas_small", kind="affine_relief", device="cpu")
    assert (told.non_negative, told.info) == (False, {"licence": "MIT"})  # not the publisher's, but made from it
    assert server.served == len(server.content)
    assert load_model(cache / "midas_v21_small_256.pt", device="cpu").name == "midas_small"


def test_another_model_s_file_under_its_name_is_refused(server, monkeypatch, cache):
    """As one that was put there by hand."""
    monkeypatch.setitem(MODELS, "midas_small", MODELS["midas_small"]._replace(url=server.url("small.safetensors")))
    cache.mkdir()
    save_model(create_model("attention_unet", channels=2, depth=2), cache / "small.safetensors")
    with pytest.raises(InputError, match=r"small\.safetensors: holds attention_unet, not midas_small; delete it"):
        load_model("midas_small")
    assert not list(cache.glob("*.sha256"))


def test_a_sum_written_by_hand_counts_whatever_surrounds_it(server, cache):
    path = fetch(server.url())
    remember(path)
    record = next(cache.glob("*.sha256"))
    record.write_text(f"{DIGEST.upper()}\n")
    assert fetch(server.url()) == path

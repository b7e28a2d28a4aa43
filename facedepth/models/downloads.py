"""Published weights: fetched once, whole or not at all, and checked by their SHA-256 from then on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import ssl
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from tqdm import tqdm

from ..checks import InputError
from ..paths import atomic_path, check_writable, locked

_ATTEMPTS = 5
_PAUSE_SECONDS = 1.0
_TIMEOUT_SECONDS = 30.0
_CHUNK = 1 << 20
_BUSY = (429, 500, 502, 503, 504)  # what HTTP servers answer that may have the file a little later
_NETWORK_ERRORS = (URLError, ConnectionError, TimeoutError, HTTPException, ssl.SSLError)


class _Cut(ConnectionError):
    """The connection ended before the file did."""


def cache_folder() -> Path:
    """Where published weights are kept: ``FACEDEPTH_CACHE``, else the folder that torch.hub uses."""
    chosen = os.environ.get("FACEDEPTH_CACHE")
    return Path(chosen).expanduser() if chosen else Path(torch.hub.get_dir()) / "checkpoints"


def fetch(url: str) -> Path:
    """The file at that address, from ``cache_folder()`` if it is there, else fetched into it.

    An interrupted download resumes, in this call or the next. The file's SHA-256 must start as the address says, if it
    does ("...-2f21e586.pt"), and be the one that ``remember`` wrote beside the file, if it did. Several processes may
    call this at once: one fetches, the others wait.

    Raises:
        InputError: the address cannot be reached, the folder cannot be written to, or the file is not the one expected.
    """
    path = cache_folder() / url.rsplit("/", 1)[-1]
    if not path.is_file():
        check_writable(path.parent, "choose another folder by the environment variable FACEDEPTH_CACHE")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock")
    busy = f"{path.name}: another process is downloading it"
    with locked(lock, busy) if not path.is_file() else contextlib.nullcontext():
        if path.is_file():  # it was there, or arrived while we waited
            _check_known(path, _sha256(path), url)
            return path
        part = path.with_name(path.name + ".part")
        _receive_all(url, part, path)
        try:
            _check_known(path, _sha256(part), url)
        except InputError:
            part.unlink()  # nothing to resume from
            _tag_of(part).unlink(missing_ok=True)
            raise
        os.replace(part, path)
        _tag_of(part).unlink(missing_ok=True)
    return path


def remember(path: Path) -> None:
    """Write down the SHA-256 of a fetched file that could be read (``<name>.sha256``), the first time."""
    record = _record_of(path)
    if not record.is_file():
        with contextlib.suppress(OSError), atomic_path(record) as temporary:  # the folder may be read-only
            temporary.write_text(f"{_sha256(path)}  {path.name}\n")  # as `sha256sum --check` reads it


def _check_known(path: Path, found: str, url: str) -> None:
    """Compare a file's SHA-256 with what the address and the record say.

    Raises:
        InputError: it is another file.
    """
    published = re.search(r"-([0-9a-f]{8,64})\.\w+$", path.name)
    if published and not found.startswith(published[1]):
        raise InputError(
            f"{path}: damaged: its SHA-256 should start with {published[1]}, it is {found}; delete it, and it is "
            f"fetched again from {url}"
        )
    record = _record_of(path)
    recorded = (record.read_text(errors="replace").split() or [""])[0].lower() if record.is_file() else found
    if recorded != found:
        raise InputError(
            f"{path}: not the file that was fetched first: its SHA-256 is {found}, {record.name} says {recorded}; "
            f"delete it, and it is fetched again from {url}; if the publisher has changed it, delete both"
        )


def _receive_all(url: str, part: Path, path: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        before = _size(part)
        try:
            return _receive(url, part)
        except HTTPError as error:
            if error.code in _BUSY and attempt < _ATTEMPTS:
                time.sleep(_PAUSE_SECONDS)
                continue
            if error.code != 416:  # 416: nothing comes after what we have
                raise _unreachable(url, path, str(error)) from None
            if _tag_of(part).is_file() and error.headers.get("Content-Range") == f"bytes */{before}":
                return  # it was whole already, but the call ended before renaming it
            part.unlink(missing_ok=True)  # not a part of this file
        except _NETWORK_ERRORS as error:
            if attempt == _ATTEMPTS or _size(part) == before:
                raise _unreachable(url, path, str(getattr(error, "reason", error)) or type(error).__name__) from None
            time.sleep(_PAUSE_SECONDS)
    raise _unreachable(url, path, f"incomplete after {_ATTEMPTS} attempts")


def _receive(url: str, part: Path) -> None:
    """Fetch what is not in ``part`` yet, in one connection."""
    # The tag says which version of the file the part belongs to: the rest of another would not fit.
    tag = _tag_of(part)
    headers = {"User-Agent": "facedepth"}
    if _size(part):
        headers["Range"] = f"bytes={_size(part)}-"
        if _size(tag):
            headers["If-Range"] = tag.read_text()
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_SECONDS) as response:
        if "Content-Type" in response.headers and response.headers.get_content_maintype() == "text":
            raise URLError(f"a page of text came ({response.headers.get_content_type()}), not a file of weights")
        first, total = _extent(response)
        etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
        validator = (modified if etag is None or etag.startswith("W/") else etag) or ""
        start = _size(part) if response.status == 206 else 0
        if start and (first != start or (validator and _size(tag) and validator != tag.read_text())):
            part.unlink()
            raise _Cut("a rest came that does not fit what was there")
        tag.write_text(validator)
        with (
            open(part, "ab" if start else "wb") as file,
            tqdm(total=total, initial=start, desc=part.stem, unit="B", unit_scale=True, unit_divisor=1024) as bar,
        ):
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and _size(part) != total:
        raise _Cut(f"the connection ended after {_size(part)} of {total} bytes")
    if not _size(part):
        raise _Cut("nothing came")


def _tag_of(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """The first byte that comes, and the size of the whole file in bytes, if the server says."""
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status == 206 and told:
        return int(told[1]), None if told[2] == "*" else int(told[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _unreachable(url: str, path: Path, reason: str) -> InputError:
    return InputError(
        f"{url} cannot be fetched ({reason}). Offline? Fetch it elsewhere and put it at {path}, or name a local file "
        "instead of the model"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

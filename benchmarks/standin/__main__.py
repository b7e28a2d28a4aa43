"""Render the set: ``python -m benchmarks.standin -n 200 -o data/standin``.

Needs the extra ``bench``, npm, and for speed LLVM 16 or newer; see benchmarks/README.md. Fetches the heads and
environments once, then takes 5 to 20 seconds a picture on two busy cores. Interrupted, the same command goes on.
Sample i depends on the seed and i alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

from tqdm.auto import tqdm

from facedepth.checks import InputError
from facedepth.paths import atomic_path
from facedepth.synthetic.faces import one_thread
from facedepth.synthetic.portrait import Portrait
from facedepth.synthetic.storing import claim_folder, is_stored, store

from .portraits import make_portrait
from .sources import fetch


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.standin", description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--count", type=int, default=200, help="pictures (default: %(default)s)")
    parser.add_argument("-o", "--out", type=Path, default=Path("data/standin"), help="default: %(default)s")
    parser.add_argument("--sources", type=Path, default=Path("data/standin_sources"),
                        help="folder that heads and environments are fetched into (default: %(default)s)")
    parser.add_argument("--size", type=int, default=512, help="pixels a side (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        cache = fetch(options.sources)
        claim_folder(options.out, {"size": options.size, "seed": options.seed})
        for index in tqdm(range(options.count), desc=f"heads -> {options.out}", unit="picture"):
            _write(options.out, options.seed, index, options.size, cache)
        print(f"listed in {_write_manifest(options.out)}")
    except (InputError, OSError) as error:
        print(f"benchmarks.standin: {error}", file=sys.stderr)
        return 2
    return 0


def _write(root: Path, seed: int, index: int, size: int, cache: Path) -> None:
    """One sample in EG3D's layout, unless it is there already."""
    name = f"head{index:04d}"
    if is_stored(root, name):
        return
    with one_thread():
        picture, labels, camera, facts = make_portrait(seed, index, size, cache)
    store(root, name, Portrait(picture, labels, camera), {"identity": name} | facts)


def _write_manifest(root: Path) -> Path:
    """manifest.csv of all samples that are there."""
    rows = [json.loads(path.read_text()) for path in sorted((root / "parameters").glob("*.json"))]
    path = root / "manifest.csv"
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


if __name__ == "__main__":
    sys.exit(main())

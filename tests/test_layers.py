"""The order of the modules: a file imports only from those above its own. And what ``import facedepth`` costs."""

import ast
import graphlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "facedepth"

LAYERS = (
    "checks", "paths", "camera", "sample", "depth", "exr", "io", "mesh", "outline", "mesh_page", "geometry", "losses",
    "metrics", "framing", "layouts", "transforms", "data", "synthetic", "models", "figures", "batches", "prediction",
    "films", "evaluation", "training", "viewer", "demo", "verbs", "cli", "__main__", "__init__",
)
APART = ("data", "synthetic", "models")
"""Folders that never import each other."""

HEAVY = ("open3d", "timm", "matplotlib", "ipywidgets", "torchvision", "trimesh")


def layer_of(module: Path) -> str:
    """The layer that a file of the package belongs to: its folder, or its own name."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(module: Path, source: str, *, within: str = "") -> set[str]:
    """The layers that a file of the package imports from, wherever in the file it does, its own folder left out; or,
    ``within`` that folder, its files."""
    package = ("facedepth", *module.relative_to(PACKAGE).parts[:-1])
    root = f"facedepth.{within}" if within else "facedepth"
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            # "from facedepth import io" and "from . import io" name the layer behind the import.
            names = [f"{base}.{alias.name}" for alias in node.names] if base == root else [base]
        else:
            continue
        inside = (name.removeprefix(root) for name in names if f"{name}.".startswith(f"{root}."))
        found |= {f"{name}.__init__".split(".")[1] for name in inside}
    return found if within else found - ({package[1]} if len(package) > 1 else set())


def violations(module: Path, source: str) -> list[str]:
    """What is wrong with a file's imports, in words."""
    own = layer_of(module)
    if own not in LAYERS:
        return [f"{own} has no place in the order of layers; give it one here and in the design"]
    above = LAYERS[: LAYERS.index(own)]
    wrong = sorted(layer for layer in imports_of(module, source) if layer not in above)
    beside = sorted(imports_of(module, source) & set(APART)) if own in APART else []
    return [f"imports {layer}, which is not above {own}" for layer in wrong] + [
        f"imports {layer}: {', '.join(APART)} stand apart" for layer in beside
    ]


def test_the_map_of_the_package_names_every_module_once():
    rows = [line.split("|")[2] for line in (PACKAGE / "__init__.py").read_text().splitlines() if line.startswith("| ")]
    named = re.findall(r"\w+", re.sub(r"\(.*?\)", "", " ".join(rows[1:])))
    assert sorted(named) == sorted(set(LAYERS) - {"__init__", "__main__"})


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_above(module):
    assert violations(module, module.read_text()) == []


def order_of(folder: str, sources: dict[str, str]) -> list[str]:
    """The files of a folder of the package, given their sources, each after those it imports from.

    Raises:
        graphlib.CycleError: there is no such order.
    """
    imported = {
        name: imports_of(PACKAGE / folder / f"{name}.py", source, within=folder) for name, source in sources.items()
    }
    return list(graphlib.TopologicalSorter(imported).static_order())


@pytest.mark.parametrize("folder", sorted({path.parent.name for path in PACKAGE.glob("*/*.py")}))
def test_the_files_of_a_folder_do_not_import_each_other_in_a_circle(folder):
    order_of(folder, {path.stem: path.read_text() for path in PACKAGE.glob(f"{folder}/*.py")})


@pytest.mark.parametrize(
    "back", ["from .run import Run", "from . import run", "from facedepth.training.run import Run",
             "from facedepth.training import run", "def late():\n    import facedepth.training.run"]
)
def test_the_rule_of_circles_sees_every_way_to_import(back):
    assert order_of("training", {"run": "from .config import TrainConfig", "config": ""}) == ["config", "run"]
    with pytest.raises(graphlib.CycleError):
        order_of("training", {"run": "from .config import TrainConfig", "config": back})


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("camera.py", "from .checks import InputError", 0),
        ("camera.py", "from .geometry import depth_to_mesh", 1),
        ("camera.py", "def late():\n    from facedepth.geometry import depth_to_mesh", 1),
        ("camera.py", "import facedepth.geometry as g", 1),
        ("camera.py", "from . import geometry", 1),
        ("camera.py", "from facedepth import depth, checks", 1),
        ("camera.py", "import facedepth", 1),
        ("camera.py", "import torch.camera, depthlib.geometry", 0),
        ("data/eg3d.py", "from .files import matched\nfrom ..camera import Camera", 0),
        ("data/eg3d.py", "from ..training import fit", 1),
        ("data/eg3d.py", "from .. import training", 1),
        ("models/registry.py", "from ..data import EG3DFaces", 1),
        ("models/registry.py", "from ..data.eg3d import EG3DFaces", 1),
        ("figures.py", "from .models import MODELS\nfrom .data import split", 0),
        ("helpers.py", "", 1),
    ],
)
def test_the_rule_itself_sees_every_way_to_import(module, source, wrong):
    assert len(violations(PACKAGE / module, source)) == wrong


def in_a_fresh_python(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_loads_nothing_heavy():
    script = f"import sys, facedepth; print(*(name for name in {HEAVY} if name in sys.modules))"
    assert in_a_fresh_python(script).split() == []


def test_importing_the_package_is_quick_beyond_torch():
    script = "import time, torch; s = time.perf_counter(); import facedepth; print(time.perf_counter() - s)"
    seconds = []
    while len(seconds) < 3 and min(seconds, default=9) > 1.5:  # a busy machine may be slow once
        seconds.append(float(in_a_fresh_python(script)))
        time.sleep(0.1)
    print(f"import facedepth: {min(seconds):.2f} s beyond torch")
    assert min(seconds) < 1.5

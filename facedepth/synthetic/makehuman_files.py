"""Reading MakeHuman's and MPFB's data files: mesh, targets, masks, bones and skinning weights. Used by ``build_kit``.

Files are in decimetres with y up; everything here comes out in metres with z up.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import cv2
import numpy as np

from .kit import BONES, MACRO_AGES, MUSCLES, WEIGHTS

FACE_FOLDERS = ("asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")


def to_metres(points: np.ndarray) -> np.ndarray:
    """(N, 3) in the files' axes and decimetres to z-up metres."""
    return 0.1 * np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Vertices (V, 3), texture coordinates (T, 2), and for every group its quads (F, 4, 2) of vertex and uv indices."""
    vertices, uvs, groups, name = [], [], {}, ""
    for line in path.read_text().splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            vertices.append(words[:3])
        elif kind == "vt":
            uvs.append(words[:2])
        elif kind == "g":
            name = words[0]
        elif kind == "f":
            groups.setdefault(name, []).append([[int(x) - 1 for x in word.split("/")[:2]] for word in words])
    return (
        to_metres(np.array(vertices, dtype=float)), np.array(uvs, dtype=float),
        {name: np.array(faces) for name, faces in groups.items()},
    )


def read_target(path: Path, count: int) -> np.ndarray:
    """(count, 3) displacement in metres of one ``.target`` or ``.target.gz`` file."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    rows = np.array([line.split() for line in text.splitlines() if line and line[0] != "#"], dtype=float).reshape(-1, 4)
    shape = np.zeros((count, 3))
    shape[rows[:, 0].astype(int)] = to_metres(rows[:, 1:])
    return shape


def macro_shapes(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Shapes of gender x age x muscle x weight (body height and proportions fixed half-way) and of race."""
    files = {path.name.split(".")[0]: path for path in folder.rglob("*.target.gz")}
    shapes = {}
    for gender in ("female", "male"):
        for age in MACRO_AGES:
            for muscle in MUSCLES:
                for weight in WEIGHTS:
                    key = f"{gender}-{age}-{muscle}-{weight}"
                    shapes[f"macro:{key}"] = read_target(files[f"universal-{key}"], count) + 0.5 * sum(
                        read_target(path, count) for name, path in sorted(files.items())
                        if name.startswith(key + "-") and re.search(r"height$|proportions$", name)
                    )
            for race in ("african", "asian", "caucasian"):
                shapes[f"race:{race}-{gender}-{age}"] = read_target(files[f"{race}-{gender}-{age}"], count)
    return shapes


def detail_shapes(data: Path, count: int) -> dict[str, np.ndarray]:
    """Local changes of the face (``local:``) and facial actions (``action:``)."""
    shapes = {}
    for folder in FACE_FOLDERS:
        for path in sorted((data / "mpfb2/targets" / folder).glob("*.target.gz")):
            if not path.name.startswith("asymm-"):  # those are of the body
                shapes[f"local:{path.name.split('.')[0]}"] = read_target(path, count)
    for path in sorted((data / "faceunits01/targets/faceunits").glob("*.target")):
        shapes[f"action:{path.stem}"] = read_target(path, count)
    return shapes


def uv_colours(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """The picture's values at texture coordinates (N, 2), origin lower left, nearest pixel."""
    height, width = picture.shape[:2]
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    return picture[row, column]


def read_segmentation(data: Path, uv_centre: np.ndarray) -> np.ndarray:
    """(F,) name of the body segment under every quad's centre in texture space."""
    table = (data / "segmentation/body_parts_segmentation.yaml").read_text()
    colours = re.findall(r"(\S+): \[(\d+), (\d+), (\d+)\]", table)
    picture = cv2.imread(str(data / "segmentation/body_parts_segmentation.png"))[:, :, ::-1]
    found = uv_colours(picture, uv_centre)
    names = np.full(len(uv_centre), "", dtype=object)
    for name, *colour in colours:
        names[(found == np.array(colour, dtype=int)).all(axis=-1)] = name
    return names


def bone_heads(data: Path, groups: dict, names) -> dict[str, np.ndarray]:
    """For every bone the indices of the vertices whose mean is its head."""
    rig = json.loads((data / "mpfb2/rigs/standard/rig.default.json").read_text())
    heads = {}
    for name in names:
        head = rig[name]["head"]
        heads[name] = (
            np.unique(groups[head["cube_name"]][..., 0]) if head["strategy"] == "CUBE"
            else np.array(head.get("vertex_indices", [head.get("vertex_index")]))
        )
    return heads


def skin_weights(data: Path, count: int) -> np.ndarray:
    """(V, bones + 1) weights; a bone of the rig counts for its nearest ancestor kept here, the rest for column 0."""
    rig = json.loads((data / "mpfb2/rigs/standard/rig.default.json").read_text())
    weights = json.loads((data / "mpfb2/rigs/standard/weights.default.json").read_text())["weights"]
    merged = np.zeros((count, len(BONES) + 1))
    for bone, entries in weights.items():
        ancestor = bone
        while ancestor and ancestor not in BONES:
            ancestor = rig[ancestor]["parent"]
        rows = np.array(entries, dtype=float).reshape(-1, 2)
        np.add.at(merged[:, BONES.index(ancestor) + 1 if ancestor else 0], rows[:, 0].astype(int), rows[:, 1])
    return merged / np.maximum(merged.sum(axis=1, keepdims=True), 1e-9)

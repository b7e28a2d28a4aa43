"""The mesh's page, without a browser: what it carries, that it needs nothing else, and what it refuses."""

import base64
import io
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.geometry import depth_to_mesh
from facedepth.mesh import Mesh
from facedepth.mesh_page import SHOWN_DEG, mesh_page, save_mesh_page

TRIANGLE = Mesh(
    np.array([[0, 0, -1], [1, 0, -1], [0, 2, -3]], np.float32), np.array([[0, 1, 2]], np.int32),
    np.array([[0, 0], [1, 0], [0, 1]], np.float32),
)


@pytest.fixture
def mesh() -> Mesh:
    """A bump in front of a plane, with a hole in the mask and the photo on it."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 60), indexing="ij")
    depth = torch.where(x.square() + y.square() < 0.4, 0.8 + 0.1 * x, 1.0)[None]
    mask = ((x - 0.5).square() + (y - 0.5).square() > 0.02)[None]
    image = torch.stack([x, y, x * y]) / 2 + 0.5
    return depth_to_mesh(depth, Camera.from_fov(30, 60, 40), mask, image, keep_steep=True)


def packed(page: str) -> list[dict]:
    """The page's data, as its own script reads it."""
    return json.loads(re.search(r'<script type="application/json" id="meshes">(.*?)</script>', page).group(1))


def unpack(parts: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, uv and faces again."""
    blob = np.frombuffer(zlib.decompress(base64.b64decode(parts["data"])), np.uint8)

    def columns(first: int, count: int, number: int, dtype: str) -> np.ndarray:
        width = np.dtype(dtype).itemsize
        planes = blob[first : first + number * count * width].reshape(number, width, count)
        steps = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(dtype)[..., 0]
        return steps.cumsum(axis=1, dtype=dtype).T

    vertices, triangles = parts["vertices"], parts["triangles"]
    width = 2 if parts["steps"] == 65535 else 4
    uv_start = 3 * width * vertices
    grid = columns(0, vertices, 3, f"<u{width}") / parts["steps"]
    uv = columns(uv_start, vertices, 2, "<u2") / 65535
    corners = columns(uv_start + 4 * vertices, triangles, 3, "<u4").astype("<u4")
    corners[:, 1:] += corners[:, :1]
    assert len(blob) == uv_start + 4 * vertices + (13 if parts["cuttable"] else 12) * triangles
    return grid * parts["extent"] + parts["low"], uv, corners.astype(np.int64)


def test_a_face_before_a_far_wall_keeps_its_shape():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 60), indexing="ij")
    depth = torch.where(x.square() + y.square() < 0.4, 0.8 + 0.1 * x, 30.0)[None]
    mesh = depth_to_mesh(depth, Camera.from_fov(30, 40, 60), depth > 0)
    (parts,) = packed(mesh_page(mesh))
    near = mesh.vertices[:, 2] > -1
    np.testing.assert_allclose(unpack(parts)[0][near], mesh.vertices[near], atol=2e-6)  # 30 m / 2^24; 16 bits: 5e-4


def test_the_data_are_the_mesh(mesh):
    (parts,) = packed(mesh_page(mesh, titles=["bump"]))
    vertices, uv, faces = unpack(parts)
    assert parts["title"] == "bump"
    assert parts["cuttable"]
    assert (np.diff(faces.min(axis=1)) >= 0).all()
    assert sorted(map(tuple, faces)) == sorted(map(tuple, mesh.faces))
    np.testing.assert_allclose(vertices, mesh.vertices, atol=1e-5)  # a 65535th of 0.6
    assert parts["steps"] == 65535
    assert parts["texture"].startswith("data:image/jpeg;base64,")
    # Pixel centres lie half a pixel inside the texture: what is used of it is the whole picture.
    np.testing.assert_allclose(uv, mesh.uv, atol=1e-4)


def test_of_the_photo_only_the_part_on_the_mesh_is_carried():
    texture = np.zeros((100, 200, 3), np.uint8)
    texture[20:60, 50:90] = 255
    uv = np.array([[0.2525, 0.795], [0.4475, 0.795], [0.2525, 0.405]], np.float32)  # columns 50 to 90, rows 20 to 60
    (parts,) = packed(mesh_page(Mesh(TRIANGLE.vertices, TRIANGLE.faces, uv, texture)))
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(parts["texture"].split(",")[1]))))
    assert picture.shape == (40, 40, 3)
    assert picture.min() > 250
    _, found, _ = unpack(parts)
    np.testing.assert_allclose(found, [[0.5 / 40, 39.5 / 40], [39.5 / 40, 39.5 / 40], [0.5 / 40, 0.5 / 40]], atol=1e-3)


def test_a_mesh_by_hand():
    (parts,) = packed(mesh_page(TRIANGLE))
    assert (parts["low"], parts["extent"]) == ([0, 0, -3], [1, 2, 2])
    assert parts["texture"] is None
    assert not parts["cuttable"]
    vertices, _, faces = unpack(parts)
    np.testing.assert_array_equal(vertices, TRIANGLE.vertices)
    np.testing.assert_array_equal(faces, [[0, 1, 2]])


def test_a_title_may_be_a_path_or_a_number(mesh):
    assert [one["title"] for one in packed(mesh_page(mesh, mesh, titles=[Path("a/b.jpg"), 7]))] == ["a/b.jpg", "7"]


def test_the_page_holds_all_it_needs(mesh):
    page = mesh_page(mesh)
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=(?![\"']?data:)", page)
    assert "@import" not in page
    assert f"jumpDeg: {SHOWN_DEG:g}," in page
    assert "$" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # each place of the frame is filled
    assert page.count("<script") == page.count("</script") == 8
    assert len(page) < 900_000


def test_titles_cannot_break_the_page(mesh):
    nasty = "</script><script>alert(1)</script>"
    page = mesh_page(mesh, "<b>none</b>", titles=[nasty, "truth"])
    assert page.count("<script") == 8
    first, second = packed(page)
    assert (first["title"], second["message"]) == (nasty, "<b>none</b>")


def test_what_the_page_refuses(tmp_path):
    with pytest.raises(InputError, match="the mesh has no triangle; is the mask empty"):
        mesh_page(Mesh(TRIANGLE.vertices, TRIANGLE.faces[:0], TRIANGLE.uv))
    broken = TRIANGLE.vertices.copy()
    broken[1, 2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        mesh_page(Mesh(broken, TRIANGLE.faces, TRIANGLE.uv))
    with pytest.raises(InputError, match="expected one or two meshes and a title for each, got 3 and 3"):
        mesh_page(TRIANGLE, TRIANGLE, TRIANGLE)
    with pytest.raises(InputError, match="got 1 and 2"):
        mesh_page(TRIANGLE, titles=["a", "b"])
    save_mesh_page(tmp_path / "face.html", TRIANGLE)
    assert "<title>face</title>" in (tmp_path / "face.html").read_text()
    with pytest.raises(InputError, match=r"face.html: already there"):
        save_mesh_page(tmp_path / "face.html", TRIANGLE)

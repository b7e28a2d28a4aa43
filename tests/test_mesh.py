"""An object without symmetry goes to files and comes back: no axis, winding, texture or count may change on the way.

The files are read back by trimesh, and once more by hand, so that two mistakes cannot cancel.
"""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.geometry import depth_to_mesh, depth_to_points
from facedepth.io import image_to_uint8
from facedepth.mesh import Mesh, PointCloud

HEIGHT, WIDTH = 10, 14
NOSE = (3, 9)  # row and column of the nearest point: above the middle, right of it
CAMERA = Camera(torch.tensor([[30.0, 2.0, 5.0], [0.0, 24.0, 6.0], [0.0, 0.0, 1.0]]), torch.eye(4))
SUFFIXES = (".ply", ".obj", ".glb")


def surface() -> torch.Tensor:
    """(1, H, W) z-depth of a plane tilted both ways, with a hump whose top is the nose."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) - NOSE[0], torch.arange(WIDTH) - NOSE[1], indexing="ij")
    return (2 + 0.002 * x + 0.005 * y - 0.3 * torch.exp(-(x**2 + y**2) / 8.0))[None]


def photo() -> torch.Tensor:
    """(3, H, W): red says the column, green the row, and nothing is the same twice."""
    column, row = torch.arange(WIDTH).expand(HEIGHT, WIDTH), torch.arange(HEIGHT)[:, None].expand(HEIGHT, WIDTH)
    return torch.stack([column * 16 / 255, row * 20 / 255, torch.full((HEIGHT, WIDTH), 77 / 255)])


def valid() -> torch.Tensor:
    """(1, H, W) bool without the upper left corner and a piece of the right edge."""
    mask = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    mask[0, :2, :3] = False
    mask[0, 6:, -1] = False
    return mask


@pytest.fixture
def mesh() -> Mesh:
    return depth_to_mesh(surface(), CAMERA, valid(), photo())


def through_a_file(mesh: Mesh, path) -> trimesh.Trimesh:
    mesh.save(path)
    return trimesh.load(path, process=False, force="mesh", maintain_order=True)


def project(vertices: np.ndarray) -> np.ndarray:
    """(V, 2) pixels of exported vertices, under OpenCV's axes again."""
    pixels = vertices * [1, -1, -1] @ CAMERA.K.numpy().T
    return pixels[:, :2] / pixels[:, 2:]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_project_unproject_mesh_export_import_keeps_every_axis(mesh, suffix, tmp_path):
    depth = CAMERA.project(CAMERA.unproject(surface()))[1]
    found = through_a_file(depth_to_mesh(depth, CAMERA, valid(), photo()), tmp_path / f"face{suffix}")
    rows, columns = np.nonzero(valid()[0].numpy())
    assert len(found.vertices) == len(rows)
    np.testing.assert_allclose(project(found.vertices), np.stack([columns, rows], axis=1) + 0.5, atol=1e-4)
    np.testing.assert_allclose(-found.vertices[:, 2], surface()[0].numpy()[rows, columns], atol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_nose_is_where_it_was_with_the_colour_it_had(mesh, suffix, tmp_path):
    found = through_a_file(mesh, tmp_path / f"face{suffix}")
    nose = found.vertices[:, 2].argmax()  # nearest to a viewer who looks along -z
    # Pixel centre (9.5, 3.5), z = 1.7: y = (3.5 - 6) / 24, x = (9.5 - 5 - 2 y) / 30; then y up and z to the viewer.
    ray_y = -2.5 / 24
    ray_x = (4.5 - 2 * ray_y) / 30
    np.testing.assert_allclose(found.vertices[nose], [1.7 * ray_x, -1.7 * ray_y, -1.7], atol=1e-6)
    assert found.vertices[nose][0] > 0  # right of the principal point, and above it
    assert found.vertices[nose][1] > 0
    assert colours_of(found)[nose].tolist() == [9 * 16, 3 * 20, 77]


def colours_of(found: trimesh.Trimesh) -> np.ndarray:
    """(V, 3) colours: those of the vertices, or those that the texture has at their uv (origin lower left)."""
    if found.visual.kind != "texture":
        return found.visual.vertex_colors[:, :3]
    material = found.visual.material
    texture = np.array(material.baseColorTexture if hasattr(material, "baseColorTexture") else material.image)
    column, row = (found.visual.uv * [WIDTH, -HEIGHT] + [0, HEIGHT]).astype(int).T
    return texture[row, column][:, :3]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_vertex_comes_back_with_its_own_colour(mesh, suffix, tmp_path):
    found = through_a_file(mesh, tmp_path / f"face{suffix}")
    column, row = np.floor(project(found.vertices)).astype(int).T
    assert (colours_of(found) == image_to_uint8(photo())[row, column]).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_faces_come_back_from_0_and_counter_clockwise_from_the_front(mesh, suffix, tmp_path):
    found = through_a_file(mesh, tmp_path / f"face{suffix}")
    assert (found.faces == mesh.faces).all()
    assert found.faces.min() == 0
    assert found.faces.max() == len(found.vertices) - 1
    a, b, c = found.vertices[found.faces].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


@pytest.mark.parametrize("suffix", [".obj", ".glb"])
def test_the_normals_in_the_file_point_to_the_viewer(mesh, suffix, tmp_path):
    mesh.save(tmp_path / f"face{suffix}")
    if suffix == ".obj":
        lines = (tmp_path / "face.obj").read_text().splitlines()
        normals = np.array([line.split()[1:] for line in lines if line.startswith("vn ")], float)
    else:
        normals = read_glb(tmp_path / "face.glb")["NORMAL"]
    assert len(normals) == len(mesh.vertices)
    assert (normals[:, 2] > 0).all()


def test_a_glb_without_a_texture_is_grey_clay_with_a_back(tmp_path):
    depth_to_mesh(surface(), CAMERA, valid()).save(tmp_path / "plain.glb")
    content = (tmp_path / "plain.glb").read_bytes()
    (material,) = json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])["materials"]
    assert material["doubleSided"]
    clay = material["pbrMetallicRoughness"]
    assert (clay["metallicFactor"], clay["roughnessFactor"]) == (0, 1)
    assert clay["baseColorFactor"] == pytest.approx([0.36, 0.36, 0.36, 1], abs=0.01)  # 160 of 255, made linear


def read_glb(path) -> dict[str, np.ndarray | Image.Image]:
    """The attributes and the texture of the only mesh in a .glb, read by the letter of the glTF 2.0 specification; with
    where its node puts it."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    json_length = struct.unpack_from("<I", content, 12)[0]
    scene = json.loads(content[20 : 20 + json_length])
    binary = content[20 + json_length + 8 :]

    def view(index: int) -> bytes:
        place = scene["bufferViews"][index]
        return binary[place.get("byteOffset", 0) :][: place["byteLength"]]

    def accessor(index: int) -> np.ndarray:
        entry = scene["accessors"][index]
        numbers = {5126: "<f4", 5125: "<u4", 5123: "<u2"}[entry["componentType"]]
        width = {"VEC3": 3, "VEC2": 2, "SCALAR": 1}[entry["type"]]
        return np.frombuffer(view(entry["bufferView"]), numbers)[: entry["count"] * width].reshape(-1, width)

    primitive = scene["meshes"][0]["primitives"][0]
    (node,) = (node for node in scene["nodes"] if "mesh" in node)  # trimesh 4 puts it into a node "world"
    matrix = np.reshape(node["matrix"], (4, 4)).T  # column by column
    assert (matrix[:3, :3] == np.eye(3)).all()
    found = {name: accessor(index) for name, index in primitive["attributes"].items()}
    found |= {"name": node["name"], "middle": matrix[:3, 3]}
    found["texture"] = Image.open(io.BytesIO(view(scene["images"][0]["bufferView"])))
    found["faces"] = accessor(primitive["indices"]).reshape(-1, 3)
    return found


def test_the_bytes_of_a_glb_say_what_gltf_means_by_them(mesh, tmp_path):
    mesh.save(tmp_path / "face.glb")
    found = read_glb(tmp_path / "face.glb")
    np.testing.assert_allclose(found["POSITION"] + found["middle"], mesh.vertices, atol=1e-7)
    np.testing.assert_allclose(found["POSITION"].min(axis=0) + found["POSITION"].max(axis=0), 0, atol=1e-6)
    assert found["name"] == "face"  # as a program lists it
    np.testing.assert_array_equal(found["faces"], mesh.faces)
    # glTF counts v from the texture's top.
    rows, columns = np.nonzero(valid()[0].numpy())
    expected = np.stack([(columns + 0.5) / WIDTH, (rows + 0.5) / HEIGHT], axis=1)
    np.testing.assert_allclose(found["TEXCOORD_0"], expected, atol=1e-6)
    assert (np.array(found["texture"].convert("RGB")) == image_to_uint8(photo())).all()  # no jpeg in between


def test_the_text_of_an_obj_says_what_obj_means_by_it(mesh, tmp_path):
    written = mesh.save(tmp_path / "face.obj")
    assert [path.name for path in written] == ["face_texture.png", "face.mtl", "face.obj"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    lines = [line.split() for line in (tmp_path / "face.obj").read_text().splitlines()]
    uv = np.array([words[1:] for words in lines if words[:1] == ["vt"]], float)
    rows, columns = np.nonzero(valid()[0].numpy())
    expected = np.stack([(columns + 0.5) / WIDTH, 1 - (rows + 0.5) / HEIGHT], axis=1)  # OBJ counts v from the bottom
    np.testing.assert_allclose(uv, expected, atol=1e-6)
    first = next(words for words in lines if words[:1] == ["f"])
    assert [word.split("/")[0] for word in first[1:]] == [str(index + 1) for index in mesh.faces[0]]  # and from 1
    assert ["mtllib", "face.mtl"] in lines
    assert "map_Kd face_texture.png" in (tmp_path / "face.mtl").read_text()
    assert (np.array(Image.open(tmp_path / "face_texture.png").convert("RGB")) == image_to_uint8(photo())).all()


def test_a_name_with_blanks_does_not_tear_an_obj_apart(mesh, tmp_path):
    written = mesh.save(tmp_path / "my  best face.obj")
    assert [path.name for path in written] == ["my_best_face_texture.png", "my_best_face.mtl", "my  best face.obj"]
    lines = [*written[2].read_text().splitlines(), *written[1].read_text().splitlines()]
    named = [line.split() for line in lines if line.startswith(("mtllib", "usemtl", "newmtl", "map_Kd"))]
    assert all(len(words) == 2 for words in named)
    found = trimesh.load(written[2], process=False, force="mesh")
    assert found.visual.material.image.size == (WIDTH, HEIGHT)


def test_without_a_texture_all_formats_still_work_and_are_grey(tmp_path):
    plain = depth_to_mesh(surface(), CAMERA, valid())
    assert (plain.vertex_colours() == 160).all()
    for suffix in SUFFIXES:
        found = through_a_file(plain, tmp_path / f"plain{suffix}")
        np.testing.assert_allclose(found.vertices, plain.vertices, atol=1e-6)
        assert (found.faces == plain.faces).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.glb", "plain.obj", "plain.ply"]


def test_to_open3d(mesh):
    found = mesh.to_open3d()
    np.testing.assert_array_equal(np.asarray(found.vertices), mesh.vertices)
    np.testing.assert_array_equal(np.asarray(found.triangles), mesh.faces)
    np.testing.assert_allclose(np.asarray(found.vertex_colors), mesh.vertex_colours() / 255)
    assert (np.asarray(found.vertex_normals)[:, 2] > 0).all()


def test_a_point_cloud_survives_its_file_and_open3d(tmp_path):
    cloud = depth_to_points(surface(), CAMERA, valid(), photo())
    assert cloud.save(tmp_path / "cloud.ply") == [tmp_path / "cloud.ply"]
    found = trimesh.load(tmp_path / "cloud.ply")
    np.testing.assert_array_equal(found.vertices, cloud.points)
    assert (found.colors[:, :3] == cloud.colours).all()
    in_open3d = cloud.to_open3d()
    np.testing.assert_array_equal(np.asarray(in_open3d.points), cloud.points)
    np.testing.assert_allclose(np.asarray(in_open3d.colors), cloud.colours / 255)


# --- what is refused


def test_an_unknown_suffix(mesh, tmp_path):
    with pytest.raises(InputError, match=r"face.stl: expected one of .glb, .obj, .ply, got .stl"):
        mesh.save(tmp_path / "face.stl")
    with pytest.raises(InputError, match=r"face: expected one of .glb, .obj, .ply, got no suffix"):
        mesh.save(tmp_path / "face")
    with pytest.raises(InputError, match=r"a point cloud is saved as .ply, got .glb"):
        PointCloud(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8)).save(tmp_path / "cloud.glb")


def test_a_mesh_without_triangles(tmp_path):
    nothing = depth_to_mesh(surface(), CAMERA, torch.zeros_like(valid()), photo())
    with pytest.raises(InputError, match=r"the mesh has no triangle; is the mask empty, or max_angle_deg too small\?"):
        nothing.save(tmp_path / "face.glb")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_the_way", ["face.obj", "face.mtl", "face_texture.png"])
def test_a_file_in_the_way_is_kept_and_nothing_is_written(mesh, tmp_path, in_the_way):
    (tmp_path / in_the_way).write_text("mine")
    with pytest.raises(InputError, match=rf"{in_the_way}: already there"):
        mesh.save(tmp_path / "face.obj")
    assert [path.name for path in tmp_path.iterdir()] == [in_the_way]
    assert (tmp_path / in_the_way).read_text() == "mine"
    mesh.save(tmp_path / "face.obj", overwrite=True)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_photo_beside_the_mesh_is_not_in_the_way(mesh, tmp_path):
    (tmp_path / "face.png").write_text("the photo")
    mesh.save(tmp_path / "face.obj")
    assert (tmp_path / "face.png").read_text() == "the photo"


def test_a_mesh_goes_to_the_users_home(mesh, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert mesh.save("~/face.obj") == [tmp_path / name for name in ("face_texture.png", "face.mtl", "face.obj")]
    assert not Path("~").exists()

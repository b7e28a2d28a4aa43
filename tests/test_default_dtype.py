"""Whoever has set PyTorch's default type to 64 bits, to check gradients, is served as before."""

import pytest
import torch

import facedepth as fd
from facedepth.figures import MeshScene
from facedepth.io import image_to_uint8, write_depth, write_image


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_a_photo_becomes_a_mesh_and_a_picture_of_it():
    model = fd.load_model("face_small")
    face = fd.predict(model, "assets/astronaut.png", crop=(120, 20, 240, 20.0))
    assert model.mean.dtype == face.values.dtype == face.depth().dtype == torch.float32
    assert len(face.points().points) > 1000
    mesh = face.mesh(max_triangles=5000)
    assert len(mesh.faces) > 1000
    MeshScene(mesh).render(yaw_deg=20, pitch_deg=5, size=32)


def test_networks_learn_and_are_scored(tmp_path):
    faces = fd.EG3DFaces("data/sample", size=32)
    model = fd.create_model("dpt_tiny")
    train, val = fd.split(faces, val=0.25)
    fd.fit(model, train, val, fd.TrainConfig(out=str(tmp_path), epochs=1, input_size=32, workers=0, batch_size=2))
    assert fd.evaluate(model, faces).means["rmse"] > 0
    fd.compare([model], faces[0])


def test_folders_of_ones_own_are_read(tmp_path):
    sample = fd.EG3DFaces("data/sample", size=32)[0]
    for name in ("images", "depths"):
        (tmp_path / name).mkdir()
    write_image(tmp_path / "images/a.png", image_to_uint8(sample.image))
    write_depth(tmp_path / "depths/a.npy", sample.depth, sample.mask)
    faces = fd.PairedFolder(tmp_path / "images", tmp_path / "depths", camera=14.3, size=16)
    assert faces[0].depth.dtype == torch.float32

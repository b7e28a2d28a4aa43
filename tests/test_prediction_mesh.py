"""The mesh and the points of a prediction."""

import numpy as np
import torch
from maps import rand
from predictions import HEIGHT, MIDDLE, WIDTH, prediction, true_depth

from facedepth.io import image_to_uint8


def test_the_mesh_is_the_depths_with_the_photo_on_it():
    found = prediction(0.1 * true_depth(), "relief", MIDDLE)
    mesh, depth = found.mesh(outline_px=0.0), found.depth()
    pixels = mesh.vertices * [1, -1, -1] @ found.camera.K.numpy().T
    column, row = np.floor(pixels[:, :2] / pixels[:, 2:]).astype(int).T
    assert len(mesh.vertices) == 48 * 48
    np.testing.assert_allclose(-mesh.vertices[:, 2], depth[0].numpy()[row, column], rtol=1e-5)
    inside = (np.abs(row - row.mean()) < 19) & (np.abs(column - column.mean()) < 19)
    assert (mesh.vertex_colours() == image_to_uint8(found.image)[row, column])[inside].all()
    assert mesh.texture.shape == (50, 50, 3)


def test_at_the_outline_the_mesh_has_the_colours_of_the_inside():
    """Where the network sees the head to be a little wider than it is, the sky is not on the mesh."""
    found = prediction(0.1 * true_depth(), "relief", MIDDLE)
    found.image[:] = 0.25
    found.image[2] = found.mask[0].float()
    rim = found.mask & ~(torch.nn.functional.avg_pool2d(found.mask.float(), 3, 1, 1) == 1)
    found.image[2:][rim] = 0.0
    assert (found.mesh(outline_px=0.0).vertex_colours()[:, 2] == 255).all()
    assert (found.points().colours[:, 2] == 255).all()


def test_what_lies_behind_the_cut_is_left_out():
    found = prediction(0.3 * rand(1, HEIGHT, WIDTH), "relief", MIDDLE)
    depth = found.depth()[found.mask]
    mesh = found.mesh(cut_m=0.04, max_angle_deg=89.9)
    reach = -mesh.vertices[:, 2]
    assert reach.max() <= depth.min() + 0.04 + 1e-6
    assert depth.max() > depth.min() + 0.06
    assert len(mesh.vertices) > 100


def test_smoothing_the_mesh_takes_its_noise():
    noise = torch.randn(1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    noisy = prediction(0.003 * noise, "relief", MIDDLE)
    assert noisy.mesh(smooth_px=1.5).vertices[:, 2].std() < noisy.mesh().vertices[:, 2].std() / 2


def test_the_mesh_keeps_its_budget():
    found = prediction(0.1 * true_depth(), "relief", MIDDLE)
    assert 100 < len(found.mesh(max_triangles=500).faces) <= 500


def test_the_outline_of_the_mesh_is_smooth_and_its_inside_stays():
    found = prediction(0.1 * true_depth(), "relief", MIDDLE)
    stepped, smooth = found.mesh(outline_px=0.0), found.mesh()
    moved = (stepped.vertices != smooth.vertices).any(axis=1).reshape(48, 48)
    assert moved[0, 0]
    assert not moved[20:28, 20:28].any()
    assert (stepped.faces == smooth.faces).all()


def test_points_are_the_meshs_vertices():
    found = prediction(0.1 * true_depth(), "relief", MIDDLE)
    mesh = found.mesh(outline_px=0.0)
    np.testing.assert_allclose(found.points().points, mesh.vertices, atol=1e-6)
    assert (found.points().colours == mesh.vertex_colours()).all()

"""Still pictures: what is near, right or up in the data is warm, right and up in the picture."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from facedepth.camera import Camera
from facedepth.checks import InputError
from facedepth.figures import (
    MeshScene,
    colour_depth,
    colour_error,
    colour_normals,
    curves,
    mesh_views,
    panel,
    render_mesh,
    sheet,
)
from facedepth.geometry import depth_to_mesh
from facedepth.mesh import Mesh

NO_DATA = [245, 245, 245]


def png(figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.array(Image.open(buffer).convert("RGB"))


# --- maps


def test_near_is_warm_far_is_cold_and_nothing_is_grey():
    depth = torch.tensor([[[1.0, 1.5, 2.0, 0.0]]])
    picture = colour_depth(depth, depth > 0).astype(int)
    (near_red, _, near_blue), _, (far_red, _, far_blue), nothing = picture[0]
    assert near_red > near_blue + 50
    assert far_blue > far_red + 50
    assert nothing.tolist() == NO_DATA


def test_two_depth_maps_on_one_scale_have_one_colour_for_one_depth():
    mask = torch.ones(1, 1, 3, dtype=torch.bool)
    first = colour_depth(torch.tensor([[[1.0, 2.0, 3.0]]]), mask, near=1, far=4)
    second = colour_depth(torch.tensor([[[2.0, 3.0, 9.0]]]), mask, near=1, far=4)
    assert (first[0, 1:] == second[0, :2]).all()
    assert (colour_depth(torch.full((1, 1, 3), 4.0), mask, near=1, far=4) == second[0, 2]).all()  # the end of the scale


@pytest.mark.parametrize("depth", [torch.full((1, 3, 3), 2.0), torch.zeros(1, 3, 3)])
def test_a_depth_map_without_range_or_without_a_pixel_is_still_a_picture(depth):
    picture = colour_depth(depth, depth > 0)
    assert picture.shape == (3, 3, 3)
    assert (picture == picture[0, 0]).all()


def test_a_greater_error_is_brighter():
    error = torch.tensor([[[0.0, 0.5, 1.0, 7.0, 0.0]]])
    picture = colour_error(error, torch.tensor([[[True, True, True, True, False]]]), greatest=1)
    brightness = picture[0].astype(int).sum(axis=1)
    assert brightness[0] < 10 < brightness[1] < brightness[2] == brightness[3]
    assert picture[0, 4].tolist() == NO_DATA


def test_normals_are_red_to_the_right_green_upwards_blue_to_the_viewer():
    camera = Camera.from_fov(1, 6, 6)
    x, y = camera.rays(6, 6)[:2, None]
    everywhere = torch.ones(1, 6, 6, dtype=torch.bool)

    def colour(depth: torch.Tensor) -> np.ndarray:
        return colour_normals(depth, camera, everywhere)[3, 3].astype(int)

    assert colour(torch.ones(1, 6, 6)).tolist() == pytest.approx([128, 128, 255], abs=1)
    # A plane at 45 degrees that falls away to the right looks to the right, one that falls away downwards looks down.
    half = 127.5 * (1 + 2**-0.5)
    assert colour(1 / (1 - x)).tolist() == pytest.approx([half, 128, half], abs=2)
    assert colour(1 / (1 - y)).tolist() == pytest.approx([128, 255 - half, half], abs=2)
    assert colour(1 / (1 + y)).tolist() == pytest.approx([128, half, half], abs=2)


def test_normals_that_are_not_known_are_grey():
    mask = torch.ones(1, 5, 5, dtype=torch.bool)
    mask[0, 2, 2] = False
    picture = colour_normals(torch.ones(1, 5, 5), Camera.from_fov(20, 5, 5), mask)
    grey = (picture == NO_DATA).all(axis=2)
    assert grey.sum() == 5
    assert grey[2, 1:4].all()


# --- figures


def test_a_panel_holds_every_picture_with_its_title_in_its_place():
    red, green, blue = (np.zeros((8, 8, 3), np.uint8) for _ in range(3))
    red[..., 0], green[..., 1], blue[..., 2] = 255, 255, 255
    figure = panel([{"r": red, "g": green}, {"b": blue}], note="below")
    assert [axis.get_title() for axis in figure.axes] == ["r", "g", "b", ""]
    pixels = png(figure)
    where = {name: np.argwhere((pixels == colour).all(axis=2)).mean(axis=0)
             for name, colour in (("r", [255, 0, 0]), ("g", [0, 255, 0]), ("b", [0, 0, 255]))}
    assert where["r"][1] < where["g"][1]  # red left of green,
    assert where["r"][0] < where["b"][0]  # above blue
    assert where["r"][1] == pytest.approx(where["b"][1], abs=2)


def test_long_titles_are_broken_into_lines_beside_each_other():
    title = "error of a network with a long name after thirty epochs\nrmse 0.0031"
    figure = panel([dict.fromkeys((title, title + " "), np.zeros((8, 8, 3), np.uint8))])
    left, right = figure.axes
    assert left.get_title().replace("\n", " ") == title.replace("\n", " ")
    assert left.get_title().endswith("\nrmse 0.0031")
    figure.savefig(io.BytesIO())  # lays it out
    assert left.title.get_window_extent().x1 < right.title.get_window_extent().x0
    assert left.title.get_window_extent().y1 <= figure.bbox.y1


def test_the_first_epoch_is_a_whole_number_on_the_axis():
    figure = curves([{"epoch": 1, "loss": 0.3}], ["loss"])
    figure.savefig(io.BytesIO())
    (low, high), ticks = figure.axes[0].get_xlim(), figure.axes[0].get_xticks()
    assert [tick for tick in ticks if low <= tick <= high] == [1, 2]
    assert curves([], ["loss"]).texts[0].get_text() == "nothing to show"


def test_curves_show_every_point_of_a_column_and_skip_what_is_missing():
    history = [{"epoch": 1, "train": 0.3, "val": 0.4}, {"epoch": 2, "train": 0.2}]
    history.append({"epoch": 3, "train": 0.1, "val": 0.2})
    axis = curves(history, ["train", "val", "absent"]).axes[0]
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert drawn == {"train": [[1, 0.3], [2, 0.2], [3, 0.1]], "val": [[1, 0.4], [3, 0.2]]}
    assert axis.get_yscale() == "log"


# --- meshes


SIZE = 96


@pytest.fixture(scope="module")
def head() -> Mesh:
    """A dome, red on the left, blue on the right, bright above, with a green nose that stands out of its middle."""
    camera = Camera.from_fov(20, SIZE, SIZE)
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    nose = x**2 + y**2 < 0.02
    depth = 1 - 0.06 * (1 - x**2 - y**2).clamp(min=0) - 0.06 * (1 - (x**2 + y**2) / 0.02).clamp(min=0)
    light = torch.where(y < 0, 1.0, 0.4)
    image = torch.stack([light * (x < 0), torch.zeros_like(x), light * (x >= 0)])
    image[:, nose] = torch.tensor([0.0, 1.0, 0.0])[:, None]
    return depth_to_mesh(depth[None], camera, (x**2 + y**2 < 0.9)[None], image, max_angle_deg=89)


def middle(picture: np.ndarray, channel: int) -> np.ndarray:
    """Row and column, as fractions of the picture, of the middle of what is of that colour and of it alone."""
    picture = picture.astype(int)
    others = [picture[..., other] for other in range(3) if other != channel]
    found = np.argwhere(picture[..., channel] > np.maximum(*others) + 40)
    assert len(found) > 20
    return found.mean(axis=0) / len(picture)


def test_from_the_front_left_is_left_and_up_is_up(head):
    picture = render_mesh(head, size=120)
    assert picture.shape == (120, 120, 3)
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [255, 255, 255]
    red, green, blue = (middle(picture, channel) for channel in range(3))
    assert red[1] < 0.4 < green[1] < 0.6 < blue[1]
    assert green == pytest.approx([0.5, 0.5], abs=0.03)
    left = picture[:, 40].astype(int)
    assert left[40, 0] > left[80, 0] + 50  # the bright half is above


def test_the_eye_moves_to_the_side_that_the_view_is_named_after(head):
    views = mesh_views(head, size=120)
    assert list(views) == ["left", "above", "front", "below", "right"]
    nose = {name: middle(picture, 1) for name, picture in views.items()}
    red = {name: (picture.astype(int)[..., 0] > 100) & (picture[..., 2] < 60) for name, picture in views.items()}
    # The nose stands out: seen from the left it lies further right, seen from above further down.
    assert nose["left"][1] > nose["front"][1] + 0.015
    assert nose["right"][1] < nose["front"][1] - 0.015
    assert nose["above"][0] > nose["front"][0] + 0.01
    assert nose["below"][0] < nose["front"][0] - 0.01
    assert red["left"].sum() > red["right"].sum()  # the red cheek is turned to an eye at its side


def test_clay_has_no_colour_and_shows_the_shape(head):
    picture = render_mesh(head, size=120, textured=False).astype(int)
    inside = picture[(picture < 250).all(axis=2)]
    assert (inside.max(axis=1) - inside.min(axis=1)).max() <= 1
    assert inside[:, 0].std() > 10


def test_a_mesh_without_texture_renders_as_clay(head):
    plain = Mesh(head.vertices, head.faces, head.uv)
    assert (render_mesh(plain, size=60) == render_mesh(head, size=60, textured=False)).all()


def test_a_scene_gives_the_pictures_of_render_mesh(head):
    scene = MeshScene(head)
    for yaw in (-30, 30):
        assert (scene.render(yaw_deg=yaw, size=48) == render_mesh(head, yaw_deg=yaw, size=48)).all()


def test_a_mesh_is_bright_towards_the_key_light_and_dark_in_its_hollows():
    """A plane with a knob in its middle, or with a pit, whose ground gets less light from everywhere."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    height = 0.12 * torch.exp(-((x**2 + y**2) / 0.08) ** 2)[None]
    camera, everywhere = Camera.from_fov(40, SIZE, SIZE), torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    knob, pit = (
        render_mesh(depth_to_mesh(1 + sign * height, camera, everywhere, max_angle_deg=89), size=96).astype(int)
        for sign in (-1, 1)
    )
    assert knob[42:46, 42:46].mean() > knob[51:55, 51:55].mean() + 20  # the key stands above on the left
    assert pit[48, 48, 0] < knob[48, 48, 0] - 15


def test_the_back_of_the_surface_is_told_from_its_front(head):
    front, back = (render_mesh(head, yaw_deg=yaw, size=48, textured=False) for yaw in (0, 180))
    assert back[back < 250].mean() < 0.8 * front[front < 250].mean()


def test_a_large_photo_does_not_glitter(head):
    """A texture of single-pixel stripes, far finer than the picture, is a plain grey."""
    stripes = np.zeros((1920, 1920, 3), np.uint8)
    stripes[:, ::2] = 255
    picture = render_mesh(Mesh(head.vertices, head.faces, head.uv, stripes), size=48).astype(int)
    plain = render_mesh(Mesh(head.vertices, head.faces, head.uv, np.full_like(stripes, 128)), size=48).astype(int)
    assert np.abs(picture - plain)[18:30, 18:30].max() < 12


def test_a_background_runs_from_the_middle_to_the_corners(head):
    picture = render_mesh(head, size=64, background=(240, 200))
    assert picture[0, 0].tolist() == [200, 200, 200]
    assert 215 < picture[0, 32, 0] < 225  # half-way in squared distance


@pytest.mark.parametrize("vertices", [np.zeros((0, 3)), np.full((4, 3), np.nan)])
def test_an_empty_mesh_and_one_of_nans_are_a_picture_that_says_so(vertices):
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)[: len(vertices)]
    mesh = Mesh(vertices.astype(np.float32), faces, np.zeros((len(vertices), 2), np.float32))
    picture = render_mesh(mesh, size=120)
    assert picture.shape == (120, 120, 3)
    assert (picture[0] == 255).all()
    assert (picture < 150).any()  # the words
    assert len(mesh_views(mesh, size=60)) == 5


def test_nans_in_a_mesh_are_left_out(head):
    vertices = head.vertices.copy()
    vertices[:50] = np.nan
    picture = render_mesh(Mesh(vertices, head.faces, head.uv, head.texture), size=60)
    assert np.abs(picture.astype(int) - render_mesh(head, size=60)).mean() < 12


def test_nans_in_maps_are_grey():
    values, mask = torch.ones(1, 5, 6), torch.ones(1, 5, 6, dtype=torch.bool)
    values[0, 2, 2] = torch.nan
    camera = Camera.from_fov(20, 5, 6)
    for picture in (
        colour_depth(values, mask), colour_error(values, mask, greatest=1), colour_normals(values, camera, mask)
    ):
        assert picture[2, 2].tolist() == NO_DATA
        assert picture[2, 5].tolist() != NO_DATA
    assert (colour_depth(torch.full((1, 5, 6), torch.nan), mask) == NO_DATA).all()


def test_figures_of_nothing_are_figures():
    png(panel([]))
    png(panel([{}]))
    png(curves([], ["loss"]))


def test_a_sheet_fills_its_width_row_by_row():
    red, green, blue = (np.zeros((20, side, 3), np.uint8) for side in (20, 40, 20))
    red[..., 0], green[..., 1], blue[..., 2] = 255, 255, 255
    picture = sheet([[red, green], [blue]], width=130, gap=10)
    assert picture.shape == (40 + 10 + 130, 130, 3)
    assert picture[20, 39].tolist() == [255, 0, 0]
    assert picture[20, 45].tolist() == [255, 255, 255]
    assert picture[20, 50].tolist() == [0, 255, 0]
    assert picture[100, 0].tolist() == [0, 0, 255]


def test_a_name_may_have_dollars_in_it():
    rows = [{"$100_or_$200": np.zeros((4, 4, 3), np.uint8), "a$^$b": np.zeros((4, 4, 3), np.uint8)}]
    panel(rows).savefig(io.BytesIO())


@pytest.mark.parametrize("shape", [(3, 4), (1, 1, 3, 4), (3, 3, 4)])
def test_maps_of_another_shape_are_refused(shape):
    depth, mask = torch.ones(shape), torch.ones(shape, dtype=torch.bool)
    for draw in (colour_depth, lambda *maps: colour_error(*maps, greatest=1.0)):
        with pytest.raises(InputError, match=r"expected shape \(1, H, W\), got"):
            draw(depth, mask)
    with pytest.raises(InputError, match="mask: expected shape"):
        colour_depth(torch.ones(1, 3, 4), torch.ones(1, 3, 5, dtype=torch.bool))

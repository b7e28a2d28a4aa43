"""The notebooks run from top to bottom, and keep to the rules that make them good to read."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "colab_notebooks").glob("*.ipynb"))
RUNS = {"unet_depthmap_training": "unet", "midas_depthmap_training": "midas"}
"""The folder in runs/ that each notebook trains in."""


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    # A copy of the layout, so that what the notebook writes does not land in the checkout.
    for name in ("facedepth", "data", "assets", "colab_notebooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("FACEDEPTH_SMOKE", "1")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for name in ("best.safetensors", "history.csv"):
        assert (tmp_path / "runs" / RUNS[path.stem] / name).is_file()
    assert (tmp_path / "outputs" / "face.zip").stat().st_size > 10_000
    pictures = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 3
    pages = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
        if "<iframe srcdoc=" in output.get("data", {}).get("text/html", "")
    ]
    assert len(pages) >= 1
    text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert ("untrained network" in text) == (path.stem == "midas_depthmap_training")
    save_to = os.environ.get("FACEDEPTH_KEEP_NOTEBOOKS")
    if save_to:
        nbformat.write(notebook, Path(save_to) / path.name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_define_nothing_and_hold_no_output(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= 15, cell.source
            assert not re.search(r"^\s*(def|class) ", cell.source, re.MULTILINE), cell.source
            assert not cell.outputs

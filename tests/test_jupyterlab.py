"""``explore`` in a JupyterLab of our own, dragged in a real browser."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from chromium import keep_screenshot

ROOT = Path(__file__).parent.parent

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """Address of a JupyterLab of our own, with a notebook that explores the bump."""
    pytest.importorskip("jupyterlab", reason="needs jupyterlab: pip install '.[dev]'")
    root = tmp_path_factory.mktemp("jupyter")
    cell = "from mesh_pages import bump\nimport facedepth as fd\nfd.explore(bump())"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}  # else it asks for one
    cells = [nbformat.v4.new_code_cell(cell)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, root / "explore.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {f"JUPYTER_{name}_DIR": str(root / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    settings["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])  # the kernel's, too
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
        "--IdentityProvider.token=", f"--notebook-dir={root}", "--LabApp.news_url=", "--LabApp.check_for_updates_class="
        "jupyterlab.NeverCheckForUpdate",
    ]
    with (root / "log.txt").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | settings, start_new_session=True)
    yield f"http://127.0.0.1:{port}", root / "log.txt"
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:  # it waits for a kernel that is not listening
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_a_slider_dragged_in_jupyterlab_redraws_the_one_picture(browser, jupyter):
    address, log = jupyter
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    for _ in range(60):
        if "is running at" in log.read_text():
            break
        page.wait_for_timeout(1000)
    dialog = page.locator("dialog.jp-Dialog")  # a slow start may make JupyterLab ask about the kernel
    page.add_locator_handler(dialog, lambda: page.keyboard.press("Enter"), no_wait_after=True)
    page.goto(f"{address}/lab/tree/explore.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell").wait_for(timeout=60_000)
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").click()
    for _ in range(12):  # a cell run before the kernel answers is dropped without a word
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(4000)
        if page.locator(".jp-InputPrompt").first.inner_text() != "[ ]:":
            break
    image = page.locator(".jp-OutputArea-output img.widget-image")
    image.wait_for(timeout=90_000)
    handle = page.locator(".widget-slider", has_text="contours").locator(".noUi-handle")
    sources = [image.get_attribute("src")]
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(x + 12 * step, y)
        page.wait_for_timeout(400)
        sources.append(image.get_attribute("src"))
    page.mouse.up()
    page.wait_for_timeout(2000)
    keep_screenshot(page, "jupyterlab")
    assert len(set(sources)) >= 4  # it follows while it is dragged
    assert page.locator(".jp-OutputArea-output img").count() == 1
    page.close()

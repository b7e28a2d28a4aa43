"""A real browser for the tests: Debian's Chromium, headless, drawing in software."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]


@contextlib.contextmanager
def chromium():
    """Chromium by way of Playwright; where one of them is missing, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[dev]'")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


def keep_screenshot(page, name: str) -> None:
    """Keep what is seen in FACEDEPTH_KEEP_SCREENSHOTS, if that names a folder, to be looked at."""
    folder = os.environ.get("FACEDEPTH_KEEP_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")

"""What stands outside the library: the README's example and the links that follow the project's address."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_readmes_example_runs(tmp_path):
    example, _ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "data").symlink_to(ROOT / "data")
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True, timeout=500)
    for name in ("report/metrics.csv", "report/report.html", "face.glb", "points.ply", "face.gif"):
        assert (tmp_path / "outputs" / name).stat().st_size > 0


@pytest.mark.slow
def test_shipped_weights_and_the_reports_page_are_in_what_is_installed(tmp_path):
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("facedepth", "assets/weights"):
        shutil.copytree(ROOT / name, tmp_path / name)
    build = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", tmp_path / "installed"]
    subprocess.run(build, cwd=tmp_path, check=True)
    assert (tmp_path / "installed" / "facedepth" / "evaluation" / "report.html").is_file()
    script = "import facedepth; print(facedepth.__file__); print(facedepth.load_model('attention_unet').kind)"
    (tmp_path / "elsewhere").mkdir()
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True,
        check=True,
    )
    assert done.stdout.split() == [str(tmp_path / "installed" / "facedepth" / "__init__.py"), "relief"]


def test_links_follow_the_address(tmp_path):
    for name in (".ci", "colab_notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    linked = [tmp_path / "README.md", *(tmp_path / "colab_notebooks").glob("*.ipynb")]
    before = {path: path.read_text() for path in linked}

    def rewrite():
        subprocess.run([sys.executable, tmp_path / ".ci" / "address.py"], check=True)

    rewrite()
    assert {path: path.read_text() for path in linked} == before, "run `make address`"
    pyproject = tmp_path / "pyproject.toml"
    fork = 'Repository = "https://github.com/someone/fork"'
    pyproject.write_text(re.sub(r'Repository = ".*"', fork, pyproject.read_text()))
    rewrite()
    for path in linked:
        changed = path.read_text()
        assert "colab.research.google.com/github/someone/fork/blob/main/" in changed
        assert re.search(r"https://github.com/someone/fork[^/]", changed)


def test_the_readme_names_only_files_that_are_there():
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target

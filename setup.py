"""What pyproject.toml cannot say: the weights that lie in assets/weights go into the package when it is built."""

from pathlib import Path
from shutil import copytree

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithWeights(build_py):
    """An editable installation finds them in the clone; all others get a copy, ``facedepth/weights``."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copytree("assets/weights", Path(self.build_lib, "facedepth", "weights"), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithWeights})

"""Write the project's address, which stands in pyproject.toml, into the README's and the notebooks' links."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BRANCH = "main"


def main() -> None:
    """Rewrite the Colab badges, the clone command and the notebooks' REPOSITORY and BRANCH."""
    pyproject = (ROOT / "pyproject.toml").read_text()
    address = re.search(r'^Repository = "(.+?)/?"$', pyproject, re.MULTILINE).group(1)
    project = address.removeprefix("https://github.com/")
    rules = (
        (r"(colab\.research\.google\.com/github/)[\w.-]+/[\w.-]+/blob/[\w.-]+/", rf"\g<1>{project}/blob/{BRANCH}/"),
        (r"(git clone )\S+( && cd )\S+", rf"\g<1>{address}\g<2>{project.split('/')[1]}"),
        (r'(REPOSITORY = \\")[^"\\]+', rf"\g<1>{address}"),
        (r'(BRANCH = \\")[^"\\]+', rf"\g<1>{BRANCH}"),
    )
    for path in [ROOT / "README.md", *sorted((ROOT / "colab_notebooks").glob("*.ipynb"))]:
        text = path.read_text()
        for pattern, replacement in rules:
            text = re.sub(pattern, replacement, text)
        path.write_text(text)


if __name__ == "__main__":
    main()

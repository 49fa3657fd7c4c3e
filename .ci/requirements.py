"""Print what pip has to install before the package itself: read from pyproject.toml.

Usage: requirements.py [EXTRA...]
"""

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def requirements(extras: list[str]) -> list[str]:
    """Return the build requirements, the dependencies, and those of the extras."""
    tables = tomllib.loads(PYPROJECT.read_text())
    project = tables["project"]
    lists = [tables["build-system"]["requires"], project["dependencies"]]
    lists += [project["optional-dependencies"][extra] for extra in extras]
    return list(dict.fromkeys(line for group in lists for line in group))


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))

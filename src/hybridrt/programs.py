"""Find the programs that come with hybridrt: built in a checkout, or carried by the package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hybridrt.errors import HybridrtError

ENVIRONMENT_NAME = "HYBRIDRT_BIN"
BUILT = Path("build") / "bin"


def packaged_program(name: str) -> Path:
    """Return a program that the package itself carries."""
    return Path(__file__).resolve().parent / "bin" / name


def built_program(name: str) -> Path:
    """Return a Go or Rust program: in $HYBRIDRT_BIN, ./build/bin, or beside the environment."""
    named = os.environ.get(ENVIRONMENT_NAME)
    places = [Path(named)] if named else [BUILT, Path(sys.prefix).parent / BUILT]
    for place in places:
        if os.access(place / name, os.X_OK):
            return (place / name).resolve()
    looked = ", ".join(str(place) for place in places)
    raise HybridrtError(
        f"the program {name} is not there: looked in {looked}",
        f"build it with `make build`, or name its directory in {ENVIRONMENT_NAME}",
    )
